"""Checkpoints: weights or the whole model, written to disk during training."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from rnnkit.arguments import whole
from rnnkit.callbacks.monitoring import Monitor
from rnnkit.console import say
from rnnkit.hints import Logs


class ModelCheckpoint(Monitor):
    """A callback that writes the weights, or the whole model with its optimizer, after epochs or batches.

    A file is replaced once the new one is complete. Missing folders are created.

    Parameters
    ----------
    filepath : str or os.PathLike
        May name the epoch, the batch and the logs, as in ``"gru-{epoch:02d}-{val_loss:.3f}.npz"``; both count from 1
        here, as in Keras.
    monitor : str
        The number's key in the logs, for `save_best_only`.
    verbose : {0, 1}
        1 prints each file written.
    save_best_only : bool
        Write only after an improvement on all earlier values.
    save_weights_only : bool
        True writes with `save_weights`; False with `save`, with the optimizer and the states, so that after
        `rnnkit.load_model` the fit can continue with ``initial_epoch``.
    save_freq : "epoch" or int
        A number of batches, counted across epochs.
    initial_value_threshold : float, optional
        What the first file has to improve on, with `save_best_only`.

    Raises
    ------
    ValueError
        For an invalid setting, and if the logs lack a key of `filepath` or `monitor`.
    FileNotFoundError, PermissionError, OSError
        If a file can't be written.

    Examples
    --------
    >>> import rnnkit.callbacks
    >>> checkpoint = rnnkit.callbacks.ModelCheckpoint("best.npz", "val_loss", save_best_only=True)
    """

    def __init__(
        self,
        filepath: Any,
        monitor: str = "val_loss",
        verbose: Any = 0,
        save_best_only: bool = False,
        save_weights_only: bool = True,
        mode: str = "auto",
        save_freq: Any = "epoch",
        initial_value_threshold: float | None = None,
    ):
        super().__init__(monitor, mode)
        if initial_value_threshold is not None:
            self.best = float(initial_value_threshold)
        self.filepath: Any = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only: bool = bool(save_best_only)
        self.save_weights_only: bool = bool(save_weights_only)
        self.save_freq = save_freq if save_freq == "epoch" else whole(save_freq, "save_freq, if not 'epoch',", 1)
        self._epoch = self._batches = 0

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Remember the number of the epoch."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: Any, logs: Logs = None) -> None:
        """Count batches, and write after each `save_freq` of them."""
        if self.save_freq == "epoch":
            return
        self._batches += 1
        if self._batches % self.save_freq == 0:
            self._save(self._epoch, logs or {}, batch + 1)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write the checkpoint, unless `save_freq` is a number of batches."""
        if self.save_freq == "epoch":
            self._save(epoch, logs or {}, self.params.get("steps"))

    def _save(self, epoch, logs, batch):
        if self.save_best_only:
            value = self._watched(logs)
            if value is None or not self._is_better(value, self.best):
                return
        try:
            path = Path(self.filepath.format(**({"batch": batch} | logs | {"epoch": epoch + 1})))
        except (KeyError, IndexError) as error:
            raise ValueError(
                f"expected filepath {self.filepath!r} to name what there is: epoch, batch, {', '.join(logs)}; "
                f"got {error}"
            ) from None
        path.parent.mkdir(parents=True, exist_ok=True)
        if self.save_weights_only:
            self.model.save_weights(path)
        else:
            self.model.save(path, optimizer=True, states=True)
        if self.save_best_only:
            self.best: Any = value
        if self.verbose:
            say(f"epoch {epoch + 1}: {'weights' if self.save_weights_only else 'model'} written to {path}")
