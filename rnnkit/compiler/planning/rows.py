"""A graph of few numbers becomes a plan by rows: each number is a line, and the lanes of vectors are rows.

Such a step is too narrow for vectors along its features. By rows nothing of it goes through memory from step to step:
states stay in registers, views and concatenations cost nothing, small products are written out. Only arrays whose
elements are found by computed places stand in memory, in a `Slot`. An element is changed in place where nothing reads
what the array was before.
"""

from __future__ import annotations

import math
import re
from collections import ChainMap
from dataclasses import replace
from functools import lru_cache

import numpy as np

from rnnkit.compiler.ir.graph import BATCHED, BY_ROW, FAILED, Graph, Node, loops_of
from rnnkit.compiler.ir.kinds import carrier
from rnnkit.compiler.ir.operations import REDUCTIONS
from rnnkit.compiler.ir.plan import (
    BLOCK,
    CALL,
    EFFECTS,
    PREPACK,
    STEP,
    Buffer,
    Carried,
    Check,
    Element,
    Fill,
    Look,
    Number,
    Pointwise,
    Put,
    RowLine,
    RowLoop,
    RowPlan,
    Slot,
    Tape,
    read_by,
    section_of,
    written_names,
)  # fmt: skip
from rnnkit.compiler.planning.ranges import Bounds, without_known_checks
from rnnkit.compiler.planning.row_forms import changed_in_place, with_checks
from rnnkit.compiler.planning.whole_states import whole_states

NARROW = 12  # numbers of a value, in the mean, from which vectors along its axes are full enough
LINES = 3000  # at most: a program of more takes seconds to compile
MATRICES = 5000  # of a step with linear algebra of small matrices
COLUMNS, PRODUCTS = 8, 256  # of a weight, and multiply-adds of all: larger products are faster as those of matrices
INLINE = (0.0, 1.0, -1.0, 2.0, 0.5)
TAPED = 1024  # rounds of a loop that a gradient keeps, where the loop doesn't say itself how many there are
FEW = 8  # elements of an array among which a computed place is looked for one by one, in registers
# What is computed once for all rows where the operands are the same in all of them.
UNIFORM = (
    "add subtract multiply negative maximum minimum greater greater_equal less less_equal equal not_equal logical_and "
    "logical_or logical_not where remainder floor_divide"
).split()


def is_narrow(graph: Graph) -> bool:
    """Return whether a graph is planned by rows: this depends on the step alone, and so do the bits of its results."""
    if graph.sparse:
        return False
    batched = [node for node in graph.live() if node.batched]
    if any(node.op in BY_ROW for node in batched):
        return True
    products = [node for node in batched if node.op == "product"]
    if any(node.shape[-1] >= COLUMNS for node in products) or sum(map(_lines_of, products)) > PRODUCTS:
        return False
    computed = [lines for lines in map(_lines_of, batched) if lines]
    if graph.matrices:  # whose rows and columns are cut shorter and shorter
        return sum(computed) <= MATRICES
    return sum(computed) <= LINES and sum(computed) < NARROW * max(1, len(computed))


def _lines_of(node: Node) -> int:
    if node.op == "product":
        return node.size * node.args[0].shape[-1]
    if node.op in REDUCTIONS:
        return node.args[0].size
    return node.size if node.pointwise else 0


def plan_rows(graph: Graph, few: int = FEW, coded: bool = False, largest: int = 0, own: bool = False) -> RowPlan:
    """Return the plan by rows of a graph.

    Arrays of `few` elements at most are in registers, though computed places are read and changed in them. If `coded`,
    the plan computes by which check a row fails first, rather than whether it fails one. States of whole numbers up to
    `largest` are carried as integers, see `whole_states`, modes where `few` is 0. With `own`, each row has weights of
    its own.
    """
    form, *bounds = _checked(graph, coded, largest, not few)
    made = _Planner(changed_in_place(form, few), few, own).run()
    made.graph, (made.whole, made.watched) = graph, bounds
    return made


