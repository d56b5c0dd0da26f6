"""Export of models: the calls of their layers, with masks."""

from __future__ import annotations

from rnnkit.layers.support.symbolic import leaves, mapped
from rnnkit.models.functional import Model
from rnnkit.models.sequential import Sequential
from rnnkit.onnx.exporting.block import Value
from rnnkit.onnx.exporting.call import Call, Writing, write, written


@written.register
def _sequential(model: Sequential, writing: Writing, call: Call):
    outputs: list = [call.x]
    masks: list = [call.mask]
    for i, layer in enumerate(model.layers):
        outputs, masks = write(layer, writing, call.inside(str(i), x=outputs[0], mask=masks[0]))
    return outputs, masks


@written.register
def _model(model: Model, writing: Writing, call: Call):
    count = len(model.input_names)
    values: list = [*(call.x if isinstance(call.x, list) else [call.x]), *[None] * (len(model._shapes) - count)]
    masks: list = [*(call.mask if isinstance(call.mask, list) else [call.mask]), *[None] * len(values)]
    for one in model._calls:
        more = {name: [values[i] for i in leaves(numbers)] for name, numbers in one.more.items()}
        here = call.inside(
            model._paths[one.layer],
            x=mapped(one.x, values.__getitem__),
            mask=_mask(more.pop("mask", None), mapped(one.x, masks.__getitem__)),
            training=call.training if one.training is None else one.training,
            states=more.pop("initial_state", None),
            constants=tuple(more.pop("constants", ())),
            more=more,
            options=one.options,
        )
        found, own = write(model._layers_inside[one.layer], writing, here)
        for number, value, mask in zip(one.outputs, found, own, strict=True):
            values[number], masks[number] = value, mask
    return [values[i] for i in model._outputs], [masks[i] for i in model._outputs]


def _mask(given: list[Value] | None, flowing):
    """Return the mask given to a symbolic call, otherwise the masks of its arrays."""
    if given is not None:
        return given[0] if len(given) == 1 else given
    return None if isinstance(flowing, list) and all(one is None for one in leaves(flowing)) else flowing
