"""What gradients promise to the bit, and what they promise to rounding, over every cell."""

import numpy as np
import pytest
from gradient_runs import DTYPES, PRECISION, TRACED, TYPED, Run, near, of_rows, same
from matrix import same_bits
from on_device import DEVICE, by_device

import rnnkit as rk
from rnnkit.backends.cpu import tuning

ROUNDING = {"float64": 1e-12, "float32": 1e-4}  # of an array's norm, between two orders of the same sums
STEADY = [case for case in TRACED if case.steady]


def cases(chosen=TRACED):
    """Every cell in one precision, by turns; the other, and what was typed of a built-in cell, in the sweep."""
    usual = lambda case, dtype: dtype == PRECISION[case.name] and case.name not in TYPED
    return [
        pytest.param(case, dtype, marks=() if usual(case, dtype) else pytest.mark.sweep)
        for case in chosen
        for dtype in DTYPES
    ]


every_cell = pytest.mark.parametrize("case, dtype", cases(), ids=str)
every_steady_cell = pytest.mark.parametrize("case, dtype", cases(STEADY), ids=str)


def rounded(run, got, expected):
    near(got, expected, ROUNDING[str(run.dtype)])


def d_rows(run, rows):
    return [d[rows] for d in run.d]


def some_rows(run, rows):
    """The arguments of a call with these rows."""
    given = run.given
    return {
        "x": given["x"][rows],
        "mask": None if given["mask"] is None else given["mask"][rows],
        "start": [s[rows] for s in given["start"]],
        "constants": given["constants"] and [c[rows] for c in given["constants"]],
    }


@pytest.fixture
def small_chunks(monkeypatch):
    """Sums over few steps at a time, as of long sequences."""
    if DEVICE == "cuda":
        from rnnkit.backends.cuda.runtime import gradient as cuda_backward

        monkeypatch.setattr(cuda_backward, "_CHUNK_BYTES", 1)
    monkeypatch.setattr(tuning, "CHUNK_BYTES", 0)
    monkeypatch.setattr(tuning, "LEAST_ENTRIES", 1)


@every_cell
def test_a_pullback_may_be_called_again_and_nothing_is_changed(case, dtype):
    run = Run.of(case, mask="random", dtype=dtype)
    given = [run.given["x"].copy(), *(s.copy() for s in run.given["start"]), *(d.copy() for d in run.d)]
    outputs, pull = run.vjp()
    shown = [a.copy() for a in outputs]
    first = pull(run.d)
    kept = {name: array.copy() for name, array in first.items()}
    other = pull([2 * d for d in run.d])
    same(pull(run.d), first)
    same(first, kept)
    same(other, {name: 2 * array for name, array in first.items()})  # powers of two are exact
    same_bits(outputs, shown)
    same_bits([run.given["x"], *run.given["start"], *run.d], given)
    same(run.gradient(), first)


@every_cell
def test_no_cotangent_gives_zeros(case, dtype):
    run = Run.of(case, mask="random", dtype=dtype)
    outputs, pull = run.vjp()
    zeros = pull([np.zeros_like(d) for d in run.d])
    assert not any(array.any() for array in zeros.values())
    same(pull([None] * len(run.d)), zeros)


@every_cell
def test_linear_in_cotangents(case, dtype):
    run = Run.of(case, mask="random", dtype=dtype)
    _, pull = run.vjp()
    parts = [pull([d if i == j else None for j, d in enumerate(run.d)]) for i in range(len(run.d))]
    whole = pull(run.d)
    rounded(run, {name: sum(part[name] for part in parts) for name in whole}, whole)


@pytest.mark.parametrize("batch, units", [(1, 65), (5, 17), (70, 17)])
@every_cell
def test_L3_threads(case, dtype, batch, units, threads, monkeypatch):
    for name in ("SMALL", "WIDE", "SMALL_SUM"):
        monkeypatch.setattr(tuning, name, 0)
    run = Run.of(case, batch, 9, "random", units, dtype=dtype)
    threads(1)
    outputs = run.call()
    alone = run.gradient()
    for number in (2, 3):
        threads(number)
        for _ in range(3):
            found, pull = run.vjp()
            same_bits(found, outputs)
            same(pull(run.d), alone)


