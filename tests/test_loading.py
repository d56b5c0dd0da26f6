"""Models, layers and forecasters in files, and back."""

import copy
import json
import subprocess
import sys

import cells_under_test
import numpy as np
import pytest
import refusals
from cells_under_test import CELLS
from matrix import flat, fresh, inputs, layer_of, same_bits

import rnnkit as rk
from rnnkit.serialization.array_files import load_arrays, save_arrays

SUFFIXES = (".rnnkit", ".npz")
GIVEN = {name: one for name, one in vars(cells_under_test).items() if callable(one)}
X = np.random.default_rng(0).normal(size=(6, 5, 2))
Y = X.sum((1, 2))[:, None]


def own_loss(y_true, y_pred):
    return np.mean(np.abs(y_true - y_pred) ** 1.5, axis=-1)


@pytest.fixture(params=SUFFIXES)
def path(request, tmp_path):
    return tmp_path / f"model{request.param}"


@pytest.mark.parametrize("name", refusals.LAYERS)
def test_T14_every_kind_of_layer_comes_back(path, name):
    layer, x = refusals.built(name)
    if getattr(layer, "stateful", False):
        layer = copy.deepcopy(layer)
        layer.reset_states()
    if name == "Lambda":
        with pytest.raises(ValueError, match="can call by name"):
            layer.save(path)
        assert not list(path.parent.iterdir())
        return
    with rk.eager():
        layer.save(path)
        again = rk.load_model(path)
        assert type(again) is type(layer) and again.get_config() == layer.get_config()
        same_bits(flat(again(x)), flat(layer(x)))
    assert list(again.weights) == list(layer.weights) and again.dtype == layer.dtype


@pytest.mark.parametrize("case", CELLS, ids=lambda case: case.name)
def test_T14_every_cell_comes_back(tmp_path, case):
    """The steps of users' own cells are given, or their classes are known to the program."""
    path = tmp_path / "layer.rnnkit"
    with rk.eager():
        layer = fresh(case.name)
    x, constants = inputs(case.name, 2, 3)
    try:
        layer.get_config()
    except (TypeError, ValueError) as error:  # a class without get_config
        with pytest.raises(type(error)):
            layer.save(path)
        assert not list(tmp_path.iterdir())
        return
    layer.save(path)
    with rk.eager():
        again = rk.load_model(path, custom_objects=GIVEN)
        assert again.get_config() == layer.get_config()
        same_bits(flat(again(x, constants=constants)), flat(layer(x, constants=constants)))


def test_T14_a_step_is_given_or_the_error_says_so(path):
    layer = layer_of("leaky")
    layer.save(path)
    code = f"import rnnkit as rk; rk.load_model({str(path)!r})"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stderr
    assert "not handed in, and is not imported: pass custom_objects={'leaky': …}" in told.splitlines()[-1]
    assert path.name in told.splitlines()[-1]


def compiled(seed=None):
    model = rk.Sequential(
        [
            rk.GRU(4, return_sequences=True, dropout=0.2, stateful=True),
            rk.Bidirectional(rk.LSTM(3)),
            rk.Dense(1, kernel_regularizer="l2"),
        ],
        seed=seed,
    )
    rate = rk.optimizers.schedules.ExponentialDecay(0.01, 3, 0.9)
    model.compile(rk.optimizers.Adam(rate, clipnorm=1.0), own_loss, metrics=["mae", own_loss], weighted_metrics=["mse"])
    return model


@pytest.mark.parametrize("seed", [None, 3])
def test_T14_a_fit_goes_on_after_loading(path, seed):
    """With the optimizer and the states, bit for bit, also of a model that has no seed."""
    model = compiled(seed)
    model.layers[1].trainable = False
    with rk.eager():
        model.fit(X, Y, epochs=2, batch_size=6, verbose=0)
        model.save(path, optimizer=True, states=True)
        again = rk.load_model(path, custom_objects={"own_loss": own_loss})
        assert not again.layers[1].trainable and again.metrics_names == model.metrics_names
        same_bits(again.layers[0].states, model.layers[0].states)
        histories = [
            one.fit(X, Y, epochs=4, initial_epoch=2, batch_size=6, verbose=0).history for one in (model, again)
        ]
    assert histories[0] == histories[1]
    same_bits(again.get_weights(), model.get_weights())


