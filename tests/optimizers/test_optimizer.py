"""Optimizers: their rules against slow loops and other libraries, and the laws of an update."""

import copy
import json
import math
import pickle

import numpy as np
import pytest

import rnnkit as rk
from rnnkit import constraints, regularizers
from rnnkit.layers.support.layer_tree import arrays_by_name, options_by_name, put_arrays
from rnnkit.optimizers import SGD, Adam, AdamW, Lion, Nadam, Optimizer, RMSprop
from rnnkit.steps.weight_options import WeightOptions

SHAPES = {"kernel": (7, 45), "bias": (2, 3), "gain": (), "none": (0, 4)}
STEPS = 6
rng = np.random.default_rng(0)
START = {name: rng.normal(size=shape) for name, shape in SHAPES.items()}
GRADIENTS = [{name: rng.normal(size=shape) for name, shape in SHAPES.items()} for _ in range(STEPS)]


# Every rule as its formula for one weight, in plain NumPy: from the settings, the number of the update (1 at first),
# the learning rate, the weight, the gradient and a dict that it keeps.


def sgd(s, t, rate, w, g, kept):
    if not s["momentum"]:
        return w - rate * g
    kept["m"] = m = s["momentum"] * kept.get("m", 0) - rate * g
    return w + s["momentum"] * m - rate * g if s["nesterov"] else w + m


def rmsprop(s, t, rate, w, g, kept):
    kept["v"] = s["rho"] * kept.get("v", 0) + (1 - s["rho"]) * g**2
    kept["a"] = s["rho"] * kept.get("a", 0) + (1 - s["rho"]) * g
    spread = kept["v"] - kept["a"] ** 2 if s["centered"] else kept["v"]
    kept["m"] = s["momentum"] * kept.get("m", 0) + rate * g / np.sqrt(spread + s["epsilon"])
    return w - kept["m"]


def averages(s, g, kept):
    kept["m"] = s["beta_1"] * kept.get("m", 0) + (1 - s["beta_1"]) * g
    kept["v"] = s["beta_2"] * kept.get("v", 0) + (1 - s["beta_2"]) * g**2
    return kept["m"], kept["v"]


def adam(s, t, rate, w, g, kept):
    m, v = averages(s, g, kept)
    if s["amsgrad"]:
        kept["largest"] = v = np.maximum(kept.get("largest", 0), v)
    corrected = math.sqrt(1 - s["beta_2"] ** t) / (1 - s["beta_1"] ** t)
    return w - rate * corrected * m / (np.sqrt(v) + s["epsilon"])


def nadam(s, t, rate, w, g, kept):
    m, v = averages(s, g, kept)
    u = [s["beta_1"] * (1 - 0.5 * 0.96**k) for k in range(1, t + 2)]
    ahead = u[t] * m / (1 - math.prod(u)) + (1 - u[t - 1]) * g / (1 - math.prod(u[:t]))
    return w - rate * ahead / (np.sqrt(v / (1 - s["beta_2"] ** t)) + s["epsilon"])


def lion(s, t, rate, w, g, kept):
    m = kept.get("m", 0)
    kept["m"] = s["beta_2"] * m + (1 - s["beta_2"]) * g
    return w - rate * np.sign(s["beta_1"] * m + (1 - s["beta_1"]) * g)


RULES = {SGD: sgd, RMSprop: rmsprop, Adam: adam, AdamW: adam, Nadam: nadam, Lion: lion}
VARIANTS = [
    (SGD, {}),
    (SGD, {"momentum": 0.8}),
    (SGD, {"momentum": 0.8, "nesterov": True}),
    (RMSprop, {}),
    (RMSprop, {"centered": True, "momentum": 0.7, "rho": 0.8}),
    (Adam, {}),
    (Adam, {"beta_1": 0.7, "beta_2": 0.95, "epsilon": 1e-3, "amsgrad": True}),
    (AdamW, {}),
    (Nadam, {"learning_rate": 0.01}),
    (Lion, {"beta_1": 0.8}),
]
CLIPS = [{}, {"clipnorm": 2.0}, {"clipvalue": 0.5}, {"global_clipnorm": 3.0}]
PENALTIES = {
    "kernel": WeightOptions(regularizer=regularizers.L1L2(0.05, 0.3)),
    "gain": WeightOptions(regularizer=regularizers.L2(0.2)),
}


