"""Import of Dask."""

from __future__ import annotations

import importlib


def dask(module: str = "array"):
    """Import a module of dask; an ImportError explains the installation."""
    try:
        return importlib.import_module(f"dask.{module}")
    except ImportError:
        raise ImportError("rk.distributed needs dask; install it with: pip install 'rnnkit[dask]'") from None
