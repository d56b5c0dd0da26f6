"""Regularizers, constraints, and the weight_options of weights: what they are, and how cells and layers carry them."""

import copy
import json
import pickle

import numpy as np
import pytest

import rnnkit as rk
from rnnkit import constraints, regularizers
from rnnkit.layers.support.layer_tree import arrays_by_name, options_by_name
from rnnkit.steps.weight_options import WeightOptions

WEIGHT = np.array([[3.0, -0.5, 0.0], [-4.0, 0.5, 0.0]])
L1, L2, L1L2 = regularizers.L1, regularizers.L2, regularizers.L1L2
MaxNorm, MinMaxNorm, NonNeg, UnitNorm = (
    getattr(constraints, name) for name in ("MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm")
)
REGULARIZERS = [L1(0.3), L2(0.2), L1L2(0.1, 0.4)]
CONSTRAINTS = [
    MaxNorm(1.5),
    MaxNorm(1.5, axis=1),
    MinMaxNorm(0.9, 2.0, rate=0.7),
    UnitNorm(),
    UnitNorm((0, 1)),
    NonNeg(),
]


class Towards(regularizers.Regularizer):
    """A user's own."""

    def __init__(self, middle):
        self.middle = middle

    def __call__(self, weight):
        return 0.5 * float(np.sum((weight - self.middle) ** 2, dtype=np.float64))

    def gradient(self, weight):
        return weight - self.middle

    def get_config(self):
        return {"middle": self.middle}


def halved(weight):
    """A constraint that is a function."""
    return weight / 2


@pytest.mark.parametrize("regularizer", [*REGULARIZERS, pytest.param(Towards(1.0), id="own")], ids=str)
def test_gradient_is_that_of_the_penalty(regularizer):
    weight = WEIGHT[:, :2]  # |w| has a corner at 0
    for index in np.ndindex(weight.shape):
        ahead, behind = weight.copy(), weight.copy()
        ahead[index] += 1e-5
        behind[index] -= 1e-5
        slope = (regularizer(ahead) - regularizer(behind)) / 2e-5
        assert regularizer.gradient(weight)[index] == pytest.approx(slope, rel=1e-8)


def test_gradient_of_zero_is_zero():
    for regularizer in REGULARIZERS:
        assert (regularizer.gradient(WEIGHT)[:, 2] == 0).all()


def test_constraints_keep_what_they_say():
    def lengths(weight, axis=0):
        return np.sqrt((weight**2).sum(axis))

    assert np.allclose(lengths(MaxNorm(1.5)(WEIGHT)), [1.5, np.sqrt(0.5), 0])
    assert np.allclose(lengths(MaxNorm(1.5, axis=1)(WEIGHT), 1), 1.5)
    assert np.allclose(lengths(MinMaxNorm(0.9, 2.0)(WEIGHT)), [2, 0.9, 0])
    halfway = MinMaxNorm(0.9, 2.0, rate=0.5)(WEIGHT)
    assert np.allclose(lengths(halfway), [3.5, (0.9 + np.sqrt(0.5)) / 2, 0])
    assert np.allclose(lengths(UnitNorm()(WEIGHT)), [1, 1, 0])
    assert np.isclose(lengths(UnitNorm((0, 1))(WEIGHT), (0, 1)), 1)
    assert (NonNeg()(WEIGHT) == np.where(WEIGHT > 0, WEIGHT, 0)).all()
    assert all(one(WEIGHT.astype("float32")).dtype == np.float32 for one in CONSTRAINTS)


def test_keras_agrees():
    keras = pytest.importorskip("keras")
    weight = WEIGHT.astype("float32")
    for own in REGULARIZERS:
        assert own(weight) == pytest.approx(
            float(getattr(keras.regularizers, type(own).__name__)(**own.get_config())(weight))
        )
    for own in CONSTRAINTS:
        theirs = getattr(keras.constraints, type(own).__name__)(**own.get_config())
        assert np.allclose(own(weight), np.asarray(theirs(weight)), atol=1e-6)


@pytest.mark.parametrize(
    "module, one", [(regularizers, r) for r in [*REGULARIZERS, Towards(2.0)]] + [(constraints, c) for c in CONSTRAINTS]
)
def test_a_configuration_brings_the_same_back(module, one):
    config = json.loads(json.dumps(module.config_of(one)))
    again = module.get(config)
    assert type(again) is type(one) and again.get_config() == one.get_config()
    assert type(pickle.loads(pickle.dumps(one))) is type(one)


def test_names_and_objects():
    assert regularizers.get("l1") == L1() and regularizers.get(L2) == L2() and regularizers.get(None) is None
    assert constraints.get("unit_norm") == UnitNorm() and constraints.get(halved) is halved
    assert constraints.get(constraints.config_of(halved)) is halved
    with pytest.raises(ValueError, match="expected a regularizer among l1, l2, l1_l2; got 'l3'"):
        regularizers.get("l3")
    with pytest.raises(TypeError, match="expected a regularizer's name"):
        regularizers.get(halved)  # its gradient isn't known
    with pytest.raises(ValueError, match="expected a constraint's class among MaxNorm"):
        constraints.get({"class_name": "MaxNrm", "config": {}})


@pytest.mark.parametrize(
    "make",
    [
        lambda: L2(-1),
        lambda: L1("a"),
        lambda: MaxNorm(float("inf")),
        lambda: MinMaxNorm(2, 1),
        lambda: MinMaxNorm(rate=2),
    ],
)
def test_settings_out_of_range(make):
    with pytest.raises(ValueError, match="expected"):
        make()


