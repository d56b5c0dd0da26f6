"""Layers that run the compiled step of a cell, whose weights are theirs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from rnnkit import tracebacks
from rnnkit.backends.cuda.memory.array import DeviceArray
from rnnkit.backends.shared.call import Record, recording_of
from rnnkit.circumstances import weights_now
from rnnkit.execution.execution import Execution, initial_states
from rnnkit.layers.base import Layer
from rnnkit.layers.support import validation
from rnnkit.layers.support.assignments import Changes, assigned
from rnnkit.layers.support.display import Text
from rnnkit.layers.support.held_weights import HeldWeights
from rnnkit.layers.support.seeds import drawn
from rnnkit.layers.support.weight_mapping import weight_keys


class _WeightsOfCell(HeldWeights):
    """The weights of a layer's cell, once it is built."""

    __slots__ = ()

    @property
    def cell(self):
        return self.layer._step_cell if self.layer.built else None

    def arrays(self):
        cell, own = self.cell, self.layer._assigned
        if own.arrays is None or own.arrays[:2] != (Changes.last, cell):
            own.arrays = Changes.last, cell, {} if cell is None else cell._all_weights()
        return dict(own.arrays[2])

    def options(self):
        return {} if (cell := self.cell) is None else cell._weight_options()

    def put(self, arrays):
        cell: Any = self.cell
        self.layer._assigned.arrays = self.layer._assigned.plan = None
        cell._replace_weights(arrays)

    def make_sparse(self, names):
        self.layer._execution.make_sparse(names)
        assigned(self.layer, "_execution")

    def sparse(self):
        return frozenset() if (cell := self.cell) is None else cell._sparse_weights()

    def complex(self):
        return () if (cell := self.cell) is None else cell._complex_weights()

    def key(self, name):
        """Return the `Variable.key` of a weight; that of a layer's own where the cell is made of one."""
        adapted = getattr(self.cell, "adapted", None)
        return weight_keys(adapted)[name] if isinstance(adapted, Layer) else super().key(name)


class CellLayer(Layer):
    """Base of layers of a cell, `_step_cell`; a subclass has `_features_of`."""

    _native = True
    _held_weights = _WeightsOfCell
    _step_cell: Any
    _features_of: Callable[[Any], Any]  # the sizes of what the step sees of an x of a shape
    _execution: Execution = None  # type: ignore[assignment]  # until it is built

    def _executed(self, cell, features) -> Execution:
        """Return the execution of a cell's step, which has been read."""
        execution = Execution(cell, features, cast(np.dtype, self.dtype), self._device)
        execution.read()
        return execution

    def _record(self, x, given=None, states=None, stream: int = 0, **fields) -> Record:
        """Return the record of a call on x, which starts from the step's own states unless it has others.

        If it is a call on `given` alone, later ones on such an array have its states and weights.
        """
        last, step, like = Changes.last, self._execution.step, x
        x, draws, is_usual = validation.cast(x, self._execution.dtype), {}, states is None and given is not None
        rows = x.shape[0]
        if step.draws and (names := step.used_draws(fields["constants"], fields["training"])):
            draw, dtype = step.draw, x.dtype
            draws = drawn(self, lambda rng: {name: draw(name, rows, rng, dtype) for name in names}, x)
        if states is None:
            states = initial_states(step, rows, self.dtype, x)
        weights = weights_now(self._step_cell._all_weights())
        stream = x.stream if isinstance(x, DeviceArray) else stream
        if is_usual and x is like and not draws and step.starts_alike and not self._keeps_states:
            self._plan(last, given, fields.get("training", False), (states, weights))
        return Record(x, states, weights, draws=draws, stream=stream, recording=recording_of(x), **fields)

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

    def __getstate__(self) -> Any:
        # Executors hold compiled code; a copy chooses its own, from the same cell.
        return self.__dict__ | {"_execution": None}

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)
        if self.built:
            dtype, features = cast(np.dtype, self.dtype), self._features_of(self._input_shape)
            self._execution = Execution(self._step_cell, features, dtype, self._device)
