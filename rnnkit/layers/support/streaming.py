"""The stream that the layers of this thread run for, which has the states that a recurrent layer starts from."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any, Protocol

import numpy as np


class Running(Protocol):
    """The interface of a stream for recurrent layers."""

    def begin(self, layer, initial_state) -> tuple[np.ndarray, ...] | None:
        """Return the states that a layer's step starts from; None for the layer's own."""

    def end(
        self, states: tuple[np.ndarray, ...], initial: tuple[np.ndarray, ...], outputs: np.ndarray, mask: Any
    ) -> None:
        """Take the states after that step, those that it started from, and the layer's output.

        In the rows that a mask ``(B, 1)`` leaves out, `outputs` is set to the layer's output at the step before.
        """


running: ContextVar[Running | None] = ContextVar("rnnkit stream", default=None)
