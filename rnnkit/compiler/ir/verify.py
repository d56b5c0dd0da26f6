"""Checks that a pass has made a valid graph, adjoint or plan: in the tests, and with ``RNNKIT_CHECK=1``.

An error is a fault of the compiler. It names the pass, the operation, and the line of the step where it is known.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from rnnkit.compiler.ir.graph import FAILED, INPUTS, Graph, Node, depends_of
from rnnkit.compiler.ir.kinds import FLOATS, INTEGERS, KINDS

from rnnkit.compiler.ir.operations import (  # isort: skip
    INTEGER_OPERATIONS, OPERATIONS, POINTWISE, REDUCTIONS, IntegerOperation, Operation,
)  # fmt: skip
from rnnkit.compiler.ir.plan import (  # isort: skip
    AFTER, BLOCK, CALL, PREPACK, SECTIONS, STEP, Buffer, Check, Element, Fill, Fused, Load, Look, Loop, Plan,
    Pointwise, Product, Put, RowLoop, RowPlan, Slot, SparseProduct, read_by, section_of,
)  # fmt: skip
from rnnkit.compiler.ir.strides import Walk

CHECKED = os.environ.get("RNNKIT_CHECK") == "1"

Shape = tuple[int, ...]
Leaves = Mapping[tuple, Shape]  # (op, attr) of every input that a graph may have, with its shape

_OF_WEIGHTS = ("einsum", "inverse", "function")
# How many operands a node has: a number, or a function of the node.
_COUNTS: dict[str, Any] = {"view": 1, "product": 2, "inverse": 1, "take": 2, "put": 3, "result": 1}
_COUNTS |= dict.fromkeys(REDUCTIONS, 1) | dict.fromkeys(("literal", "carried", "round", "taped", *INPUTS), 0)
_COUNTS |= {"einsum": lambda node: node.attr.count(",") + 1, "loop": lambda node: 2 * node.attr.count + 1}
_COUNTS |= dict.fromkeys(("concatenate", "function", "ruled"), lambda node: max(1, len(node.args)))


class InvalidIR(RuntimeError):
    """A pass of the compiler made a graph or plan that breaks a rule."""


class _Report:
    """Errors about the result of one pass."""

    def __init__(self, after: str):
        self.after = after

    def node(self, node: Node, wrong: str):
        """Raise an InvalidIR for a node."""
        self.line(f"the node {node.id}, {node.op} of shape {node.shape},", wrong, (node.line,))

    def line(self, what: str, wrong: str, lines: Iterable[str] = ()):
        places = "; ".join(dict.fromkeys(line for line in lines if line))
        at = f", in the line {places!r}" if places else ""
        raise InvalidIR(f"after the pass {self.after!r}, {what} {wrong}{at}; this is a fault of rnnkit's compiler")


# Graphs


def leaves_of(graph: Graph) -> dict[tuple, Shape]:
    return {(node.op, node.attr): node.shape for node in graph.nodes if node.op in INPUTS}


def check_graph(graph: Graph, after: str, leaves: Leaves, states: Iterable[Shape], output: Shape | None = None) -> None:
    """Raise an `InvalidIR` at the first rule that a graph breaks, which the pass `after` made.

    `leaves` are the inputs that it may read, with their shapes; `states` and `output` are the results' shapes.
    """
    report, states = _Report(after), list(states)
    for i, node in enumerate(graph.nodes):
        if node.id != i:
            report.node(node, f"stands at place {i}: a node's number is its place, and each is made once")
    results = {"the output": graph.output} | {f"state {i}": node for i, node in enumerate(graph.states)}
    results |= {f"residual {name}": node for name, node in graph.residuals.items()}
    leaves = {**leaves, **{node.attr: node.shape for node in graph.nodes if node.op == "ruled"}}
    _check_nodes(graph.nodes, report, leaves, graph.sparse)
    for what, node in results.items():
        if node is None or not (0 <= node.id < len(graph.nodes) and graph.nodes[node.id] is node):
            report.line(what, "is no node of the graph")
    shapes = [node.shape for node in graph.states]
    for i, shape in enumerate(states):
        if i >= len(shapes) or shapes[i] != tuple(shape):
            report.line(f"state {i}", f"has shape {shapes[i] if i < len(shapes) else None}, expected {tuple(shape)}")
    if len(shapes) != len(states):
        report.line("the graph", f"has {len(shapes)} states, expected {len(states)}")
    if output is not None and graph.output.shape != tuple(output):
        report.node(graph.output, f"is the output, expected of shape {tuple(output)}")
    for what, node in list(results.items())[: 1 + len(shapes)]:
        if node.kind != "float":
            report.node(node, f"is {what} and no number")
    for number in graph.names:
        if not 0 <= number < len(graph.nodes):
            report.line(f"the name {graph.names[number]!r}", f"is that of node {number}, which is not there")


def _check_nodes(nodes: list[Node], report: _Report, leaves: Leaves, sparse: frozenset[str]) -> None:
    seen: dict[int, Node] = {}
    known: dict[tuple, Node] = {}
    for node in nodes:
        for arg in node.args:
            if seen.get(arg.id) is not arg:
                report.node(node, f"reads node {arg.id}, {arg.op}, which does not stand before it")
        if node.id in seen:
            report.node(node, "has the number of another node")
        seen[node.id] = node
        _check_operation(node, report)
        _check_depends(node, report)
        _check_kind(node, report)
        _check_shape(node, report, leaves)
        if node.op == "product" and (node.attr == "sparse") != Graph(sparse=sparse)._is_sparse(node.args[1]):
            report.node(node, "takes a sparse weight as a dense one, or the reverse")
        if node.op not in ("function", "literal"):
            attr = node.attr.key if node.op == "view" else node.attr
            key = node.op, tuple(arg.id for arg in node.args), attr, node.shape
            if key in known:
                report.node(node, f"is node {known[key].id} once more: equal nodes are one")
            known[key] = node


def _check_operation(node: Node, report: _Report) -> None:
    if node.op not in POINTWISE and node.op not in _COUNTS:
        report.node(node, "is no operation that there is")
    count = _count_of(node.op) if node.op in POINTWISE else _COUNTS[node.op]
    count = count(node) if callable(count) else count
    if len(node.args) != count:
        report.node(node, f"has {len(node.args)} operands, expected {count}")


def _count_of(op: str) -> int:
    """Return the number of operands in a pointwise operation's text."""
    operation: Operation | IntegerOperation | None = OPERATIONS.get(op) or INTEGER_OPERATIONS.get(op)
    return 1 if operation is None else len(set(re.findall(r"{\d}", operation.text)))


