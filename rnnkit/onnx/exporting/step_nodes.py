"""The nodes of a step's graph as nodes of ONNX: the counterpart of `rnnkit.compiler.ir.evaluate`."""

from __future__ import annotations

import numpy as np

from rnnkit.compiler.ir.graph import Node
from rnnkit.compiler.ir.kinds import dtype_of
from rnnkit.compiler.ir.operations import INTEGER_OPERATIONS
from rnnkit.onnx.exporting.block import Block
from rnnkit.onnx.exporting.expression import Expression
from rnnkit.onnx.exporting.pointwise import INTEGERS_POINTWISE, POINTWISE
from rnnkit.onnx.exporting.step_graph import StepGraph
from rnnkit.onnx.format.package import element_type

_OF_NOTHING = {"sum": 0, "product": 0, "prod": 1}
_REDUCTIONS = {"sum": "ReduceSum", "prod": "ReduceProd", "max": "ReduceMax", "min": "ReduceMin"}


class StepNodes:
    """Writes nodes of a step's graph into a block.

    Parameters
    ----------
    block : Block
    step : StepGraph
    given : dict of (op, attr) to str
        The names of what the step reads, ``(*lead, *shape)`` each.
    lead : str
        The sizes of the axes in front of a batched value's own, as a list of integers.
    axes : int
        How many these are: the batch alone, or more where all steps are computed at once.
    """

    def __init__(self, block: Block, step: StepGraph, given: dict[tuple, str], lead: str, axes: int = 1):
        self.block, self.step, self.given, self.lead, self.axes = block, step, given, lead, axes
        self.names: dict[int, str] = {}  # by the number of a node

    def write(self, nodes) -> None:
        """Write batched nodes and all that they need, into `names`."""
        wanted, stack = {}, [node for node in nodes if node.batched]
        while stack:
            node = stack.pop()
            if node.id not in self.names and node.id not in wanted:
                wanted[node.id] = node
                stack += [a for a in node.args if a.batched and _filling(node) is None]
        for number in sorted(wanted):
            self.names[number] = self._written(wanted[number])

    def result(self, node: Node, name: str) -> str:
        """A node's value under a name of its own, with all axes in front."""
        self.write([node])
        if node.batched:
            return self.block.add("Identity", self.names[node.id], name=name)
        return self._whole(node, name)

    def _written(self, node: Node) -> str:
        if (node.op, node.attr) in self.given and not node.args:
            return self.given[node.op, node.attr]
        if (filling := _filling(node)) is not None:
            number = self.block.number(filling, dtype_of(node.kind, self.step.dtype))
            return self.block.repeated(number, self.lead, node.shape, self.step.label(node), node.line)
        if node.pointwise:
            return self._pointwise(node)
        if node.op in _REDUCTIONS:
            axes = self.block.integers(*(self.axes + i for i in node.attr))
            return self._add(node, _REDUCTIONS[node.op], self._operand(node.args[0]), axes, keepdims=0)
        if node.op == "product":
            return self._add(node, "MatMul", *map(self._operand, node.args))
        if node.op == "view":
            return self._view(node)
        if node.op == "concatenate":
            return self._add(node, "Concat", *map(self._whole, node.args), axis=self.axes + node.attr)
        raise self.step.refused(node, f"no operator is known for {node.op}")

    def _add(self, node, operator, *operands, **attributes) -> str:
        return self.block.add(operator, *operands, name=self.step.label(node), line=node.line, **attributes)

    def _operand(self, node: Node) -> str:
        if node.batched:
            return self.names[node.id]
        hold = self.block.weight if node.id in self.step.trained else self.block.constant
        return hold(self.step.values[node.id], self.step.label(node))

    def _whole(self, node: Node, name: str = "") -> str:
        """A value with all axes in front, also one that rows share."""
        if node.batched:
            return self.names[node.id]
        return self.block.repeated(self._operand(node), self.lead, node.shape, name)

    def _pointwise(self, node: Node) -> str:
        known = INTEGERS_POINTWISE if node.args[-1].is_integer and node.op in INTEGER_OPERATIONS else POINTWISE
        narrow = next((a for a in (node, *node.args) if a.is_integer and a.kind not in ("int32", "int64")), None)
        if narrow is not None or (node.op not in known and node.op != "cast"):
            of = f" of {node.args[-1].kind}" if known is INTEGERS_POINTWISE else ""
            what = f"{node.op}{of}" if narrow is None else narrow.kind
            raise self.step.refused(node, f"no operator is known for {what}")
        kinds = ["float" if a.kind == "bool" else a.kind for a in node.args]
        operands = [
            Expression(self.block, self._padded(a, len(node.shape)), dtype_of(kind, self.step.dtype), node.line)
            for a, kind in zip(node.args, kinds, strict=True)
        ]
        if node.op == "cast":
            return operands[0].call("Cast", to=element_type(dtype_of(node.kind, self.step.dtype))).name
        return known[node.op](*operands).name

    def _padded(self, node: Node, rank: int) -> str:
        """An operand with axes of length 1 behind the batch's, as NumPy would have them in front of all."""
        missing = rank - len(node.shape)
        if not node.batched or not missing:
            return self._operand(node)
        return self.block.add(
            "Unsqueeze", self._operand(node), self.block.integers(*range(self.axes, self.axes + missing))
        )

    # Views

    def _view(self, node: Node) -> str:
        (source,) = node.args
        kind, what = node.attr.key[0], node.attr.key[-1]
        if kind == "reshape":
            return self._reshaped(self._operand(source), node.shape, node)
        if kind == "transpose":
            perm = [*range(self.axes), *(self.axes + axis for axis in what)]
            return self._add(node, "Transpose", self._operand(source), perm=perm)
        if (slices := _slices(node.attr.part, source.shape)) is not None:
            return self._sliced(node, source, slices)
        return self._gathered(node, source)

    def _reshaped(self, name: str, shape, node: Node) -> str:
        return self._add(node, "Reshape", name, self.block.integers(*(0,) * self.axes, *shape))

    def _sliced(self, node, source, slices) -> str:
        name = self._operand(source)
        cut = [
            (i, low, high, step)
            for i, (low, high, step) in enumerate(slices)
            if (low, high, step) != (0, source.shape[i], 1)
        ]
        kept = tuple(len(range(*one)) for one in slices)
        if cut:
            axes, low, high, step = zip(*cut, strict=True)
            bounds = (low, high, [self.axes + axis for axis in axes], step)
            name = self._add(node, "Slice", name, *(self.block.integers(*numbers) for numbers in bounds))
        return name if kept == node.shape else self._reshaped(name, node.shape, node)

    def _gathered(self, node: Node, source: Node) -> str:
        table = node.attr.index(source.shape).reshape(-1).astype(np.int64)
        flat = self._reshaped(self._operand(source), (source.size,), node)
        found = self.block.add("Gather", flat, self.block.constant(table, "places"), line=node.line, axis=self.axes)
        return self._reshaped(found, node.shape, node)


def _filling(node: Node) -> int | None:
    """The number in every place of a value that has no entries, or is a sum or product over none; else None."""
    if not node.size:
        return 0
    return _OF_NOTHING.get(node.op) if node.args and not node.args[0].size else None


def _slices(part, shape) -> list[tuple[int, int, int]] | None:
    """An index of integers and rising slices as bounds and steps for all axes; None for any other."""
    if part is None or not all(isinstance(k, (int, np.integer, slice)) for k in part):
        return None
    found = []
    for axis, size in enumerate(shape):
        k = part[axis] if axis < len(part) else slice(None)
        bounds = k.indices(size) if isinstance(k, slice) else (int(k) % size, int(k) % size + 1, 1)
        if bounds[2] < 1 or len(range(*bounds)) == 0:
            return None
        found.append(bounds)
    return found
