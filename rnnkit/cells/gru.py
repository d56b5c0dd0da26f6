"""The gated recurrent unit (Cho et al. 2014)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnnkit.activations import activation as _activation
from rnnkit.cells.simple_rnn import SimpleRNNCell
from rnnkit.cells.standard import StandardCell
from rnnkit.docstrings import described_as
from rnnkit.hints import Activation, Array, Constraint, Initializer, Regularizer, Seed


@described_as(SimpleRNNCell)
class GRUCell(StandardCell):
    """Gated recurrent unit (Cho et al. 2014, arXiv:1406.1078), its equations 5 to 8 in Keras's order z, r, h.

    One step is::

        z = recurrent_activation(x_z + h @ U_z)                  how much of the state stays
        r = recurrent_activation(x_r + h @ U_r)                  how much of it the candidate sees
        n = activation(x_h + r * (h @ U_h + b_h))                reset_after=True, the form of cuDNN
        n = activation(x_h + (r * h) @ U_h)                      reset_after=False, the paper's
        h = z * h + (1 - z) * n                                  the paper's z is 1 - z in some later texts

    with ``x_z, x_r, x_h`` the thirds of ``x @ kernel + bias``.

    Parameters
    ----------
    activation, recurrent_activation : str, callable or None
        The functions of the candidate and of the gates.
    dropout, recurrent_dropout : float in [0, 1]
        Rates for x and for h inside its products; one mask per call, shared by all steps, only while training.
    reset_after : bool
        Apply the reset gate after the product (True) or before it.

    Notes
    -----
    One bare state h ``(B, U)``. Weights in order: kernel ``(F, 3U)``, recurrent_kernel ``(U, 3U)``, bias ``(2, 3U)``
    (its second row for the recurrent products), or ``(3U,)`` with ``reset_after=False``.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.RNN(rk.GRUCell(8), seed=0)(np.zeros((2, 5, 4))).shape
    (2, 8)
    """

    gates = 3

    def __init__(
        self,
        units: int,
        activation: Activation = "tanh",
        recurrent_activation: Activation = "sigmoid",
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
        reset_after: bool = True,
        *,
        name: str | None = None,
    ):
        super().__init__(
            units, activation, use_bias, kernel_initializer, recurrent_initializer, bias_initializer,
            kernel_regularizer, recurrent_regularizer, bias_regularizer, kernel_constraint, recurrent_constraint,
            bias_constraint, dropout, recurrent_dropout, seed, name=name,
        )  # fmt: skip
        self.recurrent_activation: Callable[[Any], Any] = _activation(recurrent_activation)
        self.reset_after: bool = bool(reset_after)

    @property
    def bias_shape(self) -> tuple[int, ...]:
        """One row for x, and one for h where the reset gate comes after the product."""
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def call(self, inputs: Array, states: Array, training: bool = False, draws: Any = None) -> Any:
        """Compute one step: ``(h, h)``."""
        units, h = self.units, states[0]
        x, h_seen = self.dropped(inputs, h, training, draws)
        from_x = x @ self.kernel
        if self.use_bias:
            from_x = from_x + (self.bias[0] if self.reset_after else self.bias)
        if self.reset_after:
            from_h = h_seen @ self.recurrent_kernel
            if self.use_bias:
                from_h = from_h + self.bias[1]
        else:
            from_h = h_seen @ self.recurrent_kernel[:, : 2 * units]
        z = self.recurrent_activation(from_x[:, :units] + from_h[:, :units])
        r = self.recurrent_activation(from_x[:, units : 2 * units] + from_h[:, units : 2 * units])
        if self.reset_after:
            recurrent = r * from_h[:, 2 * units :]
        else:
            recurrent = (r * h_seen) @ self.recurrent_kernel[:, 2 * units :]
        n = self.activation(from_x[:, 2 * units :] + recurrent)
        h = z * h + (1 - z) * n
        return h, h
