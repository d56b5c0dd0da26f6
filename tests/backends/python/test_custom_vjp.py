"""Cells that say themselves how cotangents go back: jitted, in stacks, under masks, and what they are told."""

import contextlib
import copy

import numpy as np
import pytest
from cells_under_test import FoldedCell, folded
from matrix import flat

import rnnkit as rk
from rnnkit.compiler.autodiff.numpy_vjp import Pull
from rnnkit.execution import passes
from rnnkit.steps.cell import prepare
from rnnkit.steps.step import Step

SPEC = {
    "kernel": rk.Weight(("features", "units"), "glorot_uniform"),
    "recurrent_kernel": rk.Weight(("units", "units"), "orthogonal"),
}


def fold(x, states, weights, *, limit=0.7):
    """A loop that ends where its data say, over all rows."""
    (h,) = states
    z = x @ weights.kernel + h @ weights.recurrent_kernel
    h = np.zeros_like(z)
    for row in range(z.shape[0]):
        for unit in range(z.shape[1]):
            value = z[row, unit]
            while abs(value) > limit:
                value = 2 * limit - value if value > 0 else -2 * limit - value
            h[row, unit] = value
    return 2 * h, (h,)


def unfold(x, states, weights, d_output, d_states, *, limit):
    """How often each unit was folded says the sign of its slope."""
    (h,) = states
    z = x @ weights.kernel + h @ weights.recurrent_kernel
    sign = np.where(np.floor((z + limit) / (2 * limit)) % 2 == 0, 1.0, -1.0)
    dz = sign * (2 * d_output + d_states[0])
    d_weights = {"kernel": x.T @ dz, "recurrent_kernel": h.T @ dz}
    return dz @ weights.kernel.T, (dz @ weights.recurrent_kernel.T,), d_weights


def cell(vjp=None, step=fold, states=None, **more):
    return rk.cell(states=states or {"h": "units"}, weights=SPEC, vjp=vjp, **more)(step)


by_hand = cell(unfold)


@rk.cell(
    states={"h": "units"},
    vjp=lambda x, states, d_output, d_states, limit: halved_back(x, states, d_output + d_states[0], limit),
)
def halved(x, states, *, limit=1.0):
    """Means one row: the loop looks at its largest value."""
    z = states[0] + x
    while np.abs(z).max() > limit:
        z = z / 2
    return z, z


def halved_back(x, states, dz, limit):
    assert len(x) == 1, "a step that decides by values sees one row"
    z = states[0] + x
    while np.abs(z).max() > limit:
        z, dz = z / 2, dz / 2
    return dz, dz, None


class Shrinking(rk.Cell):
    """The class form, with two states, constants and draws."""

    def __init__(self):
        super().__init__()
        self.state_size = [3, 1]
        self.draws = {"noise": rk.Draw((3,), lambda rng, shape: rng.normal(size=shape))}

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], 3), "glorot_uniform", name="kernel")

    def call(self, inputs, states, constants, training=False, draws=None):
        h, turns = states
        h = 0.5 * h + np.dot(inputs, self.kernel) + constants[0]
        if training:
            h = h + draws.noise
        turns = turns * 0.5
        for row in range(h.shape[0]):
            while np.abs(h[row]).sum() > 1.5:
                h[row] *= 0.9375
                turns[row, 0] += 1
        return h, [h, turns]

    def vjp(self, inputs, states, d_output, d_states, constants, training, draws):
        h, _ = states
        h = 0.5 * h + inputs @ self.kernel + constants[0]
        if training:
            h = h + draws.noise
        dh, d_turns = d_output + d_states[0], 0.5 * d_states[1]
        for row in range(len(h)):
            while np.abs(h[row]).sum() > 1.5:
                h[row] *= 0.9375
                dh[row] *= 0.9375
        return dh @ self.kernel.T, [0.5 * dh, d_turns], {"kernel": inputs.T @ dh}, [dh]


