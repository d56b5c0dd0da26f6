"""An end of training without an error at a NaN loss."""

from __future__ import annotations

import math
from typing import Any

from rnnkit.callbacks.callback import Callback
from rnnkit.hints import Logs


class NotFinite(FloatingPointError, RuntimeError):
    """The error of a loss that isn't finite, of a fit with `TerminateOnNaN`."""


class TerminateOnNaN(Callback):
    """A callback that ends a fit when the loss is NaN or infinite, in place of an error.

    Parameters
    ----------
    raise_error : bool
        True leaves it to the error, a FloatingPointError that is a RuntimeError too.

    Attributes
    ----------
    logs_epoch : bool
        Whether the epoch that ends so is in the history, with NaN for all numbers.
    stopped_epoch, stopped_batch : int or None
        The epoch and batch of the end, from 0; None without one.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> model = rk.Sequential([rk.Dense(1)], seed=0)
    >>> model.compile("sgd", "mse")
    >>> stop = rk.callbacks.TerminateOnNaN()
    >>> history = model.fit(np.ones((4, 2)), np.full((4, 1), np.nan), callbacks=[stop])
    >>> stop.stopped_epoch
    0
    """

    logs_epoch = False

    def __init__(self, raise_error: bool = False):
        super().__init__()
        self.raise_error: bool = bool(raise_error)
        self._start()

    def _start(self):
        self._epoch = 0
        self.stopped_epoch: int | None = None
        self.stopped_batch: int | None = None

    def on_train_begin(self, logs: Logs = None) -> None:
        """Forget an earlier fit."""
        self._start()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Remember the number of the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: Any, logs: Logs = None) -> None:
        """Stop if the loss is NaN or infinite."""
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            self.stopped_epoch, self.stopped_batch = self._epoch, batch
            self.model.stop_training = True
