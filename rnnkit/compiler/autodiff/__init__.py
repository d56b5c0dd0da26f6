"""Gradients as graphs: a rule for each operation, backwards for a whole sequence, forwards for one step."""