def by_hand(optimizer, weights, gradients, weight_options=None):
    """The updates of an optimizer, one weight after the other in float64."""
    settings, kept = optimizer.get_config(), {name: {} for name in weights}
    weights, weight_options = dict(weights), weight_options or {}
    for t, given in enumerate(gradients, 1):
        rate = settings["learning_rate"]
        given = {name: np.array(array, np.float64) for name, array in given.items()}
        for name, one in weight_options.items():
            if one.regularizer is not None:
                given[name] = given[name] + one.regularizer.gradient(weights[name])
        norms = {name: math.sqrt(float((array**2).sum())) for name, array in given.items()}
        for name, g in given.items():
            w = weights[name]
            if (limit := settings["clipnorm"]) and norms[name] > limit:
                g = g * limit / norms[name]
            if (limit := settings["global_clipnorm"]) and math.hypot(*norms.values()) > limit:
                g = g * limit / math.hypot(*norms.values())
            if limit := settings["clipvalue"]:
                g = np.clip(g, -limit, limit)
            w = w - rate * (settings["weight_decay"] or 0) * w
            weights[name] = RULES[type(optimizer)](settings, t, rate, w, g, kept[name])
    return weights


def run(optimizer, gradients=GRADIENTS, weights=START, weight_options=None, dtype="float64"):
    weights = {name: np.asarray(array, dtype) for name, array in weights.items()}
    for given in gradients:
        weights = optimizer.apply(weights, {name: np.asarray(g, dtype) for name, g in given.items()}, weight_options)
    return weights


def same(one, other, **tolerance):
    assert list(one) == list(other)
    for name in one:
        if tolerance:
            assert np.allclose(one[name], other[name], **tolerance), name
        else:
            assert one[name].tobytes() == other[name].tobytes(), name


