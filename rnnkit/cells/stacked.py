"""Several cells as one: every step passes through all of them."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from rnnkit.hints import Array, Config, CustomObjects, Shape
from rnnkit.serialization.configuration import deserialize, serialize
from rnnkit.steps.cell import Cell, Under, as_cell, call_initial, current_build, prepare
from rnnkit.steps.nesting import Nesting
from rnnkit.steps.states import StateSpec
from rnnkit.steps.step import Step, declared_output_shape


class StackedRNNCells(Cell):
    """A stack of cells that is a cell itself.

    One step is::

        for cell, state in zip(cells, states):
            x, state = cell(x, state)

    Parameters
    ----------
    cells : list of cells
        Bottom cell first. The states are a list with one entry per cell, nested as the cell's own are; weights are
        named ``0/kernel``, ``1/kernel`` and so on.
    name : str, optional

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.RNN(rk.StackedRNNCells([rk.LSTMCell(8), rk.GRUCell(4)]), return_state=True, seed=0)
    >>> y, (h, c), s = layer(np.zeros((2, 5, 3)))
    >>> y.shape, h.shape, c.shape, s.shape
    ((2, 4), (2, 8), (2, 8), (2, 4))
    """

    def __init__(self, cells: Any, *, name: str | None = None):
        super().__init__(name=name)
        if not isinstance(cells, (list, tuple)) or not cells:
            raise ValueError(f"expected a list of cells, at least one, got {cells!r}")
        self.cells: Any = [
            StackedRNNCells(cell) if isinstance(cell, (list, tuple)) else as_cell(cell) for cell in cells
        ]

    @property
    def state_size(self) -> Any:
        """One entry per cell."""
        return [cell._states().state_size for cell in self.cells]

    def build(self, input_shape: Shape) -> None:
        """Build every cell for the output of the one below."""
        self._features = []
        features, is_pairs = tuple(input_shape[1:]), self._complex_inputs
        dtype, rng = current_build()
        for cell, own in zip(self.cells, rng.spawn(len(self.cells)), strict=True):
            seed = getattr(cell, "seed", None)
            prepare(cell, (input_shape[0], *features), dtype, own if seed is None else np.random.default_rng(seed))
            self._features.append(features)
            step = Step(cell, Nesting.of_shapes(features, 0, np.dtype(complex)) if is_pairs else features)
            features = declared_output_shape(cell) if step.takes_constants else step.output_shape()
            if is_pairs := step.outputs is not None and step.outputs.alone:
                features = features[1:]
        self.built = True

    def call(self, inputs: Array, states: Array, constants: Array = (), training: bool = False) -> Any:
        """Compute one step through all cells."""
        output, flat = self._advance(inputs, self._states()._flatten(states, "states"), constants, training, {})
        return output, self._states().nested(flat)

    def get_initial_state(self, batch_size: Any) -> list[Any]:
        """Return one entry per cell, each the cell's own."""
        return [call_initial(cell.get_initial_state, batch_size) for cell in self.cells]

    def get_config(self) -> Config:
        """Return the cells' configurations."""
        config = {"cells": [serialize(cell) for cell in self.cells]}
        return config | {"name": self.name} if self.name else config

    @classmethod
    def from_config(cls, config: Config, custom_objects: CustomObjects = None) -> Self:
        """Return a stack from what `get_config` gave."""
        return cls(**(config | {"cells": [deserialize(cell) for cell in config["cells"]]}))

    def __repr__(self) -> str:
        return f"StackedRNNCells([{', '.join(map(repr, self.cells))}])"

    def _states(self, feature_shape=None):
        below = [feature_shape, *(None for _ in self.cells[1:])]
        return StateSpec(parts=[cell._states(shape) for cell, shape in zip(self.cells, below, strict=True)])

    def _starts_at_zero(self):
        return all(cell._starts_at_zero() for cell in self.cells)

    def _output_size(self):
        return self.cells[-1]._output_size()

    def _parts(self):
        return {str(i): cell for i, cell in enumerate(self.cells)}

    def _takes(self, name):
        return any(cell._takes(name) for cell in self.cells)

    def _draws(self, feature_shape):
        return {
            f"{i}/{name}": draw
            for i, (cell, features) in enumerate(zip(self.cells, self._features, strict=True))
            for name, draw in cell._draws(features).items()
        }

    def _advance(self, x, states, constants, training, draws):
        new, states = [], list(states)
        for i, cell in enumerate(self.cells):
            count = len(cell._states().shapes)
            own, states = states[:count], states[count:]
            x, changed = cell._advance(x, tuple(own), constants, training, Under(draws, str(i)))
            new += changed
        return x, tuple(new)
