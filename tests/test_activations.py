"""Activation functions on plain arrays and by name."""

import math
import warnings

import numpy as np
import pytest
import scipy.special

from rnnkit import activations
from rnnkit.activations import ACTIVATIONS, activation, activation_name

X = np.array([-700.0, -80.0, -3.0, -0.5, 0.0, 0.5, 3.0, 80.0, 700.0])
TRUTH = {
    "linear": lambda x: x,
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x)),
    "relu": lambda x: x if x > 0 else 0.0,
    "relu6": lambda x: min(max(x, 0.0), 6.0),
    "leaky_relu": lambda x: x if x > 0 else 0.2 * x,
    "elu": lambda x: x if x > 0 else math.expm1(x),
    "selu": lambda x: 1.0507009873554805 * (x if x > 0 else 1.6732632423543772 * math.expm1(x)),
    "gelu": lambda x: x * 0.5 * math.erfc(-x / math.sqrt(2)),
    "silu": lambda x: x * float(scipy.special.expit(x)),
    "mish": lambda x: x * math.tanh(x if x > 40 else math.log1p(math.exp(x))),
    "hard_sigmoid": lambda x: min(max(x / 6 + 0.5, 0.0), 1.0),
    "hard_silu": lambda x: x * min(max(x / 6 + 0.5, 0.0), 1.0),
    "softplus": lambda x: x if x > 40 else math.log1p(math.exp(x)),
    "softsign": lambda x: x / (1 + abs(x)),
    "log_sigmoid": lambda x: x if x < -40 else -math.log1p(math.exp(-x)),
    "exponential": math.exp,
}


def test_every_activation_has_a_truth_or_is_an_alias():
    unknown = {function for name, function in ACTIVATIONS.items() if name not in TRUTH}
    assert unknown - {ACTIVATIONS[name] for name in TRUTH} == {activations.softmax, activations.log_softmax}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-14), ("float32", 1e-6)])
@pytest.mark.parametrize("name", TRUTH)
def test_activation_is_stable_keeps_its_dtype_and_is_right(name, dtype, tolerance):
    x = X[(X < 80) & (X > -80)] if name == "exponential" else X
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = activation(name)(x.astype(dtype))
        scalars = [float(activation(name)(float(v))) for v in x]
    expected = np.array([TRUTH[name](v) for v in x])
    assert y.dtype == dtype
    floor = 0 if dtype == "float64" else 1e-37  # below, float32 has fewer digits
    np.testing.assert_allclose(y, expected, rtol=tolerance, atol=floor)
    np.testing.assert_allclose(scalars, expected, rtol=1e-14)


def test_softmax_and_its_logarithm_bear_large_values():
    x = np.array([[1000.0, 1000.0, -1000.0], [0.0, 1.0, 2.0]], dtype=np.float32)
    y = activations.softmax(x)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, scipy.special.softmax(x, axis=-1), rtol=1e-6)
    np.testing.assert_allclose(activations.log_softmax(x), scipy.special.log_softmax(x, axis=-1), rtol=1e-6)
    np.testing.assert_allclose(activations.softmax(x, axis=0), scipy.special.softmax(x, axis=0), rtol=1e-6)


@pytest.mark.parametrize("name", sorted(set(ACTIVATIONS) - {"softmax", "log_softmax"}))
def test_nan_passes(name):
    y = activation(name)(np.array([np.nan, 1.0]))
    assert np.isnan(y[0])
    assert not np.isnan(y[1])


def test_a_symbolic_argument_answers_for_itself():
    class Symbol:
        def __rnnkit_function__(self, name, args):
            return name, args

    symbol = Symbol()
    for name in ("sigmoid", "softplus", "log_sigmoid", "erf", "erfc"):
        assert getattr(activations, name)(symbol) == (name, (symbol,))


def test_identifiers():
    assert activation(None) is activations.linear
    assert activation("swish") is activations.silu
    assert activation(np.cos) is np.cos
    for function in (activations.relu, activations.hard_sigmoid, scipy.special.softmax, np.sin):
        assert activation(activation_name(function)) is function
    assert activation_name(None) == "linear"
    with pytest.raises(ValueError, match=r"sigmoid.*got 'sigmund'"):
        activation("sigmund")
    with pytest.raises(ValueError, match="import"):
        activation("rnnkit.activations:nothing")
    with pytest.raises(ValueError, match="by name"):
        activation_name(lambda x: x)
    with pytest.raises(TypeError, match="3"):
        activation(3)
