"""Floor 2: estimators and policies. Arrays and frames in, results out; no files, clock, tracking or HTTP."""
