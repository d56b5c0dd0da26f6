"""Calls of cells made at random, held against the plain loop and the laws: a failure prints the cell."""

import contextlib

import numpy as np
import pytest
from gradient_runs import BOUNDS, near, of_rows, same
from gradient_runs import Run as GradientRun
from matrix import flat, make_mask, same_bits
from random_steps import SIZES, random_cell

import rnnkit as rk

MASKS = ("none", "none", "random", "right", "left", "empty_rows", "full", "nothing", "mostly_nothing")
MOST = 16.0  # times a cell's roundings: steep functions on the way lose a digit, and the plain loop rounds, too


def a_mask(kind, batch, time, rng):
    if kind in ("full", "nothing"):
        return np.full((batch, time), kind == "full")
    if kind == "mostly_nothing":
        return rng.random((batch, time)) < 0.15
    return make_mask(kind, batch, time, rng) if time else np.ones((batch, 0), bool)


class Run:
    """A cell with the arguments of one call, all made from its number and the call's, but for a size that is given."""

    def __init__(self, cell, call, batch=None, time=None):
        self.cell, self.dtype = cell, cell.dtype
        self.rng = rng = np.random.default_rng((cell.number, call))
        wide = max(map(np.prod, self.cell.state_size)) > 190
        self.batch = int(rng.choice((1, 1, 1, 2, 5, 13) if wide else (0, 1, 2, 5, 7, 13, 64, 67, 131)))
        self.time = int(rng.choice((1, 3, 24, 70) if wide else (0, 1, 2, 3, 9, 17, 40, 150)))
        self.batch, self.time = batch or self.batch, time or self.time
        self.backwards, self.zero = rng.random() < 0.4, rng.random() < 0.4
        kind = str(rng.choice(MASKS))
        self.mask = a_mask(kind, self.batch, self.time, rng)
        self.x = self.normal(self.time, *self.cell.features)
        self.start = [self.normal(*shape) for shape in self.cell.state_size]
        self.constants = [self.normal(*shape) for shape in self.cell.constants] or None
        self.words = f"batch {self.batch}, time {self.time}, mask {kind}, backwards {self.backwards}, zero {self.zero}"
        self.layers = {}

    def normal(self, *shape):
        return self.rng.normal(0, 0.7, (self.batch, *shape)).astype(self.dtype)

    def layer(self, backwards, sequences=True):
        key = backwards, sequences
        if key not in self.layers:
            self.layers[key] = rk.RNN(
                self.cell, return_sequences=sequences, return_state=True, go_backwards=backwards,
                zero_output_for_mask=self.zero, dtype=self.dtype,
            )  # fmt: skip
        return self.layers[key]

    def call(self, x=None, mask=False, start=None, rows=slice(None), layer=None):
        """``(outputs, states)`` of a call, with these in place of the run's own."""
        layer = layer or self.layer(self.backwards)
        mask = self.mask if mask is False else mask
        output, *states = layer(
            self.x[rows] if x is None else x,
            mask=mask[rows] if mask is self.mask and mask is not None else mask,
            initial_state=[s[rows] for s in start or self.start],
            constants=self.constants and [c[rows] for c in self.constants],
        )
        return [output, *flat(states)]

    @property
    def used(self):
        return np.ones((self.batch, self.time), bool) if self.mask is None else self.mask


def in_order(run, a):
    """Along time as it is processed."""
    return a[:, ::-1] if run.backwards else a


def agrees_with_the_plain_loop(run, whole):
    """Every step, from the states that the program had before it, so that no error grows along the sequence."""
    layer = run.layer(run.backwards)
    outputs, trajectory = layer.trajectory(run.x, mask=run.mask, initial_state=run.start, constants=run.constants)
    same_bits(outputs, whole[0])
    if run.time:
        same_bits([s[:, -1] for s in flat(trajectory)], whole[1:])
    else:
        same_bits(whole[1:], run.start)
    before = [np.concatenate([s[:, None], t[:, :-1]], axis=1) for s, t in zip(run.start, flat(trajectory), strict=True)]
    used, x = in_order(run, run.used), in_order(run, run.x)
    held = np.zeros_like(outputs[:, 0]) if run.time else None
    for t in range(run.time):
        masked = ~used[:, t]
        same_bits([a[:, t][masked] for a in flat(trajectory)], [b[:, t][masked] for b in before])
        same_bits(outputs[masked, t], np.zeros_like(held[masked]) if run.zero else held[masked])
        held[used[:, t]] = outputs[used[:, t], t]
    if not used.any():
        return 0.0
    constants = run.constants and [np.repeat(c, run.time, axis=0)[used.reshape(-1)] for c in run.constants]
    with rk.eager():
        output, *states = layer(x[used][:, None], initial_state=[b[used] for b in before], constants=constants)
    worst = 0.0
    for got, expected in zip([outputs, *flat(trajectory)], [output[:, 0], *flat(states)], strict=True):
        error = np.abs(got[used].astype(float) - expected) / (1 + np.abs(expected))
        assert not np.isnan(error).any()
        worst = max(worst, float(error.max(initial=0)) / np.finfo(run.dtype).eps)
    assert worst <= MOST * run.cell.roundings, f"off by {worst:.0f} units of rounding"
    return worst


def rows_are_alone(run, whole):
    """A row's results are its own: in a batch of one, of some, between rows of NaN, without its masked steps."""
    if not run.batch:
        return
    for rows in ([0], [run.batch - 1], run.rng.permutation(run.batch)[:6].tolist(), slice(None, None, 2)):
        same_bits(run.call(rows=rows), [a[rows] for a in whole])
    x = run.x.copy()
    x[::2] = np.nan
    x[1::4] = np.inf
    same_bits([a[3::4] for a in run.call(x=x)], [a[3::4] for a in whole])
    for row in {0, run.batch - 1}:
        used = run.used[row]
        output, *states = run.call(x=run.x[row : row + 1, used], mask=None, rows=[row])
        same_bits([output[0], *states], [whole[0][row, in_order(run, run.used)[row]], *(s[[row]] for s in whole[1:])])