@pytest.mark.parametrize("mask", ["random", "right"])
@every_cell
def test_L4_padding(case, dtype, mask):
    run = Run.of(case, 5, 7, mask, dtype=dtype)
    clean = run.gradient()
    used = run.given["mask"]
    assert not clean["x"][~used].any()
    for dirt in (np.nan, np.inf, -1e30):
        x = np.where(used[..., None], run.given["x"], np.asarray(dirt, run.dtype))
        same(run.gradient(x=x), clean)
    for early, late in ((0, 3), (4, 2)):
        x = np.pad(run.given["x"], [(0, 0), (early, late), (0, 0)], constant_values=np.nan)
        d = [np.pad(run.d[0], [(0, 0), (early, late), (0, 0)]), *run.d[1:]]
        padded = run.gradient(d, x=x, mask=np.pad(used, [(0, 0), (early, late)]))
        assert not padded["x"][:, :early].any() and not padded["x"][:, early + 7 :].any()
        same(padded | {"x": padded["x"][:, early : early + 7]}, clean)


@every_cell
def test_M5_no_mask_is_one_that_masks_nothing(case, dtype, small_chunks):
    run = Run.of(case, 5, 7, dtype=dtype)
    same(run.gradient(mask=np.ones((5, 7), bool)), run.gradient())


@every_cell
def test_M2_a_row_without_a_used_step(case, dtype):
    run = Run.of(case, 5, 7, "empty_rows", dtype=dtype)
    gradient = run.gradient()
    empty = ~run.given["mask"].any(axis=1)
    assert empty.any() and not gradient["x"][empty].any()
    for i, d in enumerate(run.d[1:]):
        same_bits(gradient[f"state {i}"][empty], d[empty])
    others = np.flatnonzero(~empty)
    same(run.gradient(d_rows(run, others), **some_rows(run, others)), {
        name: array[others] if name in of_rows(gradient) else array for name, array in gradient.items()
    })  # fmt: skip


@every_cell
def test_M4_a_zero_that_is_shown_for_a_masked_step_takes_no_cotangent(case, dtype):
    run = Run.of(case, 5, 7, "random", dtype=dtype, zero_output_for_mask=True)
    used = run.given["mask"][..., None]
    for shown in (np.nan, 0.0):
        d = [np.where(used, run.d[0], np.asarray(shown, run.dtype)), *run.d[1:]]
        same(run.gradient(d), run.gradient())
    held = Run.of(case, 5, 7, "random", dtype=dtype)
    before_any = ~np.logical_or.accumulate(held.given["mask"], axis=1)[..., None]
    d = [np.where(before_any, np.asarray(np.nan, run.dtype), held.d[0]), *held.d[1:]]
    same(held.gradient(d), held.gradient())


@pytest.mark.parametrize("mask", ["none", "random"])
@every_cell
def test_L2_a_row_is_alone_and_weights_add_up(case, dtype, mask):
    run = Run.of(case, 7, 5, mask, dtype=dtype)
    whole = run.gradient()
    mine = of_rows(whole)
    for rows in ([0], [6], [2, 3, 4], [5, 5, 1, 0], list(range(7)) * 5):
        some = run.gradient(d_rows(run, rows), **some_rows(run, rows))
        for name in mine:
            same_bits(some[name], whole[name][rows])
    single = [run.gradient(d_rows(run, [i]), **some_rows(run, [i])) for i in range(7)]
    weights = [name for name in whole if name not in mine]
    total = {name: sum(one[name] for one in single) for name in weights}
    rounded(run, total, {name: whole[name] for name in weights})


@pytest.mark.parametrize("backwards", [False, True])
@every_cell
def test_D1_mirror(case, dtype, backwards):
    run = Run.of(case, 5, 6, "left", dtype=dtype, go_backwards=backwards)
    other = Run.of(case, 5, 6, "left", dtype=dtype, go_backwards=not backwards)
    turned = {"x": run.given["x"][:, ::-1], "mask": run.given["mask"][:, ::-1]}
    mirrored = other.gradient(run.d, **turned)
    same(mirrored | {"x": mirrored["x"][:, ::-1]}, run.gradient())


