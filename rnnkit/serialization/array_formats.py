"""The formats of files of arrays, and strict reading of them.

The zip archive, as of ``numpy.savez``, has the information in ``rnnkit.json``, and an entry ``name.npy`` per array.

Safetensors has a header in JSON, then the arrays' bytes, with the information in the metadata. The single entry of the
metadata is a JSON text with the dtypes and shapes of all arrays, so that text and dates, which the format lacks, can be
stored as bytes; and with a checksum of everything.
"""

from __future__ import annotations

import io
import json
import math
import os
import zipfile
import zlib
from typing import Any

import numpy as np

FORMAT = 1
_WIDEST = 32  # bytes of an entry; texts of empty arrays may not be wider


class Damaged(ValueError):
    """An error for a damaged file; the message follows "it"."""


def read_json(text: str | bytes) -> Any:
    """Read a JSON text without duplicate keys or NaN; a ValueError for other texts, or too deep nesting."""
    try:
        return json.loads(text, object_pairs_hook=_each_once, parse_constant=_refused)
    except RecursionError:
        raise Damaged("nests its values too deeply") from None


def _each_once(pairs):
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise Damaged(f"names {name!r} twice")
        found[name] = value
    return found


def _refused(number):
    raise Damaged(f"holds {number} where JSON has none")


def checked_format(said) -> dict[str, Any]:
    """Return the information that a file holds on itself, if its format is known."""
    if not isinstance(said, dict) or not isinstance(said.get("format"), int):
        raise Damaged("says nothing of itself that is known here")
    if said["format"] > FORMAT:
        raise Damaged(f"is of format {said['format']}, which a later rnnkit wrote; known here is {FORMAT}")
    if not isinstance(said.get("about"), dict) or not isinstance(said.get("arrays"), (list, dict)):
        raise Damaged("says of itself what no file of this format says")
    return said


def checked_size(name: str, dtype: np.dtype, shape, size: int) -> None:
    """Check that an array of this dtype and shape has `size` bytes."""
    if not all(isinstance(n, int) and n >= 0 for n in shape) or math.prod(shape) * dtype.itemsize != size:
        raise Damaged(f"declares {name!r} as {dtype} {tuple(shape)} and has {size} bytes of it")
    if not size and dtype.itemsize > _WIDEST:  # NumPy allocates one entry for empty arrays
        raise Damaged(f"declares {name!r}, which is empty, with entries of {dtype.itemsize} bytes")


# The zip archive


def write_npz(path, arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
    """Write the archive, uncompressed, with entries without dates."""
    text = json.dumps({"format": FORMAT, "arrays": list(arrays), "about": about})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("rnnkit.json"), text)
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def read_npz(path) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """Return the arrays and the information of an archive; various errors for one that `write_npz` did not write."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if "rnnkit.json" not in names:
            return {}, None
        if len(set(names)) < len(names):
            raise Damaged("holds two entries of one name")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise Damaged("is compressed, as no file of rnnkit is")
        if sum(entry.file_size for entry in entries) > os.path.getsize(path):
            raise Damaged("declares more bytes than it has")
        said = checked_format(read_json(archive.read("rnnkit.json")))
        return {name: _entry_array(name, archive.read(f"{name}.npy")) for name in said["arrays"]}, said["about"]


def _entry_array(name: str, entry: bytes) -> np.ndarray:
    """Return an entry's array; the checksum was compared on reading the whole entry."""
    text = io.BytesIO(entry)
    version = np.lib.format.read_magic(text)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(text)
    if dtype.hasobject:
        raise Damaged(f"holds objects as {name!r}")
    checked_size(name, dtype, shape, len(entry) - text.tell())
    text.seek(0)
    return np.lib.format.read_array(text, allow_pickle=False)


# Safetensors

# NumPy's equivalents of the format's dtypes.
_DTYPES = {
    "BOOL": "bool",
    **{
        f"{letter}{bits}": f"{kind}{bits}" for letter, kind in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)
    },
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
}


_LETTERS = {dtype: letters for letters, dtype in _DTYPES.items()}


def write_safetensors(path, arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
    """Write the file."""
    little = {name: _as_tensor(array) for name, array in arrays.items()}
    said: dict[str, Any] = {
        "format": FORMAT,
        "arrays": {name: [array.dtype.newbyteorder("<").str, array.shape] for name, array in arrays.items()},
        "about": about,
    }
    header: dict[str, Any] = {"__metadata__": {"rnnkit": json.dumps(said | {"checksum": _checksum(said, little)})}}
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


def read_safetensors(path) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """Return a file's arrays, and its information, None in others' files; various errors for a damaged file."""
    with open(path, "rb") as file:
        length, there = int.from_bytes(file.read(8), "little"), os.path.getsize(path)
        if length + 8 > there:
            raise Damaged("is too short to hold what it declares")
        header = read_json(file.read(length))
        if not isinstance(header, dict):
            raise Damaged("has no header")
        text = (header.pop("__metadata__", None) or {}).get("rnnkit")
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