class Plain:
    """No cell of rnnkit's: an object with ``call``, ``state_size`` and ``vjp``."""

    state_size = 2

    def call(self, inputs, states):
        h = 0.5 * states[0] + inputs[:, :2]
        return h, [h]

    def vjp(self, inputs, states, d_output, d_states):
        d = d_output + d_states[0]
        d_x = np.zeros_like(inputs)
        d_x[:, :2] = d
        return d_x, 0.5 * d, {}


MASK = np.array([[1, 1, 0, 1, 0, 1], [0, 0, 1, 1, 1, 0], [0] * 6, [1] * 6], bool)
X = np.random.default_rng(5).normal(size=(4, 6, 3))


def layer_of(made, **more):
    keywords = {"return_sequences": True, "return_state": True, "dtype": "float64", "seed": 2} | more
    layer = rk.RNN(made, **keywords)
    layer.build((None, None, 3))
    return layer


def cotangents(outputs, seed=0):
    rng = np.random.default_rng(seed)
    like = lambda y: [like(one) for one in y] if isinstance(y, (list, tuple)) else rng.normal(size=y.shape)
    return like(outputs)


def arrays_of(gradient):
    found = {"x": gradient.x} | dict(gradient.weights)
    for what in ("initial_state", "constants"):
        found |= {f"{what}{i}": array for i, array in enumerate(flat(getattr(gradient, what) or []))}
    return found


def close(found, expected, tolerance=1e-12):
    found, expected = arrays_of(found), arrays_of(expected)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert found[name].shape == array.shape and found[name].dtype == array.dtype, name
        np.testing.assert_allclose(found[name], array, rtol=0, atol=tolerance * max(1.0, np.abs(array).max(initial=0)))


@pytest.mark.parametrize("options", [{}, {"go_backwards": True}, {"zero_output_for_mask": True}], ids=str)
def test_X9_gradcheck_passes_with_the_right_one(options):
    layer = layer_of(by_hand(4), **options)
    assert layer.explain().startswith("jitted")
    for mask in (None, MASK):
        assert rk.gradcheck(layer, X, mask=mask)


def test_gradcheck_finds_a_wrong_one():
    def wrong(x, states, weights, d_output, d_states, *, limit):
        d_x, d_states, d_weights = unfold(x, states, weights, d_output, d_states, limit=limit)
        return d_x, d_states, d_weights | {"recurrent_kernel": 1.001 * d_weights["recurrent_kernel"]}

    check = rk.gradcheck(cell(wrong)(4))
    assert not check and check["kernel"].ok and check["x"].ok and not check["recurrent_kernel"].ok
    assert 1e-4 < check["recurrent_kernel"].error < 1e-2
    lines = repr(check).splitlines()
    assert "WRONG" in lines[0] and sum("WRONG" in line for line in lines[1:]) == 1 and len(lines) == 5


def test_a_step_that_means_one_row_goes_back_row_by_row():
    layer = layer_of(halved(3))
    x = X * np.array([0.1, 1.0, 3.0, 10.0])[:, None, None]
    assert rk.gradcheck(layer, x) and rk.gradcheck(layer, x, mask=MASK)


@pytest.mark.parametrize("training", [pytest.param(False, marks=pytest.mark.sweep), True])
def test_class_form_with_constants_and_draws(training):
    assert rk.gradcheck(Shrinking(), X, mask=MASK, constants=[(3,)], training=training)


def test_an_object_of_its_own():
    assert rk.gradcheck(Plain(), X) and rk.gradcheck(Plain(), X, mask=MASK)


@pytest.mark.sweep  # a shorter one is below, with constants
def test_in_a_stack_beside_cells_that_are_traced():
    layer = layer_of([rk.LSTMCell(5), by_hand(4), [rk.GRUCell(3), by_hand(2)]])
    assert rk.gradcheck(layer, X, mask=MASK)
    layer.vjp(X)
    told = (
        "a Python loop from the last step to the first, LSTMCell by rules, fold by its own vjp, GRUCell by rules, fold"
    )
    assert told in layer.explain() and layer.explain().endswith("programs of this layer: 1")


