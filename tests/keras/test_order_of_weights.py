"""The order of weights in functional models, operators in place, and what hooks are told."""

import numpy as np
import pytest

from rnnkit import keras
from rnnkit.keras.order import keras_order
from rnnkit.models.calls import Call


def call(layer, x, output, **more):
    """A call of a layer by the numbers of its arrays."""
    return Call(layer, x, more, None, [output], [])


@pytest.mark.parametrize(
    ("calls", "outputs", "expected"),
    [
        # two branches: (0) -> 0 -> 1, (1) -> 2 -> 3, joined by 4: the far ends come first
        ([call(0, 0, 2), call(1, 2, 3), call(2, 1, 4), call(3, 4, 5), call(4, [3, 5], 6)], [6], [0, 2, 1, 3, 4]),
        # a short branch comes at the depth of its own
        ([call(0, 0, 2), call(1, 2, 3), call(2, 1, 4), call(3, [3, 4], 5)], [5], [0, 1, 2, 3]),
        ([call(2, 1, 4), call(0, 0, 2), call(1, 2, 3), call(3, [4, 3], 5)], [5], [0, 2, 1, 3]),
        # a layer that is called twice is as deep as its deepest call
        ([call(0, 0, 1), call(1, 1, 2), call(0, 2, 3)], [3], [0, 1]),
        # several outputs: the walk begins at the first
        ([call(0, 0, 1), call(1, 0, 2)], [2, 1], [1, 0]),
        # states are read behind x
        ([call(0, 0, 2), call(1, 1, 3), call(2, 3, 4, initial_state=[2])], [4], [1, 0, 2]),
    ],
)
def test_layers_are_ordered_by_their_distance_from_the_outputs(calls, outputs, expected):
    """Expected orders are those of Keras 3.15."""
    assert keras_order(calls, outputs) == expected


def test_a_deep_model_needs_no_deep_stack():
    """More layers than Python's stack has frames."""
    calls = [call(i, i, i + 1) for i in range(3000)]
    assert keras_order(calls, [3000]) == list(range(3000))


def test_weights_go_back_where_they_came_from():
    """`set_weights` takes what `get_weights` gives, and each weight reaches its layer."""
    a, b = keras.Input((3,), name="a"), keras.Input((4,), name="b")
    first, second = keras.layers.Dense(5, name="first"), keras.layers.Dense(5, name="second")
    last = keras.layers.Dense(2, name="last")
    model = keras.Model(
        [a, b], last(keras.layers.concatenate([keras.layers.Dense(6, name="near")(first(a)), second(b)]))
    )
    new = [np.full(one.shape, i, one.dtype) for i, one in enumerate(model.get_weights())]
    model.set_weights(new)
    assert [one.shape for one in new[:4]] == [(3, 5), (5,), (5, 6), (6,)]
    for name, value in {"first": 0, "near": 2, "second": 4, "last": 6}.items():
        assert np.all(model.weights[f"{name}/kernel"] == value), name
    for one, other in zip(model.get_weights(), new, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match="8 weights"):
        model.set_weights(new[:3])


@pytest.mark.parametrize("sign", ["+", "-", "*", "/", "**"])
def test_operators_in_place_make_another_tensor(sign):
    """What a symbolic tensor stands for is not changed."""
    x = keras.Input((3,))
    space = {"y": x, "x": x}
    exec(f"y {sign}= 2", space)
    exec(f"z = x {sign} 2", space)
    assert space["y"] is not x
    values = np.arange(6.0, dtype="float32").reshape(2, 3)
    found = [keras.Model(x, space[name])(values) for name in "yz"]
    np.testing.assert_array_equal(*found)


def test_every_hook_gets_a_dict():
    """Also where there is nothing to tell yet."""
    told = []

    class Told(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            told.append(("train", list(logs.keys())))

        def on_epoch_begin(self, epoch, logs=None):
            told.append(("epoch", list(logs.keys())))

        def on_train_batch_begin(self, batch, logs=None):
            told.append(("batch", list(logs.keys())))

    model = keras.Sequential([keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    model.fit(np.ones((4, 2)), np.ones((4, 1)), batch_size=4, verbose=0, callbacks=[Told()])
    assert told == [("train", []), ("epoch", []), ("batch", [])]


def test_losses_of_several_outputs_come_before_metrics():
    """In `metrics_names`, `evaluate`, `train_on_batch` and `test_on_batch` alike."""
    x = keras.Input((2,))
    model = keras.Model(x, [keras.layers.Dense(1, name="b")(x), keras.layers.Dense(1, name="a")(x)])
    model.compile("sgd", ["mse", "mae"], metrics=[["mse", "mae"], ["mae"]])
    data = np.ones((4, 2)), [np.zeros((4, 1)), np.ones((4, 1))]
    names = ["loss", "b_loss", "a_loss", "a_mae", "b_mae", "b_mse"]
    assert model.metrics_names == names
    for call in (model.evaluate, model.test_on_batch, model.train_on_batch):
        told = call(*data, return_dict=True)
        assert sorted(told) == sorted(names)
        if call != model.train_on_batch:
            assert call(*data) == [told[name] for name in names]
    assert len(model.train_on_batch(*data)) == len(names)


def test_a_single_target_is_for_the_only_output_with_a_loss():
    """The other output is trained by nothing, and the loss is told once."""
    x = keras.Input((2,))
    model = keras.Model(x, [keras.layers.Dense(1, name="b")(x), keras.layers.Dense(1, name="a")(x)])
    model.compile("sgd", [None, "mse"])
    before = model.get_layer("b").get_weights()
    history = model.fit(np.ones((4, 2)), np.zeros((4, 1)), verbose=0)
    assert list(history.history) == ["loss"] == model.metrics_names
    for one, other in zip(before, model.get_layer("b").get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="list of 2"):
        model.fit(np.ones((4, 2)), np.zeros((4, 1)), verbose=0)
