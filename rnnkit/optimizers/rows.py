"""Layout of weights of any shapes as rows of one length, so that one step updates all of them."""

from __future__ import annotations

import math

import numpy as np

from rnnkit.layers.support.row_gradient import RowGradient
from rnnkit.recording import operation

_LENGTHS = (32, 64, 128, 256)  # candidate lengths of rows; zeros pad a weight's last row
_ROW = 24  # cost of a row, in numbers
_CHUNK = 1 << 16  # numbers per partial sum, which fit in the cache


class Rows:
    """The layout of weights of one dtype, given by name and shape, in an array ``(count, length)``."""

    def __init__(self, shapes, dtype):
        self.shapes, self.dtype, self.count = dict(shapes), np.dtype(dtype), 0
        self.places: dict[str, slice] = {}
        sizes = [math.prod(shape) for shape in self.shapes.values()]
        self.length = min(_LENGTHS, key=lambda length: sum(-(-size // length) for size in sizes) * (length + _ROW))
        for name, size in zip(self.shapes, sizes, strict=True):
            rows = -(-size // self.length)
            self.places[name] = slice(self.count, self.count + rows)
            self.count += rows
        # A structured dtype with a field per weight makes many views quickly.
        row, fields = self.length * self.dtype.itemsize, [str(i) for i in range(len(self.shapes))]
        self._fields = dict(zip(self.shapes, fields, strict=True))
        self._layout = np.dtype(
            {
                "names": fields,
                "formats": [(self.dtype, shape) for shape in self.shapes.values()],
                "offsets": [place.start * row for place in self.places.values()],
                "itemsize": self.count * row,
            }
        )

    def zeros(self) -> np.ndarray:
        """Return a new array of rows."""
        return np.zeros((self.count, self.length), self.dtype)

    def views(self, rows) -> dict[str, np.ndarray]:
        """Return each weight's part of an array of rows, in the weight's shape."""
        whole = np.ndarray((), self._layout, rows)
        return {name: whole[field] for name, field in self._fields.items()}

    def fill(self, views, arrays) -> None:
        """Put arrays into the `views` of rows."""
        for name, view in views.items():
            given = arrays[name]
            if isinstance(given, RowGradient):
                self._scatter(view, given)
            elif given is not view:
                operation(np.copyto if given.dtype == view.dtype else _cast_into, view, given, writes=[view])

    def _scatter(self, view, given):
        def fill():
            view[...] = 0
            view[given.ids] = given.rows

        operation(fill, draws=True, writes=[view])

    def squares(self, rows) -> dict[str, float]:
        """Return the sum of squares of each weight's part, in float64 and in a fixed order."""
        found, at_once = {}, _CHUNK // self.length
        for name, place in self.places.items():
            total = 0.0
            for first in range(place.start, place.stop, at_once):
                chunk = rows[first : min(first + at_once, place.stop)]
                total += float(np.sum(np.square(chunk, dtype=np.float64)))
            found[name] = total
        return found


def _cast_into(view, given) -> None:
    with np.errstate(over="ignore"):  # an infinite gradient is found later
        view[...] = given