def test_what_no_vjp_says_is_zero():
    def nothing(x, states, weights, d_output, d_states):
        return None, None, None

    outputs, pullback = layer_of(cell(nothing)(4)).vjp(X)
    assert not any(array.any() for array in arrays_of(pullback(cotangents(outputs))).values())


def test_its_own_vjp_goes_before_the_rules():
    """A surrogate: the step jumps, its vjp says what slope to learn by."""

    def surrogate(x, states, d_output, d_states, *, threshold):
        slope = 1 / (1 + np.abs(states[0] + x - threshold)) ** 2
        return d_output * slope + d_states[0], d_output * slope + d_states[0], {}

    def fires(x, states, *, threshold=0.5):
        v = states[0] + x
        return np.where(v > threshold, 1.0, 0.0), v

    made = [rk.cell(states={"v": "features"}, vjp=vjp)(fires)() for vjp in (None, surrogate)]
    for own, one in zip((False, True), made, strict=True):
        outputs, pullback = rk.RNN(one, dtype="float64").vjp(X)
        assert pullback(np.ones_like(outputs)).x.any() == own
        assert rk.jacobian(one, X[:, 0]).output_by_x.any() == own
    assert not rk.gradcheck(made[1])


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("zero_masked", [False, True])
@pytest.mark.parametrize("options", [{"checkpoint": 1}, {"checkpoint": 4}, {"truncate": 2}, {"truncate": 6}], ids=str)
def test_by_hand_equals_the_compiled_gradient(options, masked, zero_masked):
    """A cell that is traced, with its own rules in NumPy as its vjp."""
    plain = layer_of([rk.LSTMCell(4), rk.GRUCell(3)], zero_output_for_mask=zero_masked)
    hand = copy.deepcopy(plain)
    for one in hand.cell.cells:
        one.vjp = rules_of(one)
    mask = MASK if masked else None
    (outputs, pullback), (same, by) = (one.vjp(X, mask=mask, **options) for one in (plain, hand))
    for a, b in zip(flat(outputs), flat(same), strict=True):
        np.testing.assert_array_equal(a, b)
    g = cotangents(outputs)
    close(by(g), pullback(g))
    close(by(g), by(g), 0.0)
    close(by([g[0], None, None]), pullback([g[0], None, None]))


class rules_of:
    """A vjp of a cell that is its own adjoint, evaluated in NumPy."""

    def __init__(self, cell):
        self.cell = cell

    def __call__(self, x, states, d_output, d_states):
        step = Step(self.cell, x.shape[1:])
        weights = dict(self.cell.weights)
        pull = Pull(passes.read(step, np.float64, weights), np.float64, (), x.shape[1:])
        return pull(x, states, weights, (), {}, d_output, d_states)[:3]


def test_float32_is_near_float64():
    found = []
    for dtype in ("float32", "float64"):
        layer = layer_of(by_hand(4), dtype=dtype)
        outputs, pullback = layer.vjp(X.astype(np.float32), mask=MASK)
        gradient = pullback(cotangents(outputs))
        assert all(array.dtype == dtype for array in arrays_of(gradient).values())
        found.append(arrays_of(gradient))
    for name, array in found[1].items():
        np.testing.assert_allclose(found[0][name], array, rtol=0, atol=2e-5 * np.abs(array).max(), err_msg=name)


def test_what_stands_under_a_mask_reaches_nothing():
    layer = layer_of(by_hand(4))
    x = np.where(MASK[..., None], X, np.nan)
    found = []
    for given in (X, x):
        outputs, pullback = layer.vjp(given, mask=MASK)
        found.append(pullback(cotangents(outputs)))
    close(*found, 0.0)
    assert not found[0].x[~MASK].any()


def test_changes_after_the_call_change_nothing():
    layer, x, mask = layer_of(by_hand(4)), X.copy(), MASK.copy()
    outputs, pullback = layer.vjp(x, mask=mask, checkpoint=4)
    before = pullback(cotangents(outputs))
    x[:], mask[:] = 7, True
    layer.weights["kernel"] = np.zeros((3, 4))
    close(pullback(cotangents(outputs)), before, 0.0)


