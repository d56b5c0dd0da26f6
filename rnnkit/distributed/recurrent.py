"""Recurrent layers along chunks of time: each chunk starts from the state of the previous one."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.backends.shared.call import Result
from rnnkit.distributed import blocks
from rnnkit.distributed.blocks import Place, Wishes
from rnnkit.distributed.chunks import checked, chunked, is_chunked
from rnnkit.distributed.graphs import Chunks, Made, Ref, arrays, mapped, shipped_in_graph, spans, task, token
from rnnkit.execution.execution import initial_states
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.rnn import RNN
from rnnkit.layers.support import symbolic


def called(layer: RNN, x, mask, initial_state, constants):
    """Return the result of a call of a recurrent layer."""
    return layer._shown(_run(layer, x, mask, initial_state, constants, layer.return_sequences))


def trajectory(layer: RNN, x, mask, initial_state, constants):
    """Return the result of `RNN.trajectory`."""
    result = _run(layer, x, mask, initial_state, constants, sequences=True, trajectory=True)
    return result.outputs, layer._spec.pack(result.trajectory or ())


def bidirectional(layer: Bidirectional, x, mask, initial_state, constants):
    """Return the result of a call of `Bidirectional`."""
    forward, backward = _both(layer, x, mask, initial_state, constants, layer.return_sequences)
    return layer._with_states(_merged(layer, forward, backward, layer.return_sequences), forward, backward)


def bidirectional_trajectory(layer: Bidirectional, x, mask, initial_state, constants):
    """Return the result of `Bidirectional.trajectory`."""
    forward, backward = _both(layer, x, mask, initial_state, constants, sequences=True, trajectory=True)
    return _merged(layer, forward, backward, True), layer._packed(forward.trajectory, backward.trajectory)


def _both(layer, x, mask, initial_state, constants, sequences, trajectory=False) -> list[Result]:
    """Run both directions; the outputs of the backward one are in the order for merging."""
    starts = (None, None) if initial_state is None else layer._split(initial_state, "initial_state")
    directions = zip((layer.forward_layer, layer.backward_layer), starts, (False, True), strict=True)
    return [
        _run(one, x, mask, start, constants, sequences, trajectory=trajectory, zero_masked=True, turned=turned)
        for one, start, turned in directions
    ]


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


def _run(layer: RNN, x, mask, initial_state, constants, sequences, trajectory=False, zero_masked=None, turned=False):
    """Return the `Result` of a layer in dask arrays; with `turned`, its outputs are reversed in time."""
    if layer._execution.step.has_complex:
        raise ValueError(f"expected NumPy arrays for {layer.name!r}, which has complex numbers, got a dask array")
    zero_masked = layer.zero_output_for_mask if zero_masked is None else zero_masked
    wishes = Wishes(sequences, trajectory, zero_masked, turned)
    return _Pipeline(layer, x, mask, _states(layer, x, initial_state), _constants(layer, x, constants), wishes).result()


class _Pipeline:
    """The tasks of a layer's chunks: of rows by `i`, of steps by `n` in the order of processing."""

    def __init__(self, layer: RNN, x, mask, states: list, constants: list, wishes: Wishes):
        self.layer, self.x, self.mask, self.states, self.constants = layer, x, mask, states, constants
        self.wishes = wishes
        shipped, self.shipped = shipped_in_graph(layer)
        self.dependencies = [self.shipped, x, *([] if mask is None else [mask]), *states, *constants]
        names = [one.name for one in self.dependencies[1:]]
        self.own = token(shipped.token, tuple(wishes), names, mask is None, len(states))
        self.steps = spans(x.chunks[1])
        self.order = list(range(len(self.steps)))[:: -1 if layer.go_backwards else 1]

    def result(self) -> Result:
        layer, wishes, rows = self.layer, self.wishes, self.x.chunks[0]
        last, states = _output_shape(layer, self.x, self.constants), layer._spec.shapes
        in_time = [last, *(states if wishes.trajectory else ())] if wishes.sequences else []
        end = len(self.order) - 1

        def ends(kind, shape, function, *more):
            tasks = {
                (i, *_zeros(shape)): task((self.name(kind), i, *_zeros(shape)), function, self.run(i, end), *more)
                for i in range(len(rows))
            }
            return Made(self.name(kind), tasks, _chunks(shape, rows), layer.dtype)

        made = [ends("last", last, blocks.held)]
        made += [ends(f"state{k}", shape, blocks.state, k) for k, shape in enumerate(states)]
        made += [self._in_time(f"sequence{k}", shape, k + 1) for k, shape in enumerate(in_time)]
        found = arrays(self.name("run"), self._tasks(), self.dependencies, made)
        held, found, sequences = found[0], found[1 : 1 + len(states)], found[1 + len(states) :]
        return Result(
            outputs=sequences[0] if sequences else None,
            last=held,
            states=tuple(found),
            trajectory=tuple(sequences[1:]) if wishes.trajectory else None,
        )

    def name(self, kind: str) -> str:
        """Return the prefix of the keys of one kind."""
        return f"{self.layer.name}-{kind}-{self.own}"

    def run(self, i: int, n: int) -> Ref:
        """Return a reference to a chunk's result, which includes its state."""
        return Ref((self.name("run"), i, n))

    def _tasks(self) -> dict:
        tasks: dict[Any, Any] = {}
        for i, rows in enumerate(spans(self.x.chunks[0])):
            for n, j in enumerate(self.order):
                key = self.run(i, n).key
                states = self.states if n == 0 else []
                tasks[key] = task(
                    key,
                    blocks.recurrent,
                    Ref(self.shipped.key),
                    self.wishes,
                    Place(rows, self.steps[j]),
                    self.run(i, n - 1) if n else None,
                    Ref((self.x.name, i, j, *_zeros(self.x.shape[2:]))),
                    None if self.mask is None else Ref((self.mask.name, i, j)),
                    len(states),
                    *(Ref((one.name, i, *_zeros(one.shape[1:]))) for one in (*states, *self.constants)),
                )
        return tasks

    def _in_time(self, kind: str, shape, number: int) -> Made:
        """Return a sequence that is one of the results of each chunk, of which the outputs are the first."""
        turned = self.wishes.turned and number == 1
        tasks = {}
        for i in range(len(self.x.chunks[0])):
            for n in range(len(self.order)):
                index = (i, len(self.order) - 1 - n if turned else n, *_zeros(shape))
                tasks[index] = task((self.name(kind), *index), blocks.part, self.run(i, n), number)
        steps = [self.x.chunks[1][j] for j in self.order]
        chunks = _chunks(shape, self.x.chunks[0], tuple(steps[::-1] if turned else steps))
        return Made(self.name(kind), tasks, chunks, self.layer.dtype)


def _zeros(shape) -> tuple[int, ...]:
    return (0,) * len(shape)


def _chunks(shape, *first) -> Chunks:
    return (*first, *((size,) for size in shape))


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
        flat = [checked(one, "initial_state") for one in symbolic.leaves(initial_state)]
        stand_in = symbolic.mapped(initial_state, lambda one: np.broadcast_to(np.zeros(()), np.shape(one)))
        layer._spec.unpack(stand_in, rows, layer.dtype)
        given = flat
    else:
        given = list(layer._spec.unpack(initial_state, rows, layer.dtype))
    return [chunked(one, "initial_state", x.chunks[0]) for one in given]


def _output_shape(layer: RNN, x, constants) -> tuple[int, ...]:
    """Return the shape of one step's output; if it depends on constants, by a call with a row of zeros."""
    if not layer._execution.step.takes_constants:
        return layer._execution.output_shape()
    zeros = [np.zeros((1, *shape), layer.dtype) for shape in ((1, *x.shape[2:]), *(one.shape[1:] for one in constants))]
    return layer._run((zeros[0], None, None, False, zeros[1:] or None, None)).last.shape[1:]
