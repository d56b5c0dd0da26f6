"""Inputs and outputs of an exported model: names, shapes and dtypes."""

from __future__ import annotations

import numpy as np

from rnnkit.arguments import sizes
from rnnkit.layers.array_function import WholeArrays
from rnnkit.layers.base import Layer
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.rnn import RNN
from rnnkit.layers.support.symbolic import is_shape, shape_leaves
from rnnkit.layers.time_distributed import TimeDistributed
from rnnkit.models.functional import Model
from rnnkit.models.sequential import Sequential
from rnnkit.onnx.exporting.block import Value
from rnnkit.onnx.exporting.call import Writing


def x_inputs(model: Layer, writing: Writing) -> Value | list[Value]:
    """Add the inputs of the model."""
    if isinstance(model, Model):
        shapes, names = model._shapes[: len(model.input_names)], model.input_names
        types = [_input_dtype_of(model, i) for i in range(len(names))]
    elif is_shape(model._input_shape):
        shape, names, types = model._input_shape, ["x"], [_input_dtype(model)]
        shapes = [(*shape[:2], 2, *shape[2:]) if model._reads_complex else shape]  # of complex numbers that of pairs
    else:
        shapes = model._input_shape
        names, types = [f"x_{i}" for i in range(len(shapes))], [np.dtype(model.dtype)] * len(shapes)
    if not isinstance(model, Model):
        shapes = [(None, *shape[1:]) for shape in shapes]  # the batch size is open
    before = [f"{name}_" for name in names] if len(names) > 1 else [""]
    found = [
        writing.input(name, _axes(shape, own), dtype)
        for name, shape, dtype, own in zip(names, shapes, types, before, strict=True)
    ]
    one = len(found) == 1 and (isinstance(model, Model) or is_shape(model._input_shape))  # a Merge takes a list
    return found[0] if one else found


def _axes(shape, before: str) -> tuple:
    """Return a shape with names for open sizes."""
    names = ["batch", f"{before}time", *(f"{before}axis_{i}" for i in range(2, len(shape)))]
    return tuple(name if size is None else size for size, name in zip(shape, names, strict=False))


def _input_dtype(layer) -> np.dtype:
    return np.dtype(np.int64 if layer._reads_ids else layer.dtype)


def _input_dtype_of(model: Model, number: int) -> np.dtype:
    """Return the dtype of an input of a model: integers if declared so, or if only embeddings read it."""
    readers = [model._graph.layers[call.layer] for call in model._graph.calls if number in call.read()]
    given = np.dtype(model._input_configs[number]["dtype"])
    if given.kind in "iu" or all(_input_dtype(one) == np.int64 for one in readers):
        return np.dtype(np.int64)
    return given


def mask_inputs(model: Layer, writing: Writing, x, mask) -> Value | list | None:
    """Add the masks of inputs as inputs."""
    if mask is False:
        return None
    several = x if isinstance(x, list) else [x]
    names = [value.name for value in several]
    if mask is True and len(names) > 1:
        raise ValueError(f"expected mask=[…] with names of inputs among {', '.join(names)}, got True")
    wanted = names if mask is True else mask
    if not isinstance(wanted, (list, tuple)) or not all(name in names for name in wanted):
        raise ValueError(f"expected mask as True, False or a list of names among {', '.join(names)}, got {mask!r}")
    masks: list[Value | None] = [None] * len(several)
    for i, value in enumerate(several):
        if value.name not in wanted:
            continue
        if len(value.shape) < 2:
            raise ValueError(f"expected an input (batch, time, …) to be masked, got {value.name!r} of {value.shape}")
        name = "mask" if len(names) == 1 else f"{value.name}_mask"
        masks[i] = writing.input(name, value.shape[:2], bool)
    return masks if isinstance(x, list) else masks[0]


def constant_inputs(model: Layer, writing: Writing, shapes) -> tuple[Value, ...]:
    """Add the constants of a recurrent layer as inputs."""
    layer = model.forward_layer if isinstance(model, Bidirectional) else model
    if not isinstance(layer, RNN) or not layer._execution.step.takes_constants:
        if shapes is not None:
            raise ValueError(f"expected no constants: {model.name!r} is no layer whose cell takes them")
        return ()
    if shapes is None:
        shapes = _shapes_of_calls(layer)
    elif not isinstance(shapes, (list, tuple)):
        raise ValueError(f"expected constants as a list of shapes without the batch axis, got {shapes!r}")
    found = [sizes(shape, "the shape of a constant") for shape in shapes]
    return tuple(writing.input(f"constant_{i}", ("batch", *shape), layer.dtype) for i, shape in enumerate(found))


def _shapes_of_calls(layer: RNN):
    known = {shapes for _, shapes in layer._execution.executors}
    if len(known) != 1:
        raise ValueError(
            f"expected constants=[…]: the shapes, without the batch axis, of what the cell of {layer.name!r} takes"
        )
    return known.pop()


def output_names(model: Layer) -> list[str]:
    """Return a name for each output, flat; a recurrent layer has names for states, even if it doesn't return them."""
    if isinstance(model, Model):
        return model.output_names
    if isinstance(model, Sequential):
        return output_names(model.layers[-1])
    if isinstance(model, TimeDistributed):
        return output_names(model.layer)
    if isinstance(model, Bidirectional):
        count = len(model.forward_layer._spec.shapes) + len(model.backward_layer._spec.shapes)
        first = ["y_forward", "y_backward"] if model.merge_mode is None else ["y"]
        return [*first, *(f"state_{i}" for i in range(count))]
    if isinstance(model, WholeArrays):
        outputs = shape_leaves(model.compute_output_shape(model._input_shape))
        return ["y"] if len(outputs) == 1 else [f"y_{i}" for i in range(len(outputs))]
    count = len(model._spec.shapes) if isinstance(model, RNN) else 0
    return ["y", *(f"state_{i}" for i in range(count))]
