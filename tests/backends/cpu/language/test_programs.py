"""Programs as Python calls them."""

import contextlib
import gc
import threading
import weakref
from collections import deque

import numpy as np
import patience
import pytest

import rnnkit as rk
from rnnkit.backends.cpu.language import programs
from rnnkit.backends.cpu.language.function import read
from rnnkit.backends.cpu.language.translate import LARGE_MODULE, Fault, translate
from rnnkit.backends.shared import program_cache

SUM = """
from rnnkit.backends.cpu.language.function import compiled

@compiled
def run(a, b, c):
    return a + 10 * b + 100 * c
"""
WAIT = """
from rnnkit.backends.cpu.language.function import compiled
from rnnkit.backends.cpu.simd.atomic import atomic_load, atomic_store, pause

@compiled
def run(flag):
    atomic_store(flag, 1)
    while atomic_load(flag) != 2:
        pause()
    return 3
"""

LOOP_COUNT = 40
TERMS = " + ".join(f"(a * {n} - c // (k + {n + 1})) * (j + b)" for n in range(12))
LOOPS = "from rnnkit.backends.cpu.language.function import compiled, directing\n" + "\n".join(
    f"""
@compiled
def loop_{i}(a, b, c):
    total = 0
    for k in range(b - a):
        for j in range(a):
            total += {i} + {TERMS}
    return 50 * b + total * 0
"""
    for i in range(LOOP_COUNT)
)
LOOPS += "\n@directing\ndef run(a, b, c):\n    return " + " + ".join(f"loop_{i}(a, b, c)" for i in range(LOOP_COUNT))


