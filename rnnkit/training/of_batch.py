"""Objectives of losses that may return one number for a batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rnnkit import losses
from rnnkit import targets as entries
from rnnkit.execution.array_functions import TracedFunction
from rnnkit.layers.support import validation
from rnnkit.training.objective import Objective, Part

_KINDS = 16  # shapes of batches whose graphs are kept


class OfBatch:
    """Loss by a function ``(y_true, y_pred)`` that may return one number for a batch, as the root of a mean."""

    def __init__(self, function: Callable, name: str | None = None):
        self.function, self.name = function, name or losses.name_of(function)

    def __call__(self, y_true, y_pred):
        """Return the function's value."""
        return self.function(y_true, y_pred)


class BatchObjective(Objective):
    """The objective of an `OfBatch`: a number for a batch counts as the loss of each of its rows.

    So the loss of an epoch is the mean over batches, weighted by their numbers of rows. A loss of rows or steps is
    treated as by `Objective`.

    Examples
    --------
    >>> loss = OfBatch(lambda y_true, y_pred: np.sqrt(np.mean(np.square(y_pred - y_true))))
    >>> part = BatchObjective(loss)(np.zeros((2, 1)), np.array([[3.0], [4.0]]))
    >>> round(part.total / part.count, 4), part.pull(1 / part.count).round(4).tolist()
    (3.5355, [[0.4243], [0.5657]])
    """

    loss: OfBatch

    def __init__(self, loss):
        super().__init__(loss)
        self._is_number: dict[tuple, bool] = {}
        self._traced: dict[tuple, TracedFunction] = {}

    def __reduce__(self):
        return BatchObjective, (self.loss,)

    def __call__(self, y_true, y_pred, mask=None, sample_weight=None, gradient=True) -> Part:
        """Return the loss of a batch, as an `Objective`; a ValueError for one number with a mask or with weights."""
        own, predicted = entries.aligned(y_true, y_pred)
        if not self._gives_number(own, predicted):
            return super().__call__(y_true, y_pred, mask, sample_weight, gradient)
        used = entries.used_steps(mask, predicted.shape)
        if used is not None or sample_weight is not None:
            what = "weights" if used is None else "a mask of steps"
            raise ValueError(
                f"the loss {self.name!r} gives one number for a batch, to which {what} can't be applied; return one "
                "for each row or step, with axis=-1"
            )
        dtype, rows = validation.precision_of(predicted), len(predicted)
        arrays = [own.astype(dtype), predicted.astype(dtype)]
        traced = self._function(arrays, dtype)
        total = float(traced(arrays)[0]) * rows
        part = Part(np.array([total, rows]))
        if gradient:
            part.cotangent = traced.pull(arrays, [np.array(rows, dtype)])[1].reshape(np.shape(y_pred))
        return part

    def is_of_batch(self, y_true, y_pred) -> bool:
        """Return whether the loss is one number for a batch, rather than one for each row or step."""
        return self._gives_number(*entries.aligned(y_true, y_pred))

    def _gives_number(self, y_true, y_pred) -> bool:
        key = y_true.shape[1:], y_pred.shape[1:]
        if key not in self._is_number:
            rng = np.random.default_rng(0)
            given = (rng.uniform(0.05, 0.95, (2, *shape)) for shape in key)
            try:
                with np.errstate(all="ignore"):
                    self._is_number[key] = not np.ndim(self.loss(*given))
            except Exception:  # an objective says what is wrong with it
                return False
        return self._is_number[key]

    def _function(self, arrays, dtype) -> TracedFunction:
        key = (*(one.shape for one in arrays), dtype)
        if key not in self._traced:
            if len(self._traced) >= _KINDS:
                self._traced.clear()
            shapes, none = [one.shape for one in arrays], [False, False]
            lines = (self.loss.function,)
            self._traced[key] = TracedFunction(lambda a: self.loss(*a), shapes, none, none, dtype, self.name, lines)
        return self._traced[key]


def objective_of(loss) -> Objective:
    """Return the objective of a loss."""
    return BatchObjective(loss) if isinstance(loss, OfBatch) else Objective(loss)
