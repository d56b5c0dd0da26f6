"""`rk.custom_gradient` and `rk.stop_gradient`: in steps of all forms, layers, losses and models; their errors."""

import numpy as np
import pytest

import rnnkit as rk


@rk.custom_gradient
def spike(v):
    return np.where(v > 0, 1.0, 0.0), lambda d: d / (1 + 10 * np.abs(v)) ** 2


@rk.custom_gradient
def gated(a, b, bias):
    """Two values, of which a rule clips a cotangent: nothing that a derivative would do."""
    s = np.tanh(a) * b

    def rule(d_first, d_second):
        return np.clip(d_first * b, -0.5, 0.5), d_first * s + d_second, d_first

    return (s, 2 * b + bias), rule


SPEC = {"kernel": rk.Weight(("features", "units")), "bias": rk.Weight(("units",), "uniform")}


@rk.cell(states={"v": "units", "s": "units"}, weights=SPEC)
def spiking(x, states, weights):
    v = 0.9 * states.v * (1 - rk.stop_gradient(states.s)) + x @ weights.kernel
    s = spike(v - weights.bias - 1)
    first, second = gated(v, s, weights.bias)
    return s + first + second, (v, s)


@rk.cell(states={"v": "units", "s": "units"}, weights=SPEC, per_row=True)
def spiking_row(x, states, weights):
    v = 0.9 * states.v * (1 - rk.stop_gradient(states.s)) + x @ weights.kernel
    s = spike(v - weights.bias - 1)
    first, second = gated(v, s, weights.bias)
    return s + first + second, (v, s)


def by_hand(x, mask, kernel, bias, d_outputs):
    """Outputs of `spiking`, and the gradients of its weights and of x, for whole sequences."""
    rows, steps, _ = x.shape
    units = len(bias)
    v, s, held = np.zeros((rows, units)), np.zeros((rows, units)), np.zeros((rows, units))
    seen, outputs = [], []
    for t in range(steps):
        used = mask[:, t, None]
        new = 0.9 * v * (1 - s) + x[:, t] @ kernel
        fired = np.where(new - bias - 1 > 0, 1.0, 0.0)
        held = np.where(used, fired + np.tanh(new) * fired + 2 * fired + bias, held)
        seen.append((s, new, fired))
        v, s = np.where(used, new, v), np.where(used, fired, s)
        outputs.append(held)
    d_x, d_kernel, d_bias = np.zeros_like(x), np.zeros_like(kernel), np.zeros_like(bias)
    d_v, d_held = np.zeros((rows, units)), np.zeros((rows, units))
    for t in reversed(range(steps)):
        before, new, fired = seen[t]
        used = mask[:, t, None]
        d_held = d_held + d_outputs[:, t]
        d = np.where(used, d_held, 0.0)
        d_held = np.where(used, 0.0, d_held)
        d_new = np.where(used, d_v, 0.0) + np.clip(d * fired, -0.5, 0.5)
        d_fired = d + d * np.tanh(new) * fired + d
        through = d_fired / (1 + 10 * np.abs(new - bias - 1)) ** 2
        d_new = d_new + through
        d_bias += (d - through).sum(axis=0)
        d_x[:, t] = d_new @ kernel.T
        d_kernel += x[:, t].T @ d_new
        d_v = np.where(used, 0.9 * d_new * (1 - before), d_v)
    return np.stack(outputs, 1), d_x, d_kernel, d_bias


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize(("cell", "units"), [(spiking, 3), (spiking, 40), (spiking_row, 3)])
def test_X25_gradients_go_back_by_the_rules(cell, units, masked, backwards, rng):
    x, d = 2 * rng.normal(size=(3, 9, 4)), rng.normal(size=(3, 9, units))
    mask = rng.random((3, 9)) < 0.7 if masked else None
    layer = rk.RNN(cell(units), return_sequences=True, go_backwards=backwards, dtype="float64", seed=1)
    y, pullback = layer.vjp(x, mask=mask)
    turn = slice(None, None, -1 if backwards else 1)
    used = np.ones((3, 9), bool) if mask is None else mask[:, turn]
    expected, d_x, d_kernel, d_bias = by_hand(x[:, turn], used, *map(np.asarray, layer.get_weights()), d)
    found = pullback(d)
    np.testing.assert_array_equal(y, layer(x, mask=mask))
    np.testing.assert_allclose(y, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.x, d_x[:, turn], rtol=1e-9, atol=1e-12)
    for name, wanted in (("kernel", d_kernel), ("bias", d_bias)):
        np.testing.assert_allclose(found.weights[name], wanted, rtol=1e-9, atol=1e-12)


