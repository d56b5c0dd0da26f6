"""Repeated updates whose calls threads share: the same bits however the threads come, go, or are left behind."""

import gc
import weakref

import numpy as np
import patience
import pytest
from random_runs import USUAL
from random_steps import random_cell

import rnnkit as rk
from rnnkit.backends.cpu import tuning
from rnnkit.backends.cpu.program import Program
from rnnkit.backends.cpu.simd.bounds_check import CHECKED
from rnnkit.backends.cpu.threads.team import ABANDONED, ThreadTeam
from rnnkit.layers.support.recording import Recording, arrays_in
from rnnkit.layers.support.runner import Kind
from rnnkit.optimizers.in_place import UpdateInPlace
from rnnkit.training import updates as runners
from rnnkit.training.steps import Stepper

pytestmark = pytest.mark.skipif(CHECKED, reason="what is recorded is not shared where accesses are checked")
BATCHES = 12


@pytest.fixture
def shared(monkeypatch, threads):
    """Every call and every sum is worth sharing, and a thread that was stopped is no reason to rest."""
    for name, value in {"SMALL": 0, "SMALL_SUM": 0, "REST": 0.0, "LONGEST_REST": 0.0}.items():
        monkeypatch.setattr(tuning, name, value)
    monkeypatch.setattr(runners, "_ALONE", 0)
    return threads


@pytest.fixture
def anew(monkeypatch):
    """How many batches were done the ordinary way."""
    done, ordinary = [], Stepper.train_anew

    def counted(self, *arguments):
        done.append(1)
        ordinary(self, *arguments)

    monkeypatch.setattr(Stepper, "train_anew", counted)
    return done


@pytest.fixture
def spoiled(monkeypatch):
    """The recordings that a thread was left behind in."""
    found, abandoned = [], Recording.abandoned

    def watched(self):
        found.append(weakref.ref(self))
        abandoned(self)

    monkeypatch.setattr(Recording, "abandoned", watched)
    return found


