"""What layers keep as long as no attribute is set: their parts, variables and options follow every change."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.layers.support import layer_tree
from rnnkit.layers.support.layer_tree import all_layers, held_by, options_by_name
from rnnkit.models.subclassed import SubclassedLayer, SubclassedModel


class Inner(SubclassedLayer):
    def __init__(self):
        super().__init__(seed=0)
        self._hidden = [rk.Dense(2, seed=3)]
        self.by_name = {"a": [rk.Dense(2, seed=4)], "b": None}

    def call(self, inputs):
        return self.by_name["a"][0](self._hidden[0](inputs))


class Outer(SubclassedModel):
    def __init__(self):
        super().__init__(seed=0)
        self.inner, self.head, self.steps = Inner(), rk.Dense(2, seed=1), 0

    def call(self, inputs):
        return self.head(self.inner(inputs))


def _dense(seed=5):
    layer = rk.Dense(2, seed=seed)
    layer.build((None, 2))
    return layer


def _delete(model):
    del model.head


CHANGES = {
    "an attribute": lambda model: setattr(model, "head", _dense()),
    "an attribute that goes": _delete,
    "a new attribute": lambda model: setattr(model, "more", _dense()),
    "an entry of a list": lambda model: model.inner._hidden.__setitem__(0, _dense()),
    "a longer list": lambda model: model.inner._hidden.append(_dense()),
    "a nested list": lambda model: model.inner.by_name["a"].append(_dense()),
    "a shorter list": lambda model: model.inner._hidden.clear(),
    "an entry of a dict": lambda model: model.inner.by_name.update(b=_dense()),
    "another key": lambda model: model.inner.by_name.update(c=model.inner.by_name.pop("a")),
    "a frozen layer": lambda model: setattr(model.inner, "trainable", False),
    "a frozen layer in a list": lambda model: setattr(model.inner._hidden[0], "trainable", False),
    "a number in the place of a layer": lambda model: setattr(model, "head", 1),
    "a layer in the place of a number": lambda model: setattr(model, "steps", _dense()),
}


def _found(model):
    layers = [id(one) for one in all_layers(model)]
    variables = [(id(one.value), one.path) for one in model.variables]
    return layers, variables, [one.path for one in model.trainable_variables], list(options_by_name(model).items())


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_kept_follows_a_change(change):
    model = Outer()
    model(np.ones((1, 2), "float32"))
    before = _found(model)
    assert _found(model) == before
    CHANGES[change](model)
    found = _found(model)
    assert found != before
    rk.Dense(1).trainable = True  # nothing is kept after an assignment to any layer
    assert _found(model) == found


def test_numbers_that_a_step_counts_let_what_is_kept_stay():
    model = Outer()
    model(np.ones((1, 2), "float32"))
    layers = layer_tree._layers_below(model)
    model.steps += 1
    assert layer_tree._layers_below(model) is layers
    model.inner._hidden.append(_dense())
    assert len(layer_tree._layers_below(model)) == len(layers) + 1


def test_weights_of_a_cell_are_those_of_now():
    layer = rk.GRU(2, seed=0)
    layer.build((None, None, 2))
    arrays = held_by(layer).arrays()
    arrays.clear()  # a copy
    new = np.zeros((2, 6), "float32")
    layer.kernel.assign(new)
    assert np.array_equal(layer.kernel.value, new)
    layer.weights["kernel"] = new + 1
    assert np.array_equal(held_by(layer).arrays()["kernel"], new + 1)
