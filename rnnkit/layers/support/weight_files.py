"""A layer's weights in a file."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnkit.layers.support.layer_tree import arrays_by_name, put_arrays
from rnnkit.layers.support.weight_mapping import complex_names, like
from rnnkit.serialization.array_files import below, read_arrays, save_arrays

WEIGHTS = "weights/"  # before names in the file of a whole layer


def save_weights(layer: Any, path, overwrite: bool = True) -> None:
    """Write a layer's weights, see `Layer.save_weights`."""
    check_built(layer, "its weights are saved")
    check_free(path, overwrite)
    names = sorted(complex_names(layer))
    about = {"weights of": type(layer).__name__} | ({"complex": names} if names else {})
    save_arrays(path, arrays_by_name(layer), about)


def load_weights(layer: Any, path, numbers: bool = True) -> None:
    """Replace a layer's weights by those in a file, see `Layer.load_weights`.

    Without `numbers`, those behind the names of layers may be others, as ``dense_3/kernel`` for ``dense_1/kernel``.
    """
    check_built(layer, "weights are loaded into it")
    found, about = read_arrays(path)
    if about is None and not found:
        raise ValueError(f"expected a file that rnnkit wrote; {os.fspath(path)!r} says nothing of itself")
    owner = "another library's" if about is None else about.get("weights of")
    if about is not None and "layer" in about:
        try:
            owner, found = about["layer"]["class_name"], below(WEIGHTS, found)
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"expected the file of a layer; {os.fspath(path)!r} says otherwise ({error})") from error
    if owner is None:
        raise ValueError(f"expected a file of a layer's weights, as save_weights writes it; {os.fspath(path)!r} isn't")
    known = arrays_by_name(layer)
    bare = [[re.sub(r"_\d+(?=/)", "", name) for name in names] for names in (known, found)]
    if not numbers and bare[0] == bare[1]:
        found = dict(zip(known, found.values(), strict=True))
    wrong = differences(known, found)
    if wrong:
        raise ValueError(
            f"expected weights of {layer.name!r} in {os.fspath(path)!r}, which holds those of {_a(owner)}: "
            + "; ".join(wrong)
        )
    put(layer, found)


def _a(owner: str) -> str:
    return owner if " " in owner else f"a {owner}"


def put(layer: Any, found: Mapping[str, np.ndarray], sparse=frozenset()) -> None:
    """Replace all weights of a layer by arrays of the same names and shapes."""
    new = {name: like(array, found[name], name) for name, array in arrays_by_name(layer).items()}
    put_arrays(layer, new, set(sparse))


def differences(arrays: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> list[str]:
    """Return the differences in names and shapes between a file's arrays and a layer's, in words."""
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
    return wrong + [
        f"{name} is of {found[name].dtype}, no real numbers"
        for name in arrays
        if name in found and found[name].dtype.kind not in "iuf" and found[name].dtype != arrays[name].dtype
    ]


def check_built(layer: Any, what: str) -> None:
    """Refuse a layer without weights."""
    if not layer.built:
        raise ValueError(
            f"expected the layer {layer.name!r} to be built before {what}; call build(input_shape) or the layer first"
        )


def check_free(path, overwrite: bool) -> None:
    """Refuse a path that exists already, unless it may be replaced."""
    if not overwrite and os.path.lexists(path):
        raise FileExistsError(f"{os.fspath(path)!r} is there already; save with overwrite=True to replace it")
