"""The layers around a recurrence, each with several options, by the names that Keras has for them."""

from typing import NamedTuple

import numpy as np
from matrix import pairwise

import rnnkit as rk

STEPS = (4, 7, 6)  # rows, time steps, features


class Case(NamedTuple):
    """A layer, and what it is called on."""

    kind: str
    options: dict
    shapes: tuple = (STEPS,)
    masked: bool = False
    training: bool = False

    def make(self, **more):
        return getattr(rk, self.kind)(**self.options, **more)

    def inputs(self, dtype="float64", seed=0):
        rng = np.random.default_rng(seed)
        arrays = [rng.normal(size=shape).astype(dtype) for shape in self.shapes]
        return arrays if len(arrays) > 1 else arrays[0]

    def mask(self):
        """Of the steps; None for a case without."""
        rows, steps = self.shapes[0][:2]
        return np.arange(steps) < np.arange(rows)[:, None] + 2 if self.masked else None

    def __str__(self):
        told = [f"{name}={value}" for name, value in self.options.items()]
        told += [f"x={self.shapes}"] * (self.shapes != (STEPS,)) + ["masked"] * self.masked
        return " ".join([self.kind, *told, *["training"] * self.training]).replace("/", "|")


def _rows(kind, factors, **more):
    for row in pairwise(factors):
        if row.get("strides", 1) not in (1, None) and row.get("dilation_rate", 1) > 1:
            row = {**row, "dilation_rate": 1}
        fields = {name: row.pop(name) for name in ("masked", "training", "shapes") if name in row}
        yield Case(kind, row, **fields, **more)


_GAMMA = {"center": (True, False), "scale": (True, False), "epsilon": (1e-3, 0.1)}
_DRAWN = {"beta_initializer": ("random_normal",), "gamma_initializer": ("random_normal", "ones")}
CASES = [
    *_rows("LayerNormalization", {"axis": (-1, 1, 2, (1, 2)), **_GAMMA, **_DRAWN, "masked": (False, True)}),
    Case("LayerNormalization", {"axis": -1}, ((5, 3),)),
    Case("LayerNormalization", {"axis": 1, "gamma_initializer": "random_normal"}, ((2, 3, 4, 5),)),
    Case("LayerNormalization", {"rms_scaling": True, "gamma_initializer": "random_normal"}),
    *_rows(
        "BatchNormalization",
        {"axis": (-1, 1, 2), **_GAMMA, **_DRAWN, "masked": (False, True), "training": (True, False)}
        | {"momentum": (0.99, 0.5), "moving_mean_initializer": ("random_normal",)}
    ),
    *(Case("BatchNormalization", {}, ((9, 3),), training=on) for on in (True, False)),
    *(Case("BatchNormalization", {}, ((2, 3, 4, 5),), training=on) for on in (True, False)),
    *(Case("UnitNormalization", {"axis": axis}) for axis in (-1, 1, (1, 2))),
    Case("UnitNormalization", {}, ((5, 3),)),
    *_rows(
        "Conv1D",
        {"filters": (4, 6), "kernel_size": (3, 1, 2), "strides": (1, 2, 3), "padding": ("valid", "same", "causal")}
        | {"dilation_rate": (1, 2, 3), "groups": (1, 2), "activation": (None, "relu", "softplus")}
        | {"use_bias": (True, False), "bias_initializer": ("random_normal",), "masked": (False, True)}
    ),
    *(
        case
        for kind in ("MaxPooling1D", "AveragePooling1D")
        for case in _rows(
            kind,
            {"pool_size": (2, 3, 1), "strides": (None, 1, 2, 3), "padding": ("valid", "same")}
            | {"masked": (False, True)}
        )
    ),
    *(Case("GlobalMaxPooling1D", {"keepdims": keep}) for keep in (True, False)),
    *(Case("GlobalAveragePooling1D", {"keepdims": keep}) for keep in (True, False)),
    Case("Permute", {"dims": (2, 1)}),
    Case("Permute", {"dims": (3, 1, 2)}, ((2, 3, 4, 5),)),
    *(Case("ZeroPadding1D", {"padding": padding}) for padding in (1, (2, 0), (0, 3))),
    *(Case("Cropping1D", {"cropping": cropping}) for cropping in (1, (2, 0), (0, 3))),
    *(Case("UpSampling1D", {"size": size}) for size in (1, 3)),
    *(Case("Softmax", {"axis": axis}) for axis in (-1, 1, (1, 2))),
    *_rows("ReLU", {"max_value": (None, 0.5, 6.0), "negative_slope": (0.0, 0.3), "threshold": (0.0, 0.2)}),
    *(Case("LeakyReLU", options) for options in ({}, {"negative_slope": 0.1})),
    *(Case("ELU", options) for options in ({}, {"alpha": 0.4})),
    *(Case("PReLU", {"alpha_initializer": "random_normal", "shared_axes": axes}) for axes in (None, [1], (1, 2))),
    *(Case(kind, {"rate": 0.5}) for kind in ("SpatialDropout1D", "GaussianDropout", "AlphaDropout")),
    Case("GaussianNoise", {"stddev": 0.5}),
    Case("Minimum", {}, (STEPS, STEPS)),
    Case("Dot", {"axes": 1}, ((4, 3), (4, 3))),
    *(
        Case("Dot", {"axes": axes, "normalize": normalize}, shapes)
        for axes, *shapes in (((2, 1), (4, 2, 3), (4, 3, 5)), (-1, (4, 2, 3), (4, 3)), ((1, 3), (4, 3), (4, 2, 5, 3)))
        for normalize in (False, True)
    ),
]  # fmt: skip
KINDS = sorted({case.kind for case in CASES})
NOISE = ("SpatialDropout1D", "GaussianDropout", "AlphaDropout", "GaussianNoise")
