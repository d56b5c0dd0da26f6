"""Complex numbers in steps: pairs of real ones inside, complex arrays outside."""

import copy
import pickle

import numpy as np
import pytest
from complex_cells import CASES, ces_loop, normal, s5, unitary
from paper_loops import ces

import rnnkit as rk

every_case = pytest.mark.parametrize("name", CASES)
MASK = np.array([[1, 1, 0, 0, 1, 1, 1, 0, 1], [0, 1, 1, 1, 0, 1, 1, 1, 0], [1] * 9], bool)


def same(a, b):
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def numeric(function, array, step=1e-6):
    """The derivatives of a real function by central differences: by the real parts, plus i by the imaginary parts."""
    found = np.zeros_like(array)
    for place in np.ndindex(array.shape):
        for unit in (1.0, 1j) if array.dtype.kind == "c" else (1.0,):
            ends = []
            for sign in (step, -step):
                moved = array.copy()
                moved[place] += sign * unit
                ends.append(function(moved))
            found[place] += unit * (ends[0] - ends[1]) / (2 * step)
    return found


# What a call gives


@every_case
def test_C20_a_call_is_the_slow_loop(name):
    case = CASES[name]
    layer, x = case.layer(), case.x()
    weights = {key: np.array(value) for key, value in layer.weights.items()}
    for mask in (None, MASK):
        y, *states = layer(x, mask=mask)
        for row in range(len(x)):
            used = np.ones(9, bool) if mask is None else mask[row]
            want, last = case.loop(x[row], weights, used)
            np.testing.assert_allclose(y[row], want, rtol=0, atol=1e-12)
            for state, one in zip(states, last, strict=True):
                np.testing.assert_allclose(state[row], one, rtol=0, atol=1e-12)
    assert y.dtype == (np.complex128 if case.complex_x else np.float64)
    assert states[0].dtype == np.complex128


@every_case
def test_C20_single_precision_is_pairs_of_float32(name):
    case = CASES[name]
    layer, x = case.layer("float32"), case.x(dtype="float32")
    y, state, *_ = layer(x)
    assert y.dtype == (np.complex64 if case.complex_x else np.float32)
    assert state.dtype == np.complex64
    want = case.loop(x[0], {n: np.array(w) for n, w in layer.weights.items()}, np.ones(9, bool))[0]
    np.testing.assert_allclose(y[0], want, atol=2e-4)
    with rk.eager():
        np.testing.assert_allclose(layer(x)[0], y, atol=2e-4)


def test_C20_complex_exponential_smoothing_is_its_loop():
    x = np.random.default_rng(0).normal(size=40).cumsum()
    y, state = ces(x, a=1.1 + 0.9j, state=0.5 - 0.2j, return_state=True)
    want, last = ces_loop(x, 0.5 - 0.2j, 1.1 + 0.9j)
    np.testing.assert_allclose(y, want, atol=1e-12)
    np.testing.assert_allclose(state, last, atol=1e-12)
    several = np.array([1.1 + 0.9j, 0.8 + 1j])
    same([ces(x, a=several)[1]], [ces(x, a=several[1])])
    _, pull = ces.vjp(x, a=1.1 + 0.9j, state=0.5 - 0.2j)
    found = pull(np.ones(40))
    by_a = numeric(lambda a: ces(x, a=a[()], state=0.5 - 0.2j).sum(), np.array(1.1 + 0.9j))
    by_state = numeric(lambda s: ces(x, a=1.1 + 0.9j, state=s[()]).sum(), np.array(0.5 - 0.2j))
    np.testing.assert_allclose(found.parameters["a"], by_a, rtol=1e-6)
    np.testing.assert_allclose(found.states["state"], by_state, rtol=1e-6)
    stream = ces.stream(a=1.1 + 0.9j, state=0.5 - 0.2j)
    same([np.array([stream.step(one) for one in x])], [y])
    assert stream.states["state"] == state


def test_C20_loops_take_complex_sequences():
    @rk.loop
    def turned(x, z=1 + 0j, *, rate=0.5):
        z = z + rate * (x - z)
        return {"z": z, "size": abs(z)}, z

    x = normal(np.random.default_rng(1), 12)
    found, state = turned(x, rate=0.3 + 0.1j, return_state=True)
    z, sizes = 1 + 0j, []
    for one in x:
        z = z + (0.3 + 0.1j) * (one - z)
        sizes.append(abs(z))
    np.testing.assert_allclose(found["size"], sizes, atol=1e-12)
    assert abs(state - z) < 1e-12
    assert turned(x)["z"].dtype == np.complex128 == turned(x.astype("complex64"))["z"].dtype.type(0).astype("c16").dtype
    assert turned(x.astype("complex64"))["z"].dtype == np.complex64
    assert turned(x.real, rate=0.5)["z"].dtype == np.complex128
    rows = turned(np.stack([x, 2 * x])[:, :, None], reverse=True)
    same([rows["z"][0]], [turned(x[::-1])["z"][::-1]])
    _, pull = turned.vjp(x, rate=0.3 + 0.1j)
    found = pull({"z": np.full(12, 1j), "size": None})
    by_x = numeric(lambda x: (turned(x, rate=0.3 + 0.1j)["z"] * -1j).real.sum(), x)
    np.testing.assert_allclose(found.x, by_x, rtol=1e-6)
    stream = turned.stream(dtype="complex128", rate=0.3 + 0.1j)
    assert stream.step(x[0])["z"] == turned(x, rate=0.3 + 0.1j)["z"][0]


# The laws


