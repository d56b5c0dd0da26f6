"""Networks learn what they should: in small here, in full in the sweep and in docs/performance.md."""

import pathlib
import sys

import pytest

sys.path.append(str(pathlib.Path(__file__).parents[2] / "asv_benchmarks"))
from benchmarks import tasks

SEEDS = (0, 1, 2)


def test_a_cell_of_ones_own_learns_to_add():
    """0.167 is what a constant reaches."""
    assert tasks.adding(0, steps=10, rows=4000, epochs=8, units=16) < 0.02


def test_an_orthogonal_cell_recalls():
    """One of eight is what guessing reaches."""
    assert tasks.copying(0, delay=5, rows=3000, epochs=10, units=64) > 0.9


def test_a_decoder_answers_from_the_encoders_states():
    """One of eight is what guessing reaches; it reads its own answer."""
    assert tasks.reversing(0, symbols=4, rows=4000, epochs=12, units=48) > 0.9


@pytest.mark.sweep
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("steps", [100, 400])
def test_adding(seed, steps):
    assert tasks.adding(seed, steps=steps) < 0.005


@pytest.mark.sweep
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("delay", [20, 100])
def test_copying(seed, delay):
    assert tasks.copying(seed, delay=delay) >= 0.99


@pytest.mark.sweep
def test_digits():
    pytest.importorskip("sklearn")
    found = [tasks.digits(seed) for seed in SEEDS]
    assert sum(found) / len(found) >= 0.98 and min(found) >= 0.97


@pytest.mark.sweep
@pytest.mark.parametrize("seed", SEEDS)
def test_reversing(seed):
    assert tasks.reversing(seed) >= 0.98
