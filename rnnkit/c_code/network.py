"""Networks: a layer or a model as the ordered operations of one step, on signals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnkit.c_code import unit
from rnnkit.c_code.text import identifier
from rnnkit.c_code.unit import Unit
from rnnkit.execution.execution import Execution
from rnnkit.layers.array_function import WholeArrays
from rnnkit.layers.base import Layer
from rnnkit.layers.convolution import Conv1D
from rnnkit.layers.embedding import Embedding
from rnnkit.layers.masking import Masking
from rnnkit.layers.memoryless import Memoryless
from rnnkit.layers.merging import Concatenate, Merge
from rnnkit.layers.noise import Noise
from rnnkit.layers.pooling import GlobalAveragePooling1D, GlobalMaxPooling1D, OverAll
from rnnkit.layers.rnn import RNN
from rnnkit.layers.shaping import Flatten, Reshape
from rnnkit.layers.support.facts import built_shape, reads_ids, stream_refusal
from rnnkit.layers.support.layer_tree import held_by
from rnnkit.layers.support.symbolic import leaves, mapped, shape_leaves
from rnnkit.layers.time_distributed import TimeDistributed
from rnnkit.layers.traced import Traced
from rnnkit.models.functional import Model
from rnnkit.models.graph_model import GraphModel
from rnnkit.steps.cell import Cell, prepare
from rnnkit.steps.step import Step


@dataclass(frozen=True, eq=False)
class Mask:
    """The condition that a step is used: "input", "features" (of `signals`), "ids", "and" or "or" (of `masks`)."""

    kind: str
    signals: tuple[Signal, ...] = ()
    masks: tuple[Mask, ...] = ()
    value: float = 0.0


@dataclass(frozen=True, eq=False)
class Signal:
    """An array that passes between operations, for one step of one sequence."""

    shape: tuple[int, ...]  # without batch and time
    in_time: bool = True  # whether there is one for each step, rather than one for all steps so far
    ids: bool = False  # whether it holds integers
    mask: Mask | None = None  # None if every step is used
    home: Signal | None = None  # the signal whose memory it shares, in another shape

    @property
    def size(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    def root(self) -> Signal:
        """Return the signal that owns the memory."""
        return self if self.home is None else self.home


@dataclass(frozen=True, eq=False)
class Operation:
    """A call of a layer in a step."""

    kind: str  # "recurrent", "memoryless" or "function" (a unit), "masking", or "lookup" (a row of a table)
    name: str  # a C identifier
    layer: Layer
    inputs: tuple[Signal, ...]
    output: Signal
    unit: Unit | None = None
    used: Mask | None = None  # of a recurrent layer: when it updates its states
    zeros: bool = False  # of a recurrent layer: whether it outputs zeros at masked steps
    table: str = ""  # the name of a lookup's table


@dataclass(eq=False)
class Network:
    """The operations of a step."""

    dtype: np.dtype
    inputs: list[Signal] = field(default_factory=list)
    outputs: list[Signal] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)
    units: list[Unit] = field(default_factory=list)  # one for each layer, or for each of its shapes, for all calls
    tables: dict[str, np.ndarray] = field(default_factory=dict)  # of embeddings, by a C identifier
    constants: list[tuple[int, ...]] = field(default_factory=list)  # shapes without the batch, of a recurrent layer
    input_names: list[str] = field(default_factory=list)  # of a model, else none
    output_names: list[str] = field(default_factory=list)


def read(layer: Layer, dtype: np.dtype, constants=()) -> Network:
    """Return the network of a built layer; a ValueError if it needs whole sequences, or can't be written in C.

    `dtype` is that of the C text; `constants` are shapes without the batch, for a recurrent layer that takes constants.
    """
    reader = _Reader(dtype, [tuple(shape) for shape in constants])
    network = reader.network
    used = Mask("input")
    if isinstance(layer, Model):
        dtypes = [np.dtype(config["dtype"]) for config in layer._input_configs]
        shapes = layer._shapes[: len(dtypes)]
        ids = [one.kind in "iub" for one in dtypes]
        network.input_names, network.output_names = layer.input_names, layer.output_names
    else:
        shapes = shape_leaves(built_shape(layer))
        ids = [reads_ids(layer)] * len(shapes)
    for shape, whole in zip(shapes, ids, strict=True):
        features = tuple(shape[2:])
        if not isinstance(shape, tuple) or len(shape) < (2 if whole else 3) or None in features:
            raise ValueError(f"expected inputs (batch, time, features) to write {layer.name!r} in C, got {shape}")
        network.inputs.append(Signal(features, ids=whole, mask=used))
    network.outputs = leaves(reader.call(layer, network.inputs if len(network.inputs) > 1 else network.inputs[0]))
    return network


class _Reader:
    def __init__(self, dtype, constants):
        self.network = Network(dtype, constants=constants)
        self.names: set[str] = set()
        self.known: dict[Any, Any] = {}

    def call(self, layer: Layer, x):
        """Return the outputs of a layer for a signal, or for nested lists of signals."""
        for kinds, method in _METHODS.items():
            if isinstance(layer, kinds):
                return method(self, layer, x)
        raise self._refusal(layer, stream_refusal(layer) or "is no layer that is known in C")

    @staticmethod
    def _refusal(layer, reason) -> ValueError:
        return ValueError(
            f"expected layers that take one step at a time; {layer.name!r} ({type(layer).__name__}) {reason}"
        )

    def _name(self, layer) -> str:
        name = identifier(layer.name, self.names, "layer")
        self.names.add(name)
        return name

    def _add(self, kind, layer, inputs, output, **more) -> Signal:
        own = more["unit"].name if "unit" in more else more.get("table", "")  # the first call has its unit's name
        if not own or any(one.name == own for one in self.network.operations):
            own = self._name(layer)
        self.network.operations.append(Operation(kind, own, layer, inputs, output, **more))
        return output

    def _unit(self, layer, step, constants=(), ids=()) -> Unit:
        key = id(layer), step.feature_shape, *constants, *ids
        if key not in self.known:
            title = f"{layer.name!r} ({type(layer).__name__})"
            self.known[key] = unit.read(self._name(layer), title, step, self.network.dtype, constants, ids)
            self.network.units.append(self.known[key])
        return self.known[key]

    # Layers

    def _model(self, layer, x):
        def called(call, one, x, *_):
            if call.more:
                raise self._refusal(one, f"is given {' and '.join(sorted(call.more))} by another layer")
            if call.training:
                raise self._refusal(one, "is called with training=True")
            return self.call(one, x), None

        signals, _ = layer._graph.through(leaves(x), [], False, called)
        return mapped(layer._graph.nesting, signals.__getitem__)

    def _recurrent(self, layer, x):
        step = layer._execution.step
        if step.inputs is not None or step.outputs is not None:
            kind = "complex numbers; give their .real and .imag" if step.has_complex else "several arrays"
            raise self._refusal(layer, f"takes or gives {kind} at each step")
        if not x.in_time or layer.go_backwards:
            raise self._refusal(layer, "goes backwards" if layer.go_backwards else "needs whole sequences")
        if layer.return_state:
            raise self._refusal(layer, "returns its states, which are in the struct of states")
        takes = step.takes_constants
        if takes and not self.network.constants:
            raise self._refusal(layer, "takes constants; give some as constants=[…], for the layer by itself")
        made = self._unit(layer, step, self.network.constants if takes else ())
        shape = layer._execution.output_shape() if not takes else _output_shape(made)
        output = Signal(shape, layer.return_sequences, mask=x.mask if layer.return_sequences else None)
        zeros = layer.zero_output_for_mask and layer.return_sequences
        return self._add("recurrent", layer, (x,), output, unit=made, used=x.mask, zeros=zeros)

    def _memoryless(self, layer, x):
        if (reason := layer.reads_more(1 + x.in_time + len(x.shape))) is not None:
            raise self._refusal(layer, reason)
        made = self._unit(layer, layer._execution.step)
        output = Signal((*x.shape[:-1], *_output_shape(made)), x.in_time, mask=x.mask)
        return self._add("memoryless", layer, (x,), output, unit=made)

    def _masking(self, layer, x):
        if not x.in_time:
            raise self._refusal(layer, "needs whole sequences")
        own = Mask("features", (x,), value=layer.mask_value)
        mask = own if x.mask is None else Mask("and", masks=(own, x.mask))
        return self._add("masking", layer, (x,), Signal(x.shape, mask=mask), used=own)

    def _embedding(self, layer, x):
        if layer.mask_zero and x.shape:
            raise self._refusal(layer, "masks ids of which a step has several")
        table = np.asarray(layer._own["embeddings"], self.network.dtype)
        if id(layer) not in self.known:
            self.known[id(layer)] = self._name(layer)
            self.network.tables[self.known[id(layer)]] = table
        mask = Mask("ids", (x,)) if layer.mask_zero else x.mask
        output = Signal((*x.shape, layer.output_dim), x.in_time, mask=mask)
        return self._add("lookup", layer, (x,), output, table=self.known[id(layer)])

    def _time_distributed(self, layer, x):
        if not x.in_time:
            raise self._refusal(layer, "needs whole sequences")
        inside = self.call(layer.layer, Signal(x.shape, False, x.ids, home=x.root()))
        if isinstance(inside, list):
            return [Signal(one.shape, True, one.ids, x.mask, one.root()) for one in inside]
        return Signal(inside.shape, True, inside.ids, x.mask, inside.root())

    def _running(self, layer, x):
        step = _step_along_time(layer, x.shape[0], self.network.dtype) if x.in_time else None
        if step is None:
            raise self._refusal(layer, "needs whole sequences")
        made = self._unit(layer, step)
        output = Signal(_output_shape(made), isinstance(layer, Conv1D))
        used = x.mask if isinstance(layer, GlobalAveragePooling1D) else None
        return self._add("recurrent", layer, (x,), output, unit=made, used=used)

    def _function(self, layer, x):
        signals = tuple(leaves(x))
        if len({one.in_time for one in signals}) > 1:
            raise self._refusal(layer, "merges steps with a whole sequence's")
        in_time = signals[0].in_time
        shapes = [(*(1,) * (1 + in_time), *one.shape) for one in signals]
        reason = stream_refusal(layer)
        if isinstance(layer, Concatenate):
            reason = "joins arrays along time" if layer.axis % len(shapes[0]) == 1 else None
        elif isinstance(layer, WholeArrays) and in_time and layer._takes_steps_apart():
            reason = None  # also with products of matrices
        ids = tuple(one.root().ids for one in signals)
        if any(ids) and not isinstance(layer, Merge):
            reason, in_time = "is given integers", True
        if in_time and reason is not None:
            raise self._refusal(layer, reason)
        traced = layer._traced(x, [(shape, "float") for shape in shapes], None, False)
        traced.step.weights = held_by(layer).arrays()
        if traced.kinds != ["float"]:
            raise self._refusal(layer, f"gives {' and '.join(traced.kinds)} rather than one array of numbers")
        made = self._unit(layer, traced.step, [shape[1:] for shape in shapes[1:]], ids)
        several = iter([(None, None, *one.shape) for one in signals])
        in_time = in_time and layer.compute_output_shape(mapped(x, lambda _: next(several)))[1] is None
        masks = dict.fromkeys(one.mask for one in signals if in_time)
        # In a Concatenate, an array without a mask uses all steps, and so does the result.
        known = [one for one in masks if one is not None]
        mask = (
            None if len(known) < max(len(masks), 1) else known[0] if len(known) == 1 else Mask("or", (), tuple(known))
        )
        return self._add(
            "function", layer, signals, Signal(_output_shape(made)[in_time:], in_time, mask=mask), unit=made
        )

    def _shaped(self, layer, x):
        if x.in_time:
            raise self._refusal(layer, "needs whole sequences; put it into a TimeDistributed to shape each step")
        shape = tuple(layer.compute_output_shape((1, *x.shape))[1:])
        return Signal(shape, False, x.ids, home=x.root())


def _output_shape(made: Unit) -> tuple[int, ...]:
    return made.graph.output.shape


_METHODS: dict[Any, Callable] = {
    GraphModel: _Reader._model,
    RNN: _Reader._recurrent,
    (Conv1D, OverAll): _Reader._running,
    Memoryless: _Reader._memoryless,
    Noise: lambda reader, layer, x: x,
    Masking: _Reader._masking,
    Embedding: _Reader._embedding,
    TimeDistributed: _Reader._time_distributed,
    (Reshape, Flatten): _Reader._shaped,
    Traced: _Reader._function,
}


def _step_along_time(layer: Conv1D | OverAll, features: int, dtype: np.dtype) -> Step | None:
    """Return the step of a layer for x ``(B, T, features)``; None if no memory of fixed size is enough."""
    if isinstance(layer, Conv1D) and (layer.padding != "causal" or layer.strides > 1):
        return None
    cell = next(kind for of, kind in _CELLS.items() if isinstance(layer, of))(layer, features)
    prepare(cell, (None, features), dtype, np.random.default_rng(0))
    return Execution(cell, (features,), dtype).step


class _OfAll(Cell):
    """Base of the steps of pooling."""

    def __init__(self, layer, features):
        super().__init__(name=layer.name)
        self.state_size, self.axes = features, (1,) * layer.keepdims

    def _shown(self, new):
        return new.reshape((new.shape[0], *self.axes, new.shape[1]))


class _Largest(_OfAll):
    """The largest of all steps so far."""

    def call(self, inputs, states):
        new = np.maximum(states[0], inputs)
        return self._shown(new), [new]

    def get_initial_state(self, batch_size=None, dtype=None):
        return [np.full((batch_size, self.state_size), -np.inf, dtype)]


class _Mean(_OfAll):
    """The mean of all steps so far, of a sum that keeps what it rounds away (Kahan 1965)."""

    def __init__(self, layer, features):
        super().__init__(layer, features)
        self.state_size = [features, features, 1]

    def call(self, inputs, states):
        before, lost, count = states[0], states[1], states[2] + 1.0
        added = inputs - lost
        total = before + added
        return self._shown(total / count), [total, (total - before) - added, count]


class _Window(Cell):
    """A causal convolution, which keeps the steps before the newest of its window."""

    def __init__(self, layer, features):
        super().__init__(name=layer.name)
        self.inner, self.groups, self.dilation = layer._cell, layer.groups, layer.dilation_rate
        self.state_size = [(layer._windows.span - 1, features)]

    def call(self, inputs, states):
        steps = np.concatenate([states[0], inputs[:, None]], axis=1)
        window = steps[:, :: self.dilation]
        rows, size, features = window.shape
        parted = window.reshape(rows, size, self.groups, features // self.groups).swapaxes(1, 2)
        return self.inner.call(parted.reshape(rows, size * features), ())[0], [steps[:, 1:]]


_CELLS = {GlobalMaxPooling1D: _Largest, GlobalAveragePooling1D: _Mean, Conv1D: _Window}
