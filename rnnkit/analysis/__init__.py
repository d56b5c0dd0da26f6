"""What is asked of a layer or a cell besides its results: checks of gradients, Jacobians."""
