"""Updates in parts: a batch is cut by sizes alone, each part's gradient is computed on its own, and all are added."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

import numpy as np

from rnnkit import targets as entries
from rnnkit.layers.support.row_gradient import RowGradient, added_up
from rnnkit.training.batches import Batch
from rnnkit.training.finite import first_offender
from rnnkit.training.objective import Part
from rnnkit.training.steps import Losses, Stepper, gathered, penalties, trained
from rnnkit.training.tally import Tally

# Errors that are made of one text, which is told where it was.
_PLAIN_ERRORS = {ValueError, TypeError, IndexError, ArithmeticError, FloatingPointError, MemoryError, RuntimeError}


@dataclass(slots=True)
class Piece:
    """Some rows of an update's batch.

    Attributes
    ----------
    batch : Batch
    total : int
        Rows of the whole batch.
    where : str
        Which rows they are, in words.
    """

    batch: Batch
    total: int
    where: str


@dataclass(slots=True)
class Told:
    """What metrics are told of some rows: by output, None where no metric looks at it."""

    y: list
    weights: list | None
    outputs: list
    masks: list


@dataclass(slots=True)
class Summand:
    """What a part adds to an update.

    Attributes
    ----------
    gradients : list of dict
        First of all outputs without a mask, scaled for the whole batch; then of each output with one, which is still to
        be divided by the share of the batch's steps that are used.
    moved : dict of str to ndarray
        Weights that calls change, times the share of rows.
    sums : ndarray (outputs, 2)
        See `rnnkit.training.objective.Part`.
    rows : int
    masked : tuple of int
        The outputs that `gradients` ends with.
    told : list of Told
        In the order of the rows.
    seconds : float
        That it took to compute.
    sent : int
        Bytes that a worker sent.
    """

    gradients: list[dict]
    moved: dict
    sums: np.ndarray
    rows: int
    masked: tuple[int, ...]
    told: list[Told]
    seconds: float = 0.0
    sent: int = 0

    @property
    def nbytes(self) -> int:
        """Of the gradients and the moved weights."""
        arrays = [one for group in (*self.gradients, self.moved) for one in group.values()]
        return sum(one.ids.nbytes + one.rows.nbytes if isinstance(one, RowGradient) else one.nbytes for one in arrays)


def spans(rows: int, parts: int) -> list[tuple[int, int]]:
    """Where each part begins and ends: of equal sizes, the first ones larger by a row; without empty ones.

    >>> spans(10, 4), spans(2, 4)
    ([(0, 3), (3, 6), (6, 8), (8, 10)], [(0, 1), (1, 2)])
    """
    each, more = divmod(rows, parts)
    ends = np.cumsum([each + (i < more) for i in range(parts)]).tolist()
    return [(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True) if start < end]


def cut(batch: Batch, parts: int) -> list[Piece]:
    """A batch in parts, see `spans`."""

    def some(arrays, rows):
        return None if arrays is None else [None if one is None else one[rows] for one in arrays]

    found = []
    for start, end in spans(batch.rows, parts):
        rows = slice(start, end)
        mask = None if batch.mask is None else batch.mask[rows]
        own = Batch(some(batch.x, rows) or [], some(batch.y, rows), some(batch.weights, rows), mask)
        found.append(Piece(own, batch.rows, f"rows {start} to {end - 1} of the batch"))
    return found


def added(summands: Sequence[Summand | None]) -> Summand | None:
    """The sum of several, in pairs of neighbours, then in pairs of pairs; None adds nothing."""
    level = list(summands)
    while len(level) > 1:
        level = [_pair(*two) for two in zip_longest(level[::2], level[1::2])]
    return level[0]


def _pair(a: Summand | None, b: Summand | None) -> Summand | None:
    if a is None or b is None:
        return b if a is None else a
    return Summand(
        [_both(one, other) for one, other in zip(a.gradients, b.gradients, strict=True)],
        _both(a.moved, b.moved),
        a.sums + b.sums,
        a.rows + b.rows,
        a.masked,
        a.told + b.told,
        a.seconds + b.seconds,
        a.sent + b.sent,
    )


def _both(a: dict, b: dict) -> dict:
    return {name: added_up(array, b[name]) for name, array in a.items()}


class PartedStepper(Stepper):
    """A `Stepper` whose updates are sums of parts.

    Parameters
    ----------
    model, compiled, class_weight
        As of a `Stepper`.
    parts : int
        Into how many a batch is cut.

    Raises
    ------
    ValueError
        For a stateful model, or an optimizer that looks at all rows at once.
    """

    def __init__(self, model, compiled, class_weight=None, parts: int = 1):
        super().__init__(model, compiled, class_weight)
        self.parts = parts
        layers = [one for one in model._all_layers() if hasattr(one, "_kept")]
        if kept := [one.name for one in layers if one.stateful]:
            raise ValueError(
                f"expected layers that keep no states between batches for a fit in parts; {kept[0]!r} is stateful"
            )
        if hasattr(compiled.optimizer, "minimize"):
            raise ValueError(
                f"expected an optimizer that makes an update by each batch for a fit in parts, got "
                f"{compiled.optimizer.name!r}"
            )
        self.looked_at = {k for _, k, _, _ in compiled.metrics}

    def train(self, batch, tally: Tally) -> None:
        """As `Stepper.train`."""
        self.model._repeats.settle()
        with self.model._all_or_nothing(), self.compiled.optimizer._all_or_nothing():
            total = self._total(batch, self.compiled.optimizer.iterations)
            if total is None:
                raise ValueError("expected a batch with at least one row, got none")
            self._finish(total, tally)

    def _total(self, batch, update: int) -> Summand | None:
        if not self.model._is_built():
            self.build(batch)
        pieces = cut(batch, self.parts)
        return added([self.part(piece, update, number) for number, piece in enumerate(pieces)]) if pieces else None

    def build(self, batch: Batch) -> None:
        """Build the model as the first row of a batch does."""
        self.forward(cut(batch, max(1, batch.rows))[0].batch)

    def part(self, piece: Piece, update: int, number: int) -> Summand:
        """What a part adds; the model stays as it was.

        Parameters
        ----------
        piece : Piece
        update, number : int
            Of the update and of the part in it, from which layers' draws follow.

        Raises
        ------
        Exception
            As `Stepper.train` does, with the rows.
        """
        begun = time.perf_counter()
        with _told_where(piece), self._drawing(update, number):
            before = self.model._arrays()
            try:
                found = self._with_losses(piece.batch)
                after = self.model._arrays()
            finally:
                self._put_back(before)
            self._check(found.batch, found.outputs, found.masks, found.parts, 0.0)
            self._check_rows(found)
            masked, cotangents = self._cotangents(found, piece.total)
            names = trained(before, self.model._weight_options())
            pull = found.pullback.pull_weights
            gradients = [gathered(pull(one).weights, names) if one else {} for one in cotangents]
        share = piece.batch.rows / piece.total
        moved = {name: array for name, array in after.items() if array is not before[name]}
        return Summand(
            gradients,
            {name: array * array.dtype.type(share) for name, array in moved.items()},
            _sums(found.parts),
            piece.batch.rows,
            masked,
            self._to_tell(found.batch, found.outputs, found.masks),
            time.perf_counter() - begun,
        )

    def tested(self, piece: Piece) -> tuple[np.ndarray, list[Told]]:
        """The sums of a batch's losses outside training, and what metrics are told."""
        with _told_where(piece):
            batch, outputs, masks, parts = self._test(piece.batch)
        return _sums(parts), self._to_tell(batch, outputs, masks)

    def add_tested(self, sums: np.ndarray, told: list[Told], tally: Tally) -> None:
        """Tell a tally what `tested` gives."""
        arrays, weight_options = self.model._arrays(), self.model._weight_options()
        self._tell(sums, told, tally, penalties(arrays, weight_options, trained(arrays, weight_options)))

    @contextlib.contextmanager
    def _drawing(self, update, number) -> Iterator[None]:
        """Layers draw inside from streams of this part, and afterwards from where they were."""
        kept = [(layer, layer._generator) for layer in self.model._all_layers()]
        for layer, _ in kept:
            layer._start_draws(update, number)
        try:
            yield
        finally:
            for layer, generator in kept:
                layer._generator = generator

    def _put_back(self, before: dict) -> None:
        now = self.model._arrays()
        if changed := {name: array for name, array in before.items() if now[name] is not array}:
            self.model._put_arrays(changed)

    def _check_rows(self, found: Losses) -> None:
        """Refuse losses that are of a whole batch."""
        for k, objective in enumerate(self.compiled.objectives):
            if objective is not None and found.batch.y and objective.is_of_batch(found.batch.y[k], found.outputs[k]):
                raise ValueError(
                    f"the loss {objective.name!r} gives one number for a batch, which has no parts; return one for "
                    "each row, with axis=-1"
                )

    def _cotangents(self, found: Losses, total: int) -> tuple[tuple[int, ...], list[list]]:
        """The outputs with a mask; and what is pulled back of all others together, then of each of these."""
        weights = self.compiled.loss_weights
        reached = [part is not None and weight for part, weight in zip(found.parts, weights, strict=True)]
        masked = tuple(
            k
            for k, (output, mask) in enumerate(zip(found.outputs, found.masks, strict=True))
            if reached[k] and entries.step_mask(mask, output.shape) is not None
        )
        none: list = [None] * len(found.parts)
        groups = [list(none), *(list(none) for _ in masked)]
        for k, (part, weight) in enumerate(zip(found.parts, weights, strict=True)):
            if k in masked:
                groups[1 + masked.index(k)][k] = part.pull(weight / total)
            elif reached[k] and part.count:
                groups[0][k] = part.pull(weight / (part.count / found.batch.rows * total))
        if masked and all(one is None for one in groups[0]):
            groups[0] = []
        return masked, groups

    def _to_tell(self, batch: Batch, outputs, masks) -> list[Told]:
        if not self.looked_at:
            return []

        def seen(arrays):
            return [one if k in self.looked_at else None for k, one in enumerate(arrays)]

        weights = None if batch.weights is None else seen(batch.weights)
        return [Told(seen(batch.y or [None] * len(outputs)), weights, seen(outputs), seen(masks))]

    def _tell(self, sums: np.ndarray, told: list[Told], tally: Tally, penalty: float) -> None:
        parts = [one and Part(own) for one, own in zip(self.compiled.objectives, sums, strict=True)]
        whole = _together(told, len(parts))
        tally.add(Batch([], whole.y, whole.weights), whole.outputs, whole.masks, parts, penalty)

    def _finish(self, total: Summand, tally: Tally) -> None:
        """The one step of the optimizer, and what the tally is told."""
        model, compiled = self.model, self.compiled
        arrays, weight_options = model._arrays(), model._weight_options()
        names = trained(arrays, weight_options)
        penalty = penalties(arrays, weight_options, names)
        if not np.isfinite(penalty):
            told = first_offender((f"the weight {name!r}", array) for name, array in arrays.items())
            raise FloatingPointError(f"the loss is not finite: {told}; no weight was changed")
        self._tell(total.sums, total.told, tally, penalty)
        old = {name: arrays[name] for name in names}
        options = {name: weight_options[name] for name in names}
        new = compiled.optimizer.apply(old, self._scaled(total), options)
        moved = {name: array for name, array in total.moved.items() if name not in new}
        try:
            model._put_arrays(new | moved)
        except BaseException:  # Ctrl-C in between
            model._put_arrays(old | {name: arrays[name] for name in moved})
            raise

    def _scaled(self, total: Summand) -> dict:
        """The gradient of the loss, from that of the sums over masked outputs."""
        found, *others = total.gradients
        for k, group in zip(total.masked, others, strict=True):
            count = total.sums[k, 1]
            scaled = {name: _times(one, total.rows / count if count else 0.0) for name, one in group.items()}
            found = _both(found, scaled) if found else scaled
        return found


