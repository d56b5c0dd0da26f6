"""Duals of layers and models: the results of a call, their tangents, and cotangents of both taken back."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from rnnkit.complex_pairs import is_complex, to_complex, to_pairs
from rnnkit.execution.tangents import Tangents
from rnnkit.layers.base import Layer
from rnnkit.layers.bidirectional import MERGES, Bidirectional
from rnnkit.layers.embedding import Embedding
from rnnkit.layers.memoryless import Memoryless
from rnnkit.layers.rnn import RNN
from rnnkit.layers.support.bound_calls import mask_behind
from rnnkit.layers.support.facts import reads_complex
from rnnkit.layers.support.symbolic import leaves, mapped, mapped_given
from rnnkit.layers.support.validation import finite_under_mask
from rnnkit.layers.time_distributed import TimeDistributed
from rnnkit.layers.traced import Traced
from rnnkit.models.assembled import Assembled
from rnnkit.models.calls import Calls
from rnnkit.models.graph_model import GraphModel
from rnnkit.steps.nesting import leaves_of

Arrays = list[np.ndarray]


@dataclass
class Dual:
    """A call's results and tangents, flat.

    ``pull(d, d_tangent, x)`` gives, from cotangents of `y` and of `dy`, those of the weights by name, and of the
    arguments by name: for each of their arrays a pair, the cotangents of it and of its tangent. That of x may be left
    out unless `x` is true.
    """

    y: Arrays
    dy: Arrays
    pull: Callable[[Arrays, Arrays, bool], tuple[dict[str, np.ndarray], dict[str, list]]]


@dataclass
class Along:
    """A call of a layer, and a direction.

    `given` are "x" and, where a call has them, "initial_state" and "constants", `moved` their tangents, None for zeros.
    `weights` are tangents by name, and `wanted` the weights by which there will be gradients; None for no way back.
    """

    given: dict[str, Any]
    moved: dict[str, Any]
    mask: Any
    weights: dict[str, np.ndarray]
    wanted: frozenset[str] | None

    def under(self, path: str, given, moved, mask) -> Along:
        """Return the call of a part of the layer, whose weights have names behind this path."""
        lead = f"{path}/"
        weights = {n.removeprefix(lead): one for n, one in self.weights.items() if n.startswith(lead)}
        wanted = self.wanted and frozenset(n.removeprefix(lead) for n in self.wanted if n.startswith(lead))
        return Along(given, moved, mask, weights, wanted)


def dual_of(layer: Layer, call: Along) -> Dual:
    """Run a layer along a direction; a TypeError refuses a layer of which no tangents are known."""
    for kind, run in _KINDS.items():
        if isinstance(layer, kind) and not (kind is Traced and layer.weights):
            return run(layer, call)
    raise TypeError(
        f"expected recurrent layers, Dense and functions of arrays for derivatives, got {layer!r}; of it no tangent is "
        "known"
    )


def check_single(layer: RNN) -> None:
    """Refuse a layer of several arrays."""
    if not all(one is None or one.alone for one in (layer._nesting, layer._execution.step.outputs)):
        raise ValueError(f"expected {layer.name!r} with one input and one output, for a derivative")


class Both:
    """The results of a recurrent layer's dual: outputs, their tangents, and from cotangents of both a gradient."""

    def __init__(self, layer: RNN, result):
        self.sequences, self._pull = layer.return_sequences, result.pull
        self.axis = 2 if self.sequences else 1
        self.complex = layer._execution.step.outputs is not None
        both = np.moveaxis(result.outputs if self.sequences else result.last, self.axis, 0)
        self.y, self.dy = (to_complex(one, self.axis) for one in both) if self.complex else both

    def pull(self, d, d_tangent, x: bool, states=None) -> Any:
        """Return a `Gradient` of the dual, with that of x if it is wanted."""
        if self.complex:
            d, d_tangent = (to_pairs(one, self.axis) for one in (d, d_tangent))
        both = np.stack([d, d_tangent], axis=self.axis)
        return self._pull(*((both, None) if self.sequences else (None, both)), states, x)


