"""Backups from which an interrupted fit goes on."""

from __future__ import annotations

import contextlib
import os
import warnings
from pathlib import Path
from typing import Any

from rnnkit.arguments import whole
from rnnkit.callbacks.callback import Callback
from rnnkit.hints import Logs
from rnnkit.layers.support.facts import built_shape
from rnnkit.layers.support.layer_tree import arrays_by_name, put_arrays
from rnnkit.serialization.array_files import below, load_arrays, save_arrays


class BackupAndRestore(Callback):
    """A callback that writes weights and optimizer during a fit; the same fit, begun again, goes on from there.

    With seeds, it has the bits of a fit that was not interrupted. The file is removed at the end of the fit, with the
    folder if there is nothing else in it.

    Parameters
    ----------
    backup_dir : str or os.PathLike
        A folder, which is created; one for each fit.
    save_freq : "epoch" or int
        A number of batches, counted across epochs; the epoch that was interrupted is begun again.
    double_checkpoint : bool
        Keep the backup before the last one, too, which is used if the last one can't be read.
    delete_checkpoint : bool
        False lets the file stay at the end.

    Raises
    ------
    ValueError
        For an invalid setting, and for a file of another model.

    Examples
    --------
    >>> import rnnkit.callbacks
    >>> backup = rnnkit.callbacks.BackupAndRestore("backups/gru")
    """

    def __init__(
        self, backup_dir: Any, save_freq: Any = "epoch", double_checkpoint: bool = False, delete_checkpoint: bool = True
    ):
        super().__init__()
        if not backup_dir:
            raise ValueError(f"expected backup_dir as a folder, got {backup_dir!r}")
        self.backup_dir: str = os.fspath(backup_dir)
        self.save_freq = save_freq if save_freq == "epoch" else whole(save_freq, "save_freq, if not 'epoch',", 1)
        self.delete_checkpoint: bool = bool(delete_checkpoint)
        self.double_checkpoint: bool = bool(double_checkpoint)
        self._path = Path(self.backup_dir) / "backup.npz"
        self._previous = self._path.with_name("previous.npz")
        self._current_epoch = self._batches = 0

    def on_train_begin(self, logs: Logs = None) -> None:
        """Set what an interrupted fit left, so that this one goes on there."""
        paths = [one for one in (self._path, self._previous) if one.exists()]
        if not paths:
            return
        model = self.model
        try:
            arrays, about = load_arrays(paths[0])
        except ValueError as error:
            if len(paths) < 2:
                raise
            warnings.warn(f"the backup before the last one is used: {error}", stacklevel=2)
            arrays, about = load_arrays(paths[1])
        if not model.built:
            model.build(_shape(about["input_shape"]))
        weights = below("weights/", arrays)
        if set(weights) != set(arrays_by_name(model)):
            raise ValueError(
                f"expected a backup of {model.name!r} in {self._path}, got one of another model; remove it"
            )
        put_arrays(model, weights)
        state = below("optimizer/", arrays)
        known, weights = {name.partition("/")[2] for name in state}, arrays_by_name(model)
        model.optimizer.set_state(state, {name: array for name, array in weights.items() if name in known})
        model.resumed_epoch = self._current_epoch = about["epoch"]

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Remember the number of the epoch."""
        self._current_epoch = epoch

    def on_train_batch_end(self, batch: Any, logs: Logs = None) -> None:
        """Count batches, and write after each `save_freq` of them."""
        self._batches += 1
        if self.save_freq != "epoch" and self._batches % self.save_freq == 0:
            self._save(self._current_epoch)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Write the backup, unless `save_freq` is a number of batches."""
        self._current_epoch = epoch + 1
        if self.save_freq == "epoch":
            self._save(epoch + 1)

    def on_train_end(self, logs: Logs = None) -> None:
        """Remove the backup, unless the fit was interrupted."""
        done = self._current_epoch >= self.params.get("epochs", 0) or self.model.stop_training
        if done and self.delete_checkpoint and not self.model.history.interrupted:
            self._path.unlink(missing_ok=True)
            self._previous.unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # it has other files, or isn't there
                self._path.parent.rmdir()

    def _save(self, epoch):
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self.double_checkpoint and self._path.exists():
            os.replace(self._path, self._previous)
        arrays = {f"weights/{name}": array for name, array in arrays_by_name(self.model).items()}
        arrays |= {f"optimizer/{name}": array for name, array in self.model.optimizer.get_state().items()}
        save_arrays(self._path, arrays, {"epoch": epoch, "input_shape": built_shape(self.model)})


def _shape(given):
    """Return a shape, or several, from JSON."""
    if isinstance(given, dict):
        return {name: _shape(one) for name, one in given.items()}
    return [_shape(one) for one in given] if isinstance(given[0], (list, dict)) else tuple(given)
