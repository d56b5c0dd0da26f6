"""Layers for operators around recurrent ones that have no layer of Keras."""

from __future__ import annotations

import math

import numpy as np

from rnnkit.layers.base import any_shape, no_mask
from rnnkit.layers.memoryless import Memoryless
from rnnkit.layers.shaping import Shaping
from rnnkit.layers.traced import Traced
from rnnkit.layers.weighted import OwnWeight
from rnnkit.onnx.loading.cells import Program, RowsCell


class Operation(Memoryless):
    """A layer of operations on the features of x ``(B, …, F)``, for every row and step by itself.

    The inputs of `program`, a result of `Program.config`, lie side by side in the features of x; it has one output.
    """

    def __init__(self, program, *, dtype=None, seed=None, name=None):
        super().__init__(dtype=dtype, seed=seed, name=name)
        self.program = Program(**program)

    def compute_output_shape(self, input_shape):
        return self._shape_of_step(super().compute_output_shape(input_shape))

    def _build(self, shape):
        expected = sum(math.prod(one) for one in self.program.inputs)
        if shape[-1] != expected:
            raise ValueError(f"expected x with {expected} features, got {shape}")
        super()._build(shape)

    def get_config(self):
        return {"program": self.program.config()} | super().get_config()

    def _arguments(self):
        return ", ".join(op for op, *_ in self.program.instructions)

    def _cell_for(self, shape):
        return RowsCell(self.program)


class Arrange(Shaping):
    """A layer that transposes and reshapes every row; it passes no mask on.

    Of the axes after the first `kept`, `order` is the transposition and `shape` the sizes after it.

    >>> Arrange([2, 3], kept=2)(np.zeros((4, 5, 6))).shape
    (4, 5, 2, 3)
    """

    def __init__(self, shape, kept=1, order=None, *, dtype=None, seed=None, name=None):
        super().__init__(dtype=dtype, seed=seed, name=name)
        self.shape, self.kept = [int(n) for n in shape], int(kept)
        self.order = None if order is None else [int(axis) for axis in order]

    def _result(self, x, mask, training):
        if self.order is not None:
            x = x.transpose((*range(self.kept), *(axis + self.kept for axis in self.order)))
        return x.reshape((*x.shape[: self.kept], *self.shape))

    def compute_output_shape(self, input_shape):
        shape = self._shape(input_shape)
        rest = shape[self.kept :]
        if len(shape) < self.kept or (None not in rest and math.prod(rest) != math.prod(self.shape)):
            raise ValueError(f"expected {math.prod(self.shape)} numbers behind {self.kept} axes, got {shape}")
        return (*shape[: self.kept], *self.shape)

    @property
    def _stream_refusal(self):  # type: ignore[override]
        steps = self.kept == 1 and self.built and None in self._input_shape[1:2]
        return "needs whole sequences" if steps else None


class ConstantRows(Traced):
    """A layer that gives a weight ``rows`` for every row of x, such as trained initial states."""

    def __init__(self, shape, trainable=True, *, dtype=None, seed=None, name=None):
        super().__init__(dtype=dtype, seed=seed, name=name)
        self.shape, self.trainable = [int(n) for n in shape], bool(trainable)

    def _result(self, x, mask, training, weights):
        return np.broadcast_to(weights["rows"], (x.shape[0], *self.shape))

    def compute_output_shape(self, input_shape):
        return (self._shape(input_shape)[0], *self.shape)

    compute_mask = no_mask

    def _own_weights(self, shape):
        return {"rows": OwnWeight(tuple(self.shape), "zeros")}

    _check_shape = any_shape
