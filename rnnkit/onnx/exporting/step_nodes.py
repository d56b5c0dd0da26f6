"""Nodes of a graph as nodes of ONNX: the counterpart of `rnnkit.compiler.ir.evaluate`."""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable
from functools import partial

import numpy as np

from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.compiler.ir.graph import Graph, Node, loops_of, without_codes
from rnnkit.compiler.ir.kinds import dtype_of
from rnnkit.compiler.ir.operations import INTEGER_OPERATIONS
from rnnkit.execution import passes, pipeline
from rnnkit.onnx.exporting.block import Block, of_rows
from rnnkit.onnx.exporting.expression import OF_INTEGERS, POINTWISE, Expression
from rnnkit.onnx.exporting.package import element_type


class ReadGraph:
    """A graph, with the values of weights and numbers alone; a ValueError for random draws, with the line.

    `name` is that of the step or the layer, `weights` are arrays by name, and `trained` the names of trainable ones.
    """

    def __init__(self, name: str, dtype, graph: Graph, weights, trained=()):
        self.name, self.dtype, self.graph = name, np.dtype(dtype), without_codes(graph)
        self.live = self.graph.live()
        self.trained: set[int] = set()  # ids of the nodes that depend on a trainable weight
        for node in self.live:
            if (node.op == "weight" and node.attr in trained) or any(a.id in self.trained for a in node.args):
                self.trained.add(node.id)
        self._refuse_draws()
        outermost = [a for node in self.live if node.batched for a in node.args if not a.batched]
        outermost += [node for node in self.results if not node.batched]
        given = {("weight", name): np.asarray(array) for name, array in weights.items()}
        with np.errstate(all="ignore"):
            self.values = evaluate(outermost, given, self.dtype)

    @property
    def results(self) -> list[Node]:
        """The output and the new states."""
        return [self.graph.output, *self.graph.states]

    def label(self, node: Node) -> str:
        """Return a readable name: the step's variable, the weight's name, or else the operation."""
        name = self.graph.names.get(node.id)
        return name or (str(node.attr) if node.op == "weight" else node.op)

    def refused(self, node: Node, why: str) -> ValueError:
        """Return the error for a node without a form in ONNX."""
        place = f", in the line {node.line!r}" if node.line else ""
        return ValueError(f"{self.name!r} can't be exported to ONNX: {why}{place}")

    def _refuse_draws(self):
        for draw in self.live:
            if draw.op == "draw":
                reader = next((node for node in self.live if draw in node.args), None)
                who = f"{reader.op} reads" if reader else "it returns"
                raise self.refused(reader or draw, f"{who} {draw.attr!r}, which is drawn at random for each call")


class StepGraph(ReadGraph):
    """The graph of a step, without the batch axis, for constants of some shapes; an error if it can't be traced."""

    def __init__(self, step, dtype, constant_shapes=(), training=False):
        weights = step.cell._all_weights()
        told = f"{step.name!r} can't be exported to ONNX, since the tracer can't read its step: {{}}"
        with pipeline.readable(step, told, " for ONNX"):
            graph = passes.read(step, dtype, weights, constant_shapes, training)
        options = step.cell._weight_options()
        super().__init__(step.name, dtype, graph, weights, [name for name in weights if options[name].trainable])


FAR = np.iinfo(np.int64).max
_OF_NOTHING = {"sum": 0, "product": 0, "prod": 1}
_REDUCTIONS = {"sum": "ReduceSum", "prod": "ReduceProd", "max": "ReduceMax", "min": "ReduceMin"}


