"""A model's own `train_step`, `test_step`, `predict_step`, `compute_loss` and `compute_metrics`, called as in Keras."""

from __future__ import annotations

import inspect
from contextlib import suppress
from functools import lru_cache
from typing import Any

import numpy as np

from rnnkit import metrics as plain_metrics
from rnnkit.arrays import numbers_of
from rnnkit.callbacks.progress import watched
from rnnkit.keras import tree
from rnnkit.keras.own_loss import LossStepper
from rnnkit.keras.reads import Unknown
from rnnkit.keras.utils import pack_x_y_sample_weight, unpack_x_y_sample_weight
from rnnkit.layers.masking import Masking
from rnnkit.layers.support.assignments import by_attributes
from rnnkit.layers.support.layer_tree import all_layers
from rnnkit.layers.support.tape import GradientTape, TapeArray, plain
from rnnkit.layers.support.variable import assign_all
from rnnkit.models.assembled import Assembled
from rnnkit.models.subclassed_layer import SubclassedLayer, own_metrics
from rnnkit.steps.nesting import leaves_of, mapped, paths
from rnnkit.training.batches import Arrays, Names, brings_batches
from rnnkit.training.own_steps import Items, OwnStepper, flat, numbers, weighted_loss
from rnnkit.training.steps import in_order
from rnnkit.training.trainable import joined

_OF_METRICS = "compute_metrics metrics get_metrics_result reset_metrics".split()
_TRAINING = ["train_step", "test_step", "compute_loss", *_OF_METRICS]
_signature = lru_cache(maxsize=256)(inspect.signature)


