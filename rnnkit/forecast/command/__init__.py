"""The command ``rnnkit forecast``: its options, reports, tables and pictures."""
