"""The trace of a layer's `call`, which is read once on symbolic tensors."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from rnnkit.layers.base import Layer
from rnnkit.layers.support import symbolic
from rnnkit.layers.support.symbolic import Input, SymbolicTensor
from rnnkit.layers.support.variable import Variable
from rnnkit.models.calls import Calls


class Traced(Protocol):
    """A layer whose `call` is traced."""

    name: str
    dtype: Any
    call: Any

    def _all_variables(self) -> dict[str, Variable]: ...


class CallTrace:
    """The graph of a layer's `call` for one kind of arguments.

    Parameters
    ----------
    layer : Traced
    specifications : list of (shape, dtype)
        Shapes and dtypes of the arrays that it is called with, the batch axis None.
    arguments : callable
        From symbolic tensors for these to the keywords of `call`.
    inputs : int
        The number of arrays, from the first on, that are the call's inputs, with their masks.

    Attributes
    ----------
    nesting
        The result of `call`, with places among the outputs as leaves; tuples stay tuples.
    shapes : list of tuple
        Shapes of the outputs, None for the batch size.
    names : list of str
        Names of the weights that the call itself reads, in the order of the arrays behind the given ones.
    """

    nesting: Any

    def __init__(self, layer: Traced, specifications, arguments, inputs: int):
        self._layer, self._variables, self._constants = layer, {}, {}  # type: ignore[var-annotated]
        self._used: list[Variable] = []
        self.dtype = layer.dtype  # of layers inside that have none of their own
        given = [
            Input(batch_shape=shape, dtype=dtype, name=f"input_{i}") for i, (shape, dtype) in enumerate(specifications)
        ]
        self.first = given[0]  # a tensor with the batch axis
        token = symbolic.tracing.set(self)
        try:
            result = layer.call(**arguments(given))
            found: list[SymbolicTensor] = []
            self.nesting = self._numbered(result, found)
        finally:
            symbolic.tracing.reset(token)
        if not found:
            raise ValueError(f"expected the call of {layer.name!r} to return an array, got an empty list")
        self.count, self.inputs = len(given), inputs
        variables = [self._variables[id(one)] for one in self._used]
        constants = [tensor for tensor, _ in self._constants.values()]
        self.arrays = [array for _, array in self._constants.values()]
        self.graph = Calls([*given, *variables, *constants], found)
        self.shapes, self.dtypes = [tensor.shape for tensor in found], [tensor.dtype for tensor in found]
        self.tensor_shapes = [tensor.shape for tensor in self.graph.tensors]
        self.graph.forget_tensors()
        self.graph.paths = self._paths()
        names = {id(one): name for name, one in layer._all_variables().items()}
        self.names = [names[id(one)] for one in self._used]
        self.variables = self._used
        del self._variables, self._constants, self.first

    def call(self, layer: Layer, call, arguments, keywords):
        """Return the symbolic result of a call of a layer."""
        return symbolic.record(layer, call, arguments, keywords)

    def tensor_of(self, variable: Variable) -> SymbolicTensor:
        """Return the symbolic tensor of a weight."""
        if id(variable) not in self._variables:
            if id(variable) not in {id(one) for one in self._layer._all_variables().values()}:
                raise ValueError(
                    f"expected `call` of {self._layer.name!r} to compute with weights of its own and of its "
                    f"attributes' layers, got {variable!r}"
                )
            node = symbolic.Node(batched=False)
            self._variables[id(variable)] = node.give(variable.shape, variable.dtype, variable.name)
            self._used.append(variable)
        return self._variables[id(variable)]

    def constant(self, array: np.ndarray) -> SymbolicTensor:
        """Return the symbolic tensor of an array that a layer is called on."""
        found = np.array(array)
        tensor = symbolic.Node(batched=False).give(found.shape, found.dtype, "array")
        self._constants[id(tensor)] = tensor, found
        return tensor

    def _numbered(self, result, found: list):
        return symbolic.mapped_alike(result, lambda one: self._number(one, found))

    def _number(self, result, found: list) -> int:
        result = symbolic.resolved(result)
        if isinstance(result, np.ndarray):
            result = self.constant(result)
        if not isinstance(result, SymbolicTensor):
            raise TypeError(
                f"expected the call of {self._layer.name!r} to return an array, or nested lists and dicts of arrays, "
                f"got {type(result).__name__}"
            )
        found.append(result)
        return len(found) - 1

    def _paths(self) -> list[str]:
        """Return the path of each layer's attribute, for those with weights."""
        known = {id(one): path for path, one in parts_inside(self._layer)}
        for one in self.graph.layers:
            if id(one) not in known and one._arrays():
                raise ValueError(
                    f"expected `call` of {self._layer.name!r} to call layers that are its attributes, or in lists and "
                    f"dicts that are, got the layer {one.name!r} with weights: make it in __init__ or build"
                )
        return [known.get(id(one), f"({i})") for i, one in enumerate(self.graph.layers)]

    # Runs

    def entered(self, arrays: list, masks: list, weights: list) -> tuple[list, list]:
        """Return all arrays and masks by number, with those of a call filled in."""
        values = [*arrays, *weights, *self.arrays]
        missing = [None] * (self.graph.count - len(values))
        return [*values, *missing], [*masks, *([None] * (self.graph.count - len(masks)))]

    def nested(self, found: list):
        """Return a call's result from its outputs, flat."""
        return symbolic.mapped_alike(self.nesting, found.__getitem__)


def parts_inside(layer: Any, path: str = ""):
    """Yield all layers inside a layer, each with its path."""
    for name, part in layer._parts().items():
        here = f"{path}/{name}" if path else name
        yield here, part
        yield from parts_inside(part, here)


def is_open(shape) -> bool:
    """Whether one of nested shapes has an unknown size behind the batch axis."""
    return any(None in one[1:] for one in symbolic.shape_leaves(shape))
