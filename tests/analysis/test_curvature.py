"""Derivatives of whole calls: tangents against cotangents, the Hessian's symmetry, central differences, jax."""

from functools import partial

import numpy as np
import pytest
from cells_under_test import CELLS
from matrix import every, make_mask
from paper_loops import garch

import rnnkit as rk

TRACED = [case for case in CELLS if case.how == "traced"]
UNITS = {"narrow": 3, "wide": 20}


def call_of(case, rng, units, masked=True, backwards=False):
    """A layer of a case, every array that its call reads, and a mask."""
    layer = rk.RNN(case.make(units), return_sequences=True, go_backwards=backwards, dtype="float64", seed=2)
    x = rng.normal(size=(3, 6, 2))
    call = {"mask": make_mask("random", 3, 6, rng) if masked else None}
    if case.constants:
        call["constants"] = [rng.normal(size=(3, *shape)) for shape in case.constants]
    layer(x, **call)
    return layer, x, call


def unlike(array, rng):
    return rng.normal(size=np.shape(array))


@pytest.mark.parametrize("size", UNITS)
@pytest.mark.parametrize("case", every(2, TRACED), ids=lambda case: case.name)
def test_X26_tangents_and_cotangents_are_each_others_transpose(case, size, rng):
    """``<d, dy> = <pullback(d), direction>``, of all that a call reads, masked and backwards."""
    layer, x, call = call_of(case, rng, UNITS[size], backwards=size == "wide")
    weights = {name: unlike(array, rng) for name, array in layer.weights.items()}
    d_constants = [unlike(one, rng) for one in call.get("constants", [])] or None
    d_x = unlike(x, rng)
    y, dy = layer.jvp(x, d_x, weights, d_constants=d_constants, **call)
    same, pullback = layer.vjp(x, **call)
    np.testing.assert_allclose(y, same, rtol=1e-12, atol=1e-12)
    d = unlike(y, rng)
    found = pullback(d)
    total = np.vdot(found.x, d_x) + sum(np.vdot(found.weights[name], weights[name]) for name in weights)
    total += sum(np.vdot(a, b) for a, b in zip(found.constants or [], d_constants or [], strict=True))
    np.testing.assert_allclose(np.vdot(d, dy), total, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("by", [["kernel", "bias"], ["recurrent_kernel", "x"], ["initial_state"]])
def test_T13_repeated_products_with_the_hessian_are_computed_anew(by, rng):
    """A recording is made of small calls, and has the numbers of each."""
    layer = rk.GRU(3, dtype="float64", seed=0)
    layer(rng.normal(size=(2, 5, 2)))
    for i in range(9):
        if i == 7:
            layer.weights["kernel"] = 2 * layer.weights["kernel"]
        x, mask, states = rng.normal(size=(2, 5, 2)), rng.random((2, 5)) < 0.8, rng.normal(size=(2, 3))
        call = {"mask": mask, "initial_state": states}
        d = {n: rng.normal(size={"x": x, "initial_state": states, **layer.weights}[n].shape) for n in by}
        found, same = (rk.hvp(layer, x, d, by=by, of=of, **call) for of in (None, lambda y: 1.0 * y))
        for name in by:
            np.testing.assert_allclose(found[name], same[name], rtol=1e-9, atol=1e-12)
    (kind,) = layer._hvp_runners[tuple(by)]._kinds.values()
    assert kind.agreed == 2 and kind.refusal is None


@pytest.mark.parametrize("size", UNITS)
@pytest.mark.parametrize("case", every(5, TRACED), ids=lambda case: case.name)
def test_X28_several_directions_are_those_of_single_calls(case, size, rng):
    layer, x, call = call_of(case, rng, UNITS[size])
    weights = {name: rng.normal(size=(3, *one.shape)) for name, one in layer.weights.items()}
    d_x, d_constants = rng.normal(size=(3, *x.shape)), None
    if "constants" in call:
        d_constants = [rng.normal(size=(3, *one.shape)) for one in call["constants"]]
    y, dy = layer.jvp(x, d_x, weights, d_constants=d_constants, **call)
    for i in range(3):
        own = None if d_constants is None else [one[i] for one in d_constants]
        same, alone = layer.jvp(x, d_x[i], {name: one[i] for name, one in weights.items()}, d_constants=own, **call)
        np.testing.assert_allclose(y, same, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(dy[i], alone, rtol=1e-10, atol=1e-12)


def test_X28_several_directions_of_states_and_complex_numbers_under_dropout(rng):
    """All directions see the masks of one call."""
    layer = rk.LSTM(4, dropout=0.5, return_state=True, dtype="float64", seed=0)
    x, states = rng.normal(size=(2, 5, 3)), [rng.normal(size=(2, 4)) for _ in range(2)]
    layer(x)
    d_states = [rng.normal(size=(3, 2, 4)) for _ in range(2)]
    y, dy = layer.jvp(x, initial_state=states, training=True, d_initial_state=d_states)
    assert [one.shape for one in dy] == [(3, 2, 4)] * 3
    same, zero = layer.jvp(x, initial_state=states, training=True, d_initial_state=[one * 0 for one in d_states])
    assert not np.array_equal(same[0], y[0]) and not np.any(zero[0])
    one_mask, also = layer.jvp(x, np.stack([x, x]), training=True)
    np.testing.assert_array_equal(also[0][0], also[0][1])

    @rk.cell(states={"z": rk.State(2, "complex")}, weights={"w": rk.Weight((2,), dtype="complex")})
    def turning(x, states, weights):
        z = states.z * weights.w + x
        return z, z

    turn = rk.RNN(turning(), dtype="float64", seed=0)
    x = rng.normal(size=(2, 5, 2)) + 1j * rng.normal(size=(2, 5, 2))
    d = rng.normal(size=(3, 2, 5, 2)) + 1j * rng.normal(size=(3, 2, 5, 2))
    d_w = rng.normal(size=(3, 2)) + 1j * rng.normal(size=(3, 2))
    _, dy = turn.jvp(x, d, {"w": d_w})
    for i in range(3):
        np.testing.assert_allclose(dy[i], turn.jvp(x, d[i], {"w": d_w[i]})[1], rtol=1e-12)


@pytest.mark.parametrize("size", UNITS)
@pytest.mark.parametrize("case", every(3, TRACED), ids=lambda case: case.name)
def test_X26_the_hessian_is_symmetric_and_the_slope_of_the_gradient(case, size, rng):
    layer, x, call = call_of(case, rng, UNITS[size])
    names = [*layer.weights, "x"]
    values = {name: np.array(array) for name, array in layer.weights.items()} | {"x": x}
    one, other = ({name: unlike(values[name], rng) for name in names} for _ in range(2))
    along_one, along_other = (rk.hvp(layer, x, d, by=names, **call) for d in (one, other))
    first, second = (sum(np.vdot(a[n], b[n]) for n in names) for a, b in ((one, along_other), (other, along_one)))
    np.testing.assert_allclose(first, second, rtol=1e-8, atol=1e-8)

    def slope(step):
        for name in layer.weights:
            layer.weights[name] = values[name] + step * one[name]
        y, pullback = layer.vjp(x + step * one["x"], **call)
        found = pullback(np.ones_like(y))
        return sum(np.vdot(found.weights[n], other[n]) for n in layer.weights) + np.vdot(found.x, other["x"])

    if case.steady:
        difference = (slope(1e-5) - slope(-1e-5)) / 2e-5
        np.testing.assert_allclose(second, difference, rtol=1e-5, atol=1e-5)


@rk.loop
def newton(x, r=1.0, *, k, table):
    """A loop until it converges, elements at computed places, and a decision."""
    r = 0.5 * r + x * x + k
    rounds = 0
    while abs(r * r - x * x - k) > 1e-3 and rounds < 20:
        r = r - (r * r - x * x - k) / (2 * r)
        rounds += 1
    scale = table[rounds % 3]
    table[0] = r
    return (scale * r if x > 0.5 else table.sum() * r * k), r


GARCH = {"omega": 0.1, "alpha": 0.1, "gamma": 0.05, "beta": 0.7}


def differences(gradient, point, step=1e-5):
    """The Hessian by central differences of a gradient by one vector."""
    columns = [(gradient(point + step * e) - gradient(point - step * e)) / (2 * step) for e in np.eye(len(point))]
    return np.array(columns)


def test_X26_loops_have_hessians_by_their_parameters(rng):
    x, names = rng.normal(size=40), list(GARCH)

    def gradient(values):
        y, pull = garch.vjp(x, **dict(zip(names, values, strict=True)))
        return np.array([pull(np.ones_like(y)).parameters[name] for name in names])

    found = rk.hessian(garch, x, by=names, **GARCH)
    matrix = np.array([[found[a][b] for b in names] for a in names])
    np.testing.assert_allclose(matrix, differences(gradient, np.array([*GARCH.values()])), rtol=1e-6, atol=1e-6)
    assert rk.hessian(garch, x, by="beta", **GARCH) == pytest.approx(found["beta"]["beta"], rel=1e-12)
    along = rk.hvp(garch, x, {"omega": 0.0, "beta": 1.0}, by=["omega", "beta"], **GARCH)
    np.testing.assert_allclose([along["omega"], along["beta"]], matrix[[0, 3], 3], rtol=1e-12)


def test_X26_a_sequence_of_numbers_has_derivatives_of_its_shape(rng):
    x, d = rng.normal(size=9), rng.normal(size=9)
    whole, along = rk.hessian(garch, x, by="x", **GARCH), rk.hvp(garch, x, d, by="x", **GARCH)
    assert whole.shape == (9, 9) and rk.jacobian(garch, x, by="x", **GARCH).shape == (9,)
    np.testing.assert_allclose(whole @ d, along, rtol=1e-10)
    ends = [garch.vjp(x + e * d, **GARCH)[1](np.ones(9)).x for e in (1e-6, -1e-6)]
    np.testing.assert_allclose(along, (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-7)


def test_X26_rows_have_hessians_of_their_own(rng):
    x, beta = rng.normal(size=(3, 30, 1)), np.array([0.5, 0.6, 0.7])
    more = {**GARCH, "beta": beta}
    found = rk.hessian(garch, x, by=["beta", "omega", "x"], **more)
    assert {a: {b: found[a][b].shape for b in found[a]} for a in found} == {
        "beta": {"beta": (3,), "omega": (3,), "x": (3, 30, 1)},
        "omega": {"beta": (3,), "omega": (), "x": (3, 30, 1)},
        "x": {"beta": (3, 30, 1), "omega": (3, 30, 1), "x": (3, 30, 1, 30, 1)},
    }
    total = 0.0
    for row in range(3):
        alone = rk.hessian(garch, x[row], by=["beta", "omega", "x"], **{**GARCH, "beta": beta[row]})
        np.testing.assert_allclose(found["beta"]["beta"][row], alone["beta"]["beta"], rtol=1e-12)
        np.testing.assert_allclose(found["x"]["x"][row], alone["x"]["x"], rtol=1e-10, atol=1e-12)
        total += alone["omega"]["omega"]
    np.testing.assert_allclose(found["omega"]["omega"], total, rtol=1e-12)


def test_X26_loops_inside_a_step_and_computed_places_have_second_derivatives(rng):
    x, table = rng.normal(size=12) + 0.5, rng.normal(size=3)

    def gradient(values):
        y, pull = newton.vjp(x, k=values[0], table=values[1:])
        found = pull(np.ones_like(y)).parameters
        return np.array([found["k"], *found["table"]])

    found = rk.hessian(newton, x, by=["k", "table"], k=0.7, table=table)
    matrix = np.block([[np.reshape(found[a][b], (n, m)) for b, m in (("k", 1), ("table", 3))]
                       for a, n in (("k", 1), ("table", 3))])  # fmt: skip
    expected = differences(gradient, np.array([0.7, *table]))
    np.testing.assert_allclose(matrix, expected, rtol=1e-4, atol=1e-4)
    assert np.abs(expected).max() > 0.1


def test_X26_of_a_function_of_the_outputs(rng):
    """Its own curvature counts, of a loop without rows and of a layer."""
    x, names = rng.normal(size=25), ["omega", "beta"]
    of = lambda y: np.exp(0.1 * y).sum() + np.square(y[-1])

    def gradient(values):
        y, pull = garch.vjp(x, **GARCH | dict(zip(names, values, strict=True)))
        d = 0.1 * np.exp(0.1 * y)
        d[-1] += 2 * y[-1]
        return np.array([pull(d).parameters[name] for name in names])

    found = rk.hessian(garch, x, by=names, of=of, **GARCH)
    matrix = np.array([[found[a][b] for b in names] for a in names])
    np.testing.assert_allclose(matrix, differences(gradient, np.array([0.1, 0.7])), rtol=1e-6, atol=1e-6)

    layer = rk.GRU(3, dtype="float64", seed=1)
    x = rng.normal(size=(2, 5, 2))
    layer(x)
    bias = np.array(layer.weights["bias"])

    def slope(flat_bias):
        layer.weights["bias"] = flat_bias.reshape(bias.shape)
        y, pullback = layer.vjp(x)
        return pullback(4 * y**3).weights["bias"].ravel()

    expected = differences(slope, bias.ravel())
    layer.weights["bias"] = bias
    found = rk.hessian(layer, x, by="bias", of=lambda y: np.sum(y**4, axis=-1))
    np.testing.assert_allclose(found.reshape(expected.shape), expected, rtol=1e-5, atol=1e-7)


def test_X26_jacobians_of_whole_calls(rng):
    layer = rk.LSTM(2, return_sequences=True, dtype="float64", seed=1)
    x = rng.normal(size=(2, 4, 3))
    layer(x)
    y, pullback = layer.vjp(x)
    found = rk.jacobian(layer, x, by=["x", "bias"], of=lambda y: y[:, -1])
    assert found["x"].shape == (2, 2, 4, 3) and found["bias"].shape == (2, 2, 8)
    for row, unit in np.ndindex(2, 2):
        d = np.zeros_like(y)
        d[row, -1, unit] = 1
        np.testing.assert_allclose(found["x"][row, unit], pullback(d).x[row], rtol=1e-10, atol=1e-13)
        np.testing.assert_allclose(found["bias"][row, unit], pullback(d).weights["bias"], rtol=1e-10, atol=1e-13)
    whole = rk.jacobian(layer, x, by="kernel")
    np.testing.assert_allclose(whole, pullback(np.ones_like(y)).weights["kernel"], rtol=1e-10)
    everything = rk.jacobian(layer, x, by=["kernel", "x"], of=lambda y: y)  # in the other direction
    np.testing.assert_allclose(everything["kernel"][:, -1], rk.jacobian(layer, x, by="kernel", of=lambda y: y[:, -1]))
    np.testing.assert_allclose(everything["x"][:, -1], found["x"], rtol=1e-10, atol=1e-13)
    series = rng.normal(size=10)
    slopes = rk.jacobian(garch, series, by="beta", of=lambda y: y, **GARCH)
    assert slopes.shape == (10,)
    _, pull = garch.vjp(series, **GARCH)
    np.testing.assert_allclose(slopes.sum(), pull(np.ones(10)).parameters["beta"], rtol=1e-10)


@rk.cell(
    states={"h": 3},
    weights={
        "w": rk.Weight((3, 3), "orthogonal"),
        "v": rk.Weight((3, 3), "normal"),
        "heads": rk.Weight((3, 2, 2), "normal"),
        "thin": rk.Weight((3, 3), "normal", density=0.5),
        "b": rk.Weight((2, 3), "normal"),
        "large": rk.Weight((3, 100), "normal"),
    },
)
def weighted(x, states, weights):
    h = states.h @ np.linalg.inv(weights.w + weights.v @ weights.w) + np.concatenate([x, x[:, :1]], 1) @ weights.v
    h = h + np.einsum("bi,ijk,bk->bi", states.h, weights.heads, x) + states.h @ weights.thin
    h = np.tanh(0.5 * h * weights.b[0] + np.where(h > 0, weights.b[1], 0) + 0.01 * (h @ weights.large).sum(1)[:, None])
    return h, h


def test_X26_slopes_by_small_weights_are_those_of_each_cotangent(rng):
    """Small weights move in all directions at once, each in rows of its own; larger and sparse ones one by one."""
    layer = rk.RNN(weighted(), return_sequences=True, dtype="float64", seed=0)
    x, mask = rng.normal(size=(2, 60, 2)), rng.random((2, 60)) < 0.8
    y, pullback = layer.vjp(x, mask=mask)
    found = rk.jacobian(layer, x, by=list(layer.weights), of=lambda y: y * y, mask=mask)
    for _ in range(2):
        d = rng.normal(size=y.shape)
        wanted = pullback(2 * d * y).weights
        for name in wanted:
            np.testing.assert_allclose(np.tensordot(d, found[name], 3), wanted[name], rtol=1e-9, atol=1e-11)


def sequential(*layers):
    return rk.Sequential(list(layers), seed=0, dtype="float64")


def encoder_and_decoder():
    """States from another branch, of several steps and with a mask made by a layer."""
    source, target = rk.Input((5, 2), name="source", dtype="float64"), rk.Input((3, 2), name="target", dtype="float64")
    _, h, c = rk.LSTM(3, return_state=True, name="encoder", dtype="float64")(rk.Masking(dtype="float64")(source))
    y = rk.LSTM(3, return_sequences=True, name="decoder", dtype="float64")(target, initial_state=[h, c])
    return rk.Model([source, target], rk.Dense(1, dtype="float64")(y), seed=1)


def shared_branches():
    """A layer that is called twice, merged arrays, operations on symbolic tensors, and a model in a model."""
    x = rk.Input((4, 3), dtype="float64")
    shared = rk.GRU(2, return_sequences=True, dtype="float64")
    both = rk.Concatenate(dtype="float64")([shared(x), np.tanh(shared(x[:, ::-1]) * 2.0)])
    inner = sequential(rk.Dense(4, activation="tanh"), rk.LayerNormalization())
    y = rk.Add(dtype="float64")([inner(both), both])
    return rk.Model(x, rk.Dense(2, dtype="float64")(rk.Flatten(dtype="float64")(y)), seed=1)


def with_constants():
    @rk.cell(states={"h": 2}, weights={"w": rk.Weight((2,))})
    def step(x, states, weights, constants):
        h = np.tanh(states.h * weights.w + x * constants[0])
        return h, h

    x, scale = rk.Input((4, 2), name="x", dtype="float64"), rk.Input((2,), name="scale", dtype="float64")
    y = rk.RNN(step(), dtype="float64")(x, constants=[rk.Dense(2, dtype="float64")(scale)])
    return rk.Model([x, scale], y, seed=1)


def both_ways(mode):
    return sequential(rk.Bidirectional(rk.GRU(2, return_sequences=True), merge_mode=mode), rk.Bidirectional(rk.LSTM(1)))


MODELS = {
    "recurrent": (
        lambda: sequential(rk.LSTM(3, return_sequences=True), rk.Dense(4, activation="tanh"), rk.GRU(2), rk.Dense(1)),
        [(3, 5, 2)],
    ),
    "masking": (
        lambda: sequential(
            rk.Masking(), rk.GRU(2, return_sequences=True), rk.Dropout(0.5), rk.GlobalAveragePooling1D(), rk.Dense(1)
        ),
        [(2, 4, 2)],
    ),
    "windows": (
        lambda: sequential(
            rk.Conv1D(3, 2, activation="tanh"),
            rk.LayerNormalization(axis=1),
            rk.AveragePooling1D(2),
            rk.SimpleRNN(2, go_backwards=True),
        ),
        [(2, 5, 2)],
    ),
    "largest": (
        lambda: sequential(rk.GRU(2, return_sequences=True), rk.MaxPooling1D(2, 1), rk.GlobalMaxPooling1D()),
        [(2, 4, 2)],
    ),
    "in steps": (
        lambda: sequential(rk.TimeDistributed(sequential(rk.Dense(3, activation="tanh"), rk.Dense(2))), rk.GRU(2)),
        [(2, 4, 2)],
    ),
    "encoder": (encoder_and_decoder, [(2, 5, 2), (2, 3, 2)]),
    "shared": (shared_branches, [(2, 4, 3)]),
    "constants": (with_constants, [(2, 4, 2), (2, 2)]),
} | {mode: (partial(both_ways, mode), [(2, 4, 2)]) for mode in ("concat", "sum", "mul", "ave")}


@pytest.mark.parametrize("case", MODELS)
def test_X27_of_models(case, rng):
    """A loss of a model: its Hessian times a direction is the slope of its gradient, and symmetric."""
    make, shapes = MODELS[case]
    model, inputs = make(), [rng.normal(size=shape) for shape in shapes]
    if case in ("masking", "encoder"):
        inputs[0][0, 1] = 0.0
    several = len(shapes) > 1

    def packed(arrays):
        return list(arrays) if several else next(iter(arrays))

    x = packed(inputs)
    model(x)
    weights = {name: np.array(array) for name, array in model.weights.items()}
    given = dict(zip(model.input_names if several else ["x"], inputs, strict=True))
    names, of = [*weights, *given], lambda y: np.sum((y - 1) ** 2, axis=-1)
    one, other = ({n: unlike(array, rng) for n, array in (weights | given).items()} for _ in range(2))
    for name in given:  # steps that are masked stay masked
        one[name], other[name] = (d * (given[name] != 0) for d in (one[name], other[name]))

    def gradient(step):
        for name, array in weights.items():
            model.weights[name] = array + step * one[name]
        y, pullback = model.vjp(packed(given[name] + step * one[name] for name in given))
        found = pullback(2 * (y - 1))
        return found.weights | dict(zip(given, found.x if several else [found.x], strict=True))

    slopes = {n: (a - b) / 2e-5 for (n, a), b in zip(gradient(1e-5).items(), gradient(-1e-5).values(), strict=True)}
    gradient(0.0)
    along, back = (rk.hvp(model, x, d, by=names, of=of) for d in (one, other))
    for name in names:
        np.testing.assert_allclose(along[name], slopes[name], rtol=1e-5, atol=1e-7)
    first, second = (sum(np.vdot(a[n], b[n]) for n in names) for a, b in ((one, back), (other, along)))
    np.testing.assert_allclose(first, second, rtol=1e-8)

    name, last = next(iter(given)), list(weights)[-1]
    found = rk.jacobian(model, x, by=[last, name], of=lambda y: y)
    y, pullback = model.vjp(x)
    d = unlike(y, rng)
    pulled = pullback(d)
    np.testing.assert_allclose(np.tensordot(d, found[last], d.ndim), pulled.weights[last], rtol=1e-9, atol=1e-12)
    by_row = [np.tensordot(own, each, d.ndim - 1) for own, each in zip(d, found[name], strict=True)]
    np.testing.assert_allclose(by_row, pulled.x[0] if several else pulled.x, rtol=1e-9, atol=1e-12)
    hessian = rk.hessian(model, x, by=[last, name], of=of)
    assert hessian[last][last].shape == 2 * weights[last].shape
    times = [np.tensordot(own, h, own.ndim) for own, h in zip(one[name], hessian[name][name], strict=True)]
    np.testing.assert_allclose(times, rk.hvp(model, x, one[name], by=name, of=of), rtol=1e-8, atol=1e-10)


def test_X27_of_ids_and_a_mask(rng):
    """The table of an embedding has second derivatives; steps are left out that its mask or a given one leaves out."""
    model = sequential(rk.Embedding(5, 2, mask_zero=True), rk.GRU(2), rk.Dense(1))
    ids = np.array([[1, 2, 2, 0], [4, 1, 0, 0]])
    model(ids)
    table = np.array(model.weights["0/embeddings"])
    d, of = unlike(table, rng), lambda y: np.sum(y * y, axis=-1)

    def gradient(step):
        model.weights["0/embeddings"] = table + step * d
        y, pullback = model.vjp(ids)
        return np.asarray(pullback(2 * y).weights["0/embeddings"])

    difference = (gradient(1e-5) - gradient(-1e-5)) / 2e-5
    model.weights["0/embeddings"] = table
    np.testing.assert_allclose(rk.hvp(model, ids, d, by="0/embeddings", of=of), difference, rtol=1e-6, atol=1e-8)
    jacobian = rk.jacobian(model, ids, by="0/embeddings", of=lambda y: y)
    np.testing.assert_allclose(jacobian.sum(axis=(0, 1)), rk.jacobian(model, ids, by="0/embeddings"), rtol=1e-10)
    with pytest.raises(ValueError, match="expected by among 0/embeddings, .*, got 'x'"):
        rk.hessian(model, ids, by="x")
    plain = sequential(rk.GRU(2), rk.Dense(1))
    x, mask = rng.normal(size=(2, 4, 2)), np.array([[1, 1, 0, 0], [1, 1, 1, 1]])
    plain(x)
    whole = rk.hessian(plain, x[1:], by="1/bias", of=of) + rk.hessian(plain, x[:1, :2], by="1/bias", of=of)
    np.testing.assert_allclose(rk.hessian(plain, x, by="1/bias", of=of, mask=mask), whole, rtol=1e-10)


def test_X27_models_with_layers_without_tangents_are_refused_by_name(rng):
    x = rng.normal(size=(2, 4, 2))
    for layer in (rk.BatchNormalization(), rk.PReLU()):
        model = sequential(rk.GRU(2, return_sequences=True), layer, rk.GRU(1))
        model(x)
        with pytest.raises(TypeError, match=f"got {type(layer).__name__}.*no tangent is known"):
            rk.hvp(model, x, x, by="x")
    model = sequential(rk.GRU(2), rk.Dense(1))
    model(x)
    with pytest.raises(TypeError, match="expected mask beside x for a model, got 'training'"):
        rk.hvp(model, x, x, by="x", training=True)
    given = rk.Input((4, 2), dtype="float64")
    two = rk.Model(given, [rk.GRU(2, name="a", dtype="float64")(given), rk.GRU(2, name="b", dtype="float64")(given)])
    with pytest.raises(TypeError, match="a model with one output for derivatives, got a, b"):
        rk.hvp(two, x, x, by="x")


def test_X26_rules_of_ones_own(rng):
    """A rule element by element is taken for tangents as well, and differentiated; another one is refused."""

    @rk.custom_gradient
    def soft(v):
        return np.where(v > 0, 1.0, 0.0), lambda d: d * np.exp(-v * v)

    @rk.custom_gradient
    def mixing(v):
        return np.tanh(v), lambda d: np.sum(d, axis=-1, keepdims=True) * np.ones_like(v)

    def layer_of(function):
        @rk.cell(states={"h": 2}, weights={"w": rk.Weight((2,), "ones")})
        def cell(x, states, weights):
            h = function(states.h * weights.w + x)
            return h, h

        layer = rk.RNN(cell(), dtype="float64")
        layer(x)
        return layer

    x = rng.normal(size=(1, 1, 2))
    state = rng.normal(size=(1, 2))
    z = state + x[:, 0]
    found = rk.hessian(layer_of(soft), x, by="initial_state", initial_state=[state])
    np.testing.assert_allclose(found[0], np.diag((-2 * z * np.exp(-z * z))[0]), rtol=1e-10)
    with pytest.raises(ValueError, match="element by element"):
        rk.hvp(layer_of(mixing), x, np.ones(2), by="w")


@pytest.mark.parametrize("cell", ["LSTM", "GRU", "SimpleRNN"])
def test_hessians_are_those_of_jax(cell, rng):
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jnp = jax.numpy
    layer = {"LSTM": rk.LSTM, "GRU": rk.GRU, "SimpleRNN": rk.SimpleRNN}[cell](2, dtype="float64", seed=0)
    x = rng.normal(size=(2, 5, 3))
    layer(x)
    weights = {name: np.array(array) for name, array in layer.weights.items()}

    def advance(state, x, w):
        if cell == "SimpleRNN":
            h = jnp.tanh(x @ w["kernel"] + state[0] @ w["recurrent_kernel"] + w["bias"])
            return (h,), h
        if cell == "LSTM":
            h, c = state
            i, f, g, o = jnp.split(x @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"], 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
            return (h, c), h
        (h,) = state
        own = jnp.split(x @ w["kernel"] + w["bias"][0], 3, -1)
        back = jnp.split(h @ w["recurrent_kernel"] + w["bias"][1], 3, -1)
        z, r = (jax.nn.sigmoid(a + b) for a, b in zip(own[:2], back[:2], strict=True))
        h = z * h + (1 - z) * jnp.tanh(own[2] + r * back[2])
        return (h,), h

    def total(w):
        start = tuple(jnp.zeros((2, 2)) for _ in range(2 if cell == "LSTM" else 1))
        return jax.lax.scan(lambda s, x: advance(s, x, w), start, x.swapaxes(0, 1))[1][-1].sum()

    expected, found = jax.hessian(total)(weights), rk.hessian(layer, x, by=list(weights))
    for a in weights:
        for b in weights:
            np.testing.assert_allclose(found[a][b], expected[a][b], rtol=1e-9, atol=1e-12)


def test_X26_what_does_not_fit_is_an_error_that_says_so(rng):
    layer = rk.LSTM(2, seed=0)
    x = rng.normal(size=(2, 4, 3)).astype("float32")
    with pytest.raises(ValueError, match="built"):
        rk.hessian(layer, x, by="bias")
    y = layer(x)
    for refused, told in (
        (lambda: rk.hessian(layer, x, by="biases"), "expected by among kernel, recurrent_kernel, bias, x"),
        (lambda: rk.hvp(layer, x, np.ones(3), by="bias"), r"direction of bias of shape \(8,\)"),
        (lambda: rk.hvp(layer, x, np.ones(8), by=["bias"]), "a direction for each of bias"),
        (lambda: layer.jvp(x, np.ones((2, 4))), "tangent of shape"),
        (lambda: layer.jvp(x, weights={"b": 1.0}), "weights among kernel"),
        (lambda: layer.jvp(x, np.stack([x, x]), {"bias": layer.weights["bias"]}), "with an axis of directions"),
        (lambda: layer.jvp(x, np.stack([x, x]), {"bias": layer.weights["bias"][None]}), "as many directions"),
        (lambda: rk.LSTM(2, stateful=True).jvp(x, x), "states kept between calls"),
    ):
        with pytest.raises(ValueError, match=told):
            refused()
    with pytest.raises(TypeError, match="no reverse for a derivative of 'garch'"):
        rk.hessian(garch, np.ones(3), by="beta", reverse=True, **GARCH)
    with pytest.raises(TypeError, match="recurrent layer, a loop"):
        rk.hessian(rk.Dense(2), x, by="kernel")
    np.testing.assert_array_equal(layer(x), y)


@rk.cell(states={"h": 1}, weights={"a": rk.Weight((1,)), "kernel": rk.Weight(("features", 2)), "b": rk.Weight((2,))})
def few(x, states, weights, constants):
    h = np.tanh(states.h * weights.a + (np.sin(x @ weights.kernel) * weights.b).sum(axis=-1, keepdims=True))
    return h + constants[0], h


@pytest.mark.parametrize("of", [None, lambda y: np.exp(y)])
def test_X26_a_narrow_step_has_all_directions_of_its_weights_in_one_call(of, rng, monkeypatch):
    layer = rk.RNN(few(), dtype="float64", seed=0, return_sequences=True)
    x, mask, constants = rng.normal(size=(3, 9, 2)), rng.random((3, 9)) < 0.8, [rng.normal(size=(3, 1))]
    given = {"mask": mask, "initial_state": [rng.normal(size=(3, 1))], "constants": constants}
    layer(x, **given)
    names, calls, run = ["a", "kernel", "b", "initial_state"], [], layer._run
    wanted = {}
    for name in names[:3]:
        for unit in np.eye(layer.weights[name].size).reshape(-1, *layer.weights[name].shape):
            direction = {n: np.zeros_like(w) for n, w in layer.weights.items()} | {name: unit}
            direction["initial_state"] = np.zeros((3, 1))
            wanted.setdefault(name, []).append(rk.hvp(layer, x, direction, by=names, of=of, **given))
    monkeypatch.setattr(layer, "_run", lambda *a, **k: calls.append(k) or run(*a, **k))
    found = rk.hessian(layer, x, by=names[:3], of=of, **given)
    assert len(calls) == 1
    both = rk.hessian(layer, x, by=names, of=of, **given)
    for a in names[:3]:
        for b in names:
            columns = np.stack([one[b] for one in wanted[a]])
            np.testing.assert_allclose(both[a][b].reshape(columns.shape), columns, 1e-11, 1e-13)
            if b != "initial_state":
                np.testing.assert_allclose(found[a][b].reshape(columns.shape), columns, 1e-11, 1e-13)


@rk.cell(states={"h": "features"}, weights={"w": rk.Weight(("features",), "ones")})
def steep(x, states, weights):
    h = np.where(x > 0, np.sqrt(1 + states.h * weights.w), states.h * weights.w) + np.sqrt(2 + states.h * weights.w)
    return h, h


def test_X26_a_tangent_of_zero_has_a_derivative(rng):
    """Before the first step, states are 0, and so is their product's tangent by the other factor."""
    layer = rk.RNN(steep(), dtype="float64")
    x, start = np.array([[[1.0, -1.0]]]), [np.zeros((1, 2))]
    layer(x)
    found = rk.hessian(layer, x, by=["w", "initial_state"], initial_state=start)["initial_state"]["w"]
    slopes = [0.5 + 0.5 / np.sqrt(2), 1 + 0.5 / np.sqrt(2)]  # d²f/dh dw = f' where h is 0
    np.testing.assert_allclose(found[0], np.diag(slopes), rtol=1e-12)
    root = rk.RNN(rk.cell(states={"h": "features"})(lambda x, states, weights: (np.sqrt(states.h), states.h + x))())
    _, along = root.jvp(x, x, initial_state=start)
    np.testing.assert_array_equal(along, np.zeros((1, 2)))  # 0 times an infinite slope


@pytest.mark.parametrize("shape", [(0, 3, 2), (2, 0, 2)])
def test_S5_second_derivatives_without_rows_or_steps(shape):
    layer, x = rk.GRU(3, dtype="float64", seed=0), np.ones(shape)
    layer.build((None, None, 2))
    assert rk.hessian(layer, x, "x").shape == (shape[0], *shape[1:], *shape[1:])
    np.testing.assert_array_equal(rk.hessian(layer, x, "bias"), np.zeros((2, 9, 2, 9)))
    assert rk.hvp(layer, x, x, "x").shape == rk.jacobian(layer, x, by="x").shape == shape
