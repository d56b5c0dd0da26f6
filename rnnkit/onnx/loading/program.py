"""Steps as lists of operations, from a Scan body or a memoryless node."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from rnnkit.onnx.loading.operations import OPERATIONS

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
        return {
            "inputs": self.inputs,
            "weights": self.weights,
            "instructions": self.instructions,
            "outputs": self.outputs,
        }


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
