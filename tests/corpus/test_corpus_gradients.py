"""Gradients through the corpus: central differences of the steps in Python, and the laws in every bit (L7)."""

import numpy as np
import pytest
from corpus_runs import CORPUS, drawn, helpers_in_python, layer_of, slopes
from matrix import flat, same_bits

DIFFERENTIABLE = [one for one in CORPUS if one.differentiable]
STEPS = 14


def rotating(n):
    """Each recurrence; of n, one is run in the ordinary run."""
    marks = lambda i: () if i % n == 1 else pytest.mark.sweep
    cases = [pytest.param(one, i, marks=marks(i), id=one.name) for i, one in enumerate(DIFFERENTIABLE)]
    return pytest.mark.parametrize("recurrence, number", cases)


class Run:
    """A layer with the arguments of a call and cotangents of all that it returns."""

    def __init__(self, recurrence, rows, dtype="float64", **options):
        self.recurrence = recurrence
        self.x, self.constants = drawn(recurrence, rows, STEPS, np.dtype(dtype))
        self.layer = layer_of(recurrence, dtype, return_state=True, **options)
        self.start = [np.stack([state] * rows).astype(dtype) for state in recurrence.start()]
        rng = np.random.default_rng(1)
        self.d = [rng.standard_normal(one.shape).astype(dtype) for one in flat(list(self.call()))]

    def arguments(self, rows, time, start, x):
        x = self.x if x is None else x
        start = self.start if start is None else start
        return {
            "sequences": x[rows][:, time],
            "initial_state": [s[rows] for s in start],
            "constants": [c[rows] for c in self.constants] or None,
        }

    def call(self, rows=slice(None), time=slice(None), start=None, x=None, **options):
        return self.layer(**self.arguments(rows, time, start, x), **options)

    def pull(self, rows=slice(None), time=slice(None), start=None, x=None, d=None, **options):
        """``[x, *initial states, *constants]``."""
        outputs, pull = self.layer.vjp(**self.arguments(rows, time, start, x), **options)
        d = self.d if d is None else d
        found = pull((d[0][rows][:, time], *(one[rows] for one in d[1:])))
        return [found.x, *flat(list(found.initial_state)), *(found.constants or ())], flat(list(outputs))


def along_directions(run, gradient, count=5):
    """The gradient along random directions, as often as central differences of the step in Python find it."""
    rows = len(run.x)
    found = []
    for row in range(rows):
        arrays = [run.x[row : row + 1], *run.recurrence.start(), *(c[row : row + 1] for c in run.constants)]
        weights = run.d[0][row : row + 1].reshape(1, STEPS, *run.recurrence.output)
        pairs = slopes(run.recurrence, arrays, weights, np.random.default_rng(2))
        for (slope, along), _ in zip(pairs, range(count), strict=False):
            ours = sum(np.sum(g[row].reshape(-1) * a.reshape(-1)) for g, a in zip(gradient, along, strict=True))
            scale = max(1e-3, *(np.abs(g[row]).max(initial=0) for g in gradient))
            found.append(abs(ours - slope) / max(abs(slope), scale))
    return found


@rotating(6)
def test_L7_a_gradient_through_a_recurrence(recurrence, number, monkeypatch, threads):
    threads(1)
    run = Run(recurrence, 2)
    states = [np.zeros_like(one) for one in run.d[1:]]
    gradient, outputs = run.pull(d=[run.d[0], *states])
    same_bits(outputs, flat(list(run.call())))
    helpers_in_python(recurrence, monkeypatch)
    with np.errstate(all="ignore"):
        errors = along_directions(run, gradient)
    assert np.median(errors) < 1e-5, errors  # few directions meet a jump


@rotating(9)
def test_L7_laws_of_gradients_through_a_recurrence(recurrence, number, threads):
    threads(1)
    dtype = ("float32", "float64")[number // 9 % 2]
    run = Run(recurrence, 5, dtype)
    whole, _ = run.pull()
    for picked in (slice(1), [4], [3, 0]):
        same_bits(run.pull(picked)[0], [one[picked] for one in whole])
    for size in (1, 4, 100):
        same_bits(run.pull(checkpoint=size)[0], whole)
    threads(2)
    same_bits(run.pull()[0], whole)
    threads(1)
    check_truncation(run)
    mask = np.random.default_rng(3).random(run.x.shape[:2]) < 0.6
    mask[3], mask[4] = False, True
    masked, _ = run.pull(mask=mask)
    assert not masked[0][~mask].any()
    same_bits(run.pull(mask=mask, x=np.where(mask[..., None], run.x, np.nan).astype(dtype))[0], masked)
    check_rows_without_masked_steps(run, mask, masked)


def check_truncation(run):
    """Each part of so many steps is one by itself, from the state that it starts with."""
    truncated, _ = run.pull(truncate=5)
    _, states = run.layer.trajectory(run.x, initial_state=run.start, constants=list(run.constants) or None)
    for begin in range(0, STEPS, 5):
        time = slice(begin, begin + 5)
        start = [s[:, begin - 1] for s in flat(states)] if begin else run.start
        ends = run.d[1:] if begin + 5 >= STEPS else [np.zeros_like(one) for one in run.d[1:]]
        part, _ = run.pull(time=time, start=start, d=[run.d[0], *ends])
        same_bits(part[0], truncated[0][:, time])


def check_rows_without_masked_steps(run, mask, masked):
    """A row's gradient is that of its used steps alone, where nothing shows a masked one's output."""
    d = [np.where(mask.reshape(mask.shape + (1,) * (run.d[0].ndim - 2)), run.d[0], 0), *run.d[1:]]
    d[0] = d[0].astype(run.d[0].dtype)
    silent, _ = run.pull(mask=mask, d=d)
    for row in np.flatnonzero(mask.any(axis=1)):
        alone, _ = run.pull([row], mask[row], d=d)
        same_bits(alone, [silent[0][[row]][:, mask[row]], *(one[[row]] for one in silent[1:])])