def _kinds(op: str, given: str, result: str) -> tuple[list[str], str]:
    """Return the kinds of a pointwise operation's operands and result, given the last operand's and the result's."""
    count = _count_of(op)
    if op == "cast":
        return [given], result if result in KINDS and result not in ("bool", given) else "another, but no condition"
    if op in INTEGER_OPERATIONS and given in INTEGERS:
        gives = given if INTEGER_OPERATIONS[op].result == "integer" else "bool"
    elif op not in OPERATIONS:
        return ["an integer"] * count, "an integer"
    else:
        given = OPERATIONS[op].operands if OPERATIONS[op].operands == "bool" or given not in FLOATS else given
        gives = given if OPERATIONS[op].result == "float" and op != "to_float" else OPERATIONS[op].result
    return ["bool", given, given] if op == "where" else [given] * count, gives


def _check_depends(node: Node, report: _Report) -> None:
    expected = depends_of(node.op, node.attr, frozenset().union(*(arg.depends for arg in node.args)))
    if node.depends != expected:
        report.node(node, f"depends on {sorted(map(str, node.depends))}, its operands on {sorted(map(str, expected))}")
    if node.op in _OF_WEIGHTS and node.batched:
        report.node(node, "is computed of weights alone, but reads what differs from row to row")
    if node.op == "product" and [arg.batched for arg in node.args] != [True, False]:
        report.node(node, "multiplies what differs from row to row by weights, but has other operands")


