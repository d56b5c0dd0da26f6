"""Calls of functions of arrays that follow each other in a graph of layers, as one function."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from itertools import groupby
from typing import Any

import numpy as np

from rnnkit.arguments import is_own
from rnnkit.custom_gradients import by_kernels
from rnnkit.layers.array_function import WholeArrays
from rnnkit.layers.base import NO_MORE, Layer
from rnnkit.layers.support.pullback import Gradients
from rnnkit.layers.support.symbolic import SymbolicTensor, mapped
from rnnkit.layers.traced import Traced
from rnnkit.models.calls import Call, Calls

# In memory of its own, in which sums and products round as those of a layer's result: a view may have another order.
_laid_out = by_kernels(lambda x: np.copy(x, "C"), lambda d, shape: d, "shape")(lambda x: x)


class Fused(WholeArrays):
    """Several calls of layers that are functions of arrays, as one function of all arrays that they read.

    Nothing is copied or checked between them. With masks, and where something is wrong, they are called one by one.
    """

    def __init__(self, graph: Calls, tensors: list[SymbolicTensor]):
        super().__init__(name=" → ".join(graph.paths[call.layer] for call in graph.calls))
        self.graph, self._kinds = graph, [tensors[number].dtype.kind for number in graph.inputs]
        self._unbatched = tuple(i for i, number in enumerate(graph.inputs) if not tensors[number].batched)
        self._functions: Any = [graph.layers[call.layer] for call in graph.calls]
        with_floats = zip(self._functions, graph.calls, strict=True)
        self._of_floats = [one for one, call in with_floats if any(tensors[i].dtype.kind == "f" for i in call.read())]
        self._checked = any(one._checked for one in self._functions)
        self.built = True

    def _result(self, arrays, mask, training):
        def called(call, layer, x, mask, training, more):
            if not isinstance(layer, WholeArrays):  # it refuses some shapes that NumPy's functions take
                layer._check_shape(layer._shape(mapped(x, lambda one: (None, *one.shape[1:]))))
            return mapped(layer._result(x, None, training), lambda one: _laid_out(one) if _is_view(one) else one), None

        return self.graph.returned(self.graph.through(arrays, [], training, called)[0])

    def _lines(self):
        return tuple(line for layer in self._functions for line in layer._lines())

    def _version(self):
        return tuple(layer._version() for layer in self._functions)

    def _with_mask(self, x, mask, training, more=NO_MORE, wanted=None):
        precisions = {layer.dtype for layer in self._of_floats}  # conditions have none
        vars(self)["dtype"] = np.result_type(*precisions, np.float32)
        if mask is None and precisions == {self.dtype} and [one.dtype.kind for one in x] == self._kinds:
            with contextlib.suppress(Exception):  # the layer in which it is tells of it
                return super()._with_mask(x, mask, training, more, wanted)
        masks = [None] * len(x) if mask is None else mask
        gradients = lambda d, weights, states: Gradients(weights, [d[number] for number in self.graph.inputs])
        return self.graph.run(x, masks, training, wanted, gradients, set, self.dtype)


def fused(graph: Calls, tensors: list[SymbolicTensor]) -> Calls:
    """Return the graph in which calls of functions of arrays that follow each other are one; `tensors` are by number.

    Arrays keep their numbers, and layers their places. The bits of results are the same.
    """
    layers, paths, calls = list(graph.layers), list(graph.paths), []
    for is_function, several in groupby(
        graph.calls, lambda call: _is_function(graph.layers[call.layer], call, tensors)
    ):
        group = [replace(call, over=[]) for call in several]
        if not is_function or len(group) == 1:
            calls += group
            continue
        made = {number: None for call in group for number in call.outputs}
        given = {number: None for call in group for number in call.read() if number not in made}
        outside = {n for call in graph.calls if made.keys().isdisjoint(call.outputs) for n in call.read()}
        ends = [number for number in made if number in outside or number in graph.outputs]
        own = Calls(graph.layers, group, list(given), ends, graph.paths)
        calls.append(Call(len(layers), list(given), {}, None, ends, []))
        layers.append(Fused(own, tensors))
        paths.append(layers[-1].name)
    return Calls(layers, calls, graph.inputs, graph.nesting, paths) if len(layers) > len(graph.layers) else graph


def _is_view(array) -> bool:
    return getattr(getattr(array, "node", None), "op", "") == "view" and array.dtype != bool


def _is_function(layer: Layer, call: Call, tensors: list[SymbolicTensor]) -> bool:
    """Return whether a call of a layer is a function of arrays with a batch axis, and nothing else."""
    kind = type(layer)
    if not isinstance(layer, Traced) or not is_own(kind) or kind._call is not Traced._call:
        return False
    if layer._own or layer._finds_more or layer.activity_regularizer or call.more or call.options:
        return False
    if kind._with_mask is not Layer._with_mask:
        return False
    kinds = "fb" if isinstance(layer, WholeArrays) else "f"
    given, made = ([tensors[number] for number in numbers] for numbers in (call.read(), call.outputs))
    return all(one.dtype.kind in kinds for one in given) and all(one.dtype.kind in "fb" and one.batched for one in made)
