"""Recurrent layers along chunks of time, each chunk from the state of the previous one; segments of layers likewise.

The layers of a segment run in one task per chunk, instead of a task per layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnnkit.backends.shared.call import Result
from rnnkit.distributed import blocks
from rnnkit.distributed.blocks import Place, Wishes
from rnnkit.distributed.chunks import checked, chunked, is_chunked, mask_in_chunks
from rnnkit.distributed.graphs import Made, Ref, arrays, indices, mapped, shipped_in_graph, spans, task, token
from rnnkit.distributed.layerwise import steps_apart
from rnnkit.distributed.shipping import Segment
from rnnkit.execution.execution import initial_states
from rnnkit.layers.base import Layer
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.embedding import Embedding
from rnnkit.layers.masking import Masking
from rnnkit.layers.rnn import RNN
from rnnkit.layers.support import symbolic
from rnnkit.layers.support.facts import check_input, keeps_states
from rnnkit.layers.support.layer_tree import all_layers
from rnnkit.models.assembled import Assembled


class _Tasks:
    """The tasks of the chunks of a layer or a segment: of rows by `i`, of steps by `n` in the order of processing.

    `given` are the dask arrays that are read besides x, `settings` what else tells the results from others.
    """

    def __init__(self, layer: RNN | Segment, x, given: Sequence, settings: Any = (), backwards: bool = False):
        self.layer, self.x = layer, x
        shipped, self.shipped = shipped_in_graph(layer)
        self.dependencies = [self.shipped, x, *given]
        self.own = token(shipped.token, [one.name for one in self.dependencies[1:]], settings)
        self.rows, self.steps = spans(x.chunks[0]), spans(x.chunks[1])
        self.order = list(range(len(self.steps)))[:: -1 if backwards else 1]

    def name(self, kind: str) -> str:
        """Return the prefix of the keys of one kind."""
        return f"{self.layer.name}-{kind}-{self.own}"

    def run(self, i: int, n: int) -> Ref | None:
        """Return a reference to a chunk's result, which includes its state; None before the first chunk."""
        return Ref((self.name("run"), i, n)) if n >= 0 else None

    def chunk(self, array, i: int, *j: int) -> Ref | None:
        """Return a reference to a chunk of an array, of these rows or of these rows and steps."""
        return None if array is None else Ref((array.name, i, *j, *(0,) * (array.ndim - 1 - len(j))))

    def runs(self, function: Callable, settings: Sequence, mask, rest: Callable[[int, int], Sequence]) -> dict:
        """Return the tasks ``function(layer, *settings, place, before, x, mask, *rest(i, n))``."""
        tasks: dict[Any, Any] = {}
        for i, rows in enumerate(self.rows):
            for n, j in enumerate(self.order):
                key, place = (self.name("run"), i, n), Place(rows, self.steps[j])
                x_and_mask = self.chunk(self.x, i, j), self.chunk(mask, i, j)
                given = *settings, place, self.run(i, n - 1), *x_and_mask, *rest(i, n)
                tasks[key] = task(key, function, Ref(self.shipped.key), *given)
        return tasks

    def arrays(self, runs: dict, made: Sequence[Made]) -> list:
        return arrays(self.name("run"), runs, self.dependencies, made)

    def in_time(self, kind: str, number: int, shape, dtype, turned: bool = False) -> Made:
        """Return a sequence that is one of the results of each chunk; with `turned`, the last chunk comes first."""
        name, tasks, zeros = self.name(kind), {}, (0,) * len(shape)
        for i, n in indices(self.x.chunks[:2]):
            index = (i, len(self.order) - 1 - n if turned else n, *zeros)
            tasks[index] = task((name, *index), blocks.part, self.run(i, n), number)
        steps = [self.x.chunks[1][j] for j in self.order][:: -1 if turned else 1]
        return Made(name, tasks, (self.x.chunks[0], tuple(steps), *((size,) for size in shape)), dtype)

    def at_the_end(self, kind: str, shape, dtype, *places: int | str) -> Made:
        """Return a part of the result of the last chunk, see `blocks.part`."""
        name, tasks, zeros = self.name(kind), {}, (0,) * len(shape)
        for i in range(len(self.rows)):
            tasks[i, *zeros] = task((name, i, *zeros), blocks.part, self.run(i, len(self.order) - 1), *places)
        return Made(name, tasks, (self.x.chunks[0], *((size,) for size in shape)), dtype)