def test_a_rule_that_is_the_derivative_is_a_gradient():
    @rk.custom_gradient
    def scaled(a, weight, number):
        return np.tanh(a * weight) * number, lambda d: (
            d * number * weight * (1 - np.tanh(a * weight) ** 2),
            d * number * a * (1 - np.tanh(a * weight) ** 2),
            None,
        )

    @rk.cell(states={"h": "units"}, weights={"scale": rk.Weight(("units",), "uniform")})
    def cell(x, states, weights):
        h = scaled(states.h + x, weights.scale, 0.5)
        return h, h

    assert rk.gradcheck(cell(2), (3, 6, 2))


def test_what_a_function_gives_is_used_as_if_there_were_no_rule(rng):
    """Nothing of a rule is in the programs of calls, in either form of them."""

    @rk.cell(states={"v": "units", "s": "units"}, weights=SPEC)
    def plain(x, states, weights):
        v = 0.9 * states.v * (1 - states.s) + x @ weights.kernel
        s = np.where(v - weights.bias - 1 > 0, 1.0, 0.0)
        return s + np.tanh(v) * s + (2 * s + weights.bias), (v, s)

    x = 2 * rng.normal(size=(3, 9, 4)).astype("float32")
    one, other = (rk.RNN(cell(6), return_sequences=True, seed=1) for cell in (spiking, plain))
    np.testing.assert_array_equal(one(x), other(x))
    assert one.explain() == other.explain()
    with rk.eager():
        np.testing.assert_allclose(one(x), other(x), rtol=1e-6)


@rk.custom_gradient
def doubled(v):
    return np.concatenate([v, 2 * v], -1), lambda d: d[..., :3] + 2 * d[..., 3:]


def test_parts_of_a_value_that_is_joined_are_parts_of_all_of_it(rng):
    @rk.cell(states={"h": 3})
    def reversed_part(x, states, weights):
        h = doubled(np.tanh(x + states.h))[:, ::-2]
        return h, h

    layer, x = rk.RNN(reversed_part(), dtype="float64"), rng.normal(size=(2, 4, 3))
    with rk.eager():
        expected = layer(x)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-12)
    assert rk.gradcheck(layer, x)


@rk.custom_gradient
def spread(v):
    return np.tanh(v), lambda d: np.sum(d, axis=-1, keepdims=True) * np.ones_like(v)


def test_a_rule_of_all_elements_counts_where_a_part_of_a_choice_is_read():
    @rk.loop
    def chosen(x, s=0.0):
        return np.where(x[0] > 0, spread(x), x)[1], s

    _, pull = chosen.vjp(np.array([[1.0, 2.0, 3.0], [-1.0, 2.0, 3.0]]))
    assert pull(np.ones(2)).x.tolist() == [[1.0, 1.0, 1.0], [0.0, 1.0, 0.0]]


def test_loops_and_helpers_take_rules(rng):
    def helper(v, threshold):
        return spike(v - threshold)

    @rk.loop
    def leak(x, v=0.0, *, beta, threshold):
        v = beta * v + x
        s = helper(v, threshold)
        if s > 0:
            v = v - rk.stop_gradient(s) * threshold
        return s, v

    x = rng.normal(size=50)
    y, pullback = leak.vjp(x, beta=0.8, threshold=0.6)
    found = pullback(np.ones(50)).parameters
    v, d_beta, d_threshold, total = 0.0, 0.0, 0.0, np.zeros(2)  # by forward mode
    for value in x:
        d_beta, d_threshold = v + 0.8 * d_beta, 0.8 * d_threshold
        v = 0.8 * v + value
        slope = 1 / (1 + 10 * abs(v - 0.6)) ** 2
        total += slope * np.array([d_beta, d_threshold - 1])
        if v > 0.6:
            v, d_threshold = v - 0.6, d_threshold - 1
    assert y.sum() > 0
    np.testing.assert_allclose([found["beta"], found["threshold"]], total, rtol=1e-9)


