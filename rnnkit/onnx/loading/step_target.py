"""Programs of values: the operations of one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnnkit import allocation
from rnnkit.free_names import FreeNames
from rnnkit.onnx.loading.axes import Array, Axis, Constant, Forms, Value
from rnnkit.onnx.loading.cells import Program


class Steps:
    """A builder of a program, for arrays ``(rows, *features)`` in the given forms; `arrays` are the weights' values."""

    def __init__(self, forms: Forms, dtype: np.dtype):
        self.forms, self._dtype = forms, dtype
        self._inputs: list[list] = []
        self._weights: list[list] = []
        self._names = FreeNames()
        self._instructions: list[list] = []
        self.arrays: list[np.ndarray] = []
        self._known: dict[tuple, tuple] = {}

    # Refs are ("input", k), ("weight", k) and ("made", k) until the program is complete.

    def input(self, axes: Sequence[Axis], kind: str, what: str, open_sizes: bool = False) -> Any:
        """Add an input; conditions are passed as numbers."""
        sizes = [a.size for a in self.forms.features(axes)] if open_sizes else self.forms.shape(axes, what)
        return self.add("NotZero", [self.given(sizes)]) if kind == "bool" else self.given(sizes)

    def given(self, sizes: Sequence[int | None]) -> Any:
        """Add an input ``(rows, *sizes)`` of numbers."""
        self._inputs.append(list(sizes))
        return ("input", len(self._inputs) - 1)

    def add(self, op: str, refs: Sequence[Any], **options) -> Any:
        self._instructions.append([op, list(refs), options])
        return ("made", len(self._instructions) - 1)

    def weight(self, array: np.ndarray, name: str, trainable: bool) -> Any:
        """Add an array as a weight; an untrained single number becomes a literal."""
        if array.ndim == 0 and not trainable:
            return float(array)
        allocation.keep(f"the weight {name!r}", array.shape, self._dtype)
        array = np.array(array, self._dtype, order="C")
        key = (name, array.shape, array.tobytes(), trainable)
        if key not in self._known:
            self._weights.append([self._names.take(name), list(array.shape), trainable])
            self.arrays.append(array)
            self._known[key] = ("weight", len(self._weights) - 1)
        return self._known[key]

    def aligned(self, value: Value, ref: Any, axes: Sequence[Axis]) -> Any:
        """Return a value shaped so that NumPy's broadcasting gives a result with these axes."""
        own: list[Axis | None] = [None] * (len(axes) - len(value.axes))
        own += value.axes
        if isinstance(value, Constant):
            kept = [i for i, axis in enumerate(axes) if self.forms.is_feature(axis)]
            array = value.array.reshape((1,) * (len(axes) - value.array.ndim) + value.array.shape)
            array = without(array, [i for i in range(len(axes)) if i not in kept])
            while array.ndim and array.shape[0] == 1:
                array = array[0]  # broadcasting restores the axis
            if value.kind == "bool":
                return self.add("NotZero", [self.weight(array, weight_name(value, "condition"), False)])
            return self.weight(array, weight_name(value, "constant"), value.is_weight)
        missing = [
            place
            for place, i in enumerate(i for i, axis in enumerate(axes) if self.forms.is_feature(axis))
            if own[i] is None or not self.forms.is_feature(own[i])  # type: ignore[arg-type]
        ]
        return self.add("Unsqueeze", [ref], axes=missing) if missing else ref

    def repeated(self, value: Constant, like: Any) -> Any:
        """Repeat a constant without rows to the number of rows of another value."""
        away = [i for i, axis in enumerate(value.axes) if not self.forms.is_feature(axis)]
        array = without(value.array, away)
        if value.kind == "bool":
            raise ValueError("expected numbers, got a constant of conditions")
        weight = self.weight(array, weight_name(value, "constant"), value.is_weight)
        return self.add("Rows", [weight, like])

    def program(self, outputs: Sequence[Any]) -> Program:
        before = {"input": 0, "weight": len(self._inputs), "made": len(self._inputs) + len(self._weights)}
        number = lambda ref: ref if isinstance(ref, float) else before[ref[0]] + ref[1]
        instructions = [[op, [number(ref) for ref in refs], options] for op, refs, options in self._instructions]
        return Program(self._inputs, self._weights, instructions, [number(ref) for ref in outputs])

    def emitted(self, outputs: Sequence[Value], leaf: Callable[[Array], Any]) -> list:
        """Return refs of values, with all their dependencies; `leaf` gives those of inputs, None for others."""
        refs: dict[Array, Any] = {}
        for value in inputs_first(outputs, lambda array: array.inputs if leaf(array) is None else ()):
            found = leaf(value)
            if found is None:
                if value.emit is None:
                    raise ValueError(f"{value.label}: expected an operator that keeps no memory here")
                found = value.emit(self, [refs.get(one) for one in value.inputs])
            refs[value] = found
        return [self.repeated(one, ("input", 0)) if isinstance(one, Constant) else refs[one] for one in outputs]


def inputs_first(
    outputs: Sequence[Value], inputs_of: Callable[[Array], Sequence[Value]] = lambda array: array.inputs
) -> list[Array]:
    """Return all arrays that outputs depend on, each after its inputs; without recursion, as graphs are deep."""
    found: dict[Array, None] = {}
    waiting: list[tuple[Value | None, bool]] = [(one, False) for one in reversed(outputs)]
    while waiting:
        value, seen = waiting.pop()
        if not isinstance(value, Array) or value in found:
            continue
        if seen:
            found[value] = None
        else:
            waiting.append((value, True))
            waiting += [(one, False) for one in reversed(inputs_of(value))]
    return list(found)


def without(array: np.ndarray, axes: Sequence[int]) -> np.ndarray:
    """Remove some axes of an array, along which all entries are equal; a ValueError if they differ."""
    for axis in sorted(axes, reverse=True):
        first = array[(slice(None),) * axis + (slice(0, 1),)]
        if array.shape[axis] == 0 or (array.strides[axis] and not _equal(array, first)):
            raise ValueError("expected a constant that is the same for every row and step, got one that differs")
        array = first.squeeze(axis)
    return array


def _equal(array, first) -> bool:
    """Return whether all entries equal the first ones; NaN equals NaN."""
    return bool(((array == first) | ((array != array) & (first != first))).all())


def weight_name(value: Constant, default: str) -> str:
    """Return a weight's name in rnnkit, where "/" separates the names of layers and weights."""
    return plain_name(value.name) or default


def plain_name(name: str) -> str:
    """Return a name of ONNX's without "/"."""
    return name.strip("/").replace("/", ".")
