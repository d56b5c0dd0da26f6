"""Weights as variables: arrays that can be assigned, which are symbolic tensors while a `call` is read."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.circumstances import weights_now
from rnnkit.layers.support import symbolic, validation
from rnnkit.layers.support.array_methods import ArrayMethods
from rnnkit.layers.support.assignments import by_attributes, weights_replaced
from rnnkit.layers.support.layer_tree import gathered, held_by, options_by_name, put_arrays
from rnnkit.steps.nesting import mapped


class Variable(ArrayMethods):
    """A weight of a layer, as `add_weight` gives it: computed with as an array.

    Attributes
    ----------
    name : str
    path : str
        With the name of the layer before it, as ``"dense/kernel"``.
    shape : tuple of int
    dtype : numpy.dtype or None
        None until the layer is built, if the layer was given none.
    value : ndarray
        Read-only; None until the layer is built.
    trainable : bool
    """

    value: Any
    path: Any
    shape: Any
    trainable: Any
    regularizer: Any = None
    constraint: Any = None
    start: Any = None  # the initializer that gives its numbers before the layer is built, if they aren't drawn
    to_be: Any = None  # the dtype before the layer is built, if it is known
    moves = False  # whether calls assign it
    is_free = False  # whether a program made it, and no layer has it as an attribute

    def __init__(self, name: str, shape: tuple[int, ...], trainable: bool, path: str | None = None):
        self.name, self.shape, self.trainable = name, shape, trainable
        self.path = name if path is None else path
        self.value = None

    @property
    def key(self) -> Any:
        """An identifier that all objects for one weight share."""
        return id(self)

    @property
    def dtype(self):
        """The dtype of the array."""
        return self.to_be if self.value is None else self.value.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def numpy(self) -> np.ndarray:
        """Return a copy of the array."""
        if self.value is None and self.start is not None:
            return self.start(self.shape, None).astype(self.to_be)
        return np.array(self._array())

    def assign(self, value) -> None:
        """Replace the array by another one, cast to its dtype; in `call`, that of a weight that isn't trained.

        Raises
        ------
        ValueError
            For another shape, and inside of `call` for a weight that is trained.
        """
        trace = symbolic.tracing.get()
        if trace is not None and not hasattr(trace, "watch"):
            trace.assign(self, value)
            return
        given = validation.array(value, "the value")
        if given.shape != self.shape:
            raise ValueError(f"expected a value of shape {self.shape} for {self.name!r}, got {given.shape}")
        self.put(given.astype(self._array().dtype))

    def assign_add(self, value) -> None:
        """Add to the value."""
        self.assign(self._operand() + value)

    def assign_sub(self, value) -> None:
        """Subtract from the value."""
        self.assign(self._operand() - value)

    def _operand(self):
        """Return what changes of the value are computed with: the variable itself while `call` is read."""
        trace = symbolic.tracing.get()
        return self._array() if trace is None or hasattr(trace, "watch") else self

    def put(self, array) -> None:
        """Set another array."""
        if type(array) is np.ndarray:
            array.flags.writeable = False
        self.value = array
        weights_replaced()

    def _array(self) -> np.ndarray:
        if self.value is None:
            raise ValueError(f"expected the layer of the weight {self.name!r} to be built; call it or its build first")
        return weights_now({"": self.value})[""]

    def __symbolic__(self):
        """Return its present value: a symbolic tensor while `call` is read, a tape's array, or the array."""
        trace = symbolic.tracing.get()
        return self._array() if trace is None else trace.tensor_of(self)

    def __array__(self, dtype=None, copy=None):
        found = self.__symbolic__()
        found = found.value if hasattr(type(found), "numpy") else found  # of a tape, which has numbers
        if not isinstance(found, np.ndarray):
            raise TypeError(
                f"expected NumPy's functions and operators on the weight {self.name!r} in `call`, which is read once "
                "and differentiated, got a function that asks for its numbers"
            )
        return np.array(found, dtype)

    def __array_ufunc__(self, ufunc, method, *inputs, **keywords):
        return getattr(ufunc, method)(*(symbolic.resolved(one) for one in inputs), **keywords)

    def __array_function__(self, function, types, arguments, keywords):
        return function(*mapped(arguments, symbolic.resolved), **mapped(keywords, symbolic.resolved))

    def __rnnkit_function__(self, name, arguments):
        found = self.__symbolic__()
        answer = getattr(type(found), "__rnnkit_function__", None)
        if answer is None:
            from rnnkit import activations

            return getattr(activations, name)(found)
        return answer(found, name, (found,))

    def __float__(self):
        return float(self._array())

    def __int__(self):
        return int(self._array())

    def __bool__(self):
        return bool(self._array())

    def __getitem__(self, key):
        return self.__symbolic__()[key]

    def __len__(self):
        return self.shape[0]

    def astype(self, dtype):
        """Return the array as `numpy.ndarray.astype` does."""
        return self.__symbolic__().astype(dtype)

    def __setstate__(self, state):
        self.__dict__.update(state)
        if type(self.value) is np.ndarray:
            self.value.flags.writeable = False  # neither copy nor pickle carries the flag

    def __repr__(self):
        return f"<Variable {self.name!r}, {self.dtype} {self.shape}>"


