"""How many rows a group of a program by rows has."""

import numpy as np
import pytest
from graphs_under_test import built, planned, read

import rnnkit as rk
from rnnkit.backends.cpu.compile import BY_ROWS
from rnnkit.backends.cpu.row_program import RowPrograms, vectors
from rnnkit.backends.cpu.simd.registers import LANES, REGISTERS


def plan_of(numbers, deep):
    """Return the plan of a step with so many numbers at once, of which each waits for so many functions."""

    @rk.cell(states={"v": numbers}, per_row=True)
    def step(x, states):
        v = states.v * x[0]
        for _ in range(deep):
            v = np.exp(v) - v[::-1]
        return v, (v,)

    return planned(read(built(step(), (1,))).graph, BY_ROWS)


@pytest.mark.parametrize(
    "numbers, deep, most, keeping",
    [
        (1, 1, 4, 4),
        (REGISTERS // 4 - 1, 1, 2, 2),
        (REGISTERS // 2 - 1, 1, 2, 1),
        (REGISTERS - 4, 1, 1, 1),
        (REGISTERS - 4, 8, 4, 1),
    ],
)
def test_what_waits_for_itself_has_more_rows_than_fit_into_registers(numbers, deep, most, keeping):
    plan = plan_of(numbers, deep)
    assert (vectors(plan, keeps=False), vectors(plan, keeps=True)) == (most, keeping)


def test_few_lanes_have_no_row(threads):
    threads(1)
    programs = RowPrograms(None, plan_of(1, 1), np.dtype("float64"), "", lambda programs: None)
    most = 4 * LANES["float64"]
    for rows in range(1, 6 * most):
        lanes = programs.lanes(rows)
        assert 1 <= lanes <= most
        assert lanes & (lanes - 1) == 0
        if rows > most:
            assert -rows % lanes <= max(rows // 3, LANES["float64"])
