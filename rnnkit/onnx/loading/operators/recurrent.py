"""ONNX's LSTM, GRU and RNN, as rnnkit's layers of these names if possible, otherwise as cells of their formulas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

import numpy as np

from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.merging import Concatenate
from rnnkit.layers.recurrent import GRU, LSTM, SimpleRNN
from rnnkit.layers.rnn import RNN
from rnnkit.onnx.format.package import GATES, activation_of, reordered
from rnnkit.onnx.loading.axes import BATCH, TIME, Array, Axis, Constant, Forms, Value
from rnnkit.onnx.loading.cells import Program, ScanCell
from rnnkit.onnx.loading.graph import Node, operator
from rnnkit.onnx.loading.operations import ACTIVATIONS, options_of
from rnnkit.onnx.loading.operators.parting import part as sliced
from rnnkit.onnx.loading.step_target import Steps, without

_USUAL = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}


@dataclass(eq=False)
class _Attributes:
    op: str
    units: int
    directions: list[str]
    activations: list[list]  # of each direction
    clip: float | None
    batch_first: bool
    input_forget: bool
    linear_before_reset: bool


@operator("LSTM", "GRU", "RNN")
def recurrent(node: Node, x, w, r, b=None, lengths=None, h=None, c=None, p=None):
    """Return all outputs: of every step, and the last states."""
    if node.opset < 7:
        raise ValueError(f"expected {node.op} of opset 7 or later, got {node.opset}")
    said = _attributes(node, node.known(r, "the recurrent weights R"))
    kernels, recurrents = node.known(w, "the weights W"), node.known(r, "the recurrent weights R")
    count, units, width = len(said.directions), said.units, len(GATES[node.op]) * said.units
    if not isinstance(x, Array) or len(x.axes) != 3:
        raise ValueError("expected a sequence that depends on the inputs, with three axes")
    time, batch = (x.axes[1], x.axes[0]) if said.batch_first else (x.axes[0], x.axes[1])
    time.be(TIME)
    batch.be(BATCH)
    known = {"W": kernels, "R": recurrents}
    known |= {name: node.known(one, f"the weights {name}") for name, one in (("B", b), ("P", p)) if one is not None}
    features = kernels.shape[-1] if x.axes[2].open else x.axes[2].number
    shapes = {"W": (count, width, features), "R": (count, width, units), "B": (count, 2 * width)}
    shapes["P"] = (count, 3 * units)
    for name, array in known.items():
        if array.shape != shapes[name] or array.dtype.kind != "f":
            raise ValueError(f"expected {name} of shape {shapes[name]}, got {array.dtype} {array.shape}")
    x.axes[2].join(Axis(features))
    along = Axis(count)
    state_axes = [batch, along, Axis(units)] if said.batch_first else [along, batch, Axis(units)]
    for name, state in (("initial_h", h), ("initial_c", c)):
        _check_state(name, state, state_axes)
    if lengths is not None and len(lengths.axes) != 1:
        raise ValueError(f"expected sequence_lens with one axis, got {len(lengths.axes)}")
    if lengths is not None:
        lengths.axes[0].join(batch)
    cells = [_cell(said, i, {name: array[i] for name, array in known.items()}) for i in range(count)]
    run = _Run(node, said, x, time, lengths, [h, c] if node.op == "LSTM" else [h], cells, state_axes)
    first = [batch, time] if said.batch_first else [time]
    all_axes = [*first, *(state_axes[1:] if said.batch_first else state_axes)]
    inputs = [x, lengths, h, c]
    run.outputs = [node.array(all_axes, "float", inputs, None, run.sequence)]
    for i in range(len(run.states)):
        run.outputs.append(node.array(state_axes, "float", inputs, None, lambda target, i=i: run.state(target, i)))
    return run.outputs


def _attributes(node, r) -> _Attributes:
    if r.ndim != 3:
        raise ValueError(f"expected R with three axes, got {r.shape}")
    units = int(node.attribute("hidden_size", r.shape[2]))
    direction = node.attribute("direction", "forward")
    directions = ["forward", "reverse"] if direction == "bidirectional" else [direction]
    if not set(directions) <= {"forward", "reverse"} or units < 1:
        raise ValueError(f"expected a direction forward, reverse or bidirectional, got {direction!r}")
    clip, batch_first = node.attribute("clip"), bool(node.attribute("layout", 0))
    activations, clip = _activations(node, len(directions)), float(clip) if clip else None
    input_forget = node.op == "LSTM" and bool(node.attribute("input_forget", 0))
    late_reset = node.op == "GRU" and bool(node.attribute("linear_before_reset", 0))
    return _Attributes(node.op, units, directions, activations, clip, batch_first, input_forget, late_reset)


def _activations(node, count) -> list[list]:
    """Return names and options of the activations of each direction."""
    usual = _USUAL[node.op]
    given = {name: list(node.attribute(f"activation_{name}", [])) for name in ("alpha", "beta")}
    names = node.attribute("activations", usual * count)
    if len(names) != len(usual) * count:
        raise ValueError(f"expected {len(usual) * count} activations, got {len(names)}")
    known = {name.lower(): name for name in ACTIVATIONS}
    found = []
    for name in names:
        if name.lower() not in known:
            raise ValueError(f"expected activations among {', '.join(ACTIVATIONS)}; got {name!r}")
        name = known[name.lower()]
        own = [option for option in options_of(ACTIVATIONS[name]) if given[option]]
        found.append([name, {option: float(given[option].pop(0)) for option in own}])
    return [found[i : i + len(usual)] for i in range(0, len(found), len(usual))]


def _check_state(name, state, axes):
    if state is None:
        return
    if len(state.axes) != 3:
        raise ValueError(f"expected {name} with three axes, got {len(state.axes)}")
    for own, axis in zip(state.axes, axes, strict=True):
        if isinstance(state, Constant) and axis.role == BATCH and own.number == 1:
            continue  # one row, used for all rows
        own.join(axis)


def _cell(said: _Attributes, place: int, arrays: dict) -> Callable[[np.dtype], tuple[type, dict, list[np.ndarray]]]:
    """Return a function that makes one direction's layer: its class, its arguments, and its weights in order."""
    units, activations = said.units, said.activations[place]
    weights, bias = {"kernel": arrays["W"].T, "recurrent_kernel": arrays["R"].T}, arrays.get("B")
    plain = said.clip is None and "P" not in arrays and not said.input_forget
    plain = plain and all(activation_of(*one) for one in activations)
    if said.op == "LSTM" and activations[1] != activations[2]:
        plain = False
    if bias is not None:
        halves = bias.reshape(2, -1)
        weights["bias"] = halves if said.linear_before_reset else halves[0] + halves[1]
    if plain and said.op == "LSTM":
        order = np.argsort(GATES["LSTM"]).tolist()
        weights = {name: reordered(array, order, units) for name, array in weights.items()}
    if "P" in arrays:
        weights["peepholes"] = arrays["P"].reshape(3, units)
    if plain:
        return lambda dtype: (*_built_in(said, activations, bias is not None), list(weights.values()))

    def written_out(dtype):
        steps = Steps(Forms((BATCH,)), dtype)
        program = _written_out(steps, said, activations, weights)
        return RNN, {"cell": ScanCell(program.config(), 1 + (said.op == "LSTM"), 0, units)}, steps.arrays

    return written_out