def _sums(parts) -> np.ndarray:
    return np.array([np.zeros(2) if part is None else part.sums for part in parts])


def _times(gradient, factor: float):
    if isinstance(gradient, RowGradient):
        return RowGradient(gradient.ids, gradient.rows * gradient.dtype.type(factor), gradient.shape)
    return gradient * gradient.dtype.type(factor)


def _together(told: list[Told], outputs: int) -> Told:
    """What several parts tell, as of one batch."""
    if not told:
        return Told([None] * outputs, None, [None] * outputs, [None] * outputs)

    def joined(lists):
        return [None if any(one is None for one in own) else np.concatenate(own) for own in zip(*lists, strict=True)]

    weights = [one.weights for one in told]
    return replace(
        told[0],
        y=joined(one.y for one in told),
        weights=None if any(one is None for one in weights) else joined(weights),
        outputs=joined(one.outputs for one in told),
        masks=joined(one.masks for one in told),
    )


@contextlib.contextmanager
def _told_where(piece: Piece) -> Iterator[None]:
    """Say in errors which rows it was."""
    try:
        yield
    except Exception as error:
        if type(error) in _PLAIN_ERRORS:
            raise type(error)(f"{piece.where}: {error}") from error
        error.add_note(f"in {piece.where}")
        raise