def _check_kind(node: Node, report: _Report) -> None:
    kinds = [arg.kind for arg in node.args]
    if node.op in POINTWISE:
        wanted, result = _kinds(node.op, kinds[-1], node.kind if node.op != "cast" else node.attr)
    elif node.op in REDUCTIONS:
        wanted = [kinds[0] if kinds[0] != "bool" else "float"]
        result = wanted[0]
    elif node.op in ("view", "concatenate"):
        wanted, result = [node.args[0].kind] * len(kinds), node.args[0].kind
    elif node.op == "literal":
        wanted, result = [], "float" if node.attr.dtype == np.float64 else node.attr.dtype.name
    elif node.op in ("residual", "carried", "taped"):
        wanted, result = [], node.kind  # what it is of says which
    elif node.op == "loop":  # a condition as well: that there was a round; a round keeps the carried values' kinds
        wanted, result = [*kinds[: node.attr.count], "bool", *kinds[: node.attr.count]], "bool"
    elif node.op == "result":
        wanted, result = kinds, node.args[0].args[node.attr].kind
    elif node.op in ("take", "put"):
        wanted, result = [kinds[0], "int64", kinds[0]][: len(kinds)], kinds[0]
    elif node.op == "round":
        wanted, result = [], "int64"
    else:
        wanted, result = ["float"] * len(kinds), "float"
    if kinds != wanted:
        report.node(node, f"takes operands of the kinds {kinds}, expected {wanted}")
    if node.kind != result:
        report.node(node, f"is of the kind {node.kind!r}, expected {result!r}")


def _check_shape(node: Node, report: _Report, leaves: Leaves) -> None:
    if node.op in INPUTS:
        if (node.op, node.attr) not in leaves:
            report.node(node, f"reads {node.attr!r}, which the step does not have")
        expected: Shape | None = tuple(leaves[node.op, node.attr])
    else:
        try:
            expected = _shape(node)
        except (ValueError, IndexError, TypeError, KeyError) as error:
            return report.node(node, f"can't be computed of shapes {[a.shape for a in node.args]}: {error}")
    if expected is not None and node.shape != expected:
        report.node(node, f"has operands of shapes {[a.shape for a in node.args]}, which give {expected}")
    return None


def _shape(node: Node) -> Shape | None:
    """Return the shape that follows from a node's operands; None for a function, whose result may have any."""
    shapes = [arg.shape for arg in node.args]
    if node.op == "literal":
        return node.attr.shape
    if node.op in POINTWISE:
        return np.broadcast_shapes(*shapes)
    if node.op in REDUCTIONS:
        if list(node.attr) != sorted(set(node.attr)) or not set(node.attr) <= set(range(len(shapes[0]))):
            raise ValueError(f"axes {node.attr}")
        return tuple(n for i, n in enumerate(shapes[0]) if i not in node.attr)
    if node.op == "view":
        return node.attr.apply(np.broadcast_to(np.float32(0), shapes[0]), 0).shape
    if node.op == "concatenate":
        axis = node.attr
        if not 0 <= axis < len(shapes[0]) or len({(*s[:axis], *s[axis + 1 :]) for s in shapes}) != 1:
            raise ValueError(f"along axis {axis}")
        return (*shapes[0][:axis], sum(s[axis] for s in shapes), *shapes[0][axis + 1 :])
    if node.op == "product":
        (*lead, depth), (inner, width) = shapes
        if depth != inner:
            raise ValueError(f"{depth} columns against {inner} rows")
        return (*lead, width)
    if node.op == "einsum":
        inputs, output = node.attr.split("->")
        sizes: dict[str, int] = {}
        for letters, shape in zip(inputs.split(","), shapes, strict=True):
            for letter, n in zip(letters, shape, strict=True):
                if sizes.setdefault(letter, n) != n:
                    raise ValueError(f"{letter} of {sizes[letter]} and of {n}")
        return tuple(sizes[letter] for letter in output)
    if node.op in ("take", "put"):
        if shapes[1] != () or (node.op == "put" and shapes[2] != shapes[0][1:]):
            raise ValueError("a place is a number")
        return shapes[0][1:] if node.op == "take" else shapes[0]
    if node.op == "loop":
        count = node.attr.count
        if shapes[count] != () or shapes[:count] != shapes[count + 1 :]:
            raise ValueError("a round changes what it carries")
    if node.op == "result":
        return node.args[0].args[node.attr].shape
    if node.op == "ruled":
        return shapes[0]
    if node.op in ("loop", "round"):
        return ()
    if node.op == "inverse":
        rows, columns = shapes[0]
        if rows != columns:
            raise ValueError("not square")
        return shapes[0]
    return None


