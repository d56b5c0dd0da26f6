"""Objectives: a loss over a batch with masks and weights, and its cotangent in the same pass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit import losses, tracebacks
from rnnkit import targets as entries
from rnnkit.backends.shared.call import Record, recording_of
from rnnkit.execution.execution import build_lock
from rnnkit.layers.support import validation
from rnnkit.opaque import opaque
from rnnkit.steps.cell import Cell
from rnnkit.steps.declared import Draw
from rnnkit.steps.nesting import mapped
from rnnkit.steps.step import Step


@dataclass(eq=False, slots=True)
class Part:
    """Contribution of a batch to a loss: the sum of weight times loss over used entries, and their number, float64."""

    sums: np.ndarray  # (2,)
    cotangent: np.ndarray | list | None = None  # of the output, or of several

    @property
    def total(self) -> float:
        """The sum over used entries of weight times loss."""
        return float(np.asarray(self.sums)[0])

    @property
    def count(self) -> float:
        """The number of used entries."""
        return float(np.asarray(self.sums)[1])

    @property
    def mean(self) -> np.ndarray:
        """The mean over used entries of weight times loss; 0 without any."""
        return opaque(lambda sums: np.array(sums[0] / sums[1] if sums[1] else 0.0), self.sums)

    def pull(self, scale=1.0) -> Any:
        """Return the cotangent of ``scale * total``: an array like y_pred, exactly 0 where an entry isn't used."""
        return self._scaled(lambda sums: scale)

    def pull_mean(self, weight: float, members: int = 1) -> Any:
        """Return the cotangent of ``weight * total / count``; for several `members`, each has a mean of its own."""

        return self._scaled(lambda sums: weight / (float(sums[1]) / members))

    def _scaled(self, scale):
        if self.cotangent is None:
            raise ValueError("expected a part with a gradient; call the objective with gradient=True")
        scaled = lambda cotangent, sums: cotangent * cotangent.dtype.type(scale(sums))
        return mapped(self.cotangent, lambda one: opaque(scaled, one, self.sums))


@dataclass(frozen=True)
class Form:
    """Form of a loss's result, for arrays of one shape."""

    steps: int | None  # the number of losses of a row, one for each time step; None for a single one
    apart: bool  # whether each step's loss depends on that step alone, so that steps may be rows


class LossCell(Cell):
    """A loss as a step: x is y_pred, y_true and weights are draws, the state holds the losses."""

    def __init__(self, loss, steps: int | None, x_shape, target_shape, ids: bool):
        super().__init__(name=losses.name_of(loss))
        self.loss, self.steps = loss, steps
        self.state_size = self.output_size = steps or 1
        classes = x_shape[-1] if ids else None
        self.draws = {
            "y_true": Draw(target_shape, lambda rng, shape: _drawn(rng, shape, classes)),
            "weight": Draw((self.state_size,), lambda rng, shape: rng.uniform(0.5, 1.5, shape)),
        }

    def call(self, inputs, states, draws):
        """Return the weighted losses, 0 where the weight is 0, even for NaN."""
        lost = entries.by_entry(self.loss(draws.y_true, inputs), self.steps is not None)
        lost = lost[:, None] if lost.ndim == 1 else lost
        lost = np.where(draws.weight == 0, 0.0, lost * draws.weight)
        return lost, lost

    def _functions(self):
        return (*super()._functions(), self.loss, type(self.loss).__call__)


