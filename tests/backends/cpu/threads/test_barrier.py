"""Threads that share a call: the same bits however they come, go, or are stopped in its middle (law L3, row X4)."""

import concurrent.futures
import ctypes
import re
import sys
import threading
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import patience
import processes
import pytest
from cells_under_test import CELLS
from matrix import flat, inputs, layer_of, make_mask, same_bits
from random_runs import OTHERS, USUAL, Run
from random_steps import random_cell

import rnnkit as rk
from rnnkit.backends.cpu import program, tuning
from rnnkit.backends.cpu.codegen.tables import ARGUMENTS
from rnnkit.backends.cpu.compile import team
from rnnkit.backends.cpu.language import programs
from rnnkit.backends.cpu.threads import barrier, shared_functions, trials
from rnnkit.backends.cpu.threads import team as teams
from rnnkit.backends.shared import thread_pool as threads_module

NAMES = tuple(cell.name for cell in CELLS if cell.how == "traced")


@pytest.fixture
def shared(monkeypatch, threads):
    """Every call is worth sharing, however small; a thread that was stopped is no reason to rest."""
    monkeypatch.setattr(tuning, "SMALL", 0)
    monkeypatch.setattr(tuning, "WIDE", 0)
    monkeypatch.setattr(tuning, "REST", 0.0)
    monkeypatch.setattr(tuning, "LONGEST_REST", 0.0)
    # A partner that a busy machine stopped now and then would take the shared path out of the test.
    monkeypatch.setattr(tuning, "FIRST_PATIENCE", 10**6)
    monkeypatch.setattr(tuning, "PATIENCE", 10**6)
    monkeypatch.setattr(tuning, "WORK_OF_PAUSE", 1e-3)
    monkeypatch.setattr(tuning, "FIRST_TRIAL", 10**9)  # none is run by one thread, though it be faster
    return threads


def everything(layer, x, constants, mask=None):
    outputs, states = layer.trajectory(x, constants=constants, mask=mask)
    return flat([*layer(x, constants=constants, mask=mask), outputs, *flat(states)])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("batch", [1, 3])
def test_L3_units_split_over_threads(name, batch, shared):
    layer = layer_of(name, units=33, features=17)
    x, constants = inputs(name, batch, 9, 17)
    for kind in ("none", "random", "right"):
        mask = make_mask(kind, batch, 9, np.random.default_rng(2))
        shared(1)
        alone = everything(layer, x, constants, mask)
        for number in (2, 5):
            shared(number)
            same_bits(everything(layer, x, constants, mask), alone)


@pytest.mark.parametrize("number", USUAL[::6])
def test_L3_units_of_a_random_cell_split_over_threads(number, shared):
    cell = random_cell(number)
    for batch in (1, 2):
        run = Run(cell, batch, batch, time=9)
        shared(1)
        alone = run.call()
        for threads in (2, 3):
            shared(threads)
            same_bits(run.call(), alone)


@pytest.mark.sweep
@pytest.mark.parametrize("number", OTHERS)
def test_L3_units_of_many_random_cells_split_over_threads(number, shared):
    test_L3_units_of_a_random_cell_split_over_threads(number, shared)


def test_units_are_split(shared):
    """The law above would hold as well if nobody ever came."""
    layer, (x, constants) = layer_of("lstm", units=33, features=17), inputs("lstm", 1, 400, 17)
    shared(2)
    parts, keep = [], teams.ThreadTeam._run_units

    def counted(self, job, *given):
        done = keep(self, job, *given)
        parts.append(ctypes.c_int64.from_address(int(job.words[barrier.BARRIER]) + 8).value)  # where the others joined
        return done

    teams.ThreadTeam._run_units = counted
    try:
        for _ in patience.tries("another thread joins"):
            layer(x, constants=constants)
            if any(joined > 0 for joined in parts):
                break
    finally:
        teams.ThreadTeam._run_units = keep


