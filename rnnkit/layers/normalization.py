"""Normalization of every row on its own: LayerNormalization, GroupNormalization and UnitNormalization."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Unpack

import numpy as np

from rnnkit import constraints, regularizers
from rnnkit.arguments import integer, number_from_zero, positive_integer
from rnnkit.hints import Constraint, Initializer, LayerOptions, Regularizer
from rnnkit.initializers import initializer
from rnnkit.layers.base import Layer
from rnnkit.layers.memoryless import FunctionCell
from rnnkit.layers.over_axes import OverAxes
from rnnkit.layers.shaping import OfOneArray
from rnnkit.layers.weighted import OwnWeight, arguments_of
from rnnkit.steps.cell import Cell


class LayerNormalizationCell(Cell):
    """``(x - mean) / sqrt(variance + epsilon) * gamma + beta`` of a row's entries; its one state stays as it is."""

    state_size = 1

    def __init__(self, layer: LayerNormalization, sizes: tuple[int, ...]):
        super().__init__(name="layer_normalization")
        self.sizes, self.epsilon, self.rms_scaling = sizes, layer.epsilon, layer.rms_scaling
        self.has_gamma, self.has_beta = layer.has_gamma, layer.has_beta
        self.of_gamma = arguments_of(layer, "gamma")
        self.of_beta = arguments_of(layer, "beta")

    def build(self, input_shape):
        """Create ``gamma`` and ``beta``, of the sizes of the axes."""
        if self.has_gamma:
            self.gamma = self.add_weight(self.sizes, name="gamma", **self.of_gamma)
        if self.has_beta:
            self.beta = self.add_weight(self.sizes, name="beta", **self.of_beta)
        self.built = True

    def call(self, inputs, states):
        """One step: the output, and the state as it came."""
        from_mean = inputs - inputs.mean(axis=-1, keepdims=True)
        variance = (from_mean * from_mean).mean(axis=-1, keepdims=True)
        y = (inputs if self.rms_scaling else from_mean) / np.sqrt(variance + self.epsilon)
        if self.has_gamma:
            y = y * self.gamma.reshape(-1)
        if self.has_beta:
            y = y + self.beta.reshape(-1)
        return y, states


class ScaledAndShifted(Layer):
    """Base of normalizations, which multiply by ``gamma`` and add ``beta``.

    Parameters
    ----------
    epsilon : float
        Added to the variance.
    center, scale : bool
        Whether there are ``beta`` and ``gamma``.
    """

    center: bool
    scale: bool

    def __init__(
        self,
        epsilon: float,
        center: bool,
        scale: Any,
        beta_initializer: Initializer,
        gamma_initializer: Initializer,
        beta_regularizer: Regularizer,
        gamma_regularizer: Regularizer,
        beta_constraint: Constraint,
        gamma_constraint: Constraint,
        **options: Any,
    ):
        super().__init__(**options)
        self.epsilon: float = number_from_zero(epsilon, "epsilon")
        self.center, self.scale = bool(center), bool(scale)
        self.beta_initializer: Callable[..., Any] = initializer(beta_initializer)
        self.gamma_initializer: Callable[..., Any] = initializer(gamma_initializer)
        self.beta_regularizer: Any = regularizers.get(beta_regularizer)
        self.gamma_regularizer: Any = regularizers.get(gamma_regularizer)
        self.beta_constraint: Any = constraints.get(beta_constraint)
        self.gamma_constraint: Any = constraints.get(gamma_constraint)

    @property
    def has_gamma(self) -> bool:
        """Return whether it scales."""
        return self.scale

    @property
    def has_beta(self) -> bool:
        """Return whether it shifts."""
        return self.center


class OfFeatures(ScaledAndShifted, OfOneArray):
    """Base of normalizations whose weights are those of features.

    Parameters
    ----------
    axis : int
        That of the features, not the batch axis; its size has to be known when the layer is built.
    """

    _least_rank = 2

    def __init__(self, axis: Any, *arguments: Any, **options: Any):
        super().__init__(*arguments, **options)
        self.axis: Any = integer(axis, "axis")
        if self.axis == 0:
            raise ValueError("expected axis as that of the features, not the batch axis 0; got 0")

    def _shape(self, shape):
        found = super()._shape(shape)
        if not -len(found) < self.axis < len(found):
            raise ValueError(f"expected x of {self.name!r} with an axis {self.axis} behind the batch axis, got {found}")
        return found

    def _opened(self, shape):
        return tuple(size if axis == self.axis % len(shape) else None for axis, size in enumerate(shape))

    def _check_shape(self, shape):
        expected = self._input_shape
        if (len(shape) != len(expected) and self.axis > 0) or shape[self.axis] != expected[self.axis]:
            raise ValueError(f"expected x of shape {expected}, as the layer was built for, got {tuple(shape)}")

    def _own_weights(self, shape) -> dict[str, OwnWeight]:
        size = shape[self.axis]
        if size is None:
            raise ValueError(f"expected a known size of the axis {self.axis} of {self.name!r}, got {shape}")
        there = {"gamma": self.has_gamma, "beta": self.has_beta}
        return {name: OwnWeight.by_arguments(self, name, (size,)) for name, own in there.items() if own}


