"""Arrays by name in one file, with JSON values beside them. Nothing in a file is ever unpickled.

A path that ends in ``.safetensors`` or ``.rnnkit`` is written in the format of safetensors, any other as
the zip archive that ``numpy.savez`` writes. Which of them a file is, its first bytes tell. Both say which version of
the format they are, and what they have to hold: a file in which a byte is another one is read as damaged, or else
holds what was written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit.serialization import npz_format, safetensors_format
from rnnkit.serialization.atomic_files import replacing
from rnnkit.serialization.damage import Damaged

SAFETENSORS = (".safetensors", ".rnnkit")
_KINDS = "biufcUSMm"  # of dtypes: numbers, booleans, text, dates


def save_arrays(path, arrays: Mapping[str, Any], about: Mapping[str, Any] | None = None) -> None:
    """Write arrays to exactly `path`, which is replaced once the new file is complete.

    Parameters
    ----------
    path : str or os.PathLike
        Its suffix says in which format.
    arrays : mapping of str to array_like
        Of numbers, booleans, text or dates; names may hold slashes. The same arrays give the same bytes.
    about : mapping, optional
        What else a reader has to know, as JSON values.

    Raises
    ------
    ValueError
        For an array of objects.
    FileNotFoundError, IsADirectoryError
        If there is no folder to write in, or `path` is one.
    """
    given = {name: np.asarray(values) for name, values in arrays.items()}
    for name, array in given.items():
        if array.dtype.kind not in _KINDS:
            raise ValueError(f"expected numbers, booleans or text to save as {name!r}, got an array of {_kind(array)}")
        if array.dtype.kind in "US" and not array.size:
            given[name] = array.astype(f"{array.dtype.kind}1")  # how wide nothing is doesn't matter
    write = (safetensors_format if Path(path).suffix in SAFETENSORS else npz_format).write
    with replacing(path) as beside:
        write(beside, given, dict(about or {}))


def _kind(array) -> str:
    return "objects" if array.dtype.hasobject else str(array.dtype)


def load_arrays(path) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """What `save_arrays` wrote, in either format.

    The memory that this takes is at most a few times the size of the file.

    Returns
    -------
    arrays : dict of str to ndarray
    about : dict

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, isn't rnnkit's, or is of a later format.

    Examples
    --------
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
    """As `load_arrays`, of any safetensors file; of one that others wrote, None stands for what it says of itself."""
    with open(path, "rb") as file:
        start = file.read(4)
    # A header's length comes first in the one format, and no header has the gigabytes that these letters would mean.
    read = (npz_format if start[:2] == b"PK" else safetensors_format).read
    try:
        return read(path)
    except MemoryError:
        raise
    except Exception as error:  # what readers raise for others' bytes is no short list
        told = f"it {error}" if isinstance(error, Damaged) else str(error)
        raise ValueError(
            f"expected a file that rnnkit wrote; {os.fspath(path)!r} is damaged or another's: {told}"
        ) from error


def below(path: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays whose names begin so, by the rest of their names."""
    return {name.removeprefix(path): array for name, array in arrays.items() if name.startswith(path)}
