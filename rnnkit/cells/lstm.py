"""The long short-term memory cell (Hochreiter and Schmidhuber 1997; Gers et al. 2000)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rnnkit.activations import activation as _activation
from rnnkit.arrays import real
from rnnkit.cells.simple_rnn import SimpleRNNCell
from rnnkit.cells.standard import StandardCell
from rnnkit.docstrings import described_as
from rnnkit.hints import Activation, Array, Constraint, Initializer, Regularizer, Seed, Shape


@described_as(SimpleRNNCell)
class LSTMCell(StandardCell):
    """Long short-term memory with a forget gate (Hochreiter and Schmidhuber 1997; Gers et al. 2000).

    One step is::

        i, f, g, o = quarters of x @ kernel + h @ recurrent_kernel + bias
        c = recurrent_activation(f) * c + recurrent_activation(i) * activation(g)
        h = recurrent_activation(o) * activation(c)

    Parameters
    ----------
    units : int
        U, the size of either state and of the output.
    activation, recurrent_activation : str, callable or None
        The functions of the candidate and the cell, and of the gates.
    unit_forget_bias : bool
        Start the forget gate's bias at 1 (Jozefowicz et al. 2015).

    Notes
    -----
    States h, c ``(B, U)`` each. Weights in order: kernel ``(F, 4U)``, recurrent_kernel ``(U, 4U)``, bias ``(4U,)``.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.RNN(rk.LSTMCell(8), return_sequences=True, seed=0)(np.zeros((2, 5, 4))).shape
    (2, 5, 8)
    """

    gates = 4

    def __init__(
        self,
        units: int,
        activation: Activation = "tanh",
        recurrent_activation: Activation = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform",
        recurrent_initializer: Initializer = "orthogonal",
        bias_initializer: Initializer = "zeros",
        unit_forget_bias: bool = True,
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
        super().__init__(
            units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint,
            bias_constraint, dropout, recurrent_dropout, seed, name=name,
        )  # fmt: skip
        self.recurrent_activation: Callable[[Any], Any] = _activation(recurrent_activation)
        self.unit_forget_bias: bool = bool(unit_forget_bias)

    @property
    def state_size(self) -> Any:
        """The sizes of h and c."""
        return [self.units, self.units]

    def start_of_bias(self, shape: Shape, rng: Any) -> Any:
        """Initialize the bias, the forget gate's quarter at 1 with `unit_forget_bias`."""
        bias = real(self.bias_initializer(shape, rng), "the initializer's array for 'bias'").astype(np.float64)
        if self.unit_forget_bias and bias.ndim:
            bias[self.units : 2 * self.units] = 1
        return bias

    def call(self, inputs: Array, states: Array, training: bool = False, draws: Any = None) -> Any:
        """Compute one step: ``(h, [h, c])``."""
        units, (h, c) = self.units, states
        x, h = self.dropped(inputs, h, training, draws)
        z = x @ self.kernel + h @ self.recurrent_kernel
        if self.use_bias:
            z = z + self.bias
        i, f, o = [self.recurrent_activation(z[:, k * units : (k + 1) * units]) for k in (0, 1, 3)]
        c = f * c + i * self.activation(z[:, 2 * units : 3 * units])
        h = o * self.activation(c)
        return h, [h, c]
