"""The values of an ONNX graph while it is read, known or computed by a call, and their axes: sizes and roles.

An ONNX graph does not mark which axis of a value is the batch and which is time. The recurrent operators do, for their
own inputs. So every axis is an object that values share, and the role given by one operator holds wherever the axis
occurs.

Graphs compute sizes: ``Shape``, ``Gather``, ``Concat``, ``Reshape``. An open size is represented by a large prime
number, so that this is plain arithmetic on integers, and a size that comes out of it is recognized by its factors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

BATCH, TIME = "batch", "time"
LARGEST_AXIS = 1_000_000
_FIRST = LARGEST_AXIS + 3  # primes for open sizes are larger than any size
_MOST_OPEN = 4096  # limit, as each size is compared with all of them


class _United:
    """Base of objects that may turn out to be one; `root` represents all that did."""

    _same: Any = None

    @property
    def root(self) -> Any:
        """The object that represents all those found to be the same."""
        one = self
        while (same := one._same) is not None:
            if same._same is not None:
                one._same = same._same  # path compression
            one = same
        return one


class Axis(_United):
    """One axis of some values."""

    def __init__(self, number: int, open: bool = False, kin: Axis | None = None, parts: tuple[Axis, ...] = ()):
        self._number, self._open, self._parts = int(number), open, parts
        self._kind: _Kind = _Kind() if kin is None else kin.root._kind

    @property
    def number(self) -> int:
        """Its size, or the prime that represents an open one."""
        return self.root._number

    @property
    def open(self) -> bool:
        """Whether the size is known at calls only."""
        return self.root._open

    @property
    def parts(self) -> tuple[Axis, ...]:
        """The axes that a reshape joined to this axis."""
        return self.root._parts

    @property
    def size(self) -> int | None:
        """The size, None for an open one."""
        return None if self.open else self.number

    @property
    def role(self) -> str | None:
        return self.root._kind.root.role

    def be(self, role: str) -> None:
        """Set the role of the axis; a ValueError if it has another one."""
        kind = self.root._kind.root
        if kind.role not in (None, role):
            raise ValueError(f"expected an axis to be either batch or time, but one is used as both ({self})")
        kind.role = role

    def be_like(self, other: Axis) -> None:
        """Give both axes the same role; their lengths may differ."""
        self.root._kind.root.join(other.root._kind.root)

    def join(self, other: Axis) -> None:
        """Unite both axes to one; a ValueError if their sizes or roles differ."""
        a, b = self.root, other.root
        if a is b:
            return
        if not a._open and not b._open and a._number != b._number:
            raise ValueError(f"expected axes of one size, got {a._number} and {b._number}")
        if a._open and not b._open:
            a, b = b, a
        a._parts = a._parts or b._parts
        a._kind.root.join(b._kind.root)
        b._same = a

    def __repr__(self):
        return f"{self.role or 'axis'} {'open' if self.open else self.number}"


class _Kind(_United):
    """The common role of several axes, such as the batch; their lengths may differ."""

    role: str | None = None

    def join(self, other: _Kind) -> None:
        if self is other:
            return
        if None not in (self.role, other.role) and self.role != other.role:
            raise ValueError("expected an axis to be either batch or time, but one is used as both")
        self.role = self.role or other.role
        other._same = self


class Axes:
    """A maker of axes, which recognizes open ones by the primes that represent their sizes."""

    def __init__(self):
        self._last = _FIRST - 2
        self._open: dict[int, Axis] = {}
        self._named: dict[str, Axis] = {}

    def open(self, kin: Axis | None = None, name: str = "") -> Axis:
        """Make an axis of open size; the same name gives the same axis."""
        if name and name in self._named:
            return self._named[name]
        if len(self._open) >= _MOST_OPEN:
            raise ValueError(f"expected at most {_MOST_OPEN:,} sizes that calls give, got more")
        self._last = _next_prime(self._last)
        axis = self._open[self._last] = Axis(self._last, True, kin)
        if name:
            self._named[name] = axis
        return axis

    def of(self, number: int, kin: Axis | None = None) -> Axis:
        """Return an axis of a computed size: the open one if its prime came out."""
        number = int(number)
        if number in self._open:
            return self._open[number]
        if number < 0:
            raise ValueError(f"expected sizes that are not negative, got {number}")
        return Axis(number, any(number % prime == 0 for prime in self._open) and number > 0, kin)

    def open_in(self, numbers: Iterable[int]) -> Axis | None:
        """Return the first open axis whose size is a factor of one of these numbers."""
        found = (axis for number in numbers if number for prime, axis in self._open.items() if int(number) % prime == 0)
        return next(found, None)

    def broadcast(self, *several: Sequence[Axis]) -> tuple[Axis, ...]:
        """Return the axes of an elementwise combination of values, by NumPy's rule."""
        rank = max(map(len, several))
        found = []
        for place in range(-rank, 0):
            here = [axes[place] for axes in several if len(axes) >= -place]
            long = [axis for axis in here if axis.size != 1] or here
            for axis in long[1:]:
                long[0].join(axis)
            found.append(long[0])
        return tuple(found)

    def regroup(self, axes: Sequence[Axis], numbers: Sequence[int]) -> tuple[Axis, ...]:
        """Return the axes after a reshape; ones neither joined nor split stay. A ValueError for another size."""
        left, found = list(axes), []
        wanted = [int(n) for n in numbers]
        while left or wanted:
            if left and wanted and left[0].number == wanted[0]:
                found.append(left.pop(0))
                wanted.pop(0)
            elif left and left[0].number == 1:
                left.pop(0)
            elif wanted and wanted[0] == 1:
                found.append(Axis(wanted.pop(0)))
            else:
                found += self._group(left, wanted)
        return tuple(found)

    def _group(self, left: list[Axis], wanted: list[int]) -> list[Axis]:
        """Return the next axes with as many elements before as after; takes them from both lists."""
        before: list[Axis] = []
        after: list[int] = []
        a, b = 1, 1
        while a != b or not before:
            short = left if a < b or not before else wanted
            if not short or (a == 0 or b == 0):
                raise ValueError("expected a reshape to as many elements as there are")
            if short is left:
                before.append(left.pop(0))
                a *= before[-1].number
            else:
                after.append(wanted.pop(0))
                b *= after[-1]
        if len(after) == 1:
            axis = self.of(after[0])
            return [Axis(axis.number, axis.open, parts=tuple(before))]
        parts = [part for axis in before for part in (axis.parts or (axis,))]
        if [part.number for part in parts if part.number != 1] == [n for n in after if n != 1]:
            rest = iter([part for part in parts if part.number != 1])
            return [Axis(1) if n == 1 else next(rest) for n in after]
        return [self.of(n) for n in after]


