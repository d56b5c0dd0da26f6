"""Fitted forecasters on disk: arrays and JSON in one file, nothing of which is ever unpickled."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Self, TypeVar

import numpy as np

from rnnkit.layers.support.model_files import making
from rnnkit.serialization.array_files import below, load_arrays, save_arrays

Kind = TypeVar("Kind", bound="Savable")


class Savable:
    """A forecaster that can be written to a file, and read back."""

    def save(self, path: Any) -> None:
        """Write the fitted forecaster to a file, whole or not at all.

        Parameters
        ----------
        path : str or os.PathLike
            Written exactly there. A suffix ``.rnnkit`` asks for the format of safetensors, any other for that of
            ``numpy.savez``.

        Raises
        ------
        ValueError, RuntimeError
            Before `fit`.
        """
        write(path, self)

    @classmethod
    def load(cls, path: Any) -> Self:
        """Load a forecaster that `save` wrote: it forecasts the same bits, and goes on from where it was.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is damaged, another's, or holds another kind of model.
        """
        saved = read(path)
        if saved.kind != cls.__name__:
            raise ValueError(
                f"expected a file of a fitted {cls.__name__}; {os.fspath(path)!r} holds one of {saved.kind}"
            )
        return restored(path, saved, cls)

    def __str__(self) -> str:
        return str(self._card())

    def _repr_html_(self) -> str:
        from rnnkit.cards_html import page

        return page(self._card())

    def _card(self):
        """What ``print`` and a notebook show."""
        from rnnkit.cards import Card, parts_of, told

        parts, facts = self._shown_parts(), {name: told(tell) for name, tell in self._facts().items()}
        inside = parts_of(parts, lambda path, depth: parts[path]._card(depth), 0)
        return Card(type(self).__name__, "", told(lambda: repr(self)), facts, self._shares(), inside)

    def _facts(self) -> dict[str, Callable[[], str]]:
        """What is shown besides the settings."""
        return {}

    def _shown_parts(self) -> dict[str, Any]:
        """The layers of a fitted one, by what they are called."""
        return {}

    def _shares(self):
        """A table of what a fitted one is made of, None where it is of one piece."""
        return None

    def _to_save(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Arrays, and what else says all of a fitted forecaster, as JSON values."""
        raise NotImplementedError

    @classmethod
    def _of_saved(cls, saved: Saved) -> Self:
        """The forecaster of what `_to_save` gave."""
        raise NotImplementedError


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


def restored(path, saved: Saved, kind: type[Kind]) -> Kind:
    """The forecaster of what was read; a ValueError if the file says or holds what doesn't go together."""
    with making(path):
        return kind._of_saved(saved)
