"""Ensembles: row C21 of docs/contract.md. A member of one gives the bits of the layer that it is like."""

import copy
import pickle

import layer_calls
import numpy as np
import pytest
from cells_under_test import NAMED
from layer_calls import CASES, cotangents
from matrix import ROWS, close, every, flat, fresh, inputs, label, make_mask, random_states, same_bits

import rnnkit as rk
from rnnkit.circumstances import standing_in
from rnnkit.layers.support.layer_tree import arrays_by_name
from rnnkit.steps.nesting import leaves_of, mapped

N = 3


def between(shape, rng):
    return rng.uniform(0.1, 0.3, shape)


@rk.cell(
    states={"variance": 1, "likelihood": 1},
    weights={name: rk.Weight((1,), between) for name in ("omega", "alpha", "beta")},
    initial={"variance": 1.0},
)
def garch(x, states, weights):
    """A likelihood; what it reads of its weights is computed when they change."""
    likelihood = states.likelihood - 0.5 * (np.log(states.variance) + x * x / states.variance)
    return likelihood, (np.exp(weights.omega) + weights.alpha * x * x + weights.beta * states.variance, likelihood)


@rk.cell(states={"h": 2}, weights={"kernel": rk.Weight(("features", 2)), "recurrent": rk.Weight((2, 2))})
def narrow(x, states, weights):
    """Products of small matrices, planned by rows."""
    h = np.tanh(x @ weights.kernel + states.h @ (2 * weights.recurrent.T))
    return h, h


@rk.cell(states={"h": 1}, weights={"edge": rk.Weight((1,)), "table": rk.Weight((20,))}, per_row=True)
def deciding(x, states, weights):
    """Decisions by weights, and one of them at a computed place, which may not be there."""
    place = int(np.abs(x[0]) * 4)
    h = 0.5 * states.h + (weights.table[place] if x[0] > weights.edge[0] else 0.1 * x[0])
    return h, h


@rk.cell(states={"h": 1}, weights={"a": rk.Weight((1,))})
def by_sign(x, states, weights):
    """What it decides by depends on weights alone, and is no number: such rows can't differ in it."""
    h = np.where(weights.a > 0, states.h, x) + weights.a * x
    return h, h


NARROW = {"garch": garch, "narrow": narrow, "deciding": deciding, "by_sign": by_sign}


def alone(make, n=N, first=0):
    """The layers that members are like."""
    return [make(seed=first + k) for k in range(n)]


def member(tree, k):
    """The part of results that is one member's."""
    if isinstance(tree, np.ndarray):
        return tree[k]
    return [member(one, k) for one in tree]


def same_gradients(found, singles, own, given):
    for k, one in enumerate(singles):
        assert found.weights.keys() == one.weights.keys()
        for name, array in one.weights.items():
            same_bits([found.weights[name][k]], [np.asarray(array)])
        if given.get("initial_state") is None and one.initial_state:
            same_bits(member(found.initial_state, k), one.initial_state)
        if own and one.x is not None:
            same_bits([found.x[k]], [one.x])
    dtype = next((one.x.dtype for one in singles if one.x is not None), np.dtype("float64"))
    if not own and singles[0].x is not None:
        close([found.x], [sum(one.x for one in singles)], dtype, 10)
    for what in ("initial_state", "constants"):
        if given.get(what) is not None and getattr(singles[0], what):
            sums = [sum(parts) for parts in zip(*(flat(getattr(one, what)) for one in singles), strict=True)]
            close(getattr(found, what), sums, dtype, 10)


def check(ensemble, singles, x, own=False, **given):
    """Calls and gradients have the bits of each member alone."""
    arrays = [x[k] if own else x for k in range(len(singles))]
    wanted = [one(a, **given) for one, a in zip(singles, arrays, strict=True)]
    y = ensemble(x, **given)
    for k, one in enumerate(wanted):
        same_bits(member(y, k), one)
    outputs, pull = ensemble.vjp(x, **given)
    same_bits(outputs, y)
    d = cotangents(y)
    pulled = [one.vjp(a, **given)[1](member(d, k)) for k, (one, a) in enumerate(zip(singles, arrays, strict=True))]
    same_gradients(pull(d), pulled, own, given)


