"""One batch through a model: its loss, its gradient, and the weights after it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnnkit import entries
from rnnkit.training.batches import Batch
from rnnkit.training.compiled import Compiled
from rnnkit.training.finite import first_offender
from rnnkit.training.objective import Part
from rnnkit.training.tally import Tally


class Stepper:
    """Runs batches through a compiled model.

    Parameters
    ----------
    model : Trainable
    compiled : Compiled
    class_weight : dict of int to float, optional
        A factor for rows, or steps, by the class of their target.

    Raises
    ------
    ValueError
        For another `class_weight`.
    """

    def __init__(self, model, compiled: Compiled, class_weight: Mapping | None = None):
        if class_weight is not None and not isinstance(class_weight, Mapping):
            raise ValueError(f"expected class_weight as a dict from classes to weights, got {class_weight!r}")
        self.model, self.compiled, self.class_weight = model, compiled, class_weight
        self._traits: dict | None = None

    def train(self, batch: Batch, tally: Tally) -> None:
        """Change the weights by one batch.

        Raises
        ------
        FloatingPointError
            If the loss or a gradient isn't finite. As with any error, no weight and no state is changed then.
        """
        model, compiled = self.model, self.compiled
        with model._all_or_nothing():
            x = batch.x[0] if len(batch.x) == 1 else batch.x
            outputs, masks, pullback = model._vjp_with_mask(x, None, True, compiled.options)
            outputs, masks = in_order(outputs, len(compiled.outputs)), in_order(masks, len(compiled.outputs))
            parts, cotangents = self._losses(batch, outputs, masks, True), []
            for part, weight in zip(parts, compiled.loss_weights, strict=True):
                cotangents.append(part.pull(weight / part.count) if part is not None and part.count else None)
            penalty = self.penalty()
            self._check(batch, outputs, masks, parts, penalty)
            gradients = pullback.pull_weights(cotangents).weights
            tally.add(batch, outputs, masks, parts, penalty)  # a metric may fail, and the optimizer is to be last
            traits, arrays = self.traits, model._arrays()
            chosen = {name: array for name, array in arrays.items() if traits[name].trainable}
            new = compiled.optimizer.apply(
                chosen, {name: gradients[name] for name in chosen}, {name: traits[name] for name in chosen}
            )
            model._put_arrays(new)

    def whole(self, batches, counts) -> tuple[float, dict]:
        """The loss over several batches and its gradient, where it is known what each output's mean is over."""
        model, loss = self.model, 0.0
        total: dict[str, np.ndarray] = {}
        for batch in batches:
            x = batch.x[0] if len(batch.x) == 1 else batch.x
            outputs, masks, pullback = model._vjp_with_mask(x, None, True, self.compiled.options)
            outputs, masks = in_order(outputs, len(counts)), in_order(masks, len(counts))
            cotangents = []
            for part, weight, count in zip(
                self._losses(batch, outputs, masks, True), self.compiled.loss_weights, counts, strict=True
            ):
                cotangents.append(part.pull(weight / count) if part is not None and count else None)
                loss += weight * part.total / count if part is not None and count else 0.0
            gradients = pullback.pull_weights(cotangents).weights
            found = {n: np.asarray(gradients[n], np.float64) for n, t in self.traits.items() if t.trainable}
            total = {name: total[name] + array for name, array in found.items()} if total else found
        return loss, total

    def test(self, batch: Batch, tally: Tally) -> None:
        """Add a batch's loss and metrics, outside training."""
        outputs, masks = self.forward(batch)
        tally.add(batch, outputs, masks, self._losses(batch, outputs, masks, False), self.penalty())

    def forward(self, batch: Batch, training: bool = False) -> tuple[list, list]:
        """Outputs and masks, one per output."""
        outputs, masks = self.model._with_mask(batch.x[0] if len(batch.x) == 1 else batch.x, None, training)
        count = len(self.compiled.outputs)
        return in_order(outputs, count), in_order(masks, count)

    @property
    def traits(self) -> dict:
        """Of each weight: whether it is trained, its regularizer and its constraint."""
        if self._traits is None:
            self._traits = self.model._traits()
        return self._traits

    def penalty(self) -> float:
        """What the regularizers add to the loss."""
        traits = self.traits
        if not any(t.regularizer for t in traits.values()):
            return 0.0
        arrays = self.model._arrays()
        return sum(float(t.regularizer(arrays[name])) for name, t in traits.items() if t.regularizer and t.trainable)

    def _losses(self, batch, outputs, masks, gradient) -> list:
        found: list[Part | None] = []
        for k, objective in enumerate(self.compiled.objectives):
            if objective is None:
                found.append(None)
                continue
            y = None if batch.y is None else batch.y[k]
            if y is None:
                raise ValueError(f"expected a target for the output {self.compiled.outputs[k]!r}, got None")
            weight = None if batch.weights is None else batch.weights[k]
            if self.class_weight is not None:
                factor = by_class(self.class_weight, y)
                weight = factor if weight is None else (factor.T * np.asarray(weight).T).T
            found.append(objective(y, outputs[k], masks[k], weight, gradient=gradient))
        return found

    def _check(self, batch, outputs, masks, parts, penalty):
        if all(np.isfinite(part.total) for part in parts if part is not None) and np.isfinite(penalty):
            return
        found = self._offender(batch, outputs, masks)
        raise FloatingPointError(f"the loss is not finite: {found}; no weight was changed")

    def _offender(self, batch, outputs, masks) -> str:
        """The first array on the way from the inputs to the loss that isn't finite."""
        names = self.model._input_names()

        def arrays():
            for name, array in zip(names, batch.x, strict=True):
                yield ("x" if len(names) == 1 else f"the input {name!r}"), array
            targets = read_targets(batch, outputs, masks)
            for name, array in zip(self.compiled.outputs, targets, strict=False):
                yield ("y" if len(self.compiled.outputs) == 1 else f"the target of {name!r}"), array
            for array in batch.weights or []:
                yield "sample_weight", array
            for name, array in self.model._arrays().items():
                yield f"the weight {name!r}", array
            yield from self.model._watched(batch.x[0] if len(batch.x) == 1 else batch.x)
            for name, array in zip(self.compiled.outputs, outputs, strict=True):
                yield f"the output {name!r}", array

        return first_offender(arrays()) or "all arrays up to the outputs are, but what the loss makes of them isn't"


def in_order(nested, count: int) -> list:
    """The outputs of a model, or their masks, as a list with one entry per output."""
    if count == 1 and not isinstance(nested, (list, tuple)):
        return [nested]
    if nested is None:
        return [None] * count
    if isinstance(nested, Mapping):
        nested = list(nested.values())
    if not isinstance(nested, (list, tuple)) or len(nested) != count:
        raise ValueError(
            f"expected a model with {count} output{'s' * (count > 1)} for training, got {len(nested)} arrays; a layer "
            "with return_state gives its states too"
        )
    return list(nested)


def read_targets(batch: Batch, outputs, masks) -> list:
    """The targets as far as a loss reads them: 0 under a mask, and where a sample's weight is 0."""
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


def by_class(class_weight: Mapping, y) -> np.ndarray:
    """A weight for each target, by its class: ids, or the largest of several values; 1 where none is given."""
    y = np.asarray(y)
    if y.dtype.kind == "f" and y.ndim > 1 and y.shape[-1] > 1:
        y = y.argmax(axis=-1)
    elif y.ndim > 1 and y.shape[-1] == 1:
        y = y[..., 0]
    weights = np.ones(y.shape, np.float32)
    for label, weight in class_weight.items():
        weights[y == label] = weight
    return weights
