"""Arrays in the format of the package safetensors, whose metadata says what else there is.

The one entry of the metadata is a JSON text with the dtypes and shapes of all arrays, so that text and dates, which the
format hasn't, go as bytes; and with a checksum of it all.
"""

from __future__ import annotations

import json
import os
import zlib
from typing import Any

import numpy as np

from rnnkit.serialization.damage import FORMAT, Damaged, checked_format, checked_size, read_json

_ABOUT = "rnnkit"
# What NumPy has of the format's dtypes.
_DTYPES = {
    "BOOL": "bool",
    **{
        f"{letter}{bits}": f"{kind}{bits}" for letter, kind in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)
    },
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
}


def write(path, arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
    """Write the file.

    Raises
    ------
    ImportError
        Without safetensors.
    """
    save_file = _library().numpy.save_file
    little = {name: _as_tensor(array) for name, array in arrays.items()}
    said: dict[str, Any] = {
        "format": FORMAT,
        "arrays": {name: [array.dtype.newbyteorder("<").str, array.shape] for name, array in arrays.items()},
        "about": about,
    }
    text = json.dumps(said | {"checksum": _checksum(said, little)})
    save_file(little, path, metadata={_ABOUT: text})


def read(path) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """The arrays, and what the file says besides; None for that of a file that is another's.

    Raises
    ------
    ImportError
        Without safetensors.
    ValueError, safetensors.SafetensorError, …
        For a file that is damaged.
    """
    _check_header(path)
    with _library().safe_open(path, framework="numpy") as file:
        text = (file.metadata() or {}).get(_ABOUT)
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
    if text is None:
        return found, None
    said = checked_format(read_json(text))
    checksum, declared = said.pop("checksum", None), said["arrays"]
    if other := sorted(set(declared) ^ set(found)):
        raise Damaged(f"declares other arrays than it holds: {', '.join(other)}")
    ordered = {name: found[name] for name in declared}
    if _checksum(said, ordered) != checksum:
        raise Damaged("has another checksum than it says")
    return {name: _of_tensor(name, array, *declared[name]) for name, array in ordered.items()}, said["about"]


def _library():
    try:
        import safetensors
        import safetensors.numpy
    except ImportError:
        raise ImportError(
            "files in the format of safetensors need safetensors; install it with: pip install 'rnnkit[files]', or "
            "write to a path that ends in .npz"
        ) from None
    return safetensors


def _check_header(path) -> None:
    """Refuse what the library takes: a name that stands for two arrays."""
    with open(path, "rb") as file:
        length, there = int.from_bytes(file.read(8), "little"), os.path.getsize(path)
        if length + 8 > there:
            raise Damaged("is too short to hold what it declares")
        header = read_json(file.read(length))
    if not isinstance(header, dict):
        raise Damaged("has no header")
    header.pop("__metadata__", None)
    for name, one in header.items():
        if (dtype := one.get("dtype")) not in _DTYPES:
            raise Damaged(f"holds {name!r} as {dtype}, which NumPy doesn't have")


def _as_tensor(array: np.ndarray) -> np.ndarray:
    """An array in little-endian, C order; as bytes where the format has no such dtype."""
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
    return array if array.dtype.name in _DTYPES.values() else np.frombuffer(array.tobytes(), np.uint8)


def _of_tensor(name: str, tensor: np.ndarray, given, shape) -> np.ndarray:
    dtype = np.dtype(given)
    if dtype.hasobject:
        raise Damaged(f"holds objects as {name!r}")
    checked_size(name, dtype, shape, tensor.nbytes)
    return tensor.reshape(-1).view(dtype).reshape(shape)


def _checksum(said: dict[str, Any], arrays: dict[str, np.ndarray]) -> int:
    found = zlib.crc32(json.dumps(said).encode())
    for array in arrays.values():
        found = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, found)
    return found
