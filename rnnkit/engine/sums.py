"""The sums over rows and steps that the gradients of weights are made of."""

from __future__ import annotations

import numpy as np

from rnnkit.engine.gram import Gram


class Sums:
    """Sums that the steps of a call are added to.

    Parameters
    ----------
    compiled : OuterProducts
    wanted : list of rnnkit.compiler.gradient.Sum
    order : ndarray of int, or None
        Where the rows of the records stood before they were arranged.
    """

    def __init__(self, compiled, wanted, order):
        self.wanted, self.order = wanted, order
        self.pairs: dict = {}
        self.grams: dict = {}
        alone = {s.b for s in wanted if s.a is None}
        for s in wanted:
            if s.a is not None:
                self.grams[s] = Gram(compiled, *s.shape, sums=s.b in alone)
                alone.discard(s.b)
        self.grams |= {s: Gram(compiled, 0, *s.shape, sums=True) for s in wanted if s.a is None and s.b in alone}

    def add(self, part) -> None:
        """Add what these steps give."""
        entries = None
        for s, gram in self.grams.items():
            a, b = self._array(s.a or s.b, part), self._array(s.b, part)
            key = s, part.x.shape[1], a.strides, b.strides
            pairs = self.pairs.get(key)
            if pairs is None:
                entries = self._entries(part) if entries is None else entries
                pairs = np.stack([_offsets(s.a or s.b, a, *entries), _offsets(s.b, b, *entries)], axis=1)
                if part.mask is None:
                    self.pairs[key] = pairs
            gram.add(a, b, pairs, keep=part)

    def _entries(self, part):
        """Steps and rows that are used, in an order that no other order of the rows changes."""
        rows, steps = part.x.shape[:2]
        if part.mask is None:
            return np.divmod(np.arange(steps * rows), rows)
        if self.order is None:
            return np.nonzero(part.mask.T)
        places = np.argsort(self.order)
        step, row = np.nonzero(part.mask[places].T)
        return step, places[row]

    @staticmethod
    def _array(place, part) -> np.ndarray:
        """The array that a place is in, ``(B, T, …)`` with the rest contiguous."""
        if place.source == "x":
            return part.x
        name = place.source, place.key
        return part.placed["write", name] if place.source == "own" else part.placed[name]

    def totals(self) -> list[np.ndarray]:
        """The finished sums, in order."""
        rows = {s.b: gram.total[-1] for s, gram in self.grams.items() if gram.sums}
        return [rows[s.b] if s.a is None else self.grams[s].total[: s.shape[0]] for s in self.wanted]


def _offsets(place, array, step, row) -> np.ndarray:
    """Bytes from the start of an array to each of a place's rows."""
    inner = (place.offset + place.stride * np.arange(place.rows)) * array.itemsize
    return ((row * array.strides[0] + step * array.strides[1])[:, None] + inner).reshape(-1)
