"""Steps in plain Python on NumPy arrays, and user-written gradients."""
