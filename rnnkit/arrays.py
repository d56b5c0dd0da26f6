"""Conversion of users' arrays to ndarrays of real numbers; errors say what to write instead."""

from __future__ import annotations

import numpy as np

REAL = "fiub"  # kinds of dtypes that hold real numbers

_NUMBERS = {float, int, bool, np.float64, np.float32}  # what most lists hold
_DEPTH = 64  # NumPy has no more axes


def real(value, what: str, masked: str | None = None, complex_too: bool = False) -> np.ndarray:
    """Return `value` as a plain ndarray of real numbers, or with `complex_too` of complex ones.

    `what` is the argument's name in errors, `masked` the advice for masked entries. Lists of different lengths are a
    ValueError. Masked entries, a ``numpy.matrix``, sparse arrays, tensors that NumPy can't read and dtypes that are no
    real numbers are a TypeError.

    >>> real([1, 2], "x").tolist()
    [1, 2]
    >>> real(np.ma.array([1.0, 2.0], mask=[True, False]), "sample_weight")
    Traceback (most recent call last):
        ...
    TypeError: expected sample_weight without masked entries, got a masked array with 1; pass sample_weight.filled(0)
    """
    is_plain = type(value) is np.ndarray or hasattr(type(value), "__rnnkit_opaque__")
    found = value if is_plain else _read(numbers_of(value), what, masked)
    if found.dtype.kind not in REAL and not (complex_too and found.dtype.kind == "c"):
        raise TypeError(_no_real_numbers(found, value, what))
    return found


def numbers_of(value):
    """Return the ndarray of an array that a tape records; anything else as it is."""
    found = getattr(type(value), "__rnnkit_array__", None)
    return value if found is None else found(value)


def floating(dtype, what: str = "dtype") -> np.dtype:
    """Return the precision that a layer computes in, float32 or float64; a TypeError for any other dtype."""
    try:
        found = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"expected {what} float32 or float64, got {dtype!r}") from None
    if found.kind != "f" or found.itemsize not in (4, 8):
        instead = "float64" if found.itemsize > 8 else "float32"
        raise TypeError(f"expected {what} float32 or float64, got {found}; convert with astype(np.{instead})")
    return np.dtype("float32" if found.itemsize == 4 else "float64")


def in_precision(found, what: str):
    """Return an array of integers, float32 or float64; a TypeError for any other precision."""
    if found.dtype.char in "egG":  # half and long double, which is float64 on some machines
        floating(found.dtype, f"{what} of dtype")
    return found


def with_gaps(value, what: str) -> np.ndarray:
    """Return `value` as an array of float64, NaN where an entry is missing: masked, None, or pandas's NA.

    A ValueError refuses what holds other things than numbers, a TypeError what NumPy can't read.

    >>> with_gaps(np.ma.array([1.0, 2.0], mask=[True, False]), "y")
    array([nan,  2.])
    """
    value = _opened(value)
    found = _read(value, what, None)
    if found.dtype.kind == "O" and not any(isinstance(one, (str, bytes)) for one in found.flat):
        try:
            return np.asarray(value, np.float64)
        except (TypeError, ValueError):
            pass  # the dtype's own error says more
    try:
        return real(found, what).astype(np.float64)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _opened(value):
    """Return masked entries as NaN, in lists too."""
    if isinstance(value, np.ma.MaskedArray) and value.dtype.kind in f"{REAL}O":
        return np.ma.filled(value.astype(object if value.dtype.kind == "O" else np.float64), np.nan)
    if isinstance(value, (list, tuple)) and not set(map(type, value)) <= _NUMBERS:
        return [_opened(one) for one in value]
    return value


def _read(value, what, masked) -> np.ndarray:
    """Return `value` as NumPy reads it, of any dtype."""
    refuse(value, what, masked)
    try:
        return np.asarray(value)
    except MemoryError:
        raise
    except Exception as error:  # each library has its own
        if type(value).__module__.startswith("rnnkit."):
            raise
        if isinstance(value, (list, tuple)) and isinstance(error, ValueError):
            raise ValueError(f"expected {what} to be an array, got {_unequal(value, what)}") from None
        said = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
        raise TypeError(
            f"expected {what} to be an array that NumPy can read, got {_kind(value)}, which says: {said}"
        ) from None


