"""PReLU: a rectifier that learns its slopes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

import numpy as np

from rnnkit import constraints, regularizers
from rnnkit.arguments import positive_integer
from rnnkit.custom_gradients import custom_gradient
from rnnkit.hints import Constraint, Initializer, LayerOptions, Regularizer
from rnnkit.initializers import initializer
from rnnkit.layers.shaping import OfOneArray
from rnnkit.layers.weighted import OwnWeight


class PReLU(OfOneArray):
    """A layer of x where it is positive, and ``alpha * x`` elsewhere, with trained alpha (He et al. 2015).

    There is a weight for each place in a row.

    Parameters
    ----------
    alpha_initializer : str, callable or initializer
    alpha_regularizer : str or Regularizer, optional
        A penalty on ``alpha``, see `rnnkit.regularizers`.
    alpha_constraint : str or callable, optional
        What ``alpha`` must keep to in training, see `rnnkit.constraints`.
    shared_axes : int or sequence of int, optional
        Axes along which the places share a weight, from 1 on: ``[1]`` shares them along time, and lengths are then
        free. The sizes of the others have to be known when the layer is built.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.PReLU("ones", shared_axes=[1])
    >>> layer(np.array([[[-1.0, 2.0]]])).tolist(), layer.weights["alpha"].shape
    ([[[-1.0, 2.0]]], (1, 2))
    """

    _least_rank = 2

    def __init__(
        self,
        alpha_initializer: Initializer = "zeros",
        alpha_regularizer: Regularizer = None,
        alpha_constraint: Constraint = None,
        shared_axes: Any = None,
        **options: Unpack[LayerOptions],
    ):
        super().__init__(**options)
        self.alpha_initializer: Callable[..., Any] = initializer(alpha_initializer)
        self.alpha_regularizer: Any = regularizers.get(alpha_regularizer)
        self.alpha_constraint: Any = constraints.get(alpha_constraint)
        several = shared_axes if isinstance(shared_axes, (list, tuple)) else [shared_axes]
        self.shared_axes: Any = (
            None if shared_axes is None else [positive_integer(axis, "an axis in shared_axes") for axis in several]
        )

    def _shape(self, shape):
        found = super()._shape(shape)
        if max(self.shared_axes or [0]) >= len(found):
            raise ValueError(f"expected shared_axes among the axes of x {found}, got {self.shared_axes}")
        return found

    def _opened(self, shape):
        shared = {0, *(self.shared_axes or ())}
        return tuple(None if axis in shared else size for axis, size in enumerate(shape))

    def _check_shape(self, shape):
        expected = self._input_shape
        if len(shape) != len(expected) or any(b not in (None, a) for a, b in zip(shape, expected, strict=True)):
            raise ValueError(f"expected x of shape {expected}, as the layer was built for, got {tuple(shape)}")

    def _own_weights(self, shape):
        sizes = tuple(1 if axis in (self.shared_axes or ()) else size for axis, size in enumerate(shape))[1:]
        if None in sizes:
            raise ValueError(f"expected known sizes of the axes that {self.name!r} doesn't share, got {shape}")
        return {"alpha": OwnWeight.by_arguments(self, "alpha", sizes)}

    def _result(self, x, mask, training, weights):
        return np.maximum(x, 0.0) + weights["alpha"] * _negative_part(x)

    @property
    def _stream_refusal(self):  # type: ignore[override]
        rank = 0 if self._input_shape is None else len(self._input_shape)
        return "has a weight for each step" if rank > 2 and 1 not in (self.shared_axes or ()) else None


@custom_gradient
def _negative_part(x):
    return np.minimum(x, 0.0), lambda d: np.where(x < 0, d, 0.0)