@pytest.mark.parametrize("name", ["lstm", "GRUCell", "attention"])
def test_L3_calls_by_one_thread_now_and_then(name, shared, monkeypatch):
    """In whatever order threads share a program's units and one computes them all."""
    layer, (x, constants) = layer_of(name, units=33, features=17), inputs(name, 1, 40, 17)

    def everything_and_gradient():
        return [*everything(layer, x, constants), *gradient_of(layer, x, constants, None)]

    shared(1)
    expected = everything_and_gradient()
    shared(2)
    calls, ways = set(), np.random.default_rng(5)
    for way in ("units", "rows"):
        keep = getattr(teams.ThreadTeam, f"_run_{way}")
        monkeypatch.setattr(
            teams.ThreadTeam, f"_run_{way}", lambda *given, _keep=keep, _way=way: calls.add(_way) or _keep(*given)
        )
    monkeypatch.setattr(trials.Trials, "next_is_shared", lambda self: ways.choice([True, False, None]))
    for _ in patience.tries("calls by several threads and by one"):
        same_bits(everything_and_gradient(), expected)
        if len(calls) == 2:
            break


def test_a_trial_of_one_thread_says_nothing_of_threads_that_were_stopped(shared, monkeypatch):
    """Only a call that was shared shortens the next rest."""
    layer, (x, constants) = layer_of("lstm", units=33, features=17), inputs("lstm", 1, 40, 17)
    shared(2)
    run, rests = teams.ThreadTeam._run_rows, []

    def watched(self, *given):
        self._rest = 7.0
        done = run(self, *given)
        rests.append(self._rest)
        return done

    monkeypatch.setattr(teams.ThreadTeam, "_run_rows", watched)
    monkeypatch.setattr(trials.Trials, "next_is_shared", lambda self: False)
    layer(x, constants=constants)
    assert rests and set(rests) == {7.0}


@pytest.mark.parametrize("name", ["lstm", "GRUCell", "attention", "folded", "two_speeds", "clockwork"])
def test_L3_a_partner_is_left_in_the_middle(name, shared, monkeypatch):
    """Part 0 waits for nobody, so it goes on alone at the first phase to which it comes first."""
    layer, (x, constants) = layer_of(name, units=33, features=17), inputs(name, 1, 40, 17)
    mask = make_mask("random", 1, 40, np.random.default_rng(3))
    shared(1)
    alone = [everything(layer, x, constants, m) for m in (None, mask)]
    monkeypatch.setattr(tuning, "PATIENCE", -(10**6))
    shared(2)
    for _ in range(25):
        for expected, m in zip(alone, (None, mask), strict=True):
            same_bits(everything(layer, x, constants, m), expected)


def gradient_of(layer, x, constants, mask):
    y, pullback = layer.vjp(x, constants=constants, mask=mask)
    found = pullback(tree_of_ones(y))
    return flat([y, found.x, *found.weights.values()])


def tree_of_ones(y):
    return [tree_of_ones(one) for one in y] if isinstance(y, (list, tuple)) else np.ones_like(y)


@pytest.mark.parametrize("name", ["lstm", "GRUCell", "attention", "two_speeds", "clockwork"])
@pytest.mark.parametrize("batch", [1, 8])
def test_L3_a_partner_is_left_in_the_middle_of_a_gradient(name, batch, shared, monkeypatch):
    """What it writes later is dropped; nothing is computed again but with a mask, which may hold states."""
    layer, (x, constants) = layer_of(name, units=33, features=17), inputs(name, batch, 40, 17)
    mask = make_mask("random", batch, 40, np.random.default_rng(3))
    monkeypatch.setattr(tuning, "BLOCK_BYTES", 1)  # blocks of one step: the next one soon takes the memory of the last
    monkeypatch.setattr(tuning, "PASS", 1 << 17)  # and many calls in which a partner may be left
    monkeypatch.setattr(tuning, "LEAST_ENTRIES", 1)
    shared(1)
    alone = [gradient_of(layer, x, constants, m) for m in (None, mask)]
    monkeypatch.setattr(tuning, "PATIENCE", -(10**6))
    monkeypatch.setattr(tuning, "GRACE", -1.0)
    monkeypatch.setattr(tuning, "LOOK_PAUSES", 0)
    abandoned, run = [], program.Program.run

    def watched(self, record, alone=False):
        result = run(self, record, alone)
        if record.placed:
            abandoned.append((record.abandoned, alone, record.mask is not None))
        return result

    monkeypatch.setattr(program.Program, "run", watched)
    shared(4)  # more than there are processors: some are stopped in the middle of a step
    for number, _ in enumerate(patience.tries("a partner is left"), 1):
        for expected, m in zip(alone, (None, mask), strict=True):
            same_bits(gradient_of(layer, x, constants, m), expected)
        if number >= 5 and (True, False, False) in abandoned and (True, False, True) in abandoned:
            break
    assert not any(left and alone for left, alone, _ in abandoned)
    assert abandoned.count((True, False, True)) == abandoned.count((False, True, True))
    assert (False, True, False) not in abandoned


