"""One batch through a model: its loss, its gradient, and the weights after it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from rnnkit import targets as entries
from rnnkit.arguments import number_from_zero, real_number
from rnnkit.layers.support.added_losses import Collected, collecting
from rnnkit.layers.support.layer_tree import all_or_nothing, arrays_by_name, options_by_name, put_arrays
from rnnkit.layers.support.pullback import Pullback
from rnnkit.layers.support.row_gradient import added_up
from rnnkit.losses import takes_ids
from rnnkit.steps.nesting import leaves_of, mapped
from rnnkit.steps.weight_options import WeightOptions
from rnnkit.training.batches import Batch
from rnnkit.training.compiled import Compiled
from rnnkit.training.objective import Part, by_class
from rnnkit.training.tally import Tally

_CLASS_WEIGHT = "expected class_weight as a dict of classes' numbers to weights of at least 0, as {0: 1.0, 1: 2.0}"


@dataclass(eq=False)
class Losses:
    """Losses of a batch: `Part` or None for each output, those that layers added, and the pullback."""

    batch: Batch
    outputs: list
    masks: list
    parts: list
    added: Collected
    pullback: Pullback


@dataclass(eq=False)
class Differentiated(Losses):
    """Losses of a batch with their cotangents."""

    cotangents: list

    def gradients(self, names) -> dict:
        """Return the gradient of each trained weight, by its first name."""
        return gathered(self.pullback.pull_weights(self.cotangents).weights, names)


class Stepper:
    """Steps of a compiled model, batch by batch.

    `class_weight` has factors for rows, or steps, by the class of their target.
    """

    def __init__(self, model, compiled: Compiled, class_weight: Mapping | None = None):
        self.model, self.compiled = model, compiled
        self.class_weight = None if class_weight is None else _class_weight(class_weight)

    @property
    def updates(self) -> int:
        """The number of updates so far, which seeds the draws of an epoch."""
        return self.compiled.optimizer.iterations

    def reads(self) -> list | None:
        """Return, for comparison, what the losses read besides arguments, model and layers; None if it isn't known."""
        return []

    def has_lost(self, sums: list) -> bool:
        """Return whether the sums of a recording's losses are those of the last batch that was trained on anew."""
        return True

    def options(self) -> dict[str, WeightOptions]:
        """Return the options of all weights in an update."""
        return options_by_name(self.model)

    def tally(self) -> Tally:
        """Return a new tally for batches."""
        return Tally(self.compiled)

    def train(self, batch: Batch, tally: Tally) -> None:
        """Change the weights by one batch, or nothing after an error, such as a loss that isn't finite."""
        self.model._update_runner.train(self, batch, tally)

    def train_anew(self, batch: Batch, tally: Tally | None) -> None:
        """Train as `train` does, without recordings; without a tally if that has the batch already."""
        model, compiled = self.model, self.compiled
        with all_or_nothing(model), compiled.optimizer._all_or_nothing():
            found = self.differentiated(batch)
            arrays, weight_options, names, penalty = self.trained_weights()
            penalty += found.added.total
            self._check_any(found.added)
            self._check(found.batch, found.outputs, found.masks, found.parts, penalty)
            if tally is not None:
                # Before the weights change: a metric may not fit.
                tally.add(found.batch, found.outputs, found.masks, found.parts, penalty)
            self._update(arrays, weight_options, found.gradients(names))

    def _update(self, arrays: dict, weight_options: dict, gradients, moved: Mapping = {}) -> None:
        """Make the step of the optimizer with the weights of these options, and put what has `moved` besides."""
        old = {name: arrays[name] for name in weight_options}
        new = {**moved, **self.compiled.optimizer.apply(old, gradients, weight_options)}
        try:
            put_arrays(self.model, new)
        except BaseException:  # Ctrl-C in between
            put_arrays(self.model, {name: arrays[name] for name in new})
            raise

    def trained_weights(self) -> tuple[dict, dict, dict, float]:
        """Return all weights; the options of those to train, their names as of `trained`, and their penalty."""
        arrays, options = arrays_by_name(self.model), options_by_name(self.model)
        names = trained(arrays, options)
        options = {name: options[name] for name in names}
        penalties = (float(one.regularizer(arrays[name])) for name, one in options.items() if one.regularizer)
        return arrays, options, names, sum(penalties, 0.0)

    def differentiated(self, batch: Batch) -> Differentiated:
        """Return the losses of a batch, with the means to get their gradient."""
        found, cotangents = self._with_losses(batch), []
        for part, weight in zip(found.parts, self.compiled.loss_weights, strict=True):
            reaches = part is not None and part.count and weight
            cotangents.append(part.pull_mean(weight, self.model._members) if reaches else None)
        return Differentiated(**vars(found), cotangents=self._by_output(cotangents))

    def _by_output(self, cotangents: list) -> list:
        """Return the cotangent of each output, or None, from those of the losses."""
        found: list = [None] * len(self.compiled.outputs)
        for place, own in zip(self.compiled.places, cotangents, strict=True):
            for k, one in zip(leaves_of(place), leaves_of([] if own is None else own), strict=False):
                found[k] = one if found[k] is None else added_up(found[k], one)
        return found

    def _with_losses(self, batch: Batch) -> Losses:
        """Run a batch through the model in training; return its losses."""
        with collecting() as added:
            outputs, masks, pullback = self.model._across(
                self.model._interface._as_given(batch.x), batch.mask, True, self.compiled.options
            )
        count = len(self.compiled.outputs)
        outputs, masks = in_order(outputs, count), in_order(masks, count)
        batch = self._weighted(self.model._of_all_members(batch), outputs)
        return Losses(batch, outputs, masks, self._losses(batch, outputs, masks, True), added, pullback)

    def _check_any(self, added: Collected) -> None:
        """Refuse a model without any loss."""
        if not added and not any(self.compiled.objectives):
            raise ValueError(
                f"expected a loss to train {self.model.name!r} by, got none; call compile(optimizer, loss)"
            )

    def _check_none(self, added: list) -> None:
        """Refuse losses that layers added."""
        if added:
            raise ValueError(
                "expected losses of single rows for parts of batches, and for optimizers that look at all rows; a "
                f"layer of {self.model.name!r} adds one of a whole batch, by add_loss or activity_regularizer"
            )

    def whole(self, batches, counts) -> tuple[float, dict]:
        """Return the loss over several batches and its gradient, given the counts of each output's mean."""
        loss = 0.0
        total: dict[str, np.ndarray] = {}
        for batch in batches:
            computed, cotangents = self._with_losses(batch), []
            self._check_none(computed.added)
            self._check(computed.batch, computed.outputs, computed.masks, computed.parts, 0.0)
            for part, weight, count in zip(computed.parts, self.compiled.loss_weights, counts, strict=True):
                reaches = part is not None and count and weight
                cotangents.append(part.pull(weight / count) if reaches else None)
                loss += weight * part.total / count if reaches else 0.0
            pulled = computed.pullback.pull_weights(self._by_output(cotangents))
            gradients = gathered(pulled.weights, self.names())
            found = {name: np.asarray(array, np.float64) for name, array in gradients.items()}
            total = {name: total[name] + array for name, array in found.items()} if total else found
        return loss, total

    def test(self, batch: Batch, tally: Tally) -> None:
        """Add a batch's loss and metrics, outside training."""
        found = self.model._update_runner.of_tests.run(self.model, self._tested, batch.parts(), {})
        outputs, masks, sums, added = self._tested(self.model, *batch.parts()) if found is None else found
        penalty = self.trained_weights()[-1] + sum(map(float, added))
        tally.add(self.model._of_all_members(batch), outputs, masks, parts_of(sums), penalty)

    def tests_done(self, tally: Tally) -> None:
        """Add what isn't added yet, after all batches were given to `test`."""

    def close(self) -> None:
        """Drop all that was begun for later batches."""

    def _tested(self, model, *given) -> list:
        """Return outputs, masks, the sums of the losses of a batch and what was added: a call to be repeated."""
        batch = Batch(*given)
        with collecting() as added:
            outputs, masks = self.forward(batch)
        parts = self._losses(model._of_all_members(batch), outputs, masks, False)
        return [outputs, masks, sums_of(parts), [one.value for one in added]]

    def forward(self, batch: Batch, training: bool = False) -> tuple[list, list]:
        """Return outputs and masks, one per output."""
        outputs, masks, _ = self.model._across(self.model._interface._as_given(batch.x), batch.mask, training)
        count = len(self.compiled.outputs)
        return in_order(outputs, count), in_order(masks, count)

    def names(self) -> dict[str, list[str]]:
        """Return the names of `trained`."""
        return trained(arrays_by_name(self.model), options_by_name(self.model))

    def _weighted(self, batch: Batch, outputs) -> Batch:
        """Return the batch, its weights times those of the targets' classes."""
        if self.class_weight is None or batch.y is None:
            return batch
        weights = list(batch.weights or [None] * len(outputs))
        terms = zip(self.compiled.places, self.compiled.objectives, strict=True)
        for k, objective in {place: one for place, one in terms if isinstance(place, int)}.items():
            if objective is not None and batch.y[k] is not None:
                ids = takes_ids(objective.loss)
                weights[k] = by_class(self.class_weight, batch.y[k], outputs[k], ids, weights[k])
        return replace(batch, weights=weights)

    def _losses(self, batch, outputs, masks, gradient) -> list:
        found: list[Part | None] = []
        targets = batch.y or [None] * len(outputs)
        for place, objective in zip(self.compiled.places, self.compiled.objectives, strict=True):
            if objective is None:
                found.append(None)
                continue
            if missing := [k for k in leaves_of(place) if targets[k] is None]:
                raise ValueError(f"expected a target for the output {self.compiled.outputs[missing[0]]!r}, got None")
            y, output, mask = (mapped(place, given.__getitem__) for given in (targets, outputs, masks))
            weight = None if batch.weights is None else mapped(place, batch.weights.__getitem__)
            found.append(objective(y, output, mask, weight, gradient=gradient))
        return found

    def is_finite(self, parts, penalty: float) -> bool:
        """Return whether all losses with a weight, and the penalty, are finite."""
        weighed = zip(parts, self.compiled.loss_weights, strict=True)
        return math.isfinite(penalty) and all(math.isfinite(part.total) for part, weight in weighed if part and weight)

    def _check(self, batch, outputs, masks, parts, penalty):
        if self.is_finite(parts, penalty):
            return
        found = self._offender(batch, outputs, masks)
        raise FloatingPointError(f"the loss is not finite: {found}; no weight was changed")

    def _offender(self, batch, outputs, masks) -> str:
        """Describe the first array from the inputs to the loss that isn't finite."""
        names = self.model._interface._input_names()

        def arrays():
            for name, array in zip(names, batch.x, strict=True):
                yield ("x" if len(names) == 1 else f"the input {name!r}"), array
            targets = read_targets(batch, outputs, masks)
            for name, array in zip(self.compiled.outputs, targets, strict=False):
                yield ("y" if len(self.compiled.outputs) == 1 else f"the target of {name!r}"), array
            for array in batch.weights or []:
                yield "sample_weight", array
            for name, array in arrays_by_name(self.model).items():
                yield f"the weight {name!r}", array
            yield from self.model._watched(self.model._interface._as_given(batch.x))
            for name, array in zip(self.compiled.outputs, outputs, strict=True):
                yield f"the output {name!r}", array

        return first_offender(arrays()) or "all arrays up to the outputs are, but what the loss makes of them isn't"