# Adjoints


def check_adjoint(adjoint, after: str, step: Graph, x_shape: Shape, constant_shapes: Iterable[Shape]) -> None:
    """Raise an `InvalidIR` at the first rule that an adjoint's graphs, what goes between them, or its sums break."""
    report, forward, backward = _Report(after), adjoint.forward, adjoint.backward
    constant_shapes = [tuple(shape) for shape in constant_shapes]
    states = [node.shape for node in step.states]
    leaves = leaves_of(step) | {("x", None): tuple(x_shape)}
    check_graph(forward, after, leaves, states, step.output.shape)
    saved = {name: node.shape for name, node in forward.residuals.items()}
    read = {("residual", name): shape for name, shape in saved.items()}
    read |= {("residual", ("state", name[1])): shape for name, shape in saved.items() if name[0] == "after"}
    cotangents = [*states, *constant_shapes]
    by_row = [node.shape for node in backward.states[len(cotangents) :]]  # sums of the steps of each row
    cotangents += by_row
    leaves = {key: shape for key, shape in leaves.items() if key[0] != "state"} | read
    leaves |= {("state", i): shape for i, shape in enumerate(cotangents)}
    leaves |= {("sequence", "output"): step.output.shape}
    check_graph(backward, after, leaves, cotangents, x_shape)
    sizes: dict[tuple, int] = {("x", None): int(np.prod(x_shape))}
    sizes |= {("state", i): int(np.prod(shape)) for i, shape in enumerate(states)}
    sizes["total", None] = max(map(math.prod, by_row), default=0)
    sizes |= {("after", i): n for i, n in enumerate(sizes["state", i] for i in range(len(states)))}
    for graph, source in ((forward, "residual"), (backward, "operand")):
        sizes |= {(source, key): node.size for (kind, key), node in graph.residuals.items() if kind == source}
    used = {node.attr for node in backward.live() if node.op == "residual"}
    for i, one in enumerate(adjoint.sums):
        places = [place for place in (one.a, one.b) if place is not None]
        for place in places:
            _check_place(place, f"sum {i}", sizes, report)
            used.add((place.source, place.key))
        columns = one.b.depth if one.a is None else one.a.depth * one.b.depth
        rows = {place.rows for place in places} if columns else {1}  # an empty sum may have any number of rows
        if columns != int(np.prod(one.shape)) or len(rows) != 1:
            report.line(f"sum {i}", f"of shape {one.shape} adds up {places}")
    used |= {("after", key) for kind, key in used if kind == "state"}  # the state before is that after the last step
    for name in [*forward.residuals, *backward.residuals]:
        if name not in used and name != FAILED:
            report.line(f"the value {name}", "is saved at each step, and nothing reads it")
    for node in backward.nodes:  # what an adjoint takes for a residual of numbers has to be one
        of = forward.residuals.get(node.attr) if node.op == "residual" else None
        if of is not None and of.kind != node.kind:
            report.node(node, f"is read as {node.kind}, but was saved as {of.kind}")
    given = {key: shape for key, shape in leaves_of(step).items() if key[0] == "weight"}
    sums = [one.shape for one in adjoint.sums] or by_row
    given |= {("weight", ("sum", i)): shape for i, shape in enumerate(sums)}
    _check_nodes(_sorted(adjoint.weights.values()), report, given, step.sparse)
    for name, node in adjoint.weights.items():
        of = given["weight", name]
        stretches = all(n in (1, m) for n, m in zip(node.shape[::-1], of[::-1], strict=False))
        if len(node.shape) > len(of) or not stretches:
            report.node(node, f"is the gradient of {name!r}, which has shape {of}")