class StepNodes:
    """A writer of the nodes of a step's graph into a block.

    `given` has the names of the step's inputs ``(*lead, *shape)`` by (op, attr). `lead` is a list of integers, the
    sizes of the first `axes` axes of a batched value: the batch alone, or more if all steps are computed at once.
    `used` is the condition of the rows that the step is used in; other rows run no rounds of its loops.
    """

    def __init__(self, block: Block, step: ReadGraph, given: dict[tuple, str], lead: str, axes: int = 1, used=None):
        self.block, self.step, self.given, self.lead, self.axes, self.used = block, step, given, lead, axes, used
        self.names: dict[int, str] = {}  # by the id of a node
        self.rounds: dict[int, str] = {}  # the number of a round, common to all rows, by the id of a loop
        self.carried: dict[int, list[str]] = {}  # results of a loop, by its node's id
        self.open: frozenset = frozenset()  # the loops whose bodies are being written

    def write(self, nodes) -> None:
        """Write batched nodes and their dependencies, into `names`."""
        wanted, stack = {}, [node for node in nodes if node.batched]
        while stack:
            node = stack.pop()
            if node.id not in self.names and node.id not in wanted:
                wanted[node.id] = node
                stack += [a for a in self._read(node) if a.batched and filling(node) is None]
        for number in sorted(wanted):
            self.names[number] = self._written(wanted[number])

    def _read(self, node: Node) -> list[Node]:
        """Return the nodes to write before a node: for a loop, its initial values and those it reads from outside."""
        if node.op != "loop":
            return list(node.made_of)
        around = (a for one in self._body(node) for a in one.args if loops_of(a) <= self.open)
        return [*node.args[: node.attr.count], *around]

    def _body(self, loop: Node) -> list[Node]:
        return [one for one in self.step.live if ("loop", loop.attr.id) in one.depends]

    def result(self, node: Node, name: str) -> str:
        """Return a node's value under a name of its own, with all axes in front."""
        self.write([node])
        if node.batched:
            return self.block.add("Identity", self.names[node.id], name=name)
        return self._whole(node, name)

    def _written(self, node: Node) -> str:
        if (node.op, node.attr) in self.given and not node.args:
            return self.given[node.op, node.attr]
        if (number := filling(node)) is not None:
            name = self.block.number(number, dtype_of(node.kind, self.step.dtype))
            return self.block.repeated(name, self.lead, self._shape(node), self.step.label(node), node.line)
        if node.pointwise:
            return self._pointwise(node)
        if node.op in _REDUCTIONS:
            axes = self.block.integers(*(self.axes + i for i in node.attr))
            return self._add(node, _REDUCTIONS[node.op], self._operand(node.args[0]), axes, keepdims=0)
        writers: dict[str, Callable[[Node], str]] = {
            "product": lambda one: self._add(one, "MatMul", *map(self._operand, one.args)),
            "einsum": self._einsum,
            "view": self._view,
            "concatenate": lambda one: self._add(one, "Concat", *map(self._whole, one.args), axis=self.axes + one.attr),
            "ruled": lambda one: self._whole(one.args[0]),
            "take": self._taken,
            "put": self._put,
            "loop": self._loop,
            "result": lambda one: self.carried[one.args[0].id][one.attr],
            "round": lambda one: self.block.repeated(self.rounds[one.attr], self.lead, (), "round"),
        }
        if node.op not in writers:
            raise self.step.refused(node, f"no operator is known for {node.op}")
        return writers[node.op](node)

    def _add(self, node, operator, *operands, **attributes) -> str:
        return self.block.add(operator, *operands, name=self.step.label(node), line=node.line, **attributes)

    def _operand(self, node: Node) -> str:
        if node.batched:
            return self.names[node.id]
        hold = self.block.weight if node.id in self.step.trained else self.block.constant
        return hold(self.step.values[node.id], self.step.label(node))

    def _whole(self, node: Node, name: str = "") -> str:
        """Return a value with all axes in front, also if rows share it."""
        if node.batched:
            return self.names[node.id]
        return self.block.repeated(self._operand(node), self.lead, self._shape(node), name)

    def _integers(self, node: Node, of: Callable[[Node], Iterable[int]]) -> str:
        return self.block.integers(*of(node))

    def _shape(self, node: Node) -> str:
        """Return the sizes of a value's own axes, as a list of integers."""
        return self._integers(node, lambda one: one.shape)

    def _einsum(self, node: Node) -> str:
        """Write a contraction; the axes in front get unused letters."""
        inputs, output = node.attr.split("->")
        lead = "".join([letter for letter in string.ascii_letters if letter not in inputs][: self.axes])
        terms = [lead * a.batched + term for a, term in zip(node.args, inputs.split(","), strict=True)]
        return self._add(node, "Einsum", *map(self._operand, node.args), equation=f"{','.join(terms)}->{lead}{output}")

    def _pointwise(self, node: Node) -> str:
        of_integers = node.args[-1].is_integer and node.op in INTEGER_OPERATIONS
        known = POINTWISE | OF_INTEGERS if of_integers else POINTWISE
        narrow = next((a for a in (node, *node.args) if a.is_integer and a.kind not in ("int32", "int64")), None)
        if narrow is not None or node.op not in {*known, "cast", "to_float"}:
            what = f"{node.op}{f' of {node.args[-1].kind}' if of_integers else ''}" if narrow is None else narrow.kind
            raise self.step.refused(node, f"no operator is known for {what}")
        operands = [
            Expression.of_name(
                self.block, self._padded(a, len(node.shape)), dtype_of(a.kind, self.step.dtype), node.line
            )
            for a in node.args
        ]
        if node.op in ("cast", "to_float"):
            return operands[0].call("Cast", to=element_type(dtype_of(node.kind, self.step.dtype))).name
        return known[node.op](*operands).name

    def _padded(self, node: Node, rank: int) -> str:
        """Return an operand with axes of length 1 after the batch's, for NumPy's broadcasting."""
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
            return self._reshaped(self._operand(source), node)
        if kind == "transpose":
            perm = [*range(self.axes), *(self.axes + axis for axis in what)]
            return self._add(node, "Transpose", self._operand(source), perm=perm)
        if kind == "broadcast":
            ones = self._padded(source, len(node.shape))
            return self.block.repeated(ones, self.lead, self._shape(node), self.step.label(node), node.line)
        return self._sliced(node, source) if _is_by_axes(node.attr.part) else self._gathered(node, source)

    def _reshaped(self, name: str, node: Node) -> str:
        return self._add(node, "Reshape", name, self.block.integers(*(0,) * self.axes, *node.shape))

    def _sliced(self, node: Node, source: Node) -> str:
        """Write a selection of parts along each axis."""
        name, (bounds, tables) = self._operand(source), _parts(node)
        if bounds:
            axes = self.block.integers(*(self.axes + axis for axis in bounds))
            bound = lambda one, i: [bound[i] for bound in _parts(one)[0].values()]
            start, stop, step = (self._integers(node, partial(bound, i=i)) for i in range(3))
            name = self._add(node, "Slice", name, start, stop, axes, step)
        for axis in tables:
            places = self._integers(node, lambda one: next(iter(_parts(one)[1].values())))
            name = self._add(node, "Gather", name, places, axis=self.axes + axis)
        plain = all(isinstance(k, slice) or np.ndim(k) == 1 for k in node.attr.part)
        return name if plain else self._reshaped(name, node)

    def _gathered(self, node: Node, source: Node) -> str:
        flat = self.block.add("Reshape", self._operand(source), self.block.integers(*(0,) * self.axes, -1))
        places = self._integers(node, lambda one: one.attr.index(one.args[0].shape).reshape(-1))
        found = self.block.add("Gather", flat, places, line=node.line, axis=self.axes)
        return self._reshaped(found, node)

    # Computed indices

    def _places(self, index: Node, rank: int) -> str:
        """Return indices along one axis, with axes of length 1 after it."""
        name = self._whole(index)
        if index.kind not in ("int32", "int64"):
            name = self.block.add("Cast", name, to=element_type(np.int64))
        axes = range(self.axes, self.axes + 1 + rank)
        return self.block.add("Unsqueeze", name, self.block.integers(*axes))

    def _taken(self, node: Node) -> str:
        array, index = node.args
        if not array.batched:
            return self._add(node, "Gather", self._operand(array), self._operand(index), axis=0)
        places = self._places(index, 0)
        return self._add(node, "GatherND", self._operand(array), places, batch_dims=self.axes)

    def _put(self, node: Node) -> str:
        array, index, value = node.args
        places = self._places(index, len(value.shape))
        if value.shape:
            places = self.block.repeated(places, self.lead, (1, *value.shape))
        new = self.block.add("Unsqueeze", self._whole(value), self.block.integers(self.axes))
        return self._add(node, "ScatterElements", self._whole(array), places, new, axis=self.axes)

    # Loops

    def _loop(self, node: Node) -> str:
        """Write a loop that runs while any row wants another round; other rows keep their values."""
        from onnx import helper

        loop, count, around = node.attr, node.attr.count, self.block
        initials, nexts = node.args[:count], node.args[count + 1 :]
        known = _known_rounds(node)
        starts = [self._whole(initial) for initial in initials]
        kinds = [dtype_of(initial.kind, self.step.dtype) for initial in initials]
        if known is None:
            starts.append(self._going(node, starts, around.number(0, np.int64)))
            wanted = self._any(starts[-1])
        body = self.block = Block(around)
        number, again, *inside = map(body.named, ["rounds", "again", *["carried"] * len(starts)])
        self._enter(node, inside, number)
        self.write(nexts)
        new = [self._whole(following) for following in nexts]
        if known is None:
            ranks = [len(initial.shape) for initial in initials]
            new = [self._kept(inside[-1], *one) for one in zip(new, inside, kinds, ranks, strict=False)]
            new.append(self._going(node, new, body.add("Add", number, body.number(1, np.int64)), inside[-1]))
            again_now = self._any(new[-1])
        else:
            new = [body.add("Identity", name) for name in new]
            again_now = body.add("Identity", again)
        self.block, self.open = around, self.open - {("loop", loop.id)}
        shapes = [initial.shape for initial in initials]
        many = [*zip(shapes, kinds, strict=True), *([((), np.dtype(bool))] if known is None else [])]
        scalars = [
            helper.make_tensor_value_info(name, element_type(dtype), [])
            for name, dtype in ((number, np.int64), (again, bool), (again_now, bool))
        ]
        taken = [*scalars[:2], *(of_rows(name, *one) for name, one in zip(inside, many, strict=True))]
        given = [scalars[2], *(of_rows(name, *one) for name, one in zip(new, many, strict=True))]
        graph = helper.make_graph(body.nodes, "rounds", taken, given)
        limits = ("", wanted) if known is None else (around.number(known, np.int64), "")
        names = ["result"] * len(starts)
        self.carried[node.id] = around.several("Loop", [*limits, *starts], names, loop.line, body=graph)
        return ""

    def _enter(self, node: Node, carried: list[str], number: str) -> None:
        """Bind the body of a loop to the values carried into a round, and to the round's number."""
        loop = node.attr
        self.given |= {("carried", (loop.id, i)): name for i, name in enumerate(carried[: loop.count])}
        self.rounds[loop.id], self.open = number, self.open | {("loop", loop.id)}
        for one in self._body(node):
            self.names.pop(one.id, None)

    def _going(self, node: Node, carried: list[str], number: str, before: str | None = None) -> str:
        """Return the condition that a row wants another round."""
        self._enter(node, carried, number)
        go, before = node.args[node.attr.count], before or self.used
        self.write([go])
        return self._whole(go) if before is None else self.block.add("And", before, self._whole(go))

    def _any(self, rows: str) -> str:
        """Return whether a condition holds for any row, by a sum, as zero rows have no maximum."""
        counted = self.block.add("Cast", rows, to=element_type(np.int64))
        return self.block.add("Cast", self.block.add("ReduceSum", counted, keepdims=0), to=element_type(bool))

    def _kept(self, going: str, new: str, old: str, dtype, rank: int) -> str:
        """Return a row's values after a round, new if it ran; conditions are cast, as Where lacks a kernel for them."""
        if dtype.kind != "b":
            return self.block.chosen(going, new, old, rank)
        new, old = (self.block.add("Cast", name, to=element_type(np.int32)) for name in (new, old))
        return self.block.add("Cast", self.block.chosen(going, new, old, rank), to=element_type(bool))


