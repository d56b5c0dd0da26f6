"""Activation functions that are layers of their own, with their options: Softmax, ReLU, LeakyReLU, ELU."""

from __future__ import annotations

from functools import partial
from typing import Any, Unpack

import numpy as np

from rnnkit.activations import elu, leaky_relu, softmax
from rnnkit.arguments import number_from_zero, real_number
from rnnkit.backends.cuda.memory.array import DeviceArray
from rnnkit.docstrings import described_as
from rnnkit.hints import LayerOptions
from rnnkit.layers.memoryless import FunctionCell, Memoryless
from rnnkit.layers.over_axes import OverAxes
from rnnkit.layers.support import validation
from rnnkit.layers.support.pullback import Pullback


class Softmax(OverAxes):
    """``exp(x) / exp(x).sum(axis)``.

    A mask that NumPy broadcasts to x says which entries count; the others become 0. A mask ``(B, T)`` of the steps of x
    ``(B, T, …)`` changes nothing but NaN and infinity, as in other layers.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.Softmax()(np.zeros((1, 4)), mask=[[1, 1, 0, 0]])
    array([[0.5, 0.5, 0. , 0. ]])
    """

    def _call(self, inputs, mask, training, wanted=None):
        x, mask, used = self._parted(inputs, mask)
        found = super()._call(x, mask, training, wanted)
        if wanted is None:
            return _chosen(used, found)
        outputs, pullback = found
        pull = lambda cotangents: pullback.pull([None if d is None else _chosen(used, d) for d in cotangents])
        return _chosen(used, outputs), Pullback(outputs, self.dtype, pull)

    def _parted(self, inputs, mask):
        """x, a mask of steps, and the entries that a mask of entries uses; elsewhere x is such that its share is 0."""
        x = validation.numbers(inputs, "x")
        given = None if mask is None else validation.given(mask, "mask")
        if given is None or (given.ndim == 2 < x.ndim and given.shape == x.shape[:2]):
            return x, mask, None
        if isinstance(x, DeviceArray) or isinstance(given, DeviceArray):
            raise TypeError("expected arrays on the host for a Softmax with a mask of entries, got a device array")
        behind = x.shape[x.ndim - given.ndim :] if given.ndim <= x.ndim else ()
        if len(behind) < given.ndim or any(n not in (1, whole) for n, whole in zip(given.shape, behind, strict=True)):
            raise ValueError(f"expected mask of the shape {x.shape} of x, or one broadcast to it; got {given.shape}")
        x = x if x.dtype.kind == "f" else x.astype(self.dtype or np.float32)
        used = np.broadcast_to(given != 0, x.shape)
        low = np.where(used.any(axis=tuple(np.ravel(self.axis)), keepdims=True), -np.inf, 0.0)
        return _chosen(used, x, low), None, used

    def _cell_for(self, shape):
        return FunctionCell(softmax, "softmax")


class ReLU(Memoryless):
    """``max(x, 0)``, or with other slopes and limits.

    It equals ``max_value`` for x of at least that, x between `threshold` and `max_value`, and below
    ``negative_slope * (x - threshold)``.

    Parameters
    ----------
    max_value : float of at least 0, optional
    negative_slope, threshold : float of at least 0

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.ReLU(max_value=2.0, negative_slope=0.5)(np.array([[-1.0, 1.0, 3.0]]))
    array([[-0.5,  1. ,  2. ]])
    """

    def __init__(
        self,
        max_value: float | None = None,
        negative_slope: Any = 0.0,
        threshold: Any = 0.0,
        **options: Unpack[LayerOptions],
    ):
        super().__init__(**options)
        self.max_value: Any = None if max_value is None else number_from_zero(max_value, "max_value")
        self.negative_slope: float = number_from_zero(negative_slope, "negative_slope")
        self.threshold: float = number_from_zero(threshold, "threshold")

    def _cell_for(self, shape):
        return FunctionCell(self._function, "relu")

    def _function(self, x):
        y = np.where(x > self.threshold, x, 0) if self.threshold else np.maximum(x, 0)
        if self.max_value is not None:
            y = np.minimum(y, self.max_value)
        return y + self.negative_slope * np.minimum(x - self.threshold, 0) if self.negative_slope else y


@described_as(ReLU)
class LeakyReLU(Memoryless):
    """A layer of x where it is positive, and ``negative_slope * x`` elsewhere.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.LeakyReLU(0.5)(np.array([[-1.0, 1.0]]))
    array([[-0.5,  1. ]])
    """

    def __init__(self, negative_slope: Any = 0.3, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        self.negative_slope: float = number_from_zero(negative_slope, "negative_slope")

    def _cell_for(self, shape):
        return FunctionCell(partial(leaky_relu, negative_slope=self.negative_slope), "leaky_relu")


class ELU(Memoryless):
    """A layer of x where it is positive, and ``alpha * (exp(x) - 1)`` elsewhere (Clevert et al. 2015).

    Parameters
    ----------
    alpha : float

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.ELU()(np.array([[-50.0, 1.0]]))
    array([[-1.,  1.]])
    """

    def __init__(self, alpha: Any = 1.0, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        self.alpha: float = real_number(alpha, "alpha")

    def _cell_for(self, shape):
        return FunctionCell(partial(elu, alpha=self.alpha), "elu")


def _chosen(used, x, other=0.0):
    """x with another number where it isn't used; None uses all."""
    return x if used is None else np.where(used, x, np.asarray(other, x.dtype))
