"""A step as a list of operations: what a Scan body, or a node that keeps no memory, becomes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rnnkit.onnx.loading.operations import OPERATIONS

Ref = int | float  # the number of a value, or a number that stands for itself


class Program:
    """Operations on rows, in order; as data it is JSON.

    Values are numbered: first the inputs, then the weights, then what each instruction gives. An instruction is
    ``[operation, refs, options]``, where a float among the refs stands for itself.

    Attributes
    ----------
    inputs : list of list of int or None
        The shape of each without the rows; None is a size that only a call knows.
    weights : list of [name, shape, trainable]
    instructions : list
    outputs : list of int or float
        What the program returns.
    """

    def __init__(self, inputs=(), weights=(), instructions=(), outputs=()):
        self.inputs = [list(shape) for shape in inputs]
        self.weights: list[list[Any]] = [[str(name), list(shape), bool(known)] for name, shape, known in weights]
        self.instructions = [[op, list(refs), dict(options)] for op, refs, options in instructions]
        self.outputs = list(outputs)
        if unknown := [op for op, *_ in self.instructions if op not in OPERATIONS]:
            raise ValueError(f"expected operations that rnnkit knows, got {unknown[0]!r}")

    def run(self, inputs: Sequence[Any], weights: Sequence[Any]) -> list:
        """The outputs for inputs ``(rows, *shape)``, of NumPy or of the tracer."""
        values = [*inputs, *weights]
        for op, refs, options in self.instructions:
            values.append(OPERATIONS[op](*(_value(values, ref) for ref in refs), **options))
        return [_value(values, ref) for ref in self.outputs]

    def config(self) -> dict:
        """Its parts as JSON values."""
        return {
            "inputs": self.inputs,
            "weights": self.weights,
            "instructions": self.instructions,
            "outputs": self.outputs,
        }


def _value(values, ref: Ref):
    return ref if isinstance(ref, float) else values[ref]


def split_features(x, shapes: Sequence[Sequence[int]]) -> list:
    """The parts of x ``(rows, F)`` that lie side by side, each in its own shape ``(rows, *shape)``."""
    parts, start = [], 0
    for shape in shapes:
        stop = start + math.prod(shape)
        part = x[:, start] if not shape else x[:, start:stop]
        parts.append(part.reshape(part.shape[0], *shape) if len(shape) > 1 else part)
        start = stop
    return parts


def flat(x) -> Any:
    """An array ``(rows, *shape)`` as ``(rows, F)``."""
    if x.ndim == 1:
        return x[:, None]
    return x if x.ndim == 2 else x.reshape(x.shape[0], math.prod(x.shape[1:]))
