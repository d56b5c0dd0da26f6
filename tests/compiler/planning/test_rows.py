"""Plans by rows, without a compiler behind them: which steps have one, and what is where in it."""

import math

import numpy as np
import pytest
from graphs_under_test import built, by_row, planned, read

import rnnkit as rk
from rnnkit.backends.cpu.compile import BY_ROWS
from rnnkit.compiler.ir.plan import CALL, STEP, Fill, Look, Pointwise, Put, RowLoop, all_lines, read_by, written_names
from rnnkit.compiler.planning.rows import FEW, is_narrow

SIZE = FEW + 4


class Planned:
    """The plan by rows of a step ``(x, states[, constants])`` with the states h, a number, and v, u and w, arrays."""

    def __init__(self, step, constants=(), role="forward"):
        cell = rk.cell(states={"h": (), "v": SIZE, "u": SIZE, "w": (SIZE, 2)}, per_row=True)(step)()
        self.graph = read(built(cell, (3,)), constants).graphs[role]
        self.plan = planned(self.graph, BY_ROWS)
        self.lines = self.plan.lines

    def of(self, kind, lines=None):
        return [one for one in all_lines(self.lines if lines is None else lines) if isinstance(one, kind)]

    def operations(self, lines=None):
        return [one.op for one in self.of(Pointwise, lines)]


# Which steps


def narrow(cell, features=(5,)):
    return is_narrow(read(built(cell, features)).graph)


def test_few_numbers_loops_and_computed_places_are_planned_by_rows():
    @rk.cell(states={"h": ()}, per_row=True)
    def few(x, states):
        return x[0] + states.h, (0.5 * states.h + x[1],)

    @rk.cell(states={"h": 200}, per_row=True)
    def looking(x, states):
        return states.h[int(x[0])], (np.tanh(states.h),)

    @rk.cell(states={"h": 200})
    def wide(x, states):
        return states.h + 1.0, (np.tanh(states.h),)

    assert narrow(few()) and narrow(looking()) and narrow(by_row(), (2,))
    assert not narrow(wide()) and not narrow(rk.LSTMCell(16)) and not narrow(rk.GRUCell(64))
    assert not narrow(rk.ESNCell(100, density=0.05))  # which is sparse


# Arrays in memory


def writes(x, states):
    v = states.v.copy()
    v[int(x[0])] = x[1]
    return v[2], (states.h, v, states.u, states.w)


def reads_what_was(x, states):
    v = states.v.copy()
    v[int(x[0])] = x[1]
    return states.v[int(x[2])] + v[2], (states.h, v, states.u, states.w)


def reads_before(x, states):
    old = states.v[int(x[2])]
    v = states.v.copy()
    v[int(x[0])] = x[1]
    return old + v[2], (states.h, v, states.u, states.w)


def reads_by_another_name(x, states):
    w = states.w.copy()
    w[int(x[0]), int(x[1])] = x[1]
    return states.w[int(x[2]), 0], (states.h, states.v, states.u, w)


def in_a_branch(x, states):
    v = states.v.copy()
    if x[0] > 0:
        v[int(x[0])] = x[1]
    return v[2], (states.h, v, states.u, states.w)


@pytest.mark.parametrize("step, slots", [
    (writes, 1), (reads_before, 1), (reads_what_was, 2), (reads_by_another_name, 2), (in_a_branch, 1),
])  # fmt: skip
def test_an_element_changes_in_place_where_nothing_reads_what_was(step, slots):
    made = Planned(step)
    assert len(made.plan.slots) == slots
    assert len(made.plan.resident) == 1  # the state stays in memory from step to step
    assert len(made.of(Fill)) == slots - 1


def test_few_elements_stay_in_registers():
    def step(x, states):
        a = np.zeros(FEW)
        a[int(x[0])] = x[1]
        return a[int(x[2])], states

    made = Planned(step)
    assert not made.plan.slots and not made.of(Put) and not made.of(Look)


def test_arrays_of_a_loop_may_change_places():
    def step(x, states):
        v, u = states.v.copy(), states.u.copy()
        for i in range(int(x[0])):
            v[i % SIZE] = x[1]
            v, u = u.copy(), v.copy()
        return v[0], (states.h, v, u, states.w)

    made = Planned(step)
    (loop,) = made.of(RowLoop)
    kinds = [type(line) for line in loop.lines]
    ends = [i for i, line in enumerate(loop.lines) if isinstance(line, Put) and not line.index]
    assert len(ends) == 2 * SIZE and kinds.index(Put, ends[0]) > max(i for i, k in enumerate(kinds) if k is Look)


