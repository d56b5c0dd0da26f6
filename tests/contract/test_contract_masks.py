"""Masks: rows M1 to M9 of docs/contract.md."""

import numpy as np
import pytest
import reference
from cells_under_test import CELLS, NAMED, leaky
from matrix import close, flat, inputs, layer_of, random_states, same_bits

import rnnkit as rk

every_cell = pytest.mark.parametrize("name", [c.name for c in CELLS])
MASK = np.array([[1, 0, 1, 1, 0, 0], [0, 0, 1, 0, 1, 1], [0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 1]], bool)
EAGER = pytest.mark.parametrize("eager", [False, True])


def run(layer, *args, eager=False, **keywords):
    if not eager:
        return layer(*args, **keywords)
    with rk.eager():
        return layer(*args, **keywords)


@every_cell
@EAGER
def test_M1_every_state_is_held_and_the_output_is_the_previous_output(name, eager):
    layer = layer_of(name)
    x, constants = inputs(name, 4, 6)
    start = random_states(layer, 4)
    before = start
    outputs = []
    for t in range(6):
        output, *states = run(
            layer, x[:, t : t + 1], initial_state=before, mask=MASK[:, t : t + 1], constants=constants, eager=eager
        )
        for a, b in zip(flat(states), flat(before), strict=True):
            same_bits(a[~MASK[:, t]], b[~MASK[:, t]])
        outputs.append(output[:, 0])
        before = states
    whole, *after = run(layer, x, initial_state=start, mask=MASK, constants=constants, eager=eager)
    if not eager:
        same_bits(after, before)
    held = np.zeros_like(outputs[0])
    for t in range(6):
        held = reference.select(MASK[:, t], outputs[t], held)
        close(whole[:, t], held)


def test_M1_the_output_held_is_not_the_first_state():
    """The output is three times the state: holding the state would show."""

    @rk.cell(states={"h": 2})
    def tripled(x, states, weights):
        h = states[0] + x
        return 3 * h, (h,)

    x = np.ones((1, 4, 2))
    y = rk.RNN(tripled(), return_sequences=True)(x, mask=[[1, 0, 0, 1]])
    same_bits(y[0, :, 0].copy(), np.array([3.0, 3.0, 3.0, 6.0]))


@every_cell
@EAGER
def test_M2_zero_before_the_first_used_step(name, eager):
    layer = layer_of(name)
    x, constants = inputs(name, 4, 6)
    start = random_states(layer, 4)
    output, *states = run(layer, x, mask=MASK, initial_state=start, constants=constants, eager=eager)
    assert not output[1, :2].any() and not output[2].any()
    same_bits([s[2] for s in flat(states)], [s[2] for s in flat(start)])
    last = layer_of(name, return_sequences=False)
    output, *states = run(last, x, mask=MASK, initial_state=start, constants=constants, eager=eager)
    assert not output[2].any()


@every_cell
@EAGER
@pytest.mark.parametrize("dirt", [np.nan, np.inf])
def test_M3_nan_under_mask_reaches_nothing(name, eager, dirt):
    for sequences in (True, False):
        layer = layer_of(name, return_sequences=sequences)
        x, constants = inputs(name, 4, 6)
        dirty = np.where(MASK[..., None], x, dirt)
        got = run(layer, dirty, mask=MASK, constants=constants, eager=eager)
        same_bits(list(got), list(run(layer, x, mask=MASK, constants=constants, eager=eager)))
        assert all(np.isfinite(a).all() for a in flat(list(got)))


@every_cell
@EAGER
def test_M4_zero_output_for_mask(name, eager):
    x, constants = inputs(name, 4, 6)
    plain = run(layer_of(name), x, mask=MASK, constants=constants, eager=eager)
    for unroll in (False, True):
        layer = layer_of(name, zero_output_for_mask=True, unroll=unroll)
        zeroed = run(layer, x, mask=MASK, constants=constants, eager=eager)
        same_bits(zeroed[0], np.where(MASK.reshape(4, 6, 1), plain[0], 0))
        same_bits(list(zeroed[1:]), list(plain[1:]))
        last = layer_of(name, zero_output_for_mask=True, unroll=unroll, return_sequences=False)
        same_bits(run(last, x, mask=MASK, constants=constants, eager=eager)[0], plain[0][:, -1].copy())


