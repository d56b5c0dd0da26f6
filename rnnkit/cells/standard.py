"""Common parts of Keras's cells: arguments, kernels, dropout and configuration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rnnkit import constraints, regularizers
from rnnkit.activations import activation as _activation
from rnnkit.arguments import fraction, positive_integer
from rnnkit.configured import config_of, seed_of
from rnnkit.hints import Activation, Array, Config, Constraint, Initializer, Regularizer, Seed, Shape
from rnnkit.initializers import initializer
from rnnkit.steps.cell import Cell
from rnnkit.steps.declared import Draw


class InvertedDropout:
    """Initializer of masks that are 0 at `rate` of the places and ``1 / (1 - rate)`` at the others: the mean stays."""

    def __init__(self, rate: float):
        self.rate = rate

    def __call__(self, rng: np.random.Generator, shape) -> np.ndarray:
        """Return a mask of this shape."""
        if self.rate == 1:
            return np.zeros(shape)
        return (rng.random(shape) >= self.rate) / (1 - self.rate)


class ConfiguredCell(Cell):
    """Base of cells of vectors whose attributes keep the constructor's arguments under their names."""

    @staticmethod
    def _features(input_shape: Shape) -> int:
        """Return the size of the vectors ``(B, features)``; a ValueError for other shapes."""
        if len(input_shape) != 2:
            shape = ("batch", "time", *input_shape[1:])
            raise ValueError(f"expected x of shape (batch, time, features), got ({', '.join(map(str, shape))})")
        return input_shape[1]

    def get_config(self) -> Config:
        """Return the constructor's arguments as JSON values."""
        return config_of(self)

    def __repr__(self) -> str:
        from rnnkit.cards import arguments, text_or_empty

        return f"{type(self).__name__}({text_or_empty(lambda: arguments(type(self), self.get_config()))})"


class StandardCell(ConfiguredCell):
    """Base of SimpleRNNCell, GRUCell and LSTMCell; a subclass sets ``gates`` and writes its equations in `call`."""

    gates = 1
    activation: Callable[[Any], Any]

    def __init__(
        self,
        units: int,
        activation: Activation = "tanh",
        use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform",
        recurrent_initializer: Initializer = "orthogonal",
        bias_initializer: Initializer = "zeros",
        kernel_regularizer: Regularizer = None,
        recurrent_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        kernel_constraint: Constraint = None,
        recurrent_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: Seed = None,
        *,
        name: str | None = None,
    ):
        super().__init__(name=name)
        self.units: int = positive_integer(units, "units")
        self.use_bias: bool = bool(use_bias)
        self.kernel_initializer: Callable[..., Any] = initializer(kernel_initializer)
        self.recurrent_initializer: Callable[..., Any] = initializer(recurrent_initializer)
        self.bias_initializer: Callable[..., Any] = initializer(bias_initializer)
        self.kernel_regularizer: Any = regularizers.get(kernel_regularizer)
        self.recurrent_regularizer: Any = regularizers.get(recurrent_regularizer)
        self.bias_regularizer: Any = regularizers.get(bias_regularizer)
        self.kernel_constraint: Any = constraints.get(kernel_constraint)
        self.recurrent_constraint: Any = constraints.get(recurrent_constraint)
        self.bias_constraint: Any = constraints.get(bias_constraint)
        self.dropout: float = fraction(dropout, "dropout")
        self.recurrent_dropout: float = fraction(recurrent_dropout, "recurrent_dropout")
        self.seed = seed_of(seed)
        self.activation = _activation(activation)
        self.draws: Any = {}
        if self.dropout:
            self.draws["dropout"] = Draw(("features",), InvertedDropout(self.dropout))
        if self.recurrent_dropout:
            self.draws["recurrent_dropout"] = Draw((self.units,), InvertedDropout(self.recurrent_dropout))

    @property
    def state_size(self) -> Any:
        """Size of the state."""
        return self.units

    def build(self, input_shape: Shape) -> None:
        """Create ``kernel`` (F, gates*U), ``recurrent_kernel`` (U, gates*U) and, with `use_bias`, ``bias``."""
        width = self.gates * self.units
        self._add_weights((self._features(input_shape), width), (self.units, width))

    def _add_weights(self, kernel: Shape, recurrent_kernel: Shape) -> None:
        """Create the weights, with kernels of these shapes."""
        self._check_memory({"kernel": kernel, "recurrent_kernel": recurrent_kernel})
        self.kernel: Any = self._new_weight("kernel", kernel, self.kernel_initializer)
        self.recurrent_kernel: Any = self._new_weight("recurrent_kernel", recurrent_kernel, self.recurrent_initializer)
        if self.use_bias:
            self.bias: Any = self._new_weight("bias", self.bias_shape, self.start_of_bias)
        self.built = True

    def _new_weight(self, name: str, shape: Shape, initializer: Callable) -> Any:
        kind = name.removesuffix("_kernel")  # as the arguments call it
        options = {one: getattr(self, f"{kind}_{one}") for one in ("regularizer", "constraint")}
        return self.add_weight(shape, initializer, name, **options)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Shape of the bias."""
        return (self.gates * self.units,)

    def start_of_bias(self, shape: Shape, rng: Any) -> Any:
        """Initialize the bias; `LSTMCell` overrides it for the forget gate."""
        return self.bias_initializer(shape, rng)

    def dropped(self, x: Array, h: Any, training: bool, draws: Any) -> Any:
        """Return `x` and `h` as the matrix products see them: under this call's dropout masks while training."""
        if training and self.dropout:
            x = x * draws.dropout
        if training and self.recurrent_dropout:
            h = h * draws.recurrent_dropout
        return x, h
