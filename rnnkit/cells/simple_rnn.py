"""The fully connected recurrent cell (Elman 1990)."""

from __future__ import annotations

from typing import Any

from rnnkit.cells.standard import StandardCell
from rnnkit.hints import Array


class SimpleRNNCell(StandardCell):
    """A layer of units that sees its own last output (Elman 1990, "Finding structure in time").

    One step is::

        h = activation(x @ kernel + bias + h @ recurrent_kernel)

    Parameters
    ----------
    units : int
        U, the size of the state and the output.
    activation : str, callable or None
        None is linear; a function takes and returns an array.
    use_bias : bool
    kernel_initializer, recurrent_initializer, bias_initializer : str, callable or initializer
    kernel_regularizer, recurrent_regularizer, bias_regularizer : str or Regularizer, optional
        Penalties on the weights, see `rnnkit.regularizers`.
    kernel_constraint, recurrent_constraint, bias_constraint : str or callable, optional
        Constraints on the weights in training, see `rnnkit.constraints`.
    dropout, recurrent_dropout : float in [0, 1]
        Rates for x and for h inside its product; one mask per call, shared by all steps, only while training.
    seed : int, optional
        For weights and masks, where the layer has none of its own.
    name : str, optional

    Notes
    -----
    One bare state h ``(B, U)``. Weights in order: kernel ``(F, U)``, recurrent_kernel ``(U, U)``, bias ``(U,)``.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.RNN(rk.SimpleRNNCell(3, kernel_initializer="ones"))(np.zeros((2, 5, 4)))
    array([[0., 0., 0.],
           [0., 0., 0.]])
    """

    def call(self, inputs: Array, states: Array, training: bool = False, draws: Any = None) -> Any:
        """Compute one step: ``(h, h)``."""
        x, h = self.dropped(inputs, states[0], training, draws)
        z = x @ self.kernel + h @ self.recurrent_kernel
        if self.use_bias:
            z = z + self.bias
        h = self.activation(z)
        return h, h