def numbers(axes: Iterable[Axis]) -> tuple[int, ...]:
    """Return the sizes of axes, with primes for open ones."""
    return tuple(axis.number for axis in axes)


def _next_prime(number: int) -> int:
    number += 2
    while any(number % divisor == 0 for divisor in range(3, int(number**0.5) + 1, 2)):
        number += 2
    return number


def batch_of(axes: Iterable[Axis]) -> set[Axis]:
    """Return the axes of the batch, also those that a reshape joined with others."""
    return {part.root for axis in axes for part in (axis.parts or (axis,)) if part.role == BATCH}


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
    moves: bool = False  # whether it is numbers of another value, at other places
    of_call: bool = False  # whether it is known at a call only, though without inputs: an open size


Value = Constant | Array


def kind_of(dtype) -> str:
    """Return the kind of an array's values by its dtype."""
    return {"f": "float", "i": "int", "u": "int", "b": "bool"}[np.dtype(dtype).kind]


class Forms:
    """The layout of values in arrays ``(rows, *features)``, of the features the time first and none of size 1 else.

    Rows are batch and time in a step of a model, and the batch alone in whole arrays and in the step of a loop.
    """

    def __init__(self, row_roles: tuple[str, ...]):
        self.row_roles = row_roles

    def is_row(self, axis: Axis) -> bool:
        """Return whether an axis, or a part of it, is an axis of rows."""
        return axis.role in self.row_roles or any(part.role == BATCH for part in axis.parts)

    def is_feature(self, axis: Axis) -> bool:
        """Return whether an axis is one of features."""
        return not self.is_row(axis) and (axis.number != 1 or axis.role == TIME)

    def placed(self, axes: Sequence[Axis]) -> list[tuple[int, Axis]]:
        """Return the axes of features in the array's order, each with its index in `axes`."""
        joined = lambda axis: (self.is_row(axis) and axis.parts) or (axis,)
        parts = [(i, part.root) for i, axis in enumerate(axes) for part in joined(axis) if self.is_feature(part)]
        return sorted(parts, key=lambda one: (one[1].role != TIME, one[0]))

    def sizes(self, axes: Sequence[Axis], what: str = "a value") -> list[int | None]:
        """Return the sizes of the features, None for open ones; a ValueError if a row holds too many numbers."""
        found = [axis.size for _, axis in self.placed(axes)]
        if math.prod(size or 1 for size in found) > LARGEST_ROW:
            raise ValueError(f"expected rows of at most {LARGEST_ROW:,} numbers, got {found} in {what}")
        return found

    def shape(self, axes: Sequence[Axis], what: str = "a value") -> list[int]:
        """Return the sizes of the features as `sizes` does; a ValueError if one is open."""
        if None in (found := self.sizes(axes, what)):
            raise ValueError(f"expected known sizes of all axes but batch and time, got an open one in {what}")
        return found  # type: ignore[return-value]

    def place(self, axes: Sequence[Axis], axis: int, what: str = "") -> int:
        """Return the index of an axis among the features; a ValueError for one of rows if `what` is named."""
        if what and self.is_row(axes[axis]):
            raise ValueError(f"expected {what} along features, got one along the batch or time")
        own = (axes[axis].role != TIME, axis)
        return sum((one.role != TIME, i) < own for i, one in self.placed(axes))

    def places(self, axes: Sequence[Axis], several: Iterable[int], what: str) -> list[int]:
        """Return the indices of several axes as `place` does, without those that are no features."""
        found = {axis: self.place(axes, axis, what) for axis in several}
        return [place for axis, place in found.items() if self.is_feature(axes[axis])]

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