# Loops


def test_what_a_loop_does_not_change_is_computed_before_it():
    def step(x, states):
        h = states.h
        for _ in range(int(x[0])):
            h = h * math.exp(x[1]) + math.sin(states.u[0])
        return h, (h, states.v, states.u, states.w)

    made = Planned(step)
    (loop,) = made.of(RowLoop)
    assert not {"exp", "sin"} & set(made.operations(loop.lines))
    assert {"exp", "sin"} <= set(made.operations())


def test_a_number_of_rounds_is_the_same_in_all_rows_until_it_decides_by_one():
    def counted(x, states):
        h = states.h
        for i in range(400):
            h = h * 0.5 + states.v[i % SIZE]
        return h, (h, states.v, states.u, states.w)

    def leaves(x, states):
        h, i = states.h, 0
        while i < 400 and h < x[0]:
            h = h * 0.5 + states.v[i % SIZE]
            i += 1
        return h, (h, states.v, states.u, states.w)

    def skips(x, states):
        h, i = states.h, 0
        while i < 400:
            h = h * 0.5 + states.v[i % SIZE]
            i += 1 if h < x[0] else 2
        return h, (h, states.v, states.u, states.w)

    for step, same in ((counted, True), (leaves, False), (skips, False)):
        made = Planned(step)
        (loop,) = made.of(RowLoop)
        assert (loop.go in made.plan.uniform) == same, step


def test_a_loop_in_a_branch_goes_round_for_the_rows_that_take_it():
    def step(x, states):
        h = states.h
        if x[0] > 0:
            for i in range(20):
                for j in range(int(x[1])):
                    h = h * 0.5 + states.v[(i + j) % SIZE]
        return h, (h, states.v, states.u, states.w)

    made = Planned(step)
    outer, inner = sorted(made.of(RowLoop), key=lambda loop: len(loop.lines), reverse=True)
    assert inner in outer.lines and outer in made.lines
    given = {line.name: line for line in all_lines(made.lines) if isinstance(line, Pointwise)}
    assert under(given, outer.go) >= {"greater"} and under(given, inner.go) >= {"greater"}


def under(given, name):
    """The operations under a line."""
    line = given.get(name)
    return set() if line is None else {line.op}.union(*(under(given, arg) for arg in line.args))


# Times


def test_places_of_constants_are_found_once_a_call():
    def step(x, states, constants):
        (table,) = constants
        found = math.exp(table[int(table[0])])
        return found * x[0], states

    made = Planned(step, ((SIZE,),))
    (look,) = [line for line in made.of(Look) if line.index]
    (exp,) = [line for line in made.of(Pointwise) if line.op == "exp"]
    assert made.plan.sections[look.name] == made.plan.sections[exp.name] == CALL


@pytest.mark.parametrize("role", ["forward", "forward with residuals", "adjoint"])
def test_all_that_is_computed_is_read(role):
    def step(x, states):
        h, v = states.h, states.v.copy()
        a = np.zeros(3)
        a[int(x[0])] = h
        for i in range(int(x[1])):
            h = h * 0.5 + v[i % SIZE] if h < x[0] else h
            v[i % SIZE] = a[0] * h
        return a[1] * h, (h, v, states.u, states.w)

    made = Planned(step, role=role)
    read_names = {name for line in all_lines(made.lines) for name in read_by(line)} | {made.plan.code}
    read_names |= set(written_names(made.plan))
    unread = [line.name for line in made.of((Pointwise, Look)) if line.name not in read_names]
    assert not unread
    assert {made.plan.sections[line.name] for line in made.of(Pointwise)} >= {STEP}


def test_what_a_loop_kept_of_an_array_is_put_into_memory_around_the_loops_inside():
    """Of three loops, the innermost reads at computed places what the outermost carried at its round."""

    @rk.cell(states={"a": (10, 10)}, per_row=True)
    def cholesky(x, states):
        a = 0.1 * states.a + np.eye(10) * (2 + x[0] * x[0])
        factor = np.zeros((10, 10))
        for i in range(10):
            for j in range(i + 1):
                s = a[i, j]
                for k in range(j):
                    s -= factor[i, k] * factor[j, k]
                factor[i, j] = np.sqrt(s) if i == j else s / factor[j, j]
        return factor[9, 9], a

    assert rk.gradcheck(cholesky(), (1, 2, 1))
