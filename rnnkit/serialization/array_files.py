"""Arrays by name in one file, with JSON values beside them, without pickles.

A path that ends in ``.safetensors`` or ``.rnnkit`` is written in the format of safetensors, any other as the zip
archive of ``numpy.savez``. The first bytes of a file tell its format. Both hold the format's version, a list of the
arrays, and checksums: a file with a changed byte is read as damaged, or else has the original values.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit.serialization import array_formats
from rnnkit.serialization.atomic_files import replacing

SAFETENSORS = (".safetensors", ".rnnkit")
_KINDS = "biufcUSMm"  # of dtypes: numbers, booleans, text, dates


def save_arrays(path, arrays: Mapping[str, Any], about: Mapping[str, Any] | None = None) -> None:
    """Write arrays to exactly `path`, which is replaced once the new file is complete; its suffix says the format.

    The arrays are of numbers, booleans, text or dates, else there is a ValueError; names may hold slashes. `about` is
    other information for a reader, as JSON values. The same arrays give the same bytes. A missing folder is a
    FileNotFoundError, a folder at `path` an IsADirectoryError.
    """
    given = {name: np.asarray(values) for name, values in arrays.items()}
    for name, array in given.items():
        if array.dtype.kind not in _KINDS:
            kind = "objects" if array.dtype.hasobject else array.dtype
            raise ValueError(f"expected numbers, booleans or text to save as {name!r}, got an array of {kind}")
        if array.dtype.kind in "US" and not array.size:
            given[name] = array.astype(f"{array.dtype.kind}1")  # the width of empty arrays doesn't matter
    write = array_formats.write_safetensors if Path(path).suffix in SAFETENSORS else array_formats.write_npz
    with replacing(path) as beside:
        write(beside, given, dict(about or {}))


def load_arrays(path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Load the arrays of `save_arrays`, in either format, and what the file says of itself.

    The memory used is at most a few times the size of the file. A ValueError refuses a file that is damaged, isn't
    rnnkit's, or is of a later format.

    >>> import os, tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = os.path.join(folder.name, "state")
    >>> save_arrays(path, {"moments/kernel": [1.0, 2.0]}, {"iterations": 7})
    >>> load_arrays(path)
    ({'moments/kernel': array([1., 2.])}, {'iterations': 7})
    >>> folder.cleanup()
    """
    arrays, about = read_arrays(path)
    if about is None:
        raise ValueError(f"expected a file that rnnkit wrote; {os.fspath(path)!r} says nothing of itself")
    return arrays, about


def read_arrays(path) -> tuple[dict[str, np.ndarray], dict[str, Any] | None]:
    """Read a file as `load_arrays`, or any safetensors file; the information is None for files of other programs."""
    with open(path, "rb") as file:
        start = file.read(4)
    # Safetensors starts with a header's length, which is never the gigabytes that these letters would mean.
    read = array_formats.read_npz if start[:2] == b"PK" else array_formats.read_safetensors
    try:
        return read(path)
    except MemoryError:
        raise
    except Exception as error:  # readers raise many kinds of errors
        told = f"it {error}" if isinstance(error, array_formats.Damaged) else str(error)
        raise ValueError(
            f"expected a file that rnnkit wrote; {os.fspath(path)!r} is damaged or another's: {told}"
        ) from error


def below(path: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays with this prefix of their names, by the rest of the names."""
    return {name.removeprefix(path): array for name, array in arrays.items() if name.startswith(path)}
