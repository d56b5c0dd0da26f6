"""Layers and models as classes with a `call`: it is run once on symbolic tensors, and becomes a graph of layers."""

from __future__ import annotations

from rnnkit.layers.base import Layer
from rnnkit.models.assembled import Assembled


class SubclassedLayer(Layer):
    """Base of layers written as in Keras: ``__init__``, ``build``, ``add_weight``, ``call``, ``compute_mask``."""

    def __init__(self, *, trainable=True, dtype=None, seed=None, name=None):
        super().__init__(dtype=dtype, seed=seed, name=name)
        self.trainable = trainable


class SubclassedModel(SubclassedLayer, Assembled):
    """Base of models written as in Keras: as `SubclassedLayer`, with compile, fit, evaluate, predict and save."""
