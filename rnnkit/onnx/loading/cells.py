"""Steps as lists of operations, from a Scan body or a memoryless node, and the cells of such steps."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnkit.onnx.loading.operations import OPERATIONS
from rnnkit.steps.cell import Cell

Ref = int | float  # the index of a value, or a literal number


class Program:
    """Operations on rows, in order, convertible to JSON.

    Values are numbered: first the inputs, then the weights, then the results of the instructions. An instruction is
    ``[operation, refs, options]``, where a float among the refs is a literal. `inputs` are shapes without the rows,
    None for sizes known at a call; `weights` are ``[name, shape, trainable]``; `outputs` are the refs of the results.
    """

    def __init__(self, inputs=(), weights=(), instructions=(), outputs=()):
        self.inputs = [list(shape) for shape in inputs]
        self.weights: list[list[Any]] = [[str(name), list(shape), bool(known)] for name, shape, known in weights]
        self.instructions = [[op, list(refs), dict(options)] for op, refs, options in instructions]
        self.outputs = list(outputs)
        if unknown := [op for op, *_ in self.instructions if op not in OPERATIONS]:
            raise ValueError(f"expected operations that rnnkit knows, got {unknown[0]!r}")

    def run(self, inputs: Sequence[Any], weights: Sequence[Any]) -> list:
        """Return the outputs for inputs ``(rows, *shape)``, of NumPy or of the tracer."""
        values = [*inputs, *weights]
        for op, refs, options in self.instructions:
            values.append(OPERATIONS[op](*(_value(values, ref) for ref in refs), **options))
        return [_value(values, ref) for ref in self.outputs]

    def config(self) -> dict:
        """Return the parts of the program as JSON values."""
        return {name: getattr(self, name) for name in ("inputs", "weights", "instructions", "outputs")}


def _value(values, ref: Ref):
    return ref if isinstance(ref, float) else values[ref]


def split_features(x, shapes: Sequence[Sequence[int]]) -> list:
    """Split x ``(rows, F)`` into its parts, each in its own shape ``(rows, *shape)``."""
    parts, start = [], 0
    for shape in shapes:
        stop = start + math.prod(shape)
        part = x[:, start] if not shape else x[:, start:stop]
        parts.append(part.reshape(part.shape[0], *shape) if len(shape) > 1 else part)
        start = stop
    return parts


def flat(x) -> Any:
    """Reshape an array ``(rows, *shape)`` to ``(rows, F)``."""
    if x.ndim == 1:
        return x[:, None]
    return x if x.ndim == 2 else x.reshape(x.shape[0], math.prod(x.shape[1:]))


class ProgramCell(Cell):
    """Base of cells whose step is the attribute `program`."""

    program: Program

    def build(self, input_shape):
        self.arrays = [
            self.add_weight(shape, "zeros", name, trainable=trainable)
            for name, shape, trainable in self.program.weights
        ]
        self.built = True


class ScanCell(ProgramCell):
    """A cell whose step is a list of operations, such as the body of an ONNX Scan operator, or an LSTM with peepholes.

    The inputs of `program`, a result of `Program.config`, are the parts of x, the states and the constants, in this
    order; its outputs the new states, then the step's outputs. The parts of x lie side by side in its features, and so
    do the outputs. There is at least one state; if there are constants, `output_size` has to be given.
    """

    def __init__(self, program, states, constants=0, output_size=None, *, name=None):
        super().__init__(name=name)
        self.program, self.states, self.constants = Program(**program), int(states), int(constants)
        self.output_size = None if output_size is None else int(output_size)
        count = len(self.program.inputs) - self.states - self.constants
        self._x_shapes = self.program.inputs[:count]
        self._state_shapes = self.program.inputs[count : count + self.states]
        self.state_size = [tuple(shape) or (1,) for shape in self._state_shapes] or [(1,)]

    def build(self, input_shape):
        expected = sum(math.prod(shape) for shape in self._x_shapes)
        if tuple(input_shape[1:]) != (expected,):
            raise ValueError(f"expected x with {expected} features, got {tuple(input_shape[1:])}")
        super().build(input_shape)

    def call(self, inputs, states, constants=()):
        """Compute one step: the outputs side by side, and the new states."""
        given = [s if shape else s[:, 0] for shape, s in zip(self._state_shapes, states, strict=False)]
        found = self.program.run([*split_features(inputs, self._x_shapes), *given, *constants], self.arrays)
        new = [s if shape else s[:, None] for shape, s in zip(self._state_shapes, found, strict=False)] or states
        outputs = [flat(output) for output in found[self.states :]] or [flat(new[0])]
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=1), new

    def _takes(self, name):
        return self.constants > 0 if name == "constants" else super()._takes(name)

    def get_config(self):
        config = {"program": self.program.config(), "states": self.states, "constants": self.constants}
        return config | {"output_size": self.output_size} | ({"name": self.name} if self.name else {})


class RowsCell(ProgramCell):
    """A cell of operations on the features of one row, whose single state stays unchanged."""

    state_size = 1

    def __init__(self, program: Program):
        super().__init__(name="operation")
        self.program = program

    def call(self, inputs, states):
        """Compute one step: the program's output, and the unchanged state."""
        (found,) = self.program.run(split_features(inputs, self.program.inputs), self.arrays)
        return (found[:, None] if found.ndim == 1 else found), states

    def _content(self):
        return None if self.program.weights else json.dumps(self.program.config())
