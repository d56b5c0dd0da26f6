"""Export of a layer or a model to a file in the format of ONNX."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import rnnkit.onnx.exporting.layers
import rnnkit.onnx.exporting.recurrent
import rnnkit.onnx.exporting.whole_arrays  # noqa: F401  registers the layers' functions
from rnnkit import tracebacks
from rnnkit.arguments import is_integer, sizes
from rnnkit.layers.array_function import WholeArrays
from rnnkit.layers.base import Layer
from rnnkit.layers.bidirectional import Bidirectional
from rnnkit.layers.rnn import RNN
from rnnkit.layers.support.facts import built_shape, reads_complex, reads_ids
from rnnkit.layers.support.symbolic import is_shape, shape_leaves
from rnnkit.layers.time_distributed import TimeDistributed
from rnnkit.models.functional import Model
from rnnkit.models.sequential import Sequential
from rnnkit.onnx.exporting.block import MOST_BYTES, Block, Value
from rnnkit.onnx.exporting.call import Call, Writing, write
from rnnkit.onnx.exporting.package import element_type, onnx_package
from rnnkit.serialization.atomic_files import replacing
from rnnkit.version import __version__

OLDEST_OPSET = 18  # the first with the axes of all reductions as an operand


@tracebacks.edge
def export(
    model: Any,
    path: Any,
    *,
    opset: int = OLDEST_OPSET,
    mask: bool | Sequence[str] = False,
    states: bool | None = None,
    constants: Sequence[Sequence[int]] | None = None,
) -> None:
    """Write a layer or a model with its weights to a file in the format of ONNX, for inference.

    Batch size and lengths are open. Inputs are ``x``, or those of a `Model` by their names, and outputs ``y``, or the
    layers' names; the guide "Export to ONNX" has all names. LSTM, GRU and SimpleRNN become ONNX's own operators where
    these do the same, and every other traced cell becomes a ``Scan`` whose body is written from the cell's graph.

    Parameters
    ----------
    model : Layer
        Built. Any layer of rnnkit, `Sequential` and `Model` among them.
    path : str or os.PathLike
        Written exactly there, whole or not at all.
    opset : int
        Version of ONNX's operators, 18 or later.
    mask : bool or list of str
        Make the mask ``(batch, time)`` of x an input, named ``mask``: True uses a step. Of a model with several inputs
        those that are listed, named ``<input>_mask``. Masks made inside, by `Embedding` and `Masking`, need none.
    states : bool, optional
        Make first states inputs, ``initial_state_0`` and so on, and last states outputs, ``state_0`` and so on, of
        every recurrent layer. Default: of stateful layers.
    constants : list of tuple of int, optional
        Shapes, without the batch axis, of the constants that a layer's cell takes; they are inputs, ``constant_0`` and
        so on. Default: those of the layer's calls so far.

    Raises
    ------
    ImportError
        If the package onnx is missing.
    TypeError, ValueError
        For an invalid argument, or a model that can't be exported, with the operation and the line of the step.
        The file stays unchanged.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, rnnkit as rk
    >>> model = rk.Sequential([rk.LSTM(8, return_sequences=True), rk.Dense(1)], seed=0)
    >>> model.build((None, None, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "model.onnx")
    ...     rk.onnx.export(model, path)
    ...     os.path.getsize(path) > 1000
    True
    """
    onnx = onnx_package()
    if not isinstance(model, Layer):
        raise TypeError(f"expected a layer or a model of rnnkit, got {type(model).__name__}")
    if not model.built:
        raise ValueError(f"expected {model.name!r} to be built; call build(input_shape) or the layer first")
    newest = onnx.defs.onnx_opset_version()
    if not is_integer(opset) or not OLDEST_OPSET <= opset <= newest:
        raise ValueError(f"expected opset from {OLDEST_OPSET} to {newest}, the newest that onnx knows, got {opset!r}")
    if states is not None and not isinstance(states, bool):
        raise ValueError(f"expected states as True, False or None, got {states!r}")
    content = _written(model, int(opset), mask, states, constants).SerializeToString(deterministic=True)
    with replacing(Path(path)) as beside:
        beside.write_bytes(content)


def _written(model: Layer, opset: int, mask, states, constants):
    """Return the model as an ONNX ModelProto."""
    from onnx import helper, numpy_helper

    writing = Writing(Block(), states)
    x = x_inputs(model, writing)
    call = Call(x, mask_inputs(model, writing, x, mask), constants=constant_inputs(model, writing, constants))
    names = [writing.block.named(name) for name in output_names(model)]
    found, _ = write(model, writing, call)
    outputs = dict(zip(names, found, strict=False)) | writing.ended
    for name, value in outputs.items():
        writing.block.nodes.append(helper.make_node("Identity", [value.name], [name], name))
    nodes, read = _needed(writing.block.nodes, outputs)
    weights, constants = (
        [(name, array) for name, array in held.values() if name in read]
        for held in (writing.block.weights, writing.block.constants)
    )
    if (size := sum(array.nbytes for _, array in (*weights, *constants))) > MOST_BYTES:
        raise ValueError(
            f"{model.name!r} can't be exported to ONNX: its weights take {size:,} bytes, and a file holds "
            "less than 2 GiB"
        )
    known = [
        helper.make_node("Constant", [], [name], name, value=numpy_helper.from_array(array))
        for name, array in constants
    ]
    graph = helper.make_graph(
        [*known, *nodes],
        model.name,
        [_info(value.name, value) for value in writing.inputs],
        [_info(name, value) for name, value in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in weights],
        doc_string=f"{type(model).__name__} of rnnkit",
    )
    operators = [helper.make_opsetid("", opset)]
    return helper.make_model(
        graph,
        producer_name="rnnkit",
        producer_version=__version__,
        opset_imports=operators,
        ir_version=helper.find_min_ir_version_for(operators),
    )


def _needed(nodes, outputs) -> tuple[list, set[str]]:
    """Return the nodes that the outputs depend on, in order, and all names read by these, also inside loops."""
    kept, read = [], set(outputs)
    for node in reversed(nodes):
        if not read.isdisjoint(node.output):
            kept.append(node)
            read |= _read_by(node)
    return kept[::-1], read


def _read_by(node) -> set[str]:
    """Return the names that a node reads, also inside its loop."""
    inside = [one for attribute in node.attribute if attribute.HasField("g") for one in attribute.g.node]
    return set(node.input).union(*map(_read_by, inside))


def _info(name: str, value: Value):
    from onnx import helper

    return helper.make_tensor_value_info(name, element_type(value.dtype), value.shape)


def x_inputs(model: Layer, writing: Writing) -> Value | list[Value]:
    if isinstance(model, Model):
        shapes, names = model._shapes[: len(model.input_names)], model.input_names
        types = [_input_dtype_of(model, i) for i in range(len(names))]
    elif is_shape(built_shape(model)):
        shape, names, types = built_shape(model), ["x"], [_input_dtype(model)]
        shapes = [(*shape[:2], 2, *shape[2:]) if reads_complex(model) else shape]  # of complex numbers that of pairs
    else:
        shapes = built_shape(model)
        names, types = [f"x_{i}" for i in range(len(shapes))], [np.dtype(model.dtype)] * len(shapes)
    if not isinstance(model, Model):
        shapes = [(None, *shape[1:]) for shape in shapes]  # the batch size is open
    before = [f"{name}_" for name in names] if len(names) > 1 else [""]
    found = []
    for name, shape, dtype, own in zip(names, shapes, types, before, strict=True):
        axes = ["batch", f"{own}time", *(f"{own}axis_{i}" for i in range(2, len(shape)))]  # names of open sizes
        sizes = [axis if size is None else size for size, axis in zip(shape, axes, strict=False)]
        found.append(writing.input(name, sizes, dtype))
    one = len(found) == 1 and (isinstance(model, Model) or is_shape(built_shape(model)))  # a Merge takes a list
    return found[0] if one else found


def _input_dtype(layer) -> np.dtype:
    return np.dtype(np.int64 if reads_ids(layer) else layer.dtype)


def _input_dtype_of(model: Model, number: int) -> np.dtype:
    """Return the dtype of an input of a model: integers if declared so, or if only embeddings read it."""
    readers = [model._graph.layers[call.layer] for call in model._graph.calls if number in call.read()]
    given = np.dtype(model._input_configs[number]["dtype"])
    if given.kind in "iu" or all(_input_dtype(one) == np.int64 for one in readers):
        return np.dtype(np.int64)
    return given


def mask_inputs(model: Layer, writing: Writing, x, mask) -> Value | list | None:
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
        outputs = shape_leaves(model.compute_output_shape(built_shape(model)))
        return ["y"] if len(outputs) == 1 else [f"y_{i}" for i in range(len(outputs))]
    count = len(model._spec.shapes) if isinstance(model, RNN) else 0
    return ["y", *(f"state_{i}" for i in range(count))]