def test_a_checkpoint_of_the_whole_model_is_where_a_fit_goes_on(tmp_path):
    """Written while batches are repeated from a recording, whose weights are elsewhere."""
    model, saved = compiled(0), tmp_path / "{epoch}.npz"
    checkpoint = rk.callbacks.ModelCheckpoint(saved, save_weights_only=False)
    more = {"batch_size": 1, "verbose": 0}
    model.fit(X[:, :1], Y, epochs=3, callbacks=[checkpoint], **more)
    for epoch in (1, 2):
        again = rk.load_model(tmp_path / f"{epoch}.npz", custom_objects={"own_loss": own_loss})
        again.fit(X[:, :1], Y, epochs=3, initial_epoch=epoch, **more)
        same_bits(again.get_weights(), model.get_weights())


def test_T14_what_is_not_asked_for_is_not_written(path):
    model = compiled(0)
    with rk.eager():
        model.fit(X, Y, epochs=1, batch_size=6, verbose=0)
    model.save(path)
    again = rk.load_model(path)
    with pytest.raises(ValueError, match="to be compiled"):
        again.optimizer
    assert again.layers[0].states is None
    same_bits(again.get_weights(), model.get_weights())


@pytest.mark.parametrize("settings", [{"checkpoint": "auto"}, {"truncate": 3}])
def test_compile_s_arguments_come_back(path, settings):
    x = rk.Input((None, 2), name="series")
    model = rk.Model(x, [rk.Dense(1, name="a")(rk.GRU(2)(x)), rk.Dense(1, name="b")(x)], seed=0)
    loss = [rk.losses.Huber(0.7), None]
    model.compile("lion", loss, loss_weights=[2.0, 1.0], metrics=[["mse"], ["mae"]], **settings)
    model.save(path, optimizer=True)
    again = rk.load_model(path)
    assert again._compiled.get_config() == model._compiled.get_config()
    assert again.metrics_names == model.metrics_names


def test_a_sparse_weight_stays_sparse_and_shared_layers_shared(path):
    shared = rk.RNN(rk.ESNCell(20, density=0.2), name="reservoir")
    a, b = rk.Input((None, 1)), rk.Input((None, 1))
    model = rk.Model([a, b], rk.Add()([shared(a), shared(b)]), seed=0)
    model.save(path)
    again = rk.load_model(path)
    assert "recurrent_kernel" in again.layers[0].cell._sparse_weights()
    assert list(again.weights) == list(model.weights) and len(again.layers) == 2


def test_weights_are_read_from_a_whole_model_and_from_other_libraries(tmp_path):
    library = pytest.importorskip("safetensors.numpy")
    model, other = (rk.Sequential([rk.Input((None, 2)), rk.GRU(3), rk.Dense(1)], seed=seed) for seed in (0, 1))
    model.save(tmp_path / "model.rnnkit")
    other.load_weights(tmp_path / "model.rnnkit")
    same_bits(other.get_weights(), model.get_weights())
    library.save_file({name: 2 * array for name, array in model.weights.items()}, tmp_path / "their.safetensors")
    other.load_weights(tmp_path / "their.safetensors")
    same_bits(other.get_weights(), [2 * array for array in model.get_weights()])
    library.save_file({"0/kernel": np.ones(2)}, tmp_path / "their.safetensors")
    with pytest.raises(ValueError, match="another library's: it has no 0/recurrent_kernel"):
        other.load_weights(tmp_path / "their.safetensors")
    with pytest.raises(ValueError, match="says nothing of itself"):
        rk.load_model(tmp_path / "their.safetensors")
    model.save_weights(tmp_path / "w.safetensors")
    with pytest.raises(ValueError, match="holds arrays alone"):
        rk.load_model(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "make",
    [
        lambda: rk.forecast.Theta(season=4),
        lambda: rk.forecast.ExponentialSmoothing(season=4),
        lambda: rk.ESN(horizon=2, units=6, washout=2, seed=0),
        lambda: rk.forecast.TrainedForecaster(horizon=2, units=3, epochs=1, seed=0),
    ],
    ids=["theta", "ets", "esn", "trained"],
)
def test_F6_forecasters_come_back(path, make):
    series = 10 + np.sin(np.arange(60.0)) + np.arange(60.0) / 30
    forecaster = make().fit(series)
    forecaster.save(path)
    again, same = rk.load_model(path), type(forecaster).load(path)
    for one in (again, same):
        assert type(one) is type(forecaster)
        same_bits(np.asarray(one.predict()), np.asarray(forecaster.predict()))
    with pytest.raises(ValueError, match="of a fitted Autoregression; .* holds one of"):
        rk.forecast.Autoregression.load(path)


