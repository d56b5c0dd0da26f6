"""Calls of layers in order: the run of a graph of symbolic calls, and its gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rnnkit.layers.base import Layer
from rnnkit.layers.support.row_gradient import added_up
from rnnkit.layers.support.symbolic import Node, SymbolicTensor, flat_with_none, leaves, mapped


@dataclass(frozen=True)
class Call:
    """One call of a layer in a model, its arrays by their numbers: inputs first, then the results of each call.

    Attributes
    ----------
    layer : int
        Its place in `Calls.layers`.
    x : int, or nested lists of them
    more : dict of str to int, or nested lists of them
        States, constants, a mask.
    training : bool or None
        None takes the model's.
    outputs : list of int
    over : list of int
        Arrays that nothing reads after this call.
    options : dict
        Other keywords, as JSON values.
    """

    layer: int
    x: Any
    more: dict
    training: bool | None
    outputs: list
    over: list
    options: dict = field(default_factory=dict)

    def read(self) -> list[int]:
        """Return the numbers of all arrays that it reads."""
        return [number for nested in (self.x, *self.more.values()) for number in leaves(nested)]


class Calls:
    """All calls of layers between symbolic inputs and outputs, each after those that it reads.

    Attributes
    ----------
    layers : list of Layer
    tensors : list of SymbolicTensor
        By number: inputs first, then what each call gives.
    count : int
        The number of arrays.
    calls : list of Call
    outputs : list of int
    paths : list of str
        Prefixes of each layer's names of weights, set by the owner of the calls.
    """

    paths: list[str]

    def __init__(self, given: list[SymbolicTensor], made: list[SymbolicTensor]):
        numbers = {id(tensor): i for i, tensor in enumerate(given)}
        layers: dict[int, Layer] = {}
        places: dict[int, int] = {}
        self.tensors: list[SymbolicTensor] = list(given)
        self.calls: list[Call] = []
        number = lambda nested: mapped(nested, lambda tensor: None if tensor is None else numbers[id(tensor)])
        for node in _nodes(given, made):
            place = places.setdefault(id(node.layer), len(places))
            assert node.layer is not None, "an input is no call"
            layers[place] = node.layer
            x, more = number(node.x), {name: number(nested) for name, nested in node.more.items()}
            own = list(range(len(self.tensors), len(self.tensors) + len(node.outputs)))
            for tensor, i in zip(node.outputs, own, strict=True):
                numbers.setdefault(id(tensor), i)  # one that is an input stays it
            self.tensors += node.outputs
            self.calls.append(Call(place, x, more, node.training, own, [], node.options))
        self.layers, self.count = list(layers.values()), len(self.tensors)
        self.outputs = [numbers[id(tensor)] for tensor in made]
        self.read = self._find_ends()

    def _find_ends(self) -> set[int]:
        """Note at each call which arrays are read for the last time; return the numbers of all that are read."""
        seen = set(self.outputs)
        for call in reversed(self.calls):
            call.over[:] = sorted({*call.read(), *call.outputs} - seen)
            seen |= set(call.read())
        return seen

    # Forwards: arrays and masks by number, those of the inputs first, are filled in.

    def run(self, values: list, masks: list, training) -> None:
        """Run all calls."""
        for call in self.calls:
            self.put(call, values, masks, *called(*self.given(call, values, masks, training)))

    def run_differentiated(self, values: list, masks: list, training, wanted) -> list:
        """Run all calls; return the pullback of each, and the nesting of its result."""
        pullbacks = []
        for call in self.calls:
            result, result_mask, pullback = _differentiated(wanted, *self.given(call, values, masks, training))
            self.put(call, values, masks, result, result_mask)
            pullbacks.append((pullback, mapped(result, lambda _: None)))
        return pullbacks

    def given(self, call: Call, values, masks, training):
        """Return the layer of a call, and its arguments."""
        x = mapped(call.x, values.__getitem__)
        more = {name: looked_up(numbers, values) for name, numbers in call.more.items()} | call.options
        mask = more.pop("mask") if "mask" in more else mapped(call.x, masks.__getitem__)
        if isinstance(mask, (list, dict)) and all(one is None for one in flat_with_none(mask)):
            mask = None
        return self.layers[call.layer], x, mask, training if call.training is None else call.training, more

    def put(self, call: Call, values, masks, outputs, outputs_masks) -> None:
        """Fill in the results of a call, and release arrays that no later call reads."""
        for number, value, mask in zip(call.outputs, leaves(outputs), _masks_of(outputs, outputs_masks), strict=True):
            values[number], masks[number] = value, mask
        for number in call.over:
            values[number] = masks[number] = None

    # Backwards

    def pull(self, pullbacks, cotangents, trained: set[int] | None = None) -> tuple[list, dict, dict]:
        """Return the cotangents of inputs, of weights by name, and of the states that layers started from, by layer.

        From the last call to the first; cotangents of an array that several calls read add up in that order. With
        `trained`, only those that lead to these arrays' cotangents.
        """
        d: list = [None] * self.count
        weights: dict = {}
        states: dict = {}

        def add(number, cotangent):
            if cotangent is not None:
                d[number] = cotangent if d[number] is None else added_up(d[number], cotangent)

        for number, cotangent in zip(self.outputs, cotangents, strict=True):
            add(number, cotangent)
        for call, (pullback, nesting) in zip(reversed(self.calls), reversed(pullbacks), strict=True):
            if trained is not None and trained.isdisjoint(call.outputs):
                continue
            own = iter([d[number] for number in call.outputs])
            flat = pullback.flat(mapped(nesting, lambda _, own=own: next(own)))
            only_weights = trained is not None and trained.isdisjoint(leaves(call.x))
            gradient = (pullback.pull_weights if only_weights else pullback.pull)(flat)
            for number in call.outputs:
                d[number] = None
            for what, nested in {"x": call.x, **call.more}.items():
                numbers, found = leaves(nested), gradient.of(what)
                if numbers and found is not None:
                    for number, cotangent in zip(numbers, flat_with_none(found), strict=True):
                        add(number, cotangent)
            path = self.paths[call.layer]
            for name, array in gradient.weights.items():
                name = f"{path}/{name}"
                weights[name] = added_up(weights[name], array) if name in weights else array
            if "initial_state" not in call.more:
                states[call.layer] = gradient.initial_state
        return d, weights, states

    def depend_on(self, paths: set[str], numbers: set[int]) -> set[int]:
        """Return the arrays `numbers`, and all that depend on them or on weights of layers with these paths."""
        found = set(numbers)
        for call in self.calls:
            if self.paths[call.layer] in paths or not found.isdisjoint(call.read()):
                found.update(call.outputs)
        return found

    def forget_tensors(self) -> None:
        """Release the symbolic tensors, which make a deep graph to copy."""
        self.tensors = self.tensors[:0]


def _nodes(given, made) -> list[Node]:
    """Return all calls between inputs and outputs, each after those that it reads."""
    known, found, waiting = {id(tensor) for tensor in given}, {}, list(made)
    while waiting:
        tensor = waiting.pop()
        if id(tensor) in known or tensor.node.order in found:
            continue
        if tensor.node.layer is None:
            raise ValueError(
                f"expected all that the outputs depend on among inputs; {tensor.name!r} of shape {tensor.shape} is not"
            )
        found[tensor.node.order] = tensor.node
        waiting += tensor.node.read()
    return [found[order] for order in sorted(found)]


def called(layer, x, mask, training, more: Mapping):
    """Return a call's result and its mask; `more` are states, constants and other keywords."""
    if not more:
        return layer._with_mask(x, mask, training)
    return layer._with_others(x, mask, training, more)


def _differentiated(wanted, layer, x, mask, training, more):
    """Return a call's result, its mask and the pullback."""
    if not more:
        return layer._vjp_with_mask(x, mask, training, wanted)
    return layer._vjp_with_others(x, mask, training, wanted, more)


def looked_up(nested, arrays):
    """Return nested lists of numbers with the arrays of these numbers; None for None."""
    return mapped(nested, lambda number: None if number is None else arrays[number])


def _masks_of(outputs, masks) -> list:
    """Return a mask, or None, for each array of a call's result."""
    if isinstance(outputs, Mapping):
        outputs = list(outputs.values())
    if not isinstance(outputs, (list, tuple)):
        return [masks]
    if isinstance(masks, Mapping):
        masks = list(masks.values())
    if not isinstance(masks, (list, tuple)):
        masks = [masks] * len(outputs)
    return [leaf for one, own in zip(outputs, masks, strict=True) for leaf in _masks_of(one, own)]
