"""The laws of docs/contract.md, over every cell × mask × direction × dtype × sizes, pairwise."""

from itertools import pairwise as pairs

import numpy as np
import pytest
import reference
from cells_under_test import CELLS, NAMED
from matrix import (
    MASKS,
    ROWS,
    close,
    flat,
    fresh,
    inputs,
    label,
    layer_of,
    like,
    make_mask,
    part,
    random_states,
    same_bits,
)
from on_device import by_device

import rnnkit as rk

rows = pytest.mark.parametrize("row", ROWS, ids=label)
every_cell = pytest.mark.parametrize("name", [c.name for c in CELLS])
every_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])


class Setup:
    """A layer, its arguments and its result for one row of the matrix."""

    def __init__(self, row, **sizes):
        row = {**row, **sizes}
        self.case, self.dtype = NAMED[row["cell"]], row["dtype"]
        self.sizes = {name: row[name] for name in ("units", "features", "dtype")}
        self.options = {"go_backwards": row["backwards"], "zero_output_for_mask": row["zero"]}
        self.layer = layer_of(self.case.name, **self.sizes, **self.options)
        self.x, self.constants = inputs(self.case.name, row["batch"], row["time"], row["features"], self.dtype)
        self.mask = make_mask(row["mask"], row["batch"], row["time"], np.random.default_rng(5))
        self.start = random_states(self.layer, row["batch"], self.dtype)

    def stateful(self):
        return fresh(self.case.name, **self.sizes, **self.options, stateful=True)

    def call(self, layer=None, x=None, mask=None, start=None, rows=slice(None), time=slice(None)):
        mask = self.mask if mask is None else mask
        constants = self.constants and [c[rows] for c in self.constants]
        output, *states = (layer or self.layer)(
            (self.x if x is None else x)[rows, time],
            mask=mask if mask is None else mask[rows, time],
            initial_state=part(self.start if start is None else start, rows) if layer is None else None,
            constants=constants,
        )
        return output, states


def unheld(mask, backwards):
    """Where a part's outputs are held from before it: its leading masked steps, in processing order."""
    used = mask[:, ::-1] if backwards else mask
    return ~np.logical_or.accumulate(used, axis=1)


@rows
def test_L1_split(row):
    setup = Setup(row, time=9)
    whole, final = setup.call()
    backwards = row["backwards"]
    for cuts in ([0, 4, 9], range(10)):
        layer, outputs = setup.stateful(), []
        layer.build((None, None, row["features"]))
        layer.reset_states(states=setup.start)
        spans = [slice(a, b) for a, b in pairs(cuts)]
        for span in reversed(spans) if backwards else spans:
            output, states = setup.call(layer, time=span)
            expected = whole[:, sum(o.shape[1] for o in outputs) :][:, : output.shape[1]].copy()
            if setup.mask is not None and not row["zero"]:
                expected[unheld(setup.mask[:, span], backwards)] = 0
            same_bits(output, expected)
            outputs.append(output)
        same_bits(states, final)


@rows
def test_L2_batch(row):
    setup = Setup(row, batch=7)
    output, states = setup.call()
    for picked in ([0], [6], [2, 3, 4], [5, 5, 1, 0], list(range(7)) * 5):
        some, some_states = setup.call(rows=picked)
        same_bits(some, output[picked])
        same_bits(some_states, part(states, picked))


@every_dtype
@every_cell
def test_L3_threads(name, dtype, threads):
    row = {"cell": name, "dtype": dtype, "units": 33, "features": 17, "batch": 67, "time": 40}
    setup = Setup({**row, "mask": "random", "backwards": False, "zero": False})
    threads(1)
    alone = setup.call()
    for number in (2, 3, 8):
        threads(number)
        same_bits(setup.call(), alone)


@every_dtype
@every_cell
def test_L1_L2_across_blocks_of_steps(name, dtype, threads):
    """Long enough for what leaves the time loop to be computed in several blocks of steps."""
    threads(2)
    backwards = dtype == "float32"
    row = {"cell": name, "dtype": dtype, "units": 33, "features": 33, "batch": 41, "time": 900}
    setup = Setup({**row, "mask": "random", "backwards": backwards, "zero": False})
    setup.mask[:, [0, 411, 412, -1]] = True
    output, states = setup.call()
    for picked in ([17], [40, 0]):
        some, some_states = setup.call(rows=picked)
        same_bits([some, *flat(some_states)], [output[picked], *flat(part(states, picked))])
    first, second = slice(412, 900), slice(0, 412)
    if not backwards:
        first, second = slice(0, 412), slice(412, 900)
    head, between = setup.call(time=first)
    tail, after = setup.call(time=second, start=between)
    same_bits([np.concatenate([head, tail], axis=1), *flat(after)], [output, *flat(states)])


