"""Branches of one row: what is computed is what was, and less of it."""

import math

import numpy as np
import pytest
from graphs_under_test import built, read
from random_rows import random_row_step

import rnnkit as rk
from rnnkit.backends.cpu.codegen.row_source import Kind
from rnnkit.backends.cpu.codegen.tables import ARGUMENTS
from rnnkit.backends.cpu.compile import RowSources
from rnnkit.backends.cpu.language import function
from rnnkit.backends.cpu.language.translate import translate
from rnnkit.compiler.ir import kinds
from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.compiler.ir.operations import INTEGER_OPERATIONS, OPERATIONS
from rnnkit.compiler.ir.plan import (
    CALL,
    PREPACK,
    Branch,
    Check,
    Element,
    Fill,
    Look,
    Number,
    Pointwise,
    Put,
    RowLoop,
    Slot,
    all_lines,
    read_by,
    written_names,
)  # fmt: skip
from rnnkit.compiler.planning.branches import branched
from rnnkit.compiler.planning.rows import plan_rows

SIZE = 12


class Failed(Exception):
    """A row that fails ends."""


class Machine:
    """Computes the lines of a plan for one row, one after another."""

    def __init__(self, plan, inputs):
        self.plan, self.inputs, self.values, self.done = plan, inputs, {}, []
        self.slots = {slot: np.zeros(max(1, slot.size)) for slot in plan.slots}
        for i, slot in plan.resident.items():
            self.slots[slot][:] = np.reshape(inputs["state", i], -1)

    def run(self, lines):
        for line in lines:
            if isinstance(line, RowLoop):
                self.loop(line)
            elif isinstance(line, Branch):
                holds = self.values[line.condition]
                self.run(line.then if holds else line.otherwise)
                self.values |= {name: self.values[one if holds else other] for name, one, other, _ in line.joined}
            elif isinstance(line, Check):
                if self.values[line.fails]:
                    raise Failed
            elif isinstance(line, Fill):
                self.slots[line.slot][:] = [self.values[name] for name in line.names]
            elif isinstance(line, Put):
                if not line.under or self.values[line.under]:
                    self.slots[line.slot][self.place(line)] = self.values[line.value]
            else:
                self.values[line.name] = self.value(line)

    def value(self, line):
        if isinstance(line, Number):
            return line.number
        if isinstance(line, Element):
            slot = self.plan.resident.get(line.buffer.attr) if line.buffer.kind == "state" else None
            array = self.array(line.buffer) if slot is None else self.slots[slot]
            return self.of_kind(np.reshape(array, -1)[line.index], line.kind)
        if isinstance(line, Look):
            array = self.slots[line.place] if isinstance(line.place, Slot) else self.array(line.place)
            return self.of_kind(np.reshape(array, -1)[self.place(line)], line.kind)
        self.done.append(line.name)
        args = [self.values[name] for name in line.args]
        if line.op in ("fma", "same"):
            return args[0] * args[1] + args[2] if line.op == "fma" else args[0]
        if line.op in ("cast", "to_float"):
            return self.of_kind(args[0], line.kind)
        integer = line.op in INTEGER_OPERATIONS and np.asarray(args[-1]).dtype.kind == "i"
        return (INTEGER_OPERATIONS if integer else OPERATIONS)[line.op].evaluate(*args)

    def array(self, buffer):
        node = self.plan.prepacked.get(buffer)
        return self.inputs[buffer.kind, buffer.attr] if node is None else evaluate([node], {}, np.float64)[node.id]

    @staticmethod
    def of_kind(value, kind):
        return kinds.cast(value, kind, np.float64)[()]

    def place(self, line):
        place = line.offset + line.stride * (int(self.values[line.index]) if line.index else 0)
        assert place >= 0  # what a row doesn't look at, it may not look at
        return place

    def loop(self, loop):
        self.values[loop.name] = 0
        self.values |= {one.name: self.values[one.initial] for one in loop.carried}
        while True:
            self.run(loop.lines[: loop.first])
            if not self.values[loop.go]:
                return
            self.run(loop.lines[loop.first :])
            self.values |= dict(
                zip([one.name for one in loop.carried], [self.values[one.next] for one in loop.carried], strict=True)
            )
            self.values[loop.name] += 1
            if loop.limit and self.values[loop.name] >= loop.limit:
                raise Failed


def step_lines(plan):
    lines = plan.lines
    first = [
        x for x in lines if getattr(x, "section", plan.sections.get(getattr(x, "name", ""), -1)) in (PREPACK, CALL)
    ]
    return first, [line for line in lines if line not in first]