# Files from anywhere


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A file of a model with its training, and what it holds."""
    path, model = tmp_path_factory.mktemp("good") / "good.npz", compiled(0)
    with rk.eager():
        model.fit(X, Y, epochs=1, batch_size=6, verbose=0)
    model.save(path, optimizer=True, states=True)
    return load_arrays(path)


def loaded(path):
    with rk.eager():
        return rk.load_model(path, custom_objects={"own_loss": own_loss})


def places(value, path=()):
    """Where JSON values stand in others."""
    yield path
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(inner, (*path, key))


BAD = (None, True, -1, 10**9, 1e300, "sys:exit", "os:system", [], {}, [[1]], {"class_name": "os:system", "config": {}})


def test_T14_values_that_make_no_model_are_one_error(tmp_path, good, rng):
    """Whatever stands at a place of the configuration, the file is refused in one sentence, or it makes a model."""
    check_values(tmp_path / "hostile.npz", *good, rng, 300)


@pytest.mark.parametrize(
    "make",
    [
        lambda: rk.forecast.Theta(season=4),
        lambda: rk.ESN(horizon=2, units=6, washout=2, seed=0),
        lambda: rk.forecast.TrainedForecaster(horizon=2, units=3, epochs=1, seed=0),
    ],
    ids=["theta", "esn", "trained"],
)
def test_T14_values_that_make_no_forecaster_are_one_error(tmp_path, make, rng):
    path = tmp_path / "hostile.npz"
    make().fit(10 + np.sin(np.arange(60.0))).save(path)
    check_values(path, *load_arrays(path), rng, 60)


def check_values(path, arrays, about, rng, times):
    spots = [spot for spot in places(about) if spot]
    refused = []
    for _ in range(times):
        changed = copy.deepcopy(about)
        for spot in rng.choice(len(spots), rng.integers(1, 3)):
            inside = changed
            try:
                for key in spots[spot][:-1]:
                    inside = inside[key]
                inside[spots[spot][-1]] = copy.deepcopy(BAD[rng.integers(len(BAD))])  # which another change may change
            except (TypeError, LookupError):  # the other change has taken this place away
                continue
        save_arrays(path, arrays, json.loads(json.dumps(changed)))
        try:
            loaded(path)
        except ValueError as error:
            refused.append(str(error))
    assert len(refused) > times // 4
    assert all("hostile.npz" in text for text in refused)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda arrays, about: arrays.pop("weights/2/kernel"), "it has no 2/kernel"),
        (lambda arrays, about: arrays.update({"weights/9": np.ones(1)}), "the layer has no 9"),
        (lambda arrays, about: arrays.update({"weights/2/bias": np.ones(2)}), r"2/bias is of shape \(2,\)"),
        (lambda arrays, about: arrays.update({"weights/2/bias": np.array(["a"])}), "2/bias is of <U1, no real numbers"),
        (lambda arrays, about: arrays.update({"weights/2/bias": np.array([1j])}), "2/bias is of complex128"),
        (lambda arrays, about: arrays.update({"optimizer/momentum/2/bias": np.ones(9)}), "momentum/2/bias"),
        (lambda arrays, about: arrays.pop("optimizer/iterations"), "with iterations"),
        (lambda arrays, about: arrays.update({"states/0/0": np.ones((6, 5))}), "shape"),
        (lambda arrays, about: arrays.update({"states/7/0": np.ones((6, 5))}), "it has no '7'"),
        (lambda arrays, about: about.update(frozen=["../0"]), r"it has no '\.\./0'"),
        (lambda arrays, about: about["layer"].update(class_name="Popen", module="subprocess"), "subprocess:Popen"),
        (lambda arrays, about: about["layer"].update(class_name="loads", module="pickle"), "pickle:loads"),
        (lambda arrays, about: about["training"].update(loss=["subprocess:run"]), "subprocess:run"),
        (lambda arrays, about: about.pop("layer"), "a model; .* holds arrays alone"),
    ],
)
def test_T14_what_does_not_go_together_is_refused(tmp_path, good, change, words):
    path, (arrays, about) = tmp_path / "hostile.npz", copy.deepcopy(good)
    change(arrays, about)
    save_arrays(path, arrays, about)
    with pytest.raises(ValueError, match=words) as caught:
        loaded(path)
    assert "hostile.npz" in str(caught.value)


def limited_load(path):
    """What loading a file says in another process, and how much memory it takes there."""
    code = f"""
