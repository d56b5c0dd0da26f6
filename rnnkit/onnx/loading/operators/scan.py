"""The operator Scan, with its body as a cell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnkit.layers.rnn import RNN
from rnnkit.onnx.loading.axes import BATCH, TIME, Array, Axis, Constant, Forms, Value
from rnnkit.onnx.loading.cells import ScanCell
from rnnkit.onnx.loading.graph import Node, axis_of, operator
from rnnkit.onnx.loading.step_target import Steps, features_of

_BACKWARDS = {"axis": 0, "start": None, "stop": None, "step": -1}  # options of a slice along time


@operator("Scan")
def scan(node: Node, *inputs):
    """Return the last states, then the outputs of every step."""
    body = node.attribute("body")
    count = int(node.attribute("num_scan_inputs", 0))
    if node.opset < 9:
        if inputs[0] is not None:
            raise ValueError("expected a Scan without sequence_lens")
        inputs = inputs[1:]
    if body is None or not 0 < count <= len(inputs):
        raise ValueError("expected a body and at least one input to scan")
    states, scanned = list(inputs[: len(inputs) - count]), list(inputs[len(inputs) - count :])
    if any(not isinstance(one, Array) for one in scanned):
        raise ValueError("expected scan inputs that depend on the model's inputs")
    if any(one is None for one in states):
        raise ValueError("expected an initial value for each state")
    outputs = len(body.output) - len(states)
    directions, axes_in, axes_out, turned = _attributes(node, scanned, count, outputs)
    batch = _batch(node, states, scanned)
    time = scanned[0].axes[axes_in[0]]
    for one, axis in zip(scanned, axes_in, strict=True):
        one.axes[axis].join(time)
    time.be(TIME)
    front = [] if batch is None else [batch]
    axes = [state.axes[len(front) :] for state in states]
    for one, axis in zip(scanned, axes_in, strict=True):
        axes.append(tuple(a for i, a in enumerate(one.axes) if i != axis and i >= len(front)))
    graph = node.graph.inside(body)
    given = [Array(own, one.kind, scope=graph, label=node.label) for own, one in zip(axes, inputs, strict=True)]
    results = graph.read(given)
    for before, after in zip(given, results[: len(states)], strict=False):
        if len(before.axes) != len(after.axes):
            raise ValueError(f"expected states of one rank, got {len(before.axes)} and {len(after.axes)}")
        for axis, same in zip(before.axes, after.axes, strict=True):
            axis.join(same)
    run = _Run(node, states, scanned, given, results, directions, turned, graph)
    run.outputs = run.arrays(front, time, axes_out)
    return run.outputs


def _attributes(node, scanned, count, outputs):
    """Return directions and axes of inputs, and axes and directions of outputs."""
    if node.opset < 9:
        return node.attribute("directions", [0] * count), [1] * count, [1] * outputs, [0] * outputs
    directions = node.attribute("scan_input_directions", [0] * count)
    axes_in = node.attribute("scan_input_axes", [0] * count)
    axes_out = node.attribute("scan_output_axes", [0] * outputs)
    turned = node.attribute("scan_output_directions", [0] * outputs)
    if [len(directions), len(axes_in), len(axes_out), len(turned)] != [count, count, outputs, outputs]:
        raise ValueError("expected an axis and a direction for each scan input and output")
    axes_in = [axis_of(axis, len(one.axes)) for axis, one in zip(axes_in, scanned, strict=True)]
    return directions, axes_in, axes_out, turned


def _batch(node, states, scanned) -> Axis | None:
    """Return the batch axis of Scan of opset 8, in front of the axes of its body, or None."""
    if node.opset >= 9:
        return None
    batch = scanned[0].axes[0]
    for one in (*states, *scanned):
        one.axes[0].join(batch)
    batch.be(BATCH)
    return batch


@dataclass(eq=False)
class _Run:
    """The call of the layer, from which all outputs are taken."""

    node: Node
    states: Sequence[Value]
    scanned: Sequence[Array]
    given: Sequence[Array]
    results: Sequence[Value]
    directions: Sequence[int]
    turned: Sequence[int]
    graph: Any
    outputs: list[Array] = field(default_factory=list)
    forms: Forms = field(default_factory=lambda: Forms((BATCH,)))

    def arrays(self, front: list[Axis], time: Axis, places: Sequence[int]) -> list[Array]:
        """Return the node's outputs: states, and sequences with the time axis at these positions."""
        inputs = [*self.states, *self.scanned, *self.captured()]
        found = []
        for i, result in enumerate(self.results):
            axes = [*front, *result.axes]
            if i >= len(self.states):
                axes.insert(axis_of(places[i - len(self.states)], len(axes) + 1), time)
            layers = lambda target, i=i: self.output(target, i)
            found.append(self.node.array(axes, result.kind, inputs, None, layers))
        return found

    def captured(self) -> list[Array]:
        """Return the values of the graph around that the body reads, in the order found."""
        found: dict[Array, None] = {}
        waiting, seen = list(self.results), set()
        while waiting:
            value = waiting.pop()
            if not isinstance(value, Array) or value in seen:
                continue
            seen.add(value)
            if value.scope is not self.graph:
                found[value] = None
            else:
                waiting += list(value.inputs)
        return list(found)

    def output(self, target, place) -> Any:
        """Return one of the outputs, states first."""
        states, sequences = target.shared(self, lambda: self._call(target))
        forms = target.forms
        if place < len(self.states):
            return target.shaped(states[place], 1, forms.shape(self.results[place].axes))
        return sequences[place - len(self.states)]

    def _call(self, target):
        cell, arrays = self._cell(target)
        backwards = bool(self.directions[0])
        scanned = [
            self._turned(target, one) if bool(direction) != backwards else one
            for one, direction in zip(self.scanned, self.directions, strict=True)
        ]
        x = target.side_by_side(scanned)
        count, only = len(self.states), self._only_state(target)
        needed = [target.needs(one) for one in self.outputs]
        flags = any(needed[count:]), any(needed[:count]) and only is None, backwards
        layer = RNN(cell, *flags, dtype=target.dtype, name=target.named(self.node.name))
        constants = [target.tensor(one) for one in self.captured()] or None
        y, *states = target.called(layer, arrays, x, initial_state=self._start(target, x), constants=constants)
        if only is not None:
            return [y] * count, []
        return states, self._parted(target, y) if layer.return_sequences else []

    def _turned(self, target, one):
        """Reverse a scan input if its direction differs from the first one's."""
        found = self.node.array(one.axes, one.kind, [one])
        target.put(found, target.function("Slice", [target.tensor(one)], **_BACKWARDS))
        return found

    def _cell(self, target):
        steps = Steps(self.forms, target.dtype)
        count, captured = len(self.states), self.captured()
        leaves: dict[Array, Any] = {}
        for one in (*self.given[count:], *self.given[:count]):
            leaves[one] = steps.input(one.axes, one.kind, self.node.label)
        for one in captured:
            leaves[one] = steps.input(one.axes, one.kind, one.label, open_sizes=True)
        refs = steps.emitted(self.results, lambda array: leaves.get(array))
        refs = [
            steps.add("Number", [ref]) if result.kind == "bool" else ref
            for ref, result in zip(refs, self.results, strict=True)
        ]
        only = self._only_state(target)
        if only is not None:  # the step's output is the state
            refs = [*refs[:count], refs[only]]
        size = 0 if only is not None else sum(self._sizes())
        size = size or (math.prod(self.forms.shape(self.given[only or 0].axes)) if count else 1)
        return ScanCell(steps.program(refs).config(), count, len(captured), size), steps.arrays

    def _only_state(self, target) -> int | None:
        """Return the index of the state whose last value is the only one read, or None."""
        read = [place for place, one in enumerate(self.outputs) if target.needs(one)]
        return read[0] if len(read) == 1 and read[0] < len(self.states) else None

    def _sizes(self) -> list[int]:
        """Return the number of features of each scan output."""
        return [math.prod(self.forms.shape(one.axes)) for one in self.results[len(self.states) :]]

    def _start(self, target, x):
        """Return the initial states, None for zeros."""
        found = []
        for state in self.states:
            sizes = self.forms.shape(state.axes) or [1]
            if isinstance(state, Constant):
                found.append(np.array(features_of(state.array, state.axes, self.forms), np.float64).reshape(sizes))
            else:
                found.append(target.shaped(target.tensor(state), 1, sizes))
        learned = [isinstance(state, Constant) and state.trainable for state in self.states]
        return target.starts(found, learned, x)

    def _parted(self, target, y) -> list:
        """Split the features of y into the scan outputs."""
        sizes, found, stop = self._sizes(), [], 0
        for size, result, turned in zip(sizes, self.results[len(self.states) :], self.turned, strict=True):
            start, stop = stop, stop + size
            one = y
            if len(sizes) > 1:
                one = target.function("Slice", [y], axis=1, start=start, stop=stop, step=1)
            if turned:
                one = target.function("Slice", [one], **_BACKWARDS)
            found.append(target.shaped(one, 2, self.forms.shape(result.axes)))
        return found
