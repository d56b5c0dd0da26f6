"""Cells typed in from papers: each is traced or jitted as it should and computes what its step does in plain Python."""

import numpy as np
import pytest
import reference
from cells_under_test import normal
from matrix import flat, make_mask, same_bits
from paper_cells import PAPER_CELLS
from reading import Read

import rnnkit as rk

BATCH, TIME = 3, 7
BOUND = {"float64": 1e-10, "float32": 2e-5}  # of each array's largest value


# Their programs take long to compile, or are much like others': planned in every run, and compiled in the sweep.
LONG = set(
    "OdeRNNCell TuringMachineCell delta_net MatrixLSTMCell scalar_lstm min_lstm rwkv RetentionCell location_attention "
    "entity_network RelationalMemoryCell kalman_filter hidden_markov least_squares independent_mechanisms fast_weights "
    "LiquidTimeConstantCell StackRNNCell mogrifier OrderedNeuronsLSTMCell fourier kalman scrn lem multiplicative_lstm "
    "recurrent_highway phased_lstm narx".split()
)


def combinations():
    """Every cell in one precision, by turns; the other one, and long programs, in the sweep."""
    for i, case in enumerate(PAPER_CELLS):
        for j, dtype in enumerate(("float64", "float32")):
            marks = () if (i + j) % 2 == 0 and case.name not in LONG else pytest.mark.sweep
            yield pytest.param(case, dtype, marks=marks, id=f"{case.name}-{dtype}")


every_cell = pytest.mark.parametrize("case, dtype", list(combinations()))


class Setup:
    """A layer of a cell, inputs and its step in plain Python."""

    def __init__(self, case, dtype, backwards=False):
        rng = np.random.default_rng(4)
        self.case, self.dtype, self.backwards = case, dtype, backwards
        options = {"return_sequences": True, "return_state": True, "go_backwards": backwards}
        self.layer = rk.RNN(case.make(), dtype=dtype, seed=7, **options)
        self.x = rng.normal(size=(BATCH, TIME, *case.features)).astype(dtype)
        self.constants = [rng.normal(size=(BATCH, *shape)).astype(dtype) for shape in case.constants] or None
        self.mask = make_mask("random", BATCH, TIME, rng)
        self.layer.build((None, None, *case.features))
        self.start = [s.astype(dtype) for s in flat(list(self.layer.get_initial_state(BATCH)))]

    def step(self, x, states, constants=None):
        """The cell's own function, which may change what it is given."""
        constants = constants or self.constants
        more = ([c.copy() for c in constants],) if constants else ()
        return normal(self.layer.cell.call(x.copy(), [s.copy() for s in states], *more))

    def near(self, got, expected):
        assert got.shape == expected.shape and got.dtype == self.dtype
        assert np.isfinite(expected).all()
        bound = BOUND[self.dtype] * max(1.0, np.abs(expected).max(initial=0.0))
        np.testing.assert_allclose(got, expected, rtol=0, atol=bound)


@every_cell
@pytest.mark.parametrize("backwards", [False, True])
def test_equals_its_step_in_plain_python(case, dtype, backwards):
    setup = Setup(case, dtype, backwards)
    layer, mask = setup.layer, setup.mask
    outputs, trajectory = layer.trajectory(setup.x, mask=mask, constants=setup.constants)
    trajectory = flat(list(trajectory) if isinstance(trajectory, list | tuple) else trajectory)
    assert layer.explain().startswith(case.how), layer.explain()
    if case.contracting:
        ran = reference.run(setup.step, setup.x, setup.start, mask, backwards)
        setup.near(outputs, ran.outputs)
        for got, expected in zip(trajectory, ran.trajectory, strict=True):
            setup.near(got, expected)
    else:
        each_step(setup, outputs, trajectory)


def each_step(setup, outputs, trajectory):
    """Each step by itself, from the states that the layer had before it."""
    states, held = setup.start, np.zeros_like(outputs[:, 0])
    for t in range(TIME):
        at = TIME - 1 - t if setup.backwards else t
        with np.errstate(all="ignore"):
            output, new = setup.step(setup.x[:, at], states)
        held = reference.select(setup.mask[:, at], output, held)
        setup.near(outputs[:, t], held)
        for got, after, before in zip(trajectory, new, states, strict=True):
            setup.near(got[:, t], reference.select(setup.mask[:, at], after, before))
        states, held = [s[:, t] for s in trajectory], outputs[:, t]


@every_cell
def test_a_row_is_alone(case, dtype):
    setup = Setup(case, dtype)
    together = setup.layer(setup.x, mask=setup.mask, constants=setup.constants)
    for row in range(BATCH):
        picked = slice(row, row + 1)
        constants = setup.constants and [c[picked] for c in setup.constants]
        alone = setup.layer(setup.x[picked], mask=setup.mask[picked], constants=constants)
        same_bits(list(alone), [array[picked] for array in flat(list(together))])


@every_cell
def test_equals_the_eager_loop(case, dtype):
    setup = Setup(case, dtype)
    fast = flat(list(setup.layer(setup.x, mask=setup.mask, constants=setup.constants)))
    if not case.contracting:
        setup.x, setup.mask = setup.x[:, :1], setup.mask[:, :1]
        fast = flat(list(setup.layer(setup.x, mask=setup.mask, constants=setup.constants)))
    with rk.eager():
        slow = flat(list(setup.layer(setup.x, mask=setup.mask, constants=setup.constants)))
    for got, expected in zip(fast, slow, strict=True):
        setup.near(got, expected)


@pytest.mark.parametrize("case", [case for case in PAPER_CELLS if case.how == "traced"], ids=lambda case: case.name)
def test_its_plan_is_its_step(case):
    assert Read(case.make(), case.features, constants=case.constants).agrees()


class Residual(rk.Cell):
    """A cell around a cell, called as Keras calls one."""

    def __init__(self, cell):
        super().__init__()
        self.cell, self.state_size = cell, cell.state_size

    def build(self, input_shape):
        self.cell.build(input_shape)

    def call(self, inputs, states):
        output, states = self.cell(inputs, states)
        return output + inputs, states


@pytest.mark.parametrize("inner", [rk.GRUCell, rk.LSTMCell, lambda units: Residual(rk.SimpleRNNCell(units))])
def test_a_cell_around_a_cell(inner, rng):
    layer = rk.RNN(Residual(inner(5)), return_sequences=True, seed=3, dtype="float64")
    x = rng.normal(size=(BATCH, TIME, 5))
    y = layer(x)
    assert layer.explain().startswith("traced") and all(name.startswith("cell/") for name in layer.weights)
    layer.set_weights([weight / 2 for weight in layer.get_weights()])
    changed = layer(x)
    assert np.abs(changed - y).max() > 1e-3
    with rk.eager():
        np.testing.assert_allclose(changed, layer(x), atol=1e-12)