@pytest.mark.parametrize("row", every(5, ROWS), ids=label)
def test_C21_a_member_of_any_cell_has_the_bits_of_the_layer_with_its_seed(row):
    name, dtype, number = row["cell"], row["dtype"], ROWS.index(row)
    make = lambda seed: fresh(
        name, row["units"], row["features"], dtype, go_backwards=row["backwards"], zero_output_for_mask=row["zero"],
        seed=seed,
    )  # fmt: skip
    x, constants = inputs(name, row["batch"], row["time"], row["features"], dtype)
    mask = make_mask(row["mask"], row["batch"], row["time"], np.random.default_rng(1))
    singles = alone(make)
    given = {"mask": mask, "constants": constants}
    if number % 3 == 0:
        given["initial_state"] = random_states(singles[0], row["batch"], dtype)
    ensemble = make(0).ensemble(N)
    own = number % 2 == 0
    if NAMED[name].how == "jitted":
        wanted = [one(x, **given) for one in singles]
        for k, one in enumerate(wanted):
            same_bits(member(ensemble(x, **given), k), one)
        return
    check(ensemble, singles, np.stack([x, 2 * x, x - 1]) if own else x, own, **given)


@pytest.mark.parametrize("name", NARROW)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_C21_narrow_steps_are_computed_as_rows_with_weights_of_their_own(name, dtype, batch, rng):
    x = rng.uniform(-1, 1, (batch, 40, 1)).astype(dtype)
    mask = rng.random((batch, 40)) < 0.7
    for options in ({}, {"return_sequences": True, "return_state": True, "go_backwards": True}):
        make = lambda seed, options=options: rk.RNN(NARROW[name](), dtype=dtype, seed=seed, **options)
        ensemble, singles = make(4).ensemble(20), alone(make, 20, 4)
        check(ensemble, singles, x)
        check(ensemble, singles, x, mask=mask)
        check(ensemble, singles, rng.uniform(-1, 1, (20, *x.shape)).astype(dtype), own=True, mask=mask)
        assert (ensemble._own.as_rows is None) == (name == "by_sign")


def test_C21_any_number_of_threads_gives_the_same_bits(rng):
    before, found = rk.get_num_threads(), []
    x = rng.uniform(0.1, 1, (3, 300, 1))
    for layer in (rk.RNN(garch(), seed=0), rk.LSTM(24, seed=0)):
        for threads in (1, 2):
            rk.set_num_threads(threads)
            y, pull = layer.ensemble(70).vjp(x)
            found.append([y, *pull(np.ones_like(y)).weights.values()])
        same_bits(found[-1], found[-2])
    rk.set_num_threads(before)


def test_C21_a_row_that_fails_is_named():
    ensemble = rk.RNN(deciding(), seed=0).ensemble(4)
    x = np.zeros((2, 3, 1))
    x[1, 2] = 9.0
    ensemble.build((None, None, 1))
    ensemble.weights["edge"] = np.full((4, 1), 10.0)
    ensemble(x)
    ensemble.weights["edge"] = np.array([[10.0], [10.0], [-1.0], [10.0]])
    for call in (ensemble, ensemble.vjp):
        with pytest.raises(IndexError, match="row 1 fails at step 2") as caught:
            call(x)
        assert "of member 2" in caught.value.__notes__


