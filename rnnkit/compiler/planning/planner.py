"""The planner: it decides which values of a graph are stored, in which order, and which are computed together."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from rnnkit.compiler.ir.elementwise import is_elementwise
from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.compiler.ir.graph import BATCHED, BY_ROW, Graph, Node
from rnnkit.compiler.ir.kinds import carrier
from rnnkit.compiler.ir.operations import REDUCTIONS
from rnnkit.compiler.ir.plan import (
    AFTER,
    BLOCK,
    PREPACK,
    STEP,
    Buffer,
    Loop,
    Plan,
    Product,
    SparseProduct,
    section_of,
)
from rnnkit.compiler.ir.strides import merge_axes, row_walk
from rnnkit.compiler.planning.loop_lowering import LoopValues, part_of, spread
from rnnkit.compiler.planning.scans import behind_blocks, mark_scans

_MOST_PLACES = 8  # a value that one loop needs shifted in more ways is kept: each layer of shifts doubles their number


@dataclass(eq=False)
class _Root:
    """A value that a loop computes and keeps: of a node, over a shape, written to buffers."""

    node: Node
    section: int
    shape: tuple[int, ...]
    kept: int
    index: np.ndarray  # elements of the node, or of a reduction's operand, in the loop's order
    writes: list[tuple[Buffer, np.ndarray]]
    reduction: str | None = None
    inner: bool = False  # the node's own operation is computed here
    owner: Node | None = None  # the kept node that this root makes, None for a copy
    along_last: bool = True  # a reduction: whether vectors are along the axes that are summed
    level: int = 0
    reads: dict[tuple[int, bytes], tuple[Node, np.ndarray]] = field(default_factory=dict)
    computed: dict[tuple[int, bytes], tuple[Node, np.ndarray]] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)


def plan(graph: Graph, packed_width) -> Plan:
    """Return the plan of a graph; ``packed_width`` returns the padded width of a product's result."""
    return Planner(graph, packed_width).run()


def plan_with_scans(graph: Graph, packed_width) -> Plan:
    """Return such a plan, or one whose loops run all steps of a block for some elements before the next ones.

    Where no product stays in the steps, so that no threads share them, more is computed after blocks.
    """
    if is_elementwise(graph) and (behind := behind_blocks(graph)) is not None:
        made = Planner(graph, packed_width, *behind).run()
        if mark_scans(made):
            return made
    if graph.late:
        late, reads, known = late_nodes(graph)
        kept = [node for node in reads if node.id not in known]
        steps = [n for n in graph.live() if n.op == "product" and n.id not in late and section_of(n) == STEP]
        if kept and not steps and not any(node.op in BATCHED for node in kept):
            made = Planner(graph, packed_width, late, [node.id for node in kept]).run()
            made.unshared = True
            return made
    return plan(graph, packed_width)


def late_nodes(graph: Graph) -> tuple[set[int], list[Node], set[int]]:
    """Return the nodes of a late output alone, those of the time loop that they read, and those kept of every step."""
    live = graph.live()
    early = graph.under([*graph.states, *graph.residuals.values()])
    only = graph.under([graph.output]) - early
    late = {n.id: n for n in live if n.id in only and section_of(n) in (BLOCK, STEP) and n.op not in BATCHED}
    # Other results stand in scratch memory of their step first, and are then copied.
    kept = {n.id for n in graph.residuals.values() if n.pointwise or n.op in ("concatenate", "view")}
    reads = {a.id: a for n in late.values() for a in n.args if a.id not in late and section_of(a) == STEP}
    return set(late), list(reads.values()), kept


