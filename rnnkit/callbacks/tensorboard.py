"""Logs for TensorBoard."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np

from rnnkit.arguments import whole
from rnnkit.callbacks.callback import Callback
from rnnkit.hints import Logs


class TensorBoard(Callback):
    """A callback that writes logs, and histograms of the weights, as event files for TensorBoard.

    It needs the extra ``tensorboard``. Training writes into the folder ``train`` of `log_dir`, with the tags
    ``epoch_loss`` and the like; a validation or an evaluation into ``validation``, also with the tags
    ``evaluation_loss_vs_iterations`` and the like, by the number of updates of the weights.

    Parameters
    ----------
    log_dir : str or os.PathLike
    histogram_freq : int
        Histograms of the weights after every so many epochs, with the tags ``0/kernel/histogram`` and the like; 0
        writes none.
    update_freq : "epoch", "batch" or int
        "batch" writes logs after each batch, too, with the tags ``batch_loss`` and the like; a number after every so
        many.
    write_images : bool
        Beside each histogram, the weight as an image, in rows of its last axis, black where it is least.
    write_steps_per_second : bool
        Of epochs, and of batches whose logs are written.

    Raises
    ------
    ImportError
        Without tensorboardX.

    Examples
    --------
    >>> import rnnkit.callbacks
    >>> board = rnnkit.callbacks.TensorBoard("logs/gru", histogram_freq=5)
    """

    def __init__(
        self,
        log_dir: Any = "logs",
        histogram_freq: int = 0,
        update_freq: Any = "epoch",
        write_steps_per_second: bool = False,
        write_images: bool = False,
    ):
        super().__init__()
        self.log_dir: str = os.fspath(log_dir)
        self.histogram_freq: int = whole(histogram_freq, "histogram_freq", 0)
        self.update_freq: Any = 1 if update_freq == "batch" else update_freq
        if self.update_freq != "epoch":
            self.update_freq = whole(self.update_freq, "update_freq, if not 'epoch' or 'batch',", 1)
        self.write_steps_per_second: bool = bool(write_steps_per_second)
        self.write_images: bool = bool(write_images)
        self._writers: dict[str, Any] = {}
        self._batches = self._epoch_batches = 0
        self._begun = self._batch_begun = 0.0  # times of an epoch and of a batch

    def _write(self, part, logs, prefix, step):
        if part not in self._writers:
            try:
                from tensorboardX import SummaryWriter
            except ImportError:
                raise ImportError("TensorBoard needs tensorboardX: pip install 'rnnkit[tensorboard]'") from None
            suffix = f".{time.time_ns()}"  # as the name of a file has seconds only, and would replace another one
            self._writers[part] = SummaryWriter(os.path.join(self.log_dir, part), filename_suffix=suffix)
        for name, value in logs.items():
            self._writers[part].add_scalar(prefix + name, value, step)

    def on_train_begin(self, logs: Logs = None) -> None:
        """Start the file."""
        self._write("train", {}, "", 0)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Remember the time."""
        self._begun = self._batch_begun = time.perf_counter()
        self._epoch_batches = 0

    def on_train_batch_end(self, batch: Any, logs: Logs = None) -> None:
        """Write the logs of a batch, if `update_freq` says so."""
        self._batches += 1
        self._epoch_batches += 1
        if self.update_freq != "epoch" and self._batches % self.update_freq == 0:
            if self.write_steps_per_second:
                logs = (logs or {}) | {"steps_per_second": 1 / max(time.perf_counter() - self._batch_begun, 1e-9)}
            self._write("train", logs or {}, "batch_", self._batches)
        self._batch_begun = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write the logs of an epoch."""
        logs = (logs or {}) | {"learning_rate": float(self.model.optimizer.learning_rate)}
        if self.write_steps_per_second:
            logs["steps_per_second"] = self._epoch_batches / max(time.perf_counter() - self._begun, 1e-9)
        validation = {name.removeprefix("val_"): value for name, value in logs.items() if name.startswith("val_")}
        self._write("train", {n: v for n, v in logs.items() if not n.startswith("val_")}, "epoch_", epoch)
        if validation:
            self._write("validation", validation, "epoch_", epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for name, array in self.model.weights.items():
                self._writers["train"].add_histogram(f"{name}/histogram", array, epoch)
                if self.write_images:
                    rows = np.atleast_2d(array).reshape(-1, *array.shape[-1:])
                    grey = (rows - rows.min()) / (np.ptp(rows) or 1.0)
                    self._writers["train"].add_image(f"{name}/image", grey, epoch, dataformats="HW")

    def on_test_end(self, logs: Logs = None) -> None:
        """Write the results of an evaluation by the number of updates."""
        logs = {f"{name}_vs_iterations": value for name, value in (logs or {}).items()}
        self._write("validation", logs, "evaluation_", int(self.model.optimizer.iterations))
        if "train" not in self._writers:  # an evaluation alone
            self.on_train_end()

    def on_train_end(self, logs: Logs = None) -> None:
        """Write what is left, and leave the files."""
        while self._writers:
            self._writers.popitem()[1].close()