class WeightVariable(Variable):
    """A weight of a layer that is built, by its name."""

    def __init__(self, layer, name: str, options):
        self._layer, self._name = layer, name
        self.regularizer, self.constraint = options.regularizer, options.constraint
        self.name = name.rpartition("/")[2]
        self._key: Any = None

    def __setstate__(self, state):
        self.__dict__ |= state | {"_key": None}  # which is another in a copy

    @property
    def key(self):
        """An identifier that all objects for one weight share."""
        if self._key is None:  # found once
            self._key = held_by(self._layer).key(self._name)
        return self._key

    @property
    def path(self):
        """The weight's name, with the layer's before it, and those of the layers in whose `call` that was built."""
        return f"{self._layer._scope}{self._layer.name}/{self._name}"

    @property
    def shape(self):
        """The shape of the array."""
        return held_by(self._layer).arrays()[self._name].shape

    @property
    def value(self):
        """The array, read-only."""
        return held_by(self._layer).arrays()[self._name]

    @property
    def trainable(self):
        """Return whether training changes it."""
        return options_by_name(self._layer)[self._name].trainable

    def put(self, array):
        """Replace the array in the layer."""
        array.flags.writeable = False
        put_arrays(self._layer, {self._name: array})


def variables_of(layer, trainable: bool | None = None) -> list[Variable]:
    """Return the weights of a layer and those inside as variables, each once: all, trained ones, or the others."""
    found = _variables_inside(layer) or _by_key(layer)
    return [one for one, is_trained in found.values() if trainable in (None, is_trained)]


def _by_key(layer) -> dict[Any, tuple[Variable, bool]]:
    """Return each variable once, and whether training changes it."""
    known = options_by_name(layer)
    named = list(gathered(layer, lambda one: held_by(one).variables()).items())
    if hasattr(layer, "_keras_order"):
        named = [named[i] for i in layer._keras_order(len(named))]
    return {one.key: (one, known[name].trainable) for name, one in named}


@by_attributes
def _variables_inside(layer) -> dict | None:
    """Return the result of `_by_key`; None if it would keep the layer alive."""
    found = _by_key(layer)
    return None if any(getattr(one, "_layer", None) is layer for one, _ in found.values()) else found


def assign_all(variables, values) -> None:
    """Assign several variables; read-only arrays of the same dtypes and shapes are set together without a copy."""
    ready = []
    for one, value in zip(variables, values, strict=True):
        known = one.value
        if value is known:
            continue
        frozen = isinstance(one, WeightVariable) and isinstance(value, np.ndarray) and not value.flags.writeable
        if frozen and (value.dtype, value.shape) == (known.dtype, known.shape):
            ready.append((one, value))
        else:
            one.assign(value)
    if ready:
        put_all(*zip(*ready, strict=True))


def put_all(variables, arrays) -> None:
    """Set the arrays of variables."""
    layers: dict[int, tuple] = {}
    for one, array in zip(variables, arrays, strict=True):
        if isinstance(one, WeightVariable):
            layers.setdefault(id(one._layer), (one._layer, {}))[1][one._name] = array
        else:
            one.put(array)
    for layer, own in layers.values():
        held_by(layer).replace(own, frozenset())