@every_case
def test_C20_splits_streams_rows_and_directions_keep_every_bit(name):
    case = CASES[name]
    layer, x = case.layer(), case.x()
    y, *states = layer(x, mask=MASK)
    first, *between = layer(x[:, :4], mask=MASK[:, :4])
    second, *last = layer(x[:, 4:], mask=MASK[:, 4:], initial_state=between)
    unheld = ~np.logical_or.accumulate(MASK[:, 4:], axis=1)
    expected = np.where(unheld[:, :, *(None,) * (y.ndim - 2)], 0, y[:, 4:])
    same([first, second, *last], [y[:, :4], expected, *states])
    same([one[1:2] for one in (y, *states)], layer(x[1:2], mask=MASK[1:2]))
    kept = case.layer(stateful=True)
    kept(x[:, :4], mask=MASK[:, :4])
    same(kept(x[:, 4:], mask=MASK[:, 4:])[1:], states)
    same(kept.states if isinstance(kept.states, list) else [kept.states], states)
    kept.reset_states(rows=[0])
    stream = case.layer(return_state=False).stream(batch=3)
    for t in range(9):
        stream.skip(np.flatnonzero(~MASK[:, t]))
        same([stream.step(x[:, t])], [y[:, t]])
    same(stream.states, states)
    again = pickle.loads(pickle.dumps(stream))
    same(again.states, states)
    same(case.layer(go_backwards=True)(x[:, ::-1], mask=MASK[:, ::-1]), (y, *states))
    outputs, steps = layer.trajectory(x, mask=MASK)
    same([outputs, *(one[:, -1] for one in steps)], [y, *states])


@every_case
def test_C20_threads_keep_every_bit(name, threads):
    case = CASES[name]
    layer, x = case.layer("float32"), case.x(67, 40, "float32")
    threads(1)
    alone = layer(x)
    pulled = layer.vjp(x)[1]([np.ones_like(one) for one in alone])
    threads(3)
    same(layer(x), alone)
    again = layer.vjp(x)[1]([np.ones_like(one) for one in alone])
    same([*again.weights.values(), again.x], [*pulled.weights.values(), pulled.x])


@every_case
def test_C20_repeated_calls_keep_every_bit(name):
    case = CASES[name]
    layer, x = case.layer(), case.x(2, 5)
    y = layer(x)
    g = layer.vjp(x)[1]([one * 2 for one in y])
    for _ in range(8):
        same(layer(x), y)
        again = layer.vjp(x)[1]([one * 2 for one in y])
        same([*again.weights.values(), again.x, *again.initial_state], [*g.weights.values(), g.x, *g.initial_state])


# Gradients


@every_case
def test_C20_gradients_are_by_both_parts(name):
    case = CASES[name]
    layer, x = case.layer(), case.x(2, 5)
    y, *states = layer(x)
    rng = np.random.default_rng(4)
    cotangents = [
        normal(rng, *one.shape) if one.dtype.kind == "c" else rng.normal(size=one.shape) for one in (y, *states)
    ]
    start = layer.get_initial_state(2)

    def loss(outputs):
        return sum((one * d.conj()).real.sum() for one, d in zip(outputs, cotangents, strict=True))

    gradient = layer.vjp(x, initial_state=start)[1](cotangents)
    np.testing.assert_allclose(gradient.x, numeric(lambda x: loss(layer(x)), x), rtol=1e-6, atol=1e-7)
    for i, one in enumerate(start):
        by = numeric(lambda s, i=i: loss(layer(x, initial_state=[*start[:i], s, *start[i + 1 :]])), one)
        np.testing.assert_allclose(gradient.initial_state[i], by, rtol=1e-6, atol=1e-7)
    for key in layer.weights:

        def of_weight(w, key=key):
            layer.weights[key] = w
            return loss(layer(x))

        held = np.array(layer.weights[key])
        np.testing.assert_allclose(gradient.weights[key], numeric(of_weight, held), rtol=1e-5, atol=1e-6)
        layer.weights[key] = held


@every_case
def test_C20_gradcheck_and_directions(name):
    case = CASES[name]
    layer, x = case.layer(), case.x(2, 5)
    assert rk.gradcheck(layer, x, mask=MASK[:2, :5])
    rng = np.random.default_rng(5)
    d = {
        key: normal(rng, *w.shape) if w.dtype.kind == "c" else rng.normal(size=w.shape)
        for key, w in layer.weights.items()
    }
    dx = normal(rng, *x.shape) if case.complex_x else rng.normal(size=x.shape)
    y, tangents = layer.jvp(x, dx, weights=d)
    back = layer.vjp(x)[1](y)
    forward = sum((a.conj() * b).real.sum() for a, b in zip(y, tangents, strict=True))
    backward = (back.x.conj() * dx).real.sum() + sum((back.weights[k].conj() * d[k]).real.sum() for k in d)
    np.testing.assert_allclose(forward, backward, rtol=1e-10)


def test_C20_the_convention_is_that_of_pytorch():
    """The gradient by w is that by its real part plus i times that by its imaginary part: w - rate * g descends."""

    @rk.cell(
        states={"z": rk.State(1, "complex")},
        weights={"w": rk.Weight((1,), lambda s, r: np.array([2 + 1j]), dtype="complex")},
    )
    def scaled(x, states, weights):
        z = weights.w * x
        return np.abs(z) ** 2, z

    layer = rk.RNN(scaled(), dtype="float64")
    y, back = layer.vjp(np.ones((1, 1, 1)))
    assert back(np.ones_like(y)).weights["w"] == 2 * (2 + 1j)  # jax.grad gives the conjugate


def test_C20_jax_gives_the_conjugate():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    case = CASES["lru"]
    layer, x = case.layer(return_state=False), case.x()
    weights = {key: np.array(value) for key, value in layer.weights.items()}

    def loss(w):
        def step(h, x_t):
            h = w["lam"] * h + jax.numpy.sqrt(1 - abs(w["lam"]) ** 2) * (x_t @ w["B"])
            return h, (h @ w["C"]).real + w["D"] * x_t

        _, y = jax.lax.scan(step, jax.numpy.zeros((3, 6), complex), x.swapaxes(0, 1))
        return (y**2).sum() / 2

    y, back = layer.vjp(x)
    found, want = back(y).weights, jax.grad(loss)(weights)
    for key, one in found.items():
        np.testing.assert_allclose(one, np.conj(want[key]), atol=1e-10)


# Training, files and exports