def threads_change_nothing(run, whole):
    before = rk.get_num_threads()
    try:
        for number in (1, 2, 3):
            rk.set_num_threads(number)
            for _ in range(3):  # threads that have just worked are the quickest to join
                same_bits(run.call(), whole)
    finally:
        rk.set_num_threads(before)


def masked_steps_change_nothing(run, whole):
    """What stands under a mask, more masked steps at both ends, and a mask that masks nothing."""
    for dirt in (np.nan, np.inf, 1e30):
        same_bits(run.call(x=np.where(run.used.reshape(*run.used.shape, *[1] * (run.x.ndim - 2)), run.x, dirt)), whole)
    early, late = (3, 70) if run.batch % 2 else (17, 5)
    ends = [(0, 0), (early, late)]
    x = np.pad(run.x, ends + [(0, 0)] * (run.x.ndim - 2), constant_values=np.nan)
    output, *states = run.call(x=x, mask=np.pad(run.used, ends))
    first = late if run.backwards else early
    same_bits([output[:, first : first + run.time], *states], whole)
    if run.mask is None:
        same_bits(run.call(mask=np.ones((run.batch, run.time, 1), int)), whole)


def cuts_change_nothing(run, whole):
    cut = int(run.rng.integers(run.time + 1))
    parts = [slice(0, cut), slice(cut, None)]
    outputs, states = [], run.start
    for span in parts[::-1] if run.backwards else parts:
        mask = run.used[:, span]
        output, *states = run.call(x=run.x[:, span], mask=None if run.mask is None else mask, start=states)
        if not run.zero:  # masked steps at a part's beginning don't know the outputs before it
            done = sum(o.shape[1] for o in outputs)
            unknown = ~np.logical_or.accumulate(in_order(run, mask), axis=1)
            output[unknown] = whole[0][:, done : done + output.shape[1]][unknown]
        outputs.append(output)
    same_bits([np.concatenate(outputs, axis=1), *states], whole)


def directions_mirror(run, whole):
    mask = None if run.mask is None else run.mask[:, ::-1]
    same_bits(run.call(x=run.x[:, ::-1], mask=mask, layer=run.layer(not run.backwards)), whole)


def the_last_output_is_that_of_the_sequence(run, whole):
    output, *states = run.call(layer=run.layer(run.backwards, sequences=False))
    same_bits(states, whole[1:])
    used = in_order(run, run.used)
    expected = np.zeros_like(output)
    for row in range(run.batch):
        if used[row].any():
            expected[row] = whole[0][row, np.flatnonzero(used[row])[-1]]
    same_bits(output, expected)


LAWS = (
    rows_are_alone,
    threads_change_nothing,
    masked_steps_change_nothing,
    cuts_change_nothing,
    directions_mirror,
    the_last_output_is_that_of_the_sequence,
)


def check(number):
    """All of it for three calls of one cell; the largest difference from the plain loop, in units of rounding."""
    cell, worst = random_cell(number), []
    for run in (Run(cell, call) for call in range(3)):
        try:
            given = [a.copy() for a in (run.x, *run.start)]
            whole = run.call()
            assert run.layer(run.backwards).explain().startswith("traced")
            worst.append(agrees_with_the_plain_loop(run, whole))
            for law in LAWS:
                law(run, whole)
            same_bits([run.x, *run.start], given)
        except Exception as error:
            error.add_note(f"{run.words}\n{cell.describe()}")
            raise
    return max(worst)


def cells(*texts):
    return [SIZES * text + i for text in texts for i in range(SIZES)]


def numbered(numbers):
    return pytest.mark.parametrize("number", numbers, ids=lambda number: f"cell_{number}")


def check_gradient(number, compiled=True):
    """A cell's gradient: the adjoint in NumPy is the slope, away from corners, and the program computes the adjoint."""
    cell = random_cell(number)
    words = {"return_sequences": number % 3 > 0, "go_backwards": number % 2 > 0, "zero_output_for_mask": number % 5 > 2}
    mask = ("none", "random", "right", "left", "empty_rows")[number % 5]
    layer = rk.RNN(cell, return_state=True, dtype=cell.dtype, **words)
    try:
        with contextlib.nullcontext() if compiled else rk.eager():
            layer.build((None, None, *cell.features))
            run = GradientRun(layer, cell.features, (4, 1, 5)[number % 3], 5, mask, cell.constants, seed=number)
            run.d = [d.astype(cell.dtype) for d in run.d]
        reference = run.reference
        expected = run.expected(reference=reference)
        loss = lambda **moved: run.plain_loss(reference, **moved)
        run.check_slopes(
            expected, loss, run.plain_loss_with_weight(reference), np.random.default_rng(number), count=1, corners=True
        )
        if compiled:
            outputs, pull = run.vjp()
            same_bits(outputs, run.call())
            gradient = pull(run.d)
            near(gradient, expected, BOUNDS[cell.dtype] * cell.roundings)
            again = run.gradient(checkpoint=2)
            same(again, gradient, of_rows(gradient))
            run.check_repeated()
    except Exception as error:
        error.add_note(f"mask {mask}, {words}\n{cell.describe()}")
        raise


# Gates by twos to fives with wide states, products handed on as states, reductions: and nearly one program a text.
USUAL = cells(1, 3, 12, 14, 18, 21, 24, 30, 32, 41)[::3]
OTHERS = [number for number in range(2000) if number not in USUAL]
