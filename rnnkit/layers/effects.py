"""Effects: the end of a `call` that adds losses or assigns weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.execution.array_functions import TracedFunction, kind_of
from rnnkit.layers.base import NO_MORE, Layer, any_shape
from rnnkit.layers.support.added_losses import is_collecting, note, tensors_in, value_of
from rnnkit.layers.support.pullback import Gradients, Pullback
from rnnkit.layers.support.symbolic import SymbolicTensor
from rnnkit.layers.support.variable import Variable
from rnnkit.opaque import opaque
from rnnkit.steps.cell import frozen

_MOST = 16  # kinds of shapes whose graphs are kept


class Effects(Layer):
    """The first of several arrays as it is; of the others, losses are added and weights are computed.

    `losses` are pairs ``(layer, value)``, each the sum over all entries of a symbolic tensor or of an `OverBatch`;
    `assigned` are pairs ``(Variable, value)``.
    """

    _takes_unbatched = True
    _check_shape = any_shape

    def __init__(self, losses: list, assigned: list, dtype: Any):
        super().__init__(dtype=dtype)
        self._losses, self._assigned_to, self._traces = losses, assigned, {}  # type: ignore[var-annotated]
        values = [value for _, value in (*losses, *assigned)]
        self._tensors = list({id(one): one for value in values for one in tensors_in(value)}.values())

    def behind(self, output: SymbolicTensor) -> Any:
        """Return the symbolic output of a call with these effects."""
        return self([output, *self._tensors])

    def _shape(self, shape):
        return shape

    _opened = _shape

    def _given_for(self, node, shape):
        return shape[0], node.x[0].dtype

    def _with_mask(self, x, mask, training, more=NO_MORE, wanted=None):
        function, arrays, added = self._done(x)

        def pull(cotangents):
            if function is None or not added:
                return Gradients({}, [*cotangents, *[None] * len(arrays)])
            own = opaque(self._pulled, function, arrays, added)
            floats = [one if array.dtype.kind == "f" else None for one, array in zip(own, x[1:], strict=True)]
            return Gradients({}, [*cotangents, *floats])

        return x[0], None if mask is None else mask[0], wanted and Pullback(x[0], self.dtype, pull)

    def _done(self, x) -> tuple[TracedFunction | None, list, list]:
        """Add the losses and assign the weights; return the function of these, its arrays, and what was added."""
        arrays = list(x[1:])
        if not self._assigned_to and not is_collecting():
            return None, arrays, []
        function: Any = self._results
        if arrays:
            function = self._traced(arrays)
            arrays = [one.astype(self.dtype, order="C", copy=False) for one in arrays]
        values = opaque(function, arrays, like=x)
        for (variable, _), value in zip(self._assigned_to, values[len(self._losses) :], strict=True):
            opaque(self._put, variable, value, draws=True)
        if not is_collecting():
            return None, arrays, []
        added = [note(owner, one) for (owner, _), one in zip(self._losses, values, strict=False)]
        return function if arrays else None, arrays, added

    def _put(self, variable: Variable, value) -> None:
        variable.put(frozen(np.broadcast_to(value, variable.shape), variable.dtype))

    def _results(self, arrays) -> list:
        known = dict(zip(map(id, self._tensors), arrays, strict=True))
        added = [np.sum(value_of(value, known)) for _, value in self._losses]
        return added + [value_of(value, known) + 0.0 for _, value in self._assigned_to]

    def _pulled(self, function, arrays, added):
        zeros = [np.zeros(shape, self.dtype) for shape in function.shapes[len(added) :]]
        return function.pull(arrays, [*(np.array(one.cotangent, self.dtype) for one in added), *zeros])

    def _traced(self, arrays) -> TracedFunction:
        shapes, kinds = [one.shape for one in arrays], [kind_of(one.dtype) for one in arrays]
        key = *shapes, *kinds
        if key not in self._traces:
            if len(self._traces) >= _MOST:
                self._traces.clear()
            none = [False] * len(arrays)
            self._traces[key] = TracedFunction(self._results, shapes, none, kinds, self.dtype, "call")
        return self._traces[key]
