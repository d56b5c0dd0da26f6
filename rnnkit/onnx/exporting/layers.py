"""Export of models, and of layers without a loop along time, by their steps or as NumPy functions of arrays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from rnnkit.layers.attention import Attending, Options
from rnnkit.layers.convolution import Conv1D
from rnnkit.layers.effects import Effects
from rnnkit.layers.embedding import Embedding
from rnnkit.layers.masking import Masking
from rnnkit.layers.memoryless import Memoryless
from rnnkit.layers.multi_head_attention import MultiHeadAttention
from rnnkit.layers.noise import Noise
from rnnkit.layers.over_axes import OverAxes
from rnnkit.layers.support.facts import built_shape
from rnnkit.layers.support.symbolic import leaves
from rnnkit.layers.time_distributed import TimeDistributed
from rnnkit.models.call_arguments import CallArguments, given_call
from rnnkit.models.call_trace import CallTrace
from rnnkit.models.ensemble import Ensemble
from rnnkit.models.graph_model import GraphModel
from rnnkit.models.subclassed_layer import SubclassedLayer
from rnnkit.onnx.exporting.block import Block, Value
from rnnkit.onnx.exporting.call import Call, Writing, array_of, refuse_draws, write, written
from rnnkit.onnx.exporting.step_nodes import StepGraph, StepNodes
from rnnkit.onnx.exporting.whole_arrays import LENGTHS, by_function


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
    order, seen = layer._order(len(x.shape)), layer._sizes(built_shape(layer))
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


@written.register
def _model(model: GraphModel, writing: Writing, call: Call):
    given = [one if isinstance(one, list) else [one] for one in (call.x, call.mask)]
    return _calls(model._graph, writing, call, *given)


def _calls(graph, writing: Writing, call: Call, arrays, masks):
    """Write the calls of a graph for its first arrays; return the outputs, flat, and their masks."""

    def called(one, layer, x, mask, training, more):
        more = {name: leaves(given) for name, given in more.items() if name not in one.options}
        own = {"states": more.pop("initial_state", None), "constants": tuple(more.pop("constants", ()))}
        own |= {"x": x, "mask": mask, "training": training, "more": more, "options": one.options}
        return write(layer, writing, call.inside(graph.paths[one.layer], **own))

    values, masks = graph.through(arrays, masks, call.training, called)
    return [values[i] for i in graph.outputs], [masks[i] for i in graph.outputs]


@written.register
def _own_class(layer: SubclassedLayer, writing: Writing, call: Call):
    more = {name: one[0] if len(one) == 1 else one for name, one in call.more.items()}
    given = CallArguments(given_call(layer), call.x, more, call.options, call.mask, call.training)
    arrays = [writing.block.cast(one, layer.dtype) if one.dtype.kind == "f" else one for one in given.arrays()]

    def traced(length: int) -> CallTrace:
        sizes = [[size if isinstance(size, int) else length for size in one.shape[1:]] for one in arrays]
        return layer._trace(given, [((None, *own), one.dtype) for own, one in zip(sizes, arrays, strict=True)])

    try:
        trace, *others = map(traced, LENGTHS[0])
        is_open = all(_described(other) == _described(trace) for other in others)
    except ValueError:  # of a length that it doesn't take
        is_open = False
    if not is_open:
        raise ValueError(
            f"the layer {layer.name!r} can't be exported to ONNX for arrays of any length, since its call goes by "
            f"lengths: expected inputs of known sizes, got {[one.shape for one in arrays]}"
        )
    if trace.assigned:
        raise ValueError(f"the layer {layer.name!r} can't be exported to ONNX: its call assigns weights")
    held = [one._array() for one in trace.variables] + trace.arrays
    fixed = [writing.block.known(one, f"{layer.name}_{i}") for i, one in enumerate(held)]
    outputs, masks = _calls(trace.graph, writing, call, [*arrays, *fixed], given.masks())
    return outputs, [call.mask] * len(outputs) if layer.supports_masking else masks


def _described(trace: CallTrace) -> tuple:
    """Return what traces have in common that compute the same: calls, their layers, weights and arrays."""
    graph, numbers = trace.graph, [one.tolist() for one in trace.arrays]
    placed = zip(graph.paths, graph.layers, strict=True)
    layers = [(type(one), one.get_config() | {"name": ""}) if path[0] == "(" else path for path, one in placed]
    return graph.calls, graph.nesting, layers, trace.names, numbers


@written.register
def _effects(layer: Effects, writing: Writing, call: Call):
    return [call.x[0]], [call.mask[0] if isinstance(call.mask, list) else call.mask]  # losses aren't exported


@written.register
def _convolution(layer: Conv1D, writing: Writing, call: Call):
    return by_function(writing, layer, layer._traceable, [array_of(writing, layer, call, 2)]), [None]


@written.register
def _masking(layer: Masking, writing: Writing, call: Call):
    def masked(x, weights):
        used = layer._used(x)
        return [layer._result(x, used, False), used]

    x = array_of(writing, layer, call, 3)
    output, used = by_function(writing, layer, masked, [x])
    if call.mask is None:
        return [output], [used]
    both = writing.block.add("And", used.name, writing.step_mask(call.mask, x).name)
    return [output], [replace(used, name=both)]


# Attention


@written.register
def _attention(layer: Attending, writing: Writing, call: Call):
    refuse_draws(layer, call.training and layer.dropout > 0)
    arrays, heads = [writing.block.cast(one, layer.dtype) for one in call.x], isinstance(layer, MultiHeadAttention)
    flowing = call.mask if isinstance(call.mask, list) else []
    masks = dict(zip(layer._names, flowing, strict=False))
    masks |= {name.removesuffix("_mask"): one for name, (one,) in call.more.items()}
    of_arrays = dict(zip(layer._names, (*arrays[:2], arrays[-1]), strict=True))
    given: dict[str, Value] = {}
    for name, mask in masks.items():
        if mask is not None and name in of_arrays and (heads or name != "key"):
            own = of_arrays[name]
            given[name] = replace(writing.step_mask(mask, own), shape=own.shape[:2])
        elif mask is not None and name == "attention":
            given[name] = writing.condition(mask)

    scores, causal = (call.options.get(name, False) for name in ("return_attention_scores", "use_causal_mask"))
    options = Options(False, scores, causal, finite=False)

    def attended(*values):
        found = dict(zip(given, values[len(arrays) : -1], strict=True))
        own = [found.get(name) for name in (*layer._names, "attention")]
        return layer._result(list(values[: len(arrays)]), [*own, None], options, weights=values[-1])

    outputs = by_function(writing, layer, attended, [*arrays, *given.values()])
    return outputs, [given.get("query"), None][: len(outputs)]
