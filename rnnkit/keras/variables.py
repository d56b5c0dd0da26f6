"""Numbers that change: what metrics of one's own add up in."""

from __future__ import annotations

import numpy as np

from rnnkit import initializers
from rnnkit.keras import settings


class Variable(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that `assign` replaces; NumPy's functions take it for its value.

    Parameters
    ----------
    initializer : array_like, str or callable
        The first value, or what gives it for a shape.
    shape : tuple
    dtype : str, optional
        float64 unless given, so that sums over many batches are exact.
    trainable : bool
        Nothing.
    name : str, optional

    Examples
    --------
    >>> total = Variable(1.0)
    >>> total.assign_add(2.0)
    >>> float(total / 2)
    1.5
    """

    def __init__(self, initializer, shape=None, dtype=None, trainable=True, name=None, **keywords):
        if callable(initializer) or isinstance(initializer, (str, dict)):
            rng = np.random.default_rng(settings.next_seed())
            initializer = initializers.draw(initializer, tuple(shape or ()), rng, "float64")
        self._value = np.array(initializer, dtype or "float64")
        self.trainable, self.name = trainable, name or settings.auto_name("Variable")

    @property
    def value(self) -> np.ndarray:
        """A copy of the array."""
        return self._value.copy()

    @property
    def shape(self) -> tuple:
        """The array's."""
        return self._value.shape

    @property
    def dtype(self) -> str:
        """The name of the array's."""
        return self._value.dtype.name

    def numpy(self) -> np.ndarray:
        """A copy of the array."""
        return self._value.copy()

    def assign(self, value) -> None:
        """Replace the value by one of the same shape.

        Raises
        ------
        ValueError
            For another shape.
        """
        value = np.asarray(value)
        if value.shape != self._value.shape:
            raise ValueError(f"expected a value of shape {self._value.shape} for {self.name!r}, got {value.shape}")
        self._value = np.array(value, self._value.dtype)

    def assign_add(self, value) -> None:
        """Add to the value."""
        self.assign(self._value + value)

    def assign_sub(self, value) -> None:
        """Subtract from the value."""
        self.assign(self._value - value)

    def __array__(self, dtype=None, copy=None):
        return self._value.astype(dtype or self._value.dtype)

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        values = [one._value if isinstance(one, Variable) else one for one in inputs]
        return getattr(ufunc, method)(*values, **keywords)

    def __float__(self):
        return float(self._value)

    def __int__(self):
        return int(self._value)

    def __bool__(self):
        return bool(self._value)

    def __repr__(self):
        return f"<Variable {self.name!r}: {self._value}>"