def _check_place(place, what: str, sizes: Mapping[tuple, int], report: _Report) -> None:
    if (place.source, place.key) not in sizes:
        report.line(what, f"reads {place.source} {place.key}, which is not saved")
    last = place.offset + max(0, place.rows - 1) * place.stride + place.depth
    if place.offset < 0 or (place.rows and last > sizes[place.source, place.key]):
        report.line(what, f"reads element {last - 1} of {place.source} {place.key}, which has "
                    f"{sizes[place.source, place.key]}")  # fmt: skip


def _sorted(nodes: Iterable[Node]) -> list[Node]:
    """Return nodes and all under them, in order of their numbers."""
    found, stack = {}, list(nodes)
    while stack:
        node = stack.pop()
        if node.id not in found:
            found[node.id] = node
            stack.extend(node.made_of)
    return [found[number] for number in sorted(found)]


# Plans

# The first section whose stages may read a buffer of a kind.
_READ_FROM = {"x": BLOCK, "sequence": BLOCK, "residual": BLOCK, "constant": CALL, "draw": CALL, "prepacked": CALL}
_GIVEN = (*_READ_FROM, "state")
# The section whose stages may write one.
_WRITTEN_IN = {"next": STEP, "output": STEP, "residual": STEP, "result": AFTER}


def check_plan(plan: Plan, after: str, graph: Graph, columns) -> None:
    """Raise an `InvalidIR` at the first rule that a plan of a graph breaks; ``columns`` gives a product's width."""
    (_RowPlanCheck if isinstance(plan, RowPlan) else _PlanCheck)(plan, _Report(after), columns).run(graph)