ARGUMENTS = {
    f"{part}_{kind}": value
    for part, pair in {
        "kernel": (L2(0.1), MaxNorm(3.0)),
        "recurrent": (L1(0.2), UnitNorm()),
        "bias": (L2(0.3), halved),
    }.items()
    for kind, value in zip(("regularizer", "constraint"), pair, strict=True)
}
OF_DENSE = {name: value for name, value in ARGUMENTS.items() if not name.startswith("recurrent")}


@pytest.mark.parametrize("make", [rk.SimpleRNN, rk.GRU, rk.LSTM, lambda *a, **k: rk.RNN(rk.GRUCell(*a, **k))])
def test_recurrent_layers_take_them(make):
    layer = make(3, **ARGUMENTS)
    for one in (
        layer,
        type(layer).from_config(json.loads(json.dumps(layer.get_config())), custom_objects={"halved": halved}),
        copy.deepcopy(layer),
    ):
        one.build((None, None, 2))
        for again in (one, copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
            weight_options = options_by_name(again)
            assert list(weight_options) == list(arrays_by_name(again))
            assert weight_options["kernel"] == WeightOptions(True, L2(0.1), MaxNorm(3.0))
            assert weight_options["recurrent_kernel"] == WeightOptions(True, L1(0.2), UnitNorm())
            assert weight_options["bias"] == WeightOptions(True, L2(0.3), halved)
    assert "regularizer" not in repr(rk.GRU(3)) and "constraint" not in repr(rk.Dense(3))


def test_dense_and_embedding_take_them():
    table = rk.Embedding(4, 2, embeddings_regularizer="l2", embeddings_constraint="unit_norm")
    for layer, shape in ((rk.Dense(2, **OF_DENSE), (None, 3)), (table, (None, None))):
        again = type(layer).from_config(json.loads(json.dumps(layer.get_config())), custom_objects={"halved": halved})
        again.build(shape)
        layer.build(shape)
        assert options_by_name(again) == options_by_name(layer) != dict.fromkeys(arrays_by_name(layer), WeightOptions())
    assert options_by_name(table) == {"embeddings": WeightOptions(True, L2(), UnitNorm())}


@rk.cell(
    states={"h": "units"},
    weights={
        "kernel": rk.Weight(("features", "units"), "ones", regularizer="l1", constraint=NonNeg()),
        "clock": rk.Weight(("units", "units"), "glorot_uniform", 0.5, trainable=False),
    },
)
def declared(x, states, weights):
    """A cell with a weight that stays."""
    h = x @ weights.kernel + states[0] @ weights.clock
    return h, h


class Around(rk.Cell):
    """A cell around another, with a weight of its own."""

    def __init__(self):
        super().__init__()
        self.inner, self.state_size = declared(units=2), 2

    def build(self, input_shape):
        self.gain = self.add_weight((2,), "ones", "gain", constraint=MaxNorm(2.0))
        self.inner.build(input_shape)

    def call(self, inputs, states):
        h, states = self.inner(inputs, states)
        return h * self.gain, states


def test_cells_say_what_trains():
    layer = rk.RNN([Around(), rk.ESNCell(4), rk.GRUCell(2)])
    assert options_by_name(layer) == {}
    layer.build((None, None, 3))
    weight_options = options_by_name(layer)
    assert list(weight_options) == list(arrays_by_name(layer))
    assert weight_options["0/gain"] == WeightOptions(constraint=MaxNorm(2.0))
    assert weight_options["0/inner/kernel"] == WeightOptions(True, L1(), NonNeg())
    assert not weight_options["0/inner/clock"].trainable
    assert not any(one.trainable for name, one in weight_options.items() if name.startswith("1/"))
    assert list(layer.trainable_weights) == ["0/gain", "0/inner/kernel", "2/kernel", "2/recurrent_kernel", "2/bias"]
    assert all(array is layer.weights[name] for name, array in layer.trainable_weights.items())
    with pytest.raises(TypeError):
        layer.trainable_weights["0/gain"] = 1


def test_trainable_of_a_whole_and_of_a_part():
    model = rk.Sequential([rk.Bidirectional(rk.GRU(2, return_sequences=True)), rk.Dense(1)])
    model.build((None, None, 3))
    assert list(model.trainable_weights) == list(model.weights)
    model.layers[0].forward_layer.trainable = False
    assert [name for name in model.weights if name not in model.trainable_weights] == [
        f"0/forward/{name}" for name in ("kernel", "recurrent_kernel", "bias")
    ]
    assert list(copy.deepcopy(model).trainable_weights) == list(model.trainable_weights)
    model.trainable = False
    assert not model.trainable_weights and not pickle.loads(pickle.dumps(model)).trainable_weights
    model.trainable = True
    assert "1/kernel" in model.trainable_weights and "0/forward/kernel" not in model.trainable_weights
    frozen = rk.GRU(2)
    frozen.trainable = False
    both = rk.Bidirectional(frozen)
    both.build((None, None, 3))
    assert not both.trainable_weights


def test_what_is_no_trait():
    with pytest.raises(TypeError, match="expected trainable to be True or False, got 1"):
        rk.Weight(("units",), trainable=1)
    with pytest.raises(ValueError, match="expected a constraint among"):
        rk.Weight(("units",), constraint="max")
    with pytest.raises(ValueError, match="expected a regularizer among"):
        rk.GRU(2, activity_regularizer="l")
    with pytest.raises(ValueError, match="expected a regularizer among"):
        rk.Dense(2, kernel_regularizer="l")
