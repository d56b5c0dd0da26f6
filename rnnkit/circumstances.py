"""The circumstances of a thread's calls: all that they depend on besides their layers and arguments."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import Any

import numpy as np


@dataclass(frozen=True, slots=True)
class Circumstances:
    """The settings that calls inside a context depend on."""

    recording: Any = None  # that notes them
    weights: dict[int, tuple[np.ndarray, np.ndarray]] | None = None  # by their ids, with those computed with instead
    is_frozen: bool = False  # whether an outer layer isn't trained
    stream: Any = None  # `rnnkit.layers.stream.Stream` that layers run for, which has the states that they start from
    mode: str | None = None  # how steps run, see `rnnkit.execution.execution`
    scope: str = ""  # the names of the layers that are built, as "model/block/"
    building: Any = None  # precision and generator of a cell that is built
    limit: Any = None  # of arrays that a file may ask for, see `rnnkit.allocation`


USUAL = Circumstances()
FROZEN = Circumstances(is_frozen=True)
_now: ContextVar[Circumstances] = ContextVar("rnnkit circumstances", default=USUAL)
circumstances = _now.get


@contextmanager
def within(**changes: Any) -> Iterator[None]:
    """Let the circumstances of this thread's calls inside be others."""
    token = _now.set(replace(_now.get(), **changes))
    try:
        yield
    finally:
        _now.reset(token)


def standing_in(pairs: Iterable[tuple[np.ndarray, np.ndarray]]):
    """Return a context in which layers compute with other weights: the second array of a pair for the first."""
    return within(weights={id(array): (array, other) for array, other in pairs})


def weights_now(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights of a layer, or the arrays that replace them."""
    others = _now.get().weights
    if others is None:
        return weights
    return {name: others.get(id(array), (None, array))[1] for name, array in weights.items()}
