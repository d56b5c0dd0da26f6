"""Keras's files: the archive ``.keras`` and the arrays in ``.weights.h5``, read without Keras.

Nothing named in a file is imported, and no array is read that is larger than its stored size.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from rnnkit import allocation

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_PACKED = 16  # limit of an entry's size over the archive's, which Keras doesn't compress


@contextmanager
def errors_named(path) -> Iterator[None]:
    """Convert any error on reading a file to a `ValueError` that names the file and the cause."""
    try:
        with allocation.limited(os.path.getsize(path)):
            yield
    except (MemoryError, FileNotFoundError, IsADirectoryError, PermissionError, ImportError):
        raise
    except RecursionError:
        raise ValueError(f"{os.fspath(path)!r}: expected a Keras file, this one is nested too deep") from None
    except Exception as error:  # zipfile, json and HDF5 raise many kinds of errors
        cause = str(error) or type(error).__name__
        raise ValueError(f"{os.fspath(path)!r} can't be read as a Keras file: {cause}") from error


def is_archive(path) -> bool:
    """Return whether a file begins like a zip archive."""
    with open(path, "rb") as file:
        return file.read(4) == b"PK\x03\x04"


def read_archive(path) -> tuple[Any, bytes]:
    """Return the configuration in a ``.keras`` file, and the bytes of its weights; a ValueError for a damaged file."""
    limit = _PACKED * os.path.getsize(path)
    with zipfile.ZipFile(path) as archive:
        config = json.loads(_entry(archive, _CONFIG, limit))
        return config, _entry(archive, _WEIGHTS, limit)


def read_weights(path) -> bytes:
    """Return the bytes of the HDF5 file at `path`, or inside the ``.keras`` archive at `path`."""
    if is_archive(path):
        with zipfile.ZipFile(path) as archive:
            return _entry(archive, _WEIGHTS, _PACKED * os.path.getsize(path))
    with open(path, "rb") as file:
        return file.read()


def _entry(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    if name not in archive.namelist():
        raise ValueError(f"expected an entry {name!r} in it, as Keras 3 writes")
    if (size := archive.getinfo(name).file_size) > limit:
        raise ValueError(f"expected an entry {name!r} of at most {limit} bytes, got {size}")
    return archive.read(name)


class Arrays:
    """The arrays in the bytes of a ``.weights.h5`` file.

    Groups and arrays are reached by direct links only; arrays are stored whole in this file, and together they are no
    larger than the file. Other features of HDF5 (links to other files, filters, arrays declared but not stored) are not
    used by Keras, and are refused.
    """

    def __init__(self, content: bytes):
        self._file = _h5py().File(io.BytesIO(content), "r")
        self._left = len(content)

    def group(self, path: str) -> Any:
        """Return the group at a path, or None."""
        group = self._file
        for name in path.split("/") if path else ():
            group = self._linked(group, name)
            if group is None:
                return None
        if not isinstance(group, _h5py().Group):
            raise ValueError(f"expected a group {path!r}, got an array")
        return group

    def names(self, path: str) -> list[str]:
        group = self.group(path)
        return [] if group is None else list(group)

    def layer_name(self, path: str) -> str | None:
        """Return Keras's name of the layer at a path, or None in older files."""
        group = self.group(f"{path}/vars" if path else "vars")
        name = None if group is None else group.attrs.get("name")
        return name if isinstance(name, str) else None

    def read(self, path: str) -> list[np.ndarray]:
        """Return the variables of the layer or cell at a path, in order."""
        place = f"{path}/vars" if path else "vars"
        group, names = self.group(place), self.names(place)
        if sorted(names) != sorted(map(str, range(len(names)))):
            raise ValueError(f"expected arrays 0, 1 and so on in {place!r}, got {', '.join(names)}")
        return [self._array(self._linked(group, str(i)), f"{place}/{i}") for i in range(len(names))]

    def _linked(self, group, name: str):
        """Return an entry of a group, or None."""
        if name not in group:
            return None
        if not isinstance(group.get(name, getlink=True), _h5py().HardLink):
            raise ValueError(f"expected {name!r} in this file, got a link to elsewhere")
        return group[name]

    def _array(self, array, path: str) -> np.ndarray:
        if not isinstance(array, _h5py().Dataset):
            raise ValueError(f"expected an array at {path!r}, got a group")
        if array.dtype.kind != "f" or array.dtype.itemsize not in (2, 4, 8):
            raise ValueError(f"expected floating numbers at {path!r}, got {array.dtype}")
        if array.external or array.is_virtual or array.chunks is not None:
            raise ValueError(f"expected the array {path!r} stored in one piece, as Keras does")
        if array.id.get_storage_size() != array.nbytes or array.nbytes > self._left:
            raise ValueError(
                f"expected the {array.nbytes} bytes of the array {path!r} {array.shape}, which aren't there"
            )
        self._left -= array.nbytes
        return array[()]


def _h5py():
    try:
        import h5py
    except ImportError:
        raise ImportError("Keras files need h5py; install it with: pip install 'rnnkit[keras]'") from None
    return h5py
