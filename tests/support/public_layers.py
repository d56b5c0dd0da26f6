"""Every public layer with something that it can be called on, for what holds of all of them: ``LAYERS`` lists them."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import rnnkit as rk
from rnnkit.layers.base import Layer


class Case(NamedTuple):
    """How a layer is made, and the shapes of the arrays that it takes."""

    make: Callable[[], Any]
    shapes: tuple = ((2, 4, 4),)
    ids: bool = False
    apart: bool = False  # whether the arrays are arguments of their own

    def inputs(self, rows=None, seed=0, dtype="float64"):
        rng = np.random.default_rng(seed)
        shapes = [(rows or shape[0], *shape[1:]) for shape in self.shapes]
        if self.ids:
            return rng.integers(0, 4, shapes[0])
        arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]
        return arrays if len(arrays) > 1 else arrays[0]

    def given(self, x):
        """The arguments of a call on what `inputs` gives."""
        return tuple(x) if self.apart else (x,)


@rk.cell(states={"h": "features"})
def mixing(x, states, weights):
    h = 0.5 * states[0] + np.sin(x)
    return h, h


def doubled(x):
    return 2.0 * np.sin(x)


def functional():
    x = rk.Input((4, 4))
    return rk.Model(x, [rk.Permute((2, 1))(x), rk.Dense(2, seed=1)(x)])


TWO = ((2, 4, 4), (2, 4, 4))
LAYERS = {
    "Activation": Case(lambda: rk.Activation("tanh")),
    "Add": Case(lambda: rk.Add(), TWO),
    "AdditiveAttention": Case(lambda: rk.AdditiveAttention(seed=1), TWO),
    "AlphaDropout": Case(lambda: rk.AlphaDropout(0.4, seed=1)),
    "ArrayFunction": Case(lambda: rk.ArrayFunction(doubled)),
    "Attention": Case(lambda: rk.Attention(use_scale=True, seed=1), TWO),
    "Average": Case(lambda: rk.Average(), TWO),
    "AveragePooling1D": Case(lambda: rk.AveragePooling1D(2)),
    "BatchNormalization": Case(lambda: rk.BatchNormalization()),
    "Bidirectional": Case(lambda: rk.Bidirectional(rk.GRU(3, return_sequences=True), seed=1)),
    "Concatenate": Case(lambda: rk.Concatenate(), TWO),
    "Conv1D": Case(lambda: rk.Conv1D(3, 2, activation="tanh", seed=1)),
    "ConvLSTM1D": Case(lambda: rk.ConvLSTM1D(2, 2, seed=1), ((2, 3, 4, 2),)),
    "ConvLSTM2D": Case(lambda: rk.ConvLSTM2D(2, 2, seed=1), ((2, 2, 3, 3, 1),)),
    "ConvLSTM3D": Case(lambda: rk.ConvLSTM3D(1, 2, seed=1), ((1, 2, 2, 2, 2, 1),)),
    "Cropping1D": Case(lambda: rk.Cropping1D((1, 0))),
    "Dense": Case(lambda: rk.Dense(3, "tanh", kernel_regularizer="l2", seed=1)),
    "Dot": Case(lambda: rk.Dot((2, 1)), TWO),
    "Dropout": Case(lambda: rk.Dropout(0.4, seed=1)),
    "ELU": Case(lambda: rk.ELU()),
    "Embedding": Case(lambda: rk.Embedding(5, 3, mask_zero=True, seed=1), ((2, 4),), ids=True),
    "Flatten": Case(lambda: rk.Flatten()),
    "GRU": Case(lambda: rk.GRU(3, dropout=0.2, seed=1)),
    "GaussianDropout": Case(lambda: rk.GaussianDropout(0.4, seed=1)),
    "GaussianNoise": Case(lambda: rk.GaussianNoise(0.4, seed=1)),
    "GlobalAveragePooling1D": Case(lambda: rk.GlobalAveragePooling1D()),
    "GlobalMaxPooling1D": Case(lambda: rk.GlobalMaxPooling1D()),
    "LSTM": Case(lambda: rk.LSTM(3, return_sequences=True, seed=1)),
    "Lambda": Case(lambda: rk.Lambda(doubled)),
    "LayerNormalization": Case(lambda: rk.LayerNormalization()),
    "LeakyReLU": Case(lambda: rk.LeakyReLU()),
    "Masking": Case(lambda: rk.Masking()),
    "MaxPooling1D": Case(lambda: rk.MaxPooling1D(2)),
    "Maximum": Case(lambda: rk.Maximum(), TWO),
    "Minimum": Case(lambda: rk.Minimum(), TWO),
    "Model": Case(functional),
    "MultiHeadAttention": Case(lambda: rk.MultiHeadAttention(2, 2, dropout=0.2, seed=1), TWO, apart=True),
    "Multiply": Case(lambda: rk.Multiply(), TWO),
    "Operation": Case(lambda: rk.Operation("numpy:multiply", [{"tensor": 0}, 2.0])),
    "PReLU": Case(lambda: rk.PReLU(alpha_initializer="random_normal", shared_axes=[1], seed=1)),
    "Permute": Case(lambda: rk.Permute((2, 1))),
    "RNN": Case(lambda: rk.RNN(mixing(), return_sequences=True)),
    "ReLU": Case(lambda: rk.ReLU(negative_slope=0.1)),
    "RepeatVector": Case(lambda: rk.RepeatVector(3), ((2, 4),)),
    "Reshape": Case(lambda: rk.Reshape((2, 8))),
    "Sequential": Case(lambda: rk.Sequential([rk.Permute((2, 1)), rk.GRU(3)], seed=1)),
    "SimpleRNN": Case(lambda: rk.SimpleRNN(3, seed=1)),
    "Softmax": Case(lambda: rk.Softmax()),
    "SpatialDropout1D": Case(lambda: rk.SpatialDropout1D(0.4, seed=1)),
    "Subtract": Case(lambda: rk.Subtract(), TWO),
    "TimeDistributed": Case(lambda: rk.TimeDistributed(rk.Dense(2, "tanh"), seed=1)),
    "UnitNormalization": Case(lambda: rk.UnitNormalization()),
    "UpSampling1D": Case(lambda: rk.UpSampling1D(2)),
    "ZeroPadding1D": Case(lambda: rk.ZeroPadding1D((1, 0))),
}


def public_layers():
    """The names of all layers that rnnkit has whose results begin with the batch axis."""
    layers = [name for name in rk.__all__ if inspect.isclass(one := getattr(rk, name)) and issubclass(one, Layer)]
    return [name for name in layers if not getattr(rk, name)._axes_in_front]
