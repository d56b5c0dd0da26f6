"""Calls of a step's dual: their results, and the derivatives of these along a direction."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from rnnkit.backends.shared.call import Record, Result


@dataclass
class Tangents:
    """A direction for all arrays that a call reads; None is zeros.

    Attributes
    ----------
    x : ndarray (B, T, *features), or None
    states, constants : tuple of ndarray (B, …), or None
    weights, by_row : dict of str to ndarray
        Of weights, the same for all rows, or ``(B, *shape)``, one for each.
    """

    x: np.ndarray | None = None
    states: tuple[np.ndarray, ...] | None = None
    constants: tuple[np.ndarray, ...] | None = None
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    by_row: dict[str, np.ndarray] = field(default_factory=dict)

    def of(self, record: Record) -> Record:
        """Return the call of the dual that goes along these tangents."""
        from rnnkit.compiler.autodiff.forward import tangent_name  # with the compiler, where it is first needed

        states = tuple(map(np.zeros_like, record.states)) if self.states is None else self.states
        return replace(
            record,
            x=record.x if self.x is None else np.stack([record.x, self.x], axis=2),
            states=(*record.states, *states),
            constants=(
                *record.constants,
                *(self.constants or ()),
                *(self.by_row[name] for name in sorted(self.by_row)),
            ),
            weights=record.weights | {tangent_name(name): array for name, array in self.weights.items()},
        )

    @property
    def moved(self) -> frozenset[str]:
        """The names with a tangent: "x", "constants", the weights, and those by row as `row_tangent` says."""
        given = {"x": self.x, "constants": self.constants or None}
        return frozenset(
            (*self.weights, *map(row_tangent, self.by_row), *(name for name, one in given.items() if one is not None))
        )


def row_tangent(weight: str) -> str:
    """Return how a weight is named among what moves whose tangent is another one in each row."""
    return f"{weight}/by row"


def parted(result: Result) -> tuple[Result, Result]:
    """Return the results of a dual's call: those of the step, and their tangents."""
    count = len(result.states) // 2
    outputs = result.outputs
    return (
        Result(None if outputs is None else outputs[:, :, 0].copy(), result.last[:, 0].copy(), result.states[:count]),
        Result(None if outputs is None else outputs[:, :, 1].copy(), result.last[:, 1].copy(), result.states[count:]),
    )
