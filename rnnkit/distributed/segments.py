"""Segments of layers that run in one task per chunk, instead of a task per layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnkit.distributed import blocks
from rnnkit.distributed.blocks import Place
from rnnkit.distributed.chunks import chunked, is_chunked, mask_in_chunks
from rnnkit.distributed.graphs import Made, Ref, arrays, indices, shipped_in_graph, spans, task, token
from rnnkit.distributed.layerwise import steps_apart
from rnnkit.distributed.shipping import Segment
from rnnkit.layers.base import Layer
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.embedding import Embedding
from rnnkit.layers.masking import Masking
from rnnkit.layers.rnn import RNN
from rnnkit.models.assembled import Assembled


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
        layer._check_shape(layer._shape(shape))
        found.append(layer)
        if isinstance(layer, RNN) and not layer.return_sequences:
            break
        shape = layer.compute_output_shape(shape)
    return found if any(isinstance(one, RNN) for one in found) else Segment()


def _joins(layer: Layer, shape) -> bool:
    """Return whether a layer gives one output per chunk, from the chunk and its state after the previous one."""
    if not layer.built or any(one._keeps_states for one in layer._all_layers()):
        return False
    if isinstance(layer, RNN):
        step = layer._execution.step
        return step.starts_at_zero and not (layer.go_backwards or layer.return_state or step.takes_constants)
    if isinstance(layer, (Masking, Embedding)):
        return steps_apart(layer, [_zeros(shape)])
    plain = type(layer).compute_mask is Layer.compute_mask and not isinstance(layer, (Assembled, Bidirectional))
    return plain and steps_apart(layer, [_zeros(shape)])


def _zeros(shape, dtype=bool) -> np.ndarray:
    """Return one step of one row."""
    return np.zeros((1, 1, *shape[2:]), dtype)


def called(segment: Segment, x, mask) -> tuple[Any, Any]:
    """Return the output of the last layer, and its mask."""
    x = chunked(x, "x", *x.chunks[:2])
    return _Tasks(segment, x, mask_in_chunks(mask, x)).results()


class _Tasks:
    """The tasks of a segment's chunks: of rows by `i`, of steps by `n`."""

    def __init__(self, segment: Segment, x, mask):
        self.segment, self.x, self.mask = segment, x, mask
        shipped, self.shipped = shipped_in_graph(segment)
        self.own = token(shipped.token, x.name, None if mask is None else mask.name)

    def name(self, kind: str) -> str:
        """Return the prefix of the keys of one kind."""
        return f"{self.segment.name}-{kind}-{self.own}"

    def results(self) -> tuple[Any, Any]:
        last, shape, remade = self.segment[-1], self.x.shape, self._makes_mask()
        for layer in self.segment:
            shape = layer.compute_output_shape(shape)
        sequences = not isinstance(last, RNN) or last.return_sequences
        made = [self._in_time("outputs", 1, shape[2:], last.dtype) if sequences else self._at_the_end(shape[1:])]
        if sequences and remade:
            made.append(self._in_time("mask", 2, (), np.dtype(bool)))
        given = [self.x] if self.mask is None else [self.x, self.mask]
        outputs, *masks = arrays(self.name("run"), self._runs(), [self.shipped, *given], made)
        return outputs, masks[0] if masks else self.mask if sequences else None

    def _runs(self) -> dict:
        tasks: dict[Any, Any] = {}
        for i, rows in enumerate(spans(self.x.chunks[0])):
            for n, steps in enumerate(spans(self.x.chunks[1])):
                key = (self.name("run"), i, n)
                before = Ref((self.name("run"), i, n - 1)) if n else None
                x = Ref((self.x.name, i, n, *(0,) * (self.x.ndim - 2)))
                mask = None if self.mask is None else Ref((self.mask.name, i, n))
                tasks[key] = task(key, blocks.several, Ref(self.shipped.key), Place(rows, steps), before, x, mask)
        return tasks

    def _in_time(self, kind: str, number: int, shape, dtype) -> Made:
        """Return a sequence that is one of the results of each chunk."""
        tasks, zeros = {}, (0,) * len(shape)
        for i, n in indices(self.x.chunks[:2]):
            key = (self.name(kind), i, n, *zeros)
            tasks[key[1:]] = task(key, blocks.part, Ref((self.name("run"), i, n)), number)
        return Made(self.name(kind), tasks, (*self.x.chunks[:2], *((size,) for size in shape)), dtype)

    def _at_the_end(self, shape) -> Made:
        tasks, zeros, end = {}, (0,) * len(shape), len(self.x.chunks[1]) - 1
        for i in range(len(self.x.chunks[0])):
            key = (self.name("last"), i, *zeros)
            tasks[key[1:]] = task(key, blocks.last_held, Ref((self.name("run"), i, end)))
        chunks = (self.x.chunks[0], *((size,) for size in shape))
        return Made(self.name("last"), tasks, chunks, self.segment[-1].dtype)

    def _makes_mask(self) -> bool:
        """Return whether a layer makes a mask of its input, tested with zeros."""
        shape, dtype = self.x.shape, self.x.dtype
        for layer in self.segment:
            if isinstance(layer, (Masking, Embedding)) and layer.compute_mask(_zeros(shape, dtype)) is not None:
                return True
            shape, dtype = layer.compute_output_shape(shape), layer.dtype
        return False