class StepsOfModel(Assembled):
    """Models whose class may define Keras's steps, and the default steps."""

    _loss_tracker: Any = None
    _loss_trackers: Any  # of outputs, where several have a loss

    # To be overridden

    def train_step(self, data) -> dict:
        """Change the weights by a batch, ``x``, ``(x, y)`` or ``(x, y, sample_weight)``, and return the logs."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        with GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self._loss_of(x, y, y_pred, sample_weight, True)
        self._loss_tracker.update_state(plain(loss), sample_weight=len(tree.flatten(x)[0]))
        if variables := self.trainable_variables:
            self.optimizer.apply(tape.gradient(loss, variables), variables)
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def test_step(self, data) -> dict:
        """Return the logs of a batch, the loss and the metrics."""
        x, y, sample_weight = unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        loss = self._loss_of(x, y, y_pred, sample_weight, False)
        self._loss_tracker.update_state(plain(loss), sample_weight=len(tree.flatten(x)[0]))
        return self.compute_metrics(x, y, y_pred, sample_weight)

    def predict_step(self, data) -> Any:
        """Return the outputs of a batch."""
        return self(unpack_x_y_sample_weight(data)[0], training=False)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True) -> Any:
        """Return the loss of `compile` and the regularizers' penalties, as one number.

        Raises
        ------
        ValueError
            If there is none; and of a model whose outputs have masks, without `x`.
        """
        compiled = self._ready()
        any_loss, parts = any(compiled.objectives), self.losses
        total: Any = sum(parts[1:], parts[0]) if parts else None
        outputs, targets, weights, masks = self._by_output(x, y, y_pred, sample_weight) if any_loss else ([],) * 4
        targets = [None if one is None else numbers_of(one) for one in targets]
        for k, (objective, place) in enumerate(zip(compiled.objectives, compiled.places, strict=True)):
            if objective is not None:
                if missing := [compiled.outputs[i] for i in leaves_of(place) if targets[i] is None]:
                    raise ValueError(f"expected a target for the output {missing[0]!r}, got None")
                target, output, mask, own = (mapped(place, of.__getitem__) for of in (targets, outputs, masks, weights))
                mean, loss = weighted_loss(objective, target, output, mask, own, compiled.loss_weights[k])
                total = loss if total is None else total + loss
                if k in self._loss_trackers:
                    self._loss_trackers[k].update_state(mean, sample_weight=len(outputs[leaves_of(place)[0]]))
        if total is None:
            raise ValueError(
                f"expected a loss of {self.name!r}, got none; call compile(loss=…), or define compute_loss"
            )
        return total

    def compute_metrics(self, x, y, y_pred, sample_weight=None) -> dict:
        """Add a batch to the metrics of `compile`, and return all metrics by name."""
        self._add_to_metrics(x, y, y_pred, sample_weight)
        return self.get_metrics_result()

    def _add_to_metrics(self, x, y, y_pred, sample_weight) -> None:
        """Add a batch to the metrics of `compile`."""
        if given := self._ready().metrics:
            outputs, targets, weights, masks = self._by_output(x, y, y_pred, sample_weight)
            for _, k, metric, weighted in given:
                metric.update(targets[k], plain(outputs[k]), masks[k], weights[k] if weighted else None)

    def get_metrics_result(self) -> dict:
        """Return the results of all metrics, by name."""
        named = {} if self._compiled is None else {id(metric): name for name, _, metric, _ in self._compiled.metrics}
        return flat({named.get(id(one), one.name): one.result() for one in self.metrics})

    def reset_metrics(self) -> None:
        """Reset all metrics."""
        for one in self.metrics:
            one.reset_state()

    @property
    def metrics(self) -> list:
        """The mean of the loss, metrics that are attributes, and those of `compile`."""
        if self._compiled is None:
            return list(own_metrics(self))
        given = [metric for _, _, metric, _ in self._compiled.metrics]
        return [self._loss_tracker, *own_metrics(self), *given, *self._loss_trackers.values()]

    @property
    def metrics_variables(self) -> list:
        """The variables of all metrics that have any."""
        return [variable for one in self.metrics for variable in getattr(one, "variables", ())]

    def zero_grad(self) -> None:
        """Refused: arrays keep no gradients.

        Raises
        ------
        NotImplementedError
        """
        raise NotImplementedError(
            "expected no zero_grad and loss.backward, as of PyTorch: compute the loss inside of `with "
            "keras.GradientTape() as tape:`, and ask for tape.gradient(loss, self.trainable_variables)"
        )

    # Calls of the steps

    def _overrides(self, *names) -> bool:
        """Return whether the program defines one of these itself."""
        return any(name in vars(self) or getattr(type(self), name) is not getattr(StepsOfModel, name) for name in names)

    def _has_own_steps(self) -> bool:
        """Return whether training and evaluation call the program's own steps."""
        return self._overrides(*_TRAINING)

    def compile(self, *arguments, **keywords) -> None:
        """Say how the model is to be trained."""
        super().compile(*arguments, **keywords)
        self._loss_tracker = plain_metrics.Mean("loss")
        names = [f"{name}_loss" if name else "" for name in self._ready().parts]
        self._loss_trackers = {k: plain_metrics.Mean(name) for k, name in enumerate(names) if name}

    def _loss_of(self, x, y, y_pred, sample_weight, training):
        more = {"training": training} if "training" in _signature(type(self).compute_loss).parameters else {}
        return self.compute_loss(x, y, y_pred, sample_weight, **more)

    def _by_output(self, x, y, y_pred, sample_weight) -> tuple[list, list, list, list]:
        """Return outputs, targets, weights and masks, one for each output."""
        count = len(self._interface._output_names())
        outputs, names = self._ordered(y_pred, count), Names(self._interface._output_names(), "sample_weight")
        weights = [None] * count if sample_weight is None else names.each(sample_weight)
        masks = self._ordered(self._masks_of(x, y_pred), count)
        return outputs, self._targets().split(y), weights, masks

    def _ordered(self, nested, count) -> list:
        keys, names = paths(nested), self._interface._output_names()
        known = set(names) <= set(keys)
        return [leaves_of(nested)[keys.index(name)] for name in names] if known else in_order(nested, count)

    def _masks_of(self, x, y_pred) -> Any:
        if not _makes_masks(self):
            return None
        for one in tree.flatten(y_pred):
            if isinstance(one, TapeArray) and one.inputs is not None:
                return one.mask
        if x is None:
            raise ValueError(
                f"expected x for the loss of {self.name!r}, whose outputs have masks: self.compute_loss(x, y, y_pred)"
            )
        return self.compute_mask(x)

    def _step(self, name: str, data) -> Any:
        """Return the result of a step, also of one in jax's form, ``step(state, data)``."""
        step = getattr(self, name)
        if "state" not in _signature(getattr(step, "__func__", step)).parameters:
            return step(data)
        if not self.built:
            self(unpack_x_y_sample_weight(data)[0])
        training, optimizer = name == "train_step", self.optimizer
        if training and not optimizer._variables:
            optimizer.build(self.trainable_variables)
        parts = [self.trainable_variables, self.non_trainable_variables]
        parts += [self.metrics_variables] * (name != "predict_step")
        state = [[one.value for one in part] for part in parts]
        if training:
            state.insert(2, list(optimizer.get_state().values()))
        logs, state = step(tuple(state), data)
        if name == "predict_step":
            return logs
        state = list(state)
        if training:
            entries = zip(optimizer._state_names(), state.pop(2), strict=True)
            optimizer.set_state({entry: np.asarray(value) for entry, value in entries})
        for part, values in zip(parts, state, strict=True):
            assign_all(part, plain(list(values)))
        return logs

    def _ready(self, to_train: bool = False):
        return super()._ready(to_train and not self._has_own_steps())

    def _source(self, x, y, sample_weight, batch_size, steps):
        if not self._has_own_steps():
            return super()._source(x, y, sample_weight, batch_size, steps)
        return self._rows_of(x, y, sample_weight, batch_size, steps)

    def _rows_of(self, x, y, sample_weight, batch_size, steps):
        """Return batches of data that is nested in any way."""
        if brings_batches(x, y):
            return Items(x, Names(["x"], "x"), Names(["y"], "y"), steps, with_targets=False)
        nesting = x, y, sample_weight
        parts = [None if one is None else tree.flatten(one) for one in nesting]
        found = Arrays(parts[0] or [None], parts[1], parts[2], batch_size, steps)
        found.nesting = nesting
        return found

    def _data_of(self, batch, nesting) -> Any:
        """Return a batch as a step takes it."""
        if nesting is None:
            return batch.x[0]
        given = zip(nesting, (batch.x, batch.y, batch.weights), strict=True)
        parts = (None if own is None else tree.pack_sequence_as(own, arrays) for own, arrays in given)
        return pack_x_y_sample_weight(*parts)

    def _stepper(self, source, class_weight, parts):
        if not self._has_own_steps():
            return super()._stepper(source, class_weight, parts)
        if class_weight is not None or parts is not None or hasattr(self.optimizer, "minimize"):
            raise NotImplementedError(
                f"expected no class_weight, parts or LBFGS with the own steps of {type(self).__name__}; give "
                "sample_weight, or compute them in train_step"
            )
        compiled = self._ready()
        if source.nesting is not None and not self._overrides("train_step") and not own_metrics(self):
            metrics = [one for one in _OF_METRICS if self._overrides(one)]
            if not _makes_masks(self) or not (metrics or compiled.metrics):
                with suppress(Unknown):
                    return LossStepper(self, compiled, source.nesting, metrics)
        return OwnStepper(self, compiled, source.nesting)

    def _tester(self, source):
        if not self._has_own_steps():
            return super()._tester(source)
        return OwnStepper(self, self._ready(), source.nesting)

    def _on_batch(self, name: str, x, y=None, sample_weight=None) -> dict:
        return numbers(self._step(name, pack_x_y_sample_weight(x, y, sample_weight)), name)

    def _by_predict_step(self, x, batch_size, verbose, steps, callbacks):
        source = self._rows_of(x, None, None, batch_size or 32, steps)
        callback_list = self._callback_list(callbacks, source)
        callback_list.on_predict_begin()
        found = []
        for i, batch in enumerate(watched(source.run(), len(source), "predict", verbose)):
            callback_list.on_predict_batch_begin(i)
            found.append(plain(self._step("predict_step", self._data_of(batch, source.nesting))))
            callback_list.on_predict_batch_end(i, {"outputs": found[-1]})
        callback_list.on_predict_end()
        if not found:
            raise ValueError("expected at least one batch to predict, got none")
        return joined(found)


@by_attributes
def _makes_masks(model) -> bool:
    def may_mask(layer) -> bool:
        own = isinstance(layer, SubclassedLayer) and type(layer).compute_mask is not SubclassedLayer.compute_mask
        return own or isinstance(layer, Masking) or bool(getattr(layer, "mask_zero", False))

    return any(map(may_mask, all_layers(model)))


def in_keras_order(logs: dict, metrics) -> list:
    """Return the numbers of logs, those of metrics first."""
    names = [one.name for one in metrics if one.name in logs]
    return [logs[name] for name in dict.fromkeys([*names, *sorted(logs)])]
