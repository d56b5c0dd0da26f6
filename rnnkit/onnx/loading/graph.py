"""Reading of an ONNX graph node by node; nodes with known inputs are computed at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnnkit.onnx.format.package import dtype_of, element_type
from rnnkit.onnx.loading.axes import LARGEST_AXIS, Array, Axes, Axis, Constant, Value, numbers
from rnnkit.onnx.loading.file import OnnxFile

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


_LARGEST_BODY = 10_000  # nodes, as a body is read as one step
_NOT_FOLDED = ("Constant", "ConstantOfShape", "Range", "Shape", "Size")


class Graph:
    """A graph, or the body of a node, with its named values."""

    def __init__(self, file: OnnxFile, proto, outer: Graph | None = None):
        self.file, self.proto, self.outer = file, proto, outer
        self.axes: Axes = Axes() if outer is None else outer.axes
        self.opset = file.opset
        self._values: dict[str, Value] = {}
        self._reads = _reads(proto)
        for tensor in proto.initializer:
            array = file.array(tensor)
            axes = tuple(Axis(n) for n in array.shape)
            self._values[tensor.name] = Constant(array, axes, tensor.name, array.dtype.kind == "f")
        if proto.sparse_initializer:
            raise ValueError("expected dense initializers, got a sparse one")

    def inside(self, proto) -> Graph:
        depth, graph = 1, self
        while graph.outer is not None:
            depth, graph = depth + 1, graph.outer
        if depth > 8:
            raise ValueError("expected graphs inside graphs up to a depth of 8")
        if len(proto.node) > _LARGEST_BODY:
            raise ValueError(f"expected a body of at most {_LARGEST_BODY:,} nodes, got {len(proto.node):,}")
        return Graph(self.file, proto, self)

    def know(self, name: str, array: np.ndarray) -> None:
        """Set an input's values, as those of an initializer."""
        kept = np.asarray(array)
        (kind,) = [one.type.tensor_type for one in self.proto.input if one.name == name]
        declared = [size.dim_value if size.HasField("dim_value") else None for size in kind.shape.dim]
        if kept.dtype.kind not in "fiub":
            raise ValueError(f"expected numbers for {name!r}, got {kept.dtype}")
        fits = len(declared) == kept.ndim and all(
            size in (None, own) for size, own in zip(declared, kept.shape, strict=True)
        )
        if kind.HasField("shape") and not fits:
            raise ValueError(f"expected an array of shape {tuple(declared)} for {name!r}, got {kept.shape}")
        kept = kept.astype(dtype_of(kind.elem_type))
        self._values[name] = Constant(kept, tuple(Axis(n) for n in kept.shape), name, kept.dtype.kind == "f")

    def inputs(self) -> list:
        """Return the inputs that are not initializers."""
        return [one for one in self.proto.input if one.name not in self._values]

    def initializers(self) -> list[Constant]:
        """Return the graph's weights, and those given for its inputs."""
        names = [*(one.name for one in self.proto.input), *(one.name for one in self.proto.initializer)]
        return [value for name in names if isinstance(value := self._values.get(name), Constant)]

    def lookup(self, name: str) -> Value:
        """Return the value of a name, here or in a graph around."""
        if name in self._values:
            return self._values[name]
        if self.outer is None:
            raise ValueError(f"expected a value named {name!r}, which nothing before gives")
        return self.outer.lookup(name)

    def read(self, given: Sequence[Array]) -> list[Value]:
        """Return the outputs, from values for the inputs that are not initializers."""
        formal = self.inputs() if self.outer is None else list(self.proto.input)
        if len(formal) != len(given):
            raise ValueError(f"expected a graph with {len(given)} inputs, got {len(formal)}")
        for one, value in zip(formal, given, strict=True):
            self._values[one.name] = value
        for proto in self.proto.node:
            self._read_node(proto)
        return [self.lookup(one.name) for one in self.proto.output]

    def _read_node(self, proto) -> None:
        node = Node(proto, self)
        try:
            self.file.check_operator(proto)
            if proto.op_type not in OPERATORS:
                known = ", ".join(sorted(OPERATORS))
                raise ValueError(f"expected an operator that rnnkit reads, one of {known}")
            inputs = [self.lookup(name) if name else None for name in proto.input]
            outputs = self._outputs(node, inputs)
            if len(proto.output) > len(outputs):
                raise ValueError(f"expected at most {len(outputs)} outputs, got {len(proto.output)}")
        except RecursionError:
            raise ValueError(f"{node.label}: expected graphs that are not as deep") from None
        except (ValueError, TypeError, KeyError, IndexError, ArithmeticError, AttributeError, MemoryError) as error:
            raise ValueError(f"{node.label}: {error}") from error
        for name, value in zip(proto.output, outputs, strict=False):
            if name:
                self._values[name] = value

    def _outputs(self, node: Node, inputs: list) -> list[Any]:
        found = OPERATORS[node.op](node, *inputs)
        found = list(found) if isinstance(found, list) else [found]
        node.check_all_read()
        known = all(one is None or isinstance(one, Constant) for one in inputs)
        kept = node.op in _NOT_FOLDED or any(isinstance(one, Array) and one.of_call for one in found)
        if not known or kept or all(isinstance(one, Constant) for one in found):
            return found
        return [self._folded(node, inputs, found, i) for i in range(len(node.outputs))]

    def _folded(self, node, inputs, found, place) -> Constant:
        result = found[place]
        array = folded(node, inputs, place, numbers(result.axes), self.file)
        trainable = any(isinstance(one, Constant) and one.trainable for one in inputs) and array.dtype.kind == "f"
        name = next((one.name for one in inputs if one is not None and one.trainable), "")
        as_said = array.shape == numbers(result.axes)
        axes = result.axes if as_said else tuple(self.axes.of(n) for n in array.shape)
        return Constant(array, axes, name, trainable)

    def is_read_once(self, node: Node, value: Array) -> bool:
        names = [name for name in node.proto.input if name and self.lookup(name) is value]
        return all(self._reads[name] == 1 for name in names)


def _reads(proto) -> Counter:
    """Return the number of reads of each name, also inside of nodes."""
    found: Counter = Counter(one.name for one in proto.output)
    waiting = list(proto.node)
    while waiting:
        node = waiting.pop()
        found.update(node.input)
        for attribute in node.attribute:
            if attribute.HasField("g"):
                waiting += attribute.g.node
                found.update(one.name for one in attribute.g.output)
    return found


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
    repeated = [() if one is None else [slice(0, None if stride else 1) for stride in one.strides] for one in arrays]
    thin = [None if one is None else one[tuple(part)] for one, part in zip(arrays, repeated, strict=True)]
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
