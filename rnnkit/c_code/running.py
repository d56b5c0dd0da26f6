"""Layers along time as steps that keep what they need of the past: pooling of all steps, causal convolution."""

from __future__ import annotations

import numpy as np

from rnnkit.execution.execution import Execution
from rnnkit.layers.convolution import Conv1D
from rnnkit.layers.pooling import GlobalAveragePooling1D, GlobalMaxPooling1D, OverAll
from rnnkit.steps.cell import Cell, prepare
from rnnkit.steps.step import Step


def step_of(layer: Conv1D | OverAll, features: int, dtype: np.dtype) -> Step | None:
    """Return the step of a layer for x ``(B, T, features)``; None if no memory of fixed size is enough."""
    if isinstance(layer, Conv1D) and (layer.padding != "causal" or layer.strides > 1):
        return None
    cell = next(kind for of, kind in _CELLS.items() if isinstance(layer, of))(layer, features)
    prepare(cell, (None, features), dtype, np.random.default_rng(0))
    return Execution(cell, (features,), dtype).step


class _OfAll(Cell):
    """Base of the steps of pooling."""

    def __init__(self, layer, features):
        super().__init__(name=layer.name)
        self.state_size, self.axes = features, (1,) * layer.keepdims

    def _shown(self, new):
        return new.reshape((new.shape[0], *self.axes, new.shape[1]))


class _Largest(_OfAll):
    """The largest of all steps so far."""

    def call(self, inputs, states):
        new = np.maximum(states[0], inputs)
        return self._shown(new), [new]

    def get_initial_state(self, batch_size=None, dtype=None):
        return [np.full((batch_size, self.state_size), -np.inf, dtype)]


class _Mean(_OfAll):
    """The mean of all steps so far, of a sum that keeps what it rounds away (Kahan 1965)."""

    def __init__(self, layer, features):
        super().__init__(layer, features)
        self.state_size = [features, features, 1]

    def call(self, inputs, states):
        before, lost, count = states[0], states[1], states[2] + 1.0
        added = inputs - lost
        total = before + added
        return self._shown(total / count), [total, (total - before) - added, count]


class _Window(Cell):
    """A causal convolution, which keeps the steps before the newest of its window."""

    def __init__(self, layer, features):
        super().__init__(name=layer.name)
        self.inner, self.groups, self.dilation = layer._cell, layer.groups, layer.dilation_rate
        self.state_size = [(layer._windows.span - 1, features)]

    def call(self, inputs, states):
        steps = np.concatenate([states[0], inputs[:, None]], axis=1)
        window = steps[:, :: self.dilation]
        rows, size, features = window.shape
        parted = window.reshape(rows, size, self.groups, features // self.groups).swapaxes(1, 2)
        return self.inner.call(parted.reshape(rows, size * features), ())[0], [steps[:, 1:]]


_CELLS = {GlobalMaxPooling1D: _Largest, GlobalAveragePooling1D: _Mean, Conv1D: _Window}
