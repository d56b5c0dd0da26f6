"""Steps by rows on a simulated GPU, a thread for each row: the CPU's bits, its errors, its gradients to rounding."""

import os

import numpy as np
import pytest
from corpus_runs import CORPUS, drawn, layer_of
from matrix import flat, same_bits
from random_rows import random_row_step
from row_steps import FAILING, ROW_STEPS, by_name, one_fails

pytest.importorskip("numba_cuda", reason="numba-cuda isn't installed")
if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") == "0":
    pytest.skip("kernels run under the simulator: NUMBA_ENABLE_CUDASIM=1", allow_module_level=True)

from cuda_races import watched
from cuda_runs import gradient, near, on_cpu, on_gpu, record_of, results

import rnnkit as rk
from rnnkit.backends.cuda.codegen.row_kernel import WARP
from rnnkit.backends.cuda.runtime import row_program
from rnnkit.backends.cuda.runtime.cost_model import A100, H100
from rnnkit.backends.cuda.runtime.row_program import CudaRowProgram
from rnnkit.backends.shared.call import Record
from rnnkit.compiler.ir.kinds import INTEGERS
from rnnkit.compiler.ir.operations import INTEGER_OPERATIONS

ROWS, STEPS = 3, 6


def rotating(n, cases):
    """Each case with its number; of n, one is run in the ordinary run."""
    marks = lambda i: () if i % n == 1 else pytest.mark.sweep
    return [pytest.param(one, i, marks=marks(i), id=getattr(one, "name", str(one))) for i, one in enumerate(cases)]


def numbers(count, usual):
    """Numbers of random steps; these are run in the ordinary run."""
    marks = lambda n: () if n in usual else pytest.mark.sweep
    return pytest.mark.parametrize("number", [pytest.param(n, marks=marks(n)) for n in range(count)])


def a_call(layer, x, start, constants=(), number=0):
    """The record of a call, with other masks and ways for other numbers."""
    mask = None
    if number % 3:
        mask = np.random.default_rng(number).random(x.shape[:2]) < 0.6
        mask[number % len(x)] = number % 4 > 1
    options = {"reverse": number % 2 > 0, "zero_masked": number % 5 > 2, "trajectory": True}
    states = tuple(np.asarray(one, x.dtype) for one in start)
    return Record(x, states, layer.cell._all_weights(), mask, tuple(constants), **options)


def check(layer, record, differentiable=True, gpu=None, **options):
    """Results have the CPU's bits, and gradients agree."""
    program, cpu = gpu or on_gpu(layer, record.constants), on_cpu(layer, record.constants)
    assert isinstance(program, CudaRowProgram)
    with watched():
        same_bits(results(program.run(record)), results(cpu.run(record)))
    if differentiable:
        record.trajectory = False
        with watched():
            found = program.differentiate().vjp(record, **options)
            pulled = gradient(found)
        expected = cpu.differentiate().vjp(record, **options)
        same_bits(results(found), results(expected))
        near(pulled, gradient(expected), layer.dtype)


