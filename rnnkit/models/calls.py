"""Graphs of layers: their calls in order, the run of these, and its gradient."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnkit.layers.base import Layer
from rnnkit.layers.support.added_losses import regularized
from rnnkit.layers.support.bound_calls import call_on
from rnnkit.layers.support.pullback import Pullback
from rnnkit.layers.support.row_gradient import added_up
from rnnkit.layers.support.symbolic import Node, SymbolicTensor, leaves, mapped, mapped_given
from rnnkit.steps.nesting import leaves_of, shapes_mapped
from rnnkit.steps.nesting import mapped as like_nested


@dataclass(frozen=True)
class Call:
    """One call of a layer in a model, its arrays by their numbers: inputs first, then the results of each call."""

    layer: int  # its place in `Calls.layers`
    x: Any  # int, or nested lists of them
    more: dict  # states, constants, a mask, by keyword as x
    training: bool | None  # None takes the model's
    outputs: list
    over: list  # arrays that nothing reads after this call
    options: dict = field(default_factory=dict)  # other keywords, as JSON values

    def read(self) -> list[int]:
        """Return the numbers of all arrays that it reads."""
        return [number for nested in (self.x, *self.more.values()) for number in leaves(nested)]


class Calls:
    """A graph of layers: their calls in order, each after those that it reads.

    `inputs` are the numbers of the inputs, `outputs` those of the results, nested as these are, flat as an attribute.
    `paths` are prefixes of each layer's names of weights. There are `count` arrays, of which `read` are read by a call
    or are outputs. `fused` is the same graph as it is run, of fewer calls where several are one function.
    """

    fused: Calls

    def __init__(self, layers: list[Layer], calls: list[Call], inputs: Sequence[int], outputs: Any, paths: Any = ()):
        self.layers, self.calls, self.inputs, self.paths = layers, calls, inputs, list(paths)
        self.count = 1 + max([*inputs, *(number for call in calls for number in call.outputs)])
        self.fused = self
        self.nesting, self.outputs = outputs, leaves(outputs)
        self.read = self._find_ends()  # the arrays that a call reads, or that are outputs

    def _find_ends(self) -> set[int]:
        """Note at each call which arrays are read for the last time; return the numbers of all that are read."""
        seen = set(self.outputs)
        for call in reversed(self.calls):
            call.over[:] = sorted({*call.read(), *call.outputs} - seen)
            seen |= set(call.read())
        return seen

    def text(self, title: str) -> str:
        """Return the calls in order, a line each, and the results."""
        name = lambda number: f"x{number}"
        lines = [f"{title}: {len(self.calls)} calls", *(f"  {name(i)} = input" for i in self.inputs)]
        for call in self.calls:
            path, read = self.paths[call.layer] if self.paths else call.layer, ", ".join(map(name, call.read()))
            made = ", ".join(map(name, call.outputs))
            lines.append(f"  {made} = {path}({read})  {type(self.layers[call.layer]).__name__}")
        return "\n".join([*lines, f"  output = {', '.join(map(name, self.outputs))}"])

    # Forwards: arrays and masks by number, those of the inputs first

    def through(self, arrays: list, masks: list, training, by: Callable) -> tuple[list, list]:
        """Return all arrays and masks: ``by(call, layer, x, mask, training, more)`` gives a call's result and mask."""
        values, masks = self.begun(arrays, masks)
        for call in self.calls:
            self.put(call, values, masks, *by(call, *self.given(call, values, masks, training)))
        return values, masks

    def run(self, arrays, masks, training, wanted, gradients: Callable, trained: Callable, dtype=None, given=()):
        """Run all calls; return the outputs, none of which is a given array, their masks and, if wanted, the pullback.

        `wanted` are the keywords of a vjp. `gradients` makes `Gradients` of what `pull` gives, and `trained` returns
        the arrays through which the way leads to weights in training. The precision is that of the outputs, or a given
        one.
        """
        pullbacks = []

        def called(call, layer, *arguments):
            result, mask, pullback = layer._with_mask(*arguments, wanted)
            if layer.activity_regularizer is not None:
                pullback = regularized(layer, result, pullback)
            if wanted is not None:
                pullbacks.append((pullback, mapped(result, lambda _: None)))
            return result, mask

        values, masks = self.through(arrays, masks, training, called)
        outputs, masks = self.returned(values, given), self.masks_behind(masks)
        if wanted is None:
            return outputs, masks, None
        if dtype is None:
            made = zip(self.calls, pullbacks, strict=True)
            dtype = np.result_type(*(one.dtype for call, (one, _) in made if {*self.outputs} & {*call.outputs}))

        def pull(cotangents, trained=None):
            return gradients(*self.pull(pullbacks, cotangents, trained))

        return outputs, masks, Pullback(outputs, dtype, pull, lambda cotangents: pull(cotangents, trained()))

    def given(self, call: Call, values, masks, training):
        """Return the layer of a call, its inputs, mask, training, and states, constants and other keywords."""
        layer, training = self.layers[call.layer], training if call.training is None else call.training
        if type(call.x) is int and not (call.more or call.options):  # most calls
            return layer, values[call.x], masks[call.x], training, {}
        x = mapped(call.x, values.__getitem__)
        more = {name: mapped_given(numbers, values.__getitem__) for name, numbers in call.more.items()} | call.options
        mask = more.pop("mask") if "mask" in more else mapped(call.x, masks.__getitem__)
        if isinstance(mask, (list, dict)) and all(one is None for one in leaves_of(mask)):
            mask = None
        return layer, x, mask, training, more

    def put(self, call: Call, values, masks, outputs, outputs_masks) -> None:
        """Fill in the results of a call, and release arrays that no later call reads."""
        if type(outputs) is np.ndarray:  # most calls
            (number,) = call.outputs
            values[number], masks[number] = outputs, outputs_masks
        else:
            found = zip(call.outputs, leaves(outputs), _masks_of(outputs, outputs_masks), strict=True)
            for number, value, mask in found:
                values[number], masks[number] = value, mask
        for number in call.over:
            values[number] = masks[number] = None

    def line(self, first: int) -> list[Call]:
        """Return the calls from one on that stand in a line: each reads only the one array of the call before."""
        found: list[Call] = []
        for call in self.calls[first:]:
            follows = not found or ([call.x] == found[-1].outputs and call.x in call.over)
            if call.more or call.options or call.training is not None or not follows:
                break
            found.append(call)
        return found

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
                    for number, cotangent in zip(numbers, leaves_of(found), strict=True):
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

    def begun(self, arrays: list, masks: list) -> tuple[list, list]:
        """Return all arrays and masks by number, with those of the inputs filled in."""
        found: tuple[list, list] = [None] * self.count, [None] * self.count
        for by_number, given in zip(found, (arrays, masks), strict=True):
            for number, one in zip(self.inputs, given, strict=False):
                by_number[number] = one
        return found

    def returned(self, values: list, given: Sequence = ()) -> Any:
        """Return the outputs, nested, with copies of those that are given arrays or occur twice."""
        if type(self.nesting) is int and not given:  # most models
            return values[self.nesting]
        seen = set(map(id, given))

        def leaf(number):
            value = values[number]
            again = id(value) in seen
            seen.add(id(value))
            return np.copy(value, "C") if again else value

        return like_nested(self.nesting, leaf)

    def masks_behind(self, masks: list) -> Any:
        """Return the outputs' masks, in lists nested as the outputs."""
        return masks[self.nesting] if type(self.nesting) is int else mapped(self.nesting, masks.__getitem__)