def _written_out(steps: Steps, said: _Attributes, activations, weights: dict[str, np.ndarray]) -> Program:
    """Return the step of an operator with attributes that no layer of rnnkit has, by the formulas of ONNX.

    Gates are in ONNX's order: ``i, o, f, c`` or ``z, r, h``. The clip bounds sums of products, but not the state of an
    LSTM, as in ONNX Runtime.
    """
    units, add = said.units, steps.add
    x = steps.given([len(weights["kernel"])])
    h, *c = (steps.given([units]) for _ in range(1 + (said.op == "LSTM")))
    kernel, recurrent, *others = (steps.weight(array, name, True) for name, array in weights.items())
    bias = others.pop(0) if "bias" in weights else None

    def of(k, z, clipped=True):
        name, options = activations[k]
        if said.clip is not None and clipped:
            z = add("Clip", [z], low=-said.clip, high=said.clip)
        return add(name, [z], **options)

    def part(ref, first, last=None, axis=0):
        size = units if axis == 0 else 1
        return add("Slice", [ref], axis=axis, start=first * size, stop=(last or first + 1) * size, step=1)

    def total(*refs):
        return reduce(lambda a, b: add("Add", [a, b]), [ref for ref in refs if ref is not None])

    times = lambda a, b: add("Mul", [a, b])
    from_x = add("Product", [x, kernel])
    if said.op == "GRU":
        gates, late = (add("Product", [h, part(recurrent, *ends)]) for ends in ((0, 2), (2, 3)))
        if bias is not None and said.linear_before_reset:
            bias, of_h = part(bias, 0, axis=-1), part(bias, 1, axis=-1)
            gates, late = total(gates, part(of_h, 0, 2)), total(late, part(of_h, 2))
        from_x = total(from_x, bias)
        z, r = (of(0, total(part(from_x, k), part(gates, k))) for k in range(2))
        if said.linear_before_reset:
            late = times(r, late)
        else:
            late = add("Product", [times(r, h), part(recurrent, 2)])
        n = of(1, total(part(from_x, 2), late))
        h = total(times(add("Sub", [1.0, z]), n), times(z, h))
        return steps.program([h, h])
    z = total(from_x, add("Product", [h, recurrent]), bias)
    if said.op == "RNN":
        h = of(0, z)
        return steps.program([h, h])
    i, o, f, g = (part(z, k) for k in range(4))
    seen = [part(one, k, axis=-1) for one in others for k in range(3)]  # by the peepholes, of i, o and f
    if seen:
        i, f = total(i, times(seen[0], c[0])), total(f, times(seen[2], c[0]))
    i = of(0, i)
    f = add("Sub", [1.0, i]) if said.input_forget else of(0, f)
    c[0] = total(times(f, c[0]), times(i, of(1, g)))
    if seen:
        o = total(o, times(seen[1], c[0]))
    h = times(of(0, o), of(2, c[0], clipped=False))
    return steps.program([h, c[0], h])