@pytest.mark.parametrize("name", CASES)
def test_C21_any_layer_has_an_ensemble(name):
    ensemble = layer_calls.layer_of(name).ensemble(2)
    singles = [copy.deepcopy(one) for one in ensemble.members]
    if singles[0].weights:
        assert any((ensemble.weights[name][0] != ensemble.weights[name][1]).any() for name in ensemble.weights)
    call = layer_calls.call_of(name, singles[0])
    y = call.of(ensemble)
    for k, one in enumerate(singles):
        same_bits(member(y, k), call.of(one))
    singles = [copy.deepcopy(one) for one in ensemble.members]  # draws go on from here
    outputs, pull = call.vjp(ensemble)
    found, d = pull(cotangents(outputs)), cotangents(outputs)
    for k, one in enumerate(singles):
        z, back = call.vjp(one)
        same_bits(member(outputs, k), z)
        for weight, array in back(member(d, k)).weights.items():
            same_bits([found.weights[weight][k]], [np.asarray(array)])


def test_C21_seeds(rng):
    """k is added to every seed, also of layers inside."""
    x = rng.normal(size=(2, 5, 3))

    def make(k):
        return rk.Sequential([rk.GRU(4, return_sequences=True, seed=20 + k), rk.LSTM(4), rk.Dense(2)], seed=7 + k)

    ensemble = make(0).ensemble(3)
    for k, y in enumerate(ensemble(x)):
        same_bits([y], [make(k)(x)])
    layer = rk.LSTM(4, seed=1, dtype="float64")
    layer.build((None, None, 3))
    layer.set_weights([np.zeros_like(one) for one in layer.get_weights()])
    same_bits([layer.ensemble(2)(x)[1]], [rk.LSTM(4, seed=2)(x)])
    assert not layer(x).any()  # it stays as it is
    unseeded = rk.LSTM(4).ensemble(2)(x)
    assert (unseeded[0] != unseeded[1]).any()


def test_C21_one_x_for_each_or_for_all(rng):
    x = rng.normal(size=(3, 2, 5, 3))
    ensemble, singles = rk.GRU(4, seed=0).ensemble(3), alone(lambda seed: rk.GRU(4, seed=seed))
    check(ensemble, singles, x, own=True)  # not built before
    check(ensemble, singles, x[0])
    masks = rng.random((3, 2, 5)) < 0.6
    y = ensemble(x, mask=masks)
    for k, one in enumerate(singles):
        same_bits([y[k]], [one(x[k], mask=masks[k])])
    starts = rng.normal(size=(3, 2, 4))
    y, pull = ensemble.vjp(x[0], initial_state=starts)
    gradient = pull(np.ones_like(y))
    for k, one in enumerate(singles):
        z, back = one.vjp(x[0], initial_state=starts[k])
        same_bits([y[k]], [z])
        same_bits([gradient.initial_state[0][k]], back(np.ones_like(z)).initial_state)


@pytest.mark.parametrize("make", [lambda **o: rk.GRU(4, **o), lambda **o: rk.RNN(garch(), **o)], ids=["gru", "garch"])
def test_C21_states_between_calls(make, rng):
    x = rng.uniform(0.1, 1, (2, 6, 1))
    options = {"stateful": True, "return_sequences": True, "return_state": True, "dtype": "float64"}
    ensemble, whole = make(seed=3, **options).ensemble(3), make(seed=3, **options).ensemble(3)
    wanted = whole(x)
    for part in (slice(0, 2), slice(2, 6)):
        found = ensemble(x[:, part])
        same_bits([found[0]], [wanted[0][:, :, part]])
    same_bits(ensemble.states, wanted[1:])
    for k, one in enumerate(ensemble.members):
        same_bits(one.states, member(ensemble.states, k))
    with pytest.raises(ValueError, match="batch of 2 rows"):
        ensemble(x[:1])
    ensemble.reset_states()
    assert ensemble.states is None
    same_bits(ensemble(x), wanted)
    ensemble.reset_states([np.zeros_like(one) + 1 for one in ensemble.states])
    assert all((one == 1).all() for one in ensemble.states)
    same_bits(make(seed=3, dtype="float64").ensemble(3).get_initial_state(2), [
        np.stack([one.get_initial_state(2)[i] for one in ensemble.members]) for i in range(len(ensemble.states))
    ])  # fmt: skip


