"""Many series through one recurrence: several per row of a batch, grouped by length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from rnnkit.layers.rnn import RNN

WIDTH = 64  # series per row of the batch, a multiple of the vector size; rows are filled up, so that results don't vary
_KEPT = 4  # groups of series whose values are kept as they were laid out
_LONGER = 1.25  # the greatest ratio of lengths in a call; NaN pads the shorter series
_PADDED = 2**16  # steps of padding in all that take less time than one more call


@lru_cache(maxsize=16)
def _layer(make: Callable, settings: tuple) -> RNN:
    return RNN(make(series=WIDTH, **dict(settings)), return_sequences=True, dtype="float64")


class SideBySide:
    """A runner of series of any lengths through a cell whose rows hold several series each.

    ``make(series=…, **settings)`` is the cell, see `rnnkit.cells.smoothing`. Values ``(N, T)`` are NaN where unknown;
    `lengths` ``(N,)`` are the series' numbers of steps.
    """

    def __init__(self, make: Callable, values: np.ndarray, lengths: np.ndarray, **settings):
        self._make, self._settings = make, tuple(settings.items())
        self.values, self.lengths = values, np.asarray(lengths)
        self._kept: dict[bytes, np.ndarray] = {}  # values as they were laid out last, which searches read many times

    def run(self, rows: np.ndarray, constants: np.ndarray, states: Sequence[np.ndarray]) -> np.ndarray:
        """Return the outputs ``(R, T)`` of series; `constants` are ``(R, C)`` and `states` ``(R, *shape)``."""
        outputs = np.full((len(rows), self.values.shape[1]), np.nan)
        for places in self._groups(rows):
            layer, x, given, start = self._laid_out(rows[places], constants[places], [s[places] for s in states])
            found = _apart(layer(x, constants=[given], initial_state=start), len(places))
            outputs[places, : found.shape[1]] = found
        return outputs

    def differentiate(self, rows, constants, states, loss: Callable):
        """Return losses ``(R,)``, and their gradients by constants ``(R, C)`` and by each state ``(R, *shape)``.

        ``loss(x, outputs)``, of ``(B, T, W)``, gives losses ``(B, W)`` and their gradients by the outputs.
        """
        losses, d_constants = np.empty(len(rows)), np.empty(constants.shape)
        d_states = [np.empty(s.shape) for s in states]
        for places in self._groups(rows):
            layer, x, given, start = self._laid_out(rows[places], constants[places], [s[places] for s in states])
            outputs, pullback = layer.vjp(x, constants=[given], initial_state=start)
            found, d_outputs = loss(x, outputs)
            gradient, count = pullback(d_outputs), len(places)
            losses[places] = _apart(found, count)
            d_constants[places] = _apart(gradient.constants[0], count)
            for whole, part in zip(d_states, gradient.initial_state, strict=True):
                whole[places] = _apart(part, count)
        return losses, d_constants, d_states

    def _groups(self, rows) -> list[np.ndarray]:
        """Return groups of indices in `rows` of series that run together."""
        order = np.argsort(self.lengths[rows], kind="stable")
        lengths, groups, first = self.lengths[rows][order], [], 0
        while first < len(order):
            most = max(_LONGER * lengths[first], lengths[first] + _PADDED / (len(order) - first))
            after = int(np.searchsorted(lengths, most, side="right"))
            after = max(after, first + WIDTH)  # fewer would be padded to a whole row anyway
            groups.append(order[first:after])
            first = after
        return groups

    def _laid_out(self, rows, constants, states):
        key = rows.tobytes()
        if key not in self._kept:
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[key] = _together(self.values[rows, : int(self.lengths[rows].max())])
        given, *start = map(_together, (constants, *states))
        return _layer(self._make, self._settings), self._kept[key], given, start


def steps_of(values: np.ndarray, lengths: np.ndarray, h: int | None) -> np.ndarray:
    """Return the h steps after the ends of series ``(N, T)``, or all steps of theirs without `h`."""
    return np.broadcast_to(np.arange(values.shape[1]), values.shape) if h is None else lengths[:, None] + np.arange(h)


def outputs(make: Callable, values, lengths, h: int | None, constants, states, **settings) -> np.ndarray:
    """Return the outputs of `SideBySide` at `steps_of` the series."""
    longer = np.concatenate([values, np.full((len(values), h or 0), np.nan)], axis=1)
    series = SideBySide(make, longer, lengths + (h or 0), **settings)
    run = series.run(np.arange(len(values)), constants, states)
    return np.take_along_axis(run, steps_of(values, lengths, h), axis=1)


def _together(array: np.ndarray) -> np.ndarray:
    """Reshape ``(R, …)`` to ``(B, …, W)``; copies of the last series fill the last row."""
    count = -(-len(array) // WIDTH)
    filled = array[np.minimum(np.arange(count * WIDTH), len(array) - 1)]
    filled = filled.reshape(count, WIDTH, *array.shape[1:])
    return np.ascontiguousarray(filled.transpose(0, *range(2, filled.ndim), 1))


def _apart(array: np.ndarray, count: int) -> np.ndarray:
    """Reshape ``(B, …, W)`` to ``(R, …)``."""
    array = array.transpose(0, -1, *range(1, array.ndim - 1))
    return array.reshape(-1, *array.shape[2:])[:count]