def sums_of(parts: list) -> list:
    """Return the sums of losses, None for outputs without one."""
    return [None if part is None else part.sums for part in parts]


def parts_of(sums: list) -> list:
    """Return losses of such sums, without gradients."""
    return [None if one is None else Part(one) for one in sums]


def gathered(gradients, names) -> dict:
    """Return the gradient of each weight, by its first name: the sum of those by all its names."""
    return {name: reduce(added_up, [gradients[one] for one in own]) for name, own in names.items()}


def trained(arrays: Mapping, weight_options: Mapping) -> dict[str, list[str]]:
    """Return all names of each trained weight by the first one: a layer may be in several places."""
    found: dict[int, list[str]] = {}
    for name, array in arrays.items():
        if weight_options[name].trainable:
            found.setdefault(id(array), []).append(name)
    return {names[0]: names for names in found.values()}


def in_order(nested, count: int) -> list:
    """Return the outputs of a model, or their masks, as a list with one entry per output."""
    found = [None] * count if nested is None else leaves_of(nested)
    if len(found) != count:
        raise ValueError(
            f"expected a model with {count} output{'s' * (count > 1)} for training, got {len(found)} arrays; a layer "
            "with return_state gives its states too"
        )
    return found


def read_targets(batch: Batch, outputs, masks) -> list:
    """Return the targets as far as a loss reads them: 0 under a mask, and where a sample's weight is 0."""
    found = []
    for k, (y, output, mask) in enumerate(zip(batch.y or [], outputs, masks, strict=False)):
        if y is not None and (used := entries.used_steps(mask, output.shape)) is not None:
            y = np.where(entries.behind(used, y), y, 0)
        weight = None if batch.weights is None else batch.weights[k]
        if y is not None and weight is not None:
            silent = entries.weights(weight, output.shape[: 1 + (output.ndim > 2)], np.float64) == 0
            y = np.where(silent.reshape(*silent.shape, *(1,) * (y.ndim - silent.ndim)), 0, y)
        found.append(y)
    return found


