"""`rk.onnx.load`: an ONNX file as a model."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit import allocation
from rnnkit.layers.support.symbolic import Input
from rnnkit.models.functional import Model
from rnnkit.onnx.format.package import dtype_of
from rnnkit.onnx.loading import operators  # noqa: F401  registers all operators
from rnnkit.onnx.loading.axes import BATCH, LARGEST_AXIS, TIME, Array, Axis, Constant, kind_of
from rnnkit.onnx.loading.file import OnnxFile
from rnnkit.onnx.loading.graph import Graph
from rnnkit.onnx.loading.layer_target import Layers
from rnnkit.onnx.loading.step_target import inputs_first, plain_name


def load(path: str | os.PathLike[str], *, initializers: Mapping[str, Any] | None = None) -> Model:
    """Load the model in an ONNX file, as layers that compute the same, can be trained and run in streams.

    Parameters
    ----------
    path : str or os.PathLike
    initializers : dict of str to array_like, optional
        Numbers for inputs of the graph that are weights rather than data, by their names.

    Returns
    -------
    Model
        Built, with the file's weights. Its inputs and outputs are those of the graph, in the graph's order, with
        their axes in rnnkit's: the batch axis first, the time axis second, the others behind. Lengths of batch and
        time are open.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError
        If `initializers` is no dict.
    ValueError
        If it isn't an ONNX model, or holds an operator, an attribute or a pattern that rnnkit doesn't read; the error
        names the file and the node.
    ImportError
        Without the package onnx.

    Notes
    -----
    Nothing in the file is executed, and what is read takes memory in proportion to the file. A weight that the graph
    reads in several places becomes a weight in each.

    Examples
    --------
    >>> import os, tempfile
    >>> import numpy as np, onnx, rnnkit as rk
    >>> rng = np.random.default_rng(0)
    >>> weights = {"W": rng.normal(size=(1, 16, 3)), "R": rng.normal(size=(1, 16, 4))}
    >>> graph = onnx.helper.make_graph(
    ...     [onnx.helper.make_node("LSTM", ["X", "W", "R"], ["Y", "H"], hidden_size=4, name="lstm")],
    ...     "example",
    ...     [onnx.helper.make_tensor_value_info("X", onnx.TensorProto.FLOAT, ["time", "batch", 3])],
    ...     [onnx.helper.make_tensor_value_info("H", onnx.TensorProto.FLOAT, [1, "batch", 4])],
    ...     [onnx.numpy_helper.from_array(a.astype("float32"), name) for name, a in weights.items()],
    ... )
    >>> model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "lstm.onnx")
    ...     onnx.save(model, path)
    ...     loaded = rk.onnx.load(path)
    >>> loaded(np.ones((8, 5, 3))).shape
    (8, 1, 4)
    """
    return read(path, initializers).model


@dataclass
class Loaded:
    """A model, and the orders of the axes of the graph's inputs and outputs in the model's."""

    model: Model
    inputs: dict[str, tuple[int, ...]]  # axes for `numpy.transpose`
    outputs: dict[str, tuple[int, ...]]  # likewise
    batched: bool  # whether the graph has a batch axis; otherwise the model has an additional first axis


def read(path, initializers=None) -> Loaded:
    """Load a model with the orders of axes, see `load`."""
    path = os.fspath(Path(path))
    if initializers is not None and not isinstance(initializers, Mapping):
        raise TypeError(f"expected initializers as a dict of names and arrays, got {initializers!r}")
    try:
        file = OnnxFile(path)
        graph = Graph(file, file.graph)
        for name, array in (initializers or {}).items():
            if name not in {one.name for one in file.graph.input}:
                raise ValueError(f"expected initializers for inputs of the graph, got {name!r}")
            graph.know(name, array)
        with allocation.limited(file.size):
            return _loaded(file, graph)
    except RecursionError:
        raise ValueError(f"{path}: expected graphs that are not as deep") from None
    except (ValueError, TypeError, MemoryError, OverflowError) as error:
        raise ValueError(f"{path}: {error}") from error


def _loaded(file: OnnxFile, graph: Graph) -> Loaded:
    formal = graph.inputs()
    given, names = [_input(file, graph, one) for one in formal], [one.name for one in formal]
    outputs = []
    for one, value in zip(file.graph.output, graph.read(given), strict=True):
        if isinstance(value, Constant):
            raise ValueError(f"expected outputs that depend on the inputs, got the constant {one.name!r}")
        outputs.append(value)
    _choose_batch(given)
    # One precision of all layers: double if an input, an output or a weight is double.
    codes = [one.type.tensor_type.elem_type for one in (*formal, *file.graph.output)]
    dtypes = [dtype_of(code) for code in codes if code] + [one.array.dtype for one in graph.initializers()]
    dtype = np.result_type(np.float32, *{one for one in dtypes if one.kind == "f"})
    target, tensors, orders = Layers(dtype), [], {}
    used = set(inputs_first(outputs))
    for name, array in zip(names, given, strict=True):
        if array in used:
            order = _order(target, array)
            tensor = Input(
                [None if a.role == TIME else a.size for a in (array.axes[i] for i in order) if a.role != BATCH],
                dtype={"float": dtype, "int": "int64", "bool": "bool"}[array.kind],
                name=plain_name(name),
            )
            tensors.append(tensor)
            orders[name] = order
            sizes = target.forms.shape(array.axes, array.label)
            target.put(array, target.shaped(tensor, target.kept(array), sizes))  # without axes of size 1
    if not tensors:
        raise ValueError("expected outputs that depend on inputs")
    target.make(outputs)
    results, results_orders = [], {}
    for one, array in zip(file.graph.output, outputs, strict=True):
        order = results_orders[one.name] = _order(target, array)
        results.append(_left(target, array, order, tensors, one.name))
    several = len(results) > 1
    batched = any(axis.role == BATCH for one in given for axis in one.axes)
    return Loaded(Model(tensors, results if several else results[0]), orders, results_orders, batched)


def _input(file, graph, proto) -> Array:
    """Return an input, with the graph's sizes of its axes."""
    kind = proto.type.tensor_type
    if not proto.type.HasField("tensor_type") or not kind.HasField("shape"):
        raise ValueError(f"expected the input {proto.name!r} as a tensor with a shape")
    axes = []
    for size in kind.shape.dim:
        if size.HasField("dim_value"):
            if not 0 < size.dim_value <= LARGEST_AXIS:
                raise ValueError(f"expected axes of 1 to {LARGEST_AXIS:,} in {proto.name!r}, got {size.dim_value}")
            axes.append(Axis(size.dim_value))
        else:
            axes.append(graph.axes.open(name=size.dim_param))
    return Array(tuple(axes), kind_of(dtype_of(kind.elem_type)), (), None, None, graph, f"input {proto.name!r}")


