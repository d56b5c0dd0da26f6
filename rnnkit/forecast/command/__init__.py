"""The command ``rnnkit forecast``: its options, reports, tables and pictures."""

HORIZON = 12
WINDOWS = 1  # of a cross-validation
