"""Series and frames of pandas and polars: their numbers, and results with the same index."""

from __future__ import annotations

import functools
import sys
from typing import Any

import numpy as np

from rnnkit.arrays import REAL, real


def library_of(value) -> Any:
    """Return the module of pandas or polars of a Series or DataFrame, or None, without importing either."""
    kind: Any = type(value)
    return _library_of(kind)


@functools.lru_cache(64)
def _library_of(kind):
    for name in ("pandas", "polars"):
        module = sys.modules.get(name)
        if module is not None and issubclass(kind, (module.Series, module.DataFrame)):
            return module
    return None


def numbers(table, library, what: str) -> np.ndarray:
    """Return the array ``(T,)`` of a Series, or ``(T, F)`` of a frame; a TypeError names a non-numeric column."""
    is_series = library.__name__ == "pandas" and isinstance(table, library.Series)
    found = getattr(table, "_values", None) if is_series else None  # as to_numpy takes as long as a short loop
    found = found if type(found) is np.ndarray else table.to_numpy()
    return found if found.dtype.kind in REAL else real(table, what)


def alike(array: np.ndarray, table, library) -> Any:
    """Return an array ``(T,)`` as a Series, any other as a frame, with the index and the names of the original."""
    from_series, index = isinstance(table, library.Series), table.index if library.__name__ == "pandas" else None
    if array.ndim > 1:
        names = table.columns if table.shape == array.shape else None
        flat = array.reshape(len(array), -1)
        return library.DataFrame(flat, names) if index is None else library.DataFrame(flat, index, names)
    if index is None:  # of polars
        return library.Series(table.name if from_series else "", array)
    return _series(array, table) if from_series else library.Series(array, index)


def _series(array, like):
    """Return a Series with the index and the name of another."""
    try:  # pandas's own fast path, as the checks of the constructor cost more than a short loop
        manager = type(like._mgr).from_array(array, like.index)
        found = like._constructor_from_mgr(manager, manager.axes)
        found._name = like._name
        return found
    except AttributeError:  # in other versions of pandas
        return type(like)(array, index=like.index, name=like.name)
