"""Functions of one row in lanes of a register: nothing is read before it is there; the bits are those of a batch."""

import math

import numpy as np
import pytest
from graphs_under_test import built, read
from random_rows import random_row_step

import rnnkit as rk
from rnnkit.backends.cpu.codegen.row_source import Kind
from rnnkit.backends.cpu.compile import RowSources
from rnnkit.compiler.ir.plan import read_by
from rnnkit.compiler.planning.rows import plan_rows
from rnnkit.compiler.planning.side_by_side import MOST, all_given_by, side_by_side


@pytest.mark.parametrize("number", range(0, 120, 5))
def test_all_lines_are_there_and_come_before_what_reads_them(number):
    one = random_row_step(number)
    x, _, constants = one.drawn(1, 1, number)
    plan = plan_rows(read(built(one.cell(), x.shape[2:]), [c.shape[1:] for c in constants]).graph)
    found = side_by_side(plan.lines, lambda line: True)
    flat = [line for part in found for line in (part if isinstance(part, tuple) else (part,))]
    assert {*map(id, flat)} == {*map(id, plan.lines)} and len(flat) == len(plan.lines)
    others = [line for line in flat if line not in {*sum((part for part in found if isinstance(part, tuple)), ())}]
    effects = [line for line in plan.lines if not hasattr(line, "op")]
    assert [line for line in others if not hasattr(line, "op")] == effects
    known, made = set(), {name for line in plan.lines for name in all_given_by(line)}
    for part in found:
        group = part if isinstance(part, tuple) else (part,)
        for line in group:
            assert made.intersection(read_by(line)) - {*all_given_by(line)} <= known, line
        assert len({line.op for line in group if len(group) > 1}) <= 1 and len(group) <= MOST
        known.update(name for line in group for name in all_given_by(line))


def rates(v, x):
    return [math.exp(-(v + 0.1 * k) * x) for k in range(5)]


@rk.cell(states={"v": (), "w": ()}, per_row=True)
def excited(x, states):
    v, w = states
    a, b, c, d, e = rates(v, x[0])
    if a > b:
        w += math.sin(a) * math.cos(b) - math.sin(c)
    v = 0.9 * v + 0.1 * math.tanh(d - e) - 0.05 * math.tanh(w) + 0.01 * math.exp(a - b)
    return v + w, (v, 0.5 * w)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_bits_are_those_of_a_batch(dtype):
    layer = rk.RNN(excited(), return_sequences=True)
    x = np.random.default_rng(0).normal(size=(5, 40, 1)).astype(dtype)
    together, pull = layer.vjp(x)
    g = pull(np.ones_like(together)).x
    for row in range(len(x)):
        alone, own = layer.vjp(x[row : row + 1])
        np.testing.assert_array_equal(alone, together[row : row + 1])
        np.testing.assert_array_equal(layer(x[row : row + 1]), alone)
        np.testing.assert_array_equal(own(np.ones_like(alone)).x, g[row : row + 1])


def test_what_waits_for_each_other_is_not_joined():
    plan = plan_rows(read(built(excited(), (1,))).graph)
    groups = [part for part in side_by_side(plan.lines, lambda line: True) if isinstance(part, tuple)]
    assert sorted((group[0].op, len(group)) for group in groups) == [("exp", 5), ("sin", 2), ("tanh", 2)]
    text = RowSources(plan, "step", np.dtype("float32"))(Kind(1)).text
    assert text.count("exp(join_4(") == 1  # the fifth stands where its row decides
