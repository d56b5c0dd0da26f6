"""Weights, states of optimizers and numbers of metrics as variables, and attributes that programs set themselves."""

import copy
import json
import pickle

import numpy as np
import pytest

import rnnkit as rk
from rnnkit import keras
from rnnkit.keras import layers, ops


@pytest.fixture(autouse=True)
def fresh():
    """Names are counted anew."""
    keras.backend.clear_session()
    yield
    keras.backend.clear_session()


RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 5, 3)).astype("float32")
KINDS = {  # the attributes of a built layer
    "kernel recurrent_kernel bias": lambda: layers.LSTM(4),
    "kernel recurrent_kernel bias ": lambda: layers.GRU(4),
    "kernel recurrent_kernel bias  ": lambda: layers.SimpleRNN(4),
    "kernel bias": lambda: layers.Dense(4),
    "kernel bias ": lambda: layers.Conv1D(2, 2),
    "gamma beta moving_mean moving_variance": lambda: layers.BatchNormalization(),
    "gamma beta": lambda: layers.LayerNormalization(),
    "alpha": lambda: layers.PReLU(),
}


@pytest.mark.parametrize("names", KINDS)
def test_weights_are_attributes_of_a_built_layer(names):
    layer = KINDS[names]()
    first = names.split()[0]
    assert not hasattr(layer, first) and layer.variables == []
    before = layer(X)
    assert [one.name for one in layer.variables] == names.split() == list(layer.weights)
    for name in names.split():
        variable = getattr(layer, name)
        assert variable.path == f"{layer.name}/{name}" and variable.shape == layer.weights[name].shape
        assert variable.dtype == np.float32 and variable.ndim == len(variable.shape)
        assert np.array_equal(variable.numpy(), layer.weights[name]) and np.array_equal(variable, variable.value)
        assert variable.trainable == (not name.startswith("moving"))
        with pytest.raises(ValueError):
            variable.value[...] = 0
        copied = variable.numpy()
        copied[...] = 0
        with pytest.raises(AttributeError, match=rf"layer.{name}.assign\(value\)"):
            setattr(layer, name, copied)
    variable, old = getattr(layer, first), getattr(layer, first).numpy()
    variable.assign_add(np.ones(variable.shape))
    assert np.allclose(layer.weights[first], old + 1) and not np.array_equal(layer(X), before)
    variable.assign_sub(np.ones(variable.shape))
    variable.assign(old.tolist())
    assert np.array_equal(layer(X), before)
    with pytest.raises(ValueError, match="expected a value of shape"):
        variable.assign(np.ones(7))
    assert np.array_equal(2 * variable + 1, 2 * old + 1) and np.array_equal(ops.tanh(variable), np.tanh(old))
    assert np.array_equal(np.asarray(variable, "float64"), old) and float(ops.sum(variable)) == old.sum()
    again = pickle.loads(pickle.dumps(layer))
    assert np.array_equal(getattr(again, first), old) and np.array_equal(getattr(copy.deepcopy(layer), first), old)


def test_a_kept_variable_is_the_copys_own_in_a_copy():
    layer = layers.Dense(3)
    layer(X)
    layer.kept = layer.kernel
    assert layer.kept.key == layer.kernel.key  # which is known then
    for other in copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)):
        assert other.kept.key == other.kernel.key != layer.kernel.key
        other.kept.assign(np.zeros((3, 3)))
        assert not other.kernel.numpy().any() and layer.kernel.numpy().any()


def test_variables_of_a_model_are_in_the_order_of_its_weights():
    x = keras.Input((5, 3))
    h = layers.BatchNormalization(name="norm")(layers.Bidirectional(layers.GRU(2), name="both")(x))
    model = keras.Model(x, [layers.Dense(1, name="b")(h), layers.Dense(2, name="a")(h)])
    assert [one.shape for one in model.variables] == [one.shape for one in model.get_weights()]
    assert all(np.array_equal(one, array) for one, array in zip(model.variables, model.get_weights(), strict=True))
    assert [one.path for one in model.non_trainable_variables] == ["norm/moving_mean", "norm/moving_variance"]
    assert len(model.trainable_variables) == 6 + 2 + 4 == len(model.trainable_weights)
    assert len(model.non_trainable_weights) == 2
    model.get_layer("both").trainable = False
    assert len(model.trainable_variables) == 6
    for one in model.trainable_variables:
        one.assign(np.zeros(one.shape))
    assert not np.any(model(X)[0])


