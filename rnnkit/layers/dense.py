"""Dense and Dropout: what stands before and after a recurrent layer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

from rnnkit import constraints, regularizers
from rnnkit.activations import activation
from rnnkit.arguments import positive_integer
from rnnkit.hints import Activation, Constraint, Initializer, LayerOptions, Regularizer, Shape
from rnnkit.initializers import initializer
from rnnkit.layers.memoryless import Memoryless
from rnnkit.layers.noise import ByRate
from rnnkit.layers.weighted import arguments_of
from rnnkit.steps.cell import Cell


class DenseCell(Cell):
    """``activation(x @ kernel + bias)`` as a step that keeps nothing; its one state stays as it is."""

    state_size = 1

    def __init__(self, layer: Dense):
        super().__init__(name="dense")
        self.units, self.activation, self.use_bias = layer.units, layer.activation, layer.use_bias
        self.of_kernel = arguments_of(layer, "kernel")
        self.of_bias = arguments_of(layer, "bias")

    def build(self, input_shape):
        """Create ``kernel`` (F, U) and ``bias`` (U,)."""
        self.kernel = self.add_weight((input_shape[-1], self.units), name="kernel", **self.of_kernel)
        if self.use_bias:
            self.bias = self.add_weight((self.units,), name="bias", **self.of_bias)
        self.built = True

    def call(self, inputs, states):
        """One step: the output, and the state as it came."""
        y = inputs @ self.kernel
        if self.use_bias:
            y = y + self.bias
        return self.activation(y), states


class Dense(Memoryless):
    """A fully connected layer: ``activation(x @ kernel + bias)`` on the last axis of x ``(B, …, F)``.

    It runs as a step without memory, on the recurrent layers' products, so that a row's result depends on nothing but
    the row.

    Parameters
    ----------
    units : int

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.Dense(1, kernel_initializer="ones")(np.ones((2, 3)))
    array([[3.],
           [3.]])
    >>> y, pullback = rk.Dense(1, kernel_initializer="ones").vjp(np.ones((2, 3)))
    >>> gradient = pullback(np.ones_like(y))
    >>> gradient.x.tolist(), gradient.weights["kernel"].tolist(), gradient.weights["bias"].tolist()
    ([[1.0, 1.0, 1.0], [1.0, 1.0, 1.0]], [[2.0], [2.0], [2.0]], [2.0])
    """

    def __init__(
        self,
        units: int,
        activation: Activation = None,
        use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        kernel_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        kernel_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        **options: Unpack[LayerOptions],
    ):
        super().__init__(**options)
        self.units: int = positive_integer(units, "units")
        self.activation: Callable[..., Any] = _activation(activation)
        self.use_bias: bool = bool(use_bias)
        self.kernel_initializer: Callable[..., Any] = initializer(kernel_initializer)
        self.bias_initializer: Callable[..., Any] = initializer(bias_initializer)
        self.kernel_regularizer: Any = regularizers.get(kernel_regularizer)
        self.bias_regularizer: Any = regularizers.get(bias_regularizer)
        self.kernel_constraint: Any = constraints.get(kernel_constraint)
        self.bias_constraint: Any = constraints.get(bias_constraint)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(B, …, units)``."""
        return (*super().compute_output_shape(input_shape)[:-1], self.units)

    def _cell_for(self, shape):
        return DenseCell(self)


_activation = activation  # the constructor's argument has the same name


class Dropout(ByRate):
    """A layer that sets a share `rate` of the entries to 0 while training, and scales up the others.

    The others are scaled by ``1 / (1 - rate)``.

    Cotangents go back under the mask that the call drew.

    Parameters
    ----------
    rate : float in [0, 1]

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.Dropout(0.5)(np.ones((1, 3)))
    array([[1., 1., 1.]])
    """

    def _drawn(self, rng, shape):
        return (rng.random(shape) >= self.rate) * self.dtype.type(0 if self.rate == 1 else 1 / (1 - self.rate))
