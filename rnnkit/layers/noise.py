"""Layers that change what they are given at random, and only in training."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Unpack

import numpy as np

from rnnkit.arguments import fraction, is_integer, shown
from rnnkit.cells.standard import InvertedDropout
from rnnkit.hints import LayerOptions, Shape
from rnnkit.layers.base import any_shape
from rnnkit.layers.shaping import OfOneArray
from rnnkit.layers.support.pullback import Gradients
from rnnkit.layers.support.seeds import drawn


class Noise(OfOneArray):
    """Base of layers that multiply x in training by an array that is drawn at each call, and else do nothing.

    A subclass has `_drawn` and `_is_silent`, and `_noisy` if it does something else with the array.
    """

    _open_axes = -1
    _stream_refusal: str | None = None
    _finds_more = True
    _noisy: Callable = np.multiply

    def _call(self, inputs, mask, training, wanted=None):
        if not self.built or (training and not self._is_silent()):
            return super()._call(inputs, mask, training, wanted)
        y = self._taken(inputs, mask).astype(self.dtype, order="C")  # a graph of x alone would take a third longer
        self._shape(y.shape)
        return y if wanted is None else self._with_pullback(y, lambda d: Gradients({}, d.copy()))

    def _masks(self, mask, arrays, training):
        (x,) = arrays
        if not training or self._is_silent():
            return None
        return drawn(self, lambda rng: self._drawn(rng, x.shape).astype(self.dtype, copy=False), x)

    def _result(self, x, drawn, training):
        return x if drawn is None else self._noisy(x, drawn)

    def _drawn(self, rng, shape) -> np.ndarray:
        """What is drawn for an x of this shape."""
        raise NotImplementedError

    def _is_silent(self) -> bool:
        """Return whether it never changes anything."""
        raise NotImplementedError

    _check_shape = any_shape


class Drawn(Noise):
    """Layer that adds a function's draw to x: it stands for a draw in the `call` of a layer, which is read once.

    An integer as a seed gives the same numbers at each call.
    """

    _noisy = np.add

    def __init__(self, function, seed):
        super().__init__(seed=None if isinstance(seed, int) else seed)
        self._function, self._fixed = function, seed if isinstance(seed, int) else None

    def _drawn(self, rng, shape):
        return self._function(rng if self._fixed is None else np.random.default_rng(self._fixed), shape)

    def _is_silent(self):
        return False


class ByRate(Noise):
    """Base of those that have a `rate`."""

    def __init__(self, rate: float, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        self.rate: float = fraction(rate, "rate")

    def _is_silent(self):
        return not self.rate


class SpatialDropout1D(ByRate):
    """`Dropout` of whole features: in training, all steps of a share `rate` of each row's features become 0.

    The others are scaled by ``1 / (1 - rate)`` (Tompson et al. 2015).

    Parameters
    ----------
    rate : float in [0, 1]

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> y = rk.SpatialDropout1D(0.5, seed=0)(np.ones((1, 9, 4)), training=True)
    >>> bool((y == y[:, :1]).all()), set(y.ravel().tolist())
    (True, {0.0, 2.0})
    """

    _least_rank = _most_rank = 3
    _axes = "batch, time"

    def _drawn(self, rng, shape):
        return InvertedDropout(self.rate)(rng, (shape[0], 1, shape[2]))


class GaussianNoise(Noise):
    """Normal noise that is added in training.

    Parameters
    ----------
    stddev : float in [0, 1]

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.GaussianNoise(0.5)(np.ones((1, 3)))
    array([[1., 1., 1.]])
    """

    _noisy = np.add

    def __init__(self, stddev: float, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        self.stddev: float = fraction(stddev, "stddev")

    def _drawn(self, rng, shape):
        return rng.normal(0, self.stddev, shape)

    def _is_silent(self):
        return not self.stddev


class GaussianDropout(ByRate):
    """Normal noise to multiply by in training, with mean 1 and variance ``rate / (1 - rate)`` (Srivastava et al. 2014).

    Parameters
    ----------
    rate : float in [0, 1)

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.GaussianDropout(0.5)(np.ones((1, 3)))
    array([[1., 1., 1.]])
    """

    def __init__(self, rate: float, **options: Unpack[LayerOptions]):
        super().__init__(rate, **options)
        if self.rate == 1:
            raise ValueError("expected rate below 1, for the noise has the variance rate / (1 - rate); got 1")

    def _drawn(self, rng, shape):
        return rng.normal(1, math.sqrt(self.rate / (1 - self.rate)), shape)


class AlphaDropout(ByRate):
    """Dropout that keeps mean and variance, for layers with the activation "selu" (Klambauer et al. 2017).

    In training, a share `rate` of the entries becomes the limit of selu, and all entries are scaled and shifted.

    Parameters
    ----------
    rate : float in [0, 1)
    noise_shape : sequence of int or None, optional
        The shape of what is drawn, None for a size of x; sizes of 1 are repeated: ``(None, 1, None)`` drops a feature
        at all steps.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.AlphaDropout(0.5)(np.ones((1, 3)))
    array([[1., 1., 1.]])
    """

    def __init__(self, rate: float, noise_shape: Shape = None, **options: Unpack[LayerOptions]):
        super().__init__(rate, **options)
        if self.rate == 1:
            raise ValueError("expected rate below 1, for the scale is 1 / sqrt(1 - rate) and more; got 1")
        several = isinstance(noise_shape, (list, tuple))
        if noise_shape is not None and not (
            several and all(size is None or (is_integer(size) and size > 0) for size in noise_shape)
        ):
            raise ValueError(f"expected noise_shape as a tuple of sizes or None, got {shown(noise_shape)}")
        self.noise_shape: Any = None if noise_shape is None else [None if n is None else int(n) for n in noise_shape]

    def _drawn(self, rng, shape):
        kept = rng.random(self._noise_shape(shape)) >= self.rate
        return np.broadcast_to(kept, (shape[0], *kept.shape[1:]))

    def _noisy(self, x, drawn):
        limit = -1.7580993408473766  # of selu, far below 0
        scale = ((1 - self.rate) * (1 + self.rate * limit**2)) ** -0.5
        shift = scale * limit * self.rate
        return x * (drawn * scale) + np.where(drawn, -shift, scale * limit - shift)

    def _noise_shape(self, shape):
        if self.noise_shape is None:
            return shape
        sizes = self.noise_shape
        if len(sizes) != len(shape) or any(n not in (None, 1, size) for n, size in zip(sizes, shape, strict=True)):
            raise ValueError(f"expected noise_shape to be repeated to x of shape {tuple(shape)}, got {tuple(sizes)}")
        return tuple(size if n is None else n for n, size in zip(sizes, shape, strict=True))