def test_numbers_pass_both_ways():
    run = programs.load(SUM, 3).function
    assert run(1, -2, 3) == 281
    assert run(-1, 0, 0) == -1
    assert run(2**62, 2**62 // 10, 0) == 2**62 + 2**62 // 10 * 10
    assert run(np.int64(5), True, 0) == 15


@pytest.mark.parametrize("wrong", [(1, 2), (1, 2, 3, 4), (1, "2", 3), (1, None, 3), (2**70, 0, 0), (1.5, 0, 0)])
def test_a_wrong_call_is_an_error(wrong):
    with pytest.raises((TypeError, OverflowError)):
        programs.load(SUM, 3).function(*wrong)


def test_other_threads_run_meanwhile():
    run, flag = programs.load(WAIT, 1).function, np.zeros(1, np.int64)
    results = []
    thread = threading.Thread(target=lambda: results.append(run(flag.ctypes.data)))
    thread.start()
    for _ in patience.tries("the program has begun"):
        if flag[0] == 1:
            break
    flag[0] = 2
    thread.join(patience.left())
    assert results == [3]


def test_a_program_is_found_on_disk(tmp_path, monkeypatch):
    """And loaded as often as it is asked for, also where its name is taken."""
    monkeypatch.setenv("RNNKIT_CACHE_DIR", str(tmp_path / "cache"))
    addresses = set()
    for compiled in (True, False, False):
        monkeypatch.setattr(program_cache, "_programs", {})
        if not compiled:
            monkeypatch.setattr(programs, "object_codes", None)
        program = programs.load(SUM, 3)
        assert program.function(1, 2, 3) == 321
        addresses.add(program.address)
    assert len(addresses) == 3


def test_code_goes_with_the_last_that_has_it(monkeypatch):
    monkeypatch.setattr(program_cache, "_recent", deque(maxlen=1))
    text = f"{SUM}\n# alone"
    code = programs.load(text, 3)
    loaded = weakref.ref(code.function.__self__.item())
    assert programs.load(text, 3).function is code.function
    run = code.function
    del code
    programs.load(SUM, 3)
    assert run(1, 2, 3) == 321 and loaded() is not None
    del run
    gc.collect()
    assert loaded() is None
    assert programs.load(text, 3).function(1, 2, 3) == 321


def test_code_goes_after_the_garbage_that_calls_it(monkeypatch):
    monkeypatch.setattr(program_cache, "_recent", deque(maxlen=0))
    found = []

    class Calling:
        def __init__(self, function):
            self.function, self.itself = function, self

        def __del__(self):
            found.append(self.function(1, 2, 3))

    calling = [Calling(programs.load(f"{SUM}\n# in circles", 3).function) for _ in range(3)]
    loaded = weakref.ref(calling[0].function.__self__.item())
    del calling
    gc.collect()
    assert found == [321] * 3 and loaded() is None


def test_programs_go_with_their_layers(monkeypatch):
    """And not before: a pullback needs those of its layer."""
    monkeypatch.setattr(program_cache, "_recent", deque(maxlen=0))
    x, counts = np.ones((2, 3, 4), "float32"), []

    def run(power):
        @rk.cell(states={"h": 4})
        def dropped(x, states, weights):
            h = np.tanh(states[0] + x)
            for _ in range(power):
                h = np.exp(-h)
            return h, h

        y, pull = rk.RNN(dropped()).vjp(x)
        gc.collect()
        assert pull(y).x.shape == x.shape

    for power in range(1, 5):
        run(power)
        gc.collect()
        counts.append(program_cache.loaded())
    assert len(set(counts)) == 1


def test_programs_are_compiled_together_as_apart(tmp_path, monkeypatch, threads):
    """The files on disk are the same, whatever is compiled beside a program, and by however many threads."""
    texts = [f"{SUM}\n# {i}" for i in range(3)] + [LOOPS]
    found = []
    for count, together in ((1, False), (1, True), (2, False), (3, True)):
        threads(count)
        folder = tmp_path / f"{count} {together}"
        monkeypatch.setenv("RNNKIT_CACHE_DIR", str(folder))
        monkeypatch.setattr(program_cache, "_programs", {})
        wanted = [programs.Wanted(text, 3) for text in texts]
        if together:
            codes = programs.load_all(wanted, "a test")
        else:
            codes = [programs.load(*one) for one in wanted]
        assert [code.function(1, 2, 3) for code in codes] == [321] * 3 + [100 * LOOP_COUNT]
        found.append({file.name: file.read_bytes() for file in folder.glob("*.rnnkit")})
    assert len(found[0]) == 4 and all(files == found[0] for files in found)


def test_a_fault_in_one_of_several_programs_leaves_the_others(monkeypatch):
    monkeypatch.setattr(program_cache, "_programs", {})
    wrong = SUM.replace("a + 10 * b", "unknown")
    with pytest.raises(Fault, match="unknown"):
        programs.load_all([programs.Wanted(SUM, 3), programs.Wanted(wrong, 3)], "a test")
    assert programs.load(SUM, 3).function(1, 2, 3) == 321


def test_large_programs_are_compiled_in_parts():
    """None of which is much larger than the limit."""
    modules = translate(read(LOOPS), "large", 3)
    assert len(modules) > 3 and [module.directs for module in modules].count(True) == 1
    assert all(module.size < 2 * LARGE_MODULE for module in modules)


def test_a_gradient_is_told_as_one(monkeypatch):
    """What is compiled for a first gradient is compiled together."""
    told = []

    @contextlib.contextmanager
    def telling(what):
        told.append(what)
        yield

    monkeypatch.setattr(programs, "telling", telling)
    monkeypatch.setattr(program_cache, "_programs", {})
    layer, x = rk.RNN(rk.GRUCell(3), seed=0), np.ones((2, 3, 4), "float32")
    y, pull = layer.vjp(x)
    pull(y)
    assert told == ["the gradient of GRUCell"]


def test_a_table_from_before_the_team_was_compiled_is_not_used_again(threads):
    """One call may take it, and give it back when another call has compiled the team meanwhile."""
    threads(1)
    layer, x = rk.RNN(rk.LSTMCell(5), seed=0), np.ones((2, 3, 4), "float32")
    layer(x)
    (program,) = layer._execution.executors.values()
    old = program._table()
    at = program.source.pointers.index("team")
    old[0][at] = 0
    program._free.append((old[0], old[1], 0))
    program.team.prepare()
    assert program._table()[0][at] == program.team.team_functions != 0
