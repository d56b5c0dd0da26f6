"""Weights of any shapes as rows of one length, so that one step updates all of them."""

from __future__ import annotations

import numpy as np

from rnnkit.layers.support.row_gradient import RowGradient
from rnnkit.recording import current, put

LENGTH = 256  # numbers of a row: a weight's last row is filled up with zeros
_CHUNK = 256  # rows whose squares are added up at a time: they stay in the cache


class Rows:
    """Where each of some weights of one dtype stands in an array ``(count, LENGTH)``.

    Parameters
    ----------
    shapes : dict of str to tuple
        Shapes of the weights, by name.
    dtype : dtype
    """

    def __init__(self, shapes, dtype):
        self.shapes, self.dtype, self.count = dict(shapes), np.dtype(dtype), 0
        self.places: dict[str, slice] = {}
        self._numbers: dict[str, slice] = {}
        for name, shape in self.shapes.items():
            size = int(np.prod(shape, dtype=np.int64))
            rows = -(-size // LENGTH)
            self.places[name] = slice(self.count, self.count + rows)
            self._numbers[name] = slice(self.count * LENGTH, self.count * LENGTH + size)
            self.count += rows

    def zeros(self) -> np.ndarray:
        """A new array of rows."""
        return np.zeros((self.count, LENGTH), self.dtype)

    def views(self, rows) -> dict[str, np.ndarray]:
        """Each weight's part of an array of rows, in the weight's shape."""
        flat = rows.reshape(-1)
        return {name: flat[self._numbers[name]].reshape(shape) for name, shape in self.shapes.items()}

    def fill(self, views, arrays) -> None:
        """Put arrays into the `views` of rows."""
        for name, view in views.items():
            given = arrays[name]
            if isinstance(given, RowGradient):
                self._scatter(view, given)
            else:
                put(view, given)

    def _scatter(self, view, given):
        def fill():
            view[...] = 0
            view[given.ids] = given.rows

        fill()
        if (recording := current()) is not None:
            recording.note(fill, [], [view], draws=True)

    def squares(self, rows) -> dict[str, float]:
        """The sum of squares of each weight's part, in float64 and in one order."""
        found = {}
        for name, place in self.places.items():
            total = 0.0
            for first in range(place.start, place.stop, _CHUNK):
                chunk = rows[first : min(first + _CHUNK, place.stop)]
                total += float(np.sum(np.square(chunk, dtype=np.float64)))
            found[name] = total
        return found
