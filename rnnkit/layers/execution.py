"""From a built step to its results: which executor runs it, chosen once per kind of call."""

from __future__ import annotations

import contextlib
import contextvars

import numpy as np

from rnnkit.engine.eager import Eager
from rnnkit.engine.record import Record, Result
from rnnkit.step import Step

_eager: contextvars.ContextVar[bool] = contextvars.ContextVar("rnnkit_eager", default=False)


@contextlib.contextmanager
def eager():
    """Run steps in a Python loop on NumPy arrays, so that ``print`` and breakpoints work in them.

    Layers called inside this context, by this thread, keep the whole contract and lose their speed.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> @rk.cell(states={"count": 1})
    ... def talking(x, states, weights):
    ...     print("count", states[0].tolist())
    ...     return states[0], states[0] + 1
    >>> with rk.eager():
    ...     y = rk.RNN(talking())(np.zeros((1, 2, 1)))
    count [[0.0]]
    count [[1.0]]
    """
    token = _eager.set(True)
    try:
        yield
    finally:
        _eager.reset(token)


class Execution:
    """A built step with its executors, one per `training` and shapes of constants.

    A step is read when an executor is chosen for it, so a step that was edited since keeps what it was.
    """

    def __init__(self, cell, feature_shape, dtype: np.dtype):
        self.step = Step(cell, feature_shape)
        self.dtype = dtype
        self.executors: dict = {}
        self._eager = Eager(self.step)

    def read(self) -> None:
        """Choose the executor for plain calls now, unless the step takes constants, whose shapes come with a call."""
        if not self.step.takes_constants and not _eager.get():
            self.executor((), False)

    def executor(self, constants, training: bool):
        """What runs a call with such constants."""
        if _eager.get():
            return self._eager
        key = (training, tuple(constant.shape[1:] for constant in constants))
        chosen = self.executors.get(key)
        if chosen is None:
            from rnnkit import (
                compiler,
            )  # numba takes a third of a second to import; not every import of rnnkit runs a step

            if not hasattr(compiler, "choose"):
                return self._eager
            chosen = self.executors[key] = compiler.choose(
                self.step,
                dtype=self.dtype,
                weights=self.step.cell._all_weights(),
                constant_shapes=key[1],
                training=training,
            )
        return chosen

    def run(self, record: Record) -> Result:
        """The results of one call."""
        return self.executor(record.constants, record.training).run(record)

    def output_shape(self) -> tuple[int, ...]:
        """The output's shape without batch and time, also before constants are known."""
        if self.step.takes_constants:
            return declared_output_shape(self.step.cell)
        return self.step.output_shape()

    def explain(self, source: bool = False) -> str:
        """The road of every executor chosen so far, in words or as the text that was compiled."""
        if not self.executors:
            wait = " with its constants" if self.step.takes_constants else ""
            return f"{self.step.name}: no road chosen yet; it is at the first call{wait}"
        return "\n\n".join(executor.explain(source=source) for executor in self.executors.values())


def declared_output_shape(cell) -> tuple[int, ...]:
    """What a cell says of its output, by Keras's rule: `output_size`, or else the size of its first state."""
    size = cell._output_size()
    if size is None:
        return cell._states().shapes[0]
    return tuple(size) if isinstance(size, (tuple, list)) else (int(size),)