class _PlanCheck:
    """Check of the stages of a plan in their order, with the elements that were written so far."""

    def __init__(self, plan: Plan, report: _Report, columns):
        self.plan, self.report, self.columns = plan, report, columns
        self.written = {b: np.zeros(b.size, bool) for b in plan.buffers}
        self.layouts: dict[Buffer, tuple] = {}  # of weights: the gates and units for which they are laid out

    def run(self, graph: Graph) -> None:
        plan, report = self.plan, self.report
        self._check_buffers(graph)
        order = [(stage.section, stage.level) for stage in plan.stages]
        for stage, before, here in zip(plan.stages[1:], order, order[1:], strict=False):
            if here < before:
                self._refuse(stage, f"stands behind one of section {before[0]}, level {before[1]}, but is of {here}")
        for stage in plan.stages:
            if stage.section not in (CALL, BLOCK, STEP, AFTER):
                self._refuse(stage, f"is of section {stage.section}, which has no stages")
            for part in stage.parts if isinstance(stage, Fused) else [stage]:
                if part.section != stage.section:
                    self._refuse(part, f"is fused in a stage of section {stage.section}, but is of {part.section}")
                self._product(part) if isinstance(part, Product) else self._loop(part)
        for buffer in plan.buffers:
            if self._is_result(buffer) and not self.written[buffer].all():
                report.line(f"the buffer {buffer.name}", f"has {buffer.size} elements, and not all are written")

    def _check_buffers(self, graph: Graph) -> None:
        plan, report = self.plan, self.report
        names = [buffer.name for buffer in plan.buffers]
        for buffer in plan.buffers:
            if buffer.size < 0 or names.count(buffer.name) > 1:
                report.line(f"the buffer {buffer.name}", "has no size, or the name of another")
            if (buffer.kind == "prepacked") != (buffer in plan.prepacked):
                report.line(f"the buffer {buffer.name}", "is computed when weights change, or not, against its kind")
        wanted = {("state", i): node.size for i, node in enumerate(graph.states)}
        found = {("state", b.attr): b.size for b in plan.buffers if b.kind == "next"}
        outputs = [b.size for b in plan.buffers if b.kind in ("output", "result")]
        if found != wanted or outputs != [graph.output.size]:
            report.line("the plan", f"has results of sizes {found} and {outputs}, the graph {wanted} and one output of "
                        f"{graph.output.size}")  # fmt: skip
        saved = {b.attr[1]: b.size for b in plan.buffers if b.is_written}
        by_row = isinstance(plan, RowPlan)
        wanted = {name: node.size for name, node in graph.residuals.items() if name != FAILED or not by_row}
        if saved != wanted:
            report.line("the plan", f"saves {sorted(map(str, saved))}, the graph {sorted(map(str, graph.residuals))}")
        shapes = tuple(node.shape for node in graph.states), graph.output.shape
        if (plan.state_shapes, plan.output_shape) != shapes:
            report.line("the plan", f"has the shapes {plan.state_shapes, plan.output_shape}, the graph {shapes}")
        for buffer, nodes in plan.prepacked.items():
            for node in nodes if isinstance(nodes, list) else [nodes]:
                if section_of(node) != PREPACK:
                    report.node(node, f"is computed when weights change, for {buffer.name}, but depends on "
                                f"{sorted(node.depends)}")  # fmt: skip
            if not isinstance(nodes, list) and buffer.size != nodes.size:
                report.node(nodes, f"has {nodes.size} elements, its buffer {buffer.name} {buffer.size}")

    @staticmethod
    def _is_result(buffer: Buffer) -> bool:
        return buffer.kind in ("next", "output", "result") or buffer.is_written

    def _refuse(self, stage, wrong: str):
        parts = stage.parts if isinstance(stage, Fused) else [stage]
        self.report.line(" with ".join(map(description, parts)), wrong, [line for one in parts for line in one.lines])

    # Reads and writes of stages

    def _read(self, stage, buffer: Buffer, elements: np.ndarray) -> None:
        self._within(stage, buffer, elements, "reads")
        given = buffer.kind in _GIVEN and not buffer.is_written
        if buffer.kind == "state":
            allowed = stage.section == STEP
        elif given:
            allowed = stage.section >= _READ_FROM[buffer.kind]
        elif buffer.kind == "scratch":
            allowed = stage.section >= buffer.section and (buffer.section != STEP or stage.section == STEP)
        else:  # what is written at each step: saved values are there for the whole block, the others are not
            allowed = stage.section == _WRITTEN_IN[buffer.kind] or (buffer.is_written and stage.section == AFTER)
        if not allowed:
            self._refuse(stage, f"runs {SECTIONS[stage.section]} and reads {buffer.name}, which is not there then")
        if not given and not self.written[buffer][elements].all():
            self._refuse(stage, f"reads {buffer.name} before it is written")

    def _write(self, stage, buffer: Buffer, elements: np.ndarray) -> None:
        self._within(stage, buffer, elements, "writes")
        section = buffer.section if buffer.kind == "scratch" else _WRITTEN_IN.get(buffer.kind)
        behind = stage.section == AFTER and buffer.kind == "residual"  # what is kept of each step is kept of a block
        held = self.plan.unshared and stage.section == STEP and buffer.kind == "scratch" and section == BLOCK
        if not (section == stage.section or behind or held) or (buffer.kind == "residual" and not buffer.is_written):
            self._refuse(stage, f"runs {SECTIONS[stage.section]} and writes {buffer.name}, a buffer of {buffer.kind}")
        if self.written[buffer][elements].any() or np.unique(elements).size != elements.size:
            self._refuse(stage, f"writes elements of {buffer.name} that are written already")
        self.written[buffer][elements] = True

    def _within(self, stage, buffer: Buffer, elements: np.ndarray, does: str) -> None:
        if buffer not in self.written:
            self._refuse(stage, f"{does} {buffer.name}, which is no buffer of the plan")
        size = self.written[buffer].size
        if elements.size and not 0 <= elements.min() <= elements.max() < size:
            worst = elements.max() if elements.max() >= size else elements.min()
            self._refuse(stage, f"{does} element {worst} of {buffer.name}, which has {size}")

    def _product(self, stage: Product) -> None:
        nodes = self.plan.prepacked.get(stage.panels)
        fits = (len(w.shape) == 2 and w.shape[0] == stage.depth and not w.batched for w in stage.weights)
        if nodes != stage.weights or not all(fits):
            self._refuse(stage, f"has weights other than those that {stage.panels.name} holds, or of another depth")
        layout = stage.gates, stage.units
        if self.layouts.setdefault(stage.panels, layout) != layout:
            self._refuse(stage, f"has gates other than those for which {stage.panels.name} is laid out")
        if isinstance(stage, SparseProduct) != (stage.panels.attr == "sparse"):
            self._refuse(stage, "takes a sparse weight as a dense one, or the reverse")
        rows = stage.offset + stage.row_stride * np.arange(stage.rows)
        self._read(stage, stage.operand, (rows[:, None] + np.arange(stage.depth)).reshape(-1))
        width = sum(w.shape[1] for w in stage.weights)
        if stage.gates:
            lanes, count = self.columns(1), len(stage.gates)
            walks = (Walk(i * lanes, (1,), gates=count) for i in range(count))
            places = np.concatenate([elements_of(walk, (stage.units,), lanes) for walk in walks])
            if stage.rows != 1 or max(stage.gates) + stage.units > width:
                self._refuse(stage, f"has gates {stage.gates} of {stage.units} units, but {width} columns")
            size = len(stage.gates) * self.columns(stage.units)
        else:
            padded = self.columns(width)
            places = (np.arange(stage.rows)[:, None] * padded + np.arange(width)).reshape(-1)
            size = stage.rows * padded
        if stage.result.size != size:
            self._refuse(stage, f"gives {size} elements, and {stage.result.name} has {stage.result.size}")
        self._write(stage, stage.result, places)

    def _loop(self, stage: Loop) -> None:
        if not 0 <= stage.kept <= len(stage.dims) or (stage.reduction is None) != (stage.kept == len(stage.dims)):
            self._refuse(stage, f"keeps {stage.kept} of the axes {stage.dims}")
        if stage.reduction is not None and stage.reduction not in REDUCTIONS:
            self._refuse(stage, "is no reduction that there is")
        kinds: dict[str, str] = {}
        loaded = set()
        for value in stage.values:
            if value.name in kinds:
                self._refuse(stage, f"computes {value.name} twice")
            if isinstance(value, Load):
                loaded.add(value.buffer)
                self._read(stage, value.buffer, self._elements(stage, value.walk, stage.dims))
            elif isinstance(value, Pointwise):
                self._operation(stage, value, kinds)
            kinds[value.name] = value.kind
        for name, buffer, walk in stage.writes:
            if name not in kinds:
                self._refuse(stage, f"writes {name}, which is none of its values")
            if buffer in loaded:
                self._refuse(stage, f"reads {buffer.name}, which it writes")
            self._write(stage, buffer, self._elements(stage, walk, stage.dims[: stage.kept]))
        for total in stage.totals:
            self._write(stage, total.buffer, self._elements(stage, total.walk, stage.dims[: total.kept]))

    def _operation(self, stage: Loop, value: Pointwise, kinds: dict[str, str]) -> None:
        if value.op not in POINTWISE:
            self._refuse(stage, f"computes {value.op}, which is no operation that there is")
        for arg in value.args:
            if arg not in kinds:
                self._refuse(stage, f"computes {value.name} of {arg}, which is no value before it")
        found = [kinds[arg] for arg in value.args]
        wanted, result = _kinds(value.op, found[-1], value.kind)
        if found != wanted or value.kind != result:
            self._refuse(stage, f"computes {value.op} of the kinds {found} as {value.kind}, not {wanted} as {result}")

    def _elements(self, stage, walk: Walk | None, dims) -> np.ndarray:
        if walk is None or (walk.gates == 0 and len(walk.strides) != len(dims)):
            self._refuse(stage, f"walks over {len(dims)} axes as {walk}")
        assert walk is not None  # or it was refused
        return elements_of(walk, dims, self.columns(1))


