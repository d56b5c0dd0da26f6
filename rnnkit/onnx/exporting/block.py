"""ONNX graphs under construction: nodes, constant arrays, and unique names of values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rnnkit.free_names import FreeNames
from rnnkit.onnx.exporting.package import element_type

MOST_BYTES = 2**31 - 2**20  # limit of the arrays in one file, below protobuf's 2 GiB


@dataclass(frozen=True)
class Value:
    """An array in the graph."""

    name: str
    shape: tuple  # of sizes; an open one is a name or None
    dtype: Any
    numbers: Any = field(default=None, compare=False)  # of an array without a batch axis


class Block:
    """The nodes of a graph: the model's own, or the body of a loop in the graph `around`, whose values it can use."""

    def __init__(self, around: Block | None = None):
        self.nodes: list = []
        self.top: Block = self if around is None else around.top
        self.constants: dict[tuple, tuple[str, np.ndarray]] = {}  # of the model, by type, shape and bytes
        self.weights: dict[tuple, tuple[str, np.ndarray]] = {}  # likewise
        self._names = FreeNames()
        self._ones: set[str] = set()  # names of arrays equal to the number 1

    def named(self, name: str) -> str:
        """Return a name that no other value of the model has: this one, or with a number appended."""
        return self.top._names.take(name)

    def weight(self, array, name: str) -> str:
        """Add a trainable array as an initializer; equal ones are stored once, and a number gets an axis."""
        return self._held(self.top.weights, np.atleast_1d(array), name)

    def known(self, array, name: str) -> Value:
        """Return an array without a batch axis as a value, with its numbers."""
        return Value(self.weight(array, name), array.shape, array.dtype, array)

    def constant(self, array, name: str = "constant") -> str:
        """Add a constant array as a Constant node; equal ones are stored once."""
        return self._held(self.top.constants, array, name)

    def _held(self, arrays, array, name: str) -> str:
        array = np.ascontiguousarray(array).reshape(np.shape(array))  # keeps numbers without an axis
        key = (array.dtype.str, array.shape, array.tobytes())
        if key not in arrays:
            arrays[key] = self.named(name), array
            if array.size == 1 and array.reshape(()) == 1:
                self.top._ones.add(arrays[key][0])
        return arrays[key][0]

    def number(self, value, dtype) -> str:
        return self.constant(np.array(value, dtype), "number")

    def integers(self, *numbers: int) -> str:
        """Add a list of integers, as for shapes and axes."""
        return self.constant(np.array(numbers, np.int64), "integers")

    def add(self, operator: str, *operands: str, name: str = "", line: str = "", **attributes: Any) -> str:
        """Add a node with one result, and return its name; `line` is the line of the step that the node comes from."""
        if operator == "Div" and operands[0] in self.top._ones:
            # ONNX Runtime's DivMulFusion (1.32) merges 1 / a with a product, wrongly if its other factor comes later
            operator, operands = "Reciprocal", operands[1:]
        return self.several(operator, operands, (name or operator.lower(),), line, **attributes)[0]

    def several(self, operator: str, operands, names, line: str = "", **attributes: Any) -> list[str]:
        """Add a node with a result for each name, and return the results' names."""
        from onnx import helper

        results = [self.named(name) for name in names]
        described: dict[str, Any] = {"doc_string": line} if line else {}
        self.nodes.append(helper.make_node(operator, operands, results, results[0], **described, **attributes))
        return results

    # Shared by several layers

    def cast(self, value: Value, dtype) -> Value:
        dtype = np.dtype(dtype)
        if value.dtype == dtype:
            return value
        return Value(self.add("Cast", value.name, to=element_type(dtype)), value.shape, dtype)

    def sizes(self, name, first: int = 0, end: int | None = None) -> str:
        """Return the sizes of some axes of a value, as a list of integers."""
        limits: dict[str, Any] = {} if end is None else {"end": end}
        return self.add("Shape", name, start=first, **limits)

    def joined(self, *lists: str) -> str:
        """Concatenate lists of integers."""
        return self.add("Concat", *lists, axis=0)

    def repeated(self, name: str, lead: str, shape, new: str = "", line: str = "") -> str:
        """Repeat an array to the sizes of the list `lead`, followed by those of a shape or a list."""
        behind = shape if isinstance(shape, str) else self.integers(*shape)
        return self.add("Expand", name, self.joined(lead, behind), name=new, line=line)

    def chosen(self, rows: str, a: str, b: str, rank: int) -> str:
        """Select rows of `a` where a condition holds, otherwise of `b`; `rank` counts the axes after the batch."""
        if rank:
            rows = self.add("Unsqueeze", rows, self.integers(*range(1, 1 + rank)))
        return self.add("Where", rows, a, b)

    def swapped(self, name: str, rank: int) -> str:
        """Exchange the first two axes of a value."""
        return self.add("Transpose", name, perm=[1, 0, *range(2, rank)])

    def reversed(self, name: str, axis: int) -> str:
        bounds = (self.integers(number) for number in (-1, np.iinfo(np.int64).min, axis, -1))
        return self.add("Slice", name, *bounds)


def of_rows(name: str, shape, dtype):
    """Return the declaration of a body's input or output ``(batch, *shape)``."""
    from onnx import helper

    return helper.make_tensor_value_info(name, element_type(dtype), [None, *shape])