def test_a_layer_in_two_places_has_its_variables_once():
    shared = layers.Dense(3)
    model = keras.Sequential([keras.Input((3,)), shared, shared])
    assert [one.path for one in model.variables] == [f"{shared.name}/kernel", f"{shared.name}/bias"]
    with keras.GradientTape() as tape:
        loss = ops.sum(model(X[:, 0]))
    y, pullback = rk.Sequential([shared, shared]).vjp(X[:, 0])
    found = pullback(np.ones_like(y)).weights
    assert np.allclose(tape.gradient(loss, shared.kernel), found["0/kernel"] + found["1/kernel"], atol=1e-6)


def test_own_weights_are_the_variables_of_a_layer():
    class Scaled(layers.Layer):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def build(self, input_shape):
            self.scale = self.add_weight(name="scale", shape=(2,), initializer="ones", regularizer="l2")
            self.fixed = self.add_weight(name="fixed", shape=(), trainable=False, constraint="non_neg")

        def call(self, x):
            return self.dense(x) * self.scale + self.fixed

    layer = Scaled()
    layer(X)
    assert layer.variables[0] is layer.scale and layer.scale.path == f"{layer.name}/scale"
    assert [one.path for one in layer.trainable_variables][1:] == [
        f"{layer.name}/{layer.dense.name}/{n}" for n in ("kernel", "bias")
    ]
    assert layer.non_trainable_variables == [layer.fixed] and np.isclose(layer.losses, 0.02)
    layer.scale.assign([3.0, 0.0])
    assert np.isclose(layer.losses, 0.09) and not np.any(layer(X)[..., 1] - layer.fixed)
    with keras.GradientTape() as tape:
        loss = ops.sum(layer.losses) + ops.sum(layer.scale)
    assert np.allclose(tape.gradient(loss, layer.scale), [1.06, 1.0])


def test_numbers_of_a_tape_in_a_list_are_an_array():
    """Whatever operations were asked for before: they stand where Python's own `any` and `all` do."""
    assert ops.any([True, False]) and not ops.all([True, False])
    w = keras.Variable(2.0)
    with keras.GradientTape() as tape:
        total = ops.sum([w * w, 3 * w]) + ops.sum([])
    assert total.numpy() == 10 and tape.gradient(total, w) == 7
    assert ops.stack([np.ones(2), np.zeros(2)], axis=1).shape == (2, 2)


def test_a_constraint_is_applied_by_an_update_of_variables():
    layer = layers.Dense(2, kernel_constraint="non_neg", use_bias=False)
    layer.build((None, 3))
    keras.optimizers.SGD(1.0).apply([np.full((3, 2), 5.0)], [layer.kernel])
    assert np.array_equal(layer.kernel, np.zeros((3, 2)))


def test_numbers_of_an_optimizer_can_be_assigned_and_read():
    model = keras.Sequential([keras.Input((5, 3)), layers.GRU(2), layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.01), "mse")
    optimizer = model.optimizer
    assert optimizer.learning_rate == 0.01 and optimizer.learning_rate.numpy() == 0.01
    optimizer.learning_rate.assign(0.25)
    assert float(optimizer.learning_rate) == optimizer.learning_rate.value == 0.25
    model.fit(X, X[:, 0, :1], batch_size=4, verbose=0)
    assert optimizer.iterations.numpy() == 2 == optimizer.iterations and isinstance(optimizer.iterations, int)
    assert json.dumps([optimizer.iterations, optimizer.learning_rate]) == "[2, 0.25]"
    assert type(pickle.loads(pickle.dumps(optimizer.learning_rate))) is float
    state = optimizer.get_state()
    paths = ["iteration" if name == "iterations" else name for name in state]
    assert [one.path for one in optimizer.variables] == [f"adam/{path}" for path in paths]
    for one, array in zip(optimizer.variables, state.values(), strict=True):
        assert np.array_equal(one, array) and one.shape == array.shape
    optimizer.iterations.assign(7)
    momentum = optimizer.variables[2]
    momentum.assign(np.ones(momentum.shape))
    assert optimizer.iterations == 7 and np.array_equal(list(optimizer.get_state().values())[2], momentum)
    scheduled = keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5))
    with pytest.raises(TypeError, match="schedule"):
        scheduled.learning_rate.assign(1.0)
    with pytest.raises(ValueError, match="call build"):
        scheduled.stateless_apply([], [], [])
    with pytest.raises(ValueError, match="each of 0 variables, got 1"):
        scheduled.apply([np.ones(3)])
    with pytest.raises(TypeError, match="of two lists"):
        scheduled.apply({"kernel": np.ones(3)}, trainable_variables=[])
    with pytest.raises(TypeError, match=r"layer.trainable_variables has them, got a str"):
        scheduled.apply_gradients([(np.ones(3), "kernel")])


