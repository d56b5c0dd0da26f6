"""Configurations that follow from the signatures of constructors."""

import inspect
import json

import layers_under_test
import pytest

import rnnkit as rk
from rnnkit.configured import config_of

NOT_KEPT = {"data_format", "output_shape", "activity_regularizer"}  # one value, found anyway, kept if given


@pytest.mark.parametrize("name", [name for name in layers_under_test.LAYERS if name != "Model"])
def test_every_argument_of_a_layer_is_in_its_configuration(name):
    layer = layers_under_test.LAYERS[name].make()
    config = layer.get_config()
    lacking = set(inspect.signature(type(layer)).parameters) - set(config)
    assert lacking <= NOT_KEPT
    assert config == json.loads(json.dumps(config))


@pytest.mark.parametrize("name", [name for name in rk.metrics.CLASSES if name not in ("Accuracy",)])
def test_every_argument_of_a_metric_is_in_its_configuration(name):
    metric = rk.metrics.CLASSES[name]()
    parameters = inspect.signature(type(metric)).parameters.values()
    named = {one.name for one in parameters if one.kind is not one.VAR_KEYWORD}
    assert named <= set(metric.get_config())
    assert type(metric).from_config(metric.get_config()).get_config() == metric.get_config()


def test_what_is_no_plain_value_is_left_out():
    class Made:
        def __init__(self, size, parts, thing, axis_initializer="ones", activation=None, lost=1):
            self.size, self.parts, self.thing = size, parts, thing
            self.axis_initializer, self.activation = axis_initializer, rk.linear

    made = Made((2, [None, "a"]), [1, object()], object())
    assert config_of(made) == {"size": [2, [None, "a"]], "axis_initializer": "ones", "activation": None}


def test_a_class_that_hands_keywords_on_has_those_of_its_base():
    class Mixed:
        pass

    class Scaled(Mixed, rk.Dense):
        def __init__(self, units, scale=2.0, **keywords):
            super().__init__(units, **keywords)
            self.scale = scale

    layer = Scaled(3, 0.5, activation="tanh", kernel_regularizer="l2", seed=1, name="scaled")
    expected = rk.Dense(3, activation="tanh", kernel_regularizer="l2", seed=1, name="scaled").get_config()
    assert layer.get_config() == expected | {"scale": 0.5}
    assert Scaled.from_config(layer.get_config()).get_config() == layer.get_config()

    class Read(rk.LSTM):
        def __init__(self, units, **keywords):
            super().__init__(units, **keywords)

    given = {"return_sequences": True, "dropout": 0.1, "name": "read"}
    assert Read(2, **given).get_config() == rk.LSTM(2, **given).get_config()


def test_a_class_with_arguments_of_its_own_has_these_alone():
    class Fixed(rk.Dense):
        def __init__(self, scale):
            super().__init__(4, "tanh")
            self.scale = scale

    assert set(Fixed(2.0).get_config()) == {"scale", "dtype", "seed", "name"}