@lru_cache(4)  # plans of one row, and of several, with and without a mask
def _checked(
    graph: Graph, coded: bool, largest: int, modes: bool
) -> tuple[Graph, dict[int, Bounds], dict[int, Bounds]]:
    """Return the form of a graph with no more checks than it needs, and what `whole_states` says of it."""
    form, whole, watched = whole_states(graph if coded else with_checks(graph), largest, modes)
    return without_known_checks(form, whole), whole, watched


class _Planner:
    """Writes lines, node by node in their order.

    Attributes
    ----------
    numbers : dict of int to ndarray
        Of each node that is in registers, the names of its numbers.
    slots : dict of int to Slot
        Of each node that is in memory, where.
    places : dict of int to Buffer
        Of what the program is given for each row.
    tapes : dict of int to (Slot, str)
        Of arrays that were carried by a loop whose rounds are undone: their tape, and the round.
    loops : dict of int to RowLoop
        By their nodes.
    """

    def __init__(self, graph: Graph, few: int = FEW, own: bool = False):
        self.graph, self.few, self.own_weights = graph, few, own
        self.fails = {node.id for node, _ in graph.checks}
        shapes = tuple(state.shape for state in graph.states), graph.output.shape
        self.plan = RowPlan(state_shapes=shapes[0], output_shape=shapes[1], messages=graph.messages)
        self.numbers: dict[int, np.ndarray] = {}
        self.slots: dict[int, Slot] = {}
        self.places: dict[int, Buffer] = {}
        self.tapes: dict[int, tuple[Slot, str]] = {}
        self.taped: dict[tuple[int, int], Slot] = {}  # by the node of a loop, and the number of what it carried
        self.loops: dict[int, RowLoop] = {}
        self.written: dict[Slot, int] = {}  # how many changes there were by its last one
        self.changes = 0
        self.known: ChainMap[tuple, str] = ChainMap()
        self.used: set[str] = set()
        self.taken: dict[str, int] = {}  # of a word, the next number behind it
        self.lines: list[RowLine] = self.plan.lines
        self.live = graph.live()
        self.open: frozenset = frozenset()  # the loops whose bodies are being written
        self.nest: list[tuple[object, list[RowLine]]] = [(None, self.lines)]  # these, and the lines in each
        self.last: dict[int, int] = {}  # of a node, the last one that reads it
        self.same: dict[int, set[int]] = {}  # of an array in memory, those that are views of all of it, and itself
        for node in self.live:
            self.last |= {arg.id: node.id for arg in node.args}
        for node in graph.results():
            self.last[node.id] = len(graph.nodes)

    def run(self) -> RowPlan:
        plan, graph = self.plan, self.graph
        self._nodes(self.live)
        kept = [("residual", ("write", name), node) for name, node in graph.residuals.items() if name != FAILED]
        states = [("next", i, node) for i, node in enumerate(graph.states)]
        for kind, attr, node in [*kept, ("output", None, graph.output), *states]:
            name = "save" if kind == "residual" else kind
            buffer = self._buffer(name, kind=kind, size=node.size, attr=attr)
            slot = self.slots.get(node.id) if kind == "next" and attr in plan.resident else None
            plan.writes.append((buffer, list(self._of(node).reshape(-1)) if slot is None else slot))
        if FAILED in graph.residuals:
            (plan.code,) = self._of(graph.residuals[FAILED]).reshape(-1)
        plan.lines[:] = needed(plan.lines, {*written_names(plan), plan.code})
        return plan

    def _nodes(self, nodes) -> None:
        for node in nodes:
            if node.batched and loops_of(node) <= self.open:
                self._node(node)
                if node.id in self.fails:
                    self.lines += [Check(name, max(BLOCK, section_of(node))) for name in self._of(node).reshape(-1)]

    # Names and lines

    def _name(self, wanted: str) -> str:
        wanted = re.sub(r"\W+", "_", wanted).strip("_") or "v"
        wanted = f"of_{wanted}" if wanted[0].isdigit() else wanted
        name = f"{wanted}_"  # words of the program itself don't end like this
        while name in self.used:
            name = f"{wanted}_{self.taken.get(wanted, 0)}_"
            self.taken[wanted] = self.taken.get(wanted, 0) + 1
        self.used.add(name)
        return name

    def _buffer(self, name, **fields) -> Buffer:
        buffer = Buffer(self._name(name).rstrip("_"), **fields)
        self.plan.buffers.append(buffer)
        return buffer

    def _add(self, line, key, section, comment="") -> str:
        once = section == PREPACK  # where all parts of the program find it
        (self.plan.lines if once else self.lines).append(line)
        (self.known.maps[-1] if once else self.known)[key] = line.name
        self.plan.sections[line.name] = section
        if comment:
            self.plan.comments[line.name] = comment
        return line.name

    def _number(self, number, kind="float") -> str:
        key = "number", kind, str(number)
        if key in self.known:
            return self.known[key]
        name = self._add(Number(self._name("k"), number, kind), key, PREPACK)
        if kind in ("int64", "bool"):
            self.plan.uniform.add(name)
        return name

    def _line(self, node, op, args, kind="float") -> str:
        key = op, kind, *args
        if key in self.known:
            return self.known[key]
        name = self._name(self.graph.names.get(node.id) or "v")
        if op in UNIFORM and kind in ("int64", "bool") and self.plan.uniform.issuperset(args):
            self.plan.uniform.add(name)
        section = max(self.plan.sections[arg] for arg in args)  # a node of a later one may have the same line
        return self._add(Pointwise(name, op, tuple(args), kind), key, section, node.line)

    def _look(self, node, place, offset, stride=0, index="") -> str:
        written = self.written.get(place, 0) if isinstance(place, Slot) else 0
        key = "look", place, offset, stride, index, node.kind, written
        if key in self.known:
            return self.known[key]
        line = Look(self._name(self.graph.names.get(node.id) or "v"), place, offset, stride, index, node.kind)
        return self._add(line, key, section_of(node), node.line)

    def _write(self, *lines: Fill | Put) -> None:
        """Add lines that change arrays."""
        self.lines += lines
        self._change(line.slot for line in lines)

    def _change(self, slots) -> None:
        """Let nothing that was read before of some arrays be what is read behind."""
        for slot in slots:
            self.changes += 1
            self.written[slot] = self.changes

    # Nodes

    def _of(self, node: Node) -> np.ndarray:
        """Return the names of a node's numbers, in its shape."""
        if node.id in self.tapes:
            slot, rounds = self.tapes[node.id]
            return _names([self._look(node, slot, i, node.size, rounds) for i in range(node.size)], node.shape)
        if node.id not in self.numbers and node.id not in self.slots:
            self._node(node)
        if node.id not in self.numbers:
            slot = self.slots[node.id]
            return _names([self._look(node, slot, i) for i in range(node.size)], node.shape)
        return self.numbers[node.id]

    def _node(self, node: Node) -> None:
        if not node.batched:
            self.numbers[node.id] = self._unbatched(node)
        elif node.op in BATCHED:
            name = node.op if node.attr is None else f"{node.op} {node.attr}"
            fields = {"kind": node.op, "size": node.size, "section": section_of(node), "attr": node.attr}
            self.places[node.id] = self._buffer(name, **fields)
            self.numbers[node.id] = self._elements(node, self.places[node.id])
        elif node.op == "view":
            self._view(node)
        elif node.op == "concatenate":
            self.numbers[node.id] = np.concatenate([self._of(arg) for arg in node.args], node.attr)
        elif node.op == "product":
            self.numbers[node.id] = self._product(node)
        elif node.op in REDUCTIONS:
            self.numbers[node.id] = self._reduction(node)
        elif node.op == "take":
            self._take(node)
        elif node.op == "put":
            self._put(node)
        elif node.op == "loop":
            self._loop(node)
        elif node.op not in ("carried", "round", "taped", "result"):  # which their loop has given
            operands = np.broadcast_arrays(*(self._of(arg) for arg in node.args))
            together = list(zip(*(a.reshape(-1) for a in operands), strict=True))
            lines = [self._line(node, node.op, args, node.kind) for args in together]
            self.numbers[node.id] = _names(lines, node.shape)
            if node.op == "where" and node.attr:  # see `Graph.safe`
                self.plan.safe |= {name: args[0] for name, args in zip(lines, together, strict=True)}

    def _elements(self, node, buffer) -> np.ndarray:
        wanted = self.graph.names.get(node.id) or buffer.name
        section = CALL if buffer in self.plan.own else section_of(node)
        lines = [
            self._add(Element(self._name(wanted), buffer, i, node.kind), (buffer.name, i), section)
            for i in range(node.size)
        ]
        return _names(lines, node.shape)

    def _unbatched(self, node) -> np.ndarray:
        """Numbers that all rows have in common: in the text where they are the commonest ones, or else given to it."""
        if node.op == "literal" and (node.kind != "float" or all(n in INLINE for n in node.attr.reshape(-1).tolist())):
            return _names([self._number(n, node.kind) for n in node.attr.reshape(-1).tolist()], node.shape)
        return self._elements(node, self._prepacked(node))

    def _prepacked(self, node) -> Buffer:
        """Return the buffer of a node that depends on weights alone."""
        name = str(node.attr) if node.op == "weight" else "number" if node.op == "literal" else "of weights"
        made = self.plan.own if self.own_weights and node.op != "literal" else self.plan.prepacked
        found = next((buffer for buffer, one in made.items() if one is node), None)
        if found is None and made is self.plan.own:
            found = self._buffer(name, kind="draw", size=node.size, section=CALL, attr=("own", len(made)))
            made[found] = node
        elif found is None:
            kind = carrier(node.kind)
            found = self._buffer(name, kind="prepacked", size=node.size, section=PREPACK, elements=kind)
            made[found] = node
        return found

    def _view(self, node) -> None:
        (arg,) = node.args
        if arg.id not in self.slots:
            names, index = self._of(arg).reshape(-1), node.attr.index(arg.shape)
            self.numbers[node.id] = _names(list(names[index.reshape(-1)]), node.shape)
            return
        if _is_whole(node):
            self._share(node)
            return
        index = node.attr.index(arg.shape)
        places = {i: self._look(node, self.slots[arg.id], i) for i in sorted(set(index.ravel().tolist()))}
        self.numbers[node.id] = _names([places[i] for i in index.reshape(-1).tolist()], node.shape)

    def _share(self, node) -> None:
        """A view of all of an array in memory, which is there as well."""
        (arg,) = node.args
        self.slots[node.id] = self.slots[arg.id]
        self.same[node.id] = self.same.setdefault(arg.id, {arg.id})
        self.same[arg.id].add(node.id)

    def _product(self, node) -> np.ndarray:
        """Each sum is one chain of multiply-adds, as in products of matrices."""
        a, weight = map(self._of, node.args)
        rows = a.reshape(math.prod(a.shape[:-1]), a.shape[-1])
        found = []
        for row in rows:
            for column in weight.T:
                total = self._number(0.0)
                for one, other in zip(row, column, strict=True):
                    total = self._line(node, "fma", (one, other, total))
                found.append(total)
        return _names(found, node.shape)

    def _reduction(self, node) -> np.ndarray:
        """Neighbours first, so that few operations wait for each other."""
        (arg,) = node.args
        reduction = REDUCTIONS[node.op]
        values = np.moveaxis(self._of(arg), node.attr, range(-len(node.attr), 0))
        values = values.reshape(node.size, -1) if arg.size else np.empty((node.size, 0), object)
        found = []
        for several in values:
            left = list(several) or [self._number(reduction.of_nothing(node.kind), node.kind)]
            while len(left) > 1:
                pairs = zip(left[::2], left[1::2], strict=False)
                joined = [self._line(node, reduction.combine, pair, node.kind) for pair in pairs]
                left = joined + left[len(left) - len(left) % 2 :]
            found += left
        return _names(found, node.shape)

    # Computed places

    def _slot(self, node) -> Slot:
        return self._new_slot(self.graph.names.get(node.id) or node.op, node.size, node.kind)

    def _new_slot(self, name, size, kind) -> Slot:
        slot = Slot(self._name(name).rstrip("_"), size, kind)
        self.plan.slots.append(slot)
        return slot

    def _in_memory(self, node) -> Slot:
        """Return the slot of a node in memory, written there if it isn't yet."""
        if node.id not in self.slots and _is_whole(node):
            self._in_memory(node.args[0])
            self._share(node)
        if node.id not in self.slots:
            at = self._depth(node)
            names = self._of_around(node, at)
            slot = self.slots[node.id] = self._slot(node)
            if node.op == "state":
                self.plan.resident[node.attr] = slot
            else:
                section = section_of(node) if node.batched else CALL if self.own_weights else PREPACK
                self.nest[at][1].append(Fill(slot, tuple(names.reshape(-1)), section))
                self._change([slot])
        return self.slots[node.id]

    def _of_around(self, node, at: int) -> np.ndarray:
        """Return the names of a node's numbers, found by lines of the open loop that it is in."""
        lines, known = self.lines, self.known
        self.lines, self.known = self.nest[at][1], ChainMap(*known.maps[len(self.nest) - 1 - at :])
        names = self._of(node)
        self.lines, self.known = lines, known
        return names

    def _take(self, node) -> None:
        array, index = node.args
        count, stride = array.shape[0], node.size
        (place,) = self._of(index).reshape(-1)
        where: Slot | Buffer
        if array.id in self.tapes:
            where, rounds = self.tapes[array.id]
            if index.kind != "int64":
                place = self._line(node, "cast", (place,), "int64")
            first = self._line(node, "multiply", (rounds, self._number(count, "int64")), "int64")
            place = self._line(node, "add", (first, place), "int64")
        elif not array.batched and count > self.few:
            where = self._prepacked(array)
        elif array.op in ("x", "sequence", "residual", "constant", "draw") and count > self.few:
            self._of(array)
            where = self.places[array.id]
        elif count > self.few or array.id in self.slots:
            where = self._in_memory(array)
        else:
            elements = self._of(array).reshape(count, -1)
            found = list(elements[0])
            for i in range(1, count):
                found = self._where_at(node, index, place, i, elements[i], found)
            self.numbers[node.id] = _names(found, node.shape)
            return
        self.numbers[node.id] = _names([self._look(node, where, j, stride, place) for j in range(stride)], node.shape)

    def _put(self, node) -> None:
        array, index, value = node.args
        count, stride = array.shape[0], value.size
        (place,) = self._of(index).reshape(-1)
        if count <= self.few and array.id not in self.slots:
            elements, values = self._of(array).reshape(count, -1), self._of(value).reshape(-1)
            found = []
            for i in range(count):
                found += self._where_at(node, index, place, i, values, elements[i])
            self.numbers[node.id] = _names(found, node.shape)
            return
        under = [""] * value.size
        if value.op == "where" and value.args[2].op == "take" and value.args[2].args == (array, index):
            # What stands there otherwise is there.
            under = list(np.broadcast_to(self._of(value.args[0]), value.shape).reshape(-1))
            value = value.args[1]
        values = np.broadcast_to(self._of(value), node.shape[1:]).reshape(-1)
        section = section_of(node)
        slot = self._own(node, array, section=section)
        pairs = enumerate(zip(values, under, strict=True))
        self._write(*(Put(slot, j, stride, place, name, section, held) for j, (name, held) in pairs))
        self.slots[node.id] = slot

    def _where_at(self, node, index, place, i, new, old) -> list[str]:
        """Return the names of new numbers where a place is `i`, and of old ones elsewhere."""
        kind = index.kind
        if place not in self.plan.uniform and carrier(kind) == "int64":  # of as many bits as a number, mostly
            place, kind = self._line(node, "cast", (place,), "int32"), "int32"
        here = self._line(node, "equal", (place, self._number(i, kind)), "bool")
        return [self._line(node, "where", (here, *both), node.kind) for both in zip(new, old, strict=True)]

    def _depth(self, node) -> int:
        """In how many of the open loops a node is."""
        return max((at for at, (token, _) in enumerate(self.nest) if token in node.depends), default=0)

    def _is_of_here(self, node) -> bool:
        """Return whether a node is made anew each time that the lines come here."""
        return self._depth(node) == len(self.nest) - 1 and section_of(node) not in (PREPACK, CALL)

    def _is_read_until(self, array, node) -> bool:
        """Return whether nothing behind a node reads an array in memory, by any of its names."""
        return all(self.last.get(one, 0) <= node.id for one in self.same.get(array.id, (array.id,)))

    def _own(self, node, array, named=None, section: int = STEP) -> Slot:
        """Return an array in memory that a node may change: a copy where something still reads what it was.

        A copy is named for a node, by default for this one.
        """
        slot = self._in_memory(array)
        if self._is_read_until(array, node) and self._is_of_here(array):
            return slot
        names = self._of(array)
        copy = self._slot(named or node)
        self._write(Fill(copy, tuple(names.reshape(-1)), section))
        return copy

    # Loops

    def _loop(self, node) -> None:
        loop, count = node.attr, node.attr.count
        initials = node.args[:count]
        body = [one for one in self.live if ("loop", loop.id) in one.depends]
        leaves = {one.attr[1]: one for one in body if one.op == "carried" and one.attr[0] == loop.id}
        large = {i: leaf for i, leaf in leaves.items() if leaf.shape and leaf.shape[0] > self.few}
        in_memory = {i: self._own(node, initials[i], leaf) for i, leaf in large.items()}
        varying: set[int] = set()
        before, slots = (dict(self.numbers), dict(self.slots)), len(self.plan.slots)
        while True:  # until what is taken for the same in all rows is
            made = self._rounds(node, body, leaves, in_memory, varying)
            uniform = self.plan.uniform
            same = {made.go} if made.go else set()
            wrong = {
                i for i, one in enumerate(made.carried) if one.name in uniform and not {one.next} | same <= uniform
            }
            if not wrong:
                break
            varying |= wrong
            self.numbers, self.slots = dict(before[0]), dict(before[1])
            for slot in self.plan.slots[slots:]:
                self._forget(slot)
            del self.plan.slots[slots:]
        self.lines.append(made)
        self.loops[node.id] = made
        for one in self.live:
            if one.op == "result" and one.args[0] is node:
                if one.attr in in_memory:
                    self.slots[one.id] = in_memory[one.attr]
                else:
                    self.numbers[one.id] = self.carried[one.attr]

    def _forget(self, slot) -> None:
        """Take back that lines around a loop fill a slot, or a state is there."""
        for _, lines in self.nest:
            lines[:] = [line for line in lines if not (isinstance(line, Fill) and line.slot is slot)]
        self.plan.resident = {i: one for i, one in self.plan.resident.items() if one is not slot}

    def _rounds(self, node, body, leaves, in_memory, varying) -> RowLoop:
        loop, count, plan = node.attr, node.attr.count, self.plan
        initials, go, nexts = node.args[:count], node.args[count], node.args[count + 1 :]
        code, limit = (0, 0) if loop.reverse else (self._code(node), 0 if loop.counted else loop.limit)
        made = RowLoop(self._name("round"), [], [], 0, "", limit, code)
        plan.uniform.add(made.name)
        plan.sections[made.name] = STEP
        for one in body:
            if one.op == "round" and one.attr == loop.id:
                self.numbers[one.id] = _names([made.name], ())
        carried: dict[int, list[Carried]] = {}
        self.carried: dict[int, np.ndarray] = {}
        for i, initial in enumerate(initials):
            leaf = leaves.get(i)
            if i in in_memory:
                self.slots[leaf.id] = in_memory[i]
                continue
            shown = leaf if leaf is not None else nexts[i]
            wanted = self.graph.names.get(shown.id) or "carried"
            carried[i] = []
            for name in self._of(initial).reshape(-1):
                one = Carried(self._name(wanted), name, kind=initial.kind)
                if name in plan.uniform and len(made.carried) not in varying:
                    plan.uniform.add(one.name)
                plan.sections[one.name] = STEP
                carried[i].append(one)
                made.carried.append(one)
            self.carried[i] = _names([one.name for one in carried[i]], initial.shape)
            if leaf is not None:
                self.numbers[leaf.id] = self.carried[i]
        names = self.carried
        token = ("loop", loop.id)
        outside, self.lines, self.known, self.open = self.lines, made.lines, self.known.new_child(), self.open | {token}
        self.nest.append((token, self.lines))
        self._change(self.plan.slots)  # in rounds before
        if loop.reverse:
            made.back = self.loops[go.id]
            self._taped(body, loop, made, go)
            self._nodes(body)
        else:
            tests = [one for one in self.graph.tests if one.id in self.fails and token in one.depends]
            first = self.graph.under([go, *tests])
            self._nodes([one for one in body if one.id in first])
            (made.go,) = self._of(go).reshape(-1)
            made.first = len(made.lines)
            self._tape(node, made, names, in_memory)
            self._nodes([one for one in body if one.id not in first])
        # What is read for the next round, before the first of it is written.
        stay = {i for i, slot in in_memory.items() if self.slots.get(nexts[i].id) is slot}
        new = {i: self._of(one).reshape(-1) for i, one in enumerate(nexts) if i not in stay}
        for i, numbers in new.items():
            if i in in_memory:
                self._write(*(Put(in_memory[i], j, 0, "", name) for j, name in enumerate(numbers)))
                continue
            for one, name in zip(carried[i], numbers, strict=True):
                one.next = name
        self.nest.pop()
        self._change(self.plan.slots)
        self.lines, self.known, self.open = outside, self.known.parents, self.open - {token}
        self.carried = names  # loops inside have had others
        return made

    def _tape(self, node, made, names, in_memory) -> None:
        """Keep of each round what a loop that goes back reads."""
        backs = {
            one.attr.id
            for one in self.live
            if one.op == "loop" and one.attr.reverse and one.args[one.attr.count] is node
        }
        if not backs:
            return
        wanted = sorted({one.attr[1] for one in self.live if one.op == "taped" and one.attr[0] in backs})
        rounds = _rounds_at_most(node)
        if rounds > TAPED:
            rounds = made.limit = TAPED
            line = node.attr.line
            made.code = self._message(f"more than {TAPED:,} rounds of a loop, which is what a gradient keeps ({line})")
        for i in wanted:
            size, kind = node.args[i].size, node.args[i].kind
            slot = self._new_slot("tape", rounds * size, kind)
            made.tapes.append(Tape(slot, size, in_memory[i] if i in in_memory else tuple(names[i].reshape(-1))))
            self.taped[node.id, i] = slot
        if made.go not in self.plan.uniform:
            made.going = self._new_slot("going", rounds, "bool")

    def _taped(self, body, loop, made, forward) -> None:
        """Read from the tape the numbers that the loop carried whose rounds are undone."""
        for one in body:
            if one.op == "taped" and one.attr[0] == loop.id:
                slot = self.taped[forward.id, one.attr[1]]
                self.tapes[one.id] = slot, made.name
                if not one.shape or one.shape[0] <= self.few:
                    names = self._of(one)
                    del self.tapes[one.id]
                    self.numbers[one.id] = names

    def _code(self, node) -> int:
        """By what a row fails that wants too many rounds."""
        return self._message(f"more than {node.attr.limit:,} rounds of a loop ({node.attr.line})")

    def _message(self, message) -> int:
        if message not in self.plan.messages:
            self.plan.messages = (*self.plan.messages, message)
        return self.plan.messages.index(message) + 1


