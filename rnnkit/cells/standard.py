"""What the cells of Keras have in common: their arguments, kernels, dropout and configuration."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnkit import constraints, regularizers
from rnnkit.activations import activation, activation_name
from rnnkit.arguments import fraction, positive_integer
from rnnkit.hints import Array, Config, Constraint, Initializer, Regularizer, Seed, Shape
from rnnkit.initializers import initializer, initializer_config
from rnnkit.steps.cell import Cell
from rnnkit.steps.declared import Draw


class InvertedDropout:
    """Draws a mask that is 0 at `rate` of the places and ``1 / (1 - rate)`` at the others, so the mean stays."""

    def __init__(self, rate: float):
        self.rate = rate

    def __call__(self, rng: np.random.Generator, shape) -> np.ndarray:
        """A mask of this shape."""
        if self.rate == 1:
            return np.zeros(shape)
        return (rng.random(shape) >= self.rate) / (1 - self.rate)


class StandardCell(Cell):
    """Base of SimpleRNNCell, GRUCell and LSTMCell; a subclass sets ``gates`` and writes its equations in `call`."""

    gates = 1
    activation: Callable[[Any], Any]
    recurrent_activation: Callable[[Any], Any]

    def __init__(
        self,
        units: int,
        *,
        use_bias: bool,
        kernel_initializer: Initializer,
        recurrent_initializer: Initializer,
        bias_initializer: Initializer,
        kernel_regularizer: Regularizer,
        recurrent_regularizer: Regularizer,
        bias_regularizer: Regularizer,
        kernel_constraint: Constraint,
        recurrent_constraint: Constraint,
        bias_constraint: Constraint,
        dropout: float,
        recurrent_dropout: float,
        seed: Seed,
        name: str | None,
        **activations: Any,
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
        self.seed = seed
        for argument, identifier in activations.items():
            setattr(self, argument, activation(identifier))
        self.draws: Any = {}
        if self.dropout:
            self.draws["dropout"] = Draw(("features",), InvertedDropout(self.dropout))
        if self.recurrent_dropout:
            self.draws["recurrent_dropout"] = Draw((self.units,), InvertedDropout(self.recurrent_dropout))

    def build(self, input_shape: Shape) -> None:
        """Create ``kernel`` (F, gates*U), ``recurrent_kernel`` (U, gates*U) and, with `use_bias`, ``bias``."""
        if len(input_shape) != 2:
            shape = ("batch", "time", *input_shape[1:])
            raise ValueError(f"expected x of shape (batch, time, features), got ({', '.join(map(str, shape))})")
        width = self.gates * self.units
        self._check_memory({"kernel": (input_shape[-1], width), "recurrent_kernel": (self.units, width)})
        self.kernel: Any = self.add_weight(
            (input_shape[-1], width),
            self.kernel_initializer,
            "kernel",
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.recurrent_kernel: Any = self.add_weight(
            (self.units, width),
            self.recurrent_initializer,
            "recurrent_kernel",
            regularizer=self.recurrent_regularizer,
            constraint=self.recurrent_constraint,
        )
        if self.use_bias:
            self.bias: Any = self.add_weight(
                self.bias_shape,
                self.start_of_bias,
                "bias",
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.built = True

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """Shape of the bias."""
        return (self.gates * self.units,)

    def start_of_bias(self, shape: Shape, rng: Any) -> Any:
        """Initialize the bias; LSTM's forget gate starts elsewhere."""
        return self.bias_initializer(shape, rng)

    def dropped(self, x: Array, h: Any, training: bool, draws: Any) -> Any:
        """Return `x` and `h` as the matrix products see them: under this call's dropout masks while training."""
        if training and self.dropout:
            x = x * draws.dropout
        if training and self.recurrent_dropout:
            h = h * draws.recurrent_dropout
        return x, h

    def get_config(self) -> Config:
        """Return the constructor's arguments as JSON values."""
        config = {}
        for argument in list(inspect.signature(type(self)).parameters):
            value = getattr(self, argument)
            if argument.endswith("activation"):
                value = activation_name(value)
            elif argument.endswith("initializer"):
                value = initializer_config(value)
            elif argument.endswith("regularizer"):
                value = regularizers.config_of(value)
            elif argument.endswith("constraint"):
                value = constraints.config_of(value)
            config[argument] = value
        return config

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.units})"
