"""Calls of a step's dual: their results, and the derivatives of these along a direction."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

import numpy as np

from rnnkit.backends.shared.call import Record, Result

BY_ROW = 256  # numbers of a weight of which each row of a call may have a tangent of its own


@dataclass
class Tangents:
    """A direction for all arrays that a call reads; None is zeros.

    Attributes
    ----------
    x : ndarray (B, T, *features), or None
    states, constants : tuple of ndarray (B, …), or None
    weights, by_row : dict of str to ndarray
        Of weights, the same for all rows, or ``(n, *shape)``, for B / n rows each.
    times : int
        How many directions there are: the rows of the call stand so often one after another, and those of a direction
        go with each.
    """

    x: np.ndarray | None = None
    states: tuple[np.ndarray, ...] | None = None
    constants: tuple[np.ndarray, ...] | None = None
    weights: dict[str, np.ndarray] = field(default_factory=dict)
    by_row: dict[str, np.ndarray] = field(default_factory=dict)
    times: int = 1

    def of(self, record: Record) -> Record:
        """Return the call of the dual that goes along these tangents."""
        from rnnkit.compiler.autodiff.forward import tangent_name  # with the compiler, where it is first needed

        record = self._again(record)
        states = self.states
        if states is None:
            states = tuple(np.zeros_like(one) for one in record.states)
        return replace(
            record,
            x=record.x if self.x is None else np.stack([record.x, self.x], axis=2),
            states=(*record.states, *states),
            constants=(
                *record.constants,
                *(self.constants or ()),
                *(np.repeat(self.by_row[n], len(record.x) // len(self.by_row[n]), axis=0) for n in sorted(self.by_row)),
            ),
            weights=record.weights | {tangent_name(name): array for name, array in self.weights.items()},
        )

    def _again(self, record: Record) -> Record:
        if self.times == 1:
            return record

        def again(array):
            return None if array is None else np.concatenate([array] * self.times)

        return replace(
            record,
            x=again(record.x),
            mask=again(record.mask),
            states=tuple(map(again, record.states)),
            constants=tuple(map(again, record.constants)),
            draws={name: again(one) for name, one in record.draws.items()},
        )

    @property
    def moved(self) -> frozenset[str]:
        """The names with a tangent: "x", "constants", the weights, and those by row as `row_tangent` says."""
        given = {"x": self.x, "constants": self.constants or None}
        return frozenset(
            (*self.weights, *map(row_tangent, self.by_row), *(name for name, one in given.items() if one is not None))
        )


def together(several: list[Tangents], shared: Collection[str]) -> list[Tangents]:
    """Return directions of a call as one of its rows in turn; as they are if one of `shared` weights moves.

    Of such a weight, each row's own tangent would be too large.
    """
    first = several[0]
    if len(several) == 1 or not first.weights.keys().isdisjoint(shared):
        return several

    def chained(arrays):
        return None if arrays[0] is None else np.concatenate(arrays)

    def all_chained(nested):
        return None if nested[0] is None else tuple(map(np.concatenate, zip(*nested, strict=True)))

    return [
        Tangents(
            chained([one.x for one in several]),
            all_chained([one.states for one in several]),
            all_chained([one.constants for one in several]),
            by_row={name: np.stack([one.weights[name] for one in several]) for name in first.weights},
            times=len(several),
        )
    ]


def row_tangent(weight: str) -> str:
    """Return how a weight is named among what moves whose tangent is another one in each row."""
    return f"{weight}/by row"


def parted(result: Result, times: int = 1) -> tuple[Result, list[Result]]:
    """Return the results of a dual's call: those of the step, and their tangents along so many directions."""
    count, rows = len(result.states) // 2, len(result.last) // times

    def part(i, both, states):
        here = slice(i * rows, (i + 1) * rows)
        outputs = None if result.outputs is None else result.outputs[here, :, both].copy()
        return Result(outputs, result.last[here, both].copy(), tuple(one[here] for one in states))

    return part(0, 0, result.states[:count]), [part(i, 1, result.states[count:]) for i in range(times)]
