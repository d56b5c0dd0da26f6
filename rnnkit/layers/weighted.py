"""Layers that hold their weights themselves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Unpack

import numpy as np

from rnnkit import allocation
from rnnkit.hints import LayerOptions
from rnnkit.initializers import draw
from rnnkit.layers.base import Layer
from rnnkit.layers.support.assignments import weights_replaced
from rnnkit.layers.support.held_weights import HeldWeights
from rnnkit.layers.support.pullback import Pullback
from rnnkit.layers.support.seeds import weight_generator
from rnnkit.steps.cell import frozen
from rnnkit.steps.weight_options import WeightOptions


@dataclass(frozen=True)
class OwnWeight:
    """Declaration of a weight."""

    shape: tuple[int, ...]
    initializer: Any
    options: WeightOptions = field(default_factory=WeightOptions)

    @classmethod
    def by_arguments(cls, layer: Layer, kind: str, shape: tuple[int, ...]) -> OwnWeight:
        """Return the weight of a layer's arguments ``{kind}_initializer``, ``{kind}_regularizer`` and so on."""
        given = arguments_of(layer, kind)
        return cls(shape, given.pop("initializer"), WeightOptions(**given))


def arguments_of(layer: Layer, kind: str) -> dict[str, Any]:
    """Return the arguments of `Cell.add_weight` that a layer was made with for one kind of weights."""
    return {name: getattr(layer, f"{kind}_{name}") for name in ("initializer", "regularizer", "constraint")}


class _OwnArrays(HeldWeights):
    """The weights that a layer has in a dict."""

    __slots__ = ()

    def arrays(self):
        return self.layer._own

    def options(self):
        return self.layer._options

    def put(self, arrays: Mapping[str, np.ndarray]) -> None:
        self.layer._own = self.layer._own | dict(arrays)
        weights_replaced()

    def moving(self):
        return {name: array for name, array in self.layer._own.items() if name.startswith("moving_")}


class OwnWeights(Layer):
    """Base of layers that hold their weights themselves, which `_own_weights` declares."""

    _held_weights = _OwnArrays

    def __init__(self, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        self._own: dict[str, np.ndarray] = {}
        self._options: dict[str, WeightOptions] = {}

    def _own_weights(self, shape) -> dict[str, OwnWeight]:
        """Return the weights for an x of this shape, in order."""
        return {}

    def _build(self, shape):
        rng, found = weight_generator(self), self._own_weights(shape)
        allocation.check_weights(self.name, {name: one.shape for name, one in found.items()}, self.dtype)
        with allocation.named(f"the weights of {self.name!r}"):
            self._own = {
                name: frozen(draw(one.initializer, one.shape, rng, self.dtype), self.dtype)
                for name, one in found.items()
            }
        self._options = {name: one.options for name, one in found.items()}

    def _forget(self):
        super()._forget()
        self._own, self._options = {}, {}

    def __setstate__(self, state: Any) -> None:
        self.__dict__.update(state)
        for array in self._own.values():
            array.flags.writeable = False  # neither copy nor pickle carries the flag

    def _with_pullback(self, y, back):
        """Return the result of `vjp`, of a call's result and the function from its cotangent to `Gradients`."""
        shape, dtype, like = y.shape, self.dtype, y[:0].copy()
        pull = lambda d: back(np.zeros(shape, dtype, like=like) if d[0] is None else d[0])
        return y, Pullback(y, dtype, pull)