@pytest.mark.parametrize("kind, settings", VARIANTS, ids=str)
def test_T10_rules_are_their_formulas(kind, settings):
    same(run(kind(**settings)), by_hand(kind(**settings), START, GRADIENTS), rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("kind, settings", [(SGD, {}), (RMSprop, {}), (Adam, {}), (Nadam, {}), (Lion, {})], ids=str)
def test_float32_is_the_same_within_rounding(kind, settings):
    found = run(kind(**settings), dtype="float32")
    assert {array.dtype.name for array in found.values()} == {"float32"}
    expected = by_hand(kind(**settings), START, GRADIENTS)
    same(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("decay", [None, 0.3])
@pytest.mark.parametrize("clip", CLIPS, ids=str)
@pytest.mark.parametrize("weight_options", [None, PENALTIES], ids=["plain", "penalties"])
def test_around_the_rule(decay, clip, weight_options):
    optimizer = SGD(0.1, momentum=0.5, weight_decay=decay, **clip)
    same(
        run(optimizer, weight_options=weight_options),
        by_hand(optimizer, START, GRADIENTS, weight_options),
        rtol=1e-12,
        atol=1e-13,
    )


def test_clips_do_something_here():
    plain = run(SGD(0.1))
    for clip in CLIPS[1:]:
        assert not np.allclose(run(SGD(0.1, **clip))["kernel"], plain["kernel"])
    same(run(SGD(0.1, global_clipnorm=1e9)), plain)


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
def test_a_gradients_length_is_that_with_its_penalty(clip):
    weights = {"w": np.array([3.0, -4.0])}
    penalty = {"w": WeightOptions(regularizer=regularizers.L1L2(0.5, 0.25))}
    found = SGD(1.0, **{clip: 0.5}).apply(weights, {"w": np.zeros(2)}, penalty)["w"]
    gradient = 0.5 * np.sign(weights["w"]) + 2 * 0.25 * weights["w"]
    np.testing.assert_allclose(found, weights["w"] - 0.5 * gradient / np.linalg.norm(gradient), rtol=1e-12)


AROUND = [{"weight_decay": 0.1, "clipnorm": 2.0}, {"global_clipnorm": 3.0}, {"clipvalue": 0.5}]


@pytest.mark.parametrize("kind, settings", [*VARIANTS, *((Adam, around) for around in AROUND)], ids=str)
def test_keras_agrees(kind, settings):
    keras = pytest.importorskip("keras")
    names = [name for name in SHAPES if name != "none"]
    theirs = getattr(keras.optimizers, kind.__name__)(**settings)
    variables = [keras.Variable(START[name].astype("float32")) for name in names]
    for given in GRADIENTS:
        theirs.apply([keras.ops.convert_to_tensor(given[name].astype("float32")) for name in names], variables)
    own = run(kind(**settings), [{n: g[n] for n in names} for g in GRADIENTS], {n: START[n] for n in names})
    loose = 1e-3 if settings.get("centered") else 2e-5
    for name, variable in zip(names, variables, strict=True):
        assert np.allclose(own[name], np.asarray(variable), rtol=loose, atol=loose), name


@pytest.mark.parametrize(
    "own, theirs, settings",
    [
        (SGD(0.1), "SGD", {"lr": 0.1}),
        (SGD(0.1, momentum=0.8), "SGD", {"lr": 0.1, "momentum": 0.8}),
        (SGD(0.1, momentum=0.8, nesterov=True), "SGD", {"lr": 0.1, "momentum": 0.8, "nesterov": True}),
        (AdamW(0.01, weight_decay=0.2, epsilon=0.0), "AdamW", {"lr": 0.01, "weight_decay": 0.2, "eps": 0.0}),
        (Adam(0.01, epsilon=0.0), "Adam", {"lr": 0.01, "eps": 0.0}),
    ],
    ids=repr,
)
def test_torch_agrees(own, theirs, settings):
    torch = pytest.importorskip("torch")
    parameter = torch.nn.Parameter(torch.tensor(START["kernel"]))
    optimizer = getattr(torch.optim, theirs)([parameter], **settings)
    for given in GRADIENTS:
        parameter.grad = torch.tensor(given["kernel"])
        optimizer.step()
    found = run(own, [{"kernel": g["kernel"]} for g in GRADIENTS], {"kernel": START["kernel"]})["kernel"]
    assert np.allclose(found, parameter.detach().numpy(), rtol=1e-10)


KINDS = [SGD(momentum=0.8), RMSprop(centered=True, momentum=0.7), Adam(amsgrad=True), Nadam(), Lion()]


@pytest.mark.parametrize("optimizer", KINDS, ids=repr)
def test_resumes_bit_for_bit(optimizer, tmp_path):
    whole, first = copy.deepcopy(optimizer), copy.deepcopy(optimizer)
    expected = run(whole)
    halfway = run(first, GRADIENTS[:3])
    np.savez(tmp_path / "state.npz", **first.get_state())
    before = first.get_state()
    with np.load(tmp_path / "state.npz") as file:
        state = dict(file)
    fresh = copy.deepcopy(optimizer)
    fresh.set_state(state)
    again = type(optimizer).from_config(first.get_config())
    again.set_state(state)
    run(again, GRADIENTS[3:], halfway)  # from elsewhere: it has its layout now
    again.set_state(state)
    for one in (pickle.loads(pickle.dumps(first)), copy.deepcopy(first), first, fresh, again):
        same(one.get_state(), before)
        same(run(one, GRADIENTS[3:], halfway), expected)
        same(one.get_state(), whole.get_state())


def test_a_state_holds_the_learning_rate_of_a_callback():
    optimizer = SGD(0.5)
    run(optimizer)
    optimizer.learning_rate = 0.25
    again = SGD(0.5)
    again.set_state(optimizer.get_state())
    assert again.learning_rate == 0.25 and again.iterations == STEPS


def test_what_is_no_state_of_it():
    optimizer = Adam()
    run(optimizer)
    state, before = optimizer.get_state(), optimizer.get_state()
    with pytest.raises(ValueError, match="expected a state of 'adam' with 'momentum/kernel' of shape"):
        optimizer.set_state({name: array for name, array in state.items() if name != "momentum/kernel"})
    with pytest.raises(ValueError, match="got 'x/y'"):
        optimizer.set_state(state | {"x/y": np.zeros(2)})
    with pytest.raises(ValueError, match="with iterations"):
        optimizer.set_state({})
    same(optimizer.get_state(), before)
    early = Adam()
    early.set_state(state | {"momentum/bias": np.zeros(5)})
    with pytest.raises(ValueError, match="momentum/bias"):
        run(early)


def test_results_are_new_and_read_only():
    optimizer, given = Adam(), {name: array.copy() for name, array in START.items()}
    first = optimizer.apply(given, GRADIENTS[0])
    kept = {name: array.copy() for name, array in first.items()}
    second = optimizer.apply(first, GRADIENTS[1])
    same(given, START)
    same(first, kept)
    for array in (*first.values(), *second.values()):
        assert not array.flags.writeable and array.flags.c_contiguous
        with pytest.raises(ValueError):
            array.flags.writeable = True


def test_weights_from_elsewhere_are_taken():
    """Those that the last update gave are known by identity; others must do as well."""
    one, other = Adam(), Adam()
    first = one.apply(START, GRADIENTS[0])
    copies = {name: array.copy() for name, array in other.apply(START, GRADIENTS[0]).items()}
    same(one.apply(first, GRADIENTS[1]), other.apply(copies, GRADIENTS[1]))
    moved = first | {"bias": START["bias"]}
    expected = copies | {"bias": START["bias"]}
    same(one.apply(moved, GRADIENTS[2]), other.apply(expected, GRADIENTS[2]))


def test_bits_do_not_depend_on_threads_or_companions():
    size = {"w": (600, 800), "b": (11,)}
    local = np.random.default_rng(1)
    weights = {name: local.normal(size=shape).astype("float32") for name, shape in size.items()}
    gradients = [{name: local.normal(size=shape).astype("float32") for name, shape in size.items()} for _ in range(3)]
    threads, found = rk.get_num_threads(), []
    try:
        for count in (1, 2, 1):
            rk.set_num_threads(count)
            optimizer = Adam(global_clipnorm=1.0)
            now = weights
            for given in gradients:
                now = optimizer.apply(now, given)
            found.append(now | optimizer.get_state())
    finally:
        rk.set_num_threads(threads)
    same(found[0], found[1])
    same(found[0], found[2])
    alone = run(Adam(), [{"b": g["b"]} for g in gradients], {"b": weights["b"]}, dtype="float32")
    among = run(Adam(), gradients, weights, dtype="float32")
    same(alone, {"b": among["b"]})


def test_two_precisions_in_one_model():
    weights = {
        "narrow": START["kernel"].astype("float32"),
        "wide": START["bias"],
        "other": START["bias"].astype("float32"),
    }
    gradients = [
        {"narrow": g["kernel"].astype("float32"), "wide": g["bias"], "other": g["bias"].astype("float32")}
        for g in GRADIENTS
    ]
    optimizer, now = Adam(global_clipnorm=1.0), weights
    for given in gradients:
        now = optimizer.apply(now, given)
    assert {name: array.dtype for name, array in now.items()} == {name: array.dtype for name, array in weights.items()}
    assert list(now) == list(weights)
    same(now, by_hand(optimizer, weights, gradients), rtol=1e-5, atol=1e-6)
    assert np.allclose(now["wide"], by_hand(optimizer, weights, gradients)["wide"], rtol=1e-9)  # the norm is of all


@pytest.mark.parametrize("optimizer", KINDS, ids=repr)
def test_a_penalty_is_its_gradient_by_hand(optimizer):
    one, other = copy.deepcopy(optimizer), copy.deepcopy(optimizer)
    ours, theirs = START, START
    for given in GRADIENTS:
        ours = one.apply(ours, given, PENALTIES)
        added = {
            name: g + (PENALTIES[name].regularizer.gradient(theirs[name]) if name in PENALTIES else 0)
            for name, g in given.items()
        }
        theirs = other.apply(theirs, added)
    same(ours, theirs, rtol=1e-11, atol=1e-12)


class Towards(regularizers.Regularizer):
    """A user's own penalty."""

    def __call__(self, weight):
        return 0.5 * float(np.sum((weight - 1) ** 2))

    def gradient(self, weight):
        return weight - 1


def test_a_penalty_of_ones_own():
    weight_options = {"kernel": WeightOptions(regularizer=Towards())}
    for optimizer in (SGD(0.1), SGD(0.1, clipnorm=0.5)):
        same(
            run(optimizer, weight_options=weight_options),
            by_hand(optimizer, START, GRADIENTS, weight_options),
            rtol=1e-12,
            atol=1e-13,
        )


@pytest.mark.parametrize(
    "constraint", [constraints.MaxNorm(0.5), constraints.NonNeg(), constraints.UnitNorm(), lambda w: np.round(w, 1)]
)
def test_constraints_hold_after_each_update(constraint):
    optimizer, plain, now = SGD(0.1), SGD(0.1), START
    for given in GRADIENTS:
        expected = plain.apply(now, given)
        now = optimizer.apply(now, given, {"kernel": WeightOptions(constraint=constraint)})
        assert (now["kernel"] == constraint(expected["kernel"])).all()
        assert (now["bias"] == expected["bias"]).all()


def test_a_constraint_that_fails_changes_nothing():
    optimizer = Adam()
    now = run(optimizer)
    before = optimizer.get_state()
    for constraint in (lambda w: w[:1], lambda w: 1 / 0):
        with pytest.raises((ValueError, ZeroDivisionError)):
            optimizer.apply(now, GRADIENTS[0], {"kernel": WeightOptions(constraint=constraint)})
    same(optimizer.get_state(), before)


def test_what_does_not_train_stays():
    weight_options = {"kernel": WeightOptions(trainable=False, regularizer=regularizers.L2(0.1))}
    optimizer = Adam()
    found = optimizer.apply(START, {name: g for name, g in GRADIENTS[0].items() if name != "kernel"}, weight_options)
    assert list(found) == ["bias", "gain", "none"]
    assert not any("kernel" in name for name in optimizer.get_state())
    assert Adam().apply(START, {}, dict.fromkeys(START, WeightOptions(trainable=False))) == {}


def test_rows_of_a_table_are_the_dense_gradient():
    layer = rk.Embedding(300, 5, seed=0)
    y, pullback = layer.vjp([[7, 3, 7]])
    gradient = pullback(np.ones_like(y)).weights["embeddings"]
    assert isinstance(gradient, rk.RowGradient)
    elsewhere = rk.RowGradient(np.array([4]), gradient.rows[:1], gradient.shape)
    for optimizer in (Adam(), SGD(0.5, global_clipnorm=0.1)):
        one, other, ours = copy.deepcopy(optimizer), copy.deepcopy(optimizer), arrays_by_name(layer)
        theirs = ours
        for wanted in (gradient, elsewhere, 2 * np.asarray(gradient), gradient):
            ours, theirs = (
                one.apply(ours, {"embeddings": wanted}),
                other.apply(theirs, {"embeddings": np.asarray(wanted)}),
            )
        same(ours, theirs)


@rk.cell(
    states={"h": "units"},
    weights={
        "kernel": rk.Weight(("features", "units")),
        "recurrent_kernel": rk.Weight(("units", "units"), "orthogonal", 0.2, regularizer=regularizers.L1L2(0.1, 0.1)),
        "bias": rk.Weight(("units",), "zeros"),
    },
)
def sparse(x, states, weights):
    """A cell with few connections."""
    h = np.tanh(x @ weights.kernel + states[0] @ weights.recurrent_kernel + weights.bias)
    return h, h


def test_layers_take_what_comes_and_sparse_weights_keep_their_pattern():
    """What stands behind a weight in the rows, as behind this bias of 11, must not be read as if it were of it."""
    layer = rk.RNN(sparse(units=11), seed=0, dtype="float64")
    x = rng.normal(size=(4, 6, 3))
    layer(x)
    zeros, losses = layer.weights["recurrent_kernel"] == 0, []
    for optimizer in (SGD(0.01, momentum=0.8, weight_decay=0.1), Adam(0.01), Nadam(0.01), Lion(0.01), RMSprop(0.01)):
        for _ in range(3):
            y, pullback = layer.vjp(x)
            losses.append(float((y**2).sum()))
            put_arrays(layer, optimizer.apply(arrays_by_name(layer), pullback(2 * y).weights, options_by_name(layer)))
            kernel, recurrent_kernel, bias = layer.weights.values()
            assert (recurrent_kernel[zeros] == 0).all() and (recurrent_kernel[~zeros] != 0).all()
            h = np.zeros((4, 11))
            for t in range(6):
                h = np.tanh(x[:, t] @ kernel + h @ recurrent_kernel + bias)
            assert np.allclose(layer(x), h, rtol=1e-12)
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e60])
@pytest.mark.parametrize("optimizer", [Adam(), Adam(global_clipnorm=1.0), SGD(clipvalue=0.1)], ids=repr)
def test_what_is_not_finite_changes_nothing(bad, optimizer):
    optimizer = copy.deepcopy(optimizer)
    now = run(optimizer, dtype="float32")
    before, kept = optimizer.get_state(), {name: array.copy() for name, array in now.items()}
    wrong = {name: g.copy() for name, g in GRADIENTS[0].items()}
    wrong["bias"][1, 2] = wrong["gain"][...] = bad
    with pytest.raises(FloatingPointError, match="in that of 'bias'; no weight was changed"):
        optimizer.apply(now, wrong)
    same(optimizer.get_state(), before)
    same(now, kept)
    assert optimizer.iterations == STEPS
    after = optimizer.apply(now, GRADIENTS[0])
    again = copy.deepcopy(optimizer)
    again.set_state(before)
    same(again.apply(now, GRADIENTS[0]), after)


