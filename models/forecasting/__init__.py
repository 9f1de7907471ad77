"""Contribution forecasts: the funnel's Monte Carlo, its rivals, calibration, and what scores them."""