def refuse(value, what: str, masked: str | None = None, depth: int = 0) -> None:
    """Refuse objects that NumPy would misread or couldn't read by a TypeError, judged by their own attributes."""
    if type(value) is np.ndarray or type(value) in _NUMBERS:
        return
    name = _name(what)
    if isinstance(value, (list, tuple)):
        if depth < _DEPTH and not set(map(type, value)) <= _NUMBERS:
            for one in value:
                refuse(one, what, masked, depth + 1)
    elif isinstance(value, np.ndarray):
        if isinstance(value, np.matrix):
            raise TypeError(f"expected {what} to be an ndarray, got a numpy.matrix; pass np.asarray({name})")
        if isinstance(value, np.ma.MaskedArray) and value.dtype.kind in REAL and np.ma.is_masked(value):
            raise TypeError(
                f"expected {what} without masked entries, got a masked array with {np.ma.count_masked(value)}; "
                f"{masked or _unmasked(value, what)}"
            )
    elif type(value).__name__.endswith("GroupBy"):
        raise TypeError(
            f"expected {what} to be an array, got {_kind(value)}; rk.sequences_from_frame(frame, id) takes a frame "
            "apart"
        )
    elif hasattr(value, "dtype"):
        _refuse_tensor(value, what, name)


def has_shape(value) -> bool:
    """Return whether this is an array of some library; nested tensors of torch raise if asked for a shape."""
    try:
        return hasattr(value, "shape")
    except Exception:
        return False


def is_stored(value) -> bool:
    """Return whether this is an array in a file whose rows are read by index, as those of HDF5, zarr and netCDF4."""
    if isinstance(value, np.ndarray) or not has_shape(value) or not hasattr(value, "dtype"):
        return False
    if not hasattr(value, "__getitem__") or hasattr(value, "__dlpack__") or hasattr(value, "iloc") or not value.shape:
        return False  # tensors, whose slices are expensive, and frames are read at once
    try:
        np.dtype(value.dtype)
    except TypeError:  # a tensor of another library
        return False
    return True


def _refuse_tensor(value, what, name) -> None:
    """Refuse tensors of torch and the like, and sparse arrays; no library is imported for it."""
    if getattr(value, "requires_grad", False) is True:
        raise TypeError(
            f"expected {what} without a gradient of its own, which would end here, got {_kind(value)} that requires "
            f"grad; detach() it first: pass {name}.detach()"
        )
    if hasattr(value, "toarray") and _root(value) == "scipy":
        raise TypeError(f"expected {what} to be a dense array, got {_kind(value)}; pass {name}.toarray()")
    if _root(value) != "torch":
        return
    layout, dtype = str(getattr(value, "layout", "torch.strided")), str(value.dtype)
    if layout != "torch.strided":
        raise TypeError(f"expected {what} to be a dense array, got {_kind(value)} of {layout}; pass {name}.to_dense()")
    if getattr(value, "is_quantized", False):
        raise TypeError(
            f"expected {what} to hold real numbers, got {_kind(value)} of {dtype}; pass {name}.dequantize()"
        )
    if dtype == "torch.bfloat16" or dtype.startswith("torch.float8"):
        raise TypeError(f"expected {what} to be of a dtype that NumPy has, got {dtype}; pass {name}.float()")


def _unmasked(value, what) -> str:
    """Return the advice for a masked array."""
    if what == "x" or what.startswith("the input"):
        if value.ndim < 3:
            return "pass x.filled(0), or with what else stands for a missing value"
        axes = "-1" if value.ndim == 3 else str(tuple(range(2, value.ndim)))
        return f"pass x.filled(0) and mask=~x.mask.any(axis={axes}), which leaves out the steps"
    if what == "mask":
        return "pass mask.filled(False)"
    if what == "y":
        return "pass y.filled(0), with a sample_weight of 0 there"
    return f"pass {_name(what)}.filled(0)"


