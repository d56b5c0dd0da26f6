"""Random cells on a simulated GPU: the plain loop's numbers, the exact gradient, any cut and form the same bits."""

import os

import numpy as np
import pytest
from gradient_runs import BOUNDS, near, same
from gradient_runs import Run as GradientRun
from matrix import same_bits
from random_runs import Run, agrees_with_the_plain_loop
from random_steps import random_cell

pytest.importorskip("numba_cuda", reason="numba-cuda isn't installed")
if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") == "0":
    pytest.skip("kernels run under the simulator: NUMBA_ENABLE_CUDASIM=1", allow_module_level=True)

from cuda_races import watched
from cuda_runs import CUTS, PLACINGS, set_up

import rnnkit as rk

MASKS = ("none", "random", "right", "left", "empty_rows")
LARGEST = 40  # elements of a state, which Python's threads compute one by one
USUAL = (65, 78, 91, 182, 247, 286, 338, 403, 429, 520, 572, 585)  # of different texts, none large


def settings(number):
    """A cut and a placing, other ones for other cells."""
    cuts = list(CUTS.values())
    return {"config": cuts[number % len(cuts)], "placing": PLACINGS[number // 7 % len(PLACINGS)]}


def small_cell(number):
    cell = random_cell(number)
    if max(int(np.prod(shape)) for shape in cell.state_size) > LARGEST:
        pytest.skip("large for the simulator")
    return cell


def check(number):
    cell = small_cell(number)
    run = Run(cell, 0, batch=3, time=4)
    layer = run.layer(run.backwards).to("cuda")
    whole = run.call()
    agrees_with_the_plain_loop(run, whole)
    set_up(next(iter(layer._execution.executors.values())), **settings(number))
    with watched():
        same_bits(run.call(), whole)


def check_gradient(number):
    cell = small_cell(number)
    layer = rk.RNN(
        cell, number % 3 > 0, True, number % 2 > 0, zero_output_for_mask=number % 5 > 2, dtype=cell.dtype, device="cuda"
    )
    layer.build((None, None, *cell.features))
    run = GradientRun(layer, cell.features, (4, 1, 3)[number % 3], 4, MASKS[number % 5], cell.constants, seed=number)
    run.d = [d.astype(cell.dtype) for d in run.d]
    gradient = run.gradient()
    near(gradient, run.expected(), BOUNDS[cell.dtype] * cell.roundings)
    backward = next(iter(layer._execution.gradients.values()))
    for program in (backward.plain, backward.forward, backward.adjoint):
        set_up(program, **settings(number))
    with watched():
        same(run.gradient(), gradient)


def both(number):
    try:
        check(number)
        check_gradient(number)
    except Exception as error:
        error.add_note(random_cell(number).describe())
        raise


@pytest.mark.parametrize("number", USUAL)
def test_a_random_cell(number):
    both(number)


@pytest.mark.sweep
@pytest.mark.parametrize("number", range(2000))
def test_many_random_cells(number):
    both(number)
