"""Floor 3: datasets, backtest, gate, tracking and releases. The only writer of runs."""
