"""Keras's SimpleRNN, GRU and LSTM: a built-in cell and the recurrent layer in one call."""

from __future__ import annotations

import inspect

from rnnkit.cells import GRUCell, LSTMCell, SimpleRNNCell
from rnnkit.layers.base import Layer
from rnnkit.layers.rnn import RNN


class _Recurrent(RNN):
    """An RNN over one kind of cell; its arguments are the cell's, then the layer's."""

    __signature__: inspect.Signature
    _cell_class: type
    _cell_arguments: tuple[str, ...]

    def __init_subclass__(cls, cell=None, **keywords):
        super().__init_subclass__(**keywords)
        if cell is None:  # a class that is derived from one with a cell
            return
        own = [p for p in inspect.signature(cell).parameters.values() if p.kind is not p.KEYWORD_ONLY]
        layers = list(inspect.signature(RNN).parameters.values())[1:]
        positional = [p for p in layers if p.kind is not p.KEYWORD_ONLY]
        keyword = [p for p in layers if p.kind is p.KEYWORD_ONLY and p.name != "seed"]
        cls._cell_class = cell
        cls._cell_arguments = tuple(p.name for p in own if p.name != "seed")
        cls.__signature__ = inspect.Signature([*own, *positional, *keyword])

    def __init__(self, *args, **keywords):
        try:
            given = type(self).__signature__.bind(*args, **keywords).arguments
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        for_cell = {name: given.pop(name) for name in self._cell_arguments if name in given}
        super().__init__(self._cell_class(**for_cell), **given)

    @property
    def units(self) -> int:
        """Size of the output and of each state."""
        return self.cell.units  # type: ignore[attr-defined]

    def get_config(self):
        """Return the constructor's arguments as JSON values."""
        config = {name: value for name, value in self.cell.get_config().items() if name in self._cell_arguments}
        return config | self._flags() | {"device": self._device} | Layer.get_config(self)

    @classmethod
    def from_config(cls, config):
        """Return a new layer, not built, from what `get_config` gave."""
        return cls(**config)

    def _arguments(self):
        return Layer._arguments(self)


class SimpleRNN(_Recurrent, cell=SimpleRNNCell):
    """The fully connected recurrent layer: `RNN` over a `SimpleRNNCell`, with the arguments of both, `units` first.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.SimpleRNN(8, seed=0)(np.zeros((2, 5, 3))).shape
    (2, 8)
    """


class GRU(_Recurrent, cell=GRUCell):
    """The gated recurrent unit: `RNN` over a `GRUCell`, with the arguments of both, `units` first.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.GRU(8, return_sequences=True, seed=0)(np.zeros((2, 5, 3))).shape
    (2, 5, 8)
    """


class LSTM(_Recurrent, cell=LSTMCell):
    """Long short-term memory: `RNN` over an `LSTMCell`, with the arguments of both, `units` first.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> y, h, c = rk.LSTM(8, return_state=True, seed=0)(np.zeros((2, 5, 3)))
    >>> y.shape, h.shape, c.shape
    ((2, 8), (2, 8), (2, 8))
    """