def test_weights_stay_finite():
    """Where the gradient is finite, too, and a step is too long."""
    optimizer, weights = SGD(1e30), {"v": np.zeros(2, "float32"), "w": np.zeros(300, "float32")}
    gradients = {"v": np.zeros(2, "float32"), "w": np.eye(1, 300, 299, dtype="float32")[0] * 1e9}
    with pytest.raises(FloatingPointError, match="leads 'w' beyond float32; no weight was changed"):
        optimizer.apply(weights, gradients)
    assert optimizer.iterations == 0


def test_large_gradients_are_no_infinity():
    large = {"w": np.array([3e30, -1e38], "float32")}
    found = SGD(1.0, clipnorm=1.0).apply({"w": np.zeros(2, "float32")}, large)["w"]
    assert np.allclose(found, [-3e-8, 1.0])


def test_other_weights_want_another_optimizer():
    optimizer = Adam()
    now = run(optimizer)
    with pytest.raises(ValueError, match="'bias' was float64 \\(2, 3\\) and is none"):
        optimizer.apply({n: a for n, a in now.items() if n != "bias"}, GRADIENTS[0])
    with pytest.raises(ValueError, match="'kernel' was float64 \\(7, 45\\) and is float32"):
        optimizer.apply(now | {"kernel": now["kernel"].astype("float32")}, GRADIENTS[0])
    with pytest.raises(ValueError, match="got none for 'bias'"):
        optimizer.apply(now, {n: g for n, g in GRADIENTS[0].items() if n != "bias"})
    with pytest.raises(ValueError, match="of shape \\(2, 3\\), got \\(3, 2\\)"):
        optimizer.apply(now, GRADIENTS[0] | {"bias": GRADIENTS[0]["bias"].T})
    with pytest.raises(ValueError, match="float16 for 'w'"):
        Adam().apply({"w": np.ones(3, "float16")}, {"w": np.ones(3)})


