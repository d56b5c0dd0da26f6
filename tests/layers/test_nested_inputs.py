"""Cells whose inputs, outputs and states are nested arrays: the loop in plain NumPy, masks, slopes, models, files."""

import copy
import json
import pickle
from collections import namedtuple

import numpy as np
import pytest
from matrix import MASKS, label, make_mask, pairwise, same_bits

import rnnkit as rk
from rnnkit.steps.nesting import Nesting, leaves_of, mapped, shapes_mapped

B, T = 4, 6
Pair = namedtuple("Pair", ["first", "second"])


class TwoParts(rk.Cell):
    """Two recurrences side by side, of vectors and of matrices, each with a part of the input of its own."""

    def __init__(self, size, rows, columns, put_out="tuple"):
        super().__init__()
        self.sizes, self.put_out = (size, rows, columns), put_out
        self.state_size = [(size,), (rows, columns)]

    def build(self, input_shape):
        first, second = leaves_of_shapes(input_shape)
        size, rows, columns = self.sizes
        self.kernel = self.add_weight((first[-1], size), "glorot_uniform", "kernel")
        self.tensor = self.add_weight((*second[1:], rows, columns), "glorot_uniform", "tensor")
        self.built = True

    def call(self, inputs, states):
        first, second = leaves_of(inputs)
        vector, matrix = states
        vector = np.tanh(0.6 * vector + first @ self.kernel)
        matrix = np.tanh(0.5 * matrix + np.einsum("bij,ijkl->bkl", second, self.tensor))
        out = vector + 1, 2 * matrix
        if self.put_out != "tuple":
            out = {"dict": {"v": out[0], "m": out[1]}, "list": [out[0], [out[1]]], "array": out[0]}[self.put_out]
        return out, [vector, matrix]

    def get_config(self):
        return dict(zip(("size", "rows", "columns"), self.sizes, strict=True)) | {"put_out": self.put_out}


def leaves_of_shapes(shapes):
    """Nested shapes, flat."""
    found = []
    shapes_mapped(shapes, found.append)
    return found


FACTORS = {
    "nesting": ("list", "tuple", "dict", "deep", "named"),
    "put_out": ("tuple", "dict", "list", "array"),
    "mask": MASKS,
    "backwards": (False, True),
    "sequences": (True, False),
    "state": (True, False),
    "zero": (False, True),
    "dtype": ("float64", "float32"),
}
ROWS = pairwise(FACTORS)


def nested(kind, first, second):
    return {
        "list": [first, second],
        "tuple": (first, second),
        "dict": {"a": first, "b": second},
        "deep": [first, {"inside": (second,)}],
        "named": Pair(first, second),
    }[kind]


def made(row, **options):
    names = {"sequences": "return_sequences", "state": "return_state", "backwards": "go_backwards"}
    flags = {name: row[short] for short, name in names.items()}
    cell = TwoParts(3, 2, 4, row["put_out"])
    return rk.RNN(cell, zero_output_for_mask=row["zero"], dtype=row["dtype"], seed=1, **flags | options)


def arrays(rng, dtype="float64"):
    return rng.normal(size=(B, T, 5)).astype(dtype), rng.normal(size=(B, T, 3, 2)).astype(dtype)


