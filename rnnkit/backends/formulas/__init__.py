"""Formulas of functions, the same on the CPU and on a GPU, in terms of a target's own operations."""