@every_cell
@EAGER
def test_M5_no_mask_is_a_mask_of_ones(name, eager):
    for dtype in ("float64", "float32"):
        layer = layer_of(name, dtype=dtype)
        x, constants = inputs(name, 4, 6, dtype=dtype)
        bare = run(layer, x, constants=constants, eager=eager)
        same_bits(list(run(layer, x, mask=np.ones((4, 6)), constants=constants, eager=eager)), list(bare))


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int64", "float32", "float64"])
def test_M6_any_dtype_and_a_last_axis_of_one(dtype):
    layer, (x, _) = layer_of("leaky"), inputs("leaky", 4, 6)
    expected = list(layer(x, mask=MASK))
    for factor in (1,) if dtype == "bool" else (1, 3, -1 if dtype != "uint8" else 7):
        mask = MASK.astype(dtype) * np.array(factor).astype(dtype)
        for form in (mask, mask[..., None], mask.tolist(), np.asfortranarray(mask)):
            same_bits(list(layer(x, mask=form)), expected)
    if dtype.startswith("float"):
        same_bits(list(layer(x, mask=np.where(MASK, np.array(0.25, dtype), -0.0))), expected)


@pytest.mark.parametrize(
    "shape", [(4, 7), (4, 5), (1, 6), (5, 6), (4, 6, 5), (4, 6, 1, 1), (6,), (24,), (), (6, 4), (4, 1)]
)
@EAGER
def test_M6_other_shapes_are_refused(shape, eager):
    layer, (x, _) = layer_of("leaky"), inputs("leaky", 4, 6)
    with pytest.raises(ValueError, match="mask") as raised:
        run(layer, x, mask=np.ones(shape), eager=eager)
    assert "(4, 6)" in str(raised.value) and str(shape) in str(raised.value)


def test_M7_compute_mask():
    x, mask = np.zeros((4, 6, 5)), MASK
    assert rk.RNN(leaky(units=3)).compute_mask(x, mask) is None
    assert rk.LSTM(3).compute_mask(x, mask) is None
    same_bits(np.asarray(rk.RNN(leaky(units=3), return_sequences=True).compute_mask(x, mask)), mask)
    got = rk.LSTM(3, return_sequences=True, return_state=True).compute_mask(x, mask)
    assert isinstance(got, list) and len(got) == 3 and got[1:] == [None, None]
    same_bits(np.asarray(got[0]), mask)
    assert rk.GRU(3, return_state=True).compute_mask(x, mask) == [None, None]
    assert rk.RNN([rk.LSTMCell(2), rk.GRUCell(2)], return_state=True).compute_mask(x, mask) == [None] * 3
    assert rk.GRU(3, return_sequences=True).compute_mask(x, None) is None


def test_M7_the_mask_turns_with_the_outputs():
    layer = rk.GRU(3, return_sequences=True, go_backwards=True)
    same_bits(np.array(layer.compute_mask(np.zeros((4, 6, 5)), MASK)), MASK[:, ::-1])


def test_M7_bidirectional():
    x = np.zeros((4, 6, 5))
    layer = rk.Bidirectional(rk.LSTM(3, return_sequences=True))
    same_bits(np.array(layer.compute_mask(x, MASK)), MASK)
    assert rk.Bidirectional(rk.LSTM(3)).compute_mask(x, MASK) is None
    got = rk.Bidirectional(rk.LSTM(3, return_sequences=True, return_state=True)).compute_mask(x, MASK)
    same_bits(np.array(got[0]), MASK)
    assert got[1:] == [None] * 4
    pair = rk.Bidirectional(rk.LSTM(3, return_sequences=True), merge_mode=None).compute_mask(x, MASK)
    assert len(pair) == 2
    for half in pair:
        same_bits(np.array(half), MASK)


