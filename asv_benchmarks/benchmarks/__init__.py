"""Benchmarks of rnnkit for asv.

A line `# smoke: REGEX` in a file names the one benchmark of it that `make bench-smoke` runs.
"""
