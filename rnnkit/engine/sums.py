"""The sums over rows and steps that the gradients of weights are made of."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from rnnkit.engine.gram import Gram


class Sums:
    """Sums that the steps of a call are added to.

    Parameters
    ----------
    compiled : OuterProducts
    wanted : list of rnnkit.compiler.autodiff.adjoint.Sum
    order : ndarray of int, or None
        Where the rows of the records stood before they were arranged.
    """

    def __init__(self, compiled, wanted, order):
        self.wanted, self.order = wanted, order
        self.grams: dict = {}
        alone = {s.b for s in wanted if s.a is None}
        for s in wanted:
            if s.a is not None and s not in self.grams:  # two kernels of one operand, added, have the same sum
                self.grams[s] = Gram(compiled, s.a.depth, s.b.depth, sums=s.b in alone)
                alone.discard(s.b)
        self.grams |= {s: Gram(compiled, 0, s.b.depth, sums=True) for s in wanted if s.a is None and s.b in alone}

    def add(self, part) -> None:
        """Add what these steps give."""
        rows, steps = part.x.shape[:2]
        used = None if part.mask is None else self._used(part.mask)
        for s, gram in self.grams.items():
            a, b = self._array(s.a or s.b, part), self._array(s.b, part)
            places = (s.a or s.b, a.strides[:2]), (s.b, b.strides[:2])
            if used is None:
                pairs = _all_pairs(*places, rows, steps, a.itemsize)
            else:
                pairs = _pairs(*places, *used, a.itemsize)
            gram.add(a, b, pairs, keep=part)

    def _used(self, mask):
        """Steps and rows that are used, in an order that no other order of the rows changes."""
        if self.order is None:
            return np.nonzero(mask.T)
        places = np.argsort(self.order)
        step, row = np.nonzero(mask[places].T)
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
        return [(rows[s.b] if s.a is None else self.grams[s].total[: s.a.depth]).reshape(s.shape) for s in self.wanted]


@lru_cache(maxsize=32)
def _all_pairs(a, b, rows, steps, itemsize) -> np.ndarray:
    """`_pairs` for every row of every step: it takes as long as a small sum."""
    return _pairs(a, b, *np.divmod(np.arange(steps * rows), rows), itemsize)


def _pairs(a, b, step, row, itemsize) -> np.ndarray:
    """Bytes from the starts of two arrays, each a place and strides, to their rows that belong together."""
    pairs = np.empty((len(step), a[0].rows, 2), np.int64)
    for i, (place, (along_rows, along_steps)) in enumerate((a, b)):
        inner = (place.offset + place.stride * np.arange(place.rows)) * itemsize
        np.add((row * along_rows + step * along_steps)[:, None], inner, out=pairs[:, :, i])
    return pairs.reshape(-1, 2)
