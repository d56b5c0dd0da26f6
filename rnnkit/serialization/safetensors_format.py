"""Arrays in the format safetensors: a header in JSON, then their bytes, with information in the metadata.

The single entry of the metadata is a JSON text with the dtypes and shapes of all arrays, so that text and dates, which
the format lacks, can be stored as bytes; and with a checksum of everything.
"""

from __future__ import annotations

import json
import os
import zlib
from typing import Any

import numpy as np

from rnnkit.serialization.damage import FORMAT, Damaged, checked_format, checked_size, read_json

_ABOUT = "rnnkit"
# NumPy's equivalents of the format's dtypes.
_DTYPES = {
    "BOOL": "bool",
    **{
        f"{letter}{bits}": f"{kind}{bits}" for letter, kind in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)
    },
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
}


_LETTERS = {dtype: letters for letters, dtype in _DTYPES.items()}


def write(path, arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
    """Write the file."""
    little = {name: _as_tensor(array) for name, array in arrays.items()}
    said: dict[str, Any] = {
        "format": FORMAT,
        "arrays": {name: [array.dtype.newbyteorder("<").str, array.shape] for name, array in arrays.items()},
        "about": about,
    }
    header: dict[str, Any] = {"__metadata__": {_ABOUT: json.dumps(said | {"checksum": _checksum(said, little)})}}
    ordered = sorted(little, key=lambda name: -little[name].itemsize)  # so that each array is aligned
    end = 0
    for name in ordered:
        array, start = little[name], end
        end += array.nbytes
        header[name] = {"dtype": _LETTERS[array.dtype.name], "shape": array.shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in ordered:
            file.write(little[name].reshape(-1).view(np.uint8).data)


def read(path) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """Return a file's arrays, and its information, None in others' files; various errors for a damaged file."""
    with open(path, "rb") as file:
        length, there = int.from_bytes(file.read(8), "little"), os.path.getsize(path)
        if length + 8 > there:
            raise Damaged("is too short to hold what it declares")
        header = read_json(file.read(length))
        if not isinstance(header, dict):
            raise Damaged("has no header")
        text = (header.pop("__metadata__", None) or {}).get(_ABOUT)
        declared = _checked(header, there - 8 - length)
        found = {name: np.empty(shape, dtype) for name, (dtype, shape) in declared.items()}
        for array in found.values():
            file.readinto(array.reshape(-1).view(np.uint8).data)
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


def _checked(header: dict[str, Any], size: int) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Return dtypes and shapes in the order of the bytes; each byte belongs to one array."""
    found, end = {}, 0
    for name, one in sorted(header.items(), key=lambda pair: pair[1]["data_offsets"]):
        if one["dtype"] not in _DTYPES:
            raise Damaged(f"holds {name!r} as {one['dtype']}, which NumPy doesn't have")
        dtype, (start, stop) = np.dtype(_DTYPES[one["dtype"]]).newbyteorder("<"), one["data_offsets"]
        checked_size(name, dtype, one["shape"], stop - start)
        if start != end:
            raise Damaged(f"doesn't hold {name!r} behind the array before it")
        found[name], end = (dtype, tuple(one["shape"])), stop
    if end != size:
        raise Damaged("holds other bytes than it declares")
    return found


def _as_tensor(array: np.ndarray) -> np.ndarray:
    """Return an array in little-endian, C order; as bytes if the format lacks the dtype."""
    array = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).reshape(array.shape)
    return array if array.dtype.name in _LETTERS else np.frombuffer(array.tobytes(), np.uint8)


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
