"""What a configuration may name: row X14 of docs/contract.md."""

import copy
import inspect
import json
import sys
import types

import numpy as np
import pytest
from cells_under_test import leaky

import rnnkit as rk
from rnnkit.serialization import registry
from rnnkit.serialization.configuration import from_json, to_json


def sine(x):
    return np.sin(x)


def twice(shape, rng):
    return 2 * np.ones(shape)


def off(y_true, y_pred):
    return np.mean(np.abs(y_true - y_pred), axis=-1)


class Halved(rk.losses.Loss):
    """A loss with a class of its own."""

    name = "halved"

    def __call__(self, y_true, y_pred):
        return 0.5 * off(y_true, y_pred)

    def get_config(self):
        return {}


class Plain:
    """A cell that derives from nothing of rnnkit's."""

    state_size = 3

    def __init__(self, start=0.0):
        self.start = start

    def call(self, inputs, states):
        return states[0], [states[0] + self.start]

    def get_config(self):
        return {"start": self.start}


@pytest.fixture(autouse=True)
def no_names_left(monkeypatch):
    monkeypatch.setattr(registry, "_registered", {})
    monkeypatch.setattr(registry, "_names", {})


@pytest.fixture
def trap(monkeypatch, tmp_path):
    """A module that says so when it is imported, and one that is there already, with what must not be called."""
    (tmp_path / "rnnkit_trap.py").write_text("raise SystemExit('the trap was imported')")
    monkeypatch.syspath_prepend(tmp_path)
    called = []
    there = types.ModuleType("rnnkit_there")
    there.run = lambda *a, **k: called.append((a, k))
    there.Run = type("Run", (), {"__init__": there.run, "__module__": "rnnkit_there"})
    monkeypatch.setitem(sys.modules, "rnnkit_there", there)
    yield
    assert not called
    assert "rnnkit_trap" not in sys.modules


PATHS = [
    "rnnkit_trap:anything",
    "rnnkit_there:run",
    "rnnkit_there:Run",
    "rnnkit:clear_cache",
    "rnnkit.layers.rnn:np.save",
]


def described(path):
    module, _, name = path.partition(":")
    return {"module": module, "class_name": name, "config": {"args": ["touch", "x"]}}


def inside(path):
    return {"class_name": path, "config": {"args": ["touch", "x"]}}


DENSE = rk.Dense(2).get_config()
PLACES = {
    "a cell": lambda path: rk.RNN.from_config({"cell": described(path)}),
    "a cell of a stack": lambda path: rk.StackedRNNCells.from_config({"cells": [described(path)]}),
    "a layer of a model": lambda path: rk.Sequential.from_config(
        rk.Sequential([]).get_config() | {"layers": [described(path)]}
    ),
    "a layer of a graph": lambda path: rk.Model.from_config({"inputs": [], "layers": [described(path)], "calls": []}),
    "a direction": lambda path: rk.Bidirectional.from_config({"layer": described(path), "backward_layer": None}),
    "a step's layer": lambda path: rk.TimeDistributed.from_config({"layer": described(path)}),
    "an activation": lambda path: rk.LSTM.from_config({"units": 2, "activation": path}),
    "an activation of a reservoir": lambda path: rk.ESNCell.from_config({"units": 2, "activation": path}),
    "an initializer": lambda path: rk.Dense.from_config(DENSE | {"kernel_initializer": path}),
    "an initializer with settings": lambda path: rk.Dense.from_config(DENSE | {"kernel_initializer": inside(path)}),
    "a regularizer": lambda path: rk.Dense.from_config(DENSE | {"kernel_regularizer": inside(path)}),
    "a constraint": lambda path: rk.Dense.from_config(DENSE | {"kernel_constraint": path}),
    "a function": lambda path: rk.Lambda.from_config({"function": path}),
    "a keyword": lambda path: leaky.from_config({"units": 2, "leak": {"function": path}}),
    "a keyword's list": lambda path: leaky.from_config({"units": 2, "leak": [[{"function": path}]]}),
    "a schedule": lambda path: rk.optimizers.Adam.from_config({"learning_rate": path}),
    "a schedule with settings": lambda path: rk.optimizers.Adam.from_config({"learning_rate": inside(path)}),
    "an optimizer": lambda path: rk.optimizers.get(inside(path)),
    "a loss": lambda path: rk.losses.get(inside(path)),
    "a metric": lambda path: rk.metrics.get(inside(path)),
    "a metric's function": lambda path: rk.metrics.get({"class_name": "Metric", "config": {"function": path}}),
    "an argument": lambda path: rk.Dense(2, kernel_regularizer=inside(path)),
}


@pytest.mark.parametrize("place", PLACES)
def test_X14_a_configuration_makes_and_imports_nothing_unknown(place, trap):
    for path in PATHS:
        with pytest.raises(ValueError) as caught:
            PLACES[place](path)
        if path != "rnnkit:clear_cache" or "known" in str(caught.value):
            assert path in str(caught.value) or path.partition(":")[2] in str(caught.value)
        if "known here" in str(caught.value):
            assert "custom_objects=" in str(caught.value) and "@rk.register" in str(caught.value)


