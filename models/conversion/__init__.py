"""The conversion model: will this lead be won in this rep's hands, when, and for how much.

columns      names of the columns a pairs frame holds, and which of them the pooled model may use
design       encoding of lead, rep and pair columns to numbers and level codes
arrow        linear algebra of fixed effects bordered by one block of random effects a rep
pooled       penalised logistic regression with estimated variance components and censored leads
timing       time to win and time to loss by age, and what an open lead's age says about it
findings     whether reps, and lead x rep pairs, differ beyond noise
residual     LightGBM for what the pooled model leaves, kept only where it pays out of time
calibration  from logits to probabilities that hold, and how well they hold
backtest     expanding-window predictions with only what was known at each fold's start
model        all of it together: ConversionModel
explanation  reasons for one pair, and for one pair against another
amount       expected amount if won
"""
