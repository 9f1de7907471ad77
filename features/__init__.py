"""Floor 1: tables, their contract, checks and point-in-time features. Uses nothing of ours above."""
