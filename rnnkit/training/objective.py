"""A loss as fit needs it: over a batch, with masks and weights, and its cotangent in the same pass."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rnnkit import losses
from rnnkit.cell import Cell
from rnnkit.declared import Draw
from rnnkit.engine.record import Record
from rnnkit.layers import edge
from rnnkit.layers.execution import build_lock
from rnnkit.step import Step


@dataclass(eq=False, slots=True)
class Part:
    """What a batch adds to a loss.

    Attributes
    ----------
    total : float
        The sum over used entries of weight times loss.
    count : float
        How many entries are used; a weight doesn't change that.
    """

    total: float
    count: float
    cotangent: np.ndarray | None = None

    def pull(self, scale=1.0) -> np.ndarray:
        """The cotangent of ``scale * total``: an array like y_pred, exactly 0 where an entry isn't used.

        Raises
        ------
        ValueError
            If the gradient wasn't asked for.
        """
        if self.cotangent is None:
            raise ValueError("expected a part with a gradient; call the objective with gradient=True")
        return self.cotangent * self.cotangent.dtype.type(scale)


@dataclass(frozen=True)
class Form:
    """How a loss falls into rows, for arrays of one shape.

    Attributes
    ----------
    steps : int or None
        How many losses a row has, one for each time step; None where it has a single one.
    apart : bool
        Whether each step's loss depends on that step alone, so that steps may be rows.
    """

    steps: int | None
    apart: bool


class LossCell(Cell):
    """A loss as a step: x is y_pred, y_true and weights are drawn, the state is what each entry loses."""

    def __init__(self, loss, form: Form, x_shape, target_shape, ids: bool):
        super().__init__(name=losses.name_of(loss))
        self.loss, self.form = loss, form
        self.state_size = self.output_size = 1 if form.apart else form.steps or 1
        classes = x_shape[-1] if ids else None
        self.draws = {
            "y_true": Draw(target_shape, lambda rng, shape: _drawn(rng, shape, classes)),
            "weight": Draw((self.state_size,), lambda rng, shape: rng.uniform(0.5, 1.5, shape)),
        }

    def call(self, inputs, states, draws):
        """The weighted losses, of no value where the weight is 0."""
        entries = _by_entry(self.loss(draws.y_true, inputs), self.form.steps is not None)
        if entries.ndim == 1:
            entries = entries[:, None]
        entries = np.where(draws.weight == 0, 0.0, entries * draws.weight)
        return entries, entries

    def _functions(self):
        return (*super()._functions(), self.loss, getattr(type(self.loss), "__call__", None))


class Objective:
    """A loss over batches: the sum over what is used, how much that is, and the way back.

    Parameters
    ----------
    loss : str, callable, or dict
        As `rnnkit.losses.get` takes it. A function of one's own is read as a step is: it sees ``(y_true, y_pred)`` with
        the batch axis first, both of y_pred's rank, and returns a loss for each row ``(B,)``, for each step ``(B, T)``,
        or more, of which the mean is taken over what follows. Steps may be handed to it as rows of one step each where
        that is the same.

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
        """The loss of a batch.

        Parameters
        ----------
        y_true : array_like
            Of y_pred's shape, or as the loss says; an axis of 1 at the end may be there or not. Classes by number: an
            array of y_pred's shape without its last axis.
        y_pred : ndarray (B, …, O)
        mask : array_like of bool (B, T), optional
            Steps that count; where y_pred has no such axis of time, it says nothing. What stands under a mask reaches
            nothing, not even NaN.
        sample_weight : array_like (B,), (B, T) or (B, T, 1), optional
            Multiplies the losses; not negative.
        gradient : bool
            Whether `Part.pull` will be asked for.

        Raises
        ------
        ValueError
            For shapes that don't belong together, a negative weight, a class that doesn't exist, or a loss that can't be
            read or mixes rows.
        """
        y_pred = edge.array(y_pred, "y_pred")
        shape, dtype = y_pred.shape, edge.precision_of(y_pred)
        y_true = edge.array(y_true, "y_true")
        if not shape:
            raise ValueError("expected y_pred of shape (batch, …), got a number")
        y_pred = y_pred[:, None] if y_pred.ndim == 1 else y_pred
        y_true = self._aligned(y_true, y_pred)
        form = self._form(y_true, y_pred)
        lead = y_pred.shape[:1] if form.steps is None else y_pred.shape[:2]
        used = _used(mask, y_pred.shape)
        if used is not None and not form.apart:
            if form.steps is None:
                raise ValueError(
                    f"the loss {self.name!r} gives one number a row, to which a mask of steps can't be applied; return "
                    "one loss for each step, (B, T)"
                )
            y_true, y_pred = (np.where(_behind(used, a), a, 0) for a in (y_true, y_pred))
        weight, count = _weights(sample_weight, used, lead, dtype)
        rows = math.prod(lead) if form.apart else lead[0]
        features, targets = ((1,) * form.apart + a.shape[len(lead) if form.apart else 1 :] for a in (y_pred, y_true))
        program = self._program(form, features, targets, dtype, gradient)
        result = program.run(
            Record(
                x=edge.cast(y_pred, dtype, 0).reshape(rows, 1, *features),
                states=(np.zeros((rows, weight.size // max(rows, 1)), dtype),),
                weights={},
                draws={
                    "y_true": edge.cast(y_true, dtype, 0).reshape(rows, *targets),
                    "weight": weight.reshape(rows, -1),
                },
            )
        )
        total = float(result.states[0].sum(dtype=np.float64))
        if not gradient:
            return Part(total, count)
        cotangent = result.outputs.reshape(shape)
        if used is not None and not form.apart:
            cotangent = np.where(_behind(used, cotangent), cotangent, dtype.type(0))
        return Part(total, count, cotangent)

    def explain(self, source: bool = False) -> str:
        """What was compiled so far, in words or as text."""
        return "\n\n".join(program.explain(source=source) for program in self._programs.values())

    def _aligned(self, y_true, y_pred):
        """Targets with as many axes as y_pred."""
        shape, ids = y_pred.shape, losses.takes_ids(self.loss)
        given = y_true.shape
        if given[:-1] == shape and given[-1] == 1:
            y_true = y_true[..., 0]
        elif given == shape[:-1] and given != shape:
            y_true = y_true[..., None]
        if y_true.ndim != len(shape) or y_true.shape[:-1] != shape[:-1] or (ids and y_true.shape[-1] != 1):
            wanted = shape[:-1] if ids else shape
            raise ValueError(f"expected y_true of shape {wanted} for y_pred of shape {shape}, got {given}")
        if ids and y_true.size:
            _check_ids(y_true, shape[-1])
        return y_true

    def _form(self, y_true, y_pred) -> Form:
        """Learn on a few numbers what the loss gives, once for each shape of rows."""
        key = y_true.shape[1:], y_pred.shape[1:]
        if key not in self._forms:
            try:
                self._forms[key] = self._probed(*key)
            except (ValueError, TypeError, IndexError) as error:
                raise ValueError(
                    f"the loss {self.name!r} can't take y_true of shape {y_true.shape} with y_pred of shape "
                    f"{y_pred.shape}: {error}"
                ) from error
        return self._forms[key]

    def _probed(self, target, shape) -> Form:
        rng = np.random.default_rng(0)
        classes = shape[-1] if losses.takes_ids(self.loss) else None
        y_true, y_pred = _drawn(rng, (2, *target), classes), _drawn(rng, (2, *shape), None)
        with np.errstate(all="ignore"):
            found = np.asarray(self.loss(y_true, y_pred))
            if found.ndim == 0 or len(found) != 2:
                raise ValueError(
                    "expected one loss for each row, (B,) or (B, T), got "
                    f"{'a number' if found.ndim == 0 else f'shape {found.shape} for 2 rows'}; reduce with axis=-1"
                )
            if len(shape) == 1 or found.ndim == 1:
                return Form(None, False)
            steps = shape[0]
            if found.shape[1] != steps:
                raise ValueError(f"expected losses of shape (B,) or (B, {steps}), got {found.shape} for 2 rows")
            try:
                alone = np.asarray(self.loss(*(a.reshape(2 * steps, 1, *a.shape[2:]) for a in (y_true, y_pred))))
            except Exception:
                return Form(steps, False)
        apart = alone.size == found.size and np.allclose(alone.reshape(found.shape), found, 1e-9, 0, equal_nan=True)
        return Form(steps, bool(apart and alone.shape[:2] == (2 * steps, 1)))

    def _program(self, form, features, targets, dtype, gradient):
        key = form, features, targets, dtype, gradient
        key = (Form(1, True), *key[1:]) if form.apart else key
        program = self._programs.get(key)
        if program is None:
            from rnnkit import compiler  # takes numba with it

            with build_lock:
                cell = LossCell(self.loss, form, features, targets, losses.takes_ids(self.loss))
                cell.built = True
                program = self._programs[key] = compiler.compile_loss(Step(cell, features), dtype, gradient)
        return program


def _drawn(rng, shape, classes):
    """Numbers that most losses have a value at, or ids."""
    return rng.uniform(0.05, 0.95, shape) if classes is None else rng.integers(0, classes, shape).astype(np.float64)


def _by_entry(found, by_step):
    """The mean of what lies behind the axes that a mask has."""
    while found.ndim > 1 + by_step:
        found = np.mean(found, axis=-1)
    return found


def _behind(used, array):
    return used.reshape(*used.shape, *(1,) * (array.ndim - 2))


def _used(mask, shape):
    """The mask where it says something: as booleans ``(B, T)``, with at least one step left out."""
    if mask is None:
        return None
    mask = edge.array(mask, "mask")
    mask = mask[..., 0] if mask.ndim == 3 and mask.shape[-1] == 1 else mask
    if mask.ndim != 2 or mask.shape[0] != shape[0]:
        raise ValueError(f"expected mask of shape (batch, time) for y_pred of shape {shape}, got {mask.shape}")
    if len(shape) < 3 or mask.shape != shape[:2]:
        return None
    mask = mask != 0
    return None if mask.all() else mask


def _weights(sample_weight, used, lead, dtype):
    """What multiplies each loss, of shape ``lead``, and how many are used."""
    if sample_weight is None:
        weight = np.ones(lead, dtype)
    else:
        given = edge.array(sample_weight, "sample_weight")
        found = given[..., 0] if given.ndim > 1 and given.ndim == len(lead) + 1 and given.shape[-1] == 1 else given
        if found.shape not in (lead, lead[:1]):
            wanted = " or ".join(str(s) for s in dict.fromkeys((lead[:1], lead)))
            raise ValueError(f"expected sample_weight of shape {wanted}, got {given.shape}")
        if not (np.isfinite(found).all() and (found >= 0).all()):
            raise ValueError("expected finite sample weights of at least 0")
        found = found if found.shape == lead else found[:, None]
        weight = np.array(np.broadcast_to(found, lead), dtype)
    if used is None:
        return weight, float(weight.size)
    weight[~used] = 0
    return weight, float(np.count_nonzero(used))


def _check_ids(ids, classes) -> None:
    """Refuse what is no number of a class."""
    wrong = (
        (ids < 0) | (ids >= classes) | (ids != np.floor(ids)) if ids.dtype.kind == "f" else (ids < 0) | (ids >= classes)
    )
    if wrong.any():
        raise ValueError(f"expected classes from 0 to {classes - 1} in y_true, got {ids[wrong].flat[0]}")