@pytest.mark.parametrize(
    "make",
    [
        lambda: rk.LSTM(4, return_sequences=True, seed=1),
        lambda: rk.RNN(garch(), seed=1, dtype="float32"),
        lambda: rk.Sequential([rk.GRU(4, return_sequences=True), rk.Dense(1)], seed=1),
    ],
    ids=["lstm", "garch", "model"],
)
def test_C21_steps_one_at_a_time(make, rng):
    x = rng.normal(size=(2, 7, 1)).astype("float32")
    ensemble = make().ensemble(3)
    y = ensemble(x)
    stream = ensemble.stream(batch=2)
    steps = [stream.step(x[:, t]) for t in range(7)]
    same_bits([np.stack(steps, axis=2) if y.ndim == 4 else steps[-1]], [y])
    stream.reset()
    stream.skip([1])
    first = stream.step(x[:, 0])
    assert first.shape == steps[0].shape


# Training


def model(seed, dropout=0.0):
    layers = [rk.GRU(4, dropout=dropout), rk.Dropout(dropout), rk.Dense(1, kernel_regularizer="l2")]
    return rk.Sequential(layers, seed=seed)


class Towards(rk.regularizers.Regularizer):
    """A penalty that isn't rnnkit's."""

    def __call__(self, weight):
        return 0.5 * float(np.sum((weight - 1) ** 2, dtype=np.float64))

    def gradient(self, weight):
        return weight - 1


def compiled(one, optimizer="adam", **options):
    one.compile(optimizer, "mse", **options)
    return one


@pytest.mark.parametrize(
    ("make", "optimizer"),
    [
        (model, "adam"),
        (lambda seed: model(seed, 0.3), rk.optimizers.SGD(0.1, momentum=0.9, clipvalue=0.1)),
        (
            lambda seed: rk.Sequential([rk.RNN(narrow()), rk.Dense(1, kernel_constraint="max_norm")], seed=seed),
            "rmsprop",
        ),
        (lambda seed: rk.Sequential([rk.LSTM(3), rk.BatchNormalization(), rk.Dense(1)], seed=seed), "adam"),
        (lambda seed: rk.Sequential([rk.GRU(3), rk.Dense(1, kernel_regularizer=Towards())], seed=seed), "adam"),
    ],
    ids=["gru", "dropout", "narrow", "normalized", "penalty"],
)
def test_C21_a_fit_gives_each_member_the_weights_of_a_fit_alone(make, optimizer, rng):
    x, weight = rng.normal(size=(48, 6, 2)).astype("float32"), rng.uniform(0, 2, 48)
    y = x.sum(axis=(1, 2))[:, None]
    ensemble, histories = make(3).ensemble(3), []
    given = {"epochs": 5, "batch_size": 16, "shuffle": False, "verbose": 0, "sample_weight": weight}
    history = compiled(ensemble, copy.deepcopy(optimizer)).fit(x, y, **given).history["loss"]
    for k in range(3):
        single = compiled(make(3 + k), copy.deepcopy(optimizer))
        histories.append(single.fit(x, y, **given).history["loss"])
        for name, array in single.weights.items():
            same_bits([ensemble.weights[name][k]], [array])
        same_bits([ensemble.predict(x)[k]], [single.predict(x)])
    np.testing.assert_allclose(history, np.mean(histories, axis=0), 1e-6)


def test_C21_a_fit_by_data_of_its_own_for_each_member(rng):
    x = rng.normal(size=(3, 32, 6, 2)).astype("float32")
    y = x.sum(axis=(2, 3))[..., None]
    ensemble = compiled(model(3).ensemble(3), metrics=["mae"])
    ensemble.build((None, None, 2))
    ensemble.fit(x, y, epochs=4, shuffle=False, verbose=0, validation_split=0.5)
    for k in range(3):
        single = compiled(model(3 + k))
        single.fit(x[k, :16], y[k, :16], epochs=4, shuffle=False, verbose=0)
        for name, array in single.weights.items():
            same_bits([ensemble.weights[name][k]], [array])
        same_bits([ensemble.predict(x, batch_size=5)[k]], [single.predict(x[k])])
    loss, mae = ensemble.evaluate(x, y)
    np.testing.assert_allclose(mae, np.abs(ensemble.predict(x) - y).mean(), 1e-5)
    assert loss > 0 and len(ensemble.train_on_batch(x, y)) == 2