@pytest.fixture
def suspended(monkeypatch):
    """Suspend the second thread behind a barrier in a program with residuals, until part 0 is done or longer."""
    own, names = team(), [function.__name__ for function in shared_functions.TEAM_FUNCTIONS]
    own.prepare()
    kind = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * shared_functions.ARGUMENTS)
    real, run = kind(own.team_functions), program.Program.run
    wanted, ready, found = {"run": 0, "phase": 0}, threading.Event(), []

    def call(action, at, *given):
        name, part = names[action], given[0]
        if name == "admit" or (name == "barrier_wait" and part == 0):  # whatever else the machine does meanwhile
            other = ctypes.c_int64.from_address(at + 2 * barrier.LINE)
            phase = 1 if name == "admit" else given[2]
            for _ in range(1000):
                if found or other.value >= phase or other.value == barrier.ABANDONED:
                    break
                time.sleep(1e-4)
        done = real(action, at, *given)
        if name == "barrier_wait" and part == 1 and done and (1, given[2]) == (wanted["run"], wanted["phase"]):
            found.append(part)
            ready.wait(patience.left())
        return done

    def watched(self, record, alone=False):
        wanted["run"] -= bool(record.placed)
        if not found:
            patience.until(
                lambda: all_asleep(own), "threads that sleep: others, which went to sleep just now, don't come"
            )
        result = run(self, record, alone)
        if record.placed and found and not wanted["longer"]:
            resume()
        return result

    def resume():
        ready.set()
        own.settle()

    def suspend(number, phase, longer):
        wanted.update(run=number + 1, phase=phase, longer=longer)
        ready.clear()
        found.clear()
        return found, resume

    callback = kind(call)
    monkeypatch.setattr(program.Program, "run", watched)
    monkeypatch.setattr(own, "team_functions", ctypes.cast(callback, ctypes.c_void_p).value)
    yield suspend
    resume()


@pytest.mark.parametrize("name", ["lstm", "GRUCell", "two_speeds"])
@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("longer", [False, True])
def test_L3_what_a_suspended_partner_writes_late_is_right(name, number, longer, shared, suspended, monkeypatch):
    """In the forward program and in the adjoint, at any barrier: nothing that it reads has changed by then."""
    layer, (x, constants) = layer_of(name, units=33, features=17), inputs(name, 1, 12, 17)
    monkeypatch.setattr(tuning, "BLOCK_BYTES", 1)  # blocks of one step: the next one would take the memory of the last
    monkeypatch.setattr(tuning, "PATIENCE", 100)
    shared(1)
    alone = gradient_of(layer, x, constants, None)
    shared(2)
    for phase in (2, 3, 4, 9):
        for _ in patience.tries("a partner is suspended"):
            stops, resume = suspended(number, phase, longer)
            found = gradient_of(layer, x, constants, None)
            resume()
            same_bits(found, alone)
            if stops:
                break


