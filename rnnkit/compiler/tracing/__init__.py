"""A step, run once on symbols, becomes a graph: what NumPy's functions and operators do to them."""
