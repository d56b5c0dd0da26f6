"""Layers put together: one after the other, or as a graph of symbolic calls."""
