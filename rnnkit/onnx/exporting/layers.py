"""Export of layers without a loop along time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rnnkit.layers.embedding import Embedding
from rnnkit.layers.memoryless import Memoryless
from rnnkit.layers.noise import Noise
from rnnkit.layers.over_axes import OverAxes
from rnnkit.layers.time_distributed import TimeDistributed
from rnnkit.models.ensemble import Ensemble
from rnnkit.onnx.exporting.block import Block, Value
from rnnkit.onnx.exporting.call import Call, Writing, array_of, refuse_draws, write, written
from rnnkit.onnx.exporting.step_graph import StepGraph
from rnnkit.onnx.exporting.step_nodes import StepNodes


@written.register
def _memoryless(layer: Memoryless, writing: Writing, call: Call):
    x = array_of(writing, layer, call, 2)
    if (reason := layer.reads_more(len(x.shape))) is not None:
        raise ValueError(f"the layer {layer.name!r} can't be exported to ONNX: it {reason}")
    name, shape = _step(layer, writing.block, x.name, len(x.shape) - 1)
    return [Value(name, (*x.shape[:-1], *shape), x.dtype)], [call.mask]


@written.register
def _over_axes(layer: OverAxes, writing: Writing, call: Call):
    x, block = array_of(writing, layer, call, 2), writing.block
    if layer.reads_more(len(x.shape)) is None:
        return _memoryless(layer, writing, call)
    order, seen = layer._order(len(x.shape)), layer._sizes(layer._input_shape)
    others = block.integers(*[0] * (len(order) - len(seen)))
    rows = block.add("Reshape", block.add("Transpose", x.name, perm=order), block.joined(others, block.integers(-1)))
    name, _ = _step(layer, block, rows, len(order) - len(seen))
    name = block.add("Reshape", name, block.joined(others, block.integers(*seen)))
    return [replace(x, name=block.add("Transpose", name, perm=np.argsort(order).tolist()))], [call.mask]


def _step(layer: Memoryless, block: Block, x: str, axes: int) -> tuple[str, tuple[int, ...]]:
    """Write the step for x with `axes` axes before the last one; return its output, and the shape after these axes."""
    step = StepGraph(layer._execution.step, layer.dtype)
    if axes > 1 and any(node.op == "loop" for node in step.graph.live()):
        raise ValueError(f"the layer {layer.name!r} can't be exported to ONNX: it finds eigenvalues of each time step")
    nodes, output = StepNodes(block, step, {("x", None): x}, block.sizes(x, 0, axes), axes), step.graph.output
    return nodes.result(output, layer.name), output.shape


@written.register
def _noise(layer: Noise, writing: Writing, call: Call):
    refuse_draws(layer, call.training and not layer._is_silent())
    return [array_of(writing, layer, call, 0)], [call.mask]


@written.register
def _embedding(layer: Embedding, writing: Writing, call: Call):
    block, ids = writing.block, writing.block.cast(call.x, np.int64)
    vectors = block.add("Gather", block.weight(layer._own["embeddings"], "embeddings"), ids.name, axis=0)
    mask = writing.condition(ids) if layer.mask_zero else call.mask
    return [Value(vectors, (*ids.shape, layer.output_dim), layer.dtype)], [mask]


@written.register
def _time_distributed(layer: TimeDistributed, writing: Writing, call: Call):
    x, block = call.x, writing.block
    batch, time = (block.sizes(x.name, axis, axis + 1) for axis in (0, 1))
    sizes = block.joined(block.add("Mul", batch, time), block.sizes(x.name, 2))
    rows = Value(block.add("Reshape", x.name, sizes), (None, *x.shape[2:]), x.dtype)
    inside = replace(writing, states=False)  # steps are not rows of the batch, so they have no states
    outputs, _ = write(layer.layer, inside, call.inside("layer", x=rows, mask=None))
    found = []
    for one in outputs:
        steps = block.add("Reshape", one.name, block.joined(batch, time, block.sizes(one.name, 1)))
        found.append(Value(steps, (*x.shape[:2], *one.shape[1:]), one.dtype))
    return found, [call.mask] * len(found)


@written.register
def _ensemble(layer: Ensemble, writing: Writing, call: Call):
    block, inside = writing.block, replace(writing, states=False)
    of_members = [
        write(member, inside, call.inside(f"members/{k}", x=call.x, mask=call.mask))
        for k, member in enumerate(layer.members)
    ]
    found = []
    for several in zip(*(outputs for outputs, _ in of_members), strict=True):
        apart = [block.add("Unsqueeze", one.name, block.integers(0)) for one in several]
        first = several[0]
        found.append(Value(block.add("Concat", *apart, axis=0), (layer.n, *first.shape), first.dtype))
    return found, of_members[0][1]
