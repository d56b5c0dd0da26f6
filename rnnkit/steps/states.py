"""The shapes of a cell's states and how a user nests them: one array, a list, or a list per cell of a stack."""

from __future__ import annotations

import math
import numbers
import sys
from collections import namedtuple
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit import allocation
from rnnkit.arguments import is_integer, shown
from rnnkit.arrays import has_shape, in_precision, real
from rnnkit.complex_pairs import is_complex, says_complex, to_complex, to_pairs


def numbers_of(shape, keywords: Mapping[str, int], feature_shape) -> tuple[int, ...]:
    """Return a declared shape as numbers; a ValueError for a name that isn't among the keywords, or no size."""
    known = dict(keywords) | {"features": feature_shape[-1] if feature_shape else 1}

    def number(size):
        if is_integer(size) and size >= 0:
            return int(size)
        factors = [factor.strip() for factor in size.split("*")] if isinstance(size, str) else [""]
        if not all(factor.isdecimal() or factor in known for factor in factors):
            raise ValueError(f"expected a size: a positive integer, or one of {', '.join(known)}; got {shown(size)}")
        return math.prod(int(factor) if factor.isdecimal() else known[factor] for factor in factors)

    return tuple(number(size) for size in (shape if isinstance(shape, (tuple, list)) else (shape,)))


def names_in(shape) -> list[str]:
    """Return the keywords that a declared shape names."""
    names = []
    for size in shape if isinstance(shape, (tuple, list)) else (shape,):
        if is_integer(size) and 0 < size <= sys.maxsize:
            continue
        factors = [factor.strip() for factor in size.split("*")] if isinstance(size, str) else [""]
        if not all(factor.isidentifier() or factor.isdecimal() for factor in factors):
            raise ValueError(
                f"expected a size: a positive integer, a name or a product such as '4*units'; got {shown(size)}"
            )
        names += [f for f in factors if f.isidentifier() and f != "features"]
    return names


@dataclass(frozen=True)
class State:
    """A state in the spec of a cell, where its size alone doesn't say it.

    Parameters
    ----------
    shape : size or tuple of sizes
        As in `cell`; in the ``state_size`` of a class cell, integers.
    dtype : {"float", "complex"}
        "complex" is complex64 in a layer of float32, and complex128 in one of float64.

    Raises
    ------
    ValueError
        For another dtype.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> @rk.cell(states={"z": rk.State(1, "complex")}, initial={"z": 1.0})
    ... def turning(x, states):
    ...     z = states.z * np.exp(0.5j * np.pi * x)
    ...     return z, z
    >>> rk.RNN(turning(), return_sequences=True)(np.ones((1, 3, 1))).ravel().round(3)
    array([ 0.+1.j, -1.+0.j, -0.-1.j])
    """

    shape: Any
    dtype: str = "float"

    def __post_init__(self) -> None:
        says_complex(self.dtype, "a state")


def _is_size(value) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _shape(size, least: int) -> tuple[int, ...]:
    sizes = (size,) if _is_size(size) else size  # () is that of a number
    if not isinstance(sizes, (tuple, list)) or not all(_is_size(n) and n >= least for n in sizes):
        raise ValueError(f"expected a state size (a positive integer, or a tuple of them), got {size!r}")
    return tuple(int(n) for n in sizes)


def named_states(names: Iterable[str]) -> type:
    """Return the class of a step's states: a tuple with names; another name is an error that lists them."""
    made = namedtuple("States", names, rename=True)  # type: ignore[misc]

    def missing(states, name):
        raise AttributeError(f"no state named {name!r} here; there are: {', '.join(names)}")

    made.__getattr__ = missing  # type: ignore[attr-defined]
    return made