@rk.cell(
    states={"h": "units"},
    weights={"kernel": rk.Weight(("features", "units")), "recurrent": rk.Weight(("units", "units"))},
)
def wavy(x, states, weights):
    """Its adjoint has a value of a block of steps, cos(x), that only x's cotangent needs."""
    h = np.tanh(np.sin(x) @ weights.kernel + states[0] @ weights.recurrent)
    return h, h


def test_L3_a_partner_is_left_at_any_meeting(shared):
    """Part 0 of the adjoint goes on alone from each phase on, those after a block of steps among them."""
    layer, x = rk.RNN(wavy(33), return_sequences=True, dtype="float64", seed=0), inputs("lstm", 1, 3, 17)[0]
    shared(1)
    y, pullback = layer.vjp(x)
    (backward,) = layer._execution.gradients.values()
    adjoint, run, abandoned = backward.adjoint, backward.adjoint.run, []

    def watched(record, alone=False):
        expected = run(replace(record, place=None), True)
        if adjoint.team._shared is not None:
            adjoint.team._shared[...] = 255  # NaN, where nothing was written since
        found = run(record, alone)
        same_bits([found.outputs, *found.states], [expected.outputs, *expected.states])
        abandoned.append(record.abandoned)
        return found

    text, wait = adjoint.source.text, "barrier_wait(team, barrier, part, parts, phase, patience)"
    assert "at_result" in text and text.count(wait) > 4
    adjoint.run = watched
    shared(2)
    first = np.zeros(1, np.int64)  # the phase from which on nobody is waited for, read by the program
    impatient = f"-1000000 if phase >= word({first.ctypes.data}, 0) else patience"
    leave = wait.replace("patience", impatient)
    head, body = text.split("\n\n\n", 1)
    head = (
        head if re.search(r"import .*\bword\b", head) else f"{head}\nfrom rnnkit.backends.cpu.simd.atomic import word"
    )
    code = programs.load(f"{head}\n\n\n{body.replace(wait, leave)}", ARGUMENTS)
    adjoint.code = program.ProgramCode(*code, adjoint.code.products)
    for at in range(14, 0, -1):
        first[0] = at
        for _ in range(10):
            pullback(np.random.default_rng(at).normal(size=y.shape))
    for _ in patience.tries("a partner is left"):
        if any(abandoned):
            break
        pullback(y)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("name", ["lstm", "GRUCell", "attention", "two_speeds"])
def test_L3_units_split_in_passes(name, backwards, shared, monkeypatch):
    """A long call goes a few steps at a time: the law of a cut sequence, within a call."""
    layer = layer_of(name, units=33, features=17, go_backwards=backwards)
    for batch in (1, 2):
        x, constants = inputs(name, batch, 11, 17)
        shared(1)
        alone = everything(layer, x, constants)
        shared(3)
        for several in (0, 3 * batch * layer._execution.executor(constants or (), False)._step_work):
            monkeypatch.setattr(tuning, "PASS", several)
            same_bits(everything(layer, x, constants), alone)
            last = rk.RNN(layer.cell, go_backwards=backwards)
            same_bits(last(x, constants=constants), alone[0][:, -1])


def test_L3_nobody_ever_comes(shared, monkeypatch):
    class Nobody:
        def submit(self, *arguments):
            pass

    monkeypatch.setattr(teams, "pool", lambda n: Nobody())
    monkeypatch.setattr(tuning, "FIRST_PATIENCE", 10)
    monkeypatch.setattr(teams, "_teams", [])
    fresh = teams.ThreadTeam(team()._load_rows, team()._load)
    for batch in (1, 64):
        layer, (x, constants) = layer_of("lstm", units=33, features=17), inputs("lstm", batch, 9, 17)
        shared(1)
        alone = everything(layer, x, constants)
        executor = layer._execution.executor((), False)
        monkeypatch.setattr(executor, "team", fresh)
        shared(3)
        same_bits(everything(layer, x, constants), alone)


