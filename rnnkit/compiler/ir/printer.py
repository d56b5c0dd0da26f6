"""Graphs and plans as text, with one line for each node, buffer and value: the same text in every process.

A node is ``name: kind shape = operation[attribute](operands)  <- what it depends on``. Its name is that of the step's
variable where there is one. Single numbers are written where they are used. A comment is the line of the step that the
nodes below it come from. Of a table of many numbers, the text has the first, the last and a digest. So the text is
linear in the size of the graph.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

import numpy as np

from rnnkit.compiler.ir.graph import INPUTS, Graph, Node

from rnnkit.compiler.ir.plan import (  # isort: skip
    SECTIONS, Buffer, Check, Element, Fill, Fused, Load, Look, Loop, Number, Plan, Product, Put, RowLoop, RowPlan,
    Slot, SparseProduct, Tape,
)  # fmt: skip
from rnnkit.compiler.ir.strides import Walk, strides_of

_SHOWN = 8  # numbers of a table that are all shown
_DEPENDS = ("x", "state", "constant", "draw", "weight")


def print_graph(graph: Graph, title: str = "graph") -> str:
    """Return the nodes that a result needs as text, in order, then the results."""
    names, weights, line = names_of(graph), _of_weights(graph), ""
    live = [node for node in graph.live() if node.id in names]
    lines = [f"{title}: {_count(len(live), 'node')}"]
    for node in live:
        if node.line and node.line != line:
            line = node.line
            lines.append(f"  # {line}")
        operands = ", ".join(_operand(arg, names) for arg in node.args)
        depends = [one for one in _DEPENDS if one in node.depends or (one == "weight" and node.id in weights)]
        depends += [_words(one) for one in sorted(node.depends - {*_DEPENDS})]
        made = f"{_operation(node)}({operands})" if node.args else _operation(node)
        of = ", ".join(depends) or "none"
        lines.append(f"  {names[node.id]}: {node.kind} {_shape(node.shape)} = {made}  <- {of}")
    lines.append(f"  output = {_operand(graph.output, names)}")
    lines += [f"  state[{i}] = {_operand(node, names)}" for i, node in enumerate(graph.states)]
    lines += [f"  save[{_words(name)}] = {_operand(node, names)}" for name, node in graph.residuals.items()]
    return "\n".join(lines)


def names_of(graph: Graph) -> dict[int, str]:
    """Return a name for each node that a result needs, except single numbers; no two are the same."""
    names: dict[int, str] = {}
    counts: dict[str, int] = {}
    for node in graph.live():
        if not _is_number(node):
            names[node.id] = _apart(_wanted(node, graph), counts)
    return names


def _apart(wanted: str, counts: dict[str, int]) -> str:
    """Return a name, with a number behind it if it is taken."""
    name = wanted
    while name in counts:
        counts[wanted] += 1
        name = f"{wanted}_{counts[wanted]}"
    counts[name] = 0
    return name


def _wanted(node: Node, graph: Graph) -> str:
    if node.op == "weight":
        name = _words(node.attr)
    elif node.op in INPUTS:
        name = " ".join(dict.fromkeys([node.op, *([] if node.attr is None else _words(node.attr).split())]))
    else:
        name = graph.names.get(node.id) or node.op
    return re.sub(r"\W+", "_", name).strip("_") or node.op


def _of_weights(graph: Graph) -> set[int]:
    found: set[int] = set()
    for node in graph.nodes:
        if node.op == "weight" or any(arg.id in found for arg in node.args):
            found.add(node.id)
    return found


def _is_number(node: Node) -> bool:
    return node.op == "literal" and node.shape == () and node.kind != "bool"


def _operand(node: Node, names: dict[int, str]) -> str:
    return repr(node.attr.item()) if _is_number(node) else names[node.id]


def _operation(node: Node) -> str:
    attribute = _attribute(node)
    return f"{node.op}[{attribute}]" if attribute else node.op


def _attribute(node: Node) -> str:
    if node.op == "literal":
        return _table(node.attr)
    if node.op == "view":
        return _view(node)
    if node.op == "loop":
        return f"{node.attr.id}, {_count(node.attr.count, 'value')}"
    if node.op == "concatenate":
        return f"axis {node.attr}"
    if node.op == "function":
        return node.attr.name if node.attr.part is None else f"{node.attr.name}, result {node.attr.part}"
    if node.op in ("carried", "taped"):
        return "{}, value {}".format(*node.attr)
    if isinstance(node.attr, tuple) and all(isinstance(one, int) for one in node.attr):
        return f"axes {_words(node.attr)}"
    return "" if node.attr is None else _words(node.attr)


def _view(node: Node) -> str:
    kind, *key = node.attr.key
    if node.attr.part is not None:
        return ", ".join(_index(k) for k in node.attr.part)
    if kind == "gather":
        return f"gather {_places(node.attr.index(node.args[0].shape))}"
    return kind if kind in ("reshape", "broadcast") else f"{kind} {_words(key[0])}"  # the shape says the rest


def _index(k) -> str:
    if isinstance(k, slice):
        step = "" if k.step is None else f":{k.step}"
        return f"{'' if k.start is None else k.start}:{'' if k.stop is None else k.stop}{step}"
    return f"({_table(k)})" if isinstance(k, np.ndarray) else str(k)


def _places(index: np.ndarray) -> str:
    """Return element numbers as text: as a walk where they are one."""
    described = strides_of(index)
    if described is None or index.size <= _SHOWN:
        return _table(index)
    return f"from {described[0]} by {_words([0 if step is None else step for step in described[1]])}"


def _table(array: np.ndarray) -> str:
    """Return numbers as text, in order; of many, the ends and a digest of all."""
    flat = np.asarray(array).reshape(-1)
    flat = flat if flat.dtype == bool else flat.astype(np.int64 if flat.dtype.kind in "iu" else np.float64)
    shown = [repr(one) for one in flat.tolist()] if flat.size <= _SHOWN else []
    if flat.size <= _SHOWN:
        return " ".join(shown) or "empty"
    data = flat.astype(flat.dtype.newbyteorder("<")).tobytes()
    return f"{flat[0].item()!r} ... {flat[-1].item()!r}, sha256 {hashlib.sha256(data).hexdigest()[:12]}"


def _words(value) -> str:
    """Return a tuple of names and numbers as text without its punctuation."""
    if isinstance(value, (tuple, list)):
        return " ".join(_words(one) for one in value)
    return str(value)


def _count(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"


def _shape(shape) -> str:
    return str(tuple(map(int, shape)))


# Plans


def print_plan(plan: Plan, graph: Graph, title: str = "plan") -> str:
    """Return a plan as text: buffers, values computed when weights change, and the stages in order."""
    names = names_of(graph)
    parts = _count(len(plan.lines), "line") if isinstance(plan, RowPlan) else _count(len(plan.stages), "stage")
    lines = [f"{title}: {_count(len(plan.buffers), 'buffer')}, {parts}"]
    lines += [f"  {_buffer(buffer)}" for buffer in plan.buffers]
    if plan.prepacked:
        lines.append(f"{SECTIONS[0]}:")
    for buffer, nodes in plan.prepacked.items():
        several = nodes if isinstance(nodes, list) else [nodes]
        made = ", ".join(_operand(node, names) for node in several)
        lines.append(f"  {buffer.name} = {f'pack({made})' if isinstance(nodes, list) else made}")
    if isinstance(plan, RowPlan):
        return "\n".join(lines + _rows(plan))
    for section, when in enumerate(SECTIONS):
        stages = [stage for stage in plan.stages if stage.section == section]
        if stages:
            lines.append(f"{when}:")
        for stage in stages:
            if isinstance(stage, Fused):
                lines.append("  fused:")
            for part in stage.parts if isinstance(stage, Fused) else [stage]:
                texts = _product(part) if isinstance(part, Product) else _loop(part)
                lines += [f"{'    ' if isinstance(stage, Fused) else '  '}{line}" for line in texts]
    return "\n".join(lines)


def _rows(plan: RowPlan) -> list[str]:
    """Return the lines of a plan by rows, each a number of every row, then the results."""
    lines = [f"  {slot.name} holds state[{i}]" for i, slot in plan.resident.items()]
    lines += _row_lines(plan, plan.lines)
    lines += [f"  {b.name} = {names.name if isinstance(names, Slot) else ', '.join(names)}" for b, names in plan.writes]
    return ["by rows:", *lines] + ([f"  fails by {plan.code}"] if plan.code else [])


def _row_lines(plan: RowPlan, several) -> list[str]:
    lines, comment = [], ""
    for line in several:
        if isinstance(line, RowLoop):
            lines += [f"  {one.name}: {one.kind} = {one.initial}" for one in line.carried]
            until = f"while {line.go}{f', at most {line.limit:,} rounds' * bool(line.limit)}"
            until = until if line.back is None else f"the rounds of {line.back.name}, the last one first"
            body = [f"  keep {_tape(one)} in {one.slot.name}" for one in line.tapes]
            body += [f"  keep which rows go on in {line.going.name}"] if line.going else []
            body += _row_lines(plan, line.lines)
            body += [f"  {one.name} = {one.next}" for one in line.carried]
            lines += [f"  {line.name}: {until}:", *(f"  {one}" for one in body)]
            continue
        if isinstance(line, Fill):
            lines.append(f"  {line.slot.name} = {', '.join(line.names)}")
            continue
        if isinstance(line, Put):
            under = f" where {line.under}" if line.under else ""
            at = f"{line.offset} + {line.stride} * {line.index or 0}"
            lines.append(f"  {line.slot.name}[{at}] = {line.value}{under}")
            continue
        if isinstance(line, Check):
            lines.append(f"  fails where {line.fails}")
            continue
        if plan.comments.get(line.name, comment) != comment:
            comment = plan.comments[line.name]
            lines.append(f"  # {comment}")
        if isinstance(line, Element):
            made = f"{line.buffer.name}[{line.index}]"
        elif isinstance(line, Look):
            made = f"{line.place.name}[{line.offset} + {line.stride} * {line.index or 0}]"
        else:
            made = repr(line.number) if isinstance(line, Number) else f"{line.op}({', '.join(line.args)})"
        lines.append(f"  {line.name}: {line.kind} = {made}  ({SECTIONS[plan.sections[line.name]]})")
    return lines


def _tape(tape: Tape) -> str:
    return tape.source.name if isinstance(tape.source, Slot) else ", ".join(tape.source)


def _buffer(buffer: Buffer) -> str:
    attribute = "" if buffer.attr is None else f"[{_words(buffer.attr)}]"
    size = f"{buffer.size}{'' if buffer.elements == 'float' else f' of {buffer.elements}'}"
    return f"{buffer.name}: {buffer.kind}{attribute}, size {size}, {SECTIONS[buffer.section]}"


def _product(product: Product) -> list[str]:
    where = [f"offset {product.offset}", f"rows {product.rows}", f"stride {product.row_stride}"]
    columns = sum(weight.shape[1] for weight in product.weights)
    kind = f"sparse, {product.nonzeros} nonzeros" if isinstance(product, SparseProduct) else "dense"
    gates = f", gates {_words(product.gates)} of {product.units} units" if product.gates else ""
    operand = f"{product.operand.name}[{', '.join(where)}]"
    made = f"product({operand}, {product.panels.name})  {product.depth} x {columns}, {kind}{gates}"
    return [*_comments(product.lines), f"{product.result.name} = {made}"]


def _loop(loop: Loop) -> list[str]:
    reduced = "" if loop.reduction is None else f", {loop.reduction} over axes from {loop.kept} on"
    lines = [*_comments(loop.lines), f"loop {_shape(loop.dims)}{reduced}:"]
    for value in loop.values:
        if isinstance(value, Load):
            made = f"load {value.buffer.name}[{_walk(value.walk)}]"
        else:
            made = repr(value.number) if isinstance(value, Number) else f"{value.op}({', '.join(value.args)})"
        lines.append(f"  {value.name}: {value.kind} = {made}")
    lines += [f"  {buffer.name}[{_walk(walk)}] = {name}" for name, buffer, walk in loop.writes]
    for one in loop.totals:
        made = f"{one.reduction} of {one.value} over axes from {one.kept} on"
        lines.append(f"  {one.buffer.name}[{_walk(one.walk)}] = {made}")
    return lines


def _walk(walk: Walk) -> str:
    text = f"offset {walk.offset}, strides {_words(walk.strides)}"
    if walk.gates:
        return f"{text}, gates {walk.gates}"
    return text if walk.table is None else f"{text} in the table {_table(walk.table)}"


def _comments(lines: Iterable[str]) -> list[str]:
    return [f"# {line}" for line in lines]
