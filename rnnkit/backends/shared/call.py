"""One call of a layer, checked and normalized, and its results: the interface between layers and executors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np


def recording_of(array) -> Any:
    """Return the recording that notes what is done with an array, or None."""
    return getattr(array, "recording", None)


@dataclass(slots=True)
class Record:
    """Arrays and wishes of one call, in the layer's dtype; where x is a `DeviceArray`, all results are such, too."""

    x: np.ndarray  # (B, T, *features): features are C-contiguous, batch and time may have any stride
    states: tuple[np.ndarray, ...]  # (B, *shape): the initial ones, never written to
    weights: dict[str, np.ndarray]  # to an executor that takes members with an axis more, of n sets for B / n rows each
    mask: np.ndarray | None = None  # bool (B, T)
    constants: tuple[np.ndarray, ...] = ()  # (B, ...)
    draws: dict[str, np.ndarray] = field(default_factory=dict)  # (B, ...)
    reverse: bool = False  # process the steps from T-1 to 0
    zero_masked: bool = False  # masked steps put out zeros rather than the held output
    sequences: bool = True  # keep every output
    trajectory: bool = False  # keep every state
    training: bool = False
    # Where every output may be written, (B, T, *output); an executor that does gives it back.
    place: np.ndarray | None = None
    # What a gradient's programs read and keep besides, by name: (B, T, size) in processing order. As in `place`, batch
    # and time may have any stride.
    placed: dict[object, np.ndarray] = field(default_factory=dict)
    arranged: bool = False  # masked rows stand as they are to be computed
    abandoned: bool = False  # set by an executor: a thread was abandoned and may still write to arrays in `placed`
    failed: bool = False  # set by an executor: a row failed at a step
    rows: np.ndarray | None = None  # int (B,): places of the rows in x of the layer's call, for errors that name them
    steps: Sequence[int] | None = None  # (T,): the same of the steps
    stream: int = 0  # the handle of the stream that a GPU's work stands in; 0 is the default one
    recording: Any = field(default=None, init=False)  # that notes what is done with these arrays, if one does

    def __post_init__(self):
        self.recording = getattr(self.x, "recording", None)

    def runs_each_time(self, reason: str) -> None:
        """Say that no recording can repeat this call."""
        if self.recording is not None:
            self.recording.refuse(reason)

    def places(self) -> Sequence[int]:
        """Return the places of x's steps in the x of the layer's call."""
        return range(self.x.shape[1]) if self.steps is None else self.steps

    def part(self, start: int, after: int, states) -> Record:
        """Return the steps from `start` up to `after` in processing order, from these states on."""
        steps = self.x.shape[1]
        at = slice(steps - after, steps - start) if self.reverse else slice(start, after)
        return replace(self._cut(at, slice(start, after)), states=states)

    def turned(self) -> Record:
        """Return the same steps from the last to the first, with arrays in processing order."""
        return self._cut(slice(None, None, -1), slice(None, None, -1))

    def in_order(self) -> Record:
        """Return the same call with x and mask in processing order."""
        if not self.reverse:
            return self
        return replace(self._cut(slice(None, None, -1), slice(None)), reverse=False)

    def _cut(self, given: slice, processed: slice) -> Record:
        """Return the steps of a slice of x, which is another one in processing order."""
        mask = None if self.mask is None else self.mask[:, given]
        place = None if self.place is None else self.place[:, processed]
        placed = {name: array[:, processed] for name, array in self.placed.items()}
        return replace(self, x=self.x[:, given], mask=mask, steps=self.places()[given], place=place, placed=placed)


@dataclass(slots=True)
class Gradient:
    """The cotangents of all arrays that a call read."""

    x: np.ndarray | None  # (B, T, *features) in the order of the record's x, 0 at masked steps; None if it isn't wanted
    states: tuple[np.ndarray, ...]  # (B, ...)
    constants: tuple[np.ndarray, ...]  # (B, ...)
    weights: dict[str, np.ndarray]


@dataclass(slots=True)
class Result:
    """New arrays, in processing order along time."""

    outputs: np.ndarray | None  # (B, T, *output)
    last: np.ndarray  # (B, *output): the held output after the last processed step
    states: tuple[np.ndarray, ...]  # (B, *shape): those after the last processed step
    trajectory: tuple[np.ndarray, ...] | None = None  # (B, T, *shape)
    # pull(outputs, last, states, x=True), from cotangents of these (or None), where it was asked for
    pull: Callable[..., Gradient] | None = None
    nesting: Any = None  # a `Nesting`: how the step's output is nested, with these constants


class Executor(Protocol):
    """Executor of the calls of a step."""

    @property
    def how(self) -> str:
        """The way in which the step is compiled, in a word or two."""

    def run(self, record: Record) -> Result:
        """Return the results of one call."""

    def differentiate(self) -> GradientExecutor:
        """Return the executor of the same calls with their gradient; a ValueError if it is not known."""

    def explain(self, source: bool = False, graph: bool = False) -> str:
        """Return how the step is compiled, and why; or its graph, the text that was compiled, or both."""


class Differentiable:
    """A program that is perhaps a step's own: then `gradient` makes the executor of its gradient."""

    gradient: Callable[[Any], GradientExecutor] | None

    def differentiate(self) -> GradientExecutor:
        assert self.gradient is not None, "only a step's own program has a gradient"
        return self.gradient(self)


class GradientExecutor(Protocol):
    """Executor of the calls of a step with their gradient."""

    @property
    def programs(self) -> int:
        """The number of compiled programs, besides the step's own."""

    def vjp(self, record: Record, checkpoint=None, truncate=None) -> Result:
        """Return the results of one call, with `pull`."""

    def explain(self, source: bool = False, graph: bool = False) -> str:
        """As `Executor.explain`."""
