"""The batch axis while a step is traced: its length is no number, and most operations on it are refused."""

from __future__ import annotations

import sys


class Untraceable(TypeError):
    """Error of a step that the tracer can't read, though numba may compile it; it says what to write instead."""


class AsksValues(Untraceable):
    """A function of SciPy asks an array for its values."""


class ReadsValues(Untraceable):
    """Error of a step that decides by an array's values, in Python: a jitted step gets one row at a time."""


class MixesRows(ValueError):
    """Error of a step in which one row of the batch depends on another."""


class LostWeight(ValueError):
    """Error of a step that uses a weight in a way that later changes of the weight don't reach."""


class UsesLength(Untraceable):
    """Error of a step that makes something by the number of rows."""


class RowsDiffer(Untraceable):
    """Error of a step that makes an array by the number of rows, with different rows: most likely random ones."""


def is_batch(number, graph) -> bool:
    """Return whether a length is the batch's."""
    return isinstance(number, BatchSize) or (graph.rows is not None and number == graph.rows)


class BatchSize:
    """The length of the batch axis: a step may hand it on, as in ``reshape``, but not compute with it."""

    def __init__(self, graph):
        self.rows = graph.rows

    def __repr__(self):
        return "batch"

    def __eq__(self, other):
        return isinstance(other, BatchSize) or self._operate("__eq__", other)

    def __hash__(self):
        return hash(BatchSize)

    def __index__(self):
        if self.rows is None:
            raise UsesLength(
                "the batch size was used as a number; write np.zeros_like, np.concatenate or np.where in place of a "
                "loop over rows or an array made by its length"
            )
        return self.rows

    __int__ = __index__

    def _operate(self, name, *others):
        # NumPy's own code may, on the way to an array: np.tile multiplies, np.broadcast_to compares.
        if sys._getframe(2).f_globals.get("__name__", "").startswith("numpy."):
            return getattr(int(self), name)(*others)
        raise MixesRows("the batch size stands in arithmetic: a step sees rows that have nothing to do with each other")


for _name in (
    "float bool neg lt le gt ge add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow"
).split():
    _name = f"__{_name}__"
    setattr(BatchSize, _name, lambda self, *others, name=_name: self._operate(name, *others))