def test_nothing_to_run():
    layer = layer_of(by_hand(4))
    for x in (X[:0], X[:, :0]):
        outputs, pullback = layer.vjp(x)
        gradient = pullback(cotangents(outputs))
        assert gradient.x.shape == x.shape and not gradient.weights["kernel"].any()


def test_a_sparse_weight_has_a_gradient_where_it_is_connected():
    spec = {"kernel": SPEC["kernel"], "recurrent_kernel": rk.Weight(("units", "units"), "normal", density=0.3)}
    layer = layer_of(rk.cell(states={"h": "units"}, weights=spec, vjp=unfold)(fold)(4))
    outputs, pullback = layer.vjp(X)
    gradient = pullback(cotangents(outputs)).weights["recurrent_kernel"]
    np.testing.assert_array_equal(gradient != 0, layer.weights["recurrent_kernel"] != 0)
    assert rk.gradcheck(layer, X)


def test_under_eager():
    layer = layer_of(by_hand(4))
    outputs, pullback = layer.vjp(X, mask=MASK)
    with rk.eager():
        same, by = layer.vjp(X, mask=MASK)
        close(by(cotangents(same)), pullback(cotangents(outputs)))
        gru = layer_of(rk.GRUCell(3))
        outputs, pullback = gru.vjp(X)
        assert pullback(cotangents(outputs)).x.any()


@pytest.mark.parametrize(
    "made",
    [folded(4), FoldedCell(4), pytest.param([by_hand(3), folded(4)], marks=pytest.mark.sweep)],
    ids=["one", "class", "stack"],
)
def test_without_one_jitted(made):
    layer = rk.RNN(made, stateful=True, dtype="float64")
    layer(X)
    before = flat(layer.states)
    with pytest.raises(ValueError, match=r"isn't known, since the tracer can't read .*for row.*rk\.cell\(…, vjp="):
        layer.vjp(X)
    with pytest.raises(ValueError, match="rk.cell"):
        rk.jacobian(layer, X[:, 0])
    for a, b in zip(flat(layer.states), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    "returned, words",
    [
        (lambda x, h: (x, h), r"return \(d_x, d_states, d_weights\), got 2 results"),
        (lambda x, h: x, "got ndarray"),
        (lambda x, h: (x[:, :1], h, {}), r"return d_x of shape \(4, 3\), got \(4, 1\)"),
        (lambda x, h: (x, (h, h), {}), "return 1 d_states, got 2"),
        (lambda x, h: (x, h.T[:, :3], {}), r"d_states\[0\] of shape \(4, 4\), got \(4, 3\)"),
        (lambda x, h: (x, h, {"kernel": h}), r"d_weights\['kernel'\] of shape \(3, 4\), got \(4, 4\)"),
        (lambda x, h: (x, h, {"kernal": x}), "weights among kernel, recurrent_kernel, got 'kernal'"),
        (lambda x, h: (x, h, [x]), "d_weights as a dict by the weights' names, got list"),
    ],
)
def test_what_it_returns_is_checked(returned, words):
    made = cell(lambda x, states, weights, d_output, d_states: returned(x, states[0]))
    _, pullback = layer_of(made(4)).vjp(X)
    with pytest.raises(ValueError, match="expected the vjp of 'fold' to .*" + words) as raised:
        pullback(None)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "vjp",
    [
        lambda x, states, d_output, d_states: None,
        lambda x, states, weights, d_output, d_states, other: None,
        lambda x, states, weights, d_output, d_states, *, other: None,
        lambda *args: None,
    ],
)
def test_its_signature_is_the_steps(vjp):
    with pytest.raises(ValueError, match=r"a vjp of 'fold' such as vjp\(x, states, weights, d_output, d_states\)"):
        cell(vjp)
    with pytest.raises(ValueError, match="vjp to be a function, got int"):
        cell(3)


