"""The progress bar of a fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from time import perf_counter
from typing import Any

from rnnkit.callbacks.bars import Bar, open_bar
from rnnkit.callbacks.callback import Callback
from rnnkit.console import in_jupyter, is_watched, say
from rnnkit.hints import Logs


class ProgressBar(Callback):
    """A callback that shows the progress of a fit; ``fit(…, verbose=…)`` makes one.

    A bar represents the whole fit, with the epoch, batches done, time passed and left, the loss and the metrics of the
    epoch so far, and those of the last validation. It needs tqdm (extra "progress"); without it, and if output goes
    to a file, there is a line per epoch. Output goes to standard error, in a notebook into the cell's output.

    Parameters
    ----------
    verbose : {"auto", 0, 1, 2}
        0 shows nothing, 1 a bar, 2 a line per epoch; "auto" a bar in a terminal or in Jupyter, nothing elsewhere.

    Raises
    ------
    ValueError
        For another `verbose`.

    Examples
    --------
    >>> import rnnkit.callbacks
    >>> bar = rnnkit.callbacks.ProgressBar(verbose=2)
    """

    def __init__(self, verbose: Any = "auto"):
        super().__init__()
        if not (isinstance(verbose, (int, str)) and verbose in ("auto", 0, 1, 2)):
            raise ValueError(f"expected verbose to be 'auto', 0, 1 or 2, got {verbose!r}")
        self.verbose = verbose if verbose == "auto" else int(verbose)
        self._start()

    @property
    def wanted(self) -> bool:
        """Whether anything is shown."""
        return bool(self.verbose) and (self.verbose != "auto" or is_watched())

    def _start(self):
        self._bar: Bar | None = None
        self._begun = False
        self._done = 0  # batches done in all epochs
        self._before = 0  # batches done in earlier epochs
        self._due = 0.0
        self._interval = 0.25 if in_jupyter() else 0.1
        self._description = ""
        self._validation: dict = {}
        self._latest: dict = {}

    def on_train_begin(self, logs: Logs = None) -> None:
        """Forget an earlier fit."""
        self._start()

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Name the epoch, and open the bar at the first one."""
        epochs = self.params.get("epochs")
        number = str(epoch + 1) if epochs is None else f"{epoch + 1:>{len(str(epochs))}}/{epochs}"
        self._description = f"epoch {number}"
        self._epoch_begun = perf_counter()
        if not self._begun:
            self._begun = True
            self._left = None if epochs is None else epochs - epoch
            if self.wanted and self.verbose != 2 and is_watched():
                self._bar = open_bar(self._total(self.params.get("steps")))
        self._show(self._validation)

    def _total(self, steps):
        return None if steps is None or self._left is None else self._done + steps * self._left

    def on_train_batch_end(self, batch: Any, logs: Logs = None) -> None:
        """Count the batch, and redraw the bar if due."""
        self._done += 1
        self._latest = logs or {}
        if self._bar and perf_counter() >= self._due:
            self._show(self._latest | self._validation)
            self._due = perf_counter() + self._interval

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Show the epoch's numbers."""
        logs = {key: value for key, value in (logs or {}).items() if key != "learning_rate"}
        if self._done == self._before:  # an optimizer on all batches at once
            self._done += self.params.get("steps") or 1
        steps, self._before = self._done - self._before, self._done
        if self._left is not None:
            self._left -= 1
        if self._bar:
            if self.params.get("steps") is None:  # assume the next epochs have the same length
                self._bar.total = self._total(steps)
            self._validation = {key: value for key, value in logs.items() if key.startswith("val_")}
            self._show(logs)
        elif self.wanted:
            seconds = perf_counter() - self._epoch_begun
            say(", ".join(filter(None, [f"{self._description}: {_duration(seconds)}", _notes(logs)])))

    def _show(self, logs):
        if self._bar:
            # The least important last, as a narrow terminal cuts it off.
            first = {key: logs[key] for key in ("loss", "val_loss") if key in logs}
            self._bar.show(self._done, self._description, _notes(first | logs))

    def on_train_end(self, logs: Logs = None) -> None:
        """Leave the bar on the screen."""
        if self._bar:
            if self._done > self._before:  # in the middle of an epoch
                self._show(self._latest | self._validation)
            self._bar.close()
            self._bar = None


def watched(batches: Iterable, total: int, description: str, verbose) -> Iterator:
    """Iterate over batches with a temporary bar, if the terminal or notebook is watched."""
    wanted = ProgressBar(verbose).wanted and is_watched() and total != 1
    return _counted(batches, total, description) if wanted else iter(batches)


def _counted(batches, total, description):
    bar, due = open_bar(total or None, leave=False), 0.0
    try:
        for done, batch in enumerate(batches):
            if bar and perf_counter() >= due:
                bar.show(done, description)
                due = perf_counter() + 0.1
            yield batch
    finally:
        if bar:
            bar.close()


def _notes(logs) -> str:
    return ", ".join(f"{key} {value:.4g}" for key, value in logs.items())


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d} min"
