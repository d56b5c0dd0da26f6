"""One call of a layer, checked and normalized, and its results: the interface between layers and executors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np


@dataclass(slots=True)
class Record:
    """Arrays and wishes of one call, in the layer's dtype.

    Attributes
    ----------
    x : ndarray (B, T, *features)
        On a GPU it may be a `DeviceArray`, and all results are such then; the other arrays may be of either kind.
        The feature axes are C-contiguous; batch and time may have any stride.
    states : tuple of ndarray (B, *shape)
        The initial states, never written to.
    weights : dict of str to ndarray
        To an executor that takes members they may have an axis more, of n sets for B / n rows each.
    mask : ndarray of bool (B, T), or None
    constants : tuple of ndarray (B, ...)
    draws : dict of str to ndarray (B, ...)
    reverse : bool
        Process the steps from T-1 to 0.
    zero_masked : bool
        Masked steps put out zeros rather than the held output.
    sequences, trajectory : bool
        Keep every output; keep every state.
    training : bool
    place : ndarray (B, T, *output), or None
        Where every output may be written, of any strides along batch and time; an executor that does gives it back.
    placed : dict of str or tuple to ndarray (B, T, size)
        What a gradient's programs read and keep besides: sequences in processing order, of any strides along batch
        and time.
    arranged : bool
        Masked rows stand as they are to be computed.
    abandoned : bool
        Set by an executor: a worker thread was abandoned and may still write to arrays in `placed`.
    failed : bool
        Set by an executor: a row failed at a step.
    rows, steps : sequence of int (B,) and (T,), or None
        Where rows and steps of x stand in the x of the layer's call, for errors that name them.
    stream : int
        The handle of the stream that a GPU's work stands in; 0 is the default one.
    """

    x: np.ndarray
    states: tuple[np.ndarray, ...]
    weights: dict[str, np.ndarray]
    mask: np.ndarray | None = None
    constants: tuple[np.ndarray, ...] = ()
    draws: dict[str, np.ndarray] = field(default_factory=dict)
    reverse: bool = False
    zero_masked: bool = False
    sequences: bool = True
    trajectory: bool = False
    training: bool = False
    place: np.ndarray | None = None
    placed: dict[object, np.ndarray] = field(default_factory=dict)
    arranged: bool = False
    abandoned: bool = False
    failed: bool = False
    rows: np.ndarray | None = None
    steps: Sequence[int] | None = None
    stream: int = 0

    def places(self) -> Sequence[int]:
        """Return the places of x's steps in the x of the layer's call."""
        return range(self.x.shape[1]) if self.steps is None else self.steps

    def part(self, start: int, after: int, states) -> Record:
        """Return the steps from `start` up to `after` in processing order, from these states on."""
        steps = self.x.shape[1]

        def cut(array):
            return None if array is None else array[:, start:after]

        at = slice(steps - after, steps - start) if self.reverse else slice(start, after)

        return replace(
            self,
            x=self.x[:, at],
            states=states,
            mask=None if self.mask is None else self.mask[:, at],
            steps=self.places()[at],
            place=cut(self.place),
            placed={name: cut(array) for name, array in self.placed.items()},
        )

    def turned(self) -> Record:
        """Return the same steps from the last to the first, with arrays in processing order."""
        return replace(
            self,
            x=self.x[:, ::-1],
            mask=None if self.mask is None else self.mask[:, ::-1],
            steps=self.places()[::-1],
            place=None if self.place is None else self.place[:, ::-1],
            placed={key: array[:, ::-1] for key, array in self.placed.items()},
        )


@dataclass(slots=True)
class Gradient:
    """The cotangents of all arrays that a call read.

    Attributes
    ----------
    x : ndarray (B, T, *features), or None where it wasn't wanted
        In the order of the record's x along time; 0 at masked steps.
    states, constants : tuple of ndarray (B, ...)
    weights : dict of str to ndarray
    """

    x: np.ndarray | None
    states: tuple[np.ndarray, ...]
    constants: tuple[np.ndarray, ...]
    weights: dict[str, np.ndarray]


@dataclass(slots=True)
class Result:
    """New arrays, in processing order along time.

    Attributes
    ----------
    outputs : ndarray (B, T, *output), or None
    last : ndarray (B, *output)
        The held output after the last processed step.
    states : tuple of ndarray (B, *shape)
        The states after the last processed step.
    trajectory : tuple of ndarray (B, T, *shape), or None
    pull : callable, or None
        ``pull(outputs, last, states, x=True)``, from cotangents of these (or None) to a `Gradient`, where it was asked
        for.
    nesting : Nesting, or None
        How the step's output is nested, with these constants.
    """

    outputs: np.ndarray | None
    last: np.ndarray
    states: tuple[np.ndarray, ...]
    trajectory: tuple[np.ndarray, ...] | None = None
    pull: Callable[..., Gradient] | None = None
    nesting: Any = None


class Executor(Protocol):
    """Executor of the calls of a step."""

    @property
    def how(self) -> str:
        """The way in which the step is compiled, in a word or two."""

    def run(self, record: Record) -> Result:
        """Return the results of one call."""

    def differentiate(self) -> GradientExecutor:
        """Return the executor of the same calls with their gradient.

        Raises
        ------
        ValueError
            If the step's gradient is not known.
        """

    def explain(self, source: bool = False, graph: bool = False) -> str:
        """Return how the step is compiled, and why; or its graph, the text that was compiled, or both."""


class GradientExecutor(Protocol):
    """Executor of the calls of a step with their gradient."""

    @property
    def programs(self) -> int:
        """The number of compiled programs, besides the step's own."""

    def vjp(self, record: Record, checkpoint=None, truncate=None) -> Result:
        """Return the results of one call, with `pull`."""

    def explain(self, source: bool = False, graph: bool = False) -> str:
        """As `Executor.explain`."""