def test_C20_fit_moves_complex_weights_as_pairs():
    """Adam has a second moment for each part, as PyTorch's; a model of real weights for both parts moves alike."""
    kernels = {f"{n}_{p}": rk.Weight(s) for n, s in (("B", ("features", "units")), ("C", ("units", 1))) for p in "ri"}
    parts = {"r": rk.Weight(("units",)), "i": rk.Weight(("units",))}

    @rk.cell(states={"r": "units", "i": "units"}, weights=parts | kernels)
    def of_parts(x, states, weights):
        w = weights
        r = w.r * states.r - w.i * states.i + x @ w.B_r
        i = w.r * states.i + w.i * states.r + x @ w.B_i
        return r @ w.C_r - i @ w.C_i, [r, i]

    whole = {"lam": ("units",), "B": ("features", "units"), "C": ("units", 1)}

    @rk.cell(
        states={"h": rk.State("units", "complex")}, weights={n: rk.Weight(s, dtype="complex") for n, s in whole.items()}
    )
    def of_complex(x, states, weights):
        h = weights.lam * states.h + x @ weights.B
        return (h @ weights.C).real, h

    x = np.random.default_rng(0).normal(size=(20, 7, 3))
    y = np.cumsum(x, axis=1)[:, :, :1] / 3
    models = [
        rk.Sequential([rk.RNN(c(4), return_sequences=True, dtype="float64")], seed=0) for c in (of_complex, of_parts)
    ]
    for model in models:
        model.build((None, None, 3))
        model(x)
    one, other = models
    own = {name: np.array(w) for name, w in one.weights.items()}
    for name in own:
        pair = ("0/r", "0/i") if name == "0/lam" else (f"{name}_r", f"{name}_i")
        other.weights[pair[0]], other.weights[pair[1]] = own[name].real, own[name].imag
    for model in models:
        model.compile(rk.optimizers.Adam(0.02), "mse")
        model.fit(x, y, epochs=6, batch_size=8, shuffle=False, verbose=0)
    for name, first in own.items():
        pair = ("0/r", "0/i") if name == "0/lam" else (f"{name}_r", f"{name}_i")
        np.testing.assert_allclose(one.weights[name].real, other.weights[pair[0]], atol=1e-10)
        np.testing.assert_allclose(one.weights[name].imag, other.weights[pair[1]], atol=1e-10)
        assert np.abs(one.weights[name] - first).min() > 1e-3
    assert one.trainable_weights["0/lam"].dtype == np.complex128


def test_C20_models_pass_complex_sequences_on(tmp_path):
    layers = [rk.RNN(cell, return_sequences=True, dtype="complex128") for cell in (unitary(5), s5(4))]
    model = rk.Sequential([*layers, rk.Dense(1)], seed=0)
    x = CASES["unitary"].x()
    y, back = model.vjp(x)
    assert y.dtype == np.float64
    assert back(y).x.dtype == np.complex128
    stream = model.stream(batch=3)
    same([np.stack([stream.step(x[:, t]) for t in range(9)], 1)], [y])
    model.compile("adam", "mse")
    history = model.fit(x, y * 0, epochs=8, verbose=0).history["loss"]
    assert history[-1] < history[0]
    for name in ("model.rnnkit", "model.npz"):
        model.save(tmp_path / name)
        again = rk.load_model(tmp_path / name, custom_objects={"unitary": unitary, "s5": s5})
        same([again(x)], [model(x)])
    refused(lambda: rk.Sequential([rk.RNN(s5(4))])(x), TypeError, "real numbers")
    kept = rk.RNN(s5(4), stateful=True, dtype="complex128", seed=0)
    kept(x)
    kept.save(tmp_path / "kept.rnnkit", states=True)
    again = rk.load_model(tmp_path / "kept.rnnkit", custom_objects={"s5": s5})
    same(again.states, kept.states)
    same([again(x)], [kept(x)])


def test_C20_both_directions_and_lists_of_sequences():
    layer = rk.Bidirectional(CASES["lru"].layer())
    assert rk.gradcheck(layer, mask=MASK[:, :6])
    y, *states = layer(CASES["lru"].x())
    assert [one.dtype for one in (y, *states)] == [np.float64, np.complex128, np.complex128]
    refused(lambda: rk.Bidirectional(CASES["unitary"].layer())(CASES["unitary"].x().real), ValueError, "real output")
    layer, x = CASES["unitary"].layer(), CASES["unitary"].x()
    outputs, states = layer([x[0], x[1, :4]])
    same(outputs, [layer(x[:1])[0][0], layer(x[1:2, :4])[0][0]])
    same([states[1:]], [layer(x[1:2, :4])[1]])


def test_C20_functional_models_pass_complex_tensors_on():
    x = rk.Input((None, 4))
    z = rk.RNN(unitary(5), return_sequences=True)(x)
    assert z.dtype == np.complex64
    model = rk.Model(x, rk.RNN(s5(3), return_sequences=True, dtype="complex64")(z))
    first, second = model.layers[-2:]
    given = CASES["lru"].x(dtype="float32")
    same([model(given)], [second(first(given))])