def test_X14_the_error_says_both_ways():
    config = rk.LSTM(2, activation=sine).get_config()
    with pytest.raises(ValueError, match=rf"{config['activation']}.*custom_objects={{'sine': …}}.*@rk\.register"):
        rk.LSTM.from_config(config)


def same_function(layer):
    return layer.cell.activation is sine


@pytest.mark.parametrize("name", ["sine", f"{__name__}:sine"])
def test_X14_what_the_caller_hands_in(name):
    config = json.loads(json.dumps(rk.LSTM(2, activation=sine).get_config()))
    assert config["activation"] == f"{__name__}:sine"
    assert same_function(rk.LSTM.from_config(config, custom_objects={name: sine}))
    both = rk.Bidirectional.from_config(
        json.loads(json.dumps(rk.Bidirectional(rk.LSTM(2, activation=sine)).get_config())), custom_objects={name: sine}
    )
    assert same_function(both.forward_layer) and same_function(both.backward_layer)
    with pytest.raises(ValueError, match="known here"):  # it counts for that one call
        rk.LSTM.from_config(config)


def test_X14_what_is_registered():
    rk.register("mine")(sine)
    config = json.loads(json.dumps(rk.LSTM(2, activation=sine).get_config()))
    assert config["activation"] == "mine>sine"
    assert same_function(rk.LSTM.from_config(config))
    rk.register("mine", "sine")(newer := lambda x: np.sin(x) + 0)  # a notebook's cell, run again
    assert rk.LSTM.from_config(config).cell.activation is newer
    assert rk.LSTM(2, activation=newer).get_config()["activation"] == "mine>sine"
    with pytest.raises(ValueError, match="known here"):
        rk.LSTM.from_config(config | {"activation": "yours>sine"})


def test_X14_everything_that_a_configuration_may_name_can_be_registered():
    for thing in (sine, twice, off, Halved, Plain):
        rk.register("mine")(thing)
    layer = rk.Dense(2, activation=sine, kernel_initializer=twice, kernel_constraint=sine)
    again = rk.Dense.from_config(json.loads(json.dumps(layer.get_config())))
    assert (again.activation, again.kernel_initializer, again.kernel_constraint) == (sine, twice, sine)
    config = json.loads(json.dumps(rk.RNN(Plain(2.0)).get_config()))
    assert config["cell"]["registered_name"] == "mine>Plain"
    assert isinstance(found := rk.RNN.from_config(config).cell.adapted, Plain) and found.start == 2.0
    metric = rk.metrics.get(off)
    assert rk.metrics.Metric.from_config(json.loads(json.dumps(metric.get_config()))).function is off
    assert rk.losses.get(rk.losses.loss_config(off)) is off
    assert isinstance(rk.losses.get(rk.losses.loss_config(Halved())), Halved)
    assert rk.Lambda.from_config(rk.Lambda(sine).get_config()).function is sine
    cell = leaky(units=2, leak=sine)
    assert leaky.from_config(json.loads(json.dumps(cell.get_config()))).leak is sine


def test_X14_a_class_without_a_base_of_rnnkits_is_handed_in():
    config = json.loads(json.dumps(rk.RNN(Plain(2.0)).get_config()))
    with pytest.raises(ValueError, match=rf"{__name__}:Plain.*custom_objects"):
        rk.RNN.from_config(config)
    assert rk.RNN.from_config(config, custom_objects={"Plain": Plain}).cell.adapted.start == 2.0


def test_X14_what_the_program_derived_from_rnnkits_classes_is_known():
    config = json.loads(json.dumps(rk.RNN(leaky(units=3)).get_config()))
    assert isinstance(rk.RNN.from_config(config).cell, leaky)
    assert isinstance(rk.losses.get({"class_name": f"{__name__}:Halved", "config": {}}), Halved)


def test_X14_a_class_inside_a_function_is_handed_in():
    """Its name stands for another class each time, so that it can't be looked up."""

    def make(step):
        @rk.cell(states={"h": 2})
        def counting(x, states, weights):
            return states[0] + step, (states[0] + step,)

        return counting

    one, two = make(1), make(2)
    config = rk.RNN(one()).get_config()
    with pytest.raises(ValueError, match="custom_objects"):
        rk.RNN.from_config(config)
    assert isinstance(rk.RNN.from_config(config, custom_objects={"counting": two}).cell, two)


