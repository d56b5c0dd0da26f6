"""From a model, data and a loss to trained weights: what `fit`, `evaluate` and `predict` do."""
