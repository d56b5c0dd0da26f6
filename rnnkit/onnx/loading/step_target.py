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
    """A builder of a program, for arrays ``(rows, *features)`` in the given forms; `arrays` are the weights' values.

    Along features that are rows of the forms `alike`, constants are the same everywhere.
    """

    def __init__(self, forms: Forms, dtype: np.dtype, alike: Forms | None = None):
        self.forms, self.alike, self._dtype = forms, alike or forms, dtype
        self._inputs: list[list] = []
        self._weights: list[list] = []
        self._names = FreeNames()
        self._instructions: list[list] = []
        self.arrays: list[np.ndarray] = []
        self._known: dict[tuple, tuple] = {}

    # Refs are ("input", k), ("weight", k) and ("made", k) until the program is complete.

    def input(self, axes: Sequence[Axis], kind: str, what: str, open_sizes: bool = False) -> Any:
        """Add an input; conditions are passed as numbers."""
        ref = self.given(self.forms.sizes(axes, what) if open_sizes else self.forms.shape(axes, what))
        return self.add("NotZero", [ref]) if kind == "bool" else ref

    def given(self, sizes: Sequence[int | None]) -> Any:
        """Add an input ``(rows, *sizes)`` of numbers."""
        self._inputs.append(list(sizes))
        return ("input", len(self._inputs) - 1)

    def along(self, time: Axis) -> Any:
        """Add an input ``(rows, steps, …)`` with this time axis, for its length."""
        raise ValueError("expected a length that an input has, got one that is computed")

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

    # Values along other axes

    def ordered(self, ref: Any, order: Sequence[int]) -> Any:
        """Return a value with its features in another order."""
        return ref if list(order) == sorted(order) else self.add("Transpose", [ref], order=list(order))

    def with_axes(self, ref: Any, places: Sequence[int]) -> Any:
        """Return a value with features of size 1 at these places more."""
        return self.add("Unsqueeze", [ref], axes=list(places)) if places else ref

    def without_axes(self, ref: Any, places: Sequence[int]) -> Any:
        """Return a value without its features of size 1 at these places."""
        return self.add("Squeeze", [ref], axes=list(places)) if places else ref

    def aligned(self, value: Value, ref: Any, axes: Sequence[Axis]) -> Any:
        """Return a value shaped so that NumPy's broadcasting gives a result with these axes."""
        before = len(axes) - len(value.axes)
        if isinstance(value, Constant):
            array = features_of(value.array.reshape((1,) * before + value.array.shape), axes, self.alike)
            while array.ndim and array.shape[0] == 1:
                array = array[0]  # broadcasting restores the axis
            if value.kind == "bool":
                return self.add("NotZero", [self.weight(array, weight_name(value, "condition"), False)])
            return self.weight(array, weight_name(value, "constant"), value.is_weight)
        own = {before + i for i, _ in self.forms.placed(value.axes)}
        return self.with_axes(ref, [place for place, (i, _) in enumerate(self.forms.placed(axes)) if i not in own])

    def repeated(self, value: Constant, like: Any) -> Any:
        """Return a constant for every row of another value."""
        axes = [Axis(1) if axis.open and self.forms.is_feature(axis) else axis for axis in value.axes]
        array = features_of(value.array, axes, self.forms)
        ref = self.add("Rows", [self.weight(array, weight_name(value, "constant"), value.is_weight), like])
        ref = ref if axes == list(value.axes) else self.expanded(self.with_axes(ref, [0]), value.axes)
        return self.add("NotZero", [ref]) if value.kind == "bool" else ref

    def expanded(self, ref: Any, axes: Sequence[Axis]) -> Any:
        """Return a value of as many features, repeated to the sizes of these axes."""
        likes = [self.along(axis) for _, axis in self.forms.placed(axes) if axis.open]
        return self.add("Expand", [ref, *likes], shape=self.forms.sizes(axes))

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


def features_of(array: np.ndarray, axes: Sequence[Axis], forms: Forms) -> np.ndarray:
    """Return a constant without the axes of rows, in the order of `forms`; a ValueError if rows differ."""
    kept = [i for i, axis in forms.placed(axes) if axes[i].root is axis]
    array = without(array, [i for i in range(len(axes)) if i not in kept])
    return array.transpose([sorted(kept).index(i) for i in kept])


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
