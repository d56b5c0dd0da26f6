"""Every public layer, a row each: how it is made, what it is called on, and cases of its options.

What holds of all layers is tested on `LAYERS`: calls, gradients, files, display, refusals, devices, ONNX, C and Keras.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from matrix import pairwise

import rnnkit as rk
from rnnkit.layers.base import Layer

STEPS = (4, 7, 6)  # of cases: rows, time steps, features


class Case(NamedTuple):
    """A layer with some options, by the names that Keras has for them, and what it is called on."""

    kind: str
    options: dict
    shapes: tuple = (STEPS,)
    masked: bool = False
    training: bool = False

    def make(self, **more):
        return getattr(rk, self.kind)(**self.options, **more)

    def inputs(self, dtype="float64", seed=0):
        return _drawn(self.shapes, dtype, seed)

    def mask(self):
        """Of the steps; None for a case without."""
        rows, steps = self.shapes[0][:2]
        return np.arange(steps) < np.arange(rows)[:, None] + 2 if self.masked else None

    def __str__(self):
        told = [f"{name}={value}" for name, value in self.options.items()]
        told += [f"x={self.shapes}"] * (self.shapes != (STEPS,)) + ["masked"] * self.masked
        return " ".join([self.kind, *told, *["training"] * self.training]).replace("/", "|")


class Row(NamedTuple):
    """A public layer."""

    make: Callable[..., Any]  # takes more options
    shapes: tuple = ((2, 4, 4),)
    cases: tuple[Case, ...] = ()
    formula: Callable | None = None  # what it computes, of an array, the options and the weights by name
    ids: bool = False
    apart: bool = False  # whether the arrays are arguments of their own
    keeps_mask: bool = False  # whether its result has the mask of its input, where it has cases
    without_c: str = ""  # why it can't be written in C, if it can't

    def inputs(self, rows=None, seed=0, dtype="float64"):
        shapes = [(rows or shape[0], *shape[1:]) for shape in self.shapes]
        return np.random.default_rng(seed).integers(0, 4, shapes[0]) if self.ids else _drawn(shapes, dtype, seed)

    def given(self, x):
        """The arguments of a call on what `inputs` gives."""
        return tuple(x) if self.apart else (x,)

    def shape(self):
        """What it is built for."""
        shapes = [(None, *shape[1:]) for shape in self.shapes]
        return shapes if len(shapes) > 1 else shapes[0]


def _drawn(shapes, dtype, seed):
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=shape).astype(dtype) for shape in shapes]
    return arrays if len(arrays) > 1 else arrays[0]


def _row(kind, *arguments, seeded=False, options=None, **fields):
    """A row and its name; `options` are keywords of the layer, which are a row's fields' names else."""
    given = ({"seed": 1} if seeded else {}) | (options or {})

    def make(**more):
        return getattr(rk, kind)(*arguments, **(given | more))

    return kind, Row(make, **fields)


def _cases(kind, factors=None, some=(), **more):
    """Cases of a kind: of pairs of options, and of some alone."""
    found = []
    for row in pairwise(factors) if factors else ():
        if row.get("strides", 1) not in (1, None) and row.get("dilation_rate", 1) > 1:
            row = {**row, "dilation_rate": 1}
        fields = {name: row.pop(name) for name in ("masked", "training", "shapes") if name in row}
        found.append(Case(kind, row, **fields, **more))
    return (*found, *(Case(kind, *one) if isinstance(one, tuple) else Case(kind, one) for one in some))


@rk.cell(states={"h": "features"})
def mixing(x, states, weights):
    h = 0.5 * states[0] + np.sin(x)
    return h, h


def doubled(x):
    return 2.0 * np.sin(x)


def functional(**more):
    x = rk.Input((4, 4))
    return rk.Model(x, [rk.Permute((2, 1))(x), rk.Dense(2, seed=1)(x)], **more)


def of_layers(make):
    """How a layer around others is made, which are new ones each time."""
    return lambda seed=1, **more: make(seed=seed, **more)


def in_groups(x, options, weights):
    axis = options["axis"] % x.ndim
    x = np.moveaxis(x, axis, -1)
    parts = np.stack(np.split(x, options["groups"] if options["groups"] > 0 else x.shape[-1], -1), 1)
    rows = parts.reshape(*parts.shape[:2], -1)
    mean, variance = ((f(rows, -1)[(..., *[None] * (x.ndim - 1))]) for f in (np.mean, np.var))
    y = np.concatenate(np.moveaxis((parts - mean) / np.sqrt(variance + options["epsilon"]), 1, 0), -1)
    return np.moveaxis(y * weights.get("gamma", 1.0) + weights.get("beta", 0.0), -1, axis)


TWO = ((2, 4, 4), (2, 4, 4))
WHOLE = "needs whole sequences"
INSIDE = r"'permute' \(Permute\) needs whole"
_GAMMA = {"center": (True, False), "scale": (True, False), "epsilon": (1e-3, 0.1)}
_DRAWN = {"beta_initializer": ("random_normal",), "gamma_initializer": ("random_normal", "ones")}
_POOLING = {"pool_size": (2, 3, 1), "strides": (None, 1, 2, 3), "padding": ("valid", "same"), "masked": (False, True)}
_CONVOLUTION = (
    {"filters": (4, 6), "kernel_size": (3, 1, 2), "strides": (1, 2, 3), "padding": ("valid", "same", "causal")}
    | {"dilation_rate": (1, 2, 3), "groups": (1, 2), "activation": (None, "relu", "softplus")}
    | {"use_bias": (True, False), "bias_initializer": ("random_normal",), "masked": (False, True)}
)
_DOT = [
    ({"axes": axes, "normalize": normalize}, shapes)
    for axes, *shapes in (((2, 1), (4, 2, 3), (4, 3, 5)), (-1, (4, 2, 3), (4, 3)), ((1, 3), (4, 3), (4, 2, 5, 3)))
    for normalize in (False, True)
]
_MOVED = {"momentum": (0.99, 0.5), "moving_mean_initializer": ("random_normal",)}
NOISE = ("SpatialDropout1D", "GaussianDropout", "AlphaDropout", "GaussianNoise")
LAYERS: dict[str, Row] = dict([
    _row("Activation", "tanh"),
    _row("Add", shapes=TWO),
    _row("AdditiveAttention", seeded=True, shapes=TWO, without_c=WHOLE),
    _row("AlphaDropout", 0.4, seeded=True, keeps_mask=True, cases=_cases("AlphaDropout", some=[{"rate": 0.5}])),
    _row("ArrayFunction", doubled),
    _row("Attention", options={"use_scale": True}, seeded=True, shapes=TWO, without_c=WHOLE),
    _row("Average", shapes=TWO),
    _row("AveragePooling1D", 2, without_c=WHOLE, cases=_cases("AveragePooling1D", _POOLING)),
    _row("BatchNormalization", keeps_mask=True, cases=_cases(
        "BatchNormalization",
        {"axis": (-1, 1, 2), **_GAMMA, **_DRAWN, "masked": (False, True), "training": (True, False), **_MOVED},
        [({}, (shape,), False, on) for shape in ((9, 3), (2, 3, 4, 5)) for on in (True, False)],
    )),
    ("Bidirectional", Row(
        of_layers(lambda **more: rk.Bidirectional(rk.GRU(3, return_sequences=True), **more)), without_c=WHOLE
    )),
    _row("Concatenate", shapes=TWO),
    _row("Conv1D", 3, 2, options={"activation": "tanh"}, seeded=True, without_c=WHOLE,
         cases=_cases("Conv1D", _CONVOLUTION)),
    _row("ConvLSTM1D", 2, 2, seeded=True, shapes=((2, 3, 4, 2),)),
    _row("ConvLSTM2D", 2, 2, seeded=True, shapes=((2, 2, 3, 3, 1),)),
    _row("ConvLSTM3D", 1, 2, seeded=True, shapes=((1, 2, 2, 2, 2, 1),)),
    _row("Cropping1D", (1, 0), without_c=WHOLE,
         cases=_cases("Cropping1D", some=[{"cropping": one} for one in (1, (2, 0), (0, 3))])),
    _row("Dense", 3, "tanh", options={"kernel_regularizer": "l2"}, seeded=True),
    _row("Dot", (2, 1), shapes=TWO, without_c=WHOLE,
         cases=_cases("Dot", some=[({"axes": 1}, ((4, 3), (4, 3))), *_DOT])),
    _row("Dropout", 0.4, seeded=True),
    _row("ELU", keeps_mask=True, cases=_cases("ELU", some=[{}, {"alpha": 0.4}])),
    _row("Embedding", 5, 3, options={"mask_zero": True}, seeded=True, shapes=((2, 4),), ids=True),
    _row("Flatten", without_c=WHOLE),
    _row("GRU", 3, options={"dropout": 0.2}, seeded=True),
    _row("GaussianDropout", 0.4, seeded=True, keeps_mask=True,
         cases=_cases("GaussianDropout", some=[{"rate": 0.5}])),
    _row("GaussianNoise", 0.4, seeded=True, keeps_mask=True, cases=_cases("GaussianNoise", some=[{"stddev": 0.5}])),
    _row("GlobalAveragePooling1D",
         cases=_cases("GlobalAveragePooling1D", some=[{"keepdims": keep} for keep in (True, False)])),
    _row("GlobalMaxPooling1D",
         cases=_cases("GlobalMaxPooling1D", some=[{"keepdims": keep} for keep in (True, False)])),
    _row("GroupNormalization", 2, keeps_mask=True, without_c="along the time axis",
         formula=in_groups, cases=_cases(
        "GroupNormalization",
        {"groups": (2, 3, -1, 1), "axis": (-1, 2), **_GAMMA, **_DRAWN, "masked": (False, True)},
        [({"groups": groups, "axis": axis, **{name: some[0] for name, some in _DRAWN.items()}}, (shape,))
         for groups, axis, shape in ((3, -1, (5, 6)), (3, 1, (4, 6, 5)), (2, -1, (2, 3, 4, 6)), (2, 2, (2, 3, 4, 5)))],
    )),
    _row("LSTM", 3, options={"return_sequences": True}, seeded=True),
    _row("Lambda", doubled),
    _row("LayerNormalization", keeps_mask=True, cases=_cases(
        "LayerNormalization",
        {"axis": (-1, 1, 2, (1, 2)), **_GAMMA, **_DRAWN, "masked": (False, True)},
        [({"axis": -1}, ((5, 3),)), ({"axis": 1, "gamma_initializer": "random_normal"}, ((2, 3, 4, 5),)),
         {"rms_scaling": True, "gamma_initializer": "random_normal"}],
    )),
    _row("LeakyReLU", keeps_mask=True, cases=_cases("LeakyReLU", some=[{}, {"negative_slope": 0.1}])),
    _row("Masking"),
    _row("MaxPooling1D", 2, without_c=WHOLE, cases=_cases("MaxPooling1D", _POOLING)),
    _row("Maximum", shapes=TWO),
    _row("Minimum", shapes=TWO, keeps_mask=True, cases=_cases("Minimum", some=[({}, (STEPS, STEPS))])),
    ("Model", Row(functional, without_c=INSIDE)),
    _row("MultiHeadAttention", 2, 2, options={"dropout": 0.2}, seeded=True, shapes=TWO, apart=True, without_c=WHOLE),
    _row("Multiply", shapes=TWO),
    _row("Operation", "numpy:multiply", [{"tensor": 0}, 2.0]),
    _row("PReLU", options={"alpha_initializer": "random_normal", "shared_axes": [1]}, seeded=True, keeps_mask=True,
         cases=_cases("PReLU", some=[
             {"alpha_initializer": "random_normal", "shared_axes": axes} for axes in (None, [1], (1, 2))
         ])),
    _row("Permute", (2, 1), without_c=WHOLE,
         cases=_cases("Permute", some=[{"dims": (2, 1)}, ({"dims": (3, 1, 2)}, ((2, 3, 4, 5),))])),
    ("RNN", Row(lambda **more: rk.RNN(mixing(), return_sequences=True, **more))),
    _row("ReLU", options={"negative_slope": 0.1}, keeps_mask=True, cases=_cases(
        "ReLU", {"max_value": (None, 0.5, 6.0), "negative_slope": (0.0, 0.3), "threshold": (0.0, 0.2)}
    )),
    _row("RepeatVector", 3, shapes=((2, 4),), without_c=r"expected inputs \(batch, time, features\)"),
    _row("Reshape", (2, 8), without_c=WHOLE),
    ("Sequential", Row(
        of_layers(lambda **more: rk.Sequential([rk.Permute((2, 1)), rk.GRU(3)], **more)), without_c=INSIDE
    )),
    _row("SimpleRNN", 3, seeded=True),
    _row("Softmax", keeps_mask=True, cases=_cases("Softmax", some=[{"axis": axis} for axis in (-1, 1, (1, 2))])),
    _row("SpatialDropout1D", 0.4, seeded=True, keeps_mask=True,
         cases=_cases("SpatialDropout1D", some=[{"rate": 0.5}])),
    _row("Subtract", shapes=TWO),
    ("TimeDistributed", Row(of_layers(lambda **more: rk.TimeDistributed(rk.Dense(2, "tanh"), **more)))),
    _row("UnitNormalization", keeps_mask=True, cases=_cases(
        "UnitNormalization", some=[*({"axis": axis} for axis in (-1, 1, (1, 2))), ({}, ((5, 3),))]
    )),
    _row("UpSampling1D", 2, without_c=WHOLE,
         cases=_cases("UpSampling1D", some=[{"size": size} for size in (1, 3)])),
    _row("ZeroPadding1D", (1, 0), without_c=WHOLE,
         cases=_cases("ZeroPadding1D", some=[{"padding": padding} for padding in (1, (2, 0), (0, 3))])),
])  # fmt: skip
CASES = [case for row in LAYERS.values() for case in row.cases]
KINDS = [name for name, row in LAYERS.items() if row.cases]


def public_layers():
    """The names of all layers that rnnkit has whose results begin with the batch axis."""
    layers = [name for name in rk.__all__ if inspect.isclass(one := getattr(rk, name)) and issubclass(one, Layer)]
    return [name for name in layers if not getattr(rk, name)._axes_in_front]
