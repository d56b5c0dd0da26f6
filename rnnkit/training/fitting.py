"""The epochs of a fit."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnkit.arguments import is_own, whole
from rnnkit.callbacks import History
from rnnkit.callbacks.calling import CallbackList
from rnnkit.callbacks.terminate_on_nan import NotFinite
from rnnkit.layers.support.facts import states_aside
from rnnkit.layers.support.layer_tree import all_layers, arrays_by_name, held_by, options_by_name, put_arrays
from rnnkit.training.batches import Arrays, Iterable
from rnnkit.training.interrupt import after_the_batch
from rnnkit.training.steps import Stepper
from rnnkit.training.tally import Tally


@dataclass(eq=False)
class Fit:
    """One call of `fit`, its arguments checked."""

    model: Any
    stepper: Stepper
    source: Arrays | Iterable
    validation: Arrays | Iterable | None
    epochs: int
    initial_epoch: int
    shuffle: bool
    callbacks: Any
    verbose: Any
    validation_freq: int
    callback_list: CallbackList = field(init=False)
    history: History = field(init=False)
    logs: dict | None = None  # of the last epoch

    def __post_init__(self):
        self.epochs, self.initial_epoch = whole(self.epochs, "epochs", 0), whole(self.initial_epoch, "initial_epoch", 0)
        if self.initial_epoch >= max(self.epochs, 1):
            said = (
                f"expected initial_epoch below epochs={self.epochs}, which counts from epoch 0; got "
                f"{self.initial_epoch}: nothing is left to train, and epochs={self.initial_epoch + 1} trains one more"
            )
            if self.initial_epoch > self.epochs:
                raise ValueError(said)
            warnings.warn(said, stacklevel=5)  # of a fit that was done before it was begun again

    def run(self) -> History:
        """Train until the last epoch, or until something stops it."""
        model = self.model
        params = {
            "epochs": self.epochs,
            "steps": len(self.source) or None,
            "batch_size": getattr(self.source, "batch_size", None),
            "verbose": self.verbose,
            "validation_freq": self.validation_freq,
        }
        self.callback_list = CallbackList(self.callbacks, model, params)
        self.history = self.callback_list.history
        self.history.traffic = getattr(self.stepper, "traffic", None)
        model.history, model.stop_training, model.resumed_epoch = self.history, False, 0
        train = self._by_minimizer if hasattr(self.stepper.compiled.optimizer, "minimize") else self._by_batches
        with after_the_batch() as interrupted:
            self.interrupted = interrupted
            self.callback_list.on_train_begin()
            try:
                train()
            finally:
                self.stepper.close()
                self.history.interrupted = interrupted()
                self._put_averages()
                self.callback_list.on_train_end(self.logs)
        return self.history

    def _put_averages(self) -> None:
        """Put the averages that the optimizer keeps in the places of the weights."""
        model, optimizer = self.model, self.stepper.compiled.optimizer
        if model.built and (optimizer._swapped or not is_own(type(optimizer))):
            optimizer.finalize_variable_values(model.trainable_variables)
        elif optimizer.use_ema:
            state = optimizer.get_state().items()
            put_arrays(model, {name.removeprefix("ema/"): one for name, one in state if name.startswith("ema/")})

    def _by_batches(self):
        for epoch in range(max(self.initial_epoch, self.model.resumed_epoch), self.epochs):
            self.callback_list.on_epoch_begin(epoch)
            tally = self._epoch(epoch)
            if tally is None and any(one.logs_epoch for one in self.callback_list.watch_for_nan):
                names = self.stepper.compiled.names
                names = [*names, *(f"val_{name}" for name in names if self.validation is not None)]
                self.callback_list.on_epoch_end(epoch, dict.fromkeys(names, np.nan))
            if self.interrupted() or tally is None:
                return
            self._end(epoch, tally)
            if self._stopped():
                return

    def _epoch(self, epoch: int) -> Tally | None:
        """Run one epoch; return None if a loss that isn't finite ended it, as a callback wished."""
        model, tally, runner = self.model, self.stepper.tally(), self.model._update_runner
        updates = self.stepper.updates
        rng = model._epoch_generator(updates, max(0, updates - self.source.begun(epoch)))
        watched = self.source.runs_code or self.stepper.compiled.runs_code
        watched = watched or self.callback_list.looks_at_model("on_train_batch_begin", "on_train_batch_end")
        try:
            for i, batch in enumerate(self.source.run(rng if self.shuffle else None, epoch)):
                self.callback_list.on_train_batch_begin(i)
                try:
                    self.stepper.train(batch, tally)
                    if watched:
                        runner.settle()
                except FloatingPointError as error:
                    if self.callback_list.terminates_on_nan:
                        self.callback_list.on_train_batch_end(i, {"loss": np.nan})
                        return None
                    kind = NotFinite if self.callback_list.watch_for_nan else FloatingPointError
                    raise kind(f"epoch {epoch}, batch {i}: {error}") from None
                if self.callback_list.hears("on_train_batch_end"):
                    self.callback_list.on_train_batch_end(i, tally.logs())
                if self._stopped():
                    break
        finally:
            runner.settle()
        if not tally.batches:
            raise ValueError(f"expected at least one batch in epoch {epoch}, got none; an iterator runs dry only once")
        self.source.ended()
        return tally

    def _end(self, epoch: int, tally: Tally):
        """End an epoch: validate, and call the callbacks."""
        logs = tally.logs()
        if self.validation is not None and (epoch + 1) % self.validation_freq == 0:
            self.callback_list.on_test_begin()
            with states_aside(self.model):
                tester = self.model._tester(self.validation)  # classes weigh in training only
                found = self.model._tested(tester, self.validation.run(), self.callback_list).logs()
            self.callback_list.on_test_end(found)
            logs |= {f"val_{name}": value for name, value in found.items()}
        logs["learning_rate"] = float(self.stepper.compiled.optimizer.learning_rate)
        self.logs = logs
        self.callback_list.on_epoch_end(epoch, logs)

    def _stopped(self) -> bool:
        return self.interrupted() or self.model.stop_training

    def _by_minimizer(self):
        """Train by an optimizer that minimizes the loss of all rows as a function; an epoch is one iteration."""
        model, optimizer = self.model, self.stepper.compiled.optimizer
        if isinstance(self.source, Iterable) and self.source.once is not None:
            raise ValueError(f"expected data that {optimizer.name!r} can look at again and again, got an iterator")
        counts = self._evaluated().counts  # builds the model, too
        weight_options, names = options_by_name(model), self.stepper.names()
        kept, begins = _arrays_to_change(model, names), [self.initial_epoch]

        def function(weights):
            if begins:  # after the last iteration nothing is evaluated
                self.callback_list.on_epoch_begin(begins.pop())
            put_arrays(model, weights)
            model._epoch_generator(0)  # the same masks and states at each evaluation
            with states_aside(model):
                return self.stepper.whole(self.source.run(), counts)

        def follow(iteration, weights, loss):
            put_arrays(model, weights)
            reached = _arrays_to_change(model, names)
            self._end(self.initial_epoch + iteration, self._evaluated())
            nonlocal kept
            kept = reached
            begins.append(self.initial_epoch + iteration + 1)
            return self._stopped()

        try:
            start, options = ({name: of[name] for name in names} for of in (kept, weight_options))
            optimizer.minimize(function, start, options, self.epochs - self.initial_epoch, follow)
        except FloatingPointError:
            if not self.callback_list.terminates_on_nan:
                raise
            self.callback_list.on_train_batch_end(0, {"loss": np.nan})
        finally:
            put_arrays(model, kept)

    def _evaluated(self) -> Tally:
        with states_aside(self.model):
            return self.model._tested(self.stepper, self.source.run())


def _arrays_to_change(model, names) -> dict[str, np.ndarray]:
    """Return the arrays that training changes: the weights of these names, and moving averages."""
    moving = {id(array) for layer in all_layers(model) for array in held_by(layer).moving().values()}
    return {name: array for name, array in arrays_by_name(model).items() if name in names or id(array) in moving}
