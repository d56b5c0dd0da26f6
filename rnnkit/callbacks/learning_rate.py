"""Callbacks that change the learning rate between epochs."""

from __future__ import annotations

import inspect
import math
from typing import Any

from rnnkit.arguments import real_number, whole
from rnnkit.callbacks.callback import Callback
from rnnkit.callbacks.monitoring import Monitor
from rnnkit.console import say
from rnnkit.hints import Logs


class LearningRateScheduler(Callback):
    """A callback that sets the learning rate before every epoch.

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, learning_rate)`` or ``schedule(epoch)``, `epoch` from 0; gives the epoch's learning rate.
    verbose : {0, 1}
        1 prints the learning rate.

    Raises
    ------
    TypeError
        If `schedule` isn't callable.
    ValueError
        Before an epoch, if `schedule` returns no finite number of at least 0.

    Examples
    --------
    >>> import rnnkit.callbacks
    >>> halve = rnnkit.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2 if epoch % 10 == 9 else rate)
    """

    def __init__(self, schedule: Any, verbose: Any = 0):
        super().__init__()
        if not callable(schedule):
            raise TypeError(f"expected schedule to be a function of epoch and learning rate, got {schedule!r}")
        self.schedule = schedule
        self.verbose = verbose
        try:
            inspect.signature(schedule).bind(0, 0.0)
            self._takes_rate = True
        except TypeError:
            self._takes_rate = False
        except ValueError:  # without a signature
            self._takes_rate = True

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Set the epoch's learning rate."""
        optimizer = self.model.optimizer
        arguments = (epoch, float(optimizer.learning_rate)) if self._takes_rate else (epoch,)
        rate = self.schedule(*arguments)
        try:
            found = float(rate)
        except (TypeError, ValueError, OverflowError):
            found = math.nan
        if not 0 <= found < math.inf:
            raise ValueError(f"expected the schedule to give a finite number from 0 for epoch {epoch}, got {rate!r}")
        optimizer.learning_rate = found
        if self.verbose:
            say(f"epoch {epoch + 1}: LearningRateScheduler setting learning rate to {found}")


class ReduceLROnPlateau(Monitor):
    """A callback that reduces the learning rate when a number has stopped improving.

    Parameters
    ----------
    factor : float
        A factor in (0, 1) of the learning rate.
    patience : int
        Epochs without an improvement after which the rate is reduced.
    verbose : {0, 1}
        1 prints each reduction.
    cooldown : int
        Epochs after a reduction that the patience doesn't count.
    min_lr : float
        The least learning rate.

    Raises
    ------
    ValueError
        For another `factor`; and at the end of the first epoch, if the logs have no such number.
    TypeError
        When training begins, if the learning rate is a schedule's, which can't be set.

    Examples
    --------
    >>> import rnnkit.callbacks
    >>> reduction = rnnkit.callbacks.ReduceLROnPlateau("val_loss", factor=0.2, patience=5, min_lr=1e-5)
    """

    best: Any
    wait: int
    cooldown_counter: int

    def __init__(
        self,
        monitor: str = "val_loss",
        factor: float = 0.1,
        patience: int = 10,
        verbose: Any = 0,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ):
        super().__init__(monitor, mode, min_delta)
        if not 0 < real_number(factor, "factor") < 1:
            raise ValueError(f"expected factor between 0 and 1, got {factor!r}")
        self.factor: float = float(factor)
        self.patience: Any = whole(patience, "patience", 0)
        self.verbose = verbose
        self.cooldown: Any = whole(cooldown, "cooldown", 0)
        self.min_lr: float = real_number(min_lr, "min_lr")
        self._start()

    def _start(self):
        self._watch_anew()
        self.wait = self.cooldown_counter = 0

    def on_train_begin(self, logs: Logs = None) -> None:
        """Reset the state, and raise an error now if the learning rate can't be set."""
        self._start()
        optimizer = self.model.optimizer
        optimizer.learning_rate = float(optimizer.learning_rate)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Compare with the best value so far, and reduce the learning rate once the patience is exhausted."""
        value = self._watched(logs)
        if value is None:
            return
        if self.cooldown_counter:
            self.cooldown_counter -= 1
            self.wait = 0
        if self._is_better(value, self.best):
            self.best, self.wait = value, 0
        elif not self.cooldown_counter:
            self.wait += 1
            rate = float(self.model.optimizer.learning_rate)
            if self.wait >= self.patience and rate > self.min_lr:
                reduced = max(float(f"{rate * self.factor:.15g}"), self.min_lr)  # a tenth of 0.1 is 0.01
                self.model.optimizer.learning_rate = reduced
                self.cooldown_counter, self.wait = self.cooldown, 0
                if self.verbose:
                    say(f"epoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {reduced}")