@pytest.mark.parametrize("module", ["rnnkit", "rnnkit.layers.recurrent", "rnnkit.somewhere.else"])
def test_X14_rnnkits_own_are_known_wherever_they_stood(module):
    """A configuration outlives the file that a class was written in."""
    layer = {"module": module, "class_name": "LSTM", "config": {"units": 2}}
    model = rk.Sequential.from_config(rk.Sequential([]).get_config() | {"layers": [layer]})
    assert isinstance(model.layers[0], rk.LSTM)
    assert model.get_config()["layers"][0]["module"] == "rnnkit"
    erf = rk.Lambda.from_config({"function": "rnnkit.functions:erf"})
    assert erf.function is rk.erf and erf.get_config()["function"] == "rnnkit:erf"


def test_X14_every_public_class_with_a_configuration_is_known():
    for name in rk.__all__:
        thing = getattr(rk, name)
        if isinstance(thing, type) and hasattr(thing, "get_config") and hasattr(thing, "from_config"):
            assert registry.class_of(f"rnnkit:{name}") is thing


@pytest.mark.parametrize("function", [np.tanh, np.exp])
def test_X14_numpys_name_of_a_built_in_activation(function):
    config = rk.LSTM(2, activation=function).get_config()
    assert rk.LSTM.from_config(config).get_config() == config


def test_X14_copies_in_a_program_need_no_names(rng):
    """`Bidirectional` makes its second layer from the configuration of the first."""
    both = rk.Bidirectional(rk.LSTM(2, activation=sine))
    assert same_function(both.backward_layer) and type(both.backward_layer) is rk.LSTM
    assert same_function(copy.deepcopy(both).forward_layer)


class Own(rk.Dense):
    """A layer whose from_config knows nothing of custom objects."""

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def test_X14_a_class_of_ones_own_is_read_under_the_same_rule(trap):
    with pytest.raises(ValueError, match="known here"):
        Own.from_config(DENSE | {"activation": "rnnkit_trap:run"})
    assert Own.from_config(DENSE | {"activation": "sine"}, custom_objects={"sine": sine}).activation is sine


def test_X14_an_argument_of_a_program_may_be_an_import_path():
    assert rk.LSTM(2, activation="numpy:sin").cell.activation is np.sin


@pytest.mark.parametrize("given", [3, "mine", [1], {1: 2}])
def test_X14_no_configuration(given):
    with pytest.raises((TypeError, ValueError), match="expected a configuration"):
        rk.RNN.from_config(given)
    with pytest.raises((TypeError, ValueError), match="expected a configuration"):
        rk.RNN.from_config({"cell": given})
    with pytest.raises(TypeError, match="custom_objects"):
        rk.RNN.from_config({}, custom_objects=given)


def test_X14_what_is_missing_is_named():
    with pytest.raises(ValueError, match="RNN with 'cell'"):
        rk.RNN.from_config({})


@pytest.mark.parametrize("given", [{"mine": "mine"}, {"mine": "os:system"}])
def test_X14_a_name_is_not_handed_in_for_a_name(given, trap):
    for make in (rk.LSTM, rk.Dense):
        with pytest.raises(TypeError, match="custom_objects"):
            make.from_config({"units": 2, "kernel_initializer": "mine"}, custom_objects=given)


@pytest.mark.parametrize("bad", ["", "a>b", 3, None])
def test_X14_names_that_cannot_be_registered(bad):
    with pytest.raises(ValueError, match="rk.register"):
        rk.register(bad)
    with pytest.raises(TypeError, match="function or a class"):
        rk.register("mine")(3)


def test_X14_arrays_in_a_configuration_hold_numbers():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    again = from_json(json.loads(json.dumps(to_json(array, "it"))))
    assert again.dtype == array.dtype and (again == array).all()
    for dtype in ("object", "O", "V8", None, "datetime64", ["f4"]):
        with pytest.raises(ValueError, match="array of numbers"):
            from_json({"array": [1], "dtype": dtype})
    with pytest.raises(TypeError, match="array of numbers"):
        to_json(np.array([{}], object), "it")


def test_X14_a_forecasters_file_names_nothing(trap, tmp_path):
    """Its settings are numbers and names of rnnkit's own, whatever somebody writes in their place."""
    from rnnkit.serialization.array_files import load_arrays, save_arrays

    path = tmp_path / "network.npz"
    with rk.eager():
        network = rk.ESN(horizon=2, units=5, washout=2).fit(np.sin(np.arange(60.0)))
        network.save(path)
        arrays, about = load_arrays(path)
        for name in about["model"]["settings"]:
            for bad in ("rnnkit_trap:run", described("rnnkit_there:Run"), {"function": "rnnkit_there:run"}):
                changed = copy.deepcopy(about)
                changed["model"]["settings"][name] = bad
                save_arrays(path, arrays, changed)
                with pytest.raises((ValueError, TypeError)):
                    rk.ESN.load(path)
    for name in inspect.signature(rk.forecast.TrainedForecaster).parameters:
        if name != "calibrate":  # a truth, of whatever
            with pytest.raises((ValueError, TypeError)):
                rk.forecast.TrainedForecaster(**{name: "rnnkit_trap:run"}).fit(np.sin(np.arange(60.0)))