@rows
def test_L4_padding(row, rng):
    setup = Setup(row)
    clean = setup.call()
    if setup.mask is None:
        setup.mask = np.ones(setup.x.shape[:2], bool)
        setup.mask[:, -1] = False
        clean = setup.call()
    for dirt in (np.nan, np.inf, -np.inf, 1e30, rng.normal(size=setup.x.shape)):
        x = np.where(setup.mask[..., None], setup.x, dirt).astype(setup.dtype)
        same_bits(setup.call(x=x), clean)


@rows
def test_L5_mirror(row):
    setup = Setup(row)
    options = {**setup.options, "go_backwards": not row["backwards"]}
    other = layer_of(setup.case.name, **setup.sizes, **options)
    flipped = other(
        setup.x[:, ::-1],
        initial_state=setup.start,
        mask=None if setup.mask is None else setup.mask[:, ::-1],
        constants=setup.constants,
    )
    same_bits(flipped, setup.call())


@rows
def test_L5_hold(row):
    setup = Setup(row)
    mask = np.ones(setup.x.shape[:2], bool) if setup.mask is None else setup.mask
    outputs, trajectory = setup.layer.trajectory(
        setup.x, mask=mask, initial_state=setup.start, constants=setup.constants
    )
    used = mask[:, ::-1] if row["backwards"] else mask
    held, states = np.zeros_like(outputs[:, 0]), flat(setup.start)
    for t in range(used.shape[1]):
        now = [s[:, t] for s in flat(trajectory)]
        for before, after in zip(states, now, strict=True):
            same_bits(after[~used[:, t]], before[~used[:, t]])
        silent = np.zeros_like(held) if row["zero"] else held
        same_bits(outputs[~used[:, t], t], silent[~used[:, t]])
        held, states = reference.select(used[:, t], outputs[:, t], held), now


@rows
def test_L5_causality(row):
    setup = Setup(row, time=9)
    output, _ = setup.call()
    for length in (1, 5):
        beginning = slice(9 - length, 9) if row["backwards"] else slice(0, length)
        same_bits(setup.call(time=beginning)[0], output[:, :length])


def in_plain_python(setup, layer, x, start, mask, constants):
    """The step called in a loop on NumPy arrays, on the weights of the layer."""
    step = setup.case.step(layer.cell, layer, constants or ())
    return reference.run(
        step, x, flat(start), mask, setup.options["go_backwards"], setup.options["zero_output_for_mask"]
    )


def single_steps(setup):
    """x, states, mask and constants with every step of the run as a row of its own."""
    time, constants = setup.x.shape[1], setup.constants
    _, trajectory = setup.layer.trajectory(setup.x, initial_state=setup.start, constants=constants)
    before = [np.concatenate([s[:, None], t[:, :-1]], 1) for s, t in zip(flat(setup.start), flat(trajectory))]  # noqa: B905
    x = setup.x[:, ::-1] if setup.options["go_backwards"] else setup.x
    start = like(setup.start, [b.reshape(-1, *b.shape[2:]) for b in before])
    return x.reshape(-1, 1, x.shape[-1]), start, constants and [np.repeat(c, time, axis=0) for c in constants]


@rows
def test_L6_plain_python(row):
    setup = Setup(row)
    x, start, mask, constants = setup.x, setup.start, setup.mask, setup.constants
    if not setup.case.steady:
        (x, start, constants), mask = single_steps(setup), None
    ran = in_plain_python(setup, setup.layer, x, start, mask, constants)
    output, *states = setup.layer(x, mask=mask, initial_state=start, constants=constants)
    close(output, ran.outputs, setup.dtype)
    close(states, ran.states, setup.dtype)
    with rk.eager():
        output, *states = setup.layer(x, mask=mask, initial_state=start, constants=constants)
    close(output, ran.outputs, setup.dtype)
    close(states, ran.states, setup.dtype)


@every_dtype
@pytest.mark.parametrize("name", [c.name for c in CELLS if c.steady])
def test_L6_over_two_hundred_steps(name, dtype):
    units, features, batch = by_device((33, 17, 3), (3, 2, 1))
    row = {"cell": name, "dtype": dtype, "units": units, "features": features, "batch": batch, "time": 200}
    setup = Setup({**row, "mask": "random", "backwards": False, "zero": False})
    ran = in_plain_python(setup, setup.layer, setup.x, setup.start, setup.mask, setup.constants)
    output, states = setup.call()
    close(output, ran.outputs, dtype)
    close(states, ran.states, dtype)


@pytest.mark.sweep
@every_dtype
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("backwards", [False, True])
@every_cell
def test_L6_over_all_sizes(name, backwards, mask, dtype):
    for units, features, batch, time in np.ndindex(40, 9, 3, 3):
        row = {"cell": name, "mask": mask, "backwards": backwards, "dtype": dtype, "zero": bool(time % 2)}
        sizes = {"units": units + 1, "features": 5 * features + 1, "batch": 6 * batch, "time": 4 * time}
        test_L6_plain_python({**row, **sizes})
