"""BatchNormalization: every feature normalized over the batch, or by averages that calls in training have moved."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, Unpack

import numpy as np

from rnnkit.arguments import fraction
from rnnkit.circumstances import circumstances, weights_now
from rnnkit.hints import Constraint, Initializer, LayerOptions, Regularizer
from rnnkit.initializers import initializer
from rnnkit.layers.base import NO_MORE
from rnnkit.layers.normalization import OfFeatures
from rnnkit.layers.support import validation
from rnnkit.layers.support.layer_tree import all_or_nothing, build_with, held_by
from rnnkit.layers.support.pullback import Gradients
from rnnkit.layers.weighted import OwnWeight
from rnnkit.opaque import opaque
from rnnkit.steps.cell import frozen
from rnnkit.steps.weight_options import WeightOptions


class BatchNormalization(OfFeatures):
    """Each feature with mean 0 and variance 1 over a batch, then scaled and shifted (Ioffe and Szegedy 2015).

    In training, and where the layer isn't frozen, mean and variance are those of the call's used steps, and the call
    moves the averages::

        moving_mean = momentum * moving_mean + (1 - momentum) * mean
        moving_variance = momentum * moving_variance + (1 - momentum) * variance

    Otherwise the averages are used. With `trainable` False, of this layer or one around it, a call in training is one
    outside of training. A batch that fails in `fit`, and a model's call that raises, leave the averages as they were.

    Parameters
    ----------
    momentum : float in [0, 1]
    moving_mean_initializer, moving_variance_initializer : str, callable or initializer

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.BatchNormalization(momentum=0.5, epsilon=0.0)
    >>> layer(np.array([[1.0], [3.0]]), training=True).tolist()
    [[-1.0], [1.0]]
    >>> layer.weights["moving_mean"].tolist(), layer.weights["moving_variance"].tolist()
    ([1.0], [1.0])
    """

    momentum: float

    def __init__(
        self,
        axis: Any = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: Any = True,
        beta_initializer: Initializer = "zeros",
        gamma_initializer: Initializer = "ones",
        moving_mean_initializer: Initializer = "zeros",
        moving_variance_initializer: Initializer = "ones",
        beta_regularizer: Regularizer = None,
        gamma_regularizer: Regularizer = None,
        beta_constraint: Constraint = None,
        gamma_constraint: Constraint = None,
        **options: Unpack[LayerOptions],
    ):
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer,
            beta_constraint, gamma_constraint, **options,
        )  # fmt: skip
        self.momentum = fraction(momentum, "momentum")
        self.moving_mean_initializer: Callable[..., Any] = initializer(moving_mean_initializer)
        self.moving_variance_initializer: Callable[..., Any] = initializer(moving_variance_initializer)

    def _own_weights(self, shape):
        found, size, fixed = super()._own_weights(shape), shape[self.axis], WeightOptions(trainable=False)
        found["moving_mean"] = OwnWeight((size,), self.moving_mean_initializer, fixed)
        found["moving_variance"] = OwnWeight((size,), self.moving_variance_initializer, fixed)
        return found

    # Calls

    def _call(self, inputs, mask, training, wanted=None):
        if not (training and self.trainable and not circumstances().is_frozen and np.size(inputs)):
            return super()._call(inputs, mask, False, wanted)
        x = self._taken(inputs, mask)
        with nullcontext() if self.built else all_or_nothing(self):
            if not self.built:
                build_with(self, x.shape, self.dtype or validation.precision_of(x))
            self._check_shape(self._shape(x.shape))
            x = x.astype(self.dtype, order="C")  # a copy, as the gradient reads it
            y, back = self._by_the_batch(weights_now(self._own), x, mask)
        return y if wanted is None else self._with_pullback(y, lambda d: Gradients(*back(d)))

    def _result(self, x, mask, training, weights=NO_MORE):
        wide = tuple(-1 if axis == self.axis % x.ndim else 1 for axis in range(x.ndim))
        slope = 1 / np.sqrt(weights["moving_variance"] + self.epsilon)
        slope = slope * weights["gamma"] if self.scale else slope
        y = (x - weights["moving_mean"].reshape(wide)) * slope.reshape(wide)
        return y + weights["beta"].reshape(wide) if self.center else y

    def _weights_of_call(self, like):
        weights, moving = super()._weights_of_call(like), held_by(self).moving()
        live = [name for name in moving if weights[name] is self._own[name]]  # no stand-ins: calls change them
        return weights | {name: opaque(self._now, name, draws=True, like=like) for name in live}

    def _now(self, name):
        return np.array(self._own[name])

    @property
    def _stream_refusal(self):  # type: ignore[override]
        rank = 0 if self._input_shape is None else len(self._input_shape)
        return "has a mean for each step" if rank > 2 and self.axis % rank == 1 else None

    def _by_the_batch(self, weights, x, mask):
        from rnnkit.execution.layer_kernels import New, run_kernel  # with the compiler, where it is first needed

        dtype, last = x.dtype, self.axis % x.ndim == x.ndim - 1
        used = None if mask is None else self._used(mask, x.shape)
        x = x if last else np.moveaxis(x, self.axis, -1).copy()
        sizes = x.size // x.shape[-1], x.shape[-1]
        gamma, beta = weights.get("gamma"), weights.get("beta")
        epsilon = np.full_like(x, self.epsilon, float, shape=1)
        given = x, New(x.shape), used, *sizes, epsilon, gamma, beta, New((4, sizes[1]), float)
        y, sums = run_kernel("batch_moments.batch_normalization", dtype, *given)
        opaque(lambda sums: self._move_averages(*sums[:2].astype(dtype)), sums, draws=True)

        def back(d):
            d = (d if last else np.moveaxis(d, self.axis, -1)).astype(dtype, copy=False)
            made = New(x.shape), New(sizes[1:]), New(sizes[1:])
            given = d, x, used, *sizes, gamma, sums, *made
            d_x, d_gamma, d_beta = run_kernel("batch_moments.batch_normalization_back", dtype, *given)
            found = {"gamma": d_gamma} if self.scale else {}
            found |= {"beta": d_beta} if self.center else {}
            found |= {name: np.zeros_like(d_beta) for name in ("moving_mean", "moving_variance")}
            return found, d_x if last else np.moveaxis(d_x, -1, self.axis)

        return y if last else np.moveaxis(y, -1, self.axis), back

    def _used(self, mask, shape):
        """1 where the mask's steps are used, else 0, for an x of this shape with the features' axis last."""
        used = validation.mask(mask, *shape[:2]) if len(shape) > 2 else validation.array(mask, "mask") != 0
        if used.shape != shape[: used.ndim]:
            raise ValueError(f"expected mask of shape {shape[:-1]}, got {used.shape}")
        used = np.broadcast_to(used.reshape(*used.shape, *(1,) * (len(shape) - used.ndim)), shape)
        return np.moveaxis(used, self.axis, -1).astype(self.dtype, order="C")

    def _move_averages(self, mean, variance) -> None:
        new = {
            name: frozen(self._own[name] * self.momentum + value * (1 - self.momentum), self.dtype)
            for name, value in (("moving_mean", mean), ("moving_variance", variance))
        }
        held_by(self).put(new)