def both(plan, inputs, exits):
    """By the lines as they are and with branches: the results of a row, its memory, and what it computed."""
    first, rest = step_lines(plan)
    for lines in (rest, branched(plan, rest, written_names(plan), exits)):
        machine = Machine(plan, inputs)
        try:
            machine.run([*first, *lines])
        except Failed:
            yield None, None, machine.done
            continue
        shown = [machine.values[name] for name in written_names(plan)]
        yield shown, [machine.slots[slot] for slot in plan.resident.values()], machine.done


@pytest.mark.parametrize("exits", [True, False])
@pytest.mark.parametrize("number", range(0, 200, 11))
def test_a_row_computes_the_same_with_branches_and_no_more(number, exits):
    one = random_row_step(number)
    x, start, constants = one.drawn(4, 1, number)
    graph = read(built(one.cell(), x.shape[2:]), [c.shape[1:] for c in constants]).graph
    for few in (0, 8):
        plan = plan_rows(graph, few)
        for row in range(4):
            inputs = {("x", None): x[row, 0]} | {("state", i): s[row] for i, s in enumerate(start)}
            inputs |= {("constant", i): c[row] for i, c in enumerate(constants)}
            with np.errstate(all="ignore"):
                (wanted, kept, flat), (got, memory, fewer) = both(plan, inputs, exits)
            assert (got is None) == (wanted is None)
            if wanted is not None:
                np.testing.assert_array_equal(got, wanted)
                for a, b in zip(memory, kept, strict=True):
                    np.testing.assert_array_equal(a, b)
                assert len(fewer) <= len(flat)


def lines_of(step, few=0):
    cell = rk.cell(states={"h": (), "u": (), "v": SIZE}, per_row=True)(step)()
    plan = plan_rows(read(built(cell, (3,))).graph, few)
    return branched(plan, step_lines(plan)[1], written_names(plan), exits=True)


def branches(lines):
    return [line for line in all_lines(lines) if isinstance(line, Branch)]


def inside(lines, op):
    """In how many branches and loops there is an operation, at its deepest."""
    deepest = -1
    for line in lines:
        if isinstance(line, (Branch, RowLoop)):
            parts = [line.lines] if isinstance(line, RowLoop) else [line.then, line.otherwise]
            found = max(inside(part, op) for part in parts)
            deepest = max(deepest, found + 1 if found >= 0 else -1)
        elif isinstance(line, Pointwise) and line.op == op:
            deepest = max(deepest, 0)
    return deepest


def test_what_a_row_does_not_take_is_not_computed():
    def step(x, states):
        h = states.h
        if x[0] > 0:
            h = math.exp(h * x[1])
            if x[1] > 0:
                h = math.log(h + 2.0)
        return h, (h, states.u, states.v)

    lines = lines_of(step)
    assert inside(lines, "exp") == 1 and inside(lines, "log") == 2
    assert len(branches(lines)) == 2


def test_returns_make_one_tree_of_decisions():
    def step(x, states):
        if states.h > 0:
            peak = math.exp(states.u)
            if peak < x[0]:
                return peak, (0.0, x[0], states.v)
            return 2.0 * peak, (1.0, peak, states.v)
        low = math.log(states.u)
        if low > x[0]:
            return low, (1.0, x[0], states.v)
        return 0.5 * low, (0.0, low, states.v)

    lines = lines_of(step)
    (outer,) = [line for line in lines if isinstance(line, Branch)]
    assert inside(outer.then, "exp") == inside(outer.otherwise, "log") == 0
    assert not [line for line in all_lines(lines) if isinstance(line, Pointwise) and line.op.startswith("logical")]


def test_the_second_of_two_conditions_is_asked_where_the_first_holds():
    def step(x, states):
        i = 0
        while i < SIZE - 1 and math.exp(states.v[i]) < x[0]:
            i += 1
        return float(i), states

    lines = lines_of(step)
    (loop,) = [line for line in lines if isinstance(line, RowLoop)]
    assert inside(loop.lines, "exp") == 1
    assert not [line for line in all_lines(lines) if isinstance(line, Check)]


def test_an_element_is_written_where_its_row_goes():
    def step(x, states):
        v = states.v.copy()
        if x[0] > 0:
            v[int(x[1])] = x[2]
        return v[0], (states.h, states.u, v)

    lines = lines_of(step)
    (branch,) = branches(lines)
    kinds_inside = [type(line) for line in branch.then]
    assert Put in kinds_inside and Check in kinds_inside and not branch.otherwise
    assert kinds_inside.index(Put) > kinds_inside.index(Check)
    assert not [line for line in all_lines(lines) if isinstance(line, (Fill, Put)) and line not in branch.then]