@pytest.mark.parametrize("metric", [keras.metrics.MeanSquaredError, keras.metrics.BinaryAccuracy])
def test_metrics_without_states(metric):
    one, other = metric(), metric()
    state = one.stateless_reset_state()
    for k in range(2):
        y_true, y_pred = RNG.uniform(size=(2, 6, 1))
        state = one.stateless_update_state(state, y_true > 0.5, y_pred)
        other.update_state(y_true > 0.5, y_pred)
        assert np.isclose(one.stateless_result(state), other.result()), k
    assert np.array_equal(one.result(), metric().result(), equal_nan=True) and [v.name for v in one.variables] == [
        "total",
        "count",
    ]
    with pytest.raises(NotImplementedError, match="call update_state"):
        keras.metrics.AUC().variables


@pytest.mark.parametrize("base", ["Layer", "Model"])
def test_programs_may_have_attributes_that_rnnkit_has_too(base):
    """They change nothing of what rnnkit does, and stay what they are."""
    values = {"seed": 3, "device": "phone", "loss": np.mean, "stateful": True, "optimizer": rk.optimizers.SGD(0.5)}
    parent = layers.Layer if base == "Layer" else keras.Model

    def made(names):
        class Own(parent):
            def __init__(self):
                super().__init__()
                self.inside = layers.LSTM(3, stateful=True)
                for name in names:
                    setattr(self, name, values[name])

            def call(self, x):
                return self.inside(x)

        keras.utils.set_random_seed(0)
        return Own()

    plain, own = made([]), made(values)
    for _ in range(2):
        assert np.array_equal(plain(X), own(X))
    assert {name: getattr(own, name) for name in values} == values
    assert np.array_equal(copy.deepcopy(own)(X), plain(X)) and "device" not in str(own)
    own(X)
    assert copy.deepcopy(own).device == "phone"
    del own.device
    assert own.device == "cpu" == own.to("cpu").device
    if base == "Model":
        y = X[:, 0, :3]
        for one in (plain, own):
            one.compile("adam", "mse")
            one.fit(X, y, batch_size=8, verbose=0)
        assert own.loss == "mse" and isinstance(own.optimizer, rk.optimizers.Adam) and own.seed == 3
        assert all(np.array_equal(a, b) for a, b in zip(plain.get_weights(), own.get_weights(), strict=True))


def test_an_optimizer_that_is_set_trains():
    models = [keras.Sequential([keras.Input((5, 3)), layers.GRU(2, seed=0), layers.Dense(1, seed=1)]) for _ in range(2)]
    models[0].compile(keras.optimizers.SGD(0.5), "mse")
    models[1].compile("adam", "mse")
    models[1].optimizer = keras.optimizers.SGD(0.5)
    for one in models:
        one.fit(X, X[:, 0, :1], shuffle=False, epochs=5, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(*(one.get_weights() for one in models), strict=True))


@pytest.mark.parametrize("name", ["seed", "device", "stateful", "loss"])
def test_an_attribute_of_rnnkits_own_without_effect_is_an_error(name):
    model = keras.Sequential([keras.Input((5, 3)), layers.GRU(2)])
    model.compile("sgd", "mse")
    with pytest.raises(AttributeError, match="expected"):
        setattr(model, name, 1)

    class Own(keras.Model):
        def call(self, x):
            return x

    if name == "loss":
        own = Own()
        own.compile("sgd", "mse")
        with pytest.raises(AttributeError, match="given to compile"):
            own.loss = "mae"


def test_the_loss_that_compile_was_given_can_be_called():
    model = keras.Sequential([keras.Input((5, 3)), layers.GRU(2)])
    given = keras.losses.MeanSquaredError()
    model.compile("sgd", given)
    assert model.loss is given and np.isclose(model.loss(np.zeros((8, 2)), model(X)), np.mean(model(X) ** 2))
    model.compile("sgd", "mse")
    assert model.loss == "mse"
