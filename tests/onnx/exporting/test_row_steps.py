"""Steps of one row in ONNX Runtime: loops, computed places, numbers as states; and the corpus of recurrences."""

import numpy as np
import pytest
from corpus_runs import drawn, layer_of, some
from onnx_runs import Exported, graphs_in, near
from row_steps import FAILING, FEATURES, ROW_STEPS, RowStep, by_name, one_fails

import rnnkit as rk

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

# Of float32, where a decision falls by the last bit: a step is taken again or isn't.
SCALES = {"adaptive_runge_kutta": 10.0}
DTYPES = ("float32", "float64")


@pytest.mark.parametrize("dtype", DTYPES)
@some
def test_a_recurrence_of_the_corpus_is_that_of_rnnkit(recurrence, dtype):
    x, constants = drawn(recurrence, 3, 40, np.dtype(dtype))
    layer = layer_of(recurrence, dtype)
    exported = Exported(layer, constants=[one.shape[1:] for one in constants] or None)
    near(exported(x, *constants), [layer(x, constants=list(constants) or None)], SCALES.get(recurrence.name, 1.0))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("one", **by_name(ROW_STEPS))
def test_a_step_of_one_row_is_that_of_rnnkit(one, dtype):
    layer = one.layer(dtype, return_state=True)
    x, constants = one.inputs(4, 12, dtype)
    mask = np.random.default_rng(1).random((4, 12)) < 0.6
    given = {"constants": constants or None}
    exported = Exported(layer, mask=True, constants=list(one.constants) or None)
    with rk.eager():
        near(exported(x, mask, *constants), layer(x, mask=mask, **given))
        one_row = [array[:1] for array in (x, mask, *constants)]
        near(exported(*one_row), layer(x[:1], mask=mask[:1], constants=[c[:1] for c in constants] or None))


def test_known_rounds_ask_no_row():
    (one,) = (one for one in ROW_STEPS if one.name == "rounds_that_are_known")
    exported = Exported(one.layer("float32"))
    loops = [node for graph in graphs_in(exported.model.graph) for node in graph.node if node.op_type == "Loop"]
    assert len(loops) == 2 and sum(bool(loop.input[0]) for loop in loops) == 1


def test_rows_whose_step_is_masked_go_no_rounds():
    """Else these would be as many as there may be, which takes minutes."""

    def until(x, states):
        n = states.n
        while x[0] != 1.0 and n >= 0.0:
            n += 1.0
        return n, (n,)

    exported = Exported(RowStep(until, {"n": ()}).layer("float64"), mask=True)
    x = np.ones((2, 4, FEATURES))
    x[1, 2] = np.nan
    (y,) = exported(x, np.isfinite(x[..., 0]))
    assert not y.any()


@pytest.mark.parametrize("one", **by_name(FAILING))
def test_c17_a_row_that_fails_is_nan_from_that_step_on(one):
    layer, x, failed = one_fails(one)
    (y,) = Exported(layer)(x)
    assert np.array_equal(np.isnan(y), failed)


def test_what_onnx_has_not_is_refused_with_its_line():
    def bits(x, states):
        n = int(states.n)
        while n % 7 != 3:
            n = (n ^ 5) + 1
        return n, (n,)

    with pytest.raises(ValueError, match=r"no operator is known for bitwise_xor of int64, in the line 'n = \(n \^ 5"):
        Exported(RowStep(bits, {"n": ()}).layer("float64"))