class Objective:
    """A loss over batches: the sum over used entries, their number, and the gradient.

    The loss is as `rnnkit.losses.get` takes it. A function of one's own is read as a step is: it sees
    ``(y_true, y_pred)`` with the batch axis first, both of y_pred's rank, and returns a loss for each row ``(B,)``, for
    each step ``(B, T)``, or more, of which the mean is taken over the further axes. Where the result is the same, steps
    are passed to it as rows ``(B T, …)``.

    Examples
    --------
    >>> import numpy as np
    >>> part = Objective("mse")(np.zeros((2, 1)), np.array([[1.0], [3.0]]))
    >>> part.total, part.count, part.pull(1 / part.count).tolist()
    (10.0, 2.0, [[1.0], [3.0]])
    """

    def __init__(self, loss):
        self.loss = losses.get(loss)
        self.name = losses.name_of(self.loss)
        self._forms: dict = {}
        self._programs: dict = {}

    def __reduce__(self):
        return Objective, (self.loss,)

    def __call__(self, y_true, y_pred, mask=None, sample_weight=None, gradient=True) -> Part:
        """Return the loss of a batch, for y_pred ``(B, …, O)``; with `gradient`, `Part.pull` can be called.

        y_true is of y_pred's shape, or as the loss says; an axis of 1 at the end may be there or not. Classes by number
        are an array of y_pred's shape without its last axis. The mask ``(B, T)`` says which steps count; where y_pred
        has no such axis of time, it has no effect. Masked entries reach no result, not even as NaN. Weights of
        samples, ``(B,)``, ``(B, T)`` or ``(B, T, 1)``, multiply the losses.

        A ValueError refuses shapes that don't belong together, a negative weight, a class that doesn't exist, and a
        loss that can't be read or mixes rows.
        """
        shape, ids = np.shape(y_pred), losses.takes_ids(self.loss)
        y_true, y_pred = entries.aligned(y_true, y_pred, ids)
        dtype = validation.precision_of(y_pred)
        form = self._form(y_true, y_pred)
        used = entries.step_mask(mask, y_pred.shape)
        if used is not None and form.steps is None and used.all():
            used = None
        if used is not None and form.steps is None:
            raise ValueError(
                f"the loss {self.name!r} gives one number a row, to which a mask of steps can't be applied; return one "
                "for each step, (B, T)"
            )
        if (ignored := getattr(self.loss, "ignore_class", None)) is not None:
            masked, counted = used, opaque(losses.counted, ignored, y_true)
            used = counted if masked is None else np.logical_and(counted, masked)
        if ids:
            opaque(entries.check_ids, y_true, y_pred.shape[-1], used)
        if used is not None and not form.apart:
            y_true, y_pred = (_without(used, a) for a in (y_true, y_pred))

        def weights(sample_weight, used):
            weight = entries.weights(sample_weight, y_pred.shape[: 1 + (form.steps is not None)], dtype)
            if used is not None:
                weight[~used] = 0
            return weight

        weight = opaque(weights, sample_weight, used, like=y_pred)
        if not weight.size:
            return Part(np.zeros(2), np.zeros(shape, dtype) if gradient else None)
        result = self._run(form, y_true, y_pred, weight, gradient)
        lost, size = result.states[0], weight.size

        def add_up(lost, used):
            return np.array([lost.sum(dtype=np.float64), size if used is None else np.count_nonzero(used)], np.float64)

        sums = opaque(add_up, lost, used)
        if not gradient:
            return Part(sums)
        cotangent = result.outputs.reshape(y_pred.shape)
        if used is not None and not form.apart:
            cotangent = _without(used, cotangent)
        return Part(sums, cotangent.reshape(shape))

    def _run(self, form, y_true, y_pred, weight, gradient):
        """Return the program's results, of rows or of steps as rows."""
        dtype = weight.dtype
        rows, features, targets = len(y_pred), y_pred.shape[1:], y_true.shape[1:]
        steps = form.steps
        if form.apart and math.prod(features[1:]) > 1:  # else a row's steps fill a vector
            rows, features, targets, steps = weight.size, features[1:], targets[1:], None
        weight = weight.reshape(rows, math.prod(weight.shape) // rows if rows else 1)
        record = Record(
            x=validation.cast(y_pred, dtype, 0).reshape(rows, 1, *features),
            states=(np.zeros_like(weight),),
            weights={},
            draws={"y_true": validation.cast(y_true, dtype, 0).reshape(rows, *targets), "weight": weight},
            recording=recording_of(y_pred),
        )
        return self._program(steps, features, targets, dtype, gradient).run(record)

    def is_of_batch(self, y_true, y_pred) -> bool:
        """Return whether the loss is one number for a batch, rather than one for each row or step."""
        return False

    def _form(self, y_true, y_pred) -> Form:
        """Find the form of the loss's result by a few numbers, once for each shape of rows."""
        key = y_true.shape[1:], y_pred.shape[1:]
        if key not in self._forms:
            try:
                self._forms[key] = self._probed(*key)
            except (ValueError, TypeError, IndexError) as error:
                refusal = ValueError(
                    f"the loss {self.name!r} can't take y_true of shape {y_true.shape} with y_pred of shape "
                    f"{y_pred.shape}: {error}{_hint(self.name, y_true.shape, y_pred.shape)}"
                )
                raise refusal.with_traceback(error.__traceback__) from None
        return self._forms[key]

    @tracebacks.door
    def _probed(self, target, shape) -> Form:
        classes = shape[-1] if losses.takes_ids(self.loss) else None
        found, apart = None, True
        for scale in (1.0, 30.0, 1000.0):  # some effects only show for large numbers
            rng = np.random.default_rng(0)
            y_true, y_pred = _drawn(rng, (2, *target), classes), scale * _drawn(rng, (2, *shape))
            with np.errstate(all="ignore"):
                found = np.asarray(self.loss(y_true, y_pred))
                if not entries.by_step(found.shape, y_pred.shape):
                    return Form(None, False)
                apart = apart and self._steps_apart(y_true, y_pred, found)
        return Form(shape[0], apart)

    def _steps_apart(self, y_true, y_pred, found) -> bool:
        """Return whether the loss of each step alone is the same."""
        rows = y_pred.shape[0] * y_pred.shape[1]
        try:
            alone = np.asarray(self.loss(*(a.reshape(rows, *a.shape[2:]) for a in (y_true, y_pred))))
        except Exception:
            return False
        same = alone.shape == (rows, *found.shape[2:])
        return same and np.allclose(alone.reshape(found.shape), found, 1e-9, 0, equal_nan=True)

    def _program(self, steps, features, targets, dtype, gradient):
        key = steps, features, targets, dtype, gradient
        program = self._programs.get(key)
        if program is None:
            from rnnkit.execution import pipeline  # takes the compiler with it

            with build_lock:
                cell = LossCell(self.loss, steps, features, targets, losses.takes_ids(self.loss))
                cell.built = True
                program = self._programs[key] = pipeline.compile_loss(Step(cell, features), dtype, gradient)
        return program


def _without(used, array):
    """Return an array with 0 at the steps that aren't used."""
    return np.where(entries.behind(used, array), array, array.dtype.type(0))


def _drawn(rng, shape, classes=None):
    """Return numbers at which most losses have a value, or ids."""
    return rng.uniform(0.05, 0.95, shape) if classes is None else rng.integers(0, classes, shape).astype(np.float64)


def _hint(name: str, target: tuple, output: tuple) -> str:
    """Return the advice for a loss that can't take targets of a shape."""
    if name == "categorical_crossentropy" and target[-1] == 1 < output[-1]:
        return "; numbers of classes are for sparse_categorical_crossentropy"
    if target[-1] != output[-1]:
        return "; the last layer needs as many units as y has values, and return_sequences=True for values of steps"
    return ""


def by_class(class_weight: Mapping, y_true, y_pred, ids: bool, weight=None) -> np.ndarray:
    """Return weights of targets times those of their classes: of its number, or of the largest of several values."""

    def weights(y_true, y_pred, weight):
        y_true, _ = entries.aligned(y_true, y_pred, ids)
        classes = y_true.argmax(axis=-1) if y_true.shape[-1] > 1 else y_true[..., 0]
        factor = np.ones(classes.shape)
        for label, own in class_weight.items():
            factor[classes == label] = own
        return factor if weight is None else (factor.T * np.asarray(weight).T).T

    return opaque(weights, y_true, y_pred, weight)
