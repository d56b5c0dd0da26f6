"""Objectives of losses that may return one number for a batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rnnkit import losses
from rnnkit import targets as entries
from rnnkit.execution.array_functions import TracedFunction
from rnnkit.layers.support import validation
from rnnkit.steps.nesting import leaves_of, mapped, numbered
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
        part = self._part([own], [predicted], [y_pred], gradient)
        part.cotangent = part.cotangent and part.cotangent[0]
        return part

    def _part(self, targets, predicted, outputs, gradient) -> Part:
        dtype, rows = validation.precision_of(predicted[0]), len(predicted[0])
        arrays = [one.astype(dtype) for one in (*targets, *predicted)]
        traced = self._function(arrays, dtype)
        (loss,) = traced(arrays)
        sums = np.full(2, float(rows), like=loss)
        sums[0] *= loss
        part = Part(sums)
        if gradient:
            pulled = traced.pull(arrays, [np.array(rows, dtype, like=loss)])[len(targets) :]
            part.cotangent = [d.reshape(np.shape(one)) for d, one in zip(pulled, outputs, strict=True)]
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
            shapes, none = [one.shape for one in arrays], [False] * len(arrays)
            lines = (self.loss.function,)
            self._traced[key] = TracedFunction(self._value, shapes, none, none, dtype, self.name, lines)
        return self._traced[key]

    def _value(self, arrays):
        return self.loss(*arrays)


class JointObjective(BatchObjective):
    """The objective of a function of the targets and the outputs at several places, nested as the model gives them.

    The mean of its values, if it gives more than one, is the loss.
    """

    def __init__(self, loss, place):
        super().__init__(loss if isinstance(loss, OfBatch) else OfBatch(loss))
        self.place = numbered(place)

    def __reduce__(self):
        return JointObjective, (self.loss, self.place)

    def __call__(self, y_true, y_pred, mask=None, sample_weight=None, gradient=True) -> Part:
        """Return the loss of a batch, for arrays nested alike; a ValueError for masks of steps, or weights."""
        outputs = leaves_of(y_pred)
        masks = [] if mask is None else zip(leaves_of(mask), outputs, strict=True)
        weighted = any(one is not None for one in leaves_of(sample_weight))
        if weighted or any(entries.used_steps(own, one.shape) is not None for own, one in masks):
            raise ValueError(
                f"the loss {self.name!r} is of {len(outputs)} outputs together, to which "
                f"{'weights' if weighted else 'masks of steps'} can't be applied; give each output a loss"
            )
        pairs = [entries.aligned(*pair) for pair in zip(leaves_of(y_true), outputs, strict=True)]
        targets, predicted = zip(*pairs, strict=True)
        return self._part(targets, predicted, outputs, gradient)

    def is_of_batch(self, y_true, y_pred) -> bool:
        """Return True: it looks at whole arrays."""
        return True

    def _value(self, arrays):
        count = len(arrays) // 2
        true, predicted = (mapped(self.place, half.__getitem__) for half in (arrays[:count], arrays[count:]))
        return np.mean(self.loss(true, predicted))


def objective_of(loss) -> Objective:
    """Return the objective of a loss."""
    return BatchObjective(loss) if isinstance(loss, OfBatch) else Objective(loss)