class _RowPlanCheck(_PlanCheck):
    """Check of the lines of a plan by rows."""

    plan: RowPlan

    def run(self, graph: Graph) -> None:
        self._check_buffers(graph)
        plan, report = self.plan, self.report
        kinds: dict[str, str] = {}
        self._lines(plan.lines, kinds)
        for buffer, names in plan.writes:
            if isinstance(names, Slot):
                wrong = names not in plan.slots or names.size != buffer.size or buffer.attr not in plan.resident
            else:
                wrong = len(names) != buffer.size or any(name not in kinds for name in names)
            if wrong:
                report.line(f"the buffer {buffer.name}", f"has {buffer.size} numbers, and not all are written")
        if {b for b, _ in plan.writes} != {b for b in plan.buffers if self._is_result(b)}:
            report.line("the plan", "writes other buffers than its results")

    def _lines(self, lines, kinds: dict[str, str]) -> None:
        """Check lines in their order, with the kinds of the names that have values by then."""
        for line in lines:
            outer = dict(kinds)
            if isinstance(line, RowLoop):
                kinds |= {one.name: one.kind for one in line.carried} | {line.name: "int64"}
                self._wrong(line, [one.initial for one in line.carried if one.initial not in outer], "begins with")
                self._lines(line.lines, kinds)
                own = [line.go] if line.back is None else []
                late = [name for name in (*own, *(one.next for one in line.carried)) if name not in kinds]
                self._wrong(line, late, "goes on with")
                unlike = [one.name for one in line.carried if one.kind != kinds[one.next]]
                self._wrong(line, unlike, "carries as another kind")
                kinds.clear()
                kinds |= outer | {one.name: one.kind for one in line.carried}
                continue
            self._wrong(line, [name for name in read_by(line) if name not in kinds], "reads")
            if isinstance(line, Check):
                continue
            if isinstance(line, (Fill, Put)):
                part = isinstance(line, Fill) and len(line.names) != line.slot.size
                wrong = part or line.slot not in self.plan.slots
                self._wrong(line, [line.slot.name] * wrong, "doesn't fill, or it is no slot:")
                continue
            self._named(line, kinds)
            kinds[line.name] = line.kind

    def _named(self, line, kinds: dict[str, str]) -> None:
        if line.name in kinds or self.plan.sections.get(line.name) not in (PREPACK, CALL, BLOCK, STEP):
            self._wrong(line, [line.name], "has no section, or the name of another:")
        if isinstance(line, Element) and not (line.buffer in self.written and 0 <= line.index < line.buffer.size):
            self._wrong(line, [f"{line.buffer.name}[{line.index}]"], "reads")
        late = [name for name in read_by(line) if self.plan.sections[name] > self.plan.sections[line.name]]
        self._wrong(line, late, "is computed before what it reads:")
        if isinstance(line, Look) and line.place not in (*self.plan.slots, *self.plan.buffers):
            self._wrong(line, [line.place.name], "looks into what isn't there:")
        if isinstance(line, Pointwise):
            found = [kinds[arg] for arg in line.args]
            wanted, result = (["float"] * 3, "float") if line.op == "fma" else _kinds(line.op, found[-1], line.kind)
            if (found, line.kind) != (wanted, result):
                self._wrong(line, found, f"computes {line.op} of other kinds than it takes:")

    def _wrong(self, line, names: Iterable[str], what: str) -> None:
        if names := list(names):
            comment = self.plan.comments.get(getattr(line, "name", ""), "")
            self.report.line(f"the line {getattr(line, 'name', 'of a slot')}", f"{what} {names[0]}", (comment,))


def elements_of(walk: Walk, dims: Shape, lanes: int) -> np.ndarray:
    """Return the elements that a loop over these axes touches, in order, where a vector has so many lanes."""
    if walk.gates:
        places = np.arange(dims[0])
        return walk.offset + places // lanes * walk.gates * lanes + places % lanes
    numbers = np.zeros(dims, np.int64)
    for axis, (n, stride) in enumerate(zip(dims, walk.strides, strict=True)):
        numbers = numbers + stride * np.arange(n).reshape([-1 if a == axis else 1 for a in range(len(dims))])
    numbers = numbers.reshape(-1)
    return walk.offset + numbers if walk.table is None else walk.table[numbers].astype(np.int64)


def description(stage: Product | Loop) -> str:
    if isinstance(stage, Product):
        return f"the product of {stage.operand.name} that gives {stage.result.name}"
    names = ", ".join(dict.fromkeys(buffer.name for _, buffer, _ in stage.writes))
    kind = "loop" if stage.reduction is None else f"reduction {stage.reduction}"
    return f"the {kind} that gives {names}"
