"""The values of an ONNX graph while it is read: known arrays, and what a call will compute."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnkit.onnx.loading.axes import BATCH, TIME, Axis

if TYPE_CHECKING:
    from rnnkit.onnx.loading.layer_target import Layers
    from rnnkit.onnx.loading.step_target import Steps

LARGEST_ROW = 1 << 22  # numbers in one row of a value


@dataclass(eq=False)
class Constant:
    """An array that is known when the file is read: a weight, a size, a number.

    Attributes
    ----------
    array : ndarray
        Views that repeat one number stand for filled arrays of any size.
    axes : tuple of Axis
    name : str
    trainable : bool
        Whether it is a weight of the model.
    """

    array: np.ndarray
    axes: tuple[Axis, ...]
    name: str = ""
    trainable: bool = False

    @property
    def kind(self) -> str:
        """ "float", "int" or "bool"."""
        return kind_of(self.array.dtype)

    @property
    def is_weight(self) -> bool:
        """Whether training changes it where it is part of a step; of numbers those that have an axis."""
        return self.trainable and self.array.ndim > 0


@dataclass(eq=False)
class Array:
    """What a call computes, and the two ways to it.

    Attributes
    ----------
    axes : tuple of Axis
        In ONNX's order.
    kind : str
        "float", "int" or "bool".
    inputs : sequence of values
        What it is computed from.
    emit : callable, optional
        ``emit(steps, refs)`` adds it to a program; `refs` are those of the inputs, None for constants.
    layers : callable, optional
        ``layers(target)`` gives the tensor of a model, or None where `emit` should.
    scope : object
        The graph that it belongs to.
    label : str
        The node, for errors.
    dense : tuple, optional
        ``(x, kernel, bias, activation)`` where it is a dense layer of x, which what follows may add to.
    layer_inputs : sequence of values, optional
        What `layers` reads, where these aren't the inputs.
    of_call : bool
        Whether only a call knows it, though it is computed from no input: an open size.
    """

    axes: tuple[Axis, ...]
    kind: str = "float"
    inputs: Sequence[Any] = ()
    emit: Callable[[Steps, list], Any] | None = None
    layers: Callable[[Layers], Any] | None = None
    scope: Any = None
    label: str = ""
    dense: tuple | None = field(default=None, repr=False)
    layer_inputs: Sequence[Any] | None = field(default=None, repr=False)
    of_call: bool = False


Value = Constant | Array


def kind_of(dtype) -> str:
    """The kind of value that an array of this dtype is."""
    return {"f": "float", "i": "int", "u": "int", "b": "bool"}[np.dtype(dtype).kind]


class Forms:
    """How values stand in arrays ``(rows, *features)``.

    Parameters
    ----------
    row_roles : tuple of str
        What runs along rows: batch and time in a model, the batch in one step.
    """

    def __init__(self, row_roles: tuple[str, ...]):
        self.row_roles = row_roles

    def is_row(self, axis: Axis) -> bool:
        """Whether rows run along an axis, or along parts of it."""
        return axis.role in self.row_roles or any(part.role == BATCH for part in axis.parts)

    def is_feature(self, axis: Axis) -> bool:
        """Whether features run along an axis; one of size 1 is left out."""
        return not self.is_row(axis) and axis.number != 1

    def features(self, axes: Sequence[Axis]) -> list[Axis]:
        """The axes of features, in order."""
        return [axis for axis in axes if self.is_feature(axis)]

    def shape(self, axes: Sequence[Axis], what: str = "a value") -> list[int]:
        """The sizes of the features.

        Raises
        ------
        ValueError
            If one is open, or a row holds too many numbers.
        """
        found = self.features(axes)
        if any(axis.open for axis in found):
            raise ValueError(f"expected known sizes of all axes but batch and time, got an open one in {what}")
        sizes = [axis.number for axis in found]
        if math.prod(sizes) > LARGEST_ROW:
            raise ValueError(f"expected rows of at most {LARGEST_ROW:,} numbers, got {sizes} in {what}")
        return sizes

    def place(self, axes: Sequence[Axis], axis: int) -> int:
        """The number of a feature axis among the features."""
        return len(self.features(axes[:axis]))

    def order(self, axes: Sequence[Axis], places: Sequence[int | None]) -> list[int]:
        """The feature axes at these places among all, as numbers among the features.

        Raises
        ------
        ValueError
            If one is left out.
        """
        order = [self.place(axes, i) for i in places if i is not None and self.is_feature(axes[i])]
        if len(order) != len(self.features(axes)):
            raise ValueError("expected axes of size 1 to be left out, got an open one of features")
        return order

    def row_axes(self, axes: Sequence[Axis]) -> list[Axis]:
        """The axes of rows, batch first.

        Raises
        ------
        ValueError
            If there are several of a kind, or features are mixed with rows.
        """
        rows = [part.root for axis in axes if self.is_row(axis) for part in (axis.parts or (axis,))]
        rows = [axis for axis in rows if axis.role or axis.number != 1]
        for role in self.row_roles:
            if len([axis for axis in rows if axis.role == role]) > 1:
                raise ValueError(f"expected one {role} axis in a value, got two")
        if any(axis.role not in self.row_roles for axis in rows):
            raise ValueError("expected the batch apart from features, but a reshape joins them")
        return sorted(rows, key=lambda axis: axis.role != BATCH)

    def time_axis(self, axes: Sequence[Axis]) -> Axis | None:
        """The axis of time among the rows."""
        return next((axis for axis in self.row_axes(axes) if axis.role == TIME), None)
