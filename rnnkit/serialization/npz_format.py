"""Arrays in a zip archive like that of ``numpy.savez``: ``rnnkit.json``, then an entry ``name.npy`` per array."""

from __future__ import annotations

import io
import json
import os
import zipfile
from typing import Any

import numpy as np

from rnnkit.serialization.damage import FORMAT, Damaged, checked_format, checked_size, read_json

_ABOUT = "rnnkit.json"


def write(path, arrays: dict[str, np.ndarray], about: dict[str, Any]) -> None:
    """Write the archive, uncompressed, with entries without dates."""
    text = json.dumps({"format": FORMAT, "arrays": list(arrays), "about": about})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(_ABOUT), text)
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def read(path) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """Return the arrays and the information of an archive; various errors for one that `write` did not write."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        names = [entry.filename for entry in entries]
        if _ABOUT not in names:
            return {}, None
        if len(set(names)) < len(names):
            raise Damaged("holds two entries of one name")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise Damaged("is compressed, as no file of rnnkit is")
        if sum(entry.file_size for entry in entries) > os.path.getsize(path):
            raise Damaged("declares more bytes than it has")
        said = checked_format(read_json(archive.read(_ABOUT)))
        return {name: _array(name, archive.read(f"{name}.npy")) for name in said["arrays"]}, said["about"]


def _array(name: str, entry: bytes) -> np.ndarray:
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