def needed(lines: list[RowLine], names: set[str]) -> list[RowLine]:
    """Return the lines that these names, writes to memory and loops need; more names are added."""
    kept = []
    for line in reversed(lines):
        if isinstance(line, RowLoop):
            first = line.lines[: line.first]
            names.update(read_by(replace(line, lines=[])))
            line.lines = needed(line.lines, names)
            line.first = sum(one in first for one in line.lines)
        elif not isinstance(line, EFFECTS) and line.name not in names:
            continue
        names.update(read_by(line))
        kept.append(line)
    return kept[::-1]


def _is_whole(node) -> bool:
    """Return whether a node is all elements of an array in their order."""
    if node.op != "view" or node.size != node.args[0].size or not node.batched:
        return False
    return np.array_equal(node.attr.index(node.args[0].shape).reshape(-1), np.arange(node.size))


def _rounds_at_most(node) -> int:
    """Return the most rounds of a loop, as far as its condition says them."""
    go = node.args[node.attr.count]
    if go.op == "less" and go.args[0].op == "round" and go.args[1].op == "literal":
        return max(1, int(go.args[1].attr))
    return node.attr.limit


def _names(names, shape) -> np.ndarray:
    found = np.empty(len(names), object)
    found[:] = names
    return found.reshape(shape)