def test_a_rule_may_have_loops(rng):
    """Each halves until little is left, in the step itself and in a loop of it."""

    @rk.custom_gradient
    def halved(a, b):
        def rule(d):
            left, total = d * a, 0.0
            while np.abs(left) > 1e-3:
                left = left / 2
                total += left
            return total, None

        return a * a / 2 + 0 * b, rule

    @rk.loop
    def run(x, s=0.0):
        y = halved(x, s)
        for _ in range(12):
            y = y + halved(y * 0.3, x) / 12
        return y, s

    @rk.loop
    def plain(x, s=0.0):
        y = x * x / 2
        for _ in range(12):
            y = y + (y * 0.3) ** 2 / 24
        return y, s

    x = rng.normal(size=7)
    (y, pull), (same, exact) = run.vjp(x), plain.vjp(x)
    np.testing.assert_allclose(y, same)
    np.testing.assert_allclose(pull(np.ones(7)).x, exact(np.ones(7)).x, atol=0.02)


def test_activations_losses_and_symbolic_tensors(rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    layer = rk.Dense(2, activation=spike, seed=0)
    y, pullback = layer.vjp(x)
    z = x @ layer.weights["kernel"]
    expected = x.T @ (1 / (1 + 10 * np.abs(z)) ** 2)
    np.testing.assert_allclose(pullback(np.ones_like(y)).weights["kernel"], expected, rtol=1e-4)

    inputs = rk.Input((3,))
    model = rk.Model(inputs, rk.stop_gradient(inputs) * inputs)
    for one in (model, rk.Model.from_config(model.get_config())):
        y, pullback = one.vjp(x)
        np.testing.assert_allclose(pullback(np.ones_like(y)).x, x, rtol=1e-6)

    def loss(y_true, y_pred):
        return np.mean((y_pred - rk.stop_gradient(y_pred) * 0.5 - y_true) ** 2, axis=-1)

    dense = rk.Sequential([rk.Dense(1, use_bias=False, seed=0)])
    dense.compile(optimizer=rk.optimizers.SGD(0.1), loss=loss)
    dense(x)
    (before,) = (np.array(w) for w in dense.get_weights())
    dense.fit(x, np.zeros((4, 1), "float32"), epochs=1, batch_size=4, verbose=0)
    expected = before - 0.1 * 2 * x.T @ (0.5 * x @ before) / 4
    np.testing.assert_allclose(dense.get_weights()[0], expected, rtol=1e-4, atol=1e-6)


def test_on_arrays_the_value_alone():
    np.testing.assert_array_equal(spike(np.array([-1.0, 2.0])), [0.0, 1.0])
    assert rk.stop_gradient(3.0) == 3.0
    assert spike.__name__ == "spike"


def test_cells_with_rules_leave_for_c_and_onnx(rng, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    x = 2 * rng.normal(size=(2, 7, 4)).astype("float32")
    layer = rk.RNN(spiking(3), return_sequences=True, seed=1)
    y = layer(x)
    rk.onnx.export(layer, tmp_path / "spiking.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "spiking.onnx")
    (found,) = session.run(None, {session.get_inputs()[0].name: x})
    np.testing.assert_allclose(found, y, atol=1e-5)
    rk.export_c(layer, tmp_path / "c")
    assert any((tmp_path / "c").iterdir())


def _of(function):
    @rk.cell(states={"h": "units"})
    def cell(x, states):
        h = function(states.h + x)
        return h, h

    return rk.RNN(cell(2))


def test_X25_rules_that_do_not_fit_are_errors():
    alone = rk.custom_gradient(lambda v: np.tanh(v))
    counted = rk.custom_gradient(lambda v: (np.tanh(v), lambda d: (d, d)))
    shaped = rk.custom_gradient(lambda v: (np.tanh(v), lambda d: np.concatenate([d, d, d], axis=-1)))
    conditions = rk.custom_gradient(lambda v: (v > 0, lambda d: d))
    x = np.ones((1, 3, 2))
    for function, told in (
        (alone, "no pair"),
        (counted, "2 cotangents for 1 argument"),
        (shaped, "a cotangent of shape"),
        (conditions, "astype"),
    ):
        with pytest.raises(ValueError, match=told):
            _of(function)(x)
    with pytest.raises(TypeError, match="a function under rk.custom_gradient"):
        rk.custom_gradient(3)
