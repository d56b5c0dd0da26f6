"""Masking: steps that hold nothing but a value are masked for the layers after."""

from __future__ import annotations

from typing import Any, Unpack

import numpy as np

from rnnkit.arguments import real_number
from rnnkit.hints import Array, LayerOptions
from rnnkit.layers.base import any_shape
from rnnkit.layers.shaping import OfOneArray
from rnnkit.layers.support import entry, validation


class Masking(OfOneArray):
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
    _stream_refusal = None
    _finds_more = True

    def __init__(self, mask_value: Any = 0.0, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        self.mask_value: float = real_number(mask_value, "mask_value")

    def _masks(self, mask, arrays, training):
        return self._used(*arrays)

    def _result(self, x, used, training):
        return x if used is None else np.where(used.reshape((*x.shape[:2], *(1,) * (x.ndim - 2))), x, 0.0)

    @entry.entered_mask
    def compute_mask(self, inputs: Array, mask: Array = None) -> Any:
        """Return the steps with a feature other than the value, ``(B, T)``, that a mask from before uses too."""
        x = self._taken(inputs, mask)
        used = self._used(x)
        return used if mask is None else used & validation.mask(mask, *x.shape[:2])

    def _taken(self, inputs, mask):
        x = validation.numbers(inputs, "x")
        if x.ndim < 3:
            raise validation.shape_error("x", "batch, time", None, x.shape)
        return x

    def _used(self, x):
        return (x != self.mask_value).any(axis=tuple(range(2, x.ndim)))

    _check_shape = any_shape
