"""Layers without states of their own: chunk by chunk if steps are independent, otherwise whole rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnkit.distributed import blocks
from rnnkit.distributed.blocks import Place
from rnnkit.distributed.chunks import chunked, mask_in_chunks
from rnnkit.distributed.graphs import Made, Ref, arrays, indices, mapped, shipped_in_graph, spans, task, token
from rnnkit.layers.base import Layer
from rnnkit.layers.embedding import Embedding
from rnnkit.layers.masking import Masking
from rnnkit.layers.merging import Concatenate, Merge
from rnnkit.layers.support import symbolic
from rnnkit.layers.support.facts import stream_refusal
from rnnkit.steps.nesting import shapes_mapped


def called(layer: Layer, x, mask, options: dict) -> tuple[Any, Any]:
    """Call a layer with `options`; return result and mask. For several inputs, x and mask are lists of dask arrays."""
    several = isinstance(x, list)
    inputs = x if several else [x]
    masks = mask if isinstance(mask, list) else [mask] * len(inputs)
    calls = _Calls(layer, inputs, masks, several, options)
    outputs = calls.outputs(layer.compute_output_shape([one.shape for one in inputs] if several else x.shape))
    return outputs, calls.mask()


def steps_apart(layer: Layer, inputs: Sequence) -> bool:
    """Return whether each step of the output depends on the same step of the inputs alone.

    Streams accept the same layers without a state, and refuse those that make a mask for another reason.
    """
    first = inputs[0]
    if stream_refusal(layer) is not None and not isinstance(layer, (Embedding, Masking)):
        return False
    if isinstance(layer, Merge):
        alike = first.ndim > 2 and all(one.shape[:2] == first.shape[:2] and one.ndim == first.ndim for one in inputs)
        return alike and not (isinstance(layer, Concatenate) and layer.axis % first.ndim == 1)
    return first.ndim > (1 if isinstance(layer, Embedding) else 2)


class _Calls:
    """The tasks of a layer on chunks of rows, and of steps if these are independent."""

    def __init__(self, layer: Layer, inputs: Sequence, masks: Sequence, several: bool, options: dict):
        self.layer, self.several, self.options = layer, several, options
        self.lead = 2 if steps_apart(layer, inputs) else 1  # number of chunked axes
        first = inputs[0]
        self.chunks = first.chunks[: self.lead]
        apart = lambda one: self.chunks if self.lead == 2 else (self.chunks[0], one.shape[1:2] or None)
        self.inputs = [chunked(one, "x", *apart(one)) for one in inputs]
        self.masks = [mask_in_chunks(one, of) for one, of in zip(masks, self.inputs, strict=True)]
        shipped, self.shipped = shipped_in_graph(layer)
        given = [one for one in (*self.inputs, *self.masks) if one is not None]
        self.dependencies = [self.shipped, *given]
        names = [None if one is None else one.name for one in (*self.inputs, *self.masks)]
        self.own = token(shipped.token, options, names)
        self.spans = [spans(sizes) for sizes in self.chunks]

    def _task(self, key, function, index, *more):
        place = Place(*(of[i] for of, i in zip(self.spans, index, strict=False)))
        lead = index[: self.lead]

        def chunk(array):
            return None if array is None else Ref((array.name, *lead, *(0,) * (array.ndim - self.lead)))

        given = [chunk(one) for one in (*self.inputs, *self.masks)]
        return task(key, function, Ref(self.shipped.key), place, *more, self.several, len(self.inputs), *given)

    def outputs(self, shapes):
        flat = symbolic.shape_leaves(shapes)
        chunks = [(*self.chunks, *((size,) for size in shape[self.lead :])) for shape in flat]
        name = f"{self.layer.name}-{self.own}"
        if len(flat) == 1:
            make = lambda key, index: self._task(key, blocks.called, index, self.options)
            return mapped(name, make, chunks[0], self.layer.dtype, self.dependencies)
        keys = [(name, *index) for index in indices(self.chunks)]
        tasks = {key: self._task(key, blocks.called, key[1:], self.options) for key in keys}
        made = []
        for number, sizes in enumerate(chunks):
            own = f"{self.layer.name}-output{number}-{self.own}"
            parts = {}
            for index in indices(sizes):
                run = Ref((name, *index[: self.lead]))
                parts[index] = task((own, *index), blocks.part, run, number)
            made.append(Made(own, parts, sizes, self.layer.dtype))
        found = iter(arrays(name, tasks, self.dependencies, made))
        return shapes_mapped(shapes, lambda _: next(found))

    def mask(self):
        if type(self.layer).compute_mask is Layer.compute_mask:
            return self.masks[0]
        shape = self._mask_shape()
        if shape is None:
            return None
        make = lambda key, index: self._task(key, blocks.mask_of, index)
        chunks = (*self.chunks, *((size,) for size in shape[self.lead :]))
        return mapped(f"{self.layer.name}-mask-{self.own}", make, chunks, np.dtype(bool), self.dependencies)

    def _mask_shape(self) -> tuple[int, ...] | None:
        """Return the shape of the mask for zeros: of one row, and of one step if steps are independent."""
        ones = (1,) * self.lead
        rows = [np.zeros((*ones, *one.shape[self.lead :]), one.dtype) for one in self.inputs]
        masks = [None if one is None else np.ones((*ones, *one.shape[self.lead :]), bool) for one in self.masks]
        if not self.several:
            found = self.layer.compute_mask(rows[0], masks[0])
        else:
            found = self.layer.compute_mask(rows, None if all(one is None for one in masks) else masks)
        return None if found is None else np.shape(found)