class Planner:
    """Planner of one graph: stores and orders values, joins products of an operand, and fuses pointwise operations."""

    def __init__(self, graph: Graph, packed_width, after: set[int] | None = None, kept: Iterable[int] = ()):
        self.graph, self.packed_width, self.kept = graph, packed_width, set(kept)
        self.live = graph.live()
        if (by_row := next((node for node in self.live if node.op in BY_ROW), None)) is not None:
            raise ValueError(
                "expected a step whose decisions are by np.where or if, for a program with features as lanes; got a "
                f"{by_row.op}, in the line {by_row.line!r}"
            )
        self.after = self._find_after() if after is None else after
        self.materialized: set[int] = set()
        self.home: dict[int, tuple[Buffer, np.ndarray]] = {}
        self.names: set[str] = set()
        self._views: dict[int, np.ndarray] = {}
        self._scratch_buffers: dict[tuple, Buffer] = {}
        self.plan = Plan(
            state_shapes=tuple(s.shape for s in graph.states),
            output_shape=graph.output.shape,
            messages=graph.messages,
            late=graph.late,
        )

    def run(self) -> Plan:
        self._leaves()
        targets: list[tuple[str, object, Node]]
        kept: list[tuple[str, object, Node]]
        targets = [*(("next", i, s) for i, s in enumerate(self.graph.states)), ("output", None, self.graph.output)]
        kept = [("residual", ("write", name), node) for name, node in self.graph.residuals.items()]
        targets = kept + targets if self.after else targets + kept  # the first is where others read a value
        self.targets = [(self._target(kind, attr, node), node) for kind, attr, node in targets]
        self.materialized = {n.id for n in self.live if n.batched and (n.op == "product" or n.op in REDUCTIONS)}
        self.materialized |= self.kept
        for node in self.live:
            if node.op == "product":
                self._operand(node.args[0])
        for _, node in self.targets:
            if node.batched and node.op not in BATCHED:
                self.materialized.add(node.id)
        if self.graph.matrices:  # which `_settle` would find in as many turns as a matrix has rows
            views = Counter(node.args[0].id for node in self.live if node.op == "view")
            self.materialized |= {n.id for n in self.live if n.batched and n.pointwise and views[n.id] > 1}
        while missing := self._settle():
            self.materialized |= missing
        self._emit()
        return self.plan

    def section(self, node) -> int:
        return AFTER if node.id in self.after else section_of(node)

    def _find_after(self) -> set[int]:
        """Return the nodes of a late output alone, if all that they read of the time loop is kept of every step."""
        if not self.graph.late:
            return set()
        late, reads, kept = late_nodes(self.graph)
        return late if {node.id for node in reads} <= kept else set()

    # Places of values

    def _name(self, wanted: str) -> str:
        wanted = re.sub(r"\W", "_", wanted)  # a stack names its parts' draws by path
        name, count = wanted, 0
        while name in self.names:
            count += 1
            name = f"{wanted}_{count}"
        self.names.add(name)
        return name

    def _buffer(self, name, **fields) -> Buffer:
        buffer = Buffer(self._name(name), **fields)
        self.plan.buffers.append(buffer)
        return buffer

    def _target(self, kind, attr, node) -> Buffer:
        if kind == "output" and node.id in self.after:
            return self._buffer("result", kind="result", size=node.size, section=AFTER)
        return self._buffer("save" if kind == "residual" else kind, kind=kind, size=node.size, attr=attr)

    def _leaves(self):
        for node in self.live:
            if node.op in BATCHED:
                name = node.op if node.attr is None else f"{node.op}_{node.attr}"
                if node.op == "residual":
                    name = "_".join(map(str, node.attr))
                buffer = self._buffer(name, kind=node.op, size=node.size, section=section_of(node), attr=node.attr)
                self.home[node.id] = buffer, np.arange(node.size)

    def stored(self, node) -> bool:
        return not node.batched or node.op in BATCHED or node.id in self.materialized

    def view_index(self, node) -> np.ndarray:
        """Return, for each element of a view, the element of its operand."""
        if node.id not in self._views:
            self._views[node.id] = node.attr.index(node.args[0].shape).reshape(-1)
        return self._views[node.id]

    def _operand(self, node):
        """Keep a product's operand unless its rows can be read where they stand."""
        source, index = node, np.arange(node.size).reshape(node.shape)
        while source.op == "view" and not self.stored(source):
            index = self.view_index(source)[index]
            source = source.args[0]
        whole = source.op == "concatenate" and index.size == source.size
        if not (row_walk(index) and (source.op in BATCHED or whole)):
            self.materialized.add(node.id)
        elif whole:
            self.materialized.add(source.id)

    # Further values to keep

    def _settle(self) -> set[int]:
        """Explore all roots under the kept values; return nodes that have to be kept as well."""
        self._known_expensive: dict[int, bool] = {}
        self._known_sources: dict[int, frozenset[int]] = {}
        self.roots = self._make_roots()
        missing: set[int] = set()
        for root in self.roots:
            root.reads, root.computed, root.places = {}, {}, {}
            if root.inner and root.reduction is None:
                for arg in root.node.args:
                    self._explore(root, arg, spread(arg, root.node, root.index), missing)
            else:
                self._explore(root, root.node, root.index, missing)
        if missing:
            return missing
        self._levels()
        return self._shared()

    def _make_roots(self) -> list[_Root]:
        """Return the values that loops compute: all kept ones but products, and copies where a target needs one."""
        roots: list[_Root] = []
        self.home = {k: v for k, v in self.home.items() if v[0].kind in (*BATCHED, "prepacked")}
        missing: dict[int, list[Buffer]] = {}
        for buffer, node in self.targets:
            missing.setdefault(node.id, []).append(buffer)
        kept = [node for node in self.live if node.id in self.materialized]
        for node in kept:
            if node.op != "product":
                wanted = missing.get(node.id, [])
                buffers = self._written_at_once(node, wanted)
                missing[node.id] = [buffer for buffer in wanted if buffer not in buffers]
                if not buffers or (node.id in self.kept and buffers[0].kind != "residual"):
                    buffers = [self._scratch(node), *buffers]
                self.home[node.id] = buffers[0], np.arange(node.size)
                roots += self._roots_of(node, buffers)
        for node in kept:
            if node.op == "product":
                self.home[node.id] = self._product_home(node)
        for buffer, node in self.targets:
            if buffer in missing[node.id]:
                flat, section = np.arange(node.size), max(STEP, self.section(node))
                roots.append(_Root(node, section, node.shape, len(node.shape), flat, [(buffer, flat)]))
        return roots

    def _written_at_once(self, node, wanted: list[Buffer]) -> list[Buffer]:
        """Return the targets among `wanted` that the loop of a node can write; a copy fills the others."""
        if self.section(node) != STEP:
            return []  # it is kept for many steps
        return wanted if node.pointwise else wanted[:1] if node.op in ("concatenate", "view") else []

    def _roots_of(self, node, buffers: list[Buffer]) -> list[_Root]:
        """Return the roots that make a kept node and write it to `buffers`: one for each part of a concatenation."""
        shape, flat = node.shape, np.arange(node.size)

        def root(source, shape, index, places, **more):
            writes = [(buffer, places) for buffer in buffers]
            return _Root(source, self.section(node), shape, len(node.shape), index, writes, owner=node, **more)

        if node.op in REDUCTIONS:
            (arg,) = node.args
            order = [i for i in range(len(arg.shape)) if i not in node.attr] + list(node.attr)
            index = np.arange(arg.size).reshape(arg.shape).transpose(order)
            along_last = len(arg.shape) - 1 in node.attr or len(node.attr) == len(arg.shape)
            shape = index.shape
            return [root(arg, shape, index.reshape(-1), flat, reduction=node.op, along_last=along_last)]
        if node.op == "concatenate":
            ends = np.cumsum([part.shape[node.attr] for part in node.args])
            places = np.split(flat.reshape(shape), ends[:-1], axis=node.attr)
            return [
                root(part, part.shape, np.arange(part.size), at.reshape(-1))
                for part, at in zip(node.args, places, strict=True)
            ]
        if node.op == "view":
            return [root(node.args[0], shape, self.view_index(node), flat)]
        return [root(node, shape, flat, flat, inner=True)]

    def _scratch(self, node) -> Buffer:
        return self._buffer_of(("scratch", node.id), node.op, node, node.size)

    def _buffer_of(self, key, fallback, node, size) -> Buffer:
        if key not in self._scratch_buffers:
            name = self.graph.names.get(node.id, fallback)
            elements = carrier(node.kind)
            section = BLOCK if node.id in self.kept else self.section(node)
            self._scratch_buffers[key] = Buffer(name, "scratch", size, section, elements=elements)
        return self._scratch_buffers[key]

    def _product_home(self, node):
        """Return a product's place in the joint result of all products of its operand."""
        operand, weight = node.args
        group = self._together(node)
        widths = [n.args[1].shape[1] for n in group]
        total = self.packed_width(sum(widths))
        rows = int(np.prod(node.shape[:-1]))
        buffer = self._buffer_of(("product", group[0].id), "product", node, rows * total)
        start = sum(widths[: group.index(node)])
        index = np.arange(rows)[:, None] * total + start + np.arange(weight.shape[1])
        return buffer, index.reshape(-1)

    def _explore(self, root, node, index, missing):
        """Note the values that a root reads and computes for these elements of a node."""
        if self.stored(node) and not (root.inner and node is root.node):
            root.reads.setdefault((node.id, index.tobytes()), (node, index))
            return
        if node.op == "view":
            self._explore(root, node.args[0], self.view_index(node)[index], missing)
        elif node.op == "concatenate":
            part, local = part_of(node, index)
            if part is None:
                missing.add(node.id)
            else:
                self._explore(root, part, local, missing)
        elif (self.section(node) < root.section and self._worth_keeping(node)) or (
            index.size > node.size and self._expensive(node)
        ):
            missing.add(node.id)
        else:
            key = node.id, index.tobytes()
            if key in root.computed:
                return
            places = root.places[node.id] = root.places.get(node.id, 0) + 1
            if places > _MOST_PLACES:
                missing.add(node.id)
            else:
                root.computed[key] = node, index
                for arg in node.args:
                    self._explore(root, arg, spread(arg, node, index), missing)

    def _expensive(self, node) -> bool:
        """Return whether computing a node from stored values takes an expensive operation."""
        if node.id not in self._known_expensive:
            self._known_expensive[node.id] = not self.stored(node) and (
                (node.pointwise and node.operation.expensive) or any(self._expensive(a) for a in node.args)
            )
        return self._known_expensive[node.id]

    def _worth_keeping(self, node) -> bool:
        """Return whether computing a node early saves more than loading its operands later costs."""
        if not node.pointwise:
            return False
        if all(_numbers(arg) < node.size for arg in node.args):  # an outer product: cheaper to make than to load
            return node.operation.expensive
        return self._expensive(node) or len(self._sources(node)) > 1

    def _sources(self, node) -> frozenset[int]:
        """Return the buffers that computing a node reads from."""
        if node.id not in self._known_sources:
            if not node.batched:
                found: frozenset[int] = frozenset()
            elif self.stored(node):
                found = frozenset({id(self.home[node.id][0]) if node.id in self.home else -node.id})
            else:
                found = frozenset().union(*(self._sources(a) for a in node.args))
            self._known_sources[node.id] = found
        return self._known_sources[node.id]

    def _levels(self):
        """Order the roots: a level is a pass over the rows."""
        makers: dict[int, list[_Root]] = {}
        for root in self.roots:
            if root.owner is not None:
                makers.setdefault(root.owner.id, []).append(root)
        self._level_of: dict[int, int] = {}

        def of_node(node) -> int:
            if node.id not in self._level_of:
                if node.op == "product":
                    self._level_of[node.id] = self._after(node.args[0], self.section(node), of_node)
                else:
                    self._level_of[node.id] = max(of_root(r) for r in makers[node.id])
            return self._level_of[node.id]

        def of_root(root) -> int:
            level = 0
            for node, index in root.reads.values():
                if not node.batched or node.op in BATCHED or self._section_here(node, makers) != root.section:
                    continue
                fused = (
                    root.reduction is None and node.pointwise and node.shape == root.shape
                    and np.array_equal(index, np.arange(node.size))
                    and all(n is not node or i is index for n, i in root.reads.values())
                )  # fmt: skip
                level = max(level, of_node(node) + (0 if fused else 1))
            return level

        self._makers = makers
        for root in self.roots:
            root.level = of_root(root)
        for node in self.live:
            if node.op == "product":
                of_node(node)

    def _section_here(self, node, makers) -> int:
        return self.section(node) if node.op == "product" else makers[node.id][0].section

    def _after(self, operand, section, of_node) -> int:
        node = operand
        while node.op == "view" and not self.stored(node):
            node = node.args[0]
        if not node.batched or node.op in BATCHED or self._section_here(node, self._makers) != section:
            return 0
        return of_node(node) + 1

    def _shared(self) -> set[int]:
        """Return expensive nodes that several loops would compute, or one loop twice."""
        groups: dict[int, dict] = {}
        for root in self.roots:
            where = (root.section, root.level, root.shape, root.reduction)
            for (node_id, key), (node, _) in root.computed.items():
                if node.operation.expensive:
                    groups.setdefault(node_id, {}).setdefault(where, {})[key] = node
        missing = set()
        for node_id, wheres in groups.items():
            node = next(iter(next(iter(wheres.values())).values()))
            total = sum(len(np.frombuffer(key, np.int64)) for keys in wheres.values() for key in keys)
            if (len(wheres) > 1 and total > node.size) or any(
                sum(len(np.frombuffer(k, np.int64)) for k in keys) > node.size for keys in wheres.values()
            ):
                missing.add(node_id)
        return missing

    # Stages

    def _emit(self):
        for buffer in self._scratch_buffers.values():
            if any(buffer is home[0] for home in self.home.values()):
                buffer.name = self._name(buffer.name)
                self.plan.buffers.append(buffer)
        stages: list[Product | Loop] = []
        seen: set[int] = set()
        for node in self.live:
            if node.op == "product" and node.id not in seen:
                seen |= {n.id for n in self._together(node)}
                stages.append(self._product(node))
        groups: dict[tuple[int, int, tuple[int, ...], int, str | None, bool], list[_Root]] = {}
        for root in self.roots:
            key = root.section, root.level, root.shape, root.kept, root.reduction, root.along_last
            groups.setdefault(key, []).append(root)
        stages += [self._loop(*key, roots) for key, roots in groups.items()]
        order = {id(stage): i for i, stage in enumerate(stages)}
        self.plan.stages = sorted(stages, key=lambda s: (s.section, s.level, order[id(s)]))

    def _product(self, node) -> Product:
        operand, group = node.args[0], self._together(node)
        source, index = operand, np.arange(operand.size)
        while not self.stored(source):
            index = self.view_index(source)[index]
            source = source.args[0]
        buffer, elements = self.home[source.id]
        walk = row_walk(elements[index].reshape(operand.shape))
        assert walk is not None  # or the operand was kept
        offset, rows, stride = walk
        weight = group[0].args[1]
        name = weight.attr if weight.op == "weight" and str(weight.attr).isidentifier() else weight.op
        panels = self._buffer(f"panels_{name}", kind="prepacked", size=0, section=PREPACK, attr=node.attr)
        self.plan.prepacked[panels] = weights = [n.args[1] for n in group]
        fields = (
            self.section(node), self._level_of[node.id], buffer, offset, rows, stride, operand.shape[-1],
            weights, panels, self.home[node.id][0], len(operand.shape) > 1, lines_of(group),
        )  # fmt: skip
        if node.attr != "sparse":
            return Product(*fields)
        values = evaluate(weights, self.graph.values, np.float64)[weights[0].id]
        return SparseProduct(*fields, nonzeros=int(np.count_nonzero(values)))

    def _together(self, node) -> list[Node]:
        """Return the products that are computed as one: all of an operand with dense weights."""
        if node.attr == "sparse":
            return [node]
        return [
            n
            for n in self.live
            if n.op == "product"
            and n.args[0] is node.args[0]
            and n.attr != "sparse"
            and (n.id in self.after) == (node.id in self.after)
        ]

    def prepacked_at(self, node) -> tuple[Buffer, np.ndarray]:
        if node.id not in self.home:
            name = str(node.attr) if node.op == "weight" else self.graph.names.get(node.id, node.op)
            name = name if name.isidentifier() else "weight"
            elements = carrier(node.kind)
            buffer = self._buffer(f"w_{name}", kind="prepacked", size=node.size, section=PREPACK, elements=elements)
            self.plan.prepacked[buffer] = node
            self.home[node.id] = buffer, np.arange(node.size)
        return self.home[node.id]

    def _loop(self, section, level, shape, kept, reduction, along_last, roots) -> Loop:
        writer = LoopValues(self, shape, {r.node.id for r in roots if r.inner})
        results = []
        for root in roots:
            name = writer.value(root.node, root.index, own=root.inner)
            results.append((name, root.writes))
        places = [np.asarray(p).reshape(shape[:kept]) for _, writes in results for _, p in writes]
        indices = [index.reshape(shape) for _, index in writer.loads]
        dims, kept_dims, walks = merge_axes(shape, indices + places, kept)
        for (value, _), walk in zip(writer.loads, walks, strict=False):
            value.walk = walk
        rest = iter(walks[len(indices) :])
        writes = [(name, buffer, next(rest)) for name, w in results for buffer, _ in w]
        along_last = along_last or any(v.walk.table is not None for v, _ in writer.loads)
        nodes = [r.owner for r in roots if r.owner is not None] + [n for r in roots for n, _ in r.computed.values()]
        lines = lines_of(sorted(nodes, key=lambda n: n.id))
        return Loop(section, level, dims, kept_dims, writer.values, writes, reduction, along_last, lines)


def _numbers(node) -> int:
    """Return the most numbers of a node that can differ: a view may show one several times."""
    size = node.size
    while node.op == "view":
        (node,) = node.args
        size = min(size, node.size)
    return size


def lines_of(nodes) -> tuple[str, ...]:
    return tuple(dict.fromkeys(node.line for node in nodes if node.line))