@pytest.mark.parametrize("given", [{"clipnorm": 1.0}, {"global_clipnorm": 1.0}])
def test_C21_what_sees_all_weights_at_once_is_refused(given):
    ensemble = model(0).ensemble(2)
    with pytest.raises(ValueError, match="trains each member by itself"):
        ensemble.compile(rk.optimizers.Adam(**given), "mse")
    with pytest.raises(ValueError, match="compiled"):
        ensemble.evaluate(np.zeros((2, 3, 1)), np.zeros((2, 1)))
    with pytest.raises(ValueError, match="trains each member by itself"):
        ensemble.compile(rk.optimizers.LBFGS(), "mse")


# Weights, files and configurations


def test_C21_weights_of_members_are_those_of_the_ensemble(rng):
    x = rng.normal(size=(2, 5, 3))
    ensemble = rk.GRU(4, seed=0).ensemble(3)
    ensemble.build((None, None, 3))
    assert {name: array.shape for name, array in ensemble.weights.items()} == {
        "kernel": (3, 3, 12), "recurrent_kernel": (3, 4, 12), "bias": (3, 2, 12)
    }  # fmt: skip
    assert ensemble.count_params() == 3 * ensemble.members[0].count_params()
    ensemble.weights["kernel"] = np.ones((3, 3, 12))
    assert all((one.weights["kernel"] == 1).all() for one in ensemble.members)
    ensemble.members[1].weights["kernel"] = np.zeros((3, 12))
    assert [one.any() for one in ensemble.weights["kernel"]] == [True, False, True]
    for _ in range(8):  # also where calls are repeated
        same_bits([ensemble(x)[1]], [ensemble.members[1](x)])
    ensemble.members[1].weights["kernel"] = np.full((3, 12), 0.5)
    same_bits([ensemble(x)[1]], [ensemble.members[1](x)])


@pytest.mark.parametrize("make", [lambda: rk.LSTM(4, seed=1, stateful=True), lambda: model(1)], ids=["lstm", "model"])
def test_C21_files_copies_and_configurations(make, rng, tmp_path):
    x = rng.normal(size=(2, 5, 2)).astype("float32")
    ensemble = make().ensemble(3)
    y = ensemble(x)
    again = type(ensemble).from_config(ensemble.get_config())
    assert repr(again) == repr(ensemble) and again.name == ensemble.name
    same_bits([again(x)], [y])
    for path in ("a.npz", "a.rnnkit"):
        ensemble.save(tmp_path / path, states=True)
        loaded = rk.load_model(tmp_path / path)
        same_bits([loaded(x)], [copy.deepcopy(ensemble)(x)])
    ensemble.save_weights(tmp_path / "w.npz")
    other = make().ensemble(3)
    other(x)
    other.set_weights([0 * one for one in other.get_weights()])
    other.load_weights(tmp_path / "w.npz")
    same_bits(other.get_weights(), ensemble.get_weights())
    for copied in (copy.deepcopy(ensemble), pickle.loads(pickle.dumps(ensemble))):
        executions = [one._execution for one in copied.members if hasattr(one, "_execution")]
        assert all(one.executors is executions[0].executors for one in executions)
        same_bits([copied(x)], [copy.deepcopy(ensemble)(x)])


def test_C21_training_goes_on_from_a_file(rng, tmp_path):
    x = rng.normal(size=(32, 6, 2)).astype("float32")
    y = x.sum(axis=(1, 2))[:, None]
    ensemble = compiled(model(1, 0.2).ensemble(2))
    ensemble.fit(x, y, epochs=3, verbose=0)
    ensemble.save(tmp_path / "a.npz", optimizer=True)
    loaded = rk.load_model(tmp_path / "a.npz")
    for one in (ensemble, loaded):
        one.fit(x, y, epochs=5, initial_epoch=3, verbose=0)
    same_bits(loaded.get_weights(), ensemble.get_weights())