def loop(row, layer, x, mask, start):
    """The layer's results, flat, row by row in plain NumPy."""
    cell, count = layer.cell, 1 if row["put_out"] == "array" else 2
    results = []
    for b in range(B):
        states, held, outputs = [one[b : b + 1] for one in start], None, []
        for t in range(T)[:: -1 if row["backwards"] else 1]:
            with np.errstate(all="ignore"):
                output, new = cell.call([one[b : b + 1, t] for one in x], states)
            output = leaves_of(output)
            held = [np.zeros_like(one) for one in output] if held is None else held
            if mask is None or mask[b, t]:
                states, held, shown = new, output, output
            else:
                shown = [0 * one for one in held] if row["zero"] else held
            outputs.append(shown)
        own = [np.stack(one, axis=1) for one in zip(*outputs, strict=True)] if row["sequences"] else held
        results.append([*own, *(states if row["state"] else ())])
    found = [np.concatenate(one) for one in zip(*results, strict=True)]
    assert len(found) == count + 2 * row["state"]
    return found


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_C14_the_loop_and_its_slopes(row, rng):
    x, mask = arrays(rng, row["dtype"]), make_mask(row["mask"], B, T, rng)
    layer, given = made(row), nested(row["nesting"], *x)
    start = [rng.normal(size=(B, 3)), rng.normal(size=(B, 2, 4))]
    found = layer(given, initial_state=start, mask=mask)
    tolerance = 1e-12 if row["dtype"] == "float64" else 1e-5
    for one, other in zip(leaves_of(found), loop(row, layer, x, mask, start), strict=True):
        assert one.dtype == row["dtype"]
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    shapes = layer.compute_output_shape(mapped(given, lambda one: one.shape))
    assert leaves_of_shapes(shapes) == [one.shape for one in leaves_of(found)]
    outputs, pullback = layer.vjp(given, initial_state=start, mask=mask)
    same_bits(leaves_of(outputs), leaves_of(found))
    gradient = pullback(mapped(outputs, lambda one: rng.normal(size=one.shape)))
    assert type(gradient.x) is type(given)
    assert [one.shape for one in leaves_of(gradient.x)] == [one.shape for one in x]
    if row["nesting"] in ("list", "tuple", "dict"):
        check = rk.gradcheck(layer, given, initial_state=start, mask=mask)
        assert check, check
        places = ["x['a']", "x['b']"] if row["nesting"] == "dict" else ["x[0]", "x[1]"]
        assert [one.name for one in check.arrays[:2]] == places


@pytest.mark.parametrize("put_out", ["tuple", "dict"])
def test_M3_L4_what_a_mask_leaves_out_reaches_nothing(put_out, rng):
    layer = made({**dict.fromkeys(FACTORS, False), "put_out": put_out, "dtype": "float64"})
    x, mask = arrays(rng), make_mask("random", B, T, rng)
    before, pull = layer.vjp(x, mask=mask)
    spoiled = [np.where(mask.reshape(B, T, *(1,) * (one.ndim - 2)), one, np.nan) for one in x]
    after, pull_spoiled = layer.vjp(tuple(spoiled), mask=mask)
    same_bits(leaves_of(before), leaves_of(after))
    d = mapped(before, np.ones_like)
    same_bits(list(pull(d).weights.values()), list(pull_spoiled(d).weights.values()))


def test_L1_D4_calls_go_on_where_the_last_one_ended(rng):
    row = {**dict.fromkeys(FACTORS, False), "put_out": "tuple", "dtype": "float64", "sequences": True}
    whole, parts, x = made(row), made(row, stateful=True), arrays(rng)
    expected = whole(x)
    found = [parts([one[:, i : i + 2] for one in x]) for i in (0, 2, 4)]
    same_bits([np.concatenate(one, axis=1) for one in zip(*found, strict=True)], list(expected))
    assert [one.shape for one in parts.states] == [(B, 3), (B, 2, 4)]


