"""Fitted forecasters on disk: arrays and JSON in one file, without pickles."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from rnnkit.serialization.array_files import below, load_arrays, save_arrays


class Saved(NamedTuple):
    """Contents of a file."""

    kind: str  # the class
    arrays: dict[str, np.ndarray]
    about: dict[str, Any]
    series: dict[str, Any]  # the fitted series as the command describes it; empty without the command


def write(path, forecaster: Any, series: Mapping[str, Any] | None = None) -> None:
    """Write a fitted forecaster to exactly `path`, which is replaced once the new file is complete."""
    arrays, about = forecaster._to_save()
    arrays = {f"model/{name}": array for name, array in arrays.items() if array is not None}
    save_arrays(path, arrays, {"forecaster": type(forecaster).__name__, "model": about, "series": dict(series or {})})


def read(path) -> Saved:
    """Read a file of `write`; a ValueError for a damaged or a foreign file."""
    return of_file(path, *load_arrays(path))


def of_file(path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> Saved:
    """Convert the contents of a file to `Saved`; a ValueError if it holds no forecaster."""
    if not isinstance(about.get("forecaster"), str):
        raise ValueError(f"expected a file of a fitted forecaster; {os.fspath(path)!r} holds something else")
    return Saved(about["forecaster"], below("model/", arrays), about.get("model", {}), about.get("series", {}))
