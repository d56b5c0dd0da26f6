"""Effects: the end of a `call` that adds losses or assigns weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.layers.base import NO_MORE, Layer, any_shape
from rnnkit.layers.support.added_losses import is_collecting, note
from rnnkit.layers.support.pullback import Gradients, Pullback
from rnnkit.layers.support.symbolic import SymbolicTensor, resolved
from rnnkit.layers.support.variable import Variable
from rnnkit.opaque import opaque
from rnnkit.steps.cell import frozen


class Effects(Layer):
    """The first of several arrays as it is; of the others, losses are added, or they are assigned to weights.

    `losses` are pairs ``(layer, value)``, each the sum over all entries; `assigned` are pairs ``(Variable, value)``.
    """

    _takes_unbatched = _reads_batch = True
    _check_shape = any_shape

    def __init__(self, losses: list, assigned: list, dtype: Any):
        super().__init__(dtype=dtype)
        self._owners, self._assigned_to = ([one for one, _ in pairs] for pairs in (losses, assigned))
        values = [resolved(value) for _, value in (*losses, *assigned)]
        self._values = [one if isinstance(one, SymbolicTensor) else np.asarray(one) for one in values]

    def behind(self, output: SymbolicTensor) -> Any:
        """Return the symbolic output of a call with these effects."""
        return self([output, *self._values])

    def _shape(self, shape):
        return shape

    _opened = _shape

    def _given_for(self, node, shape):
        return shape[0], node.x[0].dtype

    def _with_mask(self, x, mask, training, more=NO_MORE, wanted=None):
        output, *values = x
        count = len(self._owners)
        for variable, value in zip(self._assigned_to, values[count:], strict=True):
            opaque(self._put, variable, value, draws=True)
        floats = [one.astype(self.dtype, copy=False) for one in values[:count]]
        pairs = zip(self._owners, floats, strict=True) if is_collecting() else ()
        added = [note(owner, one.sum(axis=tuple(range(one.ndim)), keepdims=True).reshape(())) for owner, one in pairs]

        def pull(cotangents):
            own = [opaque(_spread, *pair) for pair in zip(added, values, strict=False)]
            return Gradients({}, [*cotangents, *own, *[None] * (len(values) - len(own))])

        return output, None if mask is None else mask[0], wanted and Pullback(output, self.dtype, pull)

    def _put(self, variable: Variable, value) -> None:
        variable.put(frozen(np.broadcast_to(value, variable.shape), variable.dtype))


def _spread(added, value) -> Any:
    """Return the cotangent of a value of which the sum was added to the loss."""
    return np.full(value.shape, added.cotangent, value.dtype) if value.dtype.kind == "f" else None
