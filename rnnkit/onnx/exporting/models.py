"""Export of models: the calls of their layers, with masks."""

from __future__ import annotations

from rnnkit.layers.support.symbolic import leaves, mapped
from rnnkit.models.graph_model import GraphModel
from rnnkit.onnx.exporting.block import Value
from rnnkit.onnx.exporting.call import Call, Writing, write, written


@written.register
def _model(model: GraphModel, writing: Writing, call: Call):
    graph = model._graph
    given = [one if isinstance(one, list) else [one] for one in (call.x, call.mask)]
    values, masks = graph.begun(*given)
    for one in graph.calls:
        more = {name: [values[i] for i in leaves(numbers)] for name, numbers in one.more.items()}
        here = call.inside(
            graph.paths[one.layer],
            x=mapped(one.x, values.__getitem__),
            mask=_mask(more.pop("mask", None), mapped(one.x, masks.__getitem__)),
            training=call.training if one.training is None else one.training,
            states=more.pop("initial_state", None),
            constants=tuple(more.pop("constants", ())),
            more=more,
            options=one.options,
        )
        found, own = write(graph.layers[one.layer], writing, here)
        for number, value, mask in zip(one.outputs, found, own, strict=True):
            values[number], masks[number] = value, mask
    return [values[i] for i in graph.outputs], [masks[i] for i in graph.outputs]


def _mask(given: list[Value] | None, flowing):
    """Return the mask given to a symbolic call, otherwise the masks of its arrays."""
    if given is not None:
        return given[0] if len(given) == 1 else given
    return None if isinstance(flowing, list) and all(one is None for one in leaves(flowing)) else flowing