def test_rules_in_numpy_stand_for_a_whole_step():
    """What neighbours of such a cell in a stack take."""
    rng = np.random.default_rng(0)
    made = rk.LSTMCell(4)
    prepare(made, (None, 3), np.float64, rng)
    x, h, c, dy, dh, dc = (rng.normal(size=(5, n)) for n in (3, 4, 4, 4, 4, 4))
    d_x, d_states, d_weights = rules_of(made)(x, (h, c), dy, (dh, dc))
    jacobian = rk.jacobian(made, x, [h, c])
    by_x = np.einsum("bo,bof->bf", dy + dh, jacobian.output_by_x) + np.einsum("bo,bof->bf", dc, jacobian.state_by_x[1])
    np.testing.assert_allclose(d_x, by_x, rtol=0, atol=1e-13)
    assert {name: array.shape for name, array in d_weights.items()} == {n: w.shape for n, w in made.weights.items()}


@pytest.mark.parametrize("options", [{}, {"go_backwards": True}, {"zero_output_for_mask": True}], ids=str)
@pytest.mark.parametrize("checkpoint", [None, 1, 4])
def test_results_are_the_calls(options, checkpoint):
    for more in (options, options | {"return_sequences": False}):
        layer = layer_of(by_hand(4), stateful=True, **more)
        twin = copy.deepcopy(layer)
        for mask in (None, MASK):
            found, _ = layer.vjp(X, mask=mask, checkpoint=checkpoint)
            for a, b in zip(flat(found), flat(twin(X, mask=mask)), strict=True):
                np.testing.assert_array_equal(a, b)
        for a, b in zip(flat(layer.states), flat(twin.states), strict=True):
            np.testing.assert_array_equal(a, b)


def test_checkpoints_change_no_bit():
    """Segments computed again give the gradient of the whole."""
    layer = layer_of(by_hand(4), go_backwards=True)
    outputs, pullback = layer.vjp(X, mask=MASK)
    g = cotangents(outputs)
    for checkpoint in (1, 4, 6, 100):
        close(layer.vjp(X, mask=MASK, checkpoint=checkpoint)[1](g), pullback(g), 0.0)


@rk.cell(states={"h": "features"})
def scales(x, states, constants):
    h = 0.5 * states[0] + x * constants[0][:, :1]
    return h, h


def test_constants_reach_the_cells_that_take_them():
    class Adds(rk.Cell):
        state_size = 3

        def call(self, inputs, states, constants):
            h = 0.5 * states[0] + inputs + constants[0]
            return h, [h]

        def vjp(self, inputs, states, d_output, d_states, constants):
            d = d_output + d_states[0]
            return d, 0.5 * d, None, [d]

    layer = layer_of([by_hand(3), Adds(), scales()])
    assert rk.gradcheck(layer, X, mask=MASK, constants=[(3,)])


def test_inside_other_layers():
    both = rk.Bidirectional(rk.RNN(by_hand(3), return_sequences=True), merge_mode="sum", seed=0)
    assert rk.gradcheck(both, X, mask=MASK)
    model = rk.Sequential([rk.RNN(by_hand(3), return_sequences=True), rk.Dense(2)], seed=0)
    assert rk.gradcheck(model, X, mask=MASK)


@pytest.mark.parametrize(
    "made",
    [by_hand(4), halved(3), Plain(), pytest.param([rk.GRUCell(3), by_hand(4)], marks=pytest.mark.sweep)],
    ids="batch row object stack".split(),
)
def test_its_jacobian(made):
    layer, size, rng = layer_of(made), 1e-6, np.random.default_rng(0)
    spec = layer._spec
    x, d_x = X[:, 0], X[:, 1]
    states, d_states = ([rng.normal(size=(4, *shape)) for shape in spec.shapes] for _ in range(2))
    jacobian = rk.jacobian(layer, x, spec.pack(states))
    wide = lambda arrays: np.concatenate([a.reshape(4, -1) for a in arrays], axis=1)
    moved = []
    for s in (size, -size):
        start = spec.pack([a + s * d for a, d in zip(states, d_states, strict=True)])
        moved.append(flat(layer((x + s * d_x)[:, None], initial_state=start)))
    slope = [(a - b).reshape(4, -1) / (2 * size) for a, b in zip(*moved, strict=True)]
    results, tangents = rk.jvp(layer, x, spec.pack(states), d_x, spec.pack(d_states))
    np.testing.assert_allclose(wide(flat(tangents)), wide(slope), rtol=0, atol=1e-8)
    np.testing.assert_allclose(
        wide(flat(results)), wide(flat(layer(x[:, None], spec.pack(states)))), rtol=0, atol=1e-14
    )
    by_x = jacobian.state_by_x
    by_x = np.concatenate(list(by_x.values()), axis=1) if isinstance(by_x, dict) else by_x
    of_states = np.einsum("bij,bj->bi", jacobian.matrix, wide(d_states)) + np.einsum("bij,bj->bi", by_x, d_x)
    np.testing.assert_allclose(of_states, wide(slope[1:]), rtol=0, atol=1e-8)


