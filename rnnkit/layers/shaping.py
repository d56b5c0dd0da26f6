"""Layers that move numbers about: other axes, repeated rows."""

from __future__ import annotations

import math
from typing import Any, Unpack

import numpy as np

from rnnkit import allocation
from rnnkit.arguments import integer, positive_integer
from rnnkit.hints import LayerOptions, Shape
from rnnkit.layers.base import Layer, any_shape, no_mask
from rnnkit.layers.support import validation
from rnnkit.layers.support.validation import finite_under_mask
from rnnkit.layers.traced import Traced


class OfOneArray(Traced):
    """Base of layers of one array whose result has its shape, and its mask; a subclass has `_result`."""

    _padding: str | None = "masked"

    def _taken(self, inputs, mask):
        """x as an array; NaN and infinity at masked steps count as 0."""
        return finite_under_mask(validation.numbers(inputs, "x"), mask)

    compute_output_shape = Layer.compute_output_shape


class Shaping(OfOneArray):
    """Base of layers of one array that move its numbers; a subclass has `_result`."""

    _axes = "batch, …"
    _padding: str | None = None

    compute_output_shape = Traced.compute_output_shape
    compute_mask = no_mask

    _check_shape = any_shape

    def _check_result(self, shape):
        """Refuse a shape that has no result, or none that fits in memory."""
        found = self.compute_output_shape(shape)
        if None not in found:
            allocation.check(f"the result of {self.name!r}", found, self.dtype)


class RepeatVector(Shaping):
    """Every row ``(B, F)`` as `n` equal steps ``(B, n, F)``.

    Parameters
    ----------
    n : int

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.RepeatVector(3)(np.zeros((2, 4))).shape
    (2, 3, 4)
    """

    _least_rank = _most_rank = 2
    _axes = "batch"

    def __init__(self, n: Any, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        self.n: int = positive_integer(n, "n")

    def _result(self, x, mask, training):
        return np.broadcast_to(x[:, None], (x.shape[0], self.n, x.shape[1]))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(B, n, F)``."""
        batch_size, features = self._shape(input_shape)
        return (batch_size, self.n, features)

    _check_shape = Shaping._check_result


class Reshape(Shaping):
    """Every row in another shape ``(B, *target_shape)``.

    Parameters
    ----------
    target_shape : tuple of int
        Without the batch axis; one size may be -1 and is then what is left.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.Reshape((-1, 2))(np.zeros((5, 8))).shape
    (5, 4, 2)
    """

    def __init__(self, target_shape: Shape, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        if not isinstance(target_shape, (tuple, list)):
            raise ValueError(f"expected target_shape as a tuple of sizes, got {target_shape!r}")
        self.target_shape: tuple[Any, ...] = tuple(integer(size, "a size in target_shape") for size in target_shape)
        if self.target_shape.count(-1) > 1 or any(size < 1 and size != -1 for size in self.target_shape):
            raise ValueError(f"expected positive sizes and at most one -1 in target_shape, got {self.target_shape}")

    def _result(self, x, mask, training):
        return x.reshape((x.shape[0], *self.target_shape))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(B, *target_shape)``."""
        batch_size, *sizes = self._shape(input_shape)
        if None in sizes:
            return (batch_size, *(None if size == -1 else size for size in self.target_shape))
        count, known = math.prod(sizes), math.prod(size for size in self.target_shape if size != -1)
        left = -1 in self.target_shape
        if count % known if left else count != known:
            raise ValueError(f"expected rows of as many numbers as {self.target_shape} holds, got {tuple(sizes)}")
        return (batch_size, *(count // known if size == -1 else size for size in self.target_shape))

    _check_shape = Shaping._check_result


class Flatten(Shaping):
    """Every row as one axis ``(B, N)``.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.Flatten()(np.zeros((2, 5, 3))).shape
    (2, 15)
    """

    def _result(self, x, mask, training):
        return x.reshape((x.shape[0], math.prod(x.shape[1:])))