def chain(layers: Sequence[Layer], shape: Any) -> Calls:
    """Return the graph of layers one after the other, of which the last gives results of these shapes."""
    count = len(layers)
    calls = [Call(i, i, {}, None, [i + 1], []) for i in range(count)]
    numbers = itertools.count(count)
    outputs = shapes_mapped(shape, lambda _: next(numbers))
    if calls:
        calls[-1].outputs[:] = leaves(outputs)
    return Calls(list(layers), calls, [0], outputs, map(str, range(count)))


def traced(given: list[SymbolicTensor], made: Any) -> tuple[Calls, list[SymbolicTensor]]:
    """Return the graph of all calls between symbolic inputs and nested outputs, and all tensors by their numbers."""
    numbers = {id(tensor): i for i, tensor in enumerate(given)}
    layers: dict[int, Layer] = {}
    places: dict[int, int] = {}
    tensors, calls = list(given), []
    number = lambda nested: mapped_given(nested, lambda tensor: numbers[id(tensor)])
    for node in _nodes(given, leaves(made)):
        place = places.setdefault(id(node.layer), len(places))
        assert node.layer is not None, "an input is no call"
        layers[place] = node.layer
        x, more = number(node.x), {name: number(nested) for name, nested in node.more.items()}
        own = list(range(len(tensors), len(tensors) + len(node.outputs)))
        for tensor, i in zip(node.outputs, own, strict=True):
            numbers.setdefault(id(tensor), i)  # one that is an input stays it
        tensors += node.outputs
        calls.append(Call(place, x, more, node.training, own, [], node.options))
    outputs = like_nested(made, lambda tensor: numbers[id(tensor)])
    return Calls(list(layers.values()), calls, range(len(given)), outputs), tensors


def called_again(
    inputs: list[SymbolicTensor], layers: list[Layer], calls: list[Call], by: Callable | None = None
) -> list[SymbolicTensor]:
    """Return all tensors by number, of calls that are repeated on symbolic inputs, perhaps ``by(layer, x, …)``."""
    tensors = list(inputs)
    for call in calls:
        more = {name: mapped_given(numbers, tensors.__getitem__) for name, numbers in call.more.items()} | call.options
        if call.training is not None:
            more["training"] = call.training
        layer, x = layers[call.layer], mapped(call.x, tensors.__getitem__)
        tensors += leaves(call_on(layer, x, **more) if by is None else by(layer, x, **more))
    return tensors


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
