"""Keras's SimpleRNN, GRU and LSTM: a built-in cell and the recurrent layer in one call."""

from __future__ import annotations

import inspect
from typing import Any

from rnnkit.cells import GRUCell, LSTMCell, SimpleRNNCell
from rnnkit.docstrings import described_as
from rnnkit.hints import Config
from rnnkit.layers.base import Layer
from rnnkit.layers.rnn import RNN


class _Recurrent(RNN):
    """An RNN over one kind of cell; its arguments are the cell's, then the layer's.

    Parameters
    ----------
    seed : int, optional
        For weights and masks.
    device : {"cpu", "cuda"}
        The device of the computation; `Layer.to` changes it.
    """

    __signature__: inspect.Signature
    _object_arguments = ()
    _cell_class: type
    _cell_arguments: tuple[str, ...]

    def __init_subclass__(cls, cell: Any = None, **keywords: Any) -> None:
        if cell is not None:  # else it is derived from a class with a cell
            cls._take_arguments_of(cell)
        super().__init_subclass__(**keywords)

    @classmethod
    def _take_arguments_of(cls, cell: Any) -> None:
        own = [p for p in inspect.signature(cell).parameters.values() if p.kind is not p.KEYWORD_ONLY]
        layers = list(inspect.signature(RNN).parameters.values())[1:]
        positional = [p for p in layers if p.kind is not p.KEYWORD_ONLY]
        keyword = [p for p in layers if p.kind is p.KEYWORD_ONLY and p.name != "seed"]
        cls._cell_class = cell
        cls._cell_arguments = tuple(p.name for p in own if p.name != "seed")
        cls.__signature__ = inspect.Signature([*own, *positional, *keyword])
        described_as(_Recurrent, *cell.__mro__[:-1])(cls)

    def __init__(self, *args: Any, **keywords: Any):
        try:
            given = type(self).__signature__.bind(*args, **keywords).arguments
        except TypeError as error:
            raise TypeError(f"{type(self).__name__}: {error}") from None
        for_cell = {name: given.pop(name) for name in self._cell_arguments if name in given}
        super().__init__(self._cell_class(**for_cell), **given)

    @property
    def units(self) -> int:
        """Size of the output and of each state."""
        return self.cell.units

    def get_config(self) -> Config:
        """Return the constructor's arguments as JSON values."""
        config = {name: value for name, value in self.cell.get_config().items() if name in self._cell_arguments}
        return config | Layer.get_config(self)

    _arguments = Layer._arguments


class SimpleRNN(_Recurrent, cell=SimpleRNNCell):
    """A fully connected recurrent layer (Elman 1990): `RNN` over a `SimpleRNNCell`.

    Parameters
    ----------
    return_state : bool
        Return ``(output, h)``.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.SimpleRNN(8, seed=0)(np.zeros((2, 5, 3))).shape
    (2, 8)
    """


class GRU(_Recurrent, cell=GRUCell):
    """A layer of gated recurrent units (Cho et al. 2014): `RNN` over a `GRUCell`.

    Parameters
    ----------
    return_state : bool
        Return ``(output, h)``.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.GRU(8, return_sequences=True, seed=0)(np.zeros((2, 5, 3))).shape
    (2, 5, 8)
    """


class LSTM(_Recurrent, cell=LSTMCell):
    """A layer of long short-term memory (Hochreiter and Schmidhuber 1997): `RNN` over an `LSTMCell`.

    Parameters
    ----------
    return_state : bool
        Return ``(output, h, c)``.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> y, h, c = rk.LSTM(8, return_state=True, seed=0)(np.zeros((2, 5, 3)))
    >>> y.shape, h.shape, c.shape
    ((2, 8), (2, 8), (2, 8))
    """
