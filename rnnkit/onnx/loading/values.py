"""The values of an ONNX graph while it is read: known arrays, and values computed by a call."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnkit.onnx.loading.axes import BATCH, TIME, Axis

LARGEST_ROW = 1 << 22  # numbers in one row of a value


@dataclass(eq=False)
class Constant:
    """An array known on reading: a weight, a size, a number."""

    array: np.ndarray  # for filled arrays of any size a view of one number
    axes: tuple[Axis, ...]
    name: str = ""
    trainable: bool = False  # whether it is a weight of the model

    @property
    def kind(self) -> str:
        """ "float", "int" or "bool"."""
        return kind_of(self.array.dtype)

    @property
    def is_weight(self) -> bool:
        """Return whether training changes the array as part of a step; numbers need an axis for that."""
        return self.trainable and self.array.ndim > 0


@dataclass(eq=False)
class Array:
    """A value computed by a call, in a program or by layers."""

    axes: tuple[Axis, ...]  # in ONNX's order
    kind: str = "float"  # or "int" or "bool"
    inputs: Sequence[Any] = ()  # the values that it is computed from
    emit: Callable[..., Any] | None = None  # adds it to `Steps`, from a list of refs of inputs, None for constants
    layers: Callable[..., Any] | None = None  # returns its tensor in `Layers`, or None to use `emit`
    scope: Any = None  # the graph with the value
    label: str = ""  # the node, for errors
    dense: tuple | None = field(default=None, repr=False)  # of a dense layer: (x, kernel, bias, activation)
    layer_inputs: Sequence[Any] | None = field(default=None, repr=False)  # of `layers`, if other than `inputs`
    of_call: bool = False  # whether it is known at a call only, though without inputs: an open size


Value = Constant | Array


def kind_of(dtype) -> str:
    """Return the kind of an array's values by its dtype."""
    return {"f": "float", "i": "int", "u": "int", "b": "bool"}[np.dtype(dtype).kind]


class Forms:
    """The layout of values in arrays ``(rows, *features)``; rows are batch and time in a model, the batch in a step."""

    def __init__(self, row_roles: tuple[str, ...]):
        self.row_roles = row_roles

    def is_row(self, axis: Axis) -> bool:
        """Return whether an axis, or a part of it, is an axis of rows."""
        return axis.role in self.row_roles or any(part.role == BATCH for part in axis.parts)

    def is_feature(self, axis: Axis) -> bool:
        """Return whether an axis is one of features; not if its size is 1."""
        return not self.is_row(axis) and axis.number != 1

    def features(self, axes: Sequence[Axis]) -> list[Axis]:
        """Return the axes of features, in order."""
        return [axis for axis in axes if self.is_feature(axis)]

    def shape(self, axes: Sequence[Axis], what: str = "a value") -> list[int]:
        """Return the sizes of the features; a ValueError if one is open, or a row holds too many numbers."""
        found = self.features(axes)
        if any(axis.open for axis in found):
            raise ValueError(f"expected known sizes of all axes but batch and time, got an open one in {what}")
        sizes = [axis.number for axis in found]
        if math.prod(sizes) > LARGEST_ROW:
            raise ValueError(f"expected rows of at most {LARGEST_ROW:,} numbers, got {sizes} in {what}")
        return sizes

    def place(self, axes: Sequence[Axis], axis: int, what: str = "") -> int:
        """Return the index of a feature axis among the features; a ValueError for one of rows if `what` is named."""
        if what and self.is_row(axes[axis]):
            raise ValueError(f"expected {what} along features, got one along the batch or time")
        return len(self.features(axes[:axis]))

    def places(self, axes: Sequence[Axis], several: Iterable[int], what: str) -> list[int]:
        """Return the indices of several axes as `place` does, without those of size 1."""
        found = {axis: self.place(axes, axis, what) for axis in several}
        return [place for axis, place in found.items() if self.is_feature(axes[axis])]

    def order(self, axes: Sequence[Axis], places: Sequence[int | None]) -> list[int]:
        """Return the feature axes at these positions, as indices among the features; a ValueError if one is missing."""
        order = [self.place(axes, i) for i in places if i is not None and self.is_feature(axes[i])]
        if len(order) != len(self.features(axes)):
            raise ValueError("expected axes of size 1 to be left out, got an open one of features")
        return order

    def row_axes(self, axes: Sequence[Axis]) -> list[Axis]:
        """Return the axes of rows, batch first; a ValueError for several of a role, or features mixed with rows."""
        rows = [part.root for axis in axes if self.is_row(axis) for part in (axis.parts or (axis,))]
        rows = [axis for axis in rows if axis.role or axis.number != 1]
        for role in self.row_roles:
            if len([axis for axis in rows if axis.role == role]) > 1:
                raise ValueError(f"expected one {role} axis in a value, got two")
        if any(axis.role not in self.row_roles for axis in rows):
            raise ValueError("expected the batch apart from features, but a reshape joins them")
        return sorted(rows, key=lambda axis: axis.role != BATCH)

    def time_axis(self, axes: Sequence[Axis]) -> Axis | None:
        """Return the axis of time among the rows, or None."""
        return next((axis for axis in self.row_axes(axes) if axis.role == TIME), None)
