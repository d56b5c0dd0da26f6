"""Axes of the values in an ONNX graph: their sizes, known or open, and their roles.

An ONNX graph does not mark which axis of a value is the batch and which is time. The recurrent operators do, for their
own inputs. So every axis is an object that values share, and the role given by one operator holds wherever the axis
occurs.

Graphs compute sizes: ``Shape``, ``Gather``, ``Concat``, ``Reshape``. An open size is represented by a large prime
number, so that this is plain arithmetic on integers, and a size that comes out of it is recognized by its factors.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

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
