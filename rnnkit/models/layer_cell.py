"""User's classes of layers as the cells of `rnnkit.RNN`: their `call(inputs, states)` is one step."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import numpy as np

from rnnkit.layers.base import Layer
from rnnkit.layers.dense import Dropout
from rnnkit.layers.memoryless import Memoryless
from rnnkit.layers.support import symbolic
from rnnkit.layers.support.layer_tree import (
    all_layers,
    all_or_nothing,
    arrays_by_name,
    build_with,
    options_by_name,
    put_arrays,
)
from rnnkit.layers.support.seeds import inherit_seed
from rnnkit.layers.support.symbolic import SymbolicTensor
from rnnkit.layers.support.variable import Variable
from rnnkit.models.call_arguments import CallArguments, given_call
from rnnkit.models.call_trace import parts_inside
from rnnkit.steps.cell import AdaptedCell, Cell, current_build


class LayerCell(AdaptedCell):
    """A layer with ``state_size`` and ``call(inputs, states) -> output, new_states`` as a cell.

    ``call`` may compute with weights of the layer's own, and call layers that are its attributes: `rnnkit.Dense`,
    `rnnkit.Activation`, `rnnkit.Lambda` and user's classes of layers.
    """

    adapted: Any
    holds_weights = True

    def __init__(self, layer):
        Cell.__init__(self, name=layer.name)
        self.adapted = layer
        self._weights_now: Mapping[str, Any] | None = None  # of a step that is bound to weights

    def call(self, inputs, states, **more):
        """Compute one step of the layer."""
        token = symbolic.tracing.set(_StepTrace(self.adapted, self._weights_now))
        try:
            return self.adapted.call(inputs, states, **more)
        finally:
            symbolic.tracing.reset(token)

    def _takes(self, name):
        return name in inspect.signature(self.adapted.call).parameters

    def build(self, input_shape):
        """Build the layer, and the layers in its ``call``."""
        layer, (dtype, rng) = self.adapted, current_build()
        if not layer.built:
            inherit_seed(layer, np.random.SeedSequence(rng.integers(2**63, size=2).tolist()))
            build_with(layer, tuple(input_shape), layer.dtype or dtype)
        if layer._parts():
            with all_or_nothing(layer):
                self._build_parts(tuple(input_shape))
        self.built = True

    def _build_parts(self, input_shape):
        layer = self.adapted

        def tensor(shape):
            return SymbolicTensor(symbolic.Node(), shape, layer.dtype, "state")

        states = self._states(input_shape[1:]).nested(tuple(tensor((None, *s)) for s in self._states().shapes))
        states = states if isinstance(states, (list, tuple)) else [states]
        names = [name for name in given_call(layer).signature.parameters if name not in ("training", "mask")]
        given = CallArguments(given_call(layer), tensor(input_shape), {names[1]: list(states)}, {}, None, False)
        layer._shapes_for(given)

    def _all_weights(self):
        return arrays_by_name(self.adapted) if self.adapted.built else {}

    def _weight_options(self):
        return options_by_name(self.adapted) if self.adapted.built else {}

    def _replace_weights(self, weights):
        put_arrays(self.adapted, weights)

    def _forget_weights(self):
        for layer in all_layers(self.adapted):
            if layer.built:
                layer._forget()

    def _parts(self) -> dict[str, Cell]:
        return {}

    def with_arrays(self, mapping, in_place):
        """Return itself, or a copy for a step, with other arrays in place of its weights, by their ids."""
        found = {name: mapping.get(id(array), array) for name, array in self._all_weights().items()}
        if not in_place:
            return self._bound(found)
        self._replace_weights(
            {name: found[name] for name, array in self._all_weights().items() if id(array) in mapping}
        )
        return self

    def _bound(self, weights):
        bound = LayerCell(self.adapted)
        bound.built, bound._weights_now = True, weights
        return bound


class _StepTrace:
    """Trace of one step: the arrays of a layer's weights, and the calls of layers inside it."""

    def __init__(self, layer, weights):
        weights = arrays_by_name(layer) if weights is None else weights
        self.dtype = layer.dtype
        self._layer, self._weights = layer, weights
        self._names = {id(one): name for name, one in layer._all_variables().items()}
        self._paths = {id(one): path for path, one in parts_inside(layer)}

    def tensor_of(self, variable: Variable):
        """Return the array of a weight."""
        if id(variable) not in self._names:
            raise ValueError(f"expected weights of the cell {self._layer.name!r} in its call, got {variable!r}")
        return self._weights[self._names[id(variable)]]

    def call(self, layer: Layer, call, arguments, keywords):
        """Return the result of a layer inside the cell for one step."""
        path = self._paths.get(id(layer))
        own = getattr(layer, "call", None)
        if own is not None:
            return own(*arguments, **{n: v for n, v in keywords.items() if given_call(layer).takes(n)})
        if isinstance(layer, Dropout) and not keywords.get("training"):
            return arguments[0]
        if isinstance(layer, Memoryless) and path is not None:
            cell = layer._cell
            names = cell._all_weights()
            output, _ = cell._bound({name: self._weights[f"{path}/{name}"] for name in names}).call(arguments[0], ())
            return output
        raise ValueError(
            f"expected the call of the cell {self._layer.name!r} to use its weights, NumPy's functions and, of its "
            f"attributes, Dense, Activation, Lambda and layers that are classes; got {type(layer).__name__}"
        )