class StateSpec:
    """Shapes of the states of one cell, or of a stack of cells, and their nesting in a user's hands.

    `shapes` has one shape per state without the batch axis, flat over all cells of a stack; of `complex` states that of
    pairs, which are shaped as in `own_shapes` for users. `bare` says that the cell's state is one array, not a list.
    `parts` are the specs of a stack's cells, bottom cell first; None for a single cell. `keyed` says that the last
    state is a generator's, which users may leave out.
    """

    keyed = False

    def __init__(self, state_size=None, *, parts=None, least=1):
        self.parts = None if parts is None else tuple(parts)
        if self.parts is not None:
            self.bare = False
            self.own_shapes = tuple(shape for part in self.parts for shape in part.own_shapes)
            self.complex = tuple(one for part in self.parts for one in part.complex)
            self._set_shapes()
            return
        self.bare = _is_size(state_size) or (isinstance(state_size, State) and _is_size(state_size.shape))
        if not self.bare and not isinstance(state_size, (tuple, list)):
            raise ValueError(f"expected state_size to be an integer or a list of sizes, got {state_size!r}")
        sizes = [one if isinstance(one, State) else State(one) for one in ([state_size] if self.bare else state_size)]
        self.own_shapes = tuple(_shape(one.shape, least) for one in sizes)
        self.complex = tuple(one.dtype == "complex" for one in sizes)
        if not sizes:
            raise ValueError("a cell needs at least one state, got an empty state_size")
        self._set_shapes()

    def _set_shapes(self):
        pairs = zip(self.own_shapes, self.complex, strict=True)
        self.shapes = tuple((2, *shape) if is_pair else shape for shape, is_pair in pairs)

    @property
    def state_size(self):
        """The sizes in the form of Keras: integers, tuples for multi-dimensional states, lists for lists."""
        if self.parts is not None:
            return [part.state_size for part in self.parts]
        plain = [shape[0] if len(shape) == 1 else shape for shape in self.own_shapes]
        sizes = [State(size, "complex") if c else size for size, c in zip(plain, self.complex, strict=True)]
        return sizes[0] if self.bare else sizes

    def pack(self, flat) -> list:
        """Return flat states as the entries that a layer returns after its output, and takes as ``initial_state``."""
        return self.nested(self.unpaired(flat))

    def unpaired(self, flat) -> list:
        """Return flat states as steps see them: those that are complex as complex numbers."""
        if not any(self.complex):
            return list(flat)
        given = zip(flat, self.own_shapes, self.complex, strict=True)
        return [_shown(one, one.ndim - len(shape) - 1) if is_pair else one for one, shape, is_pair in given]

    def paired(self, flat) -> list:
        """Return cotangents of states as a program has them, None for zeros."""
        if not any(self.complex):
            return list(flat)
        pairs = zip(flat, self.complex, strict=False)
        return [_paired(one, None, "a cotangent") if c and one is not None else one for one, c in pairs]

    def nested(self, flat) -> list:
        """Nest as `pack` does, what there is one of for each state and what is no pairs."""
        flat = list(flat)
        if self.parts is None:
            return flat
        entries = []
        for part in self.parts:
            own, flat = flat[: len(part.shapes)], flat[len(part.shapes) :]
            entries.append(own[0] if part.bare else part.nested(own))
        return entries

    def describe(self) -> str:
        """Return the expected entries in words, for errors."""
        if self.parts is None:
            return ", ".join(str(("batch", *shape)).replace("'", "") for shape in self.own_shapes)
        return ", ".join(part.describe() if part.bare else f"[{part.describe()}]" for part in self.parts)

    def zeros(self, batch_size: int, dtype) -> tuple[np.ndarray, ...]:
        """Return states of zeros, new arrays ``(B, *shape)``; an error for more rows than memory holds."""
        if batch_size > allocation.MANY_ROWS:
            for shape in self.shapes:
                allocation.check("states", (batch_size, *shape), dtype)
        return tuple([np.zeros((batch_size, *shape), dtype) for shape in self.shapes])

    def unpack(self, given, batch_size: int | None, dtype, what: str = "initial_state") -> tuple[np.ndarray, ...]:
        """Return a user's states as a flat tuple of new arrays ``(B, *shape)``; without `batch_size` that of the first.

        A ValueError refuses another count, nesting or shape.
        """
        arrays = self._flatten(given, what)
        if batch_size is None:
            batch_size = arrays[0].shape[0] if arrays[0].ndim else 0
        flat = []
        for array, shape, is_pair in zip(arrays, self.own_shapes, self.complex, strict=True):
            if array.shape != (batch_size, *shape):
                raise ValueError(f"expected {what} of shape {(batch_size, *shape)}, got {array.shape}")
            if is_pair:
                flat.append(_paired(array, dtype, what))
                continue
            if is_complex(array):
                real(array, what)  # which refuses it
            in_precision(array, what)
            if _is_on_device(array) and array.dtype != dtype:
                raise TypeError(f"expected {what} of {dtype} in a GPU's memory, got {array.dtype}; convert it first")
            flat.append(array.copy() if _is_on_device(array) else array.astype(dtype, order="C"))
        return tuple(flat)

    def _flatten(self, given, what) -> list[np.ndarray]:
        if self.parts is not None:
            is_array = isinstance(given, np.ndarray) or _is_on_device(given)
            if is_array and len(self.parts) == 1 and given.ndim == len(self.own_shapes[0]) + 1:
                given = [given]
            entries = self._entries(given, len(self.parts), what)
            return [
                array for part, entry in zip(self.parts, entries, strict=True) for array in part._flatten(entry, what)
            ]
        if len(self.shapes) == 1:
            bare = _as_array(given, what)
            if bare is not None and bare.ndim == len(self.own_shapes[0]) + 1:
                return [bare]
        entries = self._entries(self._with_key(given) if self.keyed else given, len(self.shapes), what)
        arrays: list = [_as_array(entry, what) for entry in entries]
        for entry, array in zip(entries, arrays, strict=True):
            if array is None:
                raise ValueError(f"expected {what} to hold arrays {self.describe()}, got {_kind(entry)}")
        return arrays

    def _with_key(self, given):
        """Return states with zeros for that of a generator where it is left out: rows without a key draw new ones."""
        entries = list(given) if isinstance(given, (list, tuple)) else [given]
        if len(entries) != len(self.shapes) - 1 or not np.shape(entries[0]) or any(map(_is_on_device, entries)):
            return given
        return [*entries, np.zeros((len(entries[0]), *self.shapes[-1]))]

    def _entries(self, given, count, what) -> list:
        if not isinstance(given, (list, tuple)) or len(given) != count:
            got = f"{len(given)} entries" if isinstance(given, (list, tuple)) else _kind(given)
            raise ValueError(
                f"expected {what} with {count} {'entry' if count == 1 else 'entries'}: {self.describe()}; got {got}"
            )
        return list(given)


def _shown(pairs, axis):
    return to_complex(pairs, axis)


def _paired(array, dtype, what):
    if _is_on_device(array):
        raise TypeError(f"expected {what} on the host, since it is complex, got an array in a GPU's memory")
    return to_pairs(in_precision(array, what), 1, dtype)


def _is_array(value) -> bool:
    return isinstance(value, np.ndarray) or (hasattr(value, "__array__") and has_shape(value))


def _is_on_device(value) -> bool:
    """Return whether this is a layer's array in a GPU's memory, which stays there."""
    return not isinstance(value, np.ndarray) and hasattr(value, "__cuda_array_interface__")


def _as_array(value, what) -> np.ndarray | None:
    """Return an array, or nested lists as one; None for anything else, and for a list around one array."""
    if type(value) is np.ndarray:
        return real(value, what, complex_too=True)
    if _is_on_device(value):
        return value
    if isinstance(value, (list, tuple)):
        if any(_is_array(entry) for entry in value):
            return None
        try:
            return real(value, what, complex_too=True)
        except ValueError:
            return None
    return real(value, what, complex_too=True) if has_shape(value) else None


def _kind(value) -> str:
    return f"an array of shape {value.shape}" if _is_array(value) else f"{type(value).__name__}"