# Recurrent layers


def called(layer: RNN | Bidirectional, x, mask, initial_state, constants, trajectory: bool = False):
    """Return the result of a call of a recurrent layer, or of its `trajectory`."""
    sequences = trajectory or (layer if isinstance(layer, RNN) else layer.forward_layer).return_sequences
    if isinstance(layer, RNN):
        result = _run(layer, x, mask, initial_state, constants, sequences, trajectory)
        return (result.outputs, layer._spec.pack(result.trajectory or ())) if trajectory else layer._shown(result)
    starts = (None, None) if initial_state is None else layer._split(initial_state, "initial_state")
    forward, backward = (
        _run(one, x, mask, start, constants, sequences, trajectory, zero_masked=True, turned=turned)
        for one, start, turned in zip((layer.forward_layer, layer.backward_layer), starts, (False, True), strict=True)
    )
    outputs = _merged(layer, forward, backward, sequences)
    if trajectory:
        return outputs, layer._packed(forward.trajectory, backward.trajectory)
    return layer._with_states(outputs, forward, backward)


def _merged(layer, forward: Result, backward: Result, sequences: bool):
    first: Any = forward.outputs if sequences else forward.last
    second: Any = backward.outputs if sequences else backward.last
    mode = layer.merge_mode
    if mode is None:
        return first, second
    size = first.shape[-1] + second.shape[-1] if mode == "concat" else first.shape[-1]

    def merge(key, index):
        return task(key, blocks.merged, mode, Ref((first.name, *index)), Ref((second.name, *index)))

    name = f"{layer.name}-merged-{token(mode, first.name, second.name)}"
    return mapped(name, merge, (*first.chunks[:-1], (size,)), layer.dtype, [first, second])


def _run(layer: RNN, x, mask, initial_state, constants, sequences, trajectory, zero_masked=None, turned=False):
    """Return the `Result` of a layer in dask arrays; with `turned`, its outputs are reversed in time."""
    if layer._execution.step.has_complex:
        raise ValueError(f"expected NumPy arrays for {layer.name!r}, which has complex numbers, got a dask array")
    zero_masked = layer.zero_output_for_mask if zero_masked is None else zero_masked
    wishes = Wishes(sequences, trajectory, zero_masked, turned)
    states, constants = _states(layer, x, initial_state), _constants(layer, x, constants)
    given = [*([] if mask is None else [mask]), *states, *constants]
    tasks = _Tasks(layer, x, given, (tuple(wishes), mask is None, len(states)), layer.go_backwards)

    def rest(i, n):
        own = states if n == 0 else []
        return len(own), *(tasks.chunk(one, i) for one in (*own, *constants))

    runs = tasks.runs(blocks.recurrent, [wishes], mask, rest)
    last, shapes = _output_shape(layer, x, constants), layer._spec.shapes
    in_time = [last, *(shapes if trajectory else ())] if sequences else []
    made = [tasks.at_the_end("last", last, layer.dtype, 0, "held")]
    made += [tasks.at_the_end(f"state{k}", one, layer.dtype, 0, "states", k) for k, one in enumerate(shapes)]
    made += [tasks.in_time(f"sequence{k}", k + 1, one, layer.dtype, turned and k == 0) for k, one in enumerate(in_time)]
    held, *found = tasks.arrays(runs, made)
    ends, outputs = tuple(found[: len(shapes)]), found[len(shapes) :]
    return Result(outputs[0] if outputs else None, held, ends, tuple(outputs[1:]) if trajectory else None)


def _constants(layer: RNN, x, constants) -> list:
    """Return constants in the chunks of the rows of x."""
    if constants is None:
        return []
    if not isinstance(constants, (list, tuple)):
        raise TypeError(f"expected constants to be a list of arrays, got {type(constants).__name__}")
    found = [checked(one, "constants") if is_chunked(one) else np.asarray(one) for one in constants]
    stand_in = [np.broadcast_to(np.zeros((), layer.dtype), one.shape) for one in found]
    layer._constants(stand_in, x.shape[0], layer.dtype)  # raises the usual errors
    return [chunked(one, "constants", x.chunks[0]) for one in found]