def test_C21_a_functional_model(rng):
    x = rk.Input((None, 2))
    steps = rk.GRU(3, return_sequences=True)(x)
    built = rk.Model(x, [rk.Dense(1)(rk.LSTM(2)(steps)), rk.Dense(2)(steps)], seed=4)
    ensemble = built.ensemble(2)
    data = rng.normal(size=(8, 5, 2)).astype("float32")
    last, all_steps = ensemble(data)
    assert last.shape == (2, 8, 1) and all_steps.shape == (2, 8, 5, 2)
    for k, one in enumerate(ensemble.members):
        same_bits([last[k], all_steps[k]], one(data))
    same_bits(ensemble.members[0].get_weights(), built.get_weights())
    ensemble.compile("adam", ["mse", "mae"])
    ensemble.fit(data, [last[0], all_steps[1]], verbose=0)


def test_C21_two_kinds_of_calls_are_repeated_with_the_same_bits(rng):
    ensemble = rk.LSTM(3, seed=0, return_sequences=True).ensemble(3)
    x = rng.normal(size=(2, 5, 2)).astype("float32")
    y, pull = ensemble.vjp(x)
    d, wanted = cotangents(y), pull(cotangents(y))
    for _ in range(8):
        same_bits([ensemble(x)], [y])
        z, pull = ensemble.vjp(x)
        found = pull(d)
        same_bits(list(found.weights.values()), list(wanted.weights.values()))
        same_bits([z, found.x], [y, wanted.x])
    kinds = [*ensemble._call_runner._kinds.values(), *ensemble._vjp_runner._kinds.values()]
    assert [kind.refusal for kind in kinds] == [None, None] and all(kind.agreed == 2 for kind in kinds)


@pytest.mark.parametrize("make", [lambda: rk.GRU(3, seed=0), lambda: rk.RNN(garch(), seed=0)], ids=["gru", "garch"])
def test_C21_attributes_that_change(make, rng):
    ensemble, x = make().ensemble(3), rng.uniform(size=(2, 5, 1))
    for name in ("go_backwards", "return_sequences", "return_state"):
        for _ in range(8):
            ensemble(x)
        for one in ensemble.members:
            setattr(one, name, True)
        for _ in range(8):
            found = ensemble(x)
            for k, one in enumerate(ensemble.members):
                same_bits(member(found, k), one(x))


def test_a_layer_whose_weights_others_stand_in_for_is_not_repeated(rng):
    layer = rk.GRU(3, seed=0)
    x = rng.normal(size=(2, 5, 2))
    for _ in range(8):
        layer(x)
    others = [np.zeros_like(one) for one in layer.get_weights()]
    with standing_in(zip(arrays_by_name(layer).values(), others, strict=True)):
        assert not layer(x).any()
    assert layer(x).any()


def test_C21_a_call_that_fails_builds_nothing(rng):
    ensemble = rk.GRU(4, seed=1).ensemble(2)
    with pytest.raises(ValueError, match="mask"):
        ensemble(np.zeros((2, 5, 3)), mask=np.ones((2, 4)))
    assert not ensemble.built and not any(one.built for one in ensemble.members) and not ensemble.weights
    x = rng.normal(size=(2, 5, 2))
    same_bits([ensemble(x)[1]], [rk.GRU(4, seed=2)(x)])