@pytest.mark.parametrize("recurrence, number", rotating(10, CORPUS))
def test_a_recurrence(recurrence, number):
    dtype = ("float64", "float32")[number // 10 % 2]
    x, constants = drawn(recurrence, ROWS, STEPS, np.dtype(dtype))
    layer = layer_of(recurrence, dtype)
    start = [np.stack([state] * ROWS) for state in recurrence.start()]
    check(layer, a_call(layer, x, start, constants, number), recurrence.differentiable)


@pytest.mark.parametrize("number", range(len(ROW_STEPS)), ids=[one.name for one in ROW_STEPS])
def test_a_corner_of_steps_of_one_row(number):
    one = ROW_STEPS[number]
    layer = one.layer("float64")
    x, constants = one.inputs(ROWS, STEPS, "float64")
    start = [np.zeros((ROWS, *np.atleast_1d(shape).astype(int))) for shape in one.states.values()]
    check(layer, a_call(layer, x, start, constants, number))


@numbers(200, (0, 17, 51, 102))
def test_a_random_row(number):
    one, dtype = random_row_step(number), ("float64", "float32")[number % 2]
    x, start, constants = one.drawn(ROWS, STEPS, number, dtype)
    layer = rk.RNN(one.cell(), dtype=dtype)
    layer.build((None, None, one.features))
    check(layer, a_call(layer, x, start, constants, number), differentiable=False)


@numbers(100, (8, 34))
def test_the_gradient_of_a_random_row(number):
    one, rng = random_row_step(number, smooth=True), np.random.default_rng(number)
    arrays = [a + 0.01 * rng.standard_normal(a.shape) for a in flat(list(one.drawn(ROWS, STEPS, number)))]
    layer = rk.RNN(one.cell(), dtype="float64")
    layer.build((None, None, one.features))
    check(layer, a_call(layer, arrays[0], arrays[1:5], arrays[5:], number))


# What a call may be besides


def the_loops(rows=ROWS, number=0, name="states_change_places"):
    """A layer with arrays in memory or with loops, and the record of a call."""
    one = next(one for one in ROW_STEPS if one.name == name)
    x, constants = one.inputs(rows, STEPS, "float64")
    start = [np.zeros((rows, *np.atleast_1d(shape).astype(int))) for shape in one.states.values()]
    layer = one.layer("float64")
    return layer, a_call(layer, x, start, constants, number)


@pytest.mark.parametrize("options", [{"checkpoint": 2}, {"truncate": 2}, {"checkpoint": 3, "truncate": 2}], ids=str)
@pytest.mark.parametrize("name", ["states_change_places", "a_loop_in_a_loop"])
def test_gradients_in_segments_and_windows(name, options):
    for number in (3, 4):
        check(*the_loops(name=name, number=number), **options)


@rk.cell(states={"m": 10}, per_row=True)
def turned(x, states):
    m = states.m.copy()
    k = int(abs(x[0]) * 4.0) % 10
    m[k] = np.sin(m[k - 1] + x[1])
    return m[9 - k], (m,)


def test_a_thread_has_row_after_row_where_memory_is_short(monkeypatch):
    monkeypatch.setattr(row_program, "_SCRATCH_BYTES", 1)
    layer = rk.RNN(turned(), dtype="float64")
    layer.build((None, None, 2))
    rng, rows = np.random.default_rng(0), WARP + 3
    record = a_call(layer, rng.normal(size=(rows, 4, 2)), [rng.normal(size=(rows, 10))])
    program = on_gpu(layer)
    check(layer, record, gpu=program)
    assert ", each for row after row" in program.explain()


def test_memory_for_arrays_of_a_step_is_bounded():
    layer, _ = the_loops()
    for gpu in (H100, A100):
        program = on_gpu(layer, gpu=gpu)
        for rows in (1, 31, 1000, 10**5, 10**8):
            config, _ = program.chosen(rows)
            threads = program.blocks(rows, config) * config.x
            assert config.x % WARP == 0 and threads < rows + config.x
            assert (
                threads >= rows
                or threads * program.scratch <= row_program._SCRATCH_BYTES < 2 * threads * program.scratch
            )
        assert threads < rows


@rk.cell(
    states={"h": (), "seen": 3, "kept": ()},
    weights={
        "kernel": rk.Weight((2, 3), "normal"),
        "table": rk.Weight((11,), "normal"),
        "scale": rk.Weight((), "ones"),
    },
    draws={"drop": rk.Draw((3,), lambda rng, shape: rng.integers(0, 2, shape))},
    per_row=True,
)
def weighed(x, states, weights, draws, training):
    """Weights by products and by computed places, a draw, and a state that no step changes."""
    seen = states.seen * 0.5 + x @ weights.kernel * (draws.drop if training else 1.0)
    h = states.h
    while abs(h) > 1.0:
        h = h * weights.scale * 0.5
    k = int(abs(x[0]) * 4.0) % 11
    return h + weights.table[k], (h + seen.sum() + states.kept, seen, states.kept)


def a_weighed_layer(device="cpu", **options):
    layer = rk.RNN(weighed(), return_sequences=True, dtype="float64", seed=1, device=device, **options)
    layer.build((None, None, 2))
    return layer


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("rows", [1, 5])
def test_weights_and_draws_and_their_gradients(rows, training):
    layer = a_weighed_layer()
    x = np.random.default_rng(2).normal(size=(rows, STEPS, 2))
    record = record_of(layer, x, training=training)
    assert bool(record.draws) == training
    program, cpu = on_gpu(layer, training=training), on_cpu(layer, training=training)
    with watched():
        same_bits(results(program.run(record)), results(cpu.run(record)))
        record.trajectory = False
        found = [gradient(program.differentiate().vjp(record)) for _ in range(2)]
    near(found[0], gradient(cpu.differentiate().vjp(record)), "float64")
    same_bits(*found)
    assert rows == 1 or all(np.any(one) for one in found[0][-len(record.weights) :])


def test_a_model_with_such_a_layer_is_fitted_on_a_card_as_on_the_host():
    x = np.random.default_rng(3).normal(size=(6, 4, 2))
    y, found = x[:, 0] ** 2, []
    for device in ("cpu", "cuda"):
        model = rk.Sequential([a_weighed_layer(), rk.Dense(2, dtype="float64", seed=0)]).to(device)
        model.compile("sgd", "mse")
        model.fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0)
        found.append(model.get_weights())
    near(found[1], found[0], "float64")


