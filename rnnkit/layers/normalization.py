"""Normalization of every row on its own: LayerNormalization and UnitNormalization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

import numpy as np

from rnnkit import constraints, regularizers
from rnnkit.arguments import number_from_zero
from rnnkit.hints import Constraint, Initializer, LayerOptions, Regularizer
from rnnkit.initializers import initializer
from rnnkit.layers.memoryless import FunctionCell
from rnnkit.layers.over_axes import OverAxes
from rnnkit.layers.weighted import arguments_of
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


class LayerNormalization(OverAxes):
    """Each row's entries along some axes with mean 0 and variance 1, then scaled and shifted (Ba et al. 2016).

    It equals, along `axis`::

        (x - x.mean(axis)) / np.sqrt(x.var(axis) + epsilon) * gamma + beta

    Parameters
    ----------
    epsilon : float
    center, scale : bool
        Whether there are ``beta`` and ``gamma``, each of the sizes of the axes.
    rms_scaling : bool
        Divide only, and subtract no mean: ``x / np.sqrt(x.var(axis) + epsilon) * gamma``, as Keras has it.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.LayerNormalization(epsilon=0.0)(np.array([[1.0, 3.0], [10.0, 50.0]]))
    array([[-1.,  1.],
           [-1.,  1.]])
    """

    center: bool
    rms_scaling: Any
    scale: bool

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
        super().__init__(axis, **options)
        self.epsilon: float = number_from_zero(epsilon, "epsilon")
        self.center, self.scale, self.rms_scaling = bool(center), bool(scale), bool(rms_scaling)
        self.beta_initializer: Callable[..., Any] = initializer(beta_initializer)
        self.gamma_initializer: Callable[..., Any] = initializer(gamma_initializer)
        self.beta_regularizer: Any = regularizers.get(beta_regularizer)
        self.gamma_regularizer: Any = regularizers.get(gamma_regularizer)
        self.beta_constraint: Any = constraints.get(beta_constraint)
        self.gamma_constraint: Any = constraints.get(gamma_constraint)

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
