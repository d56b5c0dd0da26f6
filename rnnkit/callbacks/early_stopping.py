"""Early stopping of a training without further improvement."""

from __future__ import annotations

from typing import Any

from rnnkit.arguments import real_number, whole
from rnnkit.callbacks.monitoring import Monitor
from rnnkit.console import say
from rnnkit.hints import Logs


class EarlyStopping(Monitor):
    """A callback that ends a fit when a number has stopped improving.

    Parameters
    ----------
    patience : int
        Epochs without an improvement after which training stops.
    verbose : {0, 1}
        1 prints the end of training and the epoch restored.
    baseline : float, optional
        Only epochs that are also better than this reset the patience.
    restore_best_weights : bool
        Restore the weights of the best epoch when training ends, by patience, after the last epoch or by Ctrl-C.
    start_from_epoch : int
        The first watched epoch, from 0.

    Attributes
    ----------
    best : float or None
    best_epoch, stopped_epoch : int or None
        From 0; `stopped_epoch` is None if training ended otherwise.

    Raises
    ------
    ValueError
        At the end of the first epoch, if the logs lack the number.

    Examples
    --------
    >>> import rnnkit.callbacks
    >>> stopping = rnnkit.callbacks.EarlyStopping("val_loss", patience=5, restore_best_weights=True)
    """

    best: Any
    no_epoch: int | None = None  # what best_epoch and stopped_epoch are without one

    def __init__(
        self,
        monitor: str = "val_loss",
        min_delta: float = 0,
        patience: int = 0,
        verbose: Any = 0,
        mode: str = "auto",
        baseline: float | None = None,
        restore_best_weights: bool = False,
        start_from_epoch: int = 0,
    ):
        super().__init__(monitor, mode, min_delta)
        self.patience: Any = whole(patience, "patience", 0)
        self.verbose = verbose
        self.baseline: Any = None if baseline is None else real_number(baseline, "baseline")
        self.restore_best_weights: bool = bool(restore_best_weights)
        self.start_from_epoch: Any = whole(start_from_epoch, "start_from_epoch", 0)
        self._start()

    def _start(self):
        self._watch_anew()
        self.best_epoch = self.stopped_epoch = self.no_epoch
        self.best_weights: Any = None
        self.wait: int = 0

    def on_train_begin(self, logs: Logs = None) -> None:
        """Forget an earlier fit."""
        self._start()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Compare with the best value so far, and stop once the patience is exhausted."""
        value = self._watched(logs)
        if value is None or epoch < self.start_from_epoch:
            return
        self.wait += 1
        if self._is_better(value, self.best):
            self.best, self.best_epoch = value, epoch
            if self.restore_best_weights:
                self.best_weights = self.model.get_weights()
            if self.baseline is None or self._is_better(value, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def on_train_end(self, logs: Logs = None) -> None:
        """Put the best weights back, if `restore_best_weights` is set."""
        if self.verbose and self.stopped_epoch:
            say(f"epoch {self.stopped_epoch + 1}: {self.monitor} is no better, training stops")
        if self.best_weights is not None:
            if self.verbose:
                say(f"the weights with {self.monitor} {self.best:.4g} are put back")
            self.model.set_weights(self.best_weights)
            self.best_weights = None
