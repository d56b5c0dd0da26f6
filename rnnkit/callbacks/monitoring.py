"""Callbacks that watch one number of the logs."""

from __future__ import annotations

from typing import Any

from rnnkit.arguments import real_number
from rnnkit.callbacks.callback import Callback
from rnnkit.docstrings import describe_by_bases

# What is better where it is greater, by the words of a metric's name.
_GREATER = frozenset("acc accuracy auc f1 fbeta fmeasure iou precision r2 recall score similarity".split())


class Monitor(Callback):
    """Base of the callbacks that watch one number of the logs.

    Parameters
    ----------
    monitor : str
        The number's key in the logs.
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" goes by the name: more of what speaks of accuracy, precision, recall, a
        score or the like, less of all else.
    min_delta : float
        What is better by no more than this isn't better.
    """

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        describe_by_bases(cls)

    def __init__(self, monitor: str = "val_loss", mode: str = "auto", min_delta: float = 0.0):
        super().__init__()
        if not isinstance(monitor, str):
            raise TypeError(f"expected monitor to be a key of the logs, such as 'val_loss'; got {monitor!r}")
        if mode not in ("auto", "min", "max"):
            raise ValueError(f"expected mode to be 'auto', 'min' or 'max', got {mode!r}")
        self.monitor = monitor
        self.mode = mode
        self.min_delta: Any = abs(real_number(min_delta, "min_delta"))
        if mode == "auto":
            mode = "max" if _GREATER & set(monitor.removeprefix("val_").lower().split("_")) else "min"
        self._more = mode == "max"
        self._watch_anew()

    def _watch_anew(self):
        self.best: float | None = None
        self._seen, self._missed = False, 0

    def _watched(self, logs) -> float | None:
        """The number watched; None where an epoch has none though others had."""
        value = (logs or {}).get(self.monitor)
        if value is None:
            self._missed += 1
            if not self._seen and self._missed >= self.params.get("validation_freq", 1):
                hint = "; fit needs validation data for it" if self.monitor.startswith("val_") else ""
                raise ValueError(
                    f"{type(self).__name__} expected {self.monitor!r} in the logs, "
                    f"which have {', '.join(logs or {}) or 'nothing'}{hint}"
                )
            return None
        self._seen = True
        return float(value)

    def _is_better(self, value: float, than: float | None) -> bool:
        """Whether a value is better; NaN never is, and any other is better than none."""
        if value != value:
            return False
        if than is None:
            return True
        return value - self.min_delta > than if self._more else value + self.min_delta < than
