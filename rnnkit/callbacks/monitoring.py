"""The base of callbacks that watch one number of the logs."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.arguments import real_number
from rnnkit.callbacks.callback import Callback
from rnnkit.docstrings import describe_by_bases

# Words in names of metrics that are better if greater.
_GREATER = frozenset("acc accuracy auc f1 fbeta fmeasure iou precision r2 recall score similarity".split())


class Monitor(Callback):
    """Base of the callbacks that watch one number of the logs.

    Parameters
    ----------
    monitor : str
        The number's key in the logs.
    mode : {"auto", "min", "max"}
        Whether less or more is better; "auto" decides by the name: more for accuracy, precision, recall, a
        score or the like, less for all others. Attribute `monitor_op` is ``np.greater`` or ``np.less``.
    min_delta : float
        The least difference that counts as an improvement.
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
        self.monitor_op: Any = np.greater if mode == "max" else np.less
        self._watch_anew()

    def _watch_anew(self):
        self.best: float | None = None
        self._seen, self._missed = False, 0

    def _watched(self, logs) -> float | None:
        """Return the watched number; None in an epoch without it, if other epochs have it."""
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
        """Return whether a value is an improvement; NaN never is, any other is if there was none before."""
        if value != value:
            return False
        if than is None:
            return True
        delta = self.min_delta if self.monitor_op(1, 0) else -self.min_delta
        return bool(self.monitor_op(value - delta, than))
