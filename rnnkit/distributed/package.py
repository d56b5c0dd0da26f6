"""Dask, which all of this package needs."""

from __future__ import annotations

import importlib


def dask(module: str = "array"):
    """A module of dask; an ImportError says how to install it."""
    try:
        return importlib.import_module(f"dask.{module}")
    except ImportError:
        raise ImportError("rk.distributed needs dask; install it with: pip install 'rnnkit[dask]'") from None