@pytest.mark.parametrize(
    "make, error",
    [
        (lambda: Adam(beta_1=1.0), "beta_1"),
        (lambda: SGD(momentum=-0.1), "momentum"),
        (lambda: RMSprop(epsilon=-1), "epsilon"),
        (lambda: Adam(clipnorm=1.0, clipvalue=1.0), "expected one of clipnorm, clipvalue, global_clipnorm at most"),
        (lambda: Adam(clipnorm=0), "clipnorm above 0"),
        (lambda: Adam(weight_decay=-0.1), "weight_decay"),
        (lambda: rk.optimizers.get("adm"), "expected an optimizer among sgd, rmsprop, adam"),
    ],
)
def test_settings_out_of_range(make, error):
    with pytest.raises(ValueError, match=error):
        make()


@pytest.mark.parametrize("kind, settings", VARIANTS, ids=str)
def test_a_configuration_brings_the_same_back(kind, settings):
    optimizer = kind(**settings, clipvalue=0.5, name="mine")
    again = rk.optimizers.get(json.loads(json.dumps(rk.optimizers.config_of(optimizer))))
    assert type(again) is kind and again.get_config() == optimizer.get_config()
    assert eval(repr(optimizer)).get_config() == optimizer.get_config() | {"name": kind.__name__.lower()}


