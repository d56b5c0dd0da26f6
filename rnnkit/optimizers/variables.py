"""Arrays that an optimizer keeps, as variables, and updates of a layer's variables by it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from rnnkit.layers.support.variable import Variable, put_all
from rnnkit.layers.support.weight_mapping import weight_keys
from rnnkit.steps.weight_options import WeightOptions


class _Assignable:
    """Methods of an optimizer's number besides those of numbers."""

    _optimizer: Any = None
    _attribute: str

    def assign(self, value) -> None:
        """Let the optimizer have another number."""
        setattr(self._optimizer, self._attribute, type(self).__mro__[2](value))

    def numpy(self) -> Any:
        """Return the number as an array without axes."""
        return np.array(self)

    @property
    def value(self) -> Any:
        """The number alone."""
        return type(self).__mro__[2](self)

    def __reduce__(self):
        return type(self).__mro__[2], (self.value,)


class Rate(_Assignable, float):
    """A learning rate: a float that can be assigned."""

    _attribute = "learning_rate"


class Count(_Assignable, int):
    """A number of updates: an int that can be assigned."""

    _attribute = "iterations"


def of_optimizer(kind: type, number, optimizer) -> Any:
    """Return a number that an optimizer keeps."""
    found = kind(number)
    found._optimizer = optimizer
    return found


class StateVariable(Variable):
    """An entry of an optimizer's state."""

    def __init__(self, optimizer, name: str, shape: tuple[int, ...]):
        self._optimizer, self._entry, self.shape, self.trainable = optimizer, name, shape, False
        name = "iteration" if name == "iterations" else name  # as Keras says
        self.name, self.path = name.partition("/")[0], f"{optimizer.name}/{name}"

    @property
    def key(self):
        """Return a key that is equal for all objects that stand for one entry."""
        return id(self._optimizer), self._entry

    @property
    def value(self):
        """A copy of the array."""
        return self._optimizer.get_state()[self._entry]

    def put(self, array):
        self._optimizer.set_state(self._optimizer.get_state() | {self._entry: array})


def names_of(variables, owner) -> list[str]:
    """Return an optimizer's names of variables: those of the model that it belongs to, or of its own."""
    known = {} if owner is None else {key: name for name, key in reversed(weight_keys(owner).items())}
    if all(one.key in known for one in variables):
        return [known[one.key] for one in variables]
    return [f"variable {i}/{one.path}" for i, one in enumerate(variables)]  # no weight of a model is named so


def limits_of(names, variables) -> dict[str, WeightOptions] | None:
    """Return the constraints of variables, by name; None if there are none."""
    if all(one.constraint is None for one in variables):
        return None
    return {name: WeightOptions(True, None, one.constraint) for name, one in zip(names, variables, strict=True)}


def update(optimizer, gradients, variables) -> None:
    """Update variables by their gradients, one each; regularizers add nothing."""
    gradients, variables = list(gradients), list(variables)
    if len(gradients) != len(variables):
        raise ValueError(f"expected a gradient for each of {len(variables)} variables, got {len(gradients)}")
    pairs = list(zip(gradients, variables, strict=True))
    if strange := [one for _, one in pairs if not isinstance(one, Variable)]:
        got = type(strange[0]).__name__
        raise TypeError(f"expected variables to update, as layer.trainable_variables has them, got a {got}")
    silent = [one.path for gradient, one in pairs if gradient is None]
    if len(silent) == len(pairs):
        raise ValueError(f"expected a gradient for one of {', '.join(silent) or 'the variables'}, got none")
    if silent:
        told = f"no gradient for {', '.join(silent)}, which {optimizer.name!r} leaves as they are"
        warnings.warn(told, stacklevel=4)
    gradients = [gradient for gradient, _ in pairs if gradient is not None]
    variables = [one for gradient, one in pairs if gradient is not None]
    owner = None if optimizer._owner is None else optimizer._owner()
    names = names_of(variables, owner)
    weights = {name: one.value for name, one in zip(names, variables, strict=True)}
    new = optimizer.apply(weights, dict(zip(names, gradients, strict=True)), limits_of(names, variables))
    put_all(variables, [new[name] for name in names])
