"""Masking: steps that hold nothing but a value are masked for the layers after."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from rnnkit.arguments import real_number
from rnnkit.hints import Array, LayerOptions
from rnnkit.layers.base import any_shape
from rnnkit.layers.support import entry, validation
from rnnkit.layers.support.layer_tree import build_with
from rnnkit.layers.support.pullback import Gradients
from rnnkit.layers.weighted import Applied


class Masking(Applied):
    """A layer that masks the steps whose features all equal `mask_value`.

    Their cotangents are 0, others go back as they are.

    Parameters
    ----------
    mask_value : float

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> x = np.array([[[1.0, 2.0], [-1.0, -1.0]]])
    >>> layer = rk.Masking(-1.0)
    >>> layer.compute_mask(x).tolist(), layer(x).tolist()
    ([[True, False]], [[[1.0, 2.0], [0.0, 0.0]]])
    """

    _least_rank = 3
    _open_axes = 2
    _axes = "batch, time"
    _padding = "masked"
    _stream_refusal = None

    def __init__(self, mask_value: Any = 0.0, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        self.mask_value: float = real_number(mask_value, "mask_value")

    def _applied(self, inputs, mask, training):
        x = self._sequences(inputs)
        if not self.built:
            build_with(self, x.shape, self.dtype or validation.precision_of(x))
        used = self._used(x).reshape(*x.shape[:2], *(1,) * (x.ndim - 2))
        outputs = np.where(used, x, 0).astype(self.dtype)
        zero = outputs.dtype.type(0)
        return outputs, lambda d: Gradients({}, np.where(used, d, zero))

    @entry.entered_mask
    def compute_mask(self, inputs: Array, mask: Array = None) -> Any:
        """Return the steps with a feature other than the value, ``(B, T)``, that a mask from before uses too."""
        x = self._sequences(inputs)
        used = self._used(x)
        return used if mask is None else used & validation.mask(mask, *x.shape[:2])

    def _sequences(self, inputs):
        x = validation.numbers(inputs, "x")
        if x.ndim < 3:
            raise validation.shape_error("x", "batch, time", None, x.shape)
        return x

    def _used(self, x):
        return (x != x.dtype.type(self.mask_value)).any(axis=tuple(range(2, x.ndim)))

    _check_shape = any_shape