def _states(layer: RNN, x, initial_state) -> list:
    """Return the initial states, flat, in the chunks of the rows of x; an empty list if all are zeros."""
    rows = x.shape[0]
    if initial_state is None:
        step = layer._execution.step
        given = [] if step.starts_at_zero else list(initial_states(step, rows, layer.dtype))
    elif any(is_chunked(one) for one in symbolic.leaves(initial_state)):
        given = [checked(one, "initial_state") for one in symbolic.leaves(initial_state)]
        stand_in = symbolic.mapped(initial_state, lambda one: np.broadcast_to(np.zeros(()), np.shape(one)))
        layer._spec.unpack(stand_in, rows, layer.dtype)
    else:
        given = list(layer._spec.unpack(initial_state, rows, layer.dtype))
    return [chunked(one, "initial_state", x.chunks[0]) for one in given]


def _output_shape(layer: RNN, x, constants) -> tuple[int, ...]:
    """Return the shape of one step's output; if it depends on constants, by a call with a row of zeros."""
    if not layer._execution.step.takes_constants:
        return layer._execution.output_shape()
    zeros = [np.zeros((1, *shape), layer.dtype) for shape in ((1, *x.shape[2:]), *(one.shape[1:] for one in constants))]
    return layer._run((zeros[0], None, None, False, zeros[1:] or None, None)).last.shape[1:]


# Segments


def beginning(layers: Sequence[Layer], x) -> Segment:
    """Return the first of these layers that one task may compute: recurrent ones, and those independent across steps.

    Before the first recurrent layer, only layers without cost join, as others are computed for several chunks of time
    at once. A layer with one output of all steps ends a segment. Without a recurrent layer the segment is empty.
    """
    if not is_chunked(x):  # several arrays
        return Segment()
    found, shape = Segment(), x.shape
    for layer in layers:
        recurrent = any(isinstance(one, RNN) for one in found)
        if not (recurrent or isinstance(layer, (RNN, Masking, Embedding))) or not _joins(layer, shape):
            break
        check_input(layer, shape)
        found.append(layer)
        if isinstance(layer, RNN) and not layer.return_sequences:
            break
        shape = layer.compute_output_shape(shape)
    return found if any(isinstance(one, RNN) for one in found) else Segment()


def _joins(layer: Layer, shape) -> bool:
    """Return whether a layer gives one output per chunk, from the chunk and its state after the previous one."""
    if not layer.built or any(keeps_states(one) for one in all_layers(layer)):
        return False
    if isinstance(layer, RNN):
        step = layer._execution.step
        return step.starts_at_zero and not (layer.go_backwards or layer.return_state or step.takes_constants)
    plain = type(layer).compute_mask is Layer.compute_mask and not isinstance(layer, (Assembled, Bidirectional))
    return (plain or isinstance(layer, (Masking, Embedding))) and steps_apart(layer, [_zeros(shape)])


def _zeros(shape, dtype=bool) -> np.ndarray:
    """Return one step of one row."""
    return np.zeros((1, 1, *shape[2:]), dtype)


def called_together(segment: Segment, x, mask) -> tuple[Any, Any]:
    """Return the output of the last layer of a segment, and its mask."""
    x = chunked(x, "x", *x.chunks[:2])
    mask = mask_in_chunks(mask, x)
    tasks, last, shape = _Tasks(segment, x, [] if mask is None else [mask]), segment[-1], x.shape
    for layer in segment:
        shape = layer.compute_output_shape(shape)
    runs = tasks.runs(blocks.several, [], mask, lambda i, n: ())
    if isinstance(last, RNN) and not last.return_sequences:
        return tasks.arrays(runs, [tasks.at_the_end("last", shape[1:], last.dtype, 0, -1, "held")])[0], None
    made = [tasks.in_time("outputs", 1, shape[2:], last.dtype)]
    if _makes_mask(segment, x):
        made.append(tasks.in_time("mask", 2, (), np.dtype(bool)))
    outputs, *remade = tasks.arrays(runs, made)
    return outputs, remade[0] if remade else mask


def _makes_mask(segment: Segment, x) -> bool:
    """Return whether a layer makes a mask of its input, tested with zeros."""
    shape, dtype = x.shape, x.dtype
    for layer in segment:
        if isinstance(layer, (Masking, Embedding)) and layer.compute_mask(_zeros(shape, dtype)) is not None:
            return True
        shape, dtype = layer.compute_output_shape(shape), layer.dtype
    return False
