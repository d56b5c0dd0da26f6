"""Operations on arrays, inside a traced step and on symbolic tensors: the same numbers as NumPy's."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit import keras
from rnnkit.keras import ops

X = np.random.default_rng(0).normal(size=(3, 4, 6)).astype("float32")
NUMPY = {
    "abs": np.abs,
    "exp": np.exp,
    "sqrt": lambda x: np.sqrt(np.abs(x)),
    "square": np.square,
    "sign": np.sign,
    "tanh": np.tanh,
    "power": lambda x: np.power(x, 2),
    "negative": np.negative,
    "log1p": lambda x: np.log1p(np.abs(x)),
    "maximum": lambda x: np.maximum(x, 0.1),
    "minimum": lambda x: np.minimum(x, 0.1),
    "clip": lambda x: np.clip(x, -0.5, 0.5),
    "where": lambda x: np.where(x > 0, x, 0.0),
    "mean": lambda x: np.mean(x, axis=-1, keepdims=True),
    "sum": lambda x: np.sum(x, axis=-1, keepdims=True),
    "max": lambda x: np.max(x, axis=-1, keepdims=True),
    "min": lambda x: np.min(x, axis=-1, keepdims=True),
    "std": lambda x: np.std(x, axis=-1, keepdims=True),
    "argmax": lambda x: np.argmax(x, axis=-1),
    "cumsum": lambda x: np.cumsum(x, axis=-1),
    "concatenate": lambda x: np.concatenate([x, x], axis=-1),
    "split": lambda x: np.split(x, 2, axis=-1)[1],
    "repeat": lambda x: np.repeat(x, 2, axis=-1),
    "flip": lambda x: np.flip(x, axis=-1),
    "logical_and": lambda x: np.where(np.logical_and(x > 0, x < 1), 1.0, 0.0),
    "expand_dims": lambda x: np.squeeze(np.expand_dims(x, -1), -1),
}
OWN = {  # in terms of NumPy's functions
    "abs": ops.abs,
    "exp": ops.exp,
    "sqrt": lambda x: ops.sqrt(ops.abs(x)),
    "square": ops.square,
    "sign": ops.sign,
    "tanh": ops.tanh,
    "power": lambda x: ops.power(x, 2),
    "negative": ops.negative,
    "log1p": lambda x: ops.log1p(ops.abs(x)),
    "maximum": lambda x: ops.maximum(x1=x, x2=0.1),
    "minimum": lambda x: ops.minimum(x, 0.1),
    "clip": lambda x: ops.clip(x, x_min=-0.5, x_max=0.5),
    "where": lambda x: ops.where(x > 0, x, 0.0),
    "mean": lambda x: ops.mean(x, axis=-1, keepdims=True),
    "sum": lambda x: ops.sum(x=x, axis=-1, keepdims=True),
    "max": lambda x: ops.max(x, axis=-1, keepdims=True),
    "min": lambda x: ops.min(x, axis=-1, keepdims=True),
    "std": lambda x: ops.std(x, axis=-1, keepdims=True),
    "argmax": lambda x: ops.argmax(x, axis=-1),
    "cumsum": lambda x: ops.cumsum(x, axis=-1),
    "concatenate": lambda x: ops.concatenate([x, x], axis=-1),
    "split": lambda x: ops.split(x, 2, axis=-1)[1],
    "repeat": lambda x: ops.repeat(x, 2, axis=-1),
    "flip": lambda x: ops.flip(x, axis=-1),
    "logical_and": lambda x: ops.cast(ops.logical_and(x > 0, x < 1), "float32"),
    "expand_dims": lambda x: ops.squeeze(ops.expand_dims(x, -1), -1),
}
MORE = {
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.log1p(np.exp(x)),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
    "silu": lambda x: x / (1 + np.exp(-x)),
}


@pytest.mark.parametrize("name", OWN)
def test_operations_on_arrays_steps_and_symbolic_tensors(name):
    expected = NUMPY[name](X)
    assert np.allclose(OWN[name](X), expected, atol=1e-6)

    @rk.cell(states={"h": "features"})
    def step(x, states, weights):
        y = OWN[name](x)
        return (y[..., None] if name == "argmax" else y) * 1.0, states

    found = rk.RNN(step(), return_sequences=True)(X)
    assert np.allclose(found[..., 0] if name == "argmax" else found, expected, atol=1e-5)
    x = keras.Input((4, 6))
    model = keras.Model(x, OWN[name](x))
    assert np.allclose(model.predict(X, verbose=0), expected, atol=1e-5)


@pytest.mark.parametrize("name", MORE)
def test_activations_among_the_operations(name):
    function = getattr(ops, name)
    assert np.allclose(function(X), MORE[name](X), atol=1e-6)
    x = keras.Input((4, 6))
    assert np.allclose(keras.Model(x, function(x)).predict(X, verbose=0), MORE[name](X), atol=1e-6)
    assert getattr(ops.nn, name) is function and getattr(keras.backend, name) is function


def test_arrays_are_made_in_the_precision_of_the_program():
    assert ops.zeros((2, 3)).dtype == np.float32 and ops.ones(2, "float64").dtype == np.float64
    assert ops.convert_to_tensor([1.0, 2.0]).dtype == np.float32 and ops.convert_to_tensor([1]).dtype == np.int32
    assert ops.arange(3).tolist() == [0, 1, 2] and ops.arange(0.0, 1.0, 0.5).dtype == np.float32
    assert ops.eye(2).tolist() == [[1, 0], [0, 1]] and ops.linspace(0, 1, 3).tolist() == [0, 0.5, 1]
    assert ops.shape(X) == (3, 4, 6) and ops.dtype(X) == "float32" and ops.is_tensor(X) and not ops.is_tensor(3)
    assert ops.shape(keras.Input((None, 2))) == (None, None, 2)
    assert ops.cast(X, "int32").dtype == np.int32 and ops.cast([1.5], "bfloat16").dtype == np.float32
    assert ops.convert_to_numpy([1, 2]).tolist() == [1, 2]
    assert ops.cond(True, lambda: 1, lambda: 2) == 1 and ops.switch(1, [lambda: 3, lambda: 4]) == 4
    assert ops.map(lambda row: row.sum(), X).shape == (3,) and ops.linalg.det(np.eye(2)) == 1


def test_what_can_not_be_done_is_one_error():
    with pytest.raises(NotImplementedError, match=r"ops\.while_loop.*rnnkit\.cell"):
        ops.while_loop(lambda: True, lambda: None, ())
    with pytest.raises(ValueError, match="traced"):
        keras.Model(x := keras.Input((4, 6)), keras.layers.Lambda(np.gradient)(x))
    with pytest.raises(NotImplementedError, match=r"optimizer\.learning_rate"):
        keras.backend.set_value(3, 4)


def test_names_of_newer_numpy_than_is_needed():
    """NumPy 1.26 has other names for these, or other keywords."""
    whole = np.arange(6)
    assert ops.bitwise_invert(whole).tolist() == [-1, -2, -3, -4, -5, -6]
    assert ops.bitwise_left_shift(whole, 2).tolist() == [0, 4, 8, 12, 16, 20]
    assert ops.bitwise_right_shift(whole, 1).tolist() == [0, 0, 1, 1, 2, 2]
    assert ops.trapezoid(whole) == 12.5 and ops.trapezoid(y=whole, dx=2.0) == 25.0
    assert ops.reshape(x=whole, newshape=(2, 3)).shape == ops.reshape(whole, (2, -1)).shape == (2, 3)