def test_C21_bad_input_is_refused(rng):
    layer = rk.GRU(4)
    for n in (0, -1, 2.5, "2", True, None):
        with pytest.raises((ValueError, TypeError), match="n"):
            layer.ensemble(n)
    with pytest.raises(TypeError, match="a layer or a model"):
        rk.Ensemble(layer.ensemble(2), 2)
    ensemble = layer.ensemble(3)
    ensemble.build((None, None, 2))
    for x in (np.zeros((2, 5, 2, 2)), np.zeros((2, 5, 3)), np.zeros((2, 4, 5, 2)), np.zeros((5, 2))):
        with pytest.raises(ValueError, match="expected"):
            ensemble(x)
    with pytest.raises(ValueError, match="3 in front"):
        ensemble(np.zeros((2, 4, 5, 2)))
    for wrong in (np.zeros((2, 2, 4)), np.zeros((2, 5)), [np.zeros((2, 4))] * 2):
        with pytest.raises(ValueError, match="expected"):
            ensemble(np.zeros((2, 5, 2)), initial_state=wrong)
    with pytest.raises(ValueError, match="no initial_state"):
        model(0).ensemble(2)(np.zeros((2, 5, 2)), initial_state=[np.zeros((2, 4))])
    with pytest.raises(ValueError, match="ensemble"):
        ensemble(rk.Input((None, 2)))
    with pytest.raises(ValueError, match="out"):
        compiled(model(0).ensemble(2)).predict(np.zeros((2, 5, 2)), out=np.zeros((2, 2, 1)))


@rk.cell(states={"z": rk.State(2, "complex")}, weights={"w": rk.Weight((2,), dtype="complex")})
def turning(x, states, weights):
    z = weights.w * states.z + x
    return z.real, z


@rk.cell(
    states={"z": rk.State("units", "complex")},
    weights={"w": rk.Weight(("units",), dtype="complex"), "kernel": rk.Weight(("features", "units"), dtype="complex")},
)
def spiral(x, states, weights):
    z = weights.w * states.z + x @ weights.kernel
    return z * abs(z), z


@pytest.mark.parametrize("units", [2, 40])  # as rows, and one after the other
@pytest.mark.parametrize("reads", [False, True])
def test_C22_complex_numbers(units, reads, rng, tmp_path):
    """Members of complex weights and states, of a real or a complex x, do as each alone."""
    make = lambda seed: rk.RNN(spiral(units), return_sequences=True, return_state=True, dtype="float64", seed=seed)
    x, mask = rng.normal(size=(4, 6, 2)), rng.random((4, 6)) < 0.7
    x = x + 1j * rng.normal(size=x.shape) if reads else x
    given = {"mask": mask, "initial_state": [rng.normal(size=(4, units)) + 1j * rng.normal(size=(4, units))]}
    ensemble, singles = make(1).ensemble(N), alone(make, N, 1)
    check(ensemble, singles, x, **given)
    check(ensemble, singles, np.stack([x, 2 * x, x - 1]), True, **given)
    assert ensemble.weights["w"].shape == (N, units) and ensemble.weights["w"].dtype == complex
    y, pull = ensemble.vjp(x)
    for _ in range(6):  # as it is, and repeated
        again, pull = ensemble.vjp(x)
        same_bits(again, y)
        found = pull(y).weights["w"]
    for k, one in enumerate(singles):
        np.testing.assert_array_equal(found[k], one.vjp(x)[1](member(y, k)).weights["w"])
    copied = make(1)
    copied(x)
    same_bits(copied.ensemble(N)(x), y)
    ensemble.save(tmp_path / "saved.rnnkit")
    same_bits(rk.load_model(tmp_path / "saved.rnnkit", custom_objects={"spiral": spiral})(x), y)
    ensemble.weights["w"] = 2j * ensemble.weights["w"]
    np.testing.assert_array_equal(ensemble.members[1].weights["w"], 2j * singles[1].weights["w"])
    ensemble.set_weights([2 * one for one in ensemble.get_weights()])
    np.testing.assert_array_equal(ensemble.members[1].weights["w"], 4j * singles[1].weights["w"])


