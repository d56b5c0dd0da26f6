"""Operators with known results: sizes, constants, ranges."""

from __future__ import annotations

import math

import numpy as np

from rnnkit.onnx.loading.axes import numbers
from rnnkit.onnx.loading.graph import Node, operator
from rnnkit.onnx.loading.values import Constant, Value


def constant(node: Node, array: np.ndarray) -> Constant:
    """Return an array as a value, with axes found by their sizes."""
    return Constant(array, tuple(node.axes.of(n) for n in array.shape), node.name)


@operator("Constant")
def constants(node: Node):
    """Return the array of an attribute."""
    for name, dtype in {"value_float": "f4", "value_floats": "f4", "value_int": "i8", "value_ints": "i8"}.items():
        if (value := node.attribute(name)) is not None:
            return constant(node, np.array(value, dtype))
    value = node.attribute("value")
    if not isinstance(value, np.ndarray):
        raise ValueError("expected a constant that holds numbers")
    return constant(node, value)


@operator("Shape")
def shape(node: Node, x: Value):
    """Return the sizes of the axes."""
    rank = len(x.axes)
    start, end = node.attribute("start", 0), node.attribute("end", rank)
    return constant(node, np.array(numbers(x.axes[start:end]), np.int64))


@operator("Size")
def size(node: Node, x: Value):
    """Return the number of elements."""
    return constant(node, np.array(math.prod(numbers(x.axes)), np.int64))


@operator("ConstantOfShape")
def constant_of_shape(node: Node, sizes: Value):
    """Return an array of one repeated number, which takes no memory."""
    value = node.attribute("value", np.zeros(1, np.float32))
    axes = tuple(node.axes.of(n) for n in node.integers(sizes, "the shape of ConstantOfShape"))
    if value.size != 1:
        raise ValueError(f"expected one number as the value, got {value.size}")
    return Constant(np.broadcast_to(value.reshape(()), numbers(axes)), axes)


@operator("Range")
def ranges(node: Node, start: Value, limit: Value, delta: Value):
    """Return numbers in equal steps."""
    first, last, step = (node.known(one, "the bounds of Range").reshape(()) for one in (start, limit, delta))
    if (axis := node.open_size(limit)) is not None:
        if (int(first), int(last), int(step)) != (0, axis.number, 1):
            raise ValueError("expected a range of open length from 0 to it, in steps of 1")
        found = node.array([axis], "int", [], None, lambda target: target.step_numbers(axis))
        found.of_call = True
        return found
    count = max(0, int(np.ceil((last - first) / step)))
    node.graph.file.spend(count)
    return constant(node, (first + np.arange(count) * step).astype(first.dtype))