class Signs(Optimizer):
    """A user's own, with a setting that is compiled in."""

    slots = ("average",)

    def __init__(self, learning_rate=0.1, keep=0.9, **keywords):
        super().__init__(learning_rate, **keywords)
        self.keep = keep

    def rule(self, weight, gradient, slots, now):
        average = self.keep * slots[0] + (1 - self.keep) * gradient
        return weight - now.learning_rate * np.sign(average), (average,)


class Counting(Signs):
    """A user's own that can't be read: it looks at values."""

    def rule(self, weight, gradient, slots, now):
        count = 0
        while float(np.max(np.abs(gradient))) > 2.0**count:
            count += 1
        return super().rule(weight, gradient, slots, now)


@pytest.mark.parametrize("kind", [Signs, Counting])
def test_T10_a_rule_of_ones_own(kind):
    def signs(s, t, rate, w, g, kept):
        kept["a"] = s["keep"] * kept.get("a", 0) + (1 - s["keep"]) * g
        return w - rate * np.sign(kept["a"])

    RULES[kind] = signs
    optimizer = kind(clipnorm=0.5, weight_decay=0.1, keep=0.5)
    same(run(optimizer), by_hand(optimizer, START, GRADIENTS), rtol=1e-12, atol=1e-13)
    again = rk.optimizers.get(rk.optimizers.config_of(optimizer))
    assert type(again) is kind and again.get_config() == optimizer.get_config()


