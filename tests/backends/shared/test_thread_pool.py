"""Threads, forks and processes: row X4 and law L3 of docs/contract.md."""

import contextlib
import functools
import multiprocessing
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import llvmlite.binding as llvm
import numpy as np
import patience
import processes
import pytest
from cells_under_test import leaky
from matrix import flat, fresh, inputs, layer_of, same_bits

import rnnkit as rk
from rnnkit.backends.cpu.language import programs
from rnnkit.backends.shared import memory_limit, program_cache, thread_pool
from rnnkit.backends.shared.thread_pool import at_most

NAMES = ("lstm", "attention", "clockwork", "StackedRNNCells", "folded", "GRUCell", "leaky", "two_speeds")


def everything(layer, x, constants):
    return flat(list(layer(x, constants=constants)))


def big(name, seed=0):
    """Large enough to be shared out over threads."""
    return inputs(name, 64, 30, 17, seed=seed)


def test_X4_eight_threads_on_several_layers():
    layers = [layer_of(name, units=33, features=17) for name in NAMES]
    work = [(layer, *big(name, seed)) for seed in range(2) for name, layer in zip(NAMES, layers, strict=True)]
    expected = [everything(*job) for job in work]
    start = threading.Barrier(8)

    def worker(number):
        start.wait(patience.left())
        order = np.random.default_rng(number).permutation(len(work))
        return {int(i): everything(*work[i]) for i in order}

    with ThreadPoolExecutor(8) as pool:
        for results in pool.map(worker, range(8)):
            for i, got in results.items():
                same_bits(got, expected[i])


def test_X4_eight_threads_build_and_run_their_own_layers():
    """Building (tracing, compiling, loading) at once is as safe as running."""
    expected = {name: everything(layer_of(name), *inputs(name, 3, 5)) for name in NAMES}
    start = threading.Barrier(8)

    def worker(name):
        start.wait(patience.left())
        return name, everything(fresh(name), *inputs(name, 3, 5))

    with ThreadPoolExecutor(8) as pool:
        for name, got in pool.map(worker, NAMES):
            same_bits(got, expected[name])


def test_X4_eight_threads_build_one_layer():
    layer, x = rk.LSTM(8, seed=1), np.random.default_rng(0).normal(size=(3, 5, 2))
    start = threading.Barrier(8)

    def worker(_):
        start.wait(patience.left())
        return layer(x)

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(worker, range(8)))
    for got in results:
        same_bits(got, rk.LSTM(8, seed=1)(x))


def test_X4_set_and_get(threads):
    for number in (1, 3, 2):
        threads(number)
        assert rk.get_num_threads() == number
    for wrong in (0, -1, 1.5, "2", None, True):
        with pytest.raises((ValueError, TypeError), match="thread"):
            rk.set_num_threads(wrong)
    assert rk.get_num_threads() == 2
    threads(np.int64(2))


def started(code, **environment):
    command = [sys.executable, "-W", "error", "-c", code]
    return processes.run(command, check=True, env={**os.environ, **environment}).stdout.strip()


def test_X4_environment_sets_the_start():
    code = "import rnnkit; print(rnnkit.get_num_threads())"
    assert started(code, RNNKIT_NUM_THREADS="3") == "3"
    if hasattr(os, "sched_setaffinity"):
        one_cpu = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n" + code
        assert started(one_cpu, RNNKIT_NUM_THREADS="") == "1"


@pytest.mark.parametrize("given", ["²", "0x1", "-1", "1.5", "many", "1_0"])
@pytest.mark.parametrize("module", [thread_pool, memory_limit])
def test_X4_what_the_environment_says_is_a_number(given, module, monkeypatch):
    for name in ("RNNKIT_NUM_THREADS", "RNNKIT_MEMORY_LIMIT"):
        monkeypatch.setenv(name, given)
    with pytest.raises(ValueError, match=f"expected RNNKIT_.* to be a .*, got {given!r}$"):
        module._default()


@pytest.mark.parametrize("name", ["lstm", "folded", "attention"])
@pytest.mark.parametrize("rows", [1, 2, 3, 64])
def test_L3_few_rows_and_many_threads(name, rows, threads):
    layer, (x, constants) = layer_of(name, units=33, features=17), inputs(name, rows, 30, 17)
    threads(1)
    alone = everything(layer, x, constants)
    for number in (2, 5):
        threads(number)
        same_bits(everything(layer, x, constants), alone)


def test_L3_dropout_is_the_same_on_any_number(threads):
    results = []
    for number in (1, 2):
        threads(number)
        layer = rk.LSTM(33, dropout=0.3, recurrent_dropout=0.3, seed=2)
        results.append(layer(big("lstm")[0], training=True))
    same_bits(*results)


# After a fork


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


@needs_fork
def test_X4_a_fork_after_a_run_computes(threads):
    threads(2)
    jobs = [(layer_of(name, units=33, features=17), *big(name)) for name in ("lstm", "folded")]
    expected = [everything(*job) for job in jobs]

    def work():
        for job, result in zip(jobs, expected, strict=True):
            same_bits(everything(*job), result)

    assert processes.fork(work)
    work()


