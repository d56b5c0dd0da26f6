"""Variables: sums of a program's own metrics, and weights of its own loops."""

from __future__ import annotations

import numpy as np

from rnnkit import initializers
from rnnkit.arrays import numbers_of
from rnnkit.keras import settings
from rnnkit.layers.support import variable
from rnnkit.layers.support.tape import active_tape


class Variable(variable.Variable):
    """An array that `assign` replaces; NumPy's functions take it for its value.

    Parameters
    ----------
    initializer : array_like, str or callable
        The first value, or what gives it for a shape.
    shape : tuple
    dtype : str, optional
        float64 unless given, so that sums over many batches are exact.
    trainable : bool
    name : str, optional

    Examples
    --------
    >>> total = Variable(1.0)
    >>> total.assign_add(2.0)
    >>> float(total / 2)
    1.5
    """

    is_free = True

    def __init__(self, initializer, shape=None, dtype=None, trainable=True, name=None, autocast=True, aggregation=None):
        if callable(initializer) or isinstance(initializer, (str, dict)):
            rng = np.random.default_rng(settings.next_seed())
            initializer = initializers.draw(initializer, tuple(shape or ()), rng, "float64")
        found = np.array(numbers_of(initializer), getattr(dtype, "name", dtype) or "float64")
        super().__init__(name or settings.auto_name("Variable"), found.shape, trainable)
        self.put(found)

    @property
    def dtype(self) -> str:
        """The name of the array's dtype."""
        return self.value.dtype.name

    def put(self, array) -> None:
        """Hold another array."""
        if not self.is_free:
            super().put(array)
            return
        array.flags.writeable = False
        self.value = array

    def __symbolic__(self):
        if not self.is_free:
            return super().__symbolic__()
        tape = active_tape()
        return self.value if tape is None else tape.tensor_of(self)

    def __repr__(self):
        return f"<Variable {self.name!r}: {self.value}>"