def _no_real_numbers(found, value, what) -> str:
    """Return the error message for a dtype that holds no real numbers."""
    name, dtype, kind = _name(what), found.dtype, found.dtype.kind
    expected = f"expected {what} to hold real numbers, got"
    if value is None:
        return f"{expected} None"
    if kind == "O" and not found.ndim and not isinstance(value, np.ndarray):
        return f"{expected} {_kind(value)}{_instead(value, name)}"
    if kind == "O" or kind in "USaT":
        if (column := _no_numbers_in(value)) is not None:
            return f"{expected} a column {column}; leave it out, or write its values in numbers"
        words = "" if what == "mask" else f"; np.unique({name}, return_inverse=True)[1] numbers words and classes"
    if kind == "c":
        return f"{expected} dtype {dtype}; pass {name}.real, {name}.imag or np.abs({name}), or let the step do so"
    if kind == "M":
        days = f"({name} - {name}.min()) / np.timedelta64(1, 'D')"
        return f"{expected} dtype {dtype}; pass the time in numbers, such as {days}"
    if kind == "m":
        return f"{expected} dtype {dtype}; pass the time in numbers, such as {name} / np.timedelta64(1, 'D')"
    if dtype.names:
        fields = ", ".join(dtype.names)
        stacked = f"np.lib.recfunctions.structured_to_unstructured({name})"
        return f"{expected} a structured dtype with the fields {fields}; stack these: pass {stacked}"
    if kind == "O":
        entries = list(found.flat)
        if any(has_shape(one) or isinstance(one, (list, tuple)) for one in entries):
            return f"{expected} an array of arrays; a list of sequences is list({name})"
        if any(one is None for one in entries):
            first = next(i for i, one in enumerate(entries) if one is None)
            place = [int(i) for i in np.unravel_index(first, found.shape)]
            return f"{expected} dtype object with None at {place}; leave it out, or put a number in its place"
        if entries and all(isinstance(one, str) for one in entries):
            return f"{expected} text such as {entries[0]!r}{words}"
        return f"{expected} dtype object; if it holds numbers, pass np.asarray({name}, np.float64)"
    if kind in "USaT":
        return f"{expected} text of dtype {dtype}; if that says numbers, pass np.asarray({name}, np.float64){words}"
    if dtype.type is not np.void:  # a library's own numbers, as jax's bfloat16
        return f"{expected} dtype {dtype}, which NumPy alone doesn't have; pass {name}.astype(np.float32)"
    return f"{expected} dtype {dtype}, bytes without a meaning"


def _unequal(value, what) -> str:
    """Return the description of lists that make no array, with advice."""
    if any(isinstance(one, tuple) and len(one) == 2 and hasattr(one[1], "columns") for one in value):
        return "pairs of a name and a frame; the frames alone are [frame for _, frame in x]"
    padded = "; rk.pad_sequences makes one array of sequences"
    shapes = list(dict.fromkeys(tuple(one.shape) for one in value if has_shape(one)))
    if len(shapes) > 1:
        return f"arrays of the shapes {shapes[0]} and {shapes[1]}{padded if shapes[0][1:] == shapes[1][1:] else ''}"
    return f"lists of different lengths{padded if what.isidentifier() else ', which are no steps of one sequence'}"


def _instead(value, name) -> str:
    """Return the advice for an object that is no array."""
    if hasattr(value, "collect"):
        return f"; pass {name}.collect()"
    if hasattr(value, "__next__"):
        return f"; a layer takes list({name}), fit an iterator of batches"
    if isinstance(value, (set, frozenset)):
        return ", which has no order; pass a list"
    if isinstance(value, dict):
        return ", which models of several inputs take, and cells that are classes of rk.Cell; pass one array"
    return ""


def _no_numbers_in(frame) -> str | None:
    """Return the first column of a frame that holds no numbers, with its dtype."""
    if not hasattr(frame, "columns") or not hasattr(frame, "dtypes"):
        return None
    for name, dtype in zip(frame.columns, frame.dtypes, strict=True):
        numeric = dtype.is_numeric() if hasattr(dtype, "is_numeric") else getattr(dtype, "kind", "O") in REAL
        if not numeric:
            return f"{name!r} of dtype {dtype}"
    return None


def _name(what) -> str:
    """Return the argument's name in the expressions of advice."""
    plain = what.partition("[")[0].isidentifier()
    return what if plain else "x" if what.startswith("the input") else "value"


def _root(value) -> str:
    """Return the library that an object's class comes from."""
    return type(value).__module__.partition(".")[0]


def _kind(value) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{_root(value)}'s {kind.__name__}"


def of_dask(value) -> bool:
    """Return whether this is a collection of Dask, or a delayed object; Dask isn't imported for it.

    >>> of_dask([1.0])
    False
    """
    return type(value).__module__.partition(".")[0] in ("dask", "dask_expr")
