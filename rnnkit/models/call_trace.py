"""The trace of a layer's `call`, which is read once on symbolic tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.circumstances import within
from rnnkit.layers.base import Layer
from rnnkit.layers.effects import Effects
from rnnkit.layers.support import symbolic
from rnnkit.layers.support.layer_tree import arrays_by_name
from rnnkit.layers.support.symbolic import Input, SymbolicTensor, leaves
from rnnkit.layers.support.variable import Variable
from rnnkit.models.calls import traced
from rnnkit.models.fusion import fused
from rnnkit.steps.nesting import mapped


class CallTrace:
    """The graph of a layer's `call` for one kind of arguments.

    `specifications` are shapes, with None for the batch size, and dtypes of the call's arrays, of which the first
    `inputs` are its inputs; `arguments` makes the keywords of `call` from symbolic tensors for them.
    """

    def __init__(self, layer: Any, specifications, arguments, inputs: int):
        self._layer, self._variables, self._constants = layer, {}, {}  # type: ignore[var-annotated]
        self.variables: list[Variable] = []  # whose arrays stand behind the given ones
        self.added: list[tuple[Any, Any]] = []  # layers and the losses that `add_loss` was given
        self.assigned: dict[int, tuple[Variable, Any]] = {}  # weights and their values after the call
        self.dtype = layer.dtype  # of layers inside that have none of their own
        given = [
            Input(batch_shape=shape, dtype=dtype, name=f"input_{i}") for i, (shape, dtype) in enumerate(specifications)
        ]
        self.first = given[0]  # a tensor with the batch axis
        token = symbolic.tracing.set(self)
        try:
            with within(scope=f"{layer._scope}{layer.name}/"):
                given_back = layer.call(**arguments(given))
            nothing = given_back is None and layer._as_in_keras
            result = {} if nothing else mapped(given_back, self._resolved)
            if (self.added or self.assigned) and (found := leaves(result)):
                first = iter([Effects(self.added, list(self.assigned.values()), layer.dtype).behind(found[0])])
                result = mapped(result, lambda one: next(first, one))
        except TypeError as error:
            if "'NoneType'" not in str(error):
                raise
            why = f"{error}: in {layer.name!r}, x.shape[0] is None, for `call` is read once for batches of any size; "
            why += "np.zeros_like(x[:, :1]), np.ones_like and np.full_like make arrays with the rows of x"
            raise TypeError(why).with_traceback(error.__traceback__) from None
        finally:
            symbolic.tracing.reset(token)
        if not (found := leaves(result)) and not (nothing and not self.added and not self.assigned):
            raise ValueError(f"expected the call of {layer.name!r} to return an array, got an empty list")
        self.count, self.inputs = len(given), inputs
        variables = [self._variables[id(one)] for one in self.variables]
        constants = [tensor for tensor, _ in self._constants.values()]
        self.arrays = [array for _, array in self._constants.values()]
        self.graph, tensors = traced([*given, *variables, *constants], result)
        self.shapes, self.dtypes = mapped(result, lambda one: one.shape), [tensor.dtype for tensor in found]
        self.graph.paths = self._paths()
        self.graph.fused = fused(self.graph, tensors)
        names = {id(one): name for name, one in layer._all_variables().items()}
        self.names = [names[id(one)] for one in self.variables]
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
            self.variables.append(variable)
        return self.assigned.get(id(variable), (None, self._variables[id(variable)]))[1]

    def assign(self, variable: Variable, value: Any) -> None:
        """Give a weight another value from here on, and after the call."""
        self.tensor_of(variable)  # which refuses one of another layer
        value = symbolic.resolved(value)
        shape = value.shape if hasattr(value, "shape") else np.shape(value)
        if variable.trainable:
            raise ValueError(
                f"expected `call` to leave weights that are trained as they are, got an assignment to "
                f"{variable.name!r}; make it by add_weight(trainable=False)"
            )
        if isinstance(value, SymbolicTensor) and value.batched:
            raise ValueError(f"expected a value of {variable.name!r} over the whole batch, got one of rows, {value!r}")
        if len(shape) > len(variable.shape) or np.broadcast_shapes(shape, variable.shape) != variable.shape:
            raise ValueError(f"expected a value of shape {variable.shape} for {variable.name!r}, got {shape}")
        self.assigned[id(variable)] = variable, value
        variable.moves = True

    def constant(self, array: np.ndarray) -> SymbolicTensor:
        """Return the symbolic tensor of an array that a layer is called on."""
        found = np.array(array)
        tensor = symbolic.Node(batched=False).give(found.shape, found.dtype, "array")
        self._constants[id(tensor)] = tensor, found
        return tensor

    def _resolved(self, result) -> SymbolicTensor:
        """Return the symbolic tensor of an array in the result."""
        result = symbolic.resolved(result)
        if isinstance(result, np.ndarray):
            result = self.constant(result)
        if not isinstance(result, SymbolicTensor):
            raise TypeError(
                f"expected the call of {self._layer.name!r} to return an array, or nested lists and dicts of arrays, "
                f"got {type(result).__name__}"
            )
        if result.mixing is not None:
            raise result.mixing
        return result

    def _paths(self) -> list[str]:
        """Return the path of each layer's attribute, for those with weights."""
        known = {id(one): path for path, one in parts_inside(self._layer)}
        for one in self.graph.layers:
            if id(one) not in known and arrays_by_name(one):
                raise ValueError(
                    f"expected `call` of {self._layer.name!r} to call layers that are its attributes, or in lists and "
                    f"dicts that are, got the layer {one.name!r} with weights: make it in __init__ or build"
                )
        return [known.get(id(one), f"({i})") for i, one in enumerate(self.graph.layers)]


def parts_inside(layer: Any, path: str = ""):
    """Yield all layers inside a layer, each with its path."""
    for name, part in layer._parts().items():
        here = f"{path}/{name}" if path else name
        yield here, part
        yield from parts_inside(part, here)
