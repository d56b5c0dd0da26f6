"""Series in partitions of Dask: the choice of the module that handles them."""

from __future__ import annotations

import importlib

from rnnkit.arrays import of_dask
from rnnkit.forecast.data import frames


def handler_of(y, module: str):
    """Return the module of `rnnkit.distributed` that handles partitions of Dask, or a list of tables; None in memory.

    >>> handler_of([[1.0, 2.0], [3.0]], "panels") is None
    True
    """
    first = y[0] if isinstance(y, (list, tuple)) and len(y) else y
    if of_dask(first) or (first is not y and frames.is_frame(first)):
        return importlib.import_module(f"rnnkit.distributed.{module}")
    return None