import resource, numpy, rnnkit as rk
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    rk.load_model({str(path)!r})
except ValueError as error:
    print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    pytest.importorskip("resource")
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.parametrize(
    "layer",
    [
        lambda n: rk.Dense(n),
        lambda n: rk.SimpleRNN(n),
        lambda n: rk.Sequential([rk.Embedding(n, 3), rk.GRU(2)]),
        lambda n: rk.RNN([rk.LSTMCell(n), rk.GRUCell(2)]),
        lambda n: rk.RNN(rk.ESNCell(n)),
    ],
    ids=["dense", "simple", "embedding", "stack", "esn"],
)
def test_T14_a_small_file_makes_no_large_model(tmp_path, layer):
    small, path = layer(7), tmp_path / "hostile.npz"
    small.build((None, None) if isinstance(small, rk.Sequential) else (None, None, 2))
    small.save(path)
    arrays, about = load_arrays(path)
    text = json.dumps(about)
    assert text.count(": 7") == 1
    save_arrays(path, arrays, json.loads(text.replace(": 7", ": 20000000")))
    told = limited_load(path)
    assert "hostile.npz" in told[0] and "at most 67.1 MB" in told[0]
    assert int(told[1]) < 100_000  # kB on Linux; bytes elsewhere are fewer still


def test_T14_many_layers_make_no_large_model_either(tmp_path):
    """Each of them fits; the bound is on all together."""
    small, path = rk.Sequential([rk.Dense(7, use_bias=False) for _ in range(60)]), tmp_path / "hostile.npz"
    small.build((None, 7))
    small.save(path)
    arrays, about = load_arrays(path)
    save_arrays(path, arrays, json.loads(json.dumps(about).replace(": 7", ": 2500").replace("7]", "2500]")))
    told = limited_load(path)
    assert "hostile.npz" in told[0] and "what is left of the 67.1 MB that a file of" in told[0]
    assert int(told[1]) < 300_000


def test_saving_leaves_what_was_there(tmp_path):
    layer = rk.GRU(3)
    with pytest.raises(ValueError, match="to be built before it is saved"):
        layer.save(tmp_path / "a.npz")
    layer.build((None, None, 2))
    layer.save(tmp_path / "a.npz")
    with pytest.raises(FileExistsError, match="overwrite=True"):
        layer.save(tmp_path / "a.npz", overwrite=False)
    model = rk.Sequential([rk.Input((None, 2)), rk.GRU(3)])
    with pytest.raises(ValueError, match="to be compiled"):
        model.save(tmp_path / "a.npz", optimizer=True)
    assert isinstance(rk.load_model(tmp_path / "a.npz"), rk.GRU)
    with pytest.raises(FileNotFoundError):
        rk.load_model(tmp_path / "nowhere.rnnkit")
