"""Steps in plain Python on NumPy arrays, and gradients that a user wrote."""