@needs_fork
def test_X4_a_fork_during_a_run_computes(threads):
    threads(2)
    job = (layer_of("lstm", units=33, features=17), *big("lstm"))
    expected, stop = everything(*job), threading.Event()

    def keep_running():
        while not stop.is_set():
            same_bits(everything(*job), expected)

    def work():
        for _ in range(5):
            same_bits(everything(*job), expected)

    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(keep_running) for _ in range(2)]
        try:
            for _ in range(5):
                assert processes.fork(work)
        finally:
            stop.set()
        for future in running:
            future.result(patience.left())
    same_bits(everything(*job), expected)


@needs_fork
def test_X4_a_fork_builds_a_new_layer():
    x = big("leaky")[0]
    expected = rk.RNN(leaky(units=9, leak=0.4), seed=1)(x)
    assert processes.fork(lambda: same_bits(rk.RNN(leaky(units=9, leak=0.4), seed=1)(x), expected))


@needs_fork
def test_X4_a_fork_while_another_thread_compiles(monkeypatch):
    """It waits for the program, by whose end nobody holds a lock: neither rnnkit nor LLVM."""
    compiling, object_codes = threading.Event(), programs.object_codes

    def slowly(modules):
        found = object_codes(modules)
        compiling.set()
        time.sleep(0.2)
        return found

    monkeypatch.setattr(programs, "object_codes", slowly)
    monkeypatch.setenv("RNNKIT_CACHE_DIR", os.devnull)
    x = big("leaky")[0]
    with ThreadPoolExecutor(1) as other:
        for make in (lambda: rk.RNN(rk.cells.GRUCell(3)), lambda: rk.RNN(leaky(units=7))):
            monkeypatch.setattr(program_cache, "_programs", {})
            pending, waited = other.submit(lambda layer: layer(x), make()), compiling.wait(patience.left())
            assert waited and processes.fork(lambda make=make: make()(x))
            pending.result(patience.left())
            compiling.clear()


@needs_fork
def test_X4_a_fork_waits_for_another_thread_in_llvm():
    """It may free code, which holds locks of the process that no child could free."""
    entered, left = threading.Event(), []

    def in_llvm():
        with llvm.ffi.lib._lock:
            entered.set()
            time.sleep(0.2)
            left.append(True)

    with ThreadPoolExecutor(1) as other:
        pending = other.submit(in_llvm)
        assert entered.wait(patience.left()) and processes.fork(lambda: assert_left(left))
        pending.result(patience.left())


def assert_left(left):
    assert left


@needs_fork
def test_X4_a_child_finds_no_lock_held():
    """Of all locks that modules have; a class would hold one in Python 3.11, where a property of it is cached."""
    modules = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "rnnkit"}
    modules.pop("rnnkit.backends.cuda.simulator.words", None)  # no child can use CUDA
    kinds = type(threading.Lock()), type(threading.RLock())

    def locks():
        named = ((f"{of}.{name}", lock) for of, module in modules.items() for name, lock in vars(module).items())
        return {name: lock for name, lock in named if isinstance(lock, kinds)}

    def work():
        assert [name for name, lock in locks().items() if not lock.acquire(blocking=False)] == []

    held, free = threading.Event(), threading.Event()

    def hold():
        with contextlib.ExitStack() as stack:
            for lock in set(locks().values()):
                stack.enter_context(lock)
            held.set()
            free.wait(patience.left())

    assert len(locks()) > 5
    classes = [one for module in modules.values() for one in vars(module).values() if isinstance(one, type)]
    assert not [one for one in classes if any(isinstance(a, functools.cached_property) for a in vars(one).values())]
    with ThreadPoolExecutor(1) as other, pytest.MonkeyPatch.context() as patch:
        patch.setattr(program_cache, "_PATIENCE", 0.1)
        other.submit(hold)
        try:
            assert held.wait(patience.left())
            assert processes.fork(work)
        finally:
            free.set()


@needs_fork
def test_X4_a_fork_while_a_compilation_takes_too_long(monkeypatch):
    """The child has neither that thread nor what it would have unlocked."""
    monkeypatch.setattr(program_cache, "_PATIENCE", 0.1)
    from llvmlite.binding import ffi
    from numba.core.compiler_lock import global_compiler_lock

    x, held, free = big("leaky")[0], threading.Event(), threading.Event()
    expected = rk.RNN(leaky(units=9, leak=0.4), seed=1)(x)

    def build():
        program_cache._programs.clear()
        same_bits(rk.RNN(leaky(units=9, leak=0.4), seed=1)(x), expected)

    def compiling():
        with program_cache.lock, global_compiler_lock, ffi.lib._lock:
            held.set()
            free.wait(patience.left())

    thread = threading.Thread(target=compiling)
    thread.start()
    assert held.wait(patience.left())
    try:
        assert processes.fork(build)
    finally:
        free.set()
        thread.join()


def in_another_process(seed):
    x, _ = big("leaky", seed)
    return rk.RNN(leaky(units=9), seed=1)(x)


def test_X4_multiprocessing_spawn():
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        results = pool.map_async(in_another_process, range(3)).get(patience.left())
    for seed, got in enumerate(results):
        same_bits(got, in_another_process(seed))


def test_X4_a_thread_may_be_held_to_fewer_threads(threads):
    threads(3)
    with at_most(2):
        assert rk.get_num_threads() == 2
        with at_most(5):
            assert rk.get_num_threads() == 3
        with ThreadPoolExecutor(1) as another:
            assert another.submit(rk.get_num_threads).result() == 3
        assert rk.get_num_threads() == 2
    assert rk.get_num_threads() == 3