def test_X29_hessians_by_complex_weights_and_states(rng):
    """By both parts, with an axis of two in front; along a complex direction, as a gradient."""

    @rk.cell(
        states={"z": rk.State(2, "complex")},
        weights={"w": rk.Weight((2,), dtype="complex"), "a": rk.Weight((2,))},
    )
    def turning(x, states, weights):
        z = states.z * weights.w + x * weights.a
        return abs(z) ** 2, z

    layer = rk.RNN(turning(), dtype="float64", seed=0)
    x, z = rng.normal(size=(3, 4, 2)), rng.normal(size=(3, 2)) + 1j * rng.normal(size=(3, 2))
    layer(x)
    values = {name: np.array(one) for name, one in layer.weights.items()} | {"initial_state": z}
    names = list(values)
    d = {
        n: rng.normal(size=one.shape) + (1j * rng.normal(size=one.shape) if n != "a" else 0)
        for n, one in values.items()
    }

    def gradient(step):
        for name in layer.weights:
            layer.weights[name] = values[name] + step * d[name]
        y, pull = layer.vjp(x, initial_state=z + step * d["initial_state"])
        found = pull(np.ones_like(y))
        for name in layer.weights:
            layer.weights[name] = values[name]
        return {**found.weights, "initial_state": found.initial_state[0]}

    ends = gradient(1e-5), gradient(-1e-5)
    along = rk.hvp(layer, x, d, by=names, initial_state=z)
    whole = rk.hessian(layer, x, by=["w", "a"], initial_state=z)
    assert whole["w"]["w"].shape == (2, 2, 2, 2) and whole["w"]["a"].shape == (2, 2, 2)
    for name in names:
        np.testing.assert_allclose(along[name], (ends[0][name] - ends[1][name]) / 2e-5, rtol=1e-6, atol=1e-8)
    parts = np.stack([d["w"].real, d["w"].imag])
    by_w = np.einsum("piqj,qj->pi", whole["w"]["w"], parts) + np.einsum("pij,j->pi", whole["w"]["a"], d["a"])
    both = rk.hvp(layer, x, {"w": d["w"], "a": d["a"]}, by=["w", "a"], initial_state=z)
    np.testing.assert_allclose(by_w[0] + 1j * by_w[1], both["w"], rtol=1e-10)
    of = rk.hessian(layer, x, by="w", of=lambda y: np.sum(y, axis=-1), initial_state=z)
    np.testing.assert_allclose(of, whole["w"]["w"], rtol=1e-10)
    slopes = rk.jacobian(layer, x, by="w", of=lambda y: np.sum(y, axis=-1), initial_state=z)
    total = rk.jacobian(layer, x, by="w", initial_state=z)
    assert slopes.shape == (3, 2, 2)
    np.testing.assert_allclose(slopes.sum(axis=0), total, rtol=1e-10)
    apart = rk.hessian(layer, x, by="initial_state", initial_state=z)
    assert apart.shape == (3, 2, 2, 2, 2)
    np.testing.assert_allclose(apart, np.swapaxes(np.swapaxes(apart, 1, 3), 2, 4), rtol=1e-10, atol=1e-12)