def test_L3_a_partner_that_is_stopped_in_a_short_call(shared, monkeypatch):
    """Rows that another thread took and doesn't finish: the call is done again, in arrays of its own."""
    monkeypatch.setattr(tuning, "GRACE", -1.0)
    monkeypatch.setattr(tuning, "LOOK_PAUSES", 0)
    layer, (x, constants) = layer_of("lstm", units=33, features=17), inputs("lstm", 64, 30, 17)
    shared(1)
    alone = everything(layer, x, constants)
    shared(2)
    for _ in range(30):
        same_bits(everything(layer, x, constants), alone)


def test_rest_after_a_partner_was_stopped(monkeypatch):
    """As long as its cost asks for, longer after each stop in a row."""
    monkeypatch.setattr(teams, "_teams", [])
    monkeypatch.setattr(tuning, "REST", 4.0)
    monkeypatch.setattr(tuning, "REST_GROWTH", 3.0)
    monkeypatch.setattr(tuning, "LONGEST_REST", 30.0)
    fresh = teams.ThreadTeam(team()._load_rows, team()._load)
    monkeypatch.setattr(teams, "time", SimpleNamespace(perf_counter=lambda: 7.0))
    rests = []
    for lost in (2.0, 2.0, 0.5, 0.5):
        fresh._rest_after(lost)
        rests.append(fresh._rest_until - 7.0)
    assert rests == [8.0, 24.0, 15.0, 15.0]
    assert fresh.run(0, None, None, 0, 0, 0, False, 2, None) is None  # at once, without a look at its arguments


@pytest.mark.parametrize("batch", [1, 64])
def test_a_rest_is_short_again_after_a_call_that_was_shared(batch, shared, monkeypatch):
    layer, (x, constants) = layer_of("lstm", units=33, features=17), inputs("lstm", batch, 400, 17)
    own = layer._execution.executor((), False).team
    shared(2)
    layer(x, constants=constants)
    monkeypatch.setattr(tuning, "REST", 0.001)
    for _ in patience.tries("a call is shared"):
        own._rest, own._rest_until = 0.5, 0.0
        layer(x, constants=constants)
        if own._rest == tuning.REST:
            break


def test_X4_a_thousand_mixed_calls_at_once(threads):
    """Wide single rows, small batches and large ones, from four threads that want the same partners."""
    threads(2)
    jobs = [(layer_of(name, units=33, features=17), *inputs(name, batch, 20, 17))
            for name in ("lstm", "GRUCell") for batch in (1, 2, 64)]  # fmt: skip
    wide = rk.LSTM(192, return_sequences=True, seed=1)
    row = np.random.default_rng(0).normal(size=(1, 40, 8)).astype("float32")
    threads(1)
    expected = [everything(*job) for job in jobs]
    expected_wide = wide(row)
    threads(2)

    def caller(seed):
        rng = np.random.default_rng(seed)
        for i in rng.integers(0, len(jobs) + 1, 250):
            if i == len(jobs):
                same_bits([wide(row)], [expected_wide])
            else:
                same_bits(flat([*jobs[i][0](jobs[i][1], constants=jobs[i][2])]), expected[i][: -_tail(expected[i])])

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(caller, seed) for seed in range(4)]:
            done.result(patience.left())


def _tail(everything_of_it):
    """How many of the arrays come from the trajectory: half of them, outputs and states alike."""
    return len(everything_of_it) // 2


ON_ONE_CPU = """
import os
if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
import numpy as np, rnnkit as rk
layer = rk.LSTM(192, return_sequences=True, seed=1)
x = np.random.default_rng(0).normal(size=(1, 300, 8)).astype("float32")
batch = np.random.default_rng(0).normal(size=(40, 60, 8)).astype("float32")
results = []
for threads in (1, 2, 3):
    rk.set_num_threads(threads)
    for _ in range(3):
        results.append((layer(x), layer(batch)))
assert all((a == b).all() for r in results for a, b in zip(r, results[0]))
print("same")
"""


def test_X4_one_cpu_and_three_threads():
    done = processes.run([sys.executable, "-c", ON_ONE_CPU])
    assert done.stdout.strip() == "same", done.stderr