def _choose_batch(given: list[Array]) -> None:
    """Choose the axes of batch and time if no operator determines them."""
    axes = [axis for one in given for axis in one.axes]
    if not any(axis.role == BATCH for axis in axes):
        free = [axis for axis in axes if axis.role is None]
        first = next((axis for axis in free if axis.open), None)
        if first is None:
            timed = any(axis.role == TIME for axis in axes)
            first = next((a for one in given for a in one.axes if a.role is None and len(one.axes) > 1 + timed), None)
        if first is not None:
            first.be(BATCH)
    batch = next((axis for axis in axes if axis.role == BATCH), None)
    for one in given:
        if batch is not None and not any(axis.role == BATCH for axis in one.axes):
            free = [axis for axis in one.axes if axis.role is None]
            own = next((axis for axis in free if axis.open), next((a for a in free if a.number == batch.number), None))
            if own is None:
                raise ValueError(f"expected a batch axis in the {one.label}; give its numbers as initializers=")
            own.be(BATCH)
        if not any(axis.role == TIME for axis in one.axes):
            open_axis = next((axis for axis in one.axes if axis.open and axis.role is None), None)
            if open_axis is not None:
                open_axis.be(TIME)


def _order(target: Layers, array: Array) -> tuple[int, ...]:
    """Return ONNX's axes in rnnkit's order."""
    rank = {BATCH: 0, TIME: 1}
    for axis in array.axes:
        if axis.parts and target.forms.is_row(axis):
            raise ValueError(f"expected batch and time as axes of their own in the {array.label}")
    return tuple(sorted(range(len(array.axes)), key=lambda i: rank.get(array.axes[i].role or "", 2)))


def _left(target: Layers, array: Array, order, inputs, name):
    """Return an output as in the graph, with axes of size 1."""
    kept = target.kept(array)
    sizes = [array.axes[i].number for i in order if not target.forms.is_row(array.axes[i])]
    tensor = target.shaped(target.tensor(array), kept, sizes)
    return target.reshaped(tensor, kept, sizes) if any(tensor is one for one in inputs) else tensor
