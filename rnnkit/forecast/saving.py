"""Fitted forecasters on disk: arrays and JSON in one file, nothing of which is ever unpickled."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from rnnkit.serialization.array_files import below, load_arrays, save_arrays


class Saved(NamedTuple):
    """What a file holds."""

    kind: str  # the class
    arrays: dict[str, np.ndarray]
    about: dict[str, Any]
    series: dict[str, Any]  # what it was fitted to, as the command says it; empty if the command did not write it
    half_width: np.ndarray | None  # (H,), of the 80 % band around the forecasts, where the model gives none of its own


def write(path, forecaster: Any, series: Mapping[str, Any] | None = None, half_width=None) -> None:
    """Write a fitted forecaster to exactly `path`, which is replaced once the new file is complete."""
    arrays, about = forecaster._to_save()
    arrays = {f"model/{name}": array for name, array in arrays.items() if array is not None}
    if half_width is not None:
        arrays["half_width"] = half_width
    save_arrays(path, arrays, {"forecaster": type(forecaster).__name__, "model": about, "series": dict(series or {})})


def read(path) -> Saved:
    """What `write` wrote; a ValueError for a file that is damaged, another's, or something else."""
    return of_file(path, *load_arrays(path))


def of_file(path, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> Saved:
    """What a file that was read says of a forecaster; a ValueError if it holds something else."""
    if not isinstance(about.get("forecaster"), str):
        raise ValueError(f"expected a file of a fitted forecaster; {os.fspath(path)!r} holds something else")
    return Saved(
        about["forecaster"],
        below("model/", arrays),
        about.get("model", {}),
        about.get("series", {}),
        arrays.get("half_width"),
    )
