"""The record of a fit's epochs."""

from __future__ import annotations

import math
from typing import Any

from rnnkit.callbacks.callback import Callback
from rnnkit.console import in_jupyter
from rnnkit.hints import Logs
from rnnkit.shown import Shown

_SHOWN = 12  # epochs of a table
_COLOURS = {"training": "#1f6fb4", "validation": "#d1741a"}


class History(Shown, Callback):
    """A record of the losses and metrics of a fit's epochs; ``fit`` returns one.

    Attributes
    ----------
    epoch : list of int
        The epochs, from 0.
    history : dict of str to list of float
        ``loss``, the metrics, ``val_loss``, …: an entry per epoch with a value.
    interrupted : bool
        Whether Ctrl-C ended the fit.
    traffic : Traffic or None
        Data moved and time spent by a fit on Dask's workers, see `rnnkit.distributed.Traffic`.

    Examples
    --------
    >>> import rnnkit.callbacks
    >>> history = rnnkit.callbacks.History()
    >>> history.on_epoch_end(0, {"loss": 0.5, "val_loss": 0.4})
    >>> history.on_epoch_end(1, {"loss": 0.2, "val_loss": 0.3})
    >>> history.history
    {'loss': [0.5, 0.2], 'val_loss': [0.4, 0.3]}
    >>> history
    <History of 2 epochs: loss 0.2, val_loss 0.3>
    """

    def __init__(self):
        super().__init__()
        self.traffic: Any = None
        self._start()

    def _start(self):
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}
        self._rows: list[dict[str, float]] = []
        self.interrupted = False

    def on_train_begin(self, logs: Logs = None) -> None:
        """Forget an earlier fit."""
        self._start()

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Keep the epoch's numbers."""
        row = {key: float(value) for key, value in (logs or {}).items()}
        self.epoch.append(epoch)
        self._rows.append(row)
        for key, value in row.items():
            self.history.setdefault(key, []).append(value)

    def plot(self, ax: Any = None) -> Any:
        """Draw the loss over the epochs, and every metric beside it.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Axes to draw the loss into, and nothing else.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            If matplotlib is missing.
        ValueError
            If no epoch was completed.
        """
        if not self.epoch:
            raise ValueError("expected a history of at least one epoch to draw, got none")
        try:
            from matplotlib import get_backend, pyplot
        except ImportError:
            raise ImportError("History.plot needs matplotlib; install it with: pip install 'rnnkit[plots]'") from None
        names = self._panels()
        if ax is not None:
            self._draw(ax, names[0])
            return ax.get_figure()
        columns = min(len(names), 3)
        rows = -(-len(names) // columns)
        figure = pyplot.figure(figsize=(1.2 + 4.2 * columns, 3.2 * rows), layout="constrained")
        for place, name in enumerate(names, start=1):
            self._draw(figure.add_subplot(rows, columns, place), name)
        if in_jupyter() and "inline" in get_backend().lower():
            pyplot.close(figure)  # otherwise a notebook would show it twice
        return figure

    def _panels(self) -> list[str]:
        """Return the names with axes of their own, the loss first; a learning rate only if it changes."""
        names = list(dict.fromkeys(key.removeprefix("val_") for key in self.history))
        names.sort(key=lambda name: (name != "loss", name == "learning_rate"))
        return [name for name in names if name != "learning_rate" or len(set(self.history[name])) > 1]

    def _draw(self, axes, name):
        from matplotlib.ticker import MaxNLocator

        marker = "o" if len(self.epoch) < 10 else None
        drawn = []
        for label, key in (("training", name), ("validation", f"val_{name}")):
            if key in self.history:
                values = self.history[key]
                epochs = [epoch + 1 for epoch, row in zip(self.epoch, self._rows, strict=True) if key in row]
                axes.plot(epochs, values, color=_COLOURS[label], lw=1.6, marker=marker, ms=4, label=label)
                drawn += [value for value in values if math.isfinite(value)]
        if drawn and min(drawn) > 0 and max(drawn) > 50 * min(drawn):
            axes.set_yscale("log")
        axes.set_title(name, loc="left", fontsize=10)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.2)
        if f"val_{name}" in self.history:
            axes.legend(frameon=False, fontsize=8)

    def __repr__(self) -> str:
        last = ", ".join(f"{key} {values[-1]:.4g}" for key, values in self.history.items() if key != "learning_rate")
        return f"<History of {self._title()}{': ' if last else ''}{last}>"

    def _title(self) -> str:
        count = len(self.epoch)
        return f"{count} epoch{'' if count == 1 else 's'}{', interrupted' if self.interrupted else ''}"

    def _card(self):
        """Return the card that ``print`` and a notebook show: the first and the last epochs, and curves of the loss."""
        from rnnkit.callbacks.curves import curves
        from rnnkit.cards import Card, table_of

        shown = lambda row, key: f"{row[key]:.4g}" if key in row else ""
        rows = [
            (str(epoch + 1), *(shown(row, key) for key in self.history))
            for epoch, row in zip(self.epoch, self._rows, strict=True)
        ]
        heads = ("epoch", *self.history)
        lines = {key: [row.get(key, math.nan) for row in self._rows] for key in ("loss", "val_loss")}
        table = table_of(heads, rows, heads, _SHOWN)
        return Card(
            f"History of {self._title()}", table=table, picture=curves(lines, self.epoch[0] + 1 if self.epoch else 1)
        )
