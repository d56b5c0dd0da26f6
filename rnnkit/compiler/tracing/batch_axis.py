"""The batch axis while a step is traced: its length, which is no number, and what may not be done with it."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from contextvars import ContextVar


class Untraceable(TypeError):
    """The tracer can't read this; numba may compile it as it stands. The message says what to write instead."""


class AsksValues(Untraceable):
    """A function of SciPy asks an array for its values."""


class ReadsValues(Untraceable):
    """The step decides by the values of an array, in Python: a jitted step gets one row at a time."""


class MixesRows(ValueError):
    """The step lets one row of the batch see another."""


class LostWeight(ValueError):
    """The step uses a weight where no change of it arrives."""


class UsesLength(Untraceable):
    """The step makes something by the number of rows."""


class RowsDiffer(Untraceable):
    """The step makes an array by the number of rows, with other numbers in each: most likely random ones."""


# How many rows there are, while a step is traced that makes arrays by their number: one that no other axis has.
_rows: ContextVar[int | None] = ContextVar("rnnkit_rows", default=None)


@contextmanager
def rows_stand_for(number: int):
    """Give the batch size a number, so that ``np.zeros((x.shape[0], n))`` makes an array that can be told by it."""
    token = _rows.set(number)
    try:
        yield
    finally:
        _rows.reset(token)


def standing_rows() -> int | None:
    """The number that stands for the batch size, if one does."""
    return _rows.get()


def is_batch(number) -> bool:
    """Whether a length is the batch's."""
    return isinstance(number, BatchSize) or (_rows.get() is not None and number == _rows.get())


def batch_length() -> int:
    """The number that stands for the batch size, asked for by Python or NumPy."""
    if (number := _rows.get()) is not None:
        return number
    raise UsesLength(
        "the batch size was used as a number; write np.zeros_like, np.concatenate or np.where in place of a loop over "
        "rows or an array made by its length"
    )


class BatchSize:
    """The length of the batch axis: a step may hand it on, as in ``reshape``, but not compute with it."""

    def __repr__(self):
        return "batch"

    def __eq__(self, other):
        return isinstance(other, BatchSize) or self._operate("__eq__", other)

    __hash__ = object.__hash__

    def __index__(self):
        return batch_length()

    __int__ = __index__

    def _operate(self, name, *others):
        # NumPy's own code may, on the way to an array: np.tile multiplies, np.broadcast_to compares.
        if sys._getframe(2).f_globals.get("__name__", "").startswith("numpy."):
            return getattr(batch_length(), name)(*others)
        raise MixesRows("the batch size stands in arithmetic: a step sees rows that have nothing to do with each other")


for _name in (
    "float bool neg lt le gt ge add radd sub rsub mul rmul truediv rtruediv floordiv rfloordiv mod rmod pow rpow"
).split():
    _name = f"__{_name}__"
    setattr(BatchSize, _name, lambda self, *others, name=_name: self._operate(name, *others))
BATCH = BatchSize()
