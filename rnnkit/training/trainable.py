"""What every model has: compile, fit, evaluate, predict."""

from __future__ import annotations

from rnnkit.layers.base import Layer


class Trainable(Layer):
    """Base of models."""
