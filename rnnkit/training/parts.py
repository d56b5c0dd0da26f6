"""Updates in parts: a batch is cut by sizes alone, each part's gradient is computed on its own, and all are added."""

from __future__ import annotations

import time

import numpy as np

from rnnkit import targets as entries
from rnnkit.layers.support.facts import keeps_states
from rnnkit.layers.support.layer_tree import all_layers, all_or_nothing, arrays_by_name, options_by_name, put_arrays
from rnnkit.layers.support.seeds import drawing_from
from rnnkit.training.batches import Batch
from rnnkit.training.objective import Part
from rnnkit.training.pieces import Piece, Summand, Told, added, both, cut, times, together, told_where
from rnnkit.training.steps import Losses, Stepper, first_offender, gathered, parts_of, trained
from rnnkit.training.tally import Tally


class PartedStepper(Stepper):
    """A `Stepper` whose updates are sums of so many parts.

    A ValueError refuses a stateful model, and an optimizer that looks at all rows at once.
    """

    def __init__(self, model, compiled, class_weight=None, parts: int = 1):
        super().__init__(model, compiled, class_weight)
        self.parts = parts
        layers = [one for one in all_layers(model) if hasattr(one, "_kept")]
        if kept := [one.name for one in layers if keeps_states(one)]:
            raise ValueError(
                f"expected layers that keep no states between batches for a fit in parts; {kept[0]!r} is stateful"
            )
        if hasattr(compiled.optimizer, "minimize"):
            raise ValueError(
                f"expected an optimizer that makes an update by each batch for a fit in parts, got "
                f"{compiled.optimizer.name!r}"
            )
        if not compiled.is_by_output:
            raise ValueError("expected one loss for each output for a fit in parts, got several, or one of several")
        self.looked_at = {k for _, k, _, _ in compiled.metrics}

    def train(self, batch, tally: Tally) -> None:
        """Change the weights by one batch, as `Stepper.train`."""
        self.model._update_runner.settle()
        with all_or_nothing(self.model), self.compiled.optimizer._all_or_nothing():
            total = self._total(batch, self.compiled.optimizer.iterations)
            if total is None:
                raise ValueError("expected a batch with at least one row, got none")
            self._finish(total, tally)

    def _total(self, batch, update: int) -> Summand | None:
        if not self.model.built:
            self.build(batch)
        pieces = cut(batch, self.parts)
        return added([self.part(piece, update, number) for number, piece in enumerate(pieces)]) if pieces else None

    def build(self, batch: Batch) -> None:
        """Build the model by the first row of a batch."""
        self.forward(cut(batch, max(1, batch.rows))[0].batch)

    def part(self, piece: Piece, update: int, number: int) -> Summand:
        """Return what a part adds, or raise the error of `Stepper.train` with the rows; the model stays as it was.

        Layers' draws follow from the numbers of the update and of the part in it.
        """
        begun = time.perf_counter()
        with told_where(piece.where), drawing_from(self.model, update, number):
            before = arrays_by_name(self.model)
            try:
                found = self._with_losses(piece.batch)
                after = arrays_by_name(self.model)
            finally:
                self._put_back(before)
            self._check(found.batch, found.outputs, found.masks, found.parts, 0.0)
            self._check_none(found.added)
            self._check_rows(found)
            masked, cotangents = self._cotangents(found, piece.total)
            names = trained(before, options_by_name(self.model))
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
            self._for_metrics(found.batch, found.outputs, found.masks),
            time.perf_counter() - begun,
        )

    def tested(self, piece: Piece) -> tuple[np.ndarray, list[Told]]:
        """Return the sums of a batch's losses outside training, and the arrays for metrics."""
        with told_where(piece.where):
            outputs, masks, sums, added = self._tested(self.model, *piece.batch.parts())
            self._check_none(added)
        batch = self.model._of_all_members(piece.batch)
        return _sums(parts_of(sums)), self._for_metrics(batch, outputs, masks)

    def add_tested(self, sums: np.ndarray, told: list[Told], tally: Tally) -> None:
        """Add the result of `tested` to a tally."""
        self._tell(sums, told, tally, self.trained_weights()[-1])

    def _put_back(self, before: dict) -> None:
        now = arrays_by_name(self.model)
        if changed := {name: array for name, array in before.items() if now[name] is not array}:
            put_arrays(self.model, changed)

    def _check_rows(self, found: Losses) -> None:
        """Refuse losses of a whole batch."""
        for k, objective in enumerate(self.compiled.objectives):
            if objective is not None and found.batch.y and objective.is_of_batch(found.batch.y[k], found.outputs[k]):
                raise ValueError(
                    f"the loss {objective.name!r} gives one number for a batch, which has no parts; return one for "
                    "each row, with axis=-1"
                )

    def _cotangents(self, found: Losses, total: int) -> tuple[tuple[int, ...], list[list]]:
        """Return the outputs with a mask, and the cotangents of all others together, then of each of these."""
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

    def _for_metrics(self, batch: Batch, outputs, masks) -> list[Told]:
        if not self.looked_at:
            return []

        def seen(arrays):
            return [one if k in self.looked_at else None for k, one in enumerate(arrays)]

        weights = None if batch.weights is None else seen(batch.weights)
        return [Told(seen(batch.y or [None] * len(outputs)), weights, seen(outputs), seen(masks))]

    def _tell(self, sums: np.ndarray, told: list[Told], tally: Tally, penalty: float) -> None:
        parts = [one and Part(own) for one, own in zip(self.compiled.objectives, sums, strict=True)]
        whole = together(told, len(parts))
        tally.add(Batch([], whole.y, whole.weights), whole.outputs, whole.masks, parts, penalty)

    def _finish(self, total: Summand, tally: Tally) -> None:
        """Make the one step of the optimizer, and add the batch to the tally."""
        arrays, weight_options, _, penalty = self.trained_weights()
        if not np.isfinite(penalty):
            told = first_offender((f"the weight {name!r}", array) for name, array in arrays.items())
            raise FloatingPointError(f"the loss is not finite: {told}; no weight was changed")
        self._tell(total.sums, total.told, tally, penalty)
        self._update(arrays, weight_options, self._scaled(total), total.moved)

    def _scaled(self, total: Summand) -> dict:
        """Return the gradient of the loss, from that of the sums over masked outputs."""
        found, *others = total.gradients
        for k, group in zip(total.masked, others, strict=True):
            count = total.sums[k, 1]
            scaled = {name: times(one, total.rows / count if count else 0.0) for name, one in group.items()}
            found = both(found, scaled) if found else scaled
        return found


def _sums(parts) -> np.ndarray:
    return np.array([np.zeros(2) if part is None else part.sums for part in parts])