def test_threads_go_to_sleep(shared):
    """An idle thread ends after a moment: it doesn't keep a processor busy."""
    layer, (x, constants) = layer_of("lstm", units=33, features=17), inputs("lstm", 64, 30, 17)
    own = layer._execution.executor((), False).team
    shared(2)
    layer(x, constants=constants)
    patience.until(lambda: all_asleep(own), "all threads are asleep")


def all_asleep(own):
    return not own._slots.words.reshape(-1, barrier.LINE // 8)[:, 0].any()


def test_what_a_call_used_is_let_go(shared):
    for batch in (1, 64):
        layer, (x, constants) = layer_of("lstm", units=33, features=17), inputs("lstm", batch, 30, 17)
        shared(2)
        layer(x, constants=constants)
        kept = weakref.ref(x)
        layer._execution.executor((), False).team.settle()
        layer(x[:1, :1].copy(), constants=constants and [c[:1] for c in constants])  # lets go of what was still held
        layer_of("lstm", units=33, features=17)(np.ones((batch, 30, 17)))
        del x
        assert kept() is None


def test_L3_a_thread_that_could_not_be_started(shared, monkeypatch):
    """Its task stays in the pool's queue, and is served beside the next one."""
    layer, (x, constants) = layer_of("lstm", units=33, features=17), inputs("lstm", 64, 30, 17)
    shared(1)
    alone = everything(layer, x, constants)
    own = layer._execution.executor((), False).team
    own.settle()
    with monkeypatch.context() as broken:
        pools = concurrent.futures.ThreadPoolExecutor(1)
        broken.setattr(teams, "pool", lambda n: pools)
        start, failed = threading.Thread.start, []

        def failing(thread):
            if not failed:
                failed.append(True)
                raise RuntimeError("can't start new thread")
            start(thread)

        patience.until(lambda: all_asleep(own), "all threads are asleep")
        broken.setattr(threading.Thread, "start", failing)
        shared(2)
        for _ in range(3):
            same_bits(everything(layer, x, constants), alone)
        assert failed
        done = threading.Thread(target=pools.shutdown)
        start(done)
        done.join(patience.left())
        assert not done.is_alive(), "a server never ends"


def test_a_block_that_a_forgotten_task_took_is_waited_for(threads, monkeypatch):
    """The pool says that it can't start a thread, but has queued the task, and a thread that is free takes it."""

    class Pool:
        def submit(self, task):
            threading.Thread(target=task).start()
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads_module, "pool", lambda n: Pool())
    threads(2)
    done = np.zeros(640, bool)

    def slow(first, last):
        if threading.current_thread() is not threading.main_thread():
            time.sleep(0.2)  # so that the caller is done first; what is asserted holds whoever is
        done[first:last] = True

    for _ in range(5):
        done[:] = False
        threads_module.run_blocks(slow, 640)
        assert done.all()


def test_L3_others_join_at_the_turn_of_their_step(shared, monkeypatch):
    """In the middle, too, where the states stand in the place of the new ones at every second step."""
    monkeypatch.setattr(tuning, "FIRST_PATIENCE", 0)  # part 0 goes ahead
    monkeypatch.setattr(tuning, "BLOCK_BYTES", 0)  # and looks for the others at every step
    monkeypatch.setattr(tuning, "PATIENCE", -(10**6))  # but leaves them, so that a call takes no longer
    layer, (x, constants) = layer_of("lstm", units=33, features=17), inputs("lstm", 1, 8001, 17)
    steps, keep = set(), teams.ThreadTeam._run_units

    def counted(self, job, *given):
        done = keep(self, job, *given)
        joined = ctypes.c_int64.from_address(int(job.words[barrier.BARRIER]) + 8).value
        if joined > 0:
            step, turn = divmod(joined - 1, 2)
            assert turn == step % 2
            steps.add(turn)
        return done

    monkeypatch.setattr(teams.ThreadTeam, "_run_units", counted)
    shared(2)
    for _ in patience.tries("another thread joins at a step of either kind"):
        layer(x, constants=constants)
        if steps == {0, 1}:
            break
