"""Training by a program's own steps of a model, and their logs."""

from __future__ import annotations

import numpy as np

from rnnkit.arrays import numbers_of
from rnnkit.layers.support.tape import TapeArray, active_tape
from rnnkit.steps.nesting import leaves_of, mapped
from rnnkit.training.batches import Batch, Iterable
from rnnkit.training.steps import Stepper


class OwnStepper(Stepper):
    """Stepper that passes batches to a model's own steps."""

    def __init__(self, model, compiled, nesting):
        super().__init__(model, compiled)
        self.nesting = nesting

    @property
    def updates(self):
        """The number of batches that were trained on."""
        return self.compiled.steps_made

    def tally(self):
        """Return a tally of the steps' logs."""
        return OwnTally(self.model)

    def train(self, batch, tally):
        """Let `train_step` change the weights."""
        tally.take(self.model._step("train_step", self.model._data_of(batch, self.nesting)), "train_step")
        self.compiled.steps_made += 1

    def test(self, batch, tally):
        """Let `test_step` evaluate a batch."""
        tally.take(self.model._step("test_step", self.model._data_of(batch, self.nesting)), "test_step")


class OwnTally:
    """Tally of a model's own steps: the logs of the last batch, since metrics add up themselves."""

    def __init__(self, model):
        self.batches, self._logs = 0, {}
        model.reset_metrics()

    def take(self, logs, step):
        """Take the logs of a batch."""
        self._logs = numbers(logs, step)
        self.batches += 1

    def logs(self):
        """Return the logs of the last batch."""
        return dict(self._logs)


class Items(Iterable):
    """Batches of an iterable, as they are."""

    nesting = None

    def _batch(self, item):
        return Batch([mapped(item, lambda one: None if one is None else np.asarray(one))])


def flat(logs: dict) -> dict:
    """Return logs with the entries of dicts in place of these."""
    found: dict = {}
    for name, value in logs.items():
        found |= flat(value) if isinstance(value, dict) else {name: value}
    return found


def numbers(logs, step: str) -> dict:
    """Return the logs of a step as numbers by name."""
    if not isinstance(logs, dict):
        raise TypeError(f"expected {step} to return a dict of numbers by name, got {type(logs).__name__}")
    found = {}
    for name, value in flat(logs).items():
        array = np.asarray(numbers_of(value))
        if array.size != 1:
            raise ValueError(f"expected {step} to return one number for {name!r}, got an array {array.shape}")
        found[name] = float(array.item())
    return found


def weighted_loss(objective, target, output, mask, sample_weight, loss_weight) -> tuple:
    """Return the loss of an output, or of nested ones, and it times its weight, with a gradient for a tape's arrays."""
    outputs = leaves_of(output)
    tape = active_tape() if any(isinstance(one, TapeArray) for one in outputs) else None
    part = objective(target, mapped(output, numbers_of), mask, sample_weight, gradient=tape is not None)
    mean = part.mean
    if tape is None or not part.count:
        return mean, loss_weight * mean
    back = lambda d: [one * one.dtype.type(d) for one in leaves_of(part.pull_mean(loss_weight))]
    return mean, tape.note(loss_weight * mean, outputs, back)