def _recurrent(layer: RNN, call: Along, **wishes) -> Dual:
    check_single(layer)
    tangent = _cast(layer, call.moved["x"], 2, reads_complex(layer))
    moves = {name: any(one is not None for one in leaves_of(call.moved.get(name))) for name in _MORE}

    def along(record):
        states, constants = (
            tuple(_or_zeros(layer, *pair) for pair in zip(leaves_of(call.moved[name]), arrays, strict=True))
            if moves[name]
            else None
            for name, arrays in zip(_MORE, (record.states, record.constants), strict=True)
        )
        return Tangents(tangent, states, constants, call.weights)

    arguments = call.given["x"], call.given.get("initial_state"), call.mask, False, call.given.get("constants"), None
    result = layer._run(arguments, call.wanted, along=along, **wishes)
    both, count, flags = Both(layer, result), len(result.states) // 2, layer._spec.complex
    shown = count if layer.return_state else 0

    def pull(d, e, x):
        of_states = [_cast(layer, one, 1) for one in (*d[1:], *e[1:])]
        found = both.pull(d[0], e[0], x, of_states or None)
        constants = len(leaves_of(call.given.get("constants", [])))
        complex_constants = layer.cell._complex_constants or (False,) * constants
        pairs = {
            "initial_state": _halves(_shown(found.states, flags), count),
            "constants": _halves(_shown(found.constants, complex_constants), constants),
        }
        if found.x is not None:
            parts = [found.x] if tangent is None else np.moveaxis(found.x, 2, 0)
            pairs["x"] = [(*_shown(parts, [reads_complex(layer)], 2), None)[:2]]
        return _wanted(found, call), pairs

    states = _shown(result.states, flags)
    return Dual([both.y, *states[:shown]], [both.dy, *states[count : count + shown]], pull)


_MORE = "initial_state", "constants"


def _wanted(found, call) -> dict[str, np.ndarray]:
    return {name: array for name, array in found.weights.items() if name in call.wanted}


def _halves(arrays, count) -> list:
    """Arrays and those of their tangents, if these are there, as pairs."""
    return [(one, arrays[count + i] if len(arrays) > count else None) for i, one in enumerate(arrays[:count])]


def _shown(arrays, flags, axis: int = 1) -> list:
    """Return arrays, and perhaps those of their tangents, of which some are the pairs of complex numbers."""
    return [to_complex(one, axis) if c else one for one, c in zip(arrays, itertools.cycle(flags))]


def _cast(layer, tangent, axis: int = 1, as_pairs: bool = False):
    """Return an array as kernels read it, complex numbers as pairs."""
    if tangent is None:
        return None
    if as_pairs or is_complex(tangent):
        return to_pairs(np.asarray(tangent), axis, layer.dtype)
    return np.ascontiguousarray(tangent, layer.dtype)


def _or_zeros(layer, tangent, like):
    return np.zeros(np.shape(like), layer.dtype) if tangent is None else _cast(layer, tangent)


def _memoryless(layer: Memoryless, call: Along) -> Dual:
    x = finite_under_mask(np.asarray(call.given["x"]), call.mask)
    tangent = _cast(layer, call.moved["x"])
    result = layer._along(x, tangent, call.weights, call.wanted)
    both: Any = result.outputs
    results = [layer._given_back(one, x.shape) for one in np.moveaxis(both, 2, 0)]
    steps = (*both.shape[:2], *both.shape[3:])

    def pull(d, e, x_too):
        stacked = np.stack([layer._cotangent_steps(one, steps) for one in (d[0], e[0])], axis=2)
        back: Any = result.pull
        found = back(stacked, None, None, x_too)
        if found.x is None:
            return _wanted(found, call), {}
        parts = [found.x] if tangent is None else np.moveaxis(found.x, 2, 0)
        pair = [layer._x_back(np.ascontiguousarray(one), x.shape) for one in parts]
        return _wanted(found, call), {"x": [(*pair, None)[:2]]}

    return Dual(results[:1], results[1:], pull)


def _traced(layer: Traced, call: Along) -> Dual:
    traced, _, arrays = layer._entered(call.given["x"], call.mask, False)
    moved = leaves_of(call.moved["x"])
    moved += [None] * (len(arrays) - len(moved))
    tangents = [_or_zeros(layer, *pair) for pair in zip(moved, arrays, strict=True)]

    def pull(d, e, x):
        return {}, {"x": list(zip(*traced.curved(arrays, tangents, d, e), strict=True))}

    return Dual(traced(arrays), traced.along(arrays, tangents), pull)


def _embedding(layer: Embedding, call: Along) -> Dual:
    ids, table = layer._ids(call.given["x"]), layer.weights["embeddings"]

    def pull(d, e, _):
        sums = np.zeros_like(table)
        np.add.at(sums, ids, d[0])
        return {"embeddings": sums}, {}

    return Dual([table[ids]], [_or_zeros(layer, call.weights.get("embeddings"), table)[ids]], pull)


def _in_steps(layer: TimeDistributed, call: Along) -> Dual:
    def rows(array):
        return None if array is None else np.reshape(array, (-1, *np.shape(array)[2:]))

    lead = np.shape(call.given["x"])[:2]
    given, moved = ({"x": rows(one["x"])} for one in (call.given, call.moved))
    inner = dual_of(layer.layer, call.under("layer", given, moved, None))

    def steps(arrays):
        return [None if one is None else one.reshape(*lead, *one.shape[1:]) for one in arrays]

    def pull(d, e, x):
        weights, found = inner.pull([rows(one) for one in d], [rows(one) for one in e], x)
        return _under("layer", weights), {"x": [tuple(steps(pair)) for pair in found.get("x", [])]}

    return Dual(steps(inner.y), steps(inner.dy), pull)