def _known_rounds(loop: Node) -> int | None:
    """Return the number of rounds of all rows if the step gives a constant, or None."""
    go = loop.args[loop.attr.count]
    if go.op == "less" and go.args[0].op == "round" and go.args[0].attr == loop.attr.id and go.args[1].op == "literal":
        return max(0, int(go.args[1].attr))
    return None


def filling(node: Node) -> int | None:
    """Return the constant value of an empty array, or of a sum or product over no entries; None otherwise."""
    if not node.size:
        return 0
    return _OF_NOTHING.get(node.op) if node.args and not node.args[0].size else None


def _is_by_axes(part: tuple | None) -> bool:
    """Return whether an index has new axes, slices, and either integers or one array of them, in the axes' order."""
    others = [k for k in part or () if k is not None and not isinstance(k, slice)]
    arrays = [k for k in others if isinstance(k, np.ndarray)]
    integers = all(isinstance(k, (int, np.integer, np.ndarray)) and np.asarray(k).dtype.kind in "iu" for k in others)
    return part is not None and integers and (not arrays or len(others) == 1)


def _parts(view: Node) -> tuple[dict[int, tuple[int, int, int]], dict[int, np.ndarray]]:
    """Return start, stop and step of each sliced axis of an index by axes, and the indices of a gathered axis."""
    bounds, tables = {}, {}
    for axis, k in enumerate(k for k in view.attr.part if k is not None):
        if isinstance(k, np.ndarray):
            tables[axis] = k.reshape(-1)
        elif not isinstance(k, slice):
            bounds[axis] = int(k), int(k) + 1 or FAR, 1
        elif k != slice(None):
            first, last = (0, FAR) if (k.step or 1) > 0 else (FAR, -FAR)
            ends = (first if k.start is None else k.start), (last if k.stop is None else k.stop)
            bounds[axis] = int(ends[0]), int(ends[1]), int(k.step or 1)
    return bounds, tables
