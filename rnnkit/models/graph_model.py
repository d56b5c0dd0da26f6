"""Models that are a graph of layers: their calls and gradients."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Unpack

from rnnkit.hints import LayerOptions
from rnnkit.layers.base import Layer
from rnnkit.layers.support.added_losses import calling_parts
from rnnkit.layers.support.display import Text
from rnnkit.layers.support.layer_tree import arrays_by_name, options_by_name
from rnnkit.layers.support.pullback import Gradients
from rnnkit.layers.support.symbolic import SymbolicTensor, leaves
from rnnkit.models.assembled import Assembled
from rnnkit.models.calls import Calls, called_again
from rnnkit.steps.nesting import mapped


class GraphModel(Assembled):
    """Base of models that are a graph of layers, once they are built; a subclass has `_graph` and `_entered`.

    `_entered` returns the inputs of a call as a list of arrays, and the list of their masks.
    """

    _padding = "masked"
    _graph: Calls
    _input_nesting: Any = 0  # numbers of the inputs, nested as a call takes them

    def __init__(self, **options: Unpack[LayerOptions]):
        super().__init__(**options)
        self._symbols = Symbols()

    @property
    def inputs(self) -> list[SymbolicTensor]:
        """The symbolic inputs, for another model that begins with this one."""
        return self._symbolic().inputs

    @property
    def outputs(self) -> list[SymbolicTensor]:
        """The symbolic outputs, to call more layers on."""
        return self._symbolic().outputs

    def _symbolic(self) -> Symbols:
        if not self.built:
            raise AttributeError(f"expected the model {self.name!r} to be built; begin it with an Input")
        if not self._symbols.inputs:  # of a copy or from a file: the calls are repeated
            self._symbols = self._called_on(self._new_inputs(self._input_shape))
        return self._symbols

    def explain(self, source: bool = False, graph: bool = False) -> str:
        """Return how every call is computed, those together that are one function; with `graph`, all calls before."""
        if not self.built:
            return super().explain(source, graph)
        run = self._graph.fused
        told = {run.paths[i]: run.layers[i].explain(source=source, graph=graph) for i in (c.layer for c in run.calls)}
        title = [run.text(f"graph of the model {self.name!r}")] * graph
        return Text("\n\n".join([*title, *(f"{path}: {text}" for path, text in told.items() if text)]))

    def _called_on(self, inputs: list[SymbolicTensor]) -> Symbols:
        """Return the symbols of a symbolic call of all layers, after which each of them has an `output`."""
        tensors = called_again(inputs, self._graph.layers, self._graph.calls)
        return Symbols(inputs, [tensors[number] for number in self._graph.outputs])

    def _new_inputs(self, shape) -> list[SymbolicTensor]:
        raise NotImplementedError

    def _entered(self, inputs, mask) -> tuple[list, list]:
        raise NotImplementedError

    def _with_mask(self, inputs, mask, training, more=None, wanted=None):
        by_name = list(inputs) if isinstance(inputs, Mapping) else None
        with calling_parts(self):
            arrays, masks = self._entered(inputs, mask)
            graph = self._graph.fused
            own = partial(self._gradients, graph, by_name), partial(self._trained, graph)
            return graph.run(arrays, masks, training, wanted, *own)

    def _gradients(self, graph: Calls, by_name, d, weights, states) -> Gradients:
        found: Any = d[: len(graph.inputs)]
        names = self._input_names()
        if by_name is not None and set(by_name) == set(names):
            found = {name: found[names.index(name)] for name in by_name}
        else:
            found = mapped(self._input_nesting, found.__getitem__)
        kept: list[Any] = [states.get(i) for i, layer in enumerate(graph.layers) if layer._keeps_states]
        order = [name for name in arrays_by_name(self) if name in weights]
        return Gradients({name: weights[name] for name in order}, found, kept or None)

    def _trained(self, graph: Calls) -> set[int]:
        """Return the arrays that depend on a trained weight."""
        weight_options = options_by_name(self)
        paths = {name.partition("/")[0] for name, one in weight_options.items() if one.trainable}
        return graph.depend_on(paths, set())

    def _watched(self, x):
        graph = self._graph
        values, masks = graph.begun(*self._entered(x, None))
        for call in graph.calls:
            layer, *given = graph.given(call, values, masks, False)
            result, result_mask, _ = layer._with_mask(*given)
            for array in leaves(result):
                yield f"the output of {graph.paths[call.layer]!r} ({layer.name})", array
            graph.put(call, values, masks, result, result_mask)


class Symbols:
    """Symbolic inputs and outputs, which a copy doesn't have, since a long graph is a deep one to copy."""

    def __init__(self, inputs=(), outputs=()):
        self.inputs, self.outputs = list(inputs), list(outputs)
        self.layers: list[Layer] = []  # as Keras lists them

    def __reduce__(self):
        return Symbols, ()