def test_a_loop_and_a_copy_are_on_the_way_that_reads_them():
    def step(x, states):
        v, h, i = states.v.copy(), states.h, 0
        if x[0] > 0:
            while i < SIZE - 1 and v[i] > x[1]:
                v[i + 1] = 0.5 * v[i]
                i += 1
            v[i] = math.exp(h)
            h = v[int(x[2])]
        return h, (h, states.u, states.v)

    lines = lines_of(step)
    (branch,) = [line for line in lines if isinstance(line, Branch)]
    assert {Fill, RowLoop, Put} <= {type(line) for line in branch.then} and not branch.otherwise
    assert not [line for line in lines if isinstance(line, (Fill, RowLoop, Put))]


def test_a_loop_in_which_rows_of_another_way_may_fail_stays():
    def step(x, states):
        i = 0
        while states.v[i] > x[1]:
            i += 1
        return math.exp(states.h) if x[0] > 0 and i > 2 else states.h, states

    assert RowLoop in map(type, lines_of(step))
    cell = rk.cell(states={"h": (), "u": (), "v": SIZE}, per_row=True)(step)
    for x in ([-1.0, 0.0, 0.0], [1.0, 0.0, 0.0]):
        with pytest.raises(IndexError, match="row 0 fails at step 0"):
            rk.RNN(cell())(np.array([[x]]), initial_state=[np.zeros(1), np.zeros(1), np.ones((1, SIZE))])


def test_an_array_changed_on_one_way_is_whole_where_it_is_read():
    def step(x, states):
        v = np.exp(states.v)
        if x[0] > 0:
            v[int(x[1])] = x[2]
        return v[int(x[2])], states

    lines = lines_of(step)
    assert [type(line) for line in lines if isinstance(line, (Fill, Put, Branch))] == [Fill, Branch]


def test_cheap_choices_stay_choices_and_new_beginnings_are_jumps():
    def cheap(x, states):
        h = x[0] if x[0] > states.h else states.h
        return h, (h, states.u, states.v)

    def anew(x, states):
        h, u = states.h + x[0], states.u + 1.0
        if h > 5.0:
            h, u = 0.0, 0.0
        return h, (h, u, states.v)

    assert not branches(lines_of(cheap)) and len(branches(lines_of(anew))) == 1


def test_a_mode_decides_which_condition_is_asked():
    def by_mode(x, states):
        crossed = x[0] > 0.5 if states.h == 0 else x[0] < -0.5
        return (1.0 if crossed else 0.0), (states.h + 1.0, states.u, states.v)

    def by_input(x, states):
        crossed = x[0] > 0.5 if x[1] == 0 else x[0] < -0.5
        return (1.0 if crossed else 0.0), (states.h + 1.0, states.u, states.v)

    (branch,) = branches(lines_of(by_mode))
    (asked,) = [line for line in branch.otherwise if isinstance(line, Pointwise)]
    assert asked.op in ("less", "greater") and branch.joined[0][-1] == "bool"
    assert not branches(lines_of(by_input))


def test_names_are_read_where_they_have_values():
    for number in range(0, 60, 5):
        one = random_row_step(number)
        x, _, constants = one.drawn(1, 1, number)
        graph = read(built(one.cell(), x.shape[2:]), [c.shape[1:] for c in constants]).graph
        plan = plan_rows(graph, 0)
        first, rest = step_lines(plan)
        known = {name for line in first for name in [getattr(line, "name", "")]}
        defined(branched(plan, rest, written_names(plan), True), known)


def defined(lines, known):
    """Check that all that lines read is there, and give what is there behind them."""
    for line in lines:
        if isinstance(line, Branch):
            sides = [defined(side, set(known)) for side in (line.then, line.otherwise)]
            assert line.condition in known
            for i, side in enumerate(sides):
                assert {values[i] for _, *values, _ in line.joined} <= side
            known |= {name for name, *_ in line.joined}
        elif isinstance(line, RowLoop):
            assert {one.initial for one in line.carried} <= known
            within = defined(line.lines, known | {line.name, *(one.name for one in line.carried)})
            assert {line.go, *(one.next for one in line.carried)} <= within
            known |= {one.name for one in line.carried}
        else:
            assert set(read_by(line)) <= known, line
            known |= {line.name} if hasattr(line, "name") else set()
    return known


@pytest.mark.parametrize("number", [*range(0, 400, 50), 168, 186, 227, 274, 304, 357])
def test_the_text_of_one_row_has_values_for_all_that_it_reads(number):
    """What is computed of many steps at once, before them, has values that decisions in a step don't see."""
    one = random_row_step(number)
    x, _, constants = one.drawn(1, 1, number)
    graph = read(built(one.cell(), x.shape[2:]), [c.shape[1:] for c in constants]).graph
    sources = RowSources(plan_rows(graph), "step", np.dtype("float64"))
    for kind in (Kind(1), Kind(1, masked=True, traced=True), Kind(1, coded=True)):
        text = sources(kind).text
        assert translate(function.read(text), "run", ARGUMENTS)
