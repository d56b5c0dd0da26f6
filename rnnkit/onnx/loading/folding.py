"""Constant folding: nodes with known inputs are computed on reading."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from rnnkit.onnx.format.package import element_type
from rnnkit.onnx.loading.axes import LARGEST_AXIS
from rnnkit.onnx.loading.file import OnnxFile
from rnnkit.onnx.loading.node import Node
from rnnkit.onnx.loading.values import Constant

_ARRANGING = (
    "Expand", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze", "Concat", "Slice", "Gather",
)  # fmt: skip


def folded(
    node: Node, inputs: Sequence[Constant | None], place: int, sizes: tuple[int, ...], file: OnnxFile
) -> np.ndarray:
    """Compute an output, of shape `sizes`, by ONNX's reference evaluator; a ValueError beyond the file's limit."""
    arrays = [None if one is None else one.array for one in inputs]
    numbers = [one for one in arrays if one is not None and one.dtype.kind == "f"]
    if node.op in _ARRANGING and numbers and all(_is_filled(one) for one in numbers):
        values = {one.reshape(-1)[:1].tobytes() if one.size < 2 else one.flat[0].tobytes() for one in numbers}
        if len(values) == 1 and math.prod(sizes) > 1:
            return np.broadcast_to(numbers[0].flat[0], sizes)
    thin = [None if one is None else _thin(one) for one in arrays]
    if sum(one.size for one in arrays if one is not None) != sum(one.size for one in thin if one is not None):
        if node.op in ("Cast", "Add", "Sub", "Mul", "Div", "Neg", "Identity", "Tanh", "Sigmoid", "Relu"):
            return np.broadcast_to(_evaluated(node, thin, place, file), sizes)
        file.spend(sum(one.size for one in arrays if one is not None))
    if any(size > LARGEST_AXIS for size in sizes):
        raise ValueError("expected a constant of known size, got one as long as the batch or time")
    file.spend(math.prod(sizes))
    return _evaluated(node, arrays, place, file)


def _is_filled(array: np.ndarray) -> bool:
    """Return whether an array repeats a single number in memory."""
    return array.size > 0 and all(stride == 0 or n == 1 for stride, n in zip(array.strides, array.shape, strict=True))


def _thin(array: np.ndarray) -> np.ndarray:
    """Return a view with one entry along axes of repeated entries."""
    return array[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in array.strides)]


def _evaluated(node, arrays, place, file) -> np.ndarray:
    helper = file.onnx.helper
    from onnx.reference import ReferenceEvaluator  # type: ignore[import-not-found,unused-ignore]

    names = [f"x{i}" if one is not None else "" for i, one in enumerate(arrays)]
    given = {name: one for name, one in zip(names, arrays, strict=True) if name}
    outputs = [f"y{i}" for i in range(len(node.outputs))]
    proto = helper.make_node(node.op, names, outputs)
    proto.attribute.extend(node.proto.attribute)
    inputs = [helper.make_tensor_value_info(name, element_type(a.dtype), None) for name, a in given.items()]
    result = [helper.make_tensor_value_info(outputs[place], 0, None)]
    graph = helper.make_graph([proto], "node", inputs, result)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", file.opset)])
    try:
        with np.errstate(all="ignore"):
            (found,) = ReferenceEvaluator(model).run(None, given)
    except Exception as error:  # operators raise various errors for invalid inputs
        raise ValueError(f"expected inputs that go together; {error}".replace("\n", " ")) from error
    found = np.asarray(found)
    if found.dtype.kind in "iu":
        found = found.astype(np.int64)
    if found.dtype.kind not in "fib":
        raise ValueError(f"expected numbers, got {found.dtype}")
    return found
