"""Weights of layers that are written as classes: arrays, which are symbolic tensors while `call` is read."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.layers.support import symbolic, validation
from rnnkit.layers.support.repeats import weights_replaced
from rnnkit.recording import weights_now
from rnnkit.stored_weights import expanded


class Variable(np.lib.mixins.NDArrayOperatorsMixin):
    """What `add_weight` gives: computed with as an array.

    Attributes
    ----------
    name : str
    shape : tuple of int
    dtype : numpy.dtype or None
        None until the layer is built, as `value` is.
    value : ndarray
        Read-only.
    trainable : bool
    """

    def __init__(self, name: str, shape: tuple[int, ...], trainable: bool):
        self.name, self.shape, self.trainable = name, shape, trainable
        self.value: Any = None

    @property
    def dtype(self):
        """That of the array."""
        return None if self.value is None else self.value.dtype

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    @property
    def T(self):
        """As `numpy.transpose`."""
        return np.transpose(self)

    def numpy(self) -> np.ndarray:
        """A copy of the array."""
        return np.array(self._array())

    def assign(self, value) -> None:
        """Put another array in its place, cast to its dtype; in `call` there is none to assign.

        Raises
        ------
        ValueError
            For another shape, and inside of `call`.
        """
        if symbolic.tracing.get() is not None:
            raise ValueError(
                f"expected `call` to leave weights as they are, got an assignment to {self.name!r}: a call is read "
                "once, and only training changes weights"
            )
        given = validation.array(value, "the value")
        if given.shape != self.shape:
            raise ValueError(f"expected a value of shape {self.shape} for {self.name!r}, got {given.shape}")
        self.put(given.astype(self._array().dtype))

    def put(self, array) -> None:
        """Hold another array."""
        if type(array) is np.ndarray:
            array.flags.writeable = False
        self.value = array
        weights_replaced()

    def _array(self) -> np.ndarray:
        if self.value is None:
            raise ValueError(f"expected the layer of the weight {self.name!r} to be built; call it or its build first")
        return expanded(weights_now({"": self.value})[""])

    def __symbolic__(self):
        """What stands for it now: a symbolic tensor while `call` is read, a step's array, or the array."""
        trace = symbolic.tracing.get()
        return self._array() if trace is None else trace.tensor_of(self)

    def __array__(self, dtype=None, copy=None):
        found = self.__symbolic__()
        if not isinstance(found, np.ndarray):
            raise TypeError(
                f"expected NumPy's functions and operators on the weight {self.name!r} in `call`, which is read once "
                "and differentiated, got a function that asks for its numbers"
            )
        return np.array(found, dtype)

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        return getattr(ufunc, method)(*(symbolic.resolved(one) for one in inputs), **keywords)

    def __array_function__(self, function, types, arguments, keywords):
        return function(*_resolved(arguments), **_resolved(keywords))

    def __rnnkit_function__(self, name, arguments):
        found = self.__symbolic__()
        answer = getattr(type(found), "__rnnkit_function__", None)
        if answer is None:
            from rnnkit import activations

            return getattr(activations, name)(found)
        return answer(found, name, (found,))

    def __getitem__(self, key):
        return self.__symbolic__()[key]

    def __len__(self):
        return self.shape[0]

    def astype(self, dtype):
        """As an array's."""
        return self.__symbolic__().astype(dtype)

    def reshape(self, *shape):
        """As an array's."""
        return self.__symbolic__().reshape(*shape)

    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__

    def __setstate__(self, state):
        self.__dict__.update(state)
        if type(self.value) is np.ndarray:
            self.value.flags.writeable = False  # neither copy nor pickle carries the flag

    def __repr__(self):
        return f"<Variable {self.name!r}, {self.dtype} {self.shape}>"


def _resolved(nested):
    """Nested lists, tuples and dicts with what stands for each variable."""
    if isinstance(nested, (list, tuple)):
        return type(nested)([_resolved(one) for one in nested])
    if isinstance(nested, dict):
        return {name: _resolved(one) for name, one in nested.items()}
    return symbolic.resolved(nested)
