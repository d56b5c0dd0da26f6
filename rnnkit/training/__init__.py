"""Training: `fit`, `evaluate` and `predict`, from a model, data and a loss to trained weights."""
