"""Padding of sequences of unequal lengths to one array, and masks of their steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnkit import allocation
from rnnkit.arguments import is_integer, whole
from rnnkit.arrays import has_shape, refuse
from rnnkit.hints import Array, DType

_SIDES = ("pre", "post")


def pad_sequences(
    sequences: Array,
    maxlen: Any = None,
    dtype: DType = None,
    padding: Any = "pre",
    truncating: Any = "pre",
    value: Any = 0.0,
    *,
    return_mask: bool = False,
) -> Any:
    """Copy sequences of unequal lengths into one array, with a value where a sequence has no step.

    As in Keras, ``"pre"`` is the default of both sides. In rnnkit the side has no effect on results if the mask goes
    along, since a masked step is left out exactly.

    Parameters
    ----------
    sequences : list of array_like (T_i, …)
        Lists of ids, or arrays whose axes after the first one agree.
    maxlen : int, optional
        T; by default the length of the longest sequence. Longer ones lose steps.
    dtype : dtype_like, optional
        By default the dtype that holds all sequences. (Keras's default, int32, removes the fractions of floats.)
    padding, truncating : {"pre", "post"}
        Whether values are added, and steps removed, before or after a sequence.
    value : scalar
        The value of the padding.
    return_mask : bool
        Return a mask, too.

    Returns
    -------
    padded : ndarray (B, T, …)
    mask : ndarray (B, T) of bool
        With `return_mask`: True at the steps of the sequences.

    Raises
    ------
    ValueError
        For sequences that don't fit together, a `value` that the dtype doesn't hold, and other sides.
    TypeError
        For anything but a list of sequences.

    Examples
    --------
    >>> import rnnkit as rk
    >>> rk.pad_sequences([[1], [2, 3], [4, 5, 6]])
    array([[0, 0, 1],
           [0, 2, 3],
           [4, 5, 6]])
    >>> rk.pad_sequences([[1], [2, 3], [4, 5, 6]], maxlen=2, padding="post", value=-1)
    array([[ 1, -1],
           [ 2,  3],
           [ 5,  6]])
    """
    for name, side in (("padding", padding), ("truncating", truncating)):
        if side not in _SIDES:
            raise ValueError(f"expected {name} 'pre' or 'post', got {side!r}")
    arrays = _read(sequences, dtype)
    length = max(map(len, arrays), default=0) if maxlen is None else whole(maxlen, "maxlen", 0)
    rest = next((one.shape[1:] for one in arrays if len(one)), ())
    dtype = _dtype(arrays, dtype, value)
    shape = (len(arrays), length, *rest)
    allocation.check("the padded sequences", shape, dtype)
    padded = np.full(shape, value, dtype)
    for i, one in enumerate(arrays):
        if not len(one):
            continue
        if one.shape[1:] != rest:
            wanted = ", ".join(["T", *map(str, rest)])
            raise ValueError(f"expected all sequences of shape ({wanted}), as the first is; got {one.shape} at {i}")
        kept = one[max(0, len(one) - length) :] if truncating == "pre" else one[:length]
        start = length - len(kept) if padding == "pre" else 0
        padded[i, start : start + len(kept)] = kept
    if not return_mask:
        return padded
    return padded, sequence_mask([min(len(one), length) for one in arrays], length, padding)


def sequence_mask(lengths: Any, maxlen: Any = None, padding: Any = "post") -> np.ndarray:
    """Make a mask of the steps of sequences of these lengths.

    Parameters
    ----------
    lengths : array_like (B,) of int
    maxlen : int, optional
        T; by default the largest length.
    padding : {"post", "pre"}
        ``"post"`` for sequences that begin at step 0, ``"pre"`` for those that end at the last one, as those of
        `pad_sequences` do by default.

    Returns
    -------
    ndarray (B, T) of bool

    Raises
    ------
    ValueError
        For lengths below 0 or above `maxlen`.
    TypeError
        For lengths that are no integers.

    Examples
    --------
    >>> import rnnkit as rk
    >>> rk.sequence_mask([1, 3]).astype(int)
    array([[1, 0, 0],
           [1, 1, 1]])
    """
    if padding not in _SIDES:
        raise ValueError(f"expected padding 'pre' or 'post', got {padding!r}")
    refuse(lengths, "lengths")
    found = np.asarray(lengths)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        got = f"shape {found.shape}" if found.ndim != 1 else f"dtype {found.dtype}"
        raise TypeError(f"expected lengths as integers of shape (batch,), got {got}")
    longest = int(found.max(initial=0))
    length = longest if maxlen is None else whole(maxlen, "maxlen", 0)
    if found.min(initial=0) < 0 or longest > length:
        wrong = int(found.min()) if found.min(initial=0) < 0 else longest
        raise ValueError(f"expected lengths from 0 to {length}, the number of steps; got {wrong}")
    steps = np.arange(length) if padding == "post" else np.arange(length)[::-1]
    return steps < found.astype(np.int64)[:, None]


def _read(sequences, dtype) -> list[np.ndarray]:
    """Return every sequence as an array with a time axis."""
    if isinstance(sequences, str) or not (isinstance(sequences, Sequence) or has_shape(sequences)):
        plain = isinstance(sequences, (str, int, float, type(None)))
        raise TypeError(f"expected a list of sequences, got {repr(sequences) if plain else type(sequences).__name__}")
    found = []
    for i, one in enumerate(sequences):
        refuse(one, "sequences")
        text = isinstance(one, (str, bytes)) and dtype is None
        if one is None or is_integer(one) or isinstance(one, float) or text or not hasattr(one, "__len__"):
            raise TypeError(f"expected a list of sequences, lists or arrays each; got {one!r} at {i}")
        try:
            array = np.asarray(one, dtype=object if dtype is object else None)
        except ValueError:
            raise ValueError(f"expected steps of one shape within a sequence; those at {i} differ") from None
        if not array.ndim:
            raise TypeError(f"expected a list of sequences, lists or arrays each; got {type(one).__name__} at {i}")
        found.append(array)
    return found


def _dtype(arrays, dtype, value) -> Any:
    """Return the dtype of the padded array; by default that of the sequences, which has to hold the value."""
    if dtype is not None:
        return np.dtype(dtype)
    held = [one.dtype for one in arrays if one.size]
    found = np.result_type(*held) if held else np.dtype(np.int64)
    if found.kind in "OUSMm":
        raise TypeError(f"expected sequences of numbers, got dtype {found}; for these too, pass dtype=object")
    if not _holds(found, value):
        raise ValueError(f"expected a value that {found} holds, the dtype of the sequences; got {value!r}")
    return found


def _holds(dtype: np.dtype, value) -> bool:
    """Return whether a numeric dtype can hold a value."""
    try:
        with np.errstate(all="ignore"):
            held = np.array(value).astype(dtype)
    except (TypeError, ValueError):
        return False
    return not held.ndim and (dtype.kind in "fc" or bool(held == value))
