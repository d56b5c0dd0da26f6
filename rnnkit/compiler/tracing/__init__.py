"""Tracing: a step, run once on symbols, becomes a graph."""