class LayerNormalization(ScaledAndShifted, OverAxes):
    """Each row's entries along some axes with mean 0 and variance 1, then scaled and shifted (Ba et al. 2016).

    It equals, along `axis`::

        (x - x.mean(axis)) / np.sqrt(x.var(axis) + epsilon) * gamma + beta

    Parameters
    ----------
    rms_scaling : bool
        Divide only, and subtract no mean: ``x / np.sqrt(x.var(axis) + epsilon) * gamma``, as Keras has it.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.LayerNormalization(epsilon=0.0)(np.array([[1.0, 3.0], [10.0, 50.0]]))
    array([[-1.,  1.],
           [-1.,  1.]])
    """

    rms_scaling: Any

    def __init__(
        self,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: Any = True,
        beta_initializer: Initializer = "zeros",
        gamma_initializer: Initializer = "ones",
        beta_regularizer: Regularizer = None,
        gamma_regularizer: Regularizer = None,
        beta_constraint: Constraint = None,
        gamma_constraint: Constraint = None,
        *,
        rms_scaling: bool = False,
        **options: Unpack[LayerOptions],
    ):
        super().__init__(
            epsilon, center, scale, beta_initializer, gamma_initializer, beta_regularizer, gamma_regularizer,
            beta_constraint, gamma_constraint, axis=axis, **options,
        )  # fmt: skip
        self.rms_scaling = bool(rms_scaling)

    @property
    def has_gamma(self) -> bool:
        """Return whether it scales."""
        return self.scale or self.rms_scaling

    @property
    def has_beta(self) -> bool:
        """Return whether it shifts."""
        return self.center and not self.rms_scaling

    def _cell_for(self, shape):
        return LayerNormalizationCell(self, self._sizes(shape))


class GroupNormalization(OfFeatures):
    """Each row's features in groups, each group with mean 0 and variance 1 over all steps (Wu and He 2018).

    It equals, for x ``(B, …, F)``::

        parts = x.reshape(*x.shape[:-1], groups, F // groups)
        over = (*range(1, x.ndim - 1), x.ndim)  # all axes but those of rows and groups
        y = (parts - parts.mean(over, keepdims=True)) / np.sqrt(parts.var(over, keepdims=True) + epsilon)
        y.reshape(x.shape) * gamma + beta

    Steps under a mask count as all others do.

    Parameters
    ----------
    groups : int
        A divisor of the number of features; -1 for a group of each.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.GroupNormalization(2, epsilon=0.0)(np.array([[1.0, 3.0, 10.0, 50.0]]))
    array([[-1.,  1., -1.,  1.]])
    """

    _padding = "lengths"

    def __init__(
        self,
        groups: int = 32,
        axis: Any = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: Any = True,
        beta_initializer: Initializer = "zeros",
        gamma_initializer: Initializer = "ones",
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
        self.groups: int = -1 if groups == -1 else positive_integer(groups, "groups")

    def _own_weights(self, shape):
        if self.groups > 0 and (shape[self.axis] or 0) % self.groups:
            raise ValueError(
                f"expected features in {self.groups} equal groups for {self.name!r}, got {shape[self.axis]}"
            )
        return super()._own_weights(shape)

    def _result(self, x, mask, training, weights=None):
        last = np.moveaxis(x, self.axis, -1)
        groups = last.shape[-1] if self.groups < 0 else self.groups
        parts = np.moveaxis(last.reshape(*last.shape[:-1], groups, last.shape[-1] // groups), -2, 1)
        rows = parts.reshape(parts.shape[0], groups, math.prod(parts.shape[2:]))
        each = max(rows.shape[-1], 1)  # of no steps, there is nothing to compute
        from_mean = rows - rows.sum(axis=-1, keepdims=True) / each
        y = from_mean / np.sqrt((from_mean * from_mean).sum(axis=-1, keepdims=True) / each + self.epsilon)
        y = np.moveaxis(y.reshape(parts.shape), 1, -2).reshape(last.shape)
        y = y * weights["gamma"] if self.scale else y
        return np.moveaxis(y + weights["beta"] if self.center else y, -1, self.axis)

    @property
    def _stream_refusal(self):  # type: ignore[override]
        rank = 0 if self._input_shape is None else len(self._input_shape)
        return "computes along the time axis" if rank > 2 else None


class UnitNormalization(OverAxes):
    """Each row's entries along some axes divided by the square root of the sum of their squares; zeros stay.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.UnitNormalization()(np.array([[3.0, 4.0]]))
    array([[0.6, 0.8]])
    """

    def _cell_for(self, shape):
        return FunctionCell(_to_unit_norm, "unit_normalization")


def _to_unit_norm(x):
    squares = (x * x).sum(axis=-1, keepdims=True)
    return x / np.sqrt(np.maximum(squares, 1e-24))
