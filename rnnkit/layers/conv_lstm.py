"""Keras's ConvLSTM layers: a cell of convolutions and the recurrent layer in one call."""

from __future__ import annotations

from rnnkit.cells.conv_lstm import ConvLSTM1DCell, ConvLSTM2DCell, ConvLSTM3DCell
from rnnkit.hints import Shape
from rnnkit.layers.recurrent import _Recurrent


class _ConvLSTM(_Recurrent, cell=ConvLSTM2DCell):
    """Base of the layers."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of what a call returns; only the batch size and the length may be None."""
        shape = self._shape(input_shape)
        if None in shape[2:]:
            raise ValueError(f"expected known sizes and channels behind (batch, time), got {shape}")
        return super().compute_output_shape(shape)


class ConvLSTM1D(_ConvLSTM, cell=ConvLSTM1DCell):
    """Convolutional LSTM (Shi et al. 2015) of x ``(B, T, length, channels)``: `RNN` over a `ConvLSTMCell`.

    The arguments are those of `rnnkit.cells.conv_lstm.ConvLSTMCell`, `filters` and `kernel_size` first, then those of
    `RNN`.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.ConvLSTM1D(4, 3, padding="same", seed=0)(np.zeros((2, 5, 8, 1))).shape
    (2, 8, 4)
    """


class ConvLSTM2D(_ConvLSTM, cell=ConvLSTM2DCell):
    """Convolutional LSTM (Shi et al. 2015) of x ``(B, T, height, width, channels)``: `RNN` over a `ConvLSTMCell`.

    The arguments are those of `rnnkit.cells.conv_lstm.ConvLSTMCell`, `filters` and `kernel_size` first, then those of
    `RNN`.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.ConvLSTM2D(4, 3, return_sequences=True, seed=0)(np.zeros((2, 5, 8, 8, 1))).shape
    (2, 5, 6, 6, 4)
    """


class ConvLSTM3D(_ConvLSTM, cell=ConvLSTM3DCell):
    """Convolutional LSTM (Shi et al. 2015) of x ``(B, T, depth, height, width, channels)``, see `ConvLSTM2D`.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.ConvLSTM3D(2, 2, seed=0)(np.zeros((2, 3, 4, 4, 4, 1))).shape
    (2, 3, 3, 3, 2)
    """