def _built_in(said, activations, use_bias) -> tuple[type, dict]:
    names = [activation_of(*one) for one in activations]
    arguments = {"units": said.units, "use_bias": use_bias, "activation": names[-1]}
    if said.op == "RNN":
        return SimpleRNN, arguments
    arguments["recurrent_activation"] = names[0]
    if said.op == "GRU":
        return GRU, arguments | {"reset_after": said.linear_before_reset}
    return LSTM, arguments | {"unit_forget_bias": False}


@dataclass(eq=False)
class _Run:
    """The call of the layer, from which all outputs are taken."""

    node: Node
    said: _Attributes
    x: Array
    time: Axis
    lengths: Value | None
    states: Sequence[Value | None]
    cells: list[Callable[[np.dtype], tuple[type, dict, list[np.ndarray]]]]
    state_axes: list[Axis]
    outputs: list[Array] = field(default_factory=list)

    def sequence(self, target) -> Any:
        """Return the output of every step, (B, T, [2], [units])."""
        y = target.shared(self, lambda: self._call(target))[0]
        count, units = len(self.cells), self.said.units
        return target.shaped(y, 2, [n for n in (count, units) if n > 1])

    def state(self, target, place) -> Any:
        """Return one of the last states, (B, [2], [units])."""
        y, *states = target.shared(self, lambda: self._call(target))
        per, count = len(self.states), len(self.cells)
        own = states[place::per] or [y]
        joined = own[0] if len(own) == 1 else Concatenate(dtype=target.dtype)(own)
        return target.shaped(joined, 1, [n for n in (count, self.said.units) if n > 1])

    def _call(self, target) -> list:
        """Return the layer's outputs y ``(B, T, directions * units)``, or the last one if sufficient, and states."""
        x = target.flat(self.x)
        rows = [self._rows(target, state, i) for i in range(len(self.cells)) for state in self.states]
        learned = [isinstance(one, Constant) and one.trainable for one in self.states] * len(self.cells)
        mask, start = self._mask(target, x), target.starts(rows, learned, x)
        needed = [target.needs(one) for one in self.outputs]
        with_states = any(needed[2:]) or (needed[1] and (needed[0] or mask is not None or start is not None))
        layer, weights = self._layer(target, needed[0], with_states)
        y, *states = target.called(layer, weights, x, mask=mask, initial_state=start)
        if not needed[0]:
            return [y, *states]
        if self.said.directions == ["reverse"]:
            y = target.function("Slice", [y], axis=0, start=None, stop=None, step=-1)
        elif mask is not None:
            y = target.function("Slice", [y], axis=0, start=None, stop=None, step=None)  # without the mask
        return [y, *states]

    def _layer(self, target, sequences, states):
        name = target.named(self.node.name)
        flags = {"return_sequences": sequences, "return_state": states, "dtype": target.dtype}
        flags["zero_output_for_mask"] = self.lengths is not None
        several = len(self.cells) == 2
        layers, weights = [], []
        for cell, direction in zip(self.cells, self.said.directions, strict=True):
            kind, arguments, arrays = cell(target.dtype)
            own = {} if several else {"name": name}
            layers.append(kind(**arguments, go_backwards=direction == "reverse", **flags, **own))
            weights += arrays
        if several:
            return Bidirectional(layers[0], backward_layer=layers[1], dtype=target.dtype, name=name), weights
        return layers[0], weights

    def _mask(self, target, x):
        if self.lengths is None:
            return None
        if isinstance(self.lengths, Constant):
            found = set(self.lengths.array.tolist())
            if self.time.open or found != {self.time.number}:
                raise ValueError("expected sequence_lens as an input, or the whole length for every row")
            return None
        return target.function("Until", [target.tensor(self.lengths), x])

    def _rows(self, target, state, direction):
        """Return a state of one direction, as an array for all rows or a tensor (B, units)."""
        units = self.said.units
        if state is None:
            return np.zeros(units)
        batch = 0 if self.said.batch_first else 1
        if isinstance(state, Constant):
            return np.array(without(state.array, [batch])[direction])
        one = state if len(self.cells) == 1 else sliced(self.node, state, 1 - batch, direction, direction + 1)
        return target.shaped(target.tensor(one), 1, [units])