def test_C20_hessians_go_through_complex_states():
    @rk.loop
    def resonance(x, z=1 + 0j, *, size, turn):
        z = size * z * np.exp(1j * turn) + x
        return abs(z) ** 2, z

    x, at = np.random.default_rng(0).normal(size=12), {"size": 0.9, "turn": 0.3}
    found = rk.hessian(resonance, x, by=["size", "turn"], **at)
    for name in at:
        ends = [resonance.vjp(x, **at | {name: at[name] + e})[1](np.ones(12)).parameters for e in (1e-5, -1e-5)]
        for other in at:
            np.testing.assert_allclose(found[other][name], (ends[0][other] - ends[1][other]) / 2e-5, rtol=1e-6)
    by_z = rk.hessian(resonance, x, by=["z", "turn"], **at)
    factors = np.sum(0.81 ** np.arange(1, 13))
    assert by_z["z"]["z"].shape == (2, 2) and by_z["z"]["turn"].shape == (2,)
    np.testing.assert_allclose(by_z["z"]["z"], 2 * factors * np.eye(2), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(rk.hvp(resonance, x, 1 + 2j, by="z", **at), 2 * factors * (1 + 2j), rtol=1e-12)


def parts(array, axis):
    """An array as derivatives are by it: both parts of a complex one."""
    return np.stack([array.real, array.imag], axis) if array.dtype.kind == "c" else array


def along(blocks, directions):
    """The sum of derivatives by each array, times its direction; all have rows in front."""
    found = 0
    for name, d in directions.items():
        by_row = zip(blocks[name], parts(d, 1) if name in ("x", "initial_state") else [parts(d, 0)] * 2, strict=True)
        found = found + np.stack([np.tensordot(block, one, one.ndim) for block, one in by_row])
    return found


@every_case
@pytest.mark.parametrize("of", [None, lambda y: np.abs(y - 0.5) ** 2, lambda y: y * y * y], ids=["sum", "real", "own"])
def test_X30_second_derivatives_by_complex_inputs_of_complex_outputs(name, of):
    """The change of the gradient is the product with the Hessian, and that of the outputs the one with the Jacobian."""
    case, rng = CASES[name], np.random.default_rng(6)
    layer, x, mask = case.layer(return_state=False), case.x(2, 5), MASK[:2, :5]
    layer(x)
    given = {"initial_state": layer.get_initial_state(2), "mask": mask}
    at = {key: np.array(w) for key, w in layer.weights.items()} | {"x": x}
    if len(given["initial_state"]) == 1:
        at["initial_state"] = given["initial_state"][0]
    d = {n: normal(rng, *a.shape) if a.dtype.kind == "c" else rng.normal(size=a.shape) for n, a in at.items()}
    function = (lambda y: y) if of is None else of

    def run(step):
        moved = {key: one + step * d[key] for key, one in at.items()}
        for key in layer.weights:
            layer.weights[key] = moved[key]
        start = [moved["initial_state"]] if "initial_state" in at else given["initial_state"]
        y, pull = layer.vjp(moved["x"], mask=mask, initial_state=start)
        values = function(y)
        units = (1e-6, 1e-6j) if y.dtype.kind == "c" else (1e-6,)
        ends = [function(y + e).real - function(y - e).real for e in units]
        found = pull(ends[0] / 2e-6 + (1j * ends[1] / 2e-6 if len(ends) > 1 else 0))
        for key in layer.weights:
            layer.weights[key] = at[key]
        return {**found.weights, "x": found.x, "initial_state": found.initial_state[0]}, values

    (after, values), (before, others) = run(1e-5), run(-1e-5)
    product = rk.hvp(layer, x, d, by=list(at), of=of, **given)
    for key, one in product.items():
        slope = (after[key] - before[key]) / 2e-5
        assert one.dtype == at[key].dtype
        np.testing.assert_allclose(one, slope, rtol=1e-4, atol=3e-5 * (1 + np.abs(slope).max()), err_msg=key)
    few = [key for key in at if at[key].size < 25]
    hessian = rk.hessian(layer, x, by=few, of=of, **given)
    for key in {"x", "initial_state"} & set(few):
        alone = along(hessian[key], {n: d[n] for n in few})
        moved = rk.hvp(layer, x, {n: d[n] for n in few}, by=few, of=of, **given)[key]
        np.testing.assert_allclose(alone, parts(moved, 1), rtol=1e-9, atol=1e-9 * (1 + np.abs(moved).max()))
    jacobian = rk.jacobian(layer, x, by=list(at), of=function, **given)
    slope = parts((values - others) / 2e-5, 1)
    np.testing.assert_allclose(along(jacobian, d), slope, rtol=1e-5, atol=1e-5 * (1 + np.abs(slope).max()))
    if of is None:
        total = rk.jacobian(layer, x, by=list(at), **given)
        axes = tuple(range(1, values.ndim)) if values.dtype.kind != "c" else tuple(range(2, values.ndim + 1))
        for key, one in jacobian.items():
            whole = one.sum(axis=axes)
            np.testing.assert_allclose(total[key], whole if key in ("x", "initial_state") else whole.sum(axis=0))


@every_case
def test_X30_one_step_has_tangents_and_jacobians(name, rng):
    case = CASES[name]
    layer, x = case.layer(return_sequences=False), case.x(2, 1)
    layer(x)
    draw = lambda a: normal(rng, *a.shape) if a.dtype.kind == "c" else rng.normal(size=a.shape)
    start = [one + 0.3 * draw(one) for one in layer.get_initial_state(2)]
    d_x, d_start, e = draw(x), [draw(one) for one in start], 1e-6
    y, *states = layer(x, initial_state=start)
    ends = [layer(x + s * d_x, initial_state=[a + s * b for a, b in zip(start, d_start, strict=True)]) for s in (e, -e)]
    wanted = [(a - b) / (2 * e) for a, b in zip(*ends, strict=True)]
    bare = layer.cell._states().bare
    given, moved = (one[0] if bare else one for one in (start, d_start))
    (output, new), (d_output, d_new) = rk.jvp(layer, x[:, 0], given, d_x[:, 0], moved)
    found, tangents = ([a, b] if bare else [a, *b] for a, b in ((output, new), (d_output, d_new)))
    for one, value in zip(found, [y, *states], strict=True):
        np.testing.assert_allclose(one, value, rtol=1e-12)
    for one, slope in zip(tangents, wanted, strict=True):
        assert one.dtype == slope.dtype
        np.testing.assert_allclose(one, slope, rtol=1e-5, atol=1e-5 * (1 + np.abs(slope).max()))
    whole = rk.jacobian(layer, x[:, 0], given)
    by_states = [whole.output_by_state] if len(start) == 1 else list(whole.output_by_state.values())
    total = along({"x": whole.output_by_x}, {"x": d_x[:, 0]})
    for block, d in zip(by_states, d_start, strict=True):
        total = total + along({"initial_state": block}, {"initial_state": d})
    np.testing.assert_allclose(total, parts(d_output, 1), rtol=1e-10, atol=1e-12)
    size = sum(np.prod(parts(one, 1).shape[1:], dtype=int) for one in start)
    assert whole.matrix.shape == (2, size, size)


def test_X30_loops_and_models_have_them(rng):
    @rk.loop
    def turned(x, z=1 + 0j, *, rate=0.5 + 0.1j, gain=1.0):
        z = rate * z + gain * x
        return z * z, z

    x = normal(rng, 12)
    z, by_rate, by_rate_twice = 1 + 0j, 0, 0
    total = [0j, 0j, 0j]
    for one in x:
        by_rate, by_rate_twice = z + (0.3 + 0.2j) * by_rate, 2 * by_rate + (0.3 + 0.2j) * by_rate_twice
        z = (0.3 + 0.2j) * z + one
        total[1] += 2 * z * by_rate
        total[2] += 2 * (by_rate**2 + z * by_rate_twice)
    given = {"rate": 0.3 + 0.2j}
    slopes, curved = rk.jacobian(turned, x, by="rate", **given), rk.hessian(turned, x, by="rate", **given)
    one, two = total[1:]  # of a holomorphic function
    np.testing.assert_allclose(slopes, [[one.real, -one.imag], [one.imag, one.real]], rtol=1e-10)
    np.testing.assert_allclose(curved, [[two.real, -two.imag], [-two.imag, -two.real]], rtol=1e-10)
    np.testing.assert_allclose(rk.hvp(turned, x, 1 - 2j, by="rate", **given), np.conj(two * (1 - 2j)), rtol=1e-10)
    by_x = rk.hessian(turned, x, by=["x", "z", "gain"], of=lambda y: np.abs(y), **given)
    assert by_x["x"]["x"].shape == (2, 12, 2, 12) and by_x["x"]["gain"].shape == (2, 12)
    np.testing.assert_allclose(by_x["x"]["x"], by_x["x"]["x"].transpose(2, 3, 0, 1), rtol=1e-9, atol=1e-12)

    layers = [rk.RNN(cell, return_sequences=True, dtype="complex128") for cell in (unitary(5), s5(4))]
    for model in (rk.Sequential([*layers, rk.Dense(1)], seed=0), rk.Sequential(layers[:1], seed=0)):
        given = CASES["unitary"].x(2, 4)
        model(given)
        d, name = normal(rng, *given.shape), next(n for n in model.weights if n.endswith("V"))
        moved = {"x": d, name: normal(rng, 3, 5)}
        product = rk.hvp(model, given, moved, by=["x", name])
        held, ends = np.array(model.weights[name]), []
        for step in (1e-6, -1e-6):
            model.weights[name] = held + step * moved[name]
            y, pull = model.vjp(given + step * d)
            found = pull(np.ones_like(y))
            ends.append((found.x, found.weights[name]))
        model.weights[name] = held
        for key, after, before in zip(("x", name), *ends, strict=True):
            np.testing.assert_allclose(product[key], (after - before) / 2e-6, rtol=1e-4, atol=1e-4)
        slopes = rk.jacobian(model, given, by="x")
        assert slopes.shape == ((2, 2, 4, 3) if y.dtype.kind == "f" else (2, 2, 2, 4, 3))


def test_X30_by_complex_constants(rng):
    class Driven(rk.Cell):
        state_size = rk.State(3, "complex")

        def call(self, inputs, states, constants):
            h = 0.5 * states[0] * constants[0] + inputs
            return h * h, [h]

    layer = rk.RNN(Driven(), dtype="float64")
    x, k, d = rng.normal(size=(2, 5, 3)), normal(rng, 2, 3), normal(rng, 2, 3)
    ends = [layer.vjp(x, constants=[k + e * d]) for e in (1e-6, -1e-6)]
    after, before = (pull(np.ones_like(y)).constants[0] for y, pull in ends)
    product = rk.hvp(layer, x, d, by="constants", constants=[k])
    np.testing.assert_allclose(product, (after - before) / 2e-6, rtol=1e-6, atol=1e-6)
    whole = rk.hessian(layer, x, by="constants", constants=[k])
    assert whole.shape == (2, 2, 3, 2, 3)
    np.testing.assert_allclose(along({"x": whole}, {"x": d}), parts(product, 1), rtol=1e-10)


def test_X30_jax_gives_the_same_hessian_by_both_parts():
    jax = pytest.importorskip("jax")
    jax.config.update("jax_enable_x64", True)
    jnp, case = jax.numpy, CASES["unitary"]
    layer, x = case.layer(return_state=False), case.x(1, 5)
    w = {key: np.array(value) for key, value in layer.weights.items()}

    def loss(both):
        def reflected(z, r):
            return z - 2 * (z @ r.conj())[:, None] * r / (r @ r.conj()).real

        h, total = jnp.zeros((1, 5), complex), 0.0
        for t in range(5):
            z = jnp.fft.fft(jnp.exp(1j * w["d1"]) * h, norm="ortho")
            z = reflected(z, w["r1"])[:, np.arange(5) * 3 % 5]
            z = jnp.exp(1j * w["d3"]) * reflected(jnp.fft.ifft(jnp.exp(1j * w["d2"]) * z, norm="ortho"), w["r2"])
            z = z + (both[:, 0] + 1j * both[:, 1])[:, t] @ w["V"]
            h = z / abs(z) * jnp.maximum(abs(z) + w["bias"], 0)
            total = total + (abs(h) ** 2 + h.real).sum()
        return total

    found = rk.hessian(layer, x, by="x", of=lambda y: np.abs(y) ** 2 + np.real(y))
    want = jax.hessian(loss)(np.stack([x.real, x.imag], 1))
    np.testing.assert_allclose(found[0], want[0, :, :, :, 0], rtol=1e-9, atol=1e-9 * np.abs(want).max())


@every_case
def test_C20_files_pickles_and_configurations(name, tmp_path):
    case = CASES[name]
    layer, x = case.layer(), case.x()
    y = layer(x)
    same(pickle.loads(pickle.dumps(layer))(x), y)
    same(copy.deepcopy(layer)(x), y)
    for file in ("weights.npz", "weights.safetensors"):
        layer.save_weights(tmp_path / file)
        other = case.layer()
        other.set_weights([w * 0 for w in other.get_weights()])
        other.load_weights(tmp_path / file)
        same(other(x), y)
    other.set_weights(layer.get_weights())
    same(other(x), y)
    for key, array in layer.weights.items():
        assert not array.flags.writeable
        np.testing.assert_array_equal(layer.cell.weights[key], array)
    kept = case.layer(stateful=True)
    kept(x)
    pickled = pickle.loads(pickle.dumps(kept))
    same(pickled(x), kept(x))
    if name != "locked":  # which has no configuration
        again = rk.RNN.from_config(layer.get_config())
        again.build((None, None, case.features))
        again.set_weights(layer.get_weights())
        same(again(x), y)


@pytest.mark.parametrize("name", ["lru", "unitary", "locked"])
def test_C20_onnx_has_pairs(name):
    pytest.importorskip("onnxruntime")
    from onnx_runs import Exported

    case = CASES[name]
    layer, x = case.layer(), case.x()
    exported = Exported(layer)
    given = np.stack([x.real, x.imag], 2) if case.complex_x else x
    got = exported.session.run(None, {"x": given})
    for one, y in zip(got, layer(x), strict=True):
        pairs = np.stack([y.real, y.imag], 2 if one is got[0] else 1) if y.dtype.kind == "c" else y
        np.testing.assert_allclose(one, pairs, atol=1e-10)


def test_C20_c_has_pairs_as_states(tmp_path):
    from c_code_runs import COMPILER, Library

    layer, x = CASES["lru"].layer(return_state=False), CASES["lru"].x(1, 20)
    if COMPILER is not None:
        sequence = Library({"lru": layer}, tmp_path).sequence("lru", "float64", [((4,), True)])
        np.testing.assert_allclose(sequence.run(x[0]), layer(x)[0], atol=1e-12)
    refused(lambda: rk.export_c(CASES["unitary"].layer(return_state=False), tmp_path), ValueError, "complex numbers")


# What a step may write


def of_modulus_1(z):
    return z / np.abs(z)


SIGN = np.sign if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else of_modulus_1  # NumPy 1's is that of the real part


def everything(z, w, a):
    """Functions of complex arrays, of a real one and of constants: a list of arrays of one shape."""
    k = np.array([1 + 2j, -0.5j, 0.3])
    turned = z.copy()
    turned[..., 0] = w[..., 1]
    turned[..., 1:] *= 2j
    turned += a
    mirrored, lifted, cast = z.conj(), 1j * a, a.astype(complex)  # of which none is a view
    mirrored[..., 0], lifted[..., 1], cast[..., 2] = 0, 2, 1j
    return [
        mirrored,
        lifted,
        cast,
        z + w,
        z - a,
        a - z,
        z * w,
        z * a,
        2j * a,
        z / w,
        a / z,
        z / a,
        z / (1 + 2j),
        -z,
        +z,
        z * k,
        a * k,
        a + 1j * w.real,
        z.conj() * 1j,
        np.conjugate(w),
        np.conj(z),
        z**2,
        z**3,
        z**-2,
        z**0.5,
        z**0,
        z**w,
        2.0**z,
        a ** (1j * w),
        np.square(z),
        np.exp(z),
        np.exp(1j * a),
        np.log(z),
        np.log2(z),
        np.log10(z),
        np.sqrt(z),
        np.sqrt(-z),
        np.sin(z),
        np.cos(z),
        np.tan(z),
        np.sinh(z),
        np.cosh(z),
        np.tanh(z),
        np.reciprocal(z),
        SIGN(z),
        np.where(a > 0, z, w),
        np.where(a > 0, z, a),
        np.where(z == w, 0j, z),
        np.where(z != w, z, 1.0),
        np.abs(z) + 0j,
        np.angle(z) * 1j,
        z.real * w,
        np.real(z) * w,
        np.imag(z) * z.imag * 1j,
        np.stack([z, w], -1)[..., 1],
        np.concatenate([z, w], -1)[..., 2:5],
        z[..., ::-1],
        np.sum(z, -1, keepdims=True) * w,
        z.sum(-1, keepdims=True) + w,
        np.mean(z, axis=-1, keepdims=True) * z,
        np.prod(z, axis=-1, keepdims=True) * a,
        np.cumsum(z, -1),
        z @ np.eye(3),
        z @ (1j * np.eye(3) + 0.1),
        np.einsum("...i,ij->...j", z, np.arange(9).reshape(3, 3) * 1j),
        a @ (np.eye(3) * 1j),
        np.roll(z, 1, -1),
        turned,
        np.take(z, [2, 0, 1], -1),
        np.zeros_like(z) + a,
        np.ones_like(w) * z,
        np.full_like(z, 2j) * a,
        np.zeros_like(a, dtype=complex) + z,
        a.astype(complex) * 1j,
        np.broadcast_to(z[..., :1], z.shape) * w,
        np.fft.fft(z),
        np.fft.ifft(w, norm="ortho"),
        np.fft.fft(a),
        np.fft.irfft(z, 5) @ np.eye(5, 3),
        np.fft.irfft(np.fft.rfft(a, norm="ortho"), 3, norm="ortho") * w,
        np.concatenate([np.fft.rfft(a), w[..., :1]], -1) + np.fft.irfft(z)[..., :3],
        np.linalg.norm(z, axis=-1, keepdims=True) * w,
        z.reshape(z.shape) + 0,
        np.flip(z, -1),
        np.round(z, 1) * 0 + z,
        np.isfinite(z) * w,
        np.where(np.isclose(z, z), z, 0),
        z * np.complex64(1j),
        np.float32(2.0) * z,
        np.add(z, w),
        np.multiply(z, 1j),
    ]


COUNT = len(everything(np.ones(3) + 1j, np.ones(3) - 1j, np.ones(3)))


@rk.cell(states={"z": rk.State(3, "complex")})
def every_function(x, states):
    z, w, a = states.z, x[:, :3] + 1j * x[:, 3:6], x[:, 6:]
    found = everything(z, w, a)
    halved = z.copy()
    halved.real *= 0.5
    halved.imag = a
    found[0] = halved * found[0]
    return np.stack(found, 1).reshape(x.shape[0], 3 * COUNT), z * 0.5 + w


@rk.cell(states={"z": rk.State(3, "complex")}, per_row=True)
def every_function_of_a_row(x, states):
    z, w, a = states.z, x[:3] + 1j * x[3:6], x[6:]
    found = everything(z, w, a)
    return np.stack(found).reshape(3 * COUNT), z * 0.5 + w


@pytest.mark.parametrize("cell", [every_function, every_function_of_a_row])
def test_C20_functions_are_numpys(cell):
    layer = rk.RNN(cell(), return_sequences=True)
    x, start = np.random.default_rng(8).normal(size=(4, 3, 9)), [normal(np.random.default_rng(9), 4, 3)]
    found = layer(x, initial_state=start).reshape(4, 3, COUNT, 3)
    with rk.eager():
        want = layer(x, initial_state=start).reshape(4, 3, COUNT, 3)
    for k in range(COUNT):
        np.testing.assert_allclose(found[:, :, k], want[:, :, k], rtol=1e-11, atol=1e-12, err_msg=str(k))
    if cell is every_function:
        assert rk.gradcheck(layer, x, initial_state=start, tolerance=1e-6)


def test_C20_control_flow_of_rows():
    import cmath

    @rk.cell(states={"z": rk.State((), "complex"), "table": rk.State(4, "complex")}, per_row=True)
    def escapes(x, states):
        c, z, steps = complex(x[0], x[1]), states.z, 0
        table = states.table
        while abs(z) < 2 and steps < 30:
            z = z * z + c
            steps += 1
        if z:
            table[int(steps) % 4] += z
        best = 0j
        for one in table:
            if abs(one) > abs(best):
                best = one
        w = cmath.exp(1j * x[0]) if x[1] > 0 else 1j
        kept = [1j, z, best]
        last = kept[steps % 3]
        return np.array([z, best, w, last, table[steps % 4]]), (0.1 * c, table)

    layer = rk.RNN(escapes(), return_sequences=True)
    x = np.random.default_rng(0).normal(size=(6, 5, 2))
    found = layer(x)
    with rk.eager():
        np.testing.assert_allclose(found, layer(x), rtol=1e-10)
    assert found.dtype == np.complex128


def test_C20_class_cells_with_complex_constants():
    class Driven(rk.Cell):
        state_size = rk.State(3, "complex")

        def build(self, input_shape):
            self.kernel = self.add_weight((input_shape[-1], 3), name="kernel", dtype="complex")
            assert self.kernel.dtype == np.complex128
            self.built = True

        def call(self, inputs, states, constants):
            h = 0.5 * states[0] * constants[0] + inputs @ self.kernel
            return {"h": h, "size": np.abs(h)}, [h]

    layer = rk.RNN(Driven(), return_sequences=True, dtype="float64")
    rng = np.random.default_rng(2)
    x, k = rng.normal(size=(2, 5, 4)), normal(rng, 2, 3)
    y, back = layer.vjp(x, constants=[k])
    h, kernel = np.zeros((2, 3)), layer.weights["kernel"]
    for t in range(5):
        h = 0.5 * h * k + x[:, t] @ kernel
    np.testing.assert_allclose(y["h"][:, -1], h, atol=1e-12)
    np.testing.assert_allclose(y["size"][:, -1], np.abs(h), atol=1e-12)
    g = back({"h": y["h"], "size": None})
    by = numeric(lambda k: (np.abs(layer(x, constants=[k])["h"]) ** 2).sum() / 2, k)
    np.testing.assert_allclose(g.constants[0], by, rtol=1e-6)
    refused(lambda: layer(x, constants=[k, k]), ValueError, "1 constants")


def test_C20_initializers_of_complex_weights():
    rng = np.random.default_rng(0)
    q = rk.initializers.Orthogonal()((6, 6), rng, "complex128")
    np.testing.assert_allclose(q @ q.conj().T, np.eye(6), atol=1e-12)
    drawn = rk.initializers.VarianceScaling()((400, 300), rng, "complex64")
    assert abs(np.mean(np.abs(drawn) ** 2) * 400 - 1) < 0.02
    assert abs(np.mean(drawn**2)) * 400 < 0.02
    assert rk.initializers.initializer("ones")((2,), rng, complex).tolist() == [1, 1]
    refused(lambda: rk.initializers.Ring()((2,), rng), ValueError, "complex")


# What is refused


def refused(call, kind, *words):
    with pytest.raises(kind) as caught:
        call()
    for word in words:
        assert word in str(caught.value), caught.value


def running(x, h=0.0, *, a):
    h = a * h + x
    return h, h


def step_of(body, **spec):
    cell = rk.cell(**{"states": {"z": rk.State(2, "complex")}, **spec})(body)
    return lambda: rk.RNN(cell())(np.ones((1, 3, 2)))


def test_C20_one_error_says_what_to_write():
    x, z = np.ones((2, 3, 2)), np.ones((2, 3, 2)) * 1j
    plain = rk.cell(states={"h": 2})(lambda x, states: (states.h + x, states.h + x))
    refused(lambda: rk.RNN(plain())(z), TypeError, 'dtype="complex64"', "x.real")
    refused(lambda: rk.GRU(2)(z), TypeError, "real numbers", "x.real")
    built = CASES["lru"].layer()
    refused(lambda: built(np.ones((1, 2, 4)) * 1j), TypeError, 'dtype="complex128"')
    refused(lambda: rk.RNN(plain())(x, initial_state=[np.ones((2, 2)) * 1j]), TypeError, "real numbers")
    real_state = step_of(lambda x, states: (x, states.h * 1j), states={"h": 2})
    refused(real_state, ValueError, "state 0", 'rk.State(shape, "complex")')
    compared = step_of(lambda x, states: (np.where(states.z < x, x, 0), states.z))
    refused(compared, ValueError, "no order", "z.real")
    refused(step_of(lambda x, states: (np.maximum(states.z, x), states.z)), ValueError, "no order")
    refused(step_of(lambda x, states: (np.sort(states.z), states.z)), ValueError, "no order")
    refused(step_of(lambda x, states: (float(states.z[0, 0]) + x, states.z)), Exception, "float() of a complex number")
    refused(step_of(lambda x, states: (np.arctan2(states.z, x), states.z)), ValueError, "np.arctan2 of complex numbers")
    refused(step_of(lambda x, states: (rk.sigmoid(states.z), states.z)), ValueError, "complex")
    refused(step_of(lambda x, states: (states.z.astype(float), states.z)), ValueError, "z.real")
    refused(lambda: rk.State(2, "complex64"), ValueError, "'float' or 'complex'")
    refused(lambda: rk.Weight((2, 2), dtype="c8"), ValueError, "'float' or 'complex'")
    refused(lambda: rk.Weight((2, 2), density=0.5, dtype="complex"), ValueError, "density")
    refused(lambda: rk.Weight((2, 2), constraint="unit_norm", dtype="complex"), ValueError, "constraint")
    real_loop = rk.loop(running)
    refused(lambda: real_loop(np.ones(3), a=1j), ValueError, "start it with 0j")
    refused(lambda: real_loop(np.ones(3), h=1j, a=1.0), TypeError, "h to hold real numbers")
    refused(lambda: rk.LSTM(4, dtype="complex64"), TypeError, "float32 or float64")
    layer = CASES["lru"].layer()
    refused(lambda: layer.weights.__setitem__("D", np.ones(4) * 1j), TypeError, "real numbers")
    refused(lambda: layer.weights.__setitem__("lam", np.ones((2, 6))), ValueError, "(6,)", "(2, 6)")
    refused(lambda: layer(CASES["lru"].x(), initial_state=[np.ones((3, 2, 6))]), ValueError, "(3, 6)")
    refused(lambda: rk.jacobian(layer.cell, np.ones((1, 4)) * 1j), TypeError, "real numbers")
    refused(lambda: layer.vjp(CASES["lru"].x())[1]([np.ones((3, 9, 4)) * 1j, None]), TypeError, "real numbers")
    own = rk.cell(states={"z": rk.State(2, "complex")}, vjp=lambda x, s, d, ds: None)(lambda x, s: (x, s.z))
    refused(lambda: rk.RNN(own())(x), ValueError, "vjp of its own")
    model = rk.Sequential([CASES["unitary"].layer(return_state=False)])
    model.compile("sgd", "mse")
    refused(lambda: model.fit(CASES["unitary"].x(), np.ones((3, 9, 5)), verbose=0), TypeError, "y_pred", "y_pred.real")


def test_C20_no_gradient_goes_through_what_is_stopped():
    @rk.cell(states={"z": rk.State(1, "complex")})
    def half(x, states):
        z = x * (1 + 1j)
        return (z * rk.stop_gradient(z).conj()).real, states.z

    y, back = rk.RNN(half(), dtype="float64").vjp(np.full((1, 1, 1), 3.0))
    np.testing.assert_allclose(back(np.ones_like(y)).x, 6)  # half of that of |z|²