@pytest.mark.parametrize("mask", by_device(["none", "random", "empty_rows"], ["random"]))
@every_cell
def test_X11_checkpoints_change_no_row(case, dtype, mask):
    run = Run.of(case, 5, 7, mask, dtype=dtype, zero_output_for_mask=mask == "empty_rows")
    outputs, pull = run.vjp()
    whole = pull(run.d)
    for length in (1, 3, 7, 100):
        found, pull = run.vjp(checkpoint=length)
        same_bits(found, outputs)
        again = pull(run.d)
        same(again, whole, of_rows(whole))
        rounded(run, again, whole)
        same(pull(run.d), again)
        if length >= 7:
            same(again, whole)


@every_cell
def test_checkpoints_where_memory_is_short(case, dtype):
    run = Run.of(case, 5, 9, "random", dtype=dtype)
    whole, before = run.gradient(), rk.get_memory_limit()
    try:
        same(run.gradient(checkpoint="auto"), whole)
        rk.set_memory_limit(100)
        outputs, pull = run.vjp(checkpoint="auto")
    finally:
        rk.set_memory_limit(before)
    same_bits(outputs, run.call())
    again = pull(run.d)
    same(again, whole, of_rows(whole))
    rounded(run, again, whole)
    same(again, run.gradient(checkpoint=3))


@every_cell
def test_chunks_change_no_row(case, dtype, monkeypatch):
    run = Run.of(case, 5, 7, "random", dtype=dtype)
    whole = run.gradient()
    monkeypatch.setattr(tuning, "CHUNK_BYTES", 0)
    for entries in (1, 15):
        monkeypatch.setattr(tuning, "LEAST_ENTRIES", entries)
        again = run.gradient()
        same(again, whole, of_rows(whole))
        rounded(run, again, whole)


def in_parts(run, cuts, detached=False):
    """The gradient of a call as the chain of those of its parts, in time; `detached`: each without the later ones."""
    x, used = run.given["x"], run.given["mask"]
    states, starts, pulls = run.given["start"], [], []
    for low, after in cuts:
        starts.append(states)
        mask = None if used is None else used[:, low:after]
        (_, *states), pull = run.vjp(x=x[:, low:after], mask=mask, start=states)
        pulls.append(pull)
    d_states, found = run.d[1:], []
    for (low, after), pull in zip(reversed(cuts), reversed(pulls), strict=True):
        found.insert(0, pull([run.d[0][:, low:after], *d_states]))
        d_states = [found[0][f"state {i}"] for i in range(len(states))]
        if detached:
            d_states = [np.zeros_like(d) for d in d_states]
    total = {name: sum(part[name] for part in found) for name in found[0] if name != "x"}
    total |= {name: array for name, array in found[0].items() if name.startswith("state ")}
    return total | {"x": np.concatenate([part["x"] for part in found], axis=1)}


@pytest.mark.parametrize("masked", [False, True])
@every_cell
def test_L1_split(case, dtype, masked):
    run = Run.of(case, 5, 7, "random" if masked else "none", dtype=dtype)
    if masked:
        run.given["mask"][:, [0, 3]] = True  # a part's outputs before its first used step are zeros
    whole, parts = run.gradient(), in_parts(run, [(0, 3), (3, 7)])
    same(parts, whole, [name for name in of_rows(whole) if not name.startswith("constant")])
    rounded(run, parts, whole)


@pytest.mark.parametrize("checkpoint", [None, 2])
@every_cell
def test_X11_truncation_is_the_sum_over_windows(case, dtype, checkpoint, small_chunks):
    run = Run.of(case, 5, 7, "random", dtype=dtype)
    run.given["mask"][:, [0, 3, 6]] = True
    truncated = run.vjp(truncate=3, checkpoint=checkpoint)[1](run.d)
    windows = in_parts(run, [(0, 3), (3, 6), (6, 7)], detached=True)
    same(truncated, windows, [name for name in of_rows(windows) if not name.startswith("constant")])
    rounded(run, truncated, windows)
    same(run.vjp(truncate=7)[1](run.d), run.gradient())


@pytest.mark.parametrize("batch, time", [(0, 3), (2, 0), (0, 0)])
@every_cell
def test_S5_nothing_to_do(case, dtype, batch, time):
    run = Run.of(case, batch, time, dtype=dtype)
    gradient = run.gradient()
    assert gradient["x"].shape == run.given["x"].shape
    for i, d in enumerate(run.d[1:]):
        same_bits(gradient[f"state {i}"], d)
    for name in set(gradient) - set(of_rows(gradient)):
        assert gradient[name].shape == run.layer.weights[name].shape and not gradient[name].any()