@pytest.mark.parametrize("slope", [1.660186, 78.09531])
def test_a_slope_that_never_changes_is_no_nan(slope):
    """Its variance is 0, and below that by rounding."""
    optimizer, weights = RMSprop(rho=0.5, centered=True), {"w": np.zeros(3, np.float32)}
    for _ in range(30):
        weights = optimizer.apply(weights, {"w": np.full(3, slope, np.float32)})
        assert np.isfinite(weights["w"]).all()


def test_traits_may_change_between_updates():
    optimizer, weights, gradients = SGD(0.1), {"w": np.ones(3)}, {"w": np.full(3, 2.0)}
    for weight_options in ({"w": WeightOptions(regularizer="l2")}, {}, {"w": WeightOptions(regularizer="l1")}):
        other = SGD(0.1).apply(weights, gradients, weight_options)
        weights = optimizer.apply(weights, gradients, weight_options)
        assert np.array_equal(weights["w"], other["w"])


class Renamed(Nadam):
    """A user's own that hands on whatever it doesn't know."""

    def __init__(self, extra=1, **keywords):
        super().__init__(**keywords)
        self.extra = extra


def test_settings_that_are_handed_on_are_in_the_configuration():
    optimizer = Renamed(extra=2, beta_1=0.5, learning_rate=0.3, clipnorm=1.0)
    again = Renamed.from_config(json.loads(json.dumps(optimizer.get_config())))
    assert (again.extra, again.beta_1, again.learning_rate, again.clipnorm) == (2, 0.5, 0.3, 1.0)


def test_a_rule_is_asked_for():
    with pytest.raises(NotImplementedError, match="expected Optimizer to define rule"):
        Optimizer().apply({"w": np.ones(2)}, {"w": np.ones(2)})


