"""Layers that run the compiled step of a cell, whose weights are theirs."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from rnnkit import tracebacks
from rnnkit.execution.execution import Execution
from rnnkit.layers.base import Layer
from rnnkit.layers.support.display import Text
from rnnkit.layers.support.quantizing import as_held
from rnnkit.layers.support.repeats import last_change


class CellLayer(Layer):
    """Base of layers of a cell, which `_own_cell` returns once they are built; a subclass has `_features_of`."""

    _native = True
    _execution: Execution = None  # type: ignore[assignment]  # until it is built

    def _features_of(self, shape) -> Any:
        """Return the sizes of what the step sees of an x of this shape."""
        raise NotImplementedError

    def _executed(self, cell, features) -> Execution:
        """Return the execution of a cell's step, which has been read."""
        execution = Execution(cell, features, cast(np.dtype, self.dtype), self._device)
        execution.read()
        return execution

    def _move(self, device):
        super()._move(device)
        if self._execution is not None:
            self._execution.move(device)

    def _own_arrays(self):
        cell, own = self._own_cell(), self._assigned
        if own.arrays is None or own.arrays[:2] != (last_change(), cell):
            own.arrays = last_change(), cell, {} if cell is None else cell._all_weights()
        return dict(own.arrays[2])

    def _own_weight_options(self):
        return {} if (cell := self._own_cell()) is None else cell._weight_options()

    def _put_own_arrays(self, arrays):
        cell: Any = self._own_cell()
        self._assigned.arrays = None
        cell._replace_weights(as_held(cell._all_weights(), arrays))

    def _own_sparse_names(self):
        return frozenset() if (cell := self._own_cell()) is None else cell._sparse_weights()

    def _make_own_sparse(self, names):
        self._execution.make_sparse(names)

    @tracebacks.edge
    def explain(self, source: bool = False, graph: bool = False) -> str:
        """Return how the step is compiled, traced or jitted, why, and the plan in words.

        Parameters
        ----------
        source : bool
            The source text that was compiled, in place of the words.
        graph : bool
            The graph of the step and its plan, node by node and stage by stage, in place of the words. Jitted steps
            have none, and say so.
        """
        if not self.built:
            return Text(f"{self.name}: not built yet; a layer reads its step at build(input_shape) or the first call")
        return Text(self._execution.explain(source=source, graph=graph))

    def _how_compiled(self):
        executors = self._execution.executors if self.built else {}
        return ", ".join(dict.fromkeys(str(e.how) for e in executors.values()))

    def __getstate__(self) -> Any:
        # Executors hold compiled code; a copy chooses its own, from the same cell.
        return self.__dict__ | {"_execution": None}

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)
        if self.built:
            dtype, features = cast(np.dtype, self.dtype), self._features_of(self._input_shape)
            self._execution = Execution(self._own_cell(), features, dtype, self._device, self._quantization or "")