def updates(number=None, rows=8):
    """Losses and weights of some batches: of a random cell, or of two ways of an LSTM, every other batch masked."""
    rng, cell = np.random.default_rng(1), None if number is None else random_cell(number)
    steps = [rk.Masking(), rk.Bidirectional(rk.LSTM(6))] if cell is None else [rk.RNN(cell, return_sequences=True)]
    model = rk.Sequential([*steps, rk.Flatten(), rk.Dense(1)], seed=0, dtype="float64")
    model.compile(rk.optimizers.Adam(0.01), "mse")
    features = (3,) if cell is None else cell.features
    x, y = rng.normal(size=(BATCHES, rows, 7, *features)), rng.normal(size=(BATCHES, rows, 1))
    if cell is None:
        x[::2] *= rng.random((BATCHES // 2, rows, 7, 1)) < 0.8
    losses = [model.train_on_batch(*batch) for batch in zip(x, y, strict=True)]
    return [losses, *(one.tolist() for one in model.get_weights())]


NUMBERS = None, *[number for number in USUAL if not random_cell(number).constants][:2]


@pytest.mark.parametrize("rows", [1, 8])
@pytest.mark.parametrize("number", NUMBERS)
def test_L3_the_bits_are_those_of_one_thread(number, rows, shared, anew, monkeypatch):
    """Rows shared by threads, and the units of a single row; they are repeated, too."""
    monkeypatch.setattr(tuning, "WIDE", 0)
    shared(1)
    alone = updates(number, rows)
    once = len(anew)
    shared(3)
    assert updates(number, rows) == alone
    assert len(anew) <= 2 * once + 3 * BATCHES // 4  # a busy machine may leave threads behind


def test_threads_take_part_in_repetitions(shared, anew, monkeypatch):
    taken, run = [], ThreadTeam.run
    monkeypatch.setattr(ThreadTeam, "run", lambda self, *a: taken.append(run(self, *a)) or taken[-1])
    shared(2)
    for _ in patience.tries("threads take part"):
        anew.clear(), taken.clear()
        updates()
        if len(anew) == 3 and taken.count(True) > 2 * BATCHES:
            break


@pytest.mark.parametrize("fate", [False, ABANDONED, None])
@pytest.mark.parametrize("number", NUMBERS[:2])
def test_L3_a_thread_is_left_behind_in_a_repetition(number, fate, shared, anew, spoiled, monkeypatch):
    """At any call: its memory is dropped, the batch is done the ordinary way, and the next ones recorded anew."""
    shared(1)
    alone = updates(number)
    anew.clear()
    shared(2)
    run, rng = ThreadTeam.run, np.random.default_rng(2)

    def left(*arguments):
        done = run(*arguments)
        if not done or rng.random() >= 0.05:
            return done
        (held,) = (one for one in arguments if isinstance(one, tuple))
        if fate is False and isinstance(held[0], Program):  # the program, …, its arrays, tables
            (_, outputs, last, *_), (_, final, trajectory) = held[5]
            for array in (outputs, last, *final, *(trajectory or ())):
                if array is not None:
                    array[...] = np.nan  # by the thread that was left behind
        return fate

    def repeated(self, *arguments, run=Kind.run):
        assert all(one() is not self.recording for one in spoiled)  # where something is written any time
        return run(self, *arguments)

    monkeypatch.setattr(ThreadTeam, "run", left)
    monkeypatch.setattr(Kind, "run", repeated)
    assert updates(number) == alone
    assert bool(spoiled) == (len(anew) > 3) == (fate is not None)
    gc.collect()
    assert all(one() is None for one in spoiled)  # nobody keeps them


def test_one_thread_writes_to_what_outlives_a_recording(shared, monkeypatch):
    """The optimizer's memory: a thread that was left behind in another recording must not write there."""
    found, record = [], UpdateInPlace.record

    def watched(self, recording, *arguments):
        before = len(recording.operations)
        update = record(self, recording, *arguments)
        found.append([getattr(one, "func", None) == recording.share for one in recording.operations[before:]])
        return update

    monkeypatch.setattr(UpdateInPlace, "record", watched)
    shared(2)
    updates()
    assert found and all(by_threads and not any(by_threads) for by_threads in found)


@rk.cell(states={"h": ()}, per_row=True)
def growing(x, states):
    h = 0.5 * states.h + (x[0] if x[0] > 0 else x[1])
    return h, h


CALLED = {
    "LSTM": lambda: rk.LSTM(6, return_state=True, seed=0, dtype="float64"),  # whose results are copied
    "backwards": lambda: rk.GRU(6, go_backwards=True, seed=0, dtype="float64"),
    "rows": lambda: rk.RNN(growing(), return_sequences=True, dtype="float64"),
    "model": lambda: rk.Sequential([rk.GRU(4, return_sequences=True), rk.Dense(2)], seed=0, dtype="float64"),
}


@pytest.mark.parametrize("fate", [False, ABANDONED, None])
@pytest.mark.parametrize("name", CALLED)
def test_L3_a_thread_is_left_behind_in_a_repeated_call(name, fate, shared, spoiled, monkeypatch):
    """What users are given is in no array that such a thread may write to, and calls are recorded anew."""
    shared(1)
    layer, rng = CALLED[name](), np.random.default_rng(2)
    batches = rng.normal(size=(120, 24, 7, 3))
    alone = [[one.copy() for one in arrays_in(layer(x))] for x in batches]
    shared(2)
    run, lent = ThreadTeam.run, []

    def left(*arguments):
        done = run(*arguments)
        if not done or rng.random() >= 0.05:
            return done
        lent.extend(held[-1] for held in arguments if isinstance(held, tuple))
        return fate

    monkeypatch.setattr(ThreadTeam, "run", left)
    found = [arrays_in(layer(x)) for x in batches]
    replaced = [array for some in lent for array in some or ()]
    for one, two in zip(found, alone, strict=True):
        assert [array.tolist() for array in one] == [array.tolist() for array in two]
        assert not any(np.shares_memory(array, other) for array in one for other in replaced)
    assert bool(spoiled) == (fate is not None)
    assert bool(replaced) == (fate is not None and name in ("rows", "model"))


@pytest.mark.parametrize("fate", [False, ABANDONED])
@pytest.mark.parametrize("name", ["backwards", "rows", "model"])
def test_L3_a_thread_is_left_behind_in_a_repeated_gradient(name, fate, shared, spoiled, monkeypatch):
    """Also of a pullback that comes after its recording was dropped."""
    shared(1)
    layer, rng = CALLED[name](), np.random.default_rng(2)
    batches = rng.normal(size=(60, 24, 7, 3))

    def gradients():
        before = None
        for x in batches:
            y, pull = layer.vjp(x)
            late, before = before, pull
            for one in (pull, late) if late else (pull,):
                found = one(np.ones_like(y))
                yield [array.copy() for array in arrays_in([dict(found.weights), found.x])]

    alone = list(gradients())
    shared(2)
    run = ThreadTeam.run

    def left(*arguments):
        done = run(*arguments)
        return fate if done and rng.random() < 0.03 else done

    monkeypatch.setattr(ThreadTeam, "run", left)
    for one, two in zip(gradients(), alone, strict=True):
        assert [array.tolist() for array in one] == [array.tolist() for array in two]
    assert spoiled