def test_a_layer_keeps_its_states_and_says_what_it_does():
    x = np.random.default_rng(4).normal(size=(2, 6, 2))
    here, there = (a_weighed_layer(device, stateful=True) for device in ("cpu", "cuda"))
    for part in (slice(0, 2), slice(2, 6)):
        same_bits([there(x[:, part])], [here(x[:, part])])
    told = there.explain()
    assert "traced, on a GPU" in told and "a thread computes a row of the batch; " in told
    assert "on the GPU, for 2 rows: 1 blocks of " in told and "each until its row wants no other round" in told
    assert there.explain(source=True).count("def run(table)") == 1


def test_nothing_to_compute():
    layer = a_weighed_layer("cuda")
    assert layer(np.zeros((0, 4, 2))).shape == (0, 4)
    assert layer(np.zeros((3, 0, 2))).shape == (3, 0)
    outputs, pull = layer.vjp(np.zeros((3, 0, 2)))
    assert all(not one.any() for one in pull(outputs).weights.values())


# Failures


ENTRIES = {
    "call": lambda layer, x: layer(x),
    "vjp": lambda layer, x: layer.vjp(x),
    "in segments": lambda layer, x: layer.vjp(x, checkpoint=2),
}


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("entry", ENTRIES)
@pytest.mark.parametrize("one", **by_name(FAILING))
def test_E20_a_row_that_fails_is_named_with_its_step_and_states_stay(one, entry, backwards):
    layer = one.layer("float64", stateful=True, go_backwards=backwards).to("cuda")
    _, x, _ = one_fails(one)
    layer(x[:, :3])
    before = flat([layer.states])
    with pytest.raises(IndexError, match="row 1 fails at step 3: "):
        ENTRIES[entry](layer, x)
    x[0, 1, 0] = x[2, 1, 0] = 12.0
    with pytest.raises(IndexError, match=f"row {1 if backwards else 0} fails at step {3 if backwards else 1}: "):
        ENTRIES[entry](layer, x)
    same_bits(flat([layer.states]), before)
    mask = x[..., 0] == 0.0
    masked = one.layer("float64", stateful=True, go_backwards=backwards).to("cuda")
    assert np.isfinite(masked(x, mask=mask)).all()


@rk.cell(states={"h": ()}, per_row=True)
def slowly_halved(x, states):
    h = states.h + x[0]
    while h > 1.0:
        h = 0.98 * h
    return h, (h,)


@pytest.mark.parametrize("backwards", [False, True])
def test_E20_rounds_that_a_gradient_cannot_keep(backwards):
    layer = rk.RNN(slowly_halved(), dtype="float64", device="cuda", go_backwards=backwards, return_sequences=True)
    x = np.zeros((2, 4, 1))
    x[1, 2] = 1e6
    outputs, pull = layer.vjp(x, checkpoint=3)
    assert pull(outputs).x.shape == x.shape
    x[1, 2] = 1e10
    outputs, pull = layer.vjp(x, checkpoint=3)
    with pytest.raises(IndexError, match="row 1 fails at step 2: more than 1,024 rounds of a loop, which is what"):
        pull(outputs)


# Integers


@pytest.mark.parametrize("kind", INTEGERS)
def test_C15_integers_are_the_cpus(kind):
    names = sorted(name for name in INTEGER_OPERATIONS if name not in ("where",))

    def step(x, states, weights):
        a, b = x[:, :1].astype(kind), x[:, 1:].astype(kind)
        found = [getattr(np, name) for name in names]
        found = [f(a, b) if f.nin == 2 else f(a) for f in found]
        found += [np.where(a > b, a, b), a * 3 + 7, a // 3, a + True, a < 10**12, x.astype("float32")[:, :1] + a]
        k = states[0].astype(np.int64) * 1103515245 + 12345 + a.astype(np.int64)
        return np.concatenate([one.astype(float) for one in found], axis=1), (k % 2**20).astype(float)

    limit = np.iinfo(kind)
    odd = np.array([0, 1, -1, 3, -7, 8, 31, 63, 127, 255, 300, -129, 40000, limit.max, limit.min], float)
    odd = odd if kind[0] == "i" else odd[odd >= 0]
    x = np.random.default_rng(0).choice(odd, (ROWS, 9, 2))
    layer = rk.RNN(rk.cell(states={"s": 1})(step)(), dtype="float64")
    layer.build((None, None, 2))
    check(layer, a_call(layer, x, [np.ones((ROWS, 1))]), differentiable=False)


def test_C15_integers_in_a_step_of_many_numbers_are_refused_by_name():
    def step(x, states, weights):
        k = x.astype(np.int64) * 3
        return k + states[0], states[0]

    with pytest.raises(ValueError, match="integers only as places; got multiply of int64 in the line 'k = x.astype"):
        rk.RNN(rk.cell(states={"s": 40})(step)(), device="cuda")(np.zeros((1, 1, 40)))