def _under(path, weights) -> dict[str, np.ndarray]:
    return {f"{path}/{name}": array for name, array in weights.items()}


def _both_ways(layer: Bidirectional, call: Along) -> Dual:
    if layer.return_state or len(call.given) > 1:
        raise TypeError(f"expected {layer!r} without states and constants, for derivatives")
    parts = {"forward": layer.forward_layer, "backward": layer.backward_layer}
    one, other = (
        _recurrent(part, call.under(name, call.given, call.moved, call.mask), zero_masked=True)
        for name, part in parts.items()
    )

    def turned(array):
        return array[:, ::-1] if layer.return_sequences else array

    (a,), (b,), (da,), (db,) = one.y, map(turned, other.y), one.dy, map(turned, other.dy)
    merge, mode = MERGES[layer.merge_mode], layer.merge_mode
    y, parted = merge(a, b)
    dy = da * b + a * db if mode == "mul" else merge(da, db)[0]

    def pull(d, e, x):
        d, e = (one if mode is None else one[0] for one in (d, e))
        (c, g), (c_other, g_other) = zip(parted(d), parted(e), strict=True)
        if mode == "mul":
            c, c_other = c + e * db, c_other + e * da
        found = [one.pull([c], [g], x), other.pull([turned(c_other)], [turned(g_other)], x)]
        weights = _under("forward", found[0][0]) | _under("backward", found[1][0])
        pairs = [pairs["x"][0] for _, pairs in found if "x" in pairs]
        return weights, {"x": [tuple(map(_added, *pairs))]} if pairs else {}

    return Dual(leaves(y), leaves(dy), pull)


def _added(a, b):
    return b if a is None else a if b is None else a + b


def _model(model: Assembled, call: Along) -> Dual:
    if not isinstance(model, GraphModel):
        raise TypeError(f"expected a Sequential or a functional Model for derivatives, got {model!r}")
    graph = model._graph
    values, moved = leaves_of(call.given["x"]), leaves_of(call.moved["x"])
    inputs = len(values)
    values, masks = graph.begun(values, leaves_of(call.mask))
    moved, _ = graph.begun(moved, [])
    duals = []
    for made in graph.calls:
        layer, x, mask, training, more = graph.given(made, values, masks, False)
        if training or not set(more) <= set(_MORE) or (more and not isinstance(layer, RNN)):
            raise TypeError(f"expected calls with states and constants at most for derivatives, of {layer!r}")
        tangents = {name: mapped_given(made.more[name], moved.__getitem__) for name in more}
        tangents["x"] = mapped(made.x, moved.__getitem__)
        part = dual_of(layer, call.under(graph.paths[made.layer], {"x": x} | more, tangents, mask))
        duals.append(part)
        for number, tangent in zip(made.outputs, part.dy, strict=True):
            moved[number] = tangent
        graph.put(made, values, masks, part.y if len(part.y) > 1 else part.y[0], mask_behind(layer, x, mask))
    return Dual(
        [values[number] for number in graph.outputs],
        [moved[number] for number in graph.outputs],
        partial(_back, graph, duals, inputs),
    )


def _back(graph: Calls, duals: list[Dual], inputs: int, d, e, x) -> tuple[dict, dict]:
    held: list = [(None, None)] * graph.count
    weights: dict[str, np.ndarray] = {}
    for number, *pair in zip(graph.outputs, d, e, strict=True):
        held[number] = tuple(map(_added, held[number], pair))
    for call, dual in zip(reversed(graph.calls), reversed(duals), strict=True):
        pairs = [held[number] for number in call.outputs]
        if all(one is None for pair in pairs for one in pair):
            continue
        filled, filled_tangents = (
            [np.zeros_like(like) if pair[i] is None else pair[i] for pair, like in zip(pairs, dual.y, strict=True)]
            for i in (0, 1)
        )
        own, found = dual.pull(filled, filled_tangents, x or any(number >= inputs for number in leaves(call.x)))
        for name, array in _under(graph.paths[call.layer], own).items():
            weights[name] = _added(weights.get(name), array)
        for what, nested in ({"x": call.x} | call.more).items():
            for number, pair in zip(leaves(nested), found.get(what, []), strict=False):
                held[number] = tuple(map(_added, held[number], pair))
    return weights, {"x": held[:inputs]}


_KINDS: dict[type, Callable[[Any, Along], Dual]] = {
    RNN: _recurrent,
    Memoryless: _memoryless,
    Traced: _traced,
    Bidirectional: _both_ways,
    TimeDistributed: _in_steps,
    Embedding: _embedding,
    Assembled: _model,
}
