"""TimeDistributed: one layer applied to every step on its own."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from rnnkit.hints import Array, DType, Seed, Shape
from rnnkit.layers.base import Layer
from rnnkit.layers.support import entry, validation
from rnnkit.layers.support.added_losses import calling_parts, unregularized
from rnnkit.layers.support.layer_tree import build_with
from rnnkit.layers.support.pullback import Gradients, Pullback
from rnnkit.layers.support.seeds import adopt_seed, inherit_seeds
from rnnkit.steps.nesting import mapped, shapes_mapped


class TimeDistributed(Layer):
    """A layer that applies another to each step of x ``(B, T, …)``.

    It equals::

        np.stack([layer(x[:, t]) for t in range(T)], axis=1)

    Parameters
    ----------
    layer : Layer
        Sees ``(B*T, …)`` at once.

    Notes
    -----
    A mask ``(B, T)`` is passed on. A mask ``(B, T, S)`` is the inner layer's where its inputs have steps of their own,
    ``(B, T, S, …)``; a step counts for later layers where any of its entries does.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.TimeDistributed(rk.Dense(4))(np.zeros((2, 5, 3))).shape
    (2, 5, 4)
    """

    _open_axes = 2
    _axes = "batch, time"
    _padding = "masked"
    _native = True
    _stream_refusal = None
    _object_arguments = ("layer",)

    def __init__(self, layer: Any, *, dtype: DType = None, seed: Seed = None, name: str | None = None):
        if not isinstance(layer, Layer):
            raise TypeError(f"expected a layer to apply at each step, got {layer!r}")
        super().__init__(dtype=dtype, seed=seed, name=name)
        self.layer = unregularized(layer)
        self._least_rank = layer._least_rank + 1
        if seed is not None:
            adopt_seed(self, self._sequence)
            self._given_seed = seed

    def _call(self, inputs, mask, training, wanted=None):
        function = self.layer if wanted is None else partial(self.layer.vjp, **wanted)
        shape, found = self._run(inputs, mask, partial(function, training=training))
        rows, pullback = (found, None) if wanted is None else found
        outputs = mapped(rows, lambda one: one.reshape(*shape[:2], *one.shape[1:]))
        if pullback is None:
            return outputs
        count = shape[0] * shape[1]

        def pull(cotangents):
            gradient = pullback.pull([None if d is None else d.reshape(count, *d.shape[2:]) for d in cotangents])
            weights = {f"layer/{name}": array for name, array in gradient.weights.items()}
            return Gradients(weights, None if gradient.x is None else gradient.x.reshape(shape))

        return outputs, Pullback(outputs, pullback.dtype, pull)

    def _run(self, inputs, mask, function):
        """Return the shape of x, and the result of a function of the layer for the steps as rows."""
        x = validation.reshapeable(validation.numbers(inputs, "x"))
        if x.ndim < self._least_rank:
            raise validation.shape_error("x", self._axes, None, x.shape)
        batch_size, length = x.shape[:2]
        inner = {}
        if mask is not None and np.ndim(mask) > 2:
            found = np.asanyarray(mask)
            if found.shape[:2] != (batch_size, length):
                raise ValueError(f"expected mask of shape ({batch_size}, {length}, …), got {found.shape}")
            if x.ndim > 3 and found.shape == x.shape[:3]:
                inner = {"mask": found.reshape(batch_size * length, -1)}
        elif mask is not None:
            validation.mask(mask, batch_size, length)
        if self.built:
            self._check_shape(x.shape)
        with calling_parts(self):
            if not self.built:
                build_with(self, x.shape, self.dtype or validation.precision_of(x))
            return x.shape, function(x.reshape(batch_size * length, *x.shape[2:]), **inner)

    @entry.entered_mask
    def compute_mask(self, inputs: Array, mask: Array = None) -> Any:
        """Return the mask that goes with the output: the input's, or where any of a step's entries counts."""
        found = super().compute_mask(inputs, mask)
        return found if found is None or found.ndim < 3 else found.reshape(*found.shape[:2], -1).any(axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the layer's output shape for one step, with the time axis after the batch axis."""
        shape = super().compute_output_shape(input_shape)
        step = self.layer.compute_output_shape((shape[0], *shape[2:]))
        return shapes_mapped(step, lambda one: (*shape[:2], *one[1:]))

    @property
    def _reads_ids(self):  # type: ignore[override]
        return self.layer._reads_ids

    def __repr__(self) -> str:
        return f"TimeDistributed({self.layer!r})"

    def _build(self, shape):
        build_with(self.layer, (shape[0], *shape[2:]), self.layer.dtype or self.dtype)
        self.dtype: Any = self.layer.dtype

    def _check_shape(self, shape):
        try:
            self.layer._check_shape((shape[0], *shape[2:]))
        except ValueError:
            raise validation.shape_error("x", self._axes, self._input_shape[2:], shape) from None

    def _opened(self, shape):
        return (None, None, *self.layer._input_shape[1:])

    def _parts(self):
        return {"layer": self.layer}

    def _pass_seed_on(self):
        inherit_seeds(self, [self.layer])