# L-BFGS


def valley(weights):
    """Rosenbrock's function of two weights."""
    a, b = weights["a"].astype("float64"), weights["b"].astype("float64")
    loss = float(np.sum(100 * (b - a**2) ** 2 + (1 - a) ** 2))
    return loss, {"a": -400 * a * (b - a**2) - 2 * (1 - a), "b": 200 * (b - a**2)}


VALLEY = {"a": np.full(3, -1.2), "b": np.ones(3), "still": np.ones(2)}
STILL = {"still": WeightOptions(trainable=False)}


def test_lbfgs_finds_the_valley():
    optimizer, seen = rk.optimizers.get("lbfgs"), []
    found = optimizer.minimize(
        valley, VALLEY, STILL, 200, lambda iteration, weights, loss: seen.append((iteration, loss, valley(weights)[0]))
    )
    assert list(found) == ["a", "b"] and np.allclose(found["a"], 1, atol=1e-5) and not found["a"].flags.writeable
    assert [one[0] for one in seen] == list(range(optimizer.iterations)) and optimizer.iterations < 100
    assert all(loss == again for _, loss, again in seen)
    assert [one[1] for one in seen] == sorted((one[1] for one in seen), reverse=True)


def test_lbfgs_with_penalties_is_that_of_the_sum():
    penalty, ways = regularizers.L1L2(0.0, 0.5), ([], [])
    note = [lambda i, weights, loss, way=way: way.append(weights["a"].copy()) for way in ways]
    weight_options = STILL | {"a": WeightOptions(regularizer=penalty)}
    found = rk.optimizers.LBFGS().minimize(valley, VALLEY, weight_options, 300, note[0])

    def total(weights):
        loss, gradients = valley(weights)
        return loss + penalty(weights["a"]), gradients | {"a": gradients["a"] + penalty.gradient(weights["a"])}

    by_sum = rk.optimizers.LBFGS().minimize(total, VALLEY, STILL, 300, note[1])
    assert len(ways[0]) == len(ways[1]) and np.allclose(ways[0][:4], ways[1][:4], rtol=1e-9, atol=1e-9)
    assert np.allclose(found["a"], by_sum["a"], atol=1e-6)
    assert np.abs(total(found)[1]["a"]).max() < 1e-3 < np.abs(found["a"] - 1).max()


def test_lbfgs_stops_when_asked_and_says_what_is_wrong():
    optimizer = rk.optimizers.LBFGS()
    found = optimizer.minimize(valley, VALLEY, STILL, 100, lambda iteration, weights, loss: iteration == 2)
    assert optimizer.iterations == 3 and 0 < valley(found)[0] < valley(VALLEY)[0]
    with pytest.raises(ValueError, match="without constraints for 'lbfgs', 'a' has one"):
        optimizer.minimize(valley, VALLEY, {"a": WeightOptions(constraint="non_neg")})
    with pytest.raises(FloatingPointError, match="finite loss, got nan"):
        optimizer.minimize(lambda w: (np.nan, valley(w)[1]), VALLEY, STILL)
    with pytest.raises(FloatingPointError, match="that of 'b' isn't"):
        optimizer.minimize(lambda w: (1.0, valley(w)[1] | {"b": np.full(3, np.inf)}), VALLEY, STILL)
    with pytest.raises(ZeroDivisionError):
        optimizer.minimize(lambda w: 1 / 0, VALLEY, STILL)
    with pytest.raises(TypeError, match="through minimize"):
        optimizer.apply(VALLEY, {})
    with pytest.raises(TypeError, match="no learning rate for 'lbfgs'"):
        optimizer.learning_rate = 0.5
    assert optimizer.iterations == 3 and optimizer.learning_rate == 1.0
    again = rk.optimizers.get(json.loads(json.dumps(rk.optimizers.config_of(optimizer))))
    assert again.get_config() == optimizer.get_config()
    narrow = {name: array.astype("float32") for name, array in VALLEY.items()}
    assert rk.optimizers.LBFGS().minimize(valley, narrow, STILL, 50)["a"].dtype == np.float32
