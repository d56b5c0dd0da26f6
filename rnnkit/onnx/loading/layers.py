"""Layers for operators that have no layer of Keras: on each step, and on whole arrays."""

from __future__ import annotations

import math

from rnnkit.layers.array_function import WholeArrays
from rnnkit.layers.base import NO_MORE, any_shape, no_mask
from rnnkit.layers.memoryless import Memoryless
from rnnkit.layers.support import validation
from rnnkit.layers.support.symbolic import is_shape, leaves, shape_leaves
from rnnkit.layers.support.validation import finite_under_mask
from rnnkit.layers.traced import Traced
from rnnkit.layers.weighted import OwnWeight
from rnnkit.onnx.loading.cells import Program, RowsCell
from rnnkit.steps.weight_options import WeightOptions


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


class ArrayOperation(Traced):
    """A layer of operations on whole arrays ``(B, …)``, which pass no mask on; `program` is one as `Operation` has.

    `sizes` are those of the result behind the batch, if lengths don't change them.

    >>> import numpy as np
    >>> last = [["Slice", [0], {"axis": 0, "start": -1, "stop": None, "step": 1}]]
    >>> ArrayOperation({"inputs": [[None]], "instructions": last, "outputs": [1]})(np.array([[1.0, 2.0, 3.0]]))
    array([[3.]])
    """

    _padding = "lengths"

    def __init__(self, program, sizes=None, *, dtype=None, seed=None, name=None):
        super().__init__(dtype=dtype, seed=seed, name=name)
        self.program, self.sizes = Program(**program), sizes
        self._takes_list = len(self.program.inputs) > 1

    def _result(self, arrays, mask, training, weights=NO_MORE):
        return self.program.run(leaves(arrays), list(weights.values()))[0]

    def _taken(self, inputs, mask):
        taken = super()._taken(inputs, mask)
        return taken if self._takes_list else finite_under_mask(taken, mask)

    compute_mask = no_mask

    def _shape(self, shape):
        if is_shape(shape) == self._takes_list:
            raise TypeError(f"expected {len(self.program.inputs)} arrays in {self.name!r}, got the shape {shape}")
        checked = lambda one: validation.shape(one, 1, "batch, …")
        return [*map(checked, shape)] if self._takes_list else checked(shape)

    def _opened(self, shape):
        return shape

    def compute_output_shape(self, input_shape):
        if self.sizes is None:
            return super().compute_output_shape(input_shape)
        return (*shape_leaves(self._shape(input_shape))[0][:1], *self.sizes)

    _check_shape = any_shape

    @property
    def _stream_refusal(self):  # type: ignore[override]
        steps = any(None in shape[1:2] for shape in shape_leaves(self._input_shape or ()))
        return WholeArrays._stream_refusal.fget(self) if steps else None  # type: ignore[attr-defined]

    def _own_weights(self, shape):
        return {
            name: OwnWeight(tuple(own), "zeros", WeightOptions(trainable=trained))
            for name, own, trained in self.program.weights
        }

    def get_config(self):
        return {"program": self.program.config()} | super().get_config()

    def _arguments(self):
        return ", ".join(op for op, *_ in self.program.instructions)


# Layers in files of earlier versions, which become programs.


def _program(instructions, inputs=1, weights=()) -> dict:
    """Return the program of a layer with one output."""
    last = inputs + len(weights) + len(instructions) - 1
    return {"inputs": [[None]] * inputs, "weights": weights, "instructions": instructions, "outputs": [last]}


class Arrange(ArrayOperation):
    """A transposition and a reshape of every row, behind the axes that are kept."""

    def __init__(self, program=None, sizes=None, shape=(), kept=1, order=None, **options):
        more = kept - 1
        moves = [["Transpose", [0], {"order": [*range(more), *(more + axis for axis in order)]}]] if order else []
        made = _program([*moves, ["Reshape", [len(moves)], {"shape": [None] * more + list(shape)}]])
        super().__init__(program or made, sizes, **options)


class ConstantRows(ArrayOperation):
    """A weight for every row of x."""

    def __init__(self, program=None, sizes=None, shape=(), trainable=True, **options):
        made = _program([["Rows", [1, 0], {}]], 1, [["rows", shape, trainable]])
        super().__init__(program or made, sizes, **options)


class OverSteps(ArrayOperation):
    """A function along time of an array, or of two."""

    def __init__(self, program=None, sizes=None, function="slice", start=None, stop=None, step=None, **options):
        names = {"count": "Length", "numbers": "Steps", "repeat": "EachStep", "until": "Until", "slice": "Slice"}
        bounds, inputs = {"axis": 0, "start": start, "stop": stop, "step": step}, 1 + (function in ("repeat", "until"))
        name = names.get(function, f"Reduce{function.capitalize()}")
        more = bounds if name == "Slice" else {} if function in names else {"axes": [0]}
        super().__init__(program or _program([[name, [*range(inputs)], more]], inputs), sizes, **options)