# Vjps that are read, and compiled with the step


def surrogate(x, states, weights, d_output, d_states, *, beta):
    """Of `spiking`, with a slope where there is none."""
    v, s = states
    z = beta * v * (1 - s) + x @ weights.kernel + s @ weights.recurrent_kernel
    dz = d_states[0] + (d_output + d_states[1]) / (1 + 10 * np.abs(z - 1)) ** 2
    d_s = dz @ weights.recurrent_kernel.T - dz * beta * v
    return (
        dz @ weights.kernel.T,
        (dz * beta * (1 - s), d_s),
        {"kernel": x.T @ dz, "recurrent_kernel": np.einsum("bi,bj->ij", s, dz)},
    )


@rk.cell(states={"v": "units", "s": "units"}, weights=SPEC, vjp=surrogate)
def spiking(x, states, weights, *, beta=0.9):
    v, s = states
    z = beta * v * (1 - s) + x @ weights.kernel + s @ weights.recurrent_kernel
    s = (z > 1) * 1.0
    return s, (z, s)


@pytest.mark.parametrize("cells", [lambda: spiking(5), lambda: spiking(40), lambda: [spiking(5), rk.GRUCell(4)]])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_vjp_that_is_read_gives_what_it_gives_in_python(cells, masked, backwards, rng):
    x = 2 * rng.normal(size=(3, 12, 4))
    mask = rng.random((3, 12)) < 0.7 if masked else None
    found = []
    layer = rk.RNN(cells(), return_sequences=True, go_backwards=backwards, dtype="float64", seed=3)
    layer(x)
    layer.vjp(x)
    assert "gradient: by vjps of cells, read as their steps are" in layer.explain()
    for in_python in (False, True):
        with rk.eager() if in_python else contextlib.nullcontext():
            y, pullback = layer.vjp(x, mask=mask, checkpoint=5)
            found.append(pullback(np.cos(np.arange(y.size)).reshape(y.shape)))
    assert "a Python loop" in layer.explain()  # by which the second went
    compiled, python = ([one.x, *one.weights.values(), *flat(one.initial_state)] for one in found)
    for got, wanted in zip(compiled, python, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-12)


def test_a_vjp_that_cannot_be_read_goes_by_python(rng):
    """One that looks at values, one that mixes rows, and one that counts its calls."""
    calls = []

    def looks(x, states, d_output, d_states):
        return (d_output if np.all(np.isfinite(x)) else 0 * d_output), (d_states[0],), {}

    def mixes(x, states, d_output, d_states):
        return d_output / max(1, len(x)), (d_states[0],), {}

    def counts(x, states, d_output, d_states):
        calls.append(float(x.sum()))
        return d_output, (d_states[0],), {}

    x = rng.normal(size=(3, 5, 2))
    for back, factor in ((looks, 1.0), (mixes, 1 / 3), (counts, 1.0)):
        layer = rk.RNN(rk.cell(states={"h": "units"}, vjp=back)(lambda x, states: (x, states))(2), dtype="float64")
        y, pullback = layer.vjp(x)
        np.testing.assert_allclose(pullback(np.ones_like(y)).x[:, -1], factor)
        assert "a Python loop" in layer.explain()
    assert len(calls) >= 1
