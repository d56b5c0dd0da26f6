"""Arrays by name in one file, and a layer's weights in such a file.

The file is a zip archive as ``numpy.savez`` writes it, an entry ``name.npy`` per array, so ``numpy.load`` reads it too;
``rnnkit.json`` before them says which version of the format it is and what has to be inside. Nothing in it is ever
unpickled.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from rnnkit.layers.support.weight_mapping import like
from rnnkit.serialization.atomic_files import replacing

if TYPE_CHECKING:
    from rnnkit.layers.base import Layer

FORMAT = 1
_ABOUT = "rnnkit.json"


def save_arrays(path, arrays: Mapping[str, np.ndarray], about: Mapping | None = None) -> None:
    """Write arrays to exactly `path`, which is replaced once the new file is complete.

    Parameters
    ----------
    path : str or os.PathLike
    arrays : mapping of str to array_like
        Of numbers, booleans or text; names may hold slashes. The same arrays give the same bytes.
    about : mapping, optional
        What else a reader has to know, as JSON values.

    Raises
    ------
    ValueError
        For an array of objects.
    FileNotFoundError, IsADirectoryError
        If there is no folder to write in, or `path` is one.
    """
    text = json.dumps({"format": FORMAT, "arrays": list(arrays), "about": dict(about or {})})
    with replacing(path) as beside, zipfile.ZipFile(beside, "w") as archive:
        archive.writestr(zipfile.ZipInfo(_ABOUT), text)
        for name, values in arrays.items():
            array = np.asarray(values)
            if array.dtype.hasobject:
                raise ValueError(f"expected numbers, booleans or text to save as {name!r}, got an array of objects")
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def load_arrays(path) -> tuple[dict[str, np.ndarray], dict]:
    """What `save_arrays` wrote.

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
    said, arrays = None, {}
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                if _ABOUT in archive.namelist():
                    said = json.loads(archive.read(_ABOUT))
                    if said["format"] <= FORMAT:
                        arrays = {name: _read(archive, name) for name in said["arrays"]}
        except MemoryError:
            raise
        except Exception as error:  # what zipfile, json and NumPy's reader raise for others' bytes is no short list
            raise ValueError(
                f"expected a file that rnnkit wrote; {os.fspath(path)!r} is damaged or another's"
            ) from error
    if said is None:
        raise ValueError(f"expected a file that rnnkit wrote; {os.fspath(path)!r} says nothing of itself")
    if said["format"] > FORMAT:
        raise ValueError(
            f"expected a file of format {FORMAT} or before; {os.fspath(path)!r} is of {said['format']}, "
            "which a later rnnkit wrote"
        )
    return arrays, said["about"]


def _read(archive, name) -> np.ndarray:
    entry = archive.read(f"{name}.npy")  # whole, so that zipfile compares the checksum
    return np.lib.format.read_array(io.BytesIO(entry), allow_pickle=False)


def save_weights(layer: Layer, path, overwrite: bool = True) -> None:
    """Write a layer's weights; `Layer.save_weights` says more."""
    if not layer._is_built():
        raise ValueError(
            f"expected the layer {layer.name!r} to be built before its weights are saved; "
            "call build(input_shape) or the layer first"
        )
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(f"{os.fspath(path)!r} is there already; save with overwrite=True to replace it")
    save_arrays(path, layer._arrays(), {"weights of": type(layer).__name__})


def load_weights(layer: Layer, path) -> None:
    """Replace a layer's weights by those in a file; `Layer.load_weights` says more."""
    if not layer._is_built():
        raise ValueError(
            f"expected the layer {layer.name!r} to be built before weights are loaded into it; "
            "call build(input_shape) or the layer first"
        )
    found, about = load_arrays(path)
    if "weights of" not in about:
        raise ValueError(f"expected a file of a layer's weights, as save_weights writes it; {os.fspath(path)!r} isn't")
    arrays = layer._arrays()
    wrong = []
    if missing := [name for name in arrays if name not in found]:
        wrong.append(f"it has no {', '.join(missing)}")
    if unexpected := [name for name in found if name not in arrays]:
        wrong.append(f"the layer has no {', '.join(unexpected)}")
    wrong += [
        f"{name} is of shape {found[name].shape}, the layer's of {array.shape}"
        for name, array in arrays.items()
        if name in found and found[name].shape != array.shape
    ]
    if wrong:
        raise ValueError(
            f"expected weights of {layer.name!r} in {os.fspath(path)!r}, which holds those of a {about['weights of']}: "
            + "; ".join(wrong)
        )
    layer._put_arrays({name: like(array, found[name], name) for name, array in arrays.items()})