def test_M8_masking(rng):
    x = rng.normal(size=(4, 6, 3))
    x[~MASK] = -1.0
    x[0, 0, :2] = -1.0  # two of three features are not enough
    layer = rk.Masking(-1.0)
    same_bits(np.array(layer.compute_mask(x), bool), MASK)
    model = rk.Sequential([rk.Masking(-1.0), rk.RNN(leaky(units=3), return_sequences=True, seed=1)])
    alone = rk.RNN(leaky(units=3), return_sequences=True, dtype="float64")
    y = model(x)
    alone.build(x.shape)
    alone.set_weights(model.get_weights())
    same_bits(y, alone(x, mask=MASK))
    assert np.isfinite(y).all()


@pytest.mark.parametrize("value, equal", [(0.5, False), (1.0, True), (-1e30, False)])
@pytest.mark.parametrize("dtype", ["int8", "int64", "uint8", "bool"])
def test_M8_masking_of_integers_compares_numbers(dtype, value, equal):
    x = np.array([[[1, 1], [0, 1]]], dtype)
    layer = rk.Masking(value)
    assert layer.compute_mask(x).tolist() == [[not equal, True]]
    same_bits(layer(x), layer(x.astype("float32")))


def test_M8_embedding(rng):
    ids = np.array([[3, 0, 1], [0, 0, 2]])
    layer = rk.Embedding(5, 4, mask_zero=True)
    table = layer(ids)
    assert table.shape == (2, 3, 4)
    same_bits(table, layer.get_weights()[0][ids])
    same_bits(np.array(layer.compute_mask(ids), bool), ids != 0)
    assert rk.Embedding(5, 4).compute_mask(ids) is None
    model = rk.Sequential([rk.Embedding(5, 4, mask_zero=True), rk.GRU(3)])
    same_bits(model(ids)[1], model(np.array([[2, 0, 0]]))[0])


@pytest.mark.parametrize(
    "name", ["outer_memory", "SignatureCell", "two_speeds", "clockwork", "StackedRNNCells", "FoldedCell"]
)
@EAGER
def test_M9_states_of_any_shape_are_held_along_the_batch_axis(name, eager):
    layer, (x, constants) = layer_of(name), inputs(name, 4, 6)
    start = random_states(layer, 4)
    assert len({s.shape for s in flat(start)} | {(4, 17)}) > 1
    outputs, trajectory = layer.trajectory(x, mask=MASK, initial_state=start, constants=constants)
    ran = reference.run(NAMED[name].step(layer.cell, layer, constants or ()), x, flat(start), MASK)
    close([outputs, *flat(trajectory)], [ran.outputs, *ran.trajectory])
    output, *states = run(layer, x, mask=MASK, initial_state=start, constants=constants, eager=eager)
    close(states, [s[:, -1] for s in flat(trajectory)])


OWN_NAMES = (
    "k x t n p held output last state_0 state_1 next next_1 staged_x row_x used rows part barrier product spare v w c"
)


def test_M1_values_named_as_the_program_names_its_own(tmp_path):
    """Each value is kept, as the operand of the next product; the second state is never read."""
    before, lines = "x", []
    for name in OWN_NAMES.split():
        lines.append(f"    {name} = np.tanh({before} @ weights.U + h)")
        before = name
    text = ["import numpy as np", "import rnnkit as rk", "", "", '@rk.cell(states={"h": 7, "unread": 7},']
    text += ['         weights={"U": rk.Weight((7, 7), "orthogonal")})', "def named(x, states, weights):"]
    text += ["    h = states[0]", *lines, f"    return {before}, ({before}, {before})"]
    file = tmp_path / "named.py"
    file.write_text("\n".join(text) + "\n", encoding="utf-8")
    namespace: dict = {"__name__": "named"}
    exec(compile(file.read_text(encoding="utf-8"), str(file), "exec"), namespace)
    layer = rk.RNN(namespace["named"](), return_sequences=True, return_state=True, seed=1)
    x = np.random.default_rng(0).normal(size=(5, 6, 7))
    mask = np.arange(6) < np.array([[2], [6], [0], [3], [5]])  # rows in another order, x copied in it
    for m in (None, mask):
        with rk.eager():
            expected = flat(list(layer(x, mask=m)))
        for got, wanted in zip(flat(list(layer(x, mask=m))), expected, strict=True):
            close(got, wanted)
