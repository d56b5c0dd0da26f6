"""Nodes of an ONNX graph, and the table of readable operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnnkit.onnx.loading.axes import Axes, Axis
from rnnkit.onnx.loading.values import Array, Constant, Value

OPERATORS: dict[str, Callable] = {}


def operator(*names: str) -> Callable[[Callable], Callable]:
    """Register ``function(node, *inputs)``, which returns the node's output or a list of outputs."""

    def registering(function):
        OPERATORS.update(dict.fromkeys(names, function))
        return function

    return registering


class Node:
    """A node of a `Graph`, as passed to the functions that read it; `label` is for errors."""

    def __init__(self, proto, graph):
        self.op, self.name, self.graph = proto.op_type, proto.name, graph
        self.label = f"{proto.name or (proto.output[0] if proto.output else '')} ({proto.op_type})"
        self.opset: int = graph.opset
        self.axes: Axes = graph.axes
        self.outputs = list(proto.output)
        self.proto = proto
        self._attributes = {attribute.name: attribute for attribute in proto.attribute}
        self._read: set[str] = set()

    def attribute(self, name: str, default: Any = None) -> Any:
        """Return an attribute as a number, text, list, array or graph."""
        self._read.add(name)
        if name not in self._attributes:
            return default
        attribute = self._attributes[name]
        if attribute.ref_attr_name:
            raise ValueError(f"expected the attribute {name!r} in the node itself, got a reference")
        return self.graph.file.attribute(attribute)

    def check_all_read(self) -> None:
        """Raise a ValueError for attributes that were not read."""
        if left := [name for name in self._attributes if name not in self._read]:
            known = ", ".join(sorted(self._read)) or "none"
            raise ValueError(f"expected attributes among {known}; got {left[0]!r}, which rnnkit does not read")

    def wanted(self, place: int) -> bool:
        """Return whether this output has a name, so that it may be read."""
        return place < len(self.outputs) and bool(self.outputs[place])

    def array(self, axes: Sequence[Axis], kind: str, inputs: Sequence[Value | None], emit=None, layers=None) -> Array:
        """Return an output that a call computes."""
        return Array(
            tuple(axes), kind, [one for one in inputs if one is not None], emit, layers, self.graph, self.label
        )

    def known(self, value: Value | None, what: str) -> np.ndarray:
        """Return the array of an input that has to be known; a ValueError if a call computes it."""
        if not isinstance(value, Constant):
            got = "none" if value is None else "a value that is computed"
            raise ValueError(f"expected {what} as an initializer or a constant, got {got}")
        return value.array

    def check_sizes(self, inputs: Sequence[Value | None]) -> None:
        """Refuse an open size beside a computed value, as open sizes are for shapes alone."""
        is_computed = any(isinstance(one, Array) for one in inputs)
        if is_computed and any(one is not None and self.open_size(one) is not None for one in inputs):
            raise ValueError("expected open sizes in shapes alone, or as floating-point numbers")

    def open_size(self, value: Value) -> Axis | None:
        """Return the open axis whose size is among the integers of a known value, or None."""
        if not isinstance(value, Constant) or value.kind != "int" or value.array.size > 64:
            return None
        return self.axes.open_in(value.array.reshape(-1))

    def integers(self, value: Value | None, what: str) -> list[int]:
        """Return a known input as a list of integers, such as sizes."""
        array = self.known(value, what)
        if array.dtype.kind not in "iu" or array.ndim > 1 or array.size > 64:
            raise ValueError(f"expected {what} as a short list of integers, got {array.dtype} {array.shape}")
        return [int(n) for n in np.atleast_1d(array)]

    def given(self, name: str, value: Value | None, default: list[int] | None = None) -> list[int] | None:
        """Return integers from an attribute of older operators or an input of newer ones."""
        attribute = self.attribute(name)
        if value is not None:
            return self.integers(value, name)
        return default if attribute is None else [int(n) for n in np.atleast_1d(attribute)]


def axis_of(axis: int, rank: int) -> int:
    """Return an axis counted from the front."""
    if not -rank <= axis < rank:
        raise ValueError(f"expected an axis of {rank}, got {axis}")
    return axis % rank
