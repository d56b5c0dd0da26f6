"""Arrays nested in lists, tuples and dicts, joined in one array and back."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from itertools import accumulate, count
from types import SimpleNamespace
from typing import Any

import numpy as np

from rnnkit.arguments import is_integer
from rnnkit.arrays import has_shape
from rnnkit.complex_pairs import is_complex, to_complex, to_pairs


def is_nested(value, least_rank: int) -> bool:
    """Return whether a value is nested arrays of so many axes, rather than numbers in lists."""
    if isinstance(value, Mapping):
        return True
    if not isinstance(value, (list, tuple)):
        return False
    return any(is_nested(one, least_rank) or (has_shape(one) and len(one.shape) >= least_rank) for one in value)


def leaves_of(nested) -> list:
    """Return the leaves of lists, tuples and dicts, in order."""
    if isinstance(nested, Mapping):
        nested = nested.values()
    elif not isinstance(nested, (list, tuple)):
        return [nested]
    return [leaf for one in nested for leaf in leaves_of(one)]


def mapped(nested, function: Callable[[Any], Any]):
    """Return the same nesting with a function applied to each leaf."""
    if isinstance(nested, (list, tuple)):
        return like(nested, [mapped(one, function) for one in nested])
    if _is_mapping(type(nested)):  # type: ignore[arg-type]
        return {name: mapped(one, function) for name, one in nested.items()}
    return function(nested)


@functools.lru_cache(maxsize=256)
def _is_mapping(kind: type) -> bool:
    return issubclass(kind, Mapping)


def numbered(nested) -> Any:
    """Return the same nesting of the numbers of the leaves."""
    numbers = count()
    return mapped(nested, lambda _: next(numbers))


def paths(nested, key: str = "") -> list[str]:
    """Return for each leaf the keys that lead to it, with "_" in between; "" of one that no key leads to."""
    if isinstance(nested, Mapping):
        return [path for name, one in nested.items() for path in paths(one, f"{key}_{name}" if key else str(name))]
    if not isinstance(nested, (list, tuple)):
        return [key]
    return [path for i, one in enumerate(nested) for path in paths(one, f"{key}_{i}" if key else "")]


def like(nested, entries: list):
    """Return entries in a list or tuple of the same type."""
    return type(nested)(*entries) if hasattr(nested, "_fields") else type(nested)(entries)


def shapes_mapped(shapes, function: Callable[[tuple], Any]):
    """Return the nesting of shapes with a function applied to each shape."""
    if isinstance(shapes, Mapping):
        return {name: shapes_mapped(one, function) for name, one in shapes.items()}
    if is_shape(shapes):
        return function(tuple(shapes))
    found = [shapes_mapped(one, function) for one in shapes]
    return like(shapes, found)


def is_shape(value) -> bool:
    """Return whether a value is one shape, rather than nested ones."""
    return isinstance(value, (list, tuple)) and all(size is None or is_integer(size) for size in value)


class Nesting:
    """The nesting of arrays, or of objects with a shape, that have their first `axes` axes in common.

    `shapes` are those of a row or a step of each, `complex` says which are complex numbers, that are joined as pairs,
    `size` is that of all side by side, and `alone` says that it is one array in no list, which keeps its axes.
    """

    def __init__(self, nested, axes: int):
        self.shapes: list[tuple[int, ...]] = [tuple(one.shape[axes:]) for one in leaves_of(nested)]
        self._numbers = numbered(nested)
        self.complex = [is_complex(one) for one in leaves_of(nested)]
        self.alone = self._numbers == 0
        self._ends = list(accumulate(self._sizes()))
        self.size = self._ends[-1] if self._ends else 0

    @classmethod
    def of_shapes(cls, shapes, axes: int, dtype: Any = None) -> Nesting:
        """Return the nesting of nested shapes, which include the common axes."""
        return cls(shapes_mapped(shapes, lambda shape: SimpleNamespace(shape=shape, dtype=dtype)), axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one array that holds all that a row or a step has."""
        return (2, *self.shapes[0]) if self.alone and self.complex[0] else (self.size,)

    def __eq__(self, other):
        mine = (self.shapes, self.complex, _listed(self._numbers))
        return isinstance(other, Nesting) and mine == (other.shapes, other.complex, _listed(other._numbers))

    __hash__ = None  # type: ignore[assignment]

    def leaves(self, nested, what: str) -> list:
        """Return the leaves of a value, dicts by their names; a ValueError if it is nested in another way."""
        found: list = [None] * len(self.shapes)

        def put(numbers, value):
            if not isinstance(numbers, (list, tuple, Mapping)):
                found[numbers] = value
            elif isinstance(numbers, Mapping):
                if not isinstance(value, Mapping) or set(value) != set(numbers):
                    raise ValueError(
                        f"expected {what} as a dict of {', '.join(map(repr, numbers))}, got {_kind(value)}"
                    )
                for name, number in numbers.items():
                    put(number, value[name])
            else:
                if not isinstance(value, (list, tuple)) or len(value) != len(numbers):
                    raise ValueError(f"expected {what} as a list of {len(numbers)}, got {_kind(value)}")
                for number, one in zip(numbers, value, strict=True):
                    put(number, one)

        put(self._numbers, nested)
        return found

    def packed(self, leaves):
        """Return leaves, nested."""
        return mapped(self._numbers, lambda number: leaves[number])

    def joined(self, leaves, axes: int):
        """Return arrays side by side in one, behind the axes that they have in common."""
        leaves = [to_pairs(one, axes) if c else one for one, c in zip(leaves, self.complex, strict=True)]
        if self.alone:
            return leaves[0]
        flat = [one.reshape((*one.shape[:axes], size)) for one, size in zip(leaves, self._sizes(), strict=True)]
        return np.concatenate(flat, axis=-1)

    def parted(self, array, axes: int) -> list:
        """Return the arrays that are side by side in one."""
        if self.alone:
            return [to_complex(array, axes) if self.complex[0] else array]
        before, found = (slice(None),) * axes, []
        for shape, c, size, end in zip(self.shapes, self.complex, self._sizes(), self._ends, strict=True):
            part = array[(*before, slice(end - size, end))]
            pairs = (2,) if c else ()
            part = part.reshape((*array.shape[:axes], *pairs, *shape))
            found.append(to_complex(part, axes) if c else part)
        return found

    def _sizes(self) -> list[int]:
        return [math.prod(shape) * (2 if c else 1) for shape, c in zip(self.shapes, self.complex, strict=True)]


def _listed(nested):
    if isinstance(nested, Mapping):
        return {name: _listed(one) for name, one in nested.items()}
    return [_listed(one) for one in nested] if isinstance(nested, (list, tuple)) else nested


def _kind(value) -> str:
    if isinstance(value, Mapping):
        return f"a dict of {', '.join(map(repr, value))}"
    if isinstance(value, (list, tuple)):
        return f"a list of {len(value)}"
    return f"an array of shape {tuple(value.shape)}" if has_shape(value) else type(value).__name__