def test_C21_members_with_several_outputs(rng):
    class Parts(rk.Cell):
        state_size = 2

        def build(self, input_shape):
            self.kernel = self.add_weight((input_shape[-1], 2), "glorot_uniform", "kernel")
            self.built = True

        def call(self, inputs, states):
            h = np.tanh(states[0] + inputs @ self.kernel)
            return {"h": h, "sum": h.sum(axis=-1, keepdims=True)}, [h]

    x = rng.normal(size=(3, 5, 2))
    for more in ({}, {"return_state": True}):
        make = lambda seed, more=more: rk.RNN(Parts(), return_sequences=True, dtype="float64", seed=seed, **more)
        ensemble, singles = make(0).ensemble(N), alone(make)
        for found in (ensemble(x), ensemble.vjp(x)[0]):
            for k, one in enumerate(singles):
                same_bits(leaves_of(mapped(found, lambda y, k=k: y[k])), leaves_of(one(x)))
    y, pull = rk.RNN(Parts(), dtype="float64", seed=0).ensemble(N).vjp(x)
    d = {"h": np.ones_like(y["h"]), "sum": None}
    wanted = rk.RNN(Parts(), dtype="float64", seed=1).vjp(x)[1]({"h": d["h"][1], "sum": None}).weights["kernel"]
    np.testing.assert_array_equal(pull(d).weights["kernel"][1], wanted)


def test_C22_a_fit_moves_complex_weights_of_each_member(rng):
    x, y = rng.normal(size=(8, 6, 2)), rng.normal(size=(8, 2))
    make = lambda seed: rk.Sequential([rk.RNN(turning(), dtype="float64")], seed=seed)
    ensemble, singles = make(1).ensemble(N), alone(make, N, 1)
    for one in (ensemble, *singles):
        one.compile("adam", "mse")
        one.fit(x, y, epochs=2, batch_size=4, shuffle=False, verbose=0)
    for k, one in enumerate(singles):
        np.testing.assert_array_equal(ensemble.weights["0/w"][k], one.weights["0/w"])


@pytest.mark.parametrize("make", [lambda: rk.RNN(spiral(2), seed=0), lambda: rk.GRU(2, seed=0)], ids=["spiral", "gru"])
@pytest.mark.parametrize("built", [False, True])
def test_X7_ensembles_have_gradients_to_check(make, built, rng):
    ensemble, x = make().ensemble(2), rng.normal(size=(2, 3, 2))
    if built:
        ensemble(x)
    assert rk.gradcheck(ensemble, x)


def test_C22_real_members_refuse_complex_numbers():
    ensemble = rk.GRU(2).ensemble(2)
    with pytest.raises(TypeError, match="real numbers"):
        ensemble(np.ones((2, 3, 2), complex))
    assert not ensemble.built and ensemble(np.ones((2, 3, 2))).dtype == np.float64


def test_C21_arrays_of_other_kinds():
    ensemble, x = compiled(model(0).ensemble(2)), np.ones((4, 5, 2), "float32")
    y = ensemble(x)
    dask, xarray = pytest.importorskip("dask.array"), pytest.importorskip("xarray")
    for call in (ensemble, ensemble.predict):
        with pytest.raises(ValueError, match="expected arrays"):
            call(dask.from_array(x))
    same_bits([ensemble.predict(xarray.DataArray(x, dims=("row", "time", "feature")))], [y])


def test_C21_what_is_shown():
    ensemble = rk.LSTM(4, seed=1).ensemble(2)
    assert repr(ensemble) == "Ensemble(LSTM(4, seed=1), 2)" and "not built" in str(ensemble)
    ensemble.build((None, None, 3))
    assert ensemble.compute_output_shape((None, None, 3)) == (2, None, 4)
    assert "traced" in ensemble.explain() and "2 members" in ensemble.summary()
    assert "members" in model(0).ensemble(2).summary()


def test_C21_metrics_of_evaluate_are_the_same_once_calls_are_repeated(rng):
    ensemble = rk.Sequential([rk.GRU(4), rk.Dense(1)], seed=0).ensemble(3)
    ensemble.compile("adam", "mse", metrics=["mae"])
    x = rng.normal(size=(80, 5, 3))
    found = [ensemble.evaluate(x, x[:, 0, :1], 10) for _ in range(3)]
    (kind,) = ensemble._update_runner.of_tests._kinds.values()
    assert kind.agreed == 2 and found[1:] == found[:1] * 2
