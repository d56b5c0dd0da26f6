"""Steps of one row in C: loops, computed places, numbers as states; and the corpus of recurrences."""

import numpy as np
import pytest
from c_code_runs import Library, needs_compiler
from corpus_runs import drawn, layer_of, some
from row_steps import FAILING, ROW_STEPS, RowStep, by_name, one_fails

import rnnkit as rk

DTYPES = ("float32", "float64")
# Of float32, where a small difference grows or a decision falls by the last bit.
OFF = {"gr4j": 1e-5, "adaptive_runge_kutta": 1e-3}


def near(got, want, bound):
    assert np.array_equal(np.isnan(got), np.isnan(want))
    assert np.nanmax(np.abs(got - want)) <= bound * max(1.0, np.nanmax(np.abs(want)))


@needs_compiler
@pytest.mark.parametrize("dtype", DTYPES)
@some
def test_a_recurrence_of_the_corpus_is_that_of_rnnkit(recurrence, dtype, tmp_path):
    x, constants = drawn(recurrence, 3, 40, np.dtype(dtype))
    layer = layer_of(recurrence, dtype)
    want = layer(x, constants=list(constants) or None)
    library = Library({"step": (layer, {"data": x, "constants": list(constants) or None})}, tmp_path)
    bound = OFF.get(recurrence.name, 1e-6) if dtype == "float32" else 1e-12
    for row in range(len(x)):
        sequence = library.sequence("step", dtype, [(want.shape[2:], True)], [one[row] for one in constants])
        near(sequence.run(x[row]), want[row], bound)


@pytest.fixture(scope="module", params=DTYPES)
def library(request, tmp_path_factory):
    """All steps of this folder's own, compiled together, and their layers."""
    layers = {}
    with rk.eager():
        for one in ROW_STEPS:
            x, constants = one.inputs(1, 4, request.param)
            layers[one.name] = one.layer(request.param), {"data": x, "constants": constants or None}
        made = Library(layers, tmp_path_factory.mktemp("c"))
    return made, layers, request.param


@needs_compiler
@pytest.mark.parametrize("one", **by_name(ROW_STEPS))
def test_a_step_of_one_row_is_that_of_rnnkit(library, one):
    made, layers, dtype = library
    x, constants = one.inputs(2, 12, dtype)
    mask = np.random.default_rng(1).random((2, 12)) < 0.6
    mask[:, 0] = True
    with rk.eager():
        want = layers[one.name][0](x, mask=mask, constants=constants or None)
    for row in range(2):
        sequence = made.sequence(one.name, dtype, [(want.shape[2:], True)], [given[row] for given in constants])
        got = [sequence.step(x_t) if used else sequence.skip() for x_t, used in zip(x[row], mask[row], strict=True)]
        near(np.array(got), want[row], 1e-6 if dtype == "float32" else 1e-12)


@needs_compiler
@pytest.mark.parametrize("one", **by_name(FAILING))
def test_c17_a_row_that_fails_is_nan_from_that_step_on(one, tmp_path):
    layer, x, failed = one_fails(one)
    made = Library({"step": (layer, {"data": x[:1]})}, tmp_path).sequence("step", "float64", [((), True)])
    for row, fails in zip(x, failed, strict=True):
        made.reset()
        assert np.array_equal(np.isnan(made.run(row)), fails)


def test_random_data_of_which_a_row_fails_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected data=, typical inputs .* row 0 fails at step 0: an index"):
        rk.export_c(RowStep(an_index_by_x, {"h": 12}).layer("float32"), tmp_path)
    assert not list(tmp_path.iterdir())


def an_index_by_x(x, states):
    return states.h[20 + int(x[0])], (states.h,)


def test_bytes_of_states_are_those_of_the_struct(tmp_path):
    layers = {one.name: one.layer("float32") for one in ROW_STEPS if not one.constants}
    with rk.eager():
        made = Library(layers, tmp_path)
    for name, exported in made.exported.items():
        size = made.sequence(name, "float32", [((), True)]).size
        assert exported.state_bytes <= size < exported.state_bytes + 8, name
