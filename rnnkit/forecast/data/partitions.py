"""Series in partitions, as Dask has them: which package answers for them."""

from __future__ import annotations

import importlib

from rnnkit.arrays import of_dask
from rnnkit.forecast.data import frames


def handler_of(y, module: str):
    """The module of `rnnkit.distributed`, by its name, that takes a user's series over; None for series in memory.

    Partitions are a collection of Dask, or a list of tables or of delayed ones. It is imported at the first such
    series.

    >>> handler_of([[1.0, 2.0], [3.0]], "panels") is None
    True
    """
    first = y[0] if isinstance(y, (list, tuple)) and len(y) else y
    if of_dask(first) or (first is not y and frames.is_frame(first)):
        return importlib.import_module(f"rnnkit.distributed.{module}")
    return None