def test_X1_X2_trajectories_and_eager_steps(rng):
    row = {**dict.fromkeys(FACTORS, False), "put_out": "list", "dtype": "float64"}
    layer, x = made(row), arrays(rng)
    outputs, states = layer.trajectory(x)
    with rk.eager():
        again, _ = layer.trajectory(x)
    assert outputs[0].shape == (B, T, 3) and outputs[1][0].shape == (B, T, 2, 4)
    assert [one.shape for one in states] == [(B, T, 3), (B, T, 2, 4)]
    for one, other in zip(leaves_of(outputs), leaves_of(again), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_T13_S4_calls_are_repeated_and_results_are_the_caller_s(rng):
    row = {**dict.fromkeys(FACTORS, False), "put_out": "tuple", "dtype": "float64", "state": True}
    layer, other = made(row), made(row)
    for _ in range(7):
        x = arrays(rng)
        expected = other(Pair(*x))  # calls with a named tuple are never repeated
        found, pullback = layer.vjp(list(x))
        same_bits(leaves_of(layer(list(x))), leaves_of(expected))
        same_bits(leaves_of(found), leaves_of(expected))
        gradient = pullback([*found])
        same_bits(gradient.x, list(other.vjp(Pair(*x))[1]([*found]).x))
        for one in leaves_of(found):
            one[...] = 0


def model(row=None):
    first, second = rk.Input((None, 5), name="first"), rk.Input((None, 3, 2), name="second")
    layer = made(row or {**dict.fromkeys(FACTORS, False), "put_out": "tuple", "dtype": None, "sequences": True})
    steps, matrices = layer([rk.Masking()(first), second])
    last = made({**dict.fromkeys(FACTORS, False), "put_out": "array", "dtype": None})({"b": steps, "a": matrices})
    return rk.Model([first, second], [rk.Dense(1, seed=3, name="y")(last), matrices], seed=0)


def test_X12_a_model_hands_nested_arrays_and_the_first_mask_on(rng):
    x = arrays(rng, "float32")
    x[0][1:, 4:] = 0
    found = model()
    mask = (x[0] != 0).any(axis=-1)
    _, layer, last, dense = found.layers
    steps, matrices = layer(list(x), mask=mask)
    same_bits(found(list(x)), [dense(last({"b": steps, "a": matrices}, mask=mask)), matrices])
    assert found.compute_output_shape([(None, T, 5), (None, T, 3, 2)]) == [(None, 1), (None, T, 2, 4)]
    check = rk.gradcheck(found, list(arrays(rng)))  # without zeros: a mask that comes or goes is a jump
    assert check, check


def test_a_model_of_nested_arrays_is_trained_predicted_and_copied(rng, tmp_path):
    x = [rng.normal(size=(24, *one.shape[1:])).astype("float32") for one in arrays(rng)]
    y = [x[0].mean(axis=(1, 2)), x[1].sum(axis=(2, 3), keepdims=True) * np.ones((1, 1, 2, 4), "float32")]

    def fitted():
        one = model()
        one.compile("adam", "mse")
        return one, one.fit({"first": x[0], "second": x[1]}, y, batch_size=6, epochs=3, verbose=0)

    (one, history), (other, _) = fitted(), fitted()
    assert history.history["loss"][-1] < history.history["loss"][0]
    same_bits(one.get_weights(), other.get_weights())
    expected = one.predict(x)
    one.save(tmp_path / "model.npz")
    loaded = rk.load_model(tmp_path / "model.npz", custom_objects={"TwoParts": TwoParts})
    config = json.loads(json.dumps(one.get_config()))
    configured = rk.Model.from_config(config, custom_objects={"TwoParts": TwoParts})
    configured.set_weights(one.get_weights())
    for again in (loaded, configured, copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        same_bits(again.predict(x), expected)


@pytest.mark.parametrize("nesting", ["list", "tuple", "dict", "deep", "named"])
def test_T14_a_layer_in_a_file(nesting, rng, tmp_path):
    layer = made({**dict.fromkeys(FACTORS, False), "put_out": "tuple", "dtype": "float64"})
    x = nested(nesting, *arrays(rng))
    expected = layer(x)
    layer.save(tmp_path / "layer.npz")
    again = rk.load_model(tmp_path / "layer.npz", custom_objects={"TwoParts": TwoParts})
    same_bits(list(again(x)), list(expected))
    same_bits(list(pickle.loads(pickle.dumps(layer))(x)), list(expected))


def test_an_object_of_keras_s_contract_may_take_nested_arrays(rng):
    class Sums:
        state_size = 5

        def call(self, inputs, states):
            new = states[0] + inputs["a"] * inputs["b"].sum(axis=(1, 2))[:, None]
            return {"sum": new, "both": [new[:, :1], inputs["b"]]}, [new]

    first, second = arrays(rng)
    found = rk.RNN(Sums(), return_sequences=True)({"b": second, "a": first})
    expected = np.cumsum(first * second.sum(axis=(2, 3))[..., None], axis=1)
    np.testing.assert_allclose(found["sum"], expected, rtol=1e-12)
    np.testing.assert_array_equal(found["both"][1], second)


class Nestless(rk.Cell):
    state_size = 2

    def call(self, inputs, states):
        first, _ = inputs
        return (states[0], first), states


class Deciding(Nestless):
    def call(self, inputs, states):
        first, _ = inputs
        if first[0, 0] > 0:
            return (states[0], first), states
        return (states[0], first + 1), states


FIRST, SECOND = np.ones((2, 3, 4)), np.ones((2, 3, 2, 2))


def built():
    layer = rk.RNN(Nestless())
    layer([FIRST, SECOND])
    return layer


def onnx_of(x):
    pytest.importorskip("onnx")
    layer = rk.RNN(Nestless())
    layer(x)
    rk.onnx.export(layer, "never.onnx")


REFUSED = {
    "one array": (lambda: built()(FIRST), r"x as a list of 2, got an array of shape \(2, 3, 4\)"),
    "E1 three": (lambda: built()([FIRST, SECOND, FIRST]), "x as a list of 2, got a list of 3"),
    "E2 features": (lambda: built()([FIRST, FIRST]), r"one \(2, 3, 2, 2\), got \(2, 3, 4\)"),
    "steps": (lambda: built()([FIRST, SECOND[:, :2]]), r"same rows and steps, one \(2, 3, 2, 2\)"),
    "dict": (lambda: built()({"a": FIRST, "b": SECOND}), "x as a list of 2, got a dict of 'a', 'b'"),
    "E4 mask": (lambda: built()([FIRST, SECOND], mask=np.ones((2, 4))), "mask of shape"),
    "rank": (lambda: rk.RNN(Nestless())([FIRST, FIRST[0]]), "an array of x of shape"),
    "built-in": (lambda: rk.LSTM(3)({"a": FIRST}), "."),
    "symbolic built-in": (lambda: rk.LSTM(3)([rk.Input((3, 4)), rk.Input((3, 4))]), "expected a shape"),
    "symbolic features": (
        lambda: rk.RNN(Nestless())([rk.Input((3, 4)), rk.Input((3, None))]),
        "expected known features",
    ),
    "not traced": (lambda: rk.RNN(Deciding())([FIRST, SECOND]), "can't be traced, as a step with nested inputs"),
    "stream": (lambda: built().stream(), "takes several arrays"),
    "X15 to ONNX": (lambda: onnx_of([FIRST, SECOND]), "several arrays at each step"),
    "to C": (lambda: rk.export_c(built(), "never"), "in C, got|several arrays"),
    "cotangents": (lambda: built().vjp([FIRST, SECOND])[1](np.ones((2, 4))), "d_outputs nested"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_errors(what):
    call, told = REFUSED[what]
    with pytest.raises((ValueError, TypeError), match=told):
        call()


def test_a_list_of_arrays_is_one_array_for_a_cell_that_takes_one(rng):
    x = rng.normal(size=(2, 3, 4))
    layer = rk.LSTM(3, seed=0)
    same_bits([layer(list(x))], [layer(x)])


def test_a_wrong_output_size_is_refused():
    class Sized(Nestless):
        output_size = (2,), (3,)

    with pytest.raises(ValueError, match=r"expected output_size \(\(2,\), \(3,\)\) of 'Sized', got \[\(2,\), \(4,\)\]"):
        rk.RNN(Sized()).compute_output_shape([FIRST.shape, SECOND.shape])


def test_nesting_parts_what_it_joined(rng):
    arrays = [rng.normal(size=(2, 3, *shape)) for shape in ((4,), (), (2, 2), (0,))]
    tree = {"a": (arrays[0], arrays[1]), "b": [arrays[2], {"c": arrays[3]}]}
    nesting = Nesting(tree, 2)
    joined = nesting.joined(nesting.leaves(tree, "x"), 2)
    assert joined.shape == (2, 3, nesting.size) == (2, 3, 9)
    same_bits(leaves_of(nesting.packed(nesting.parted(joined, 2))), arrays)
    assert nesting == Nesting.of_shapes({"a": [(1, 1, 4), (1, 1)], "b": ((1, 1, 2, 2), {"c": (1, 1, 0)})}, 2)
    assert nesting != Nesting.of_shapes({"a": [(1, 1, 4), (1, 1)], "b": ((1, 1, 2, 2), {"d": (1, 1, 0)})}, 2)
