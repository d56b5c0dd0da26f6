"""The plain executor: the step in a Python loop over NumPy arrays, the reference for compiled steps."""

from __future__ import annotations

from operator import itemgetter

import numpy as np

from rnnkit.backends.shared.call import Record, Result
from rnnkit.steps.nesting import mapped


class Eager:
    """Executor of a step as Python, so that ``print`` and breakpoints work in it."""

    how = "eager"
    reason = "the step runs in a Python loop on NumPy arrays"

    def __init__(self, step):
        self.step = step

    def explain(self, source: bool = False, graph: bool = False) -> str:
        return f"{self.how}: {self.reason}{'; there is no graph' if graph else ''}"

    def run(self, record: Record) -> Result:
        record.runs_each_time("a step in Python may do anything, and so runs each time")
        x, mask = record.x, record.mask
        batch_size, length = x.shape[:2]
        advance = self.step.bind(record.weights)
        outputs = last = None  # made at the first step: a trial step to learn their shape would show in prints
        states = [state.copy() for state in record.states]
        trajectory = (
            [np.empty((batch_size, length, *s.shape[1:]), s.dtype) for s in states] if record.trajectory else None
        )
        for t in range(length):
            at = length - 1 - t if record.reverse else t
            # Copies: a step that assigns in place must not change the caller's arrays or the held states.
            x_t = x[:, at].copy()
            if mask is not None:
                x_t[~mask[:, at]] = 0  # an infinity under a mask must not keep a step's loop from ending
            # NumPy warns of invalid values and divisions by zero, except where masked rows are computed for nothing;
            # an overflow is harmless in most formulas.
            counts = mask is None or mask[:, at].all()
            used = slice(None) if mask is None else mask[:, at]
            alone = mask is not None and self.step.per_row  # a step of one row isn't made for others
            if mask is not None and alone and not mask[:, at].any():
                out, new = np.empty((0, *self.step.output_shape(record.constants, record.training))), tuple(states)
                used = np.zeros(0, int)
            else:
                given: tuple = (x_t, tuple(s.copy() for s in states), record.constants, record.draws)
                given = mapped(given, itemgetter(used)) if alone else given
                with np.errstate(over="ignore", under="ignore") if counts else np.errstate(all="ignore"):
                    out, new = advance(*given, record.training)
            if last is None:
                outputs, last = self._buffers(record, out.shape[1:])
            own = slice(len(out)) if alone else used
            last[used] = out[own]
            for state, value in zip(states, new, strict=True):
                state[used] = value[own]
            if outputs is not None:
                outputs[:, t] = last
                if mask is not None and record.zero_masked:
                    outputs[~mask[:, at], t] = 0
            if trajectory is not None:
                for kept, state in zip(trajectory, states, strict=True):
                    kept[:, t] = state
        if last is None:
            outputs, last = self._buffers(record, self.step.output_shape(record.constants, record.training))
        return Result(outputs, last, tuple(states), None if trajectory is None else tuple(trajectory))

    @staticmethod
    def _buffers(record, output_shape):
        batch_size, length = record.x.shape[:2]
        outputs = np.zeros((batch_size, length, *output_shape), record.x.dtype) if record.sequences else None
        return outputs, np.zeros((batch_size, *output_shape), record.x.dtype)