def _class_weight(given) -> dict[float, float]:
    if not isinstance(given, Mapping):
        raise ValueError(f"{_CLASS_WEIGHT}; got {given!r}")
    found: dict[float, float] = {}
    for label, weight in given.items():
        try:
            found[real_number(label, "a class")] = number_from_zero(weight, "a weight")
        except ValueError:
            raise ValueError(f"{_CLASS_WEIGHT}; got {label!r}: {weight!r}") from None
    return found


def first_offender(arrays: Iterable[tuple[str, np.ndarray | None]]) -> str | None:
    """Describe the first array that holds NaN or infinity; None if all are finite.

    >>> first_offender([("x", np.zeros(2)), ("y", np.array([1.0, np.nan]))])
    'y has 1 value of 2 that is not finite, the first of them nan at [1]'
    """
    for name, array in arrays:
        if array is None or array.dtype.kind != "f":
            continue
        wrong = ~np.isfinite(array)
        if count := int(wrong.sum()):
            place = np.unravel_index(int(wrong.argmax()), array.shape)
            values, verb = ("value", "is") if count == 1 else ("values", "are")
            return (
                f"{name} has {count} {values} of {array.size} that {verb} not finite, the first of them "
                f"{array[place]} at [{', '.join(map(str, place))}]"
            )
    return None
