"""Training by the default step with an own `compute_loss`, or `compute_metrics`, that read nothing unknown."""

from __future__ import annotations

import math
from contextlib import suppress
from dataclasses import replace
from types import SimpleNamespace

import numpy as np

from rnnkit.identity import Same
from rnnkit.keras.reads import Unknown, facts_read
from rnnkit.keras.utils import unpack_x_y_sample_weight
from rnnkit.layers.support.layer_tree import options_by_name
from rnnkit.layers.support.tape import GradientTape, plain
from rnnkit.layers.support.weight_mapping import weight_keys
from rnnkit.steps.nesting import mapped
from rnnkit.training.objective import Part
from rnnkit.training.own_steps import OwnStepper, OwnTally, numbers
from rnnkit.training.tally import may_keep


class LossStepper(OwnStepper):
    """Stepper of a model whose `train_step` is Keras's; batches are repeated, but for what the model does with metrics.

    Raises
    ------
    Unknown
        If it can't be told what the loss or the metrics depend on.
    """

    def __init__(self, model, compiled, nesting, own_metrics):
        super().__init__(model, compiled, nesting)
        self._nesting, self._own_metrics = mapped(nesting, lambda _: None), own_metrics
        self._reads()

    def reads(self):
        """Return, for comparison, what loss and metrics read besides their arguments; None if it can't be told."""
        with suppress(Unknown):
            return self._reads()
        return None

    def _reads(self):
        model, facts = self.model, [self._nesting, Same(self.compiled)]
        return facts + facts_read(model, ["compute_loss"]) + facts_read(model, self._own_metrics, weights=False)

    def has_lost(self, sums):
        """Return whether a recording's loss is that of the last batch that was trained on anew."""
        return sums[0][0] == self._last

    def options(self):
        """Return the options of weights in an update, whose penalties are in the loss if the program adds them."""
        return {name: replace(one, regularizer=None) for name, one in options_by_name(self.model).items()}

    def tally(self):
        """Return a tally of the model's metrics."""
        return _Tally(self.model, self.nesting, bool(self._own_metrics))

    def train(self, batch, tally):
        """Change the weights by a batch."""
        self.model._update_runner.train(self, batch, tally)
        self.compiled.steps_made += 1

    def train_anew(self, batch, tally):
        """Train as `train` does, without recordings; without a tally if that has the batch already."""
        found, variables = self.differentiated(batch), self.model.trainable_variables
        self._last = found.parts[0].total
        if tally is not None:
            tally.add(batch, found.outputs, None, found.parts, 0.0)
        if variables:
            self.model.optimizer.apply(found.by_variable(), variables)

    def differentiated(self, batch):
        """Return the loss of a batch, with the means to get its gradient."""
        model = self.model
        x, y, sample_weight = unpack_x_y_sample_weight(model._data_of(batch, self.nesting))
        with GradientTape() as tape:
            y_pred = model(x, training=True)
            loss = model._loss_of(x, y, y_pred, sample_weight, True)
        loss_now = np.asanyarray(plain(loss))
        sums = np.ones(2, like=loss_now)
        sums[0] = loss_now
        by_variable = lambda: tape.gradient(loss, model.trainable_variables)
        by_name = lambda names: dict(zip(names, by_variable(), strict=True))
        given = {"batch": batch, "outputs": plain(y_pred), "masks": None, "parts": [Part(sums)], "added": ()}
        return SimpleNamespace(**given, gradients=by_name, by_variable=by_variable)

    def names(self):
        """Return the names of the trained weights, in the order of the variables."""
        names = {key: name for name, key in reversed(weight_keys(self.model).items())}
        return [names[one.key] for one in self.model.trainable_variables]

    def is_finite(self, parts, penalty):
        """Return whether the loss is finite."""
        return math.isfinite(parts[0].total)


class _Tally(OwnTally):
    """Tally of a model's own metrics."""

    def __init__(self, model, nesting, own):
        super().__init__(model)
        self.model, self.nesting, self.own = model, nesting, own
        self.may_keep = own or any(may_keep(metric) for _, _, metric, _ in model._ready().metrics)

    def add(self, batch, outputs, masks, parts, penalty):
        """Add a batch, its outputs and its loss."""
        model, tape = self.model, GradientTape()
        x, y, sample_weight = unpack_x_y_sample_weight(model._data_of(batch, self.nesting))
        model._loss_tracker.update_state(parts[0].total, sample_weight=batch.rows)
        if self.own:
            y_pred = mapped(outputs, tape.watch)  # has an array's methods in Keras
            self._logs = numbers(model.compute_metrics(x, y, y_pred, sample_weight), "compute_metrics")
        else:
            model._add_to_metrics(x, y, outputs, sample_weight)
        self.batches += 1

    def logs(self):
        """Return the results of the metrics."""
        return super().logs() if self.own else numbers(self.model.get_metrics_result(), "train_step")
