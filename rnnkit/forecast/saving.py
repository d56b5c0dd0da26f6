"""Fitted forecasters on disk: arrays and JSON in one file, nothing of which is ever unpickled."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from rnnkit.layers.support.array_files import load_arrays, save_arrays


class Savable(Protocol):
    """What can be saved."""

    def _to_save(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays, and what else says all of a fitted forecaster, as JSON values."""


class Saved(NamedTuple):
    """What a file holds."""

    kind: str  # the class
    arrays: dict[str, np.ndarray]
    about: dict[str, Any]
    series: dict[str, Any]  # what it was fitted to, as the command says it; empty if the command did not write it
    half_width: np.ndarray | None  # (H,), of the 80 % band around the forecasts, where the model gives none of its own


def write(path, forecaster: Savable, series: Mapping[str, Any] | None = None, half_width=None) -> None:
    """Write a fitted forecaster to exactly `path`, which is replaced once the new file is complete."""
    arrays, about = forecaster._to_save()
    arrays = {f"model/{name}": array for name, array in arrays.items() if array is not None}
    if half_width is not None:
        arrays["half_width"] = half_width
    save_arrays(path, arrays, {"forecaster": type(forecaster).__name__, "model": about, "series": dict(series or {})})


def read(path, kind: str | None = None) -> Saved:
    """What `write` wrote.

    Parameters
    ----------
    path : str or os.PathLike
    kind : str, optional
        The class that it has to be of.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, another's, or holds something else.
    """
    arrays, about = load_arrays(path)
    found = about.get("forecaster")
    if found is None:
        raise ValueError(f"expected a file of a fitted forecaster; {os.fspath(path)!r} holds something else")
    if kind is not None and found != kind:
        raise ValueError(f"expected a file of a fitted {kind}; {os.fspath(path)!r} holds one of {found}")
    model = {name.removeprefix("model/"): array for name, array in arrays.items() if name.startswith("model/")}
    return Saved(found, model, about["model"], about["series"], arrays.get("half_width"))
