"""Activation functions: on plain arrays, inside a step, and by name.

Each takes an array of any shape and keeps its floating type (float32 stays float32); numbers work too. All are
stable at both ends, without warnings. `sigmoid`, `softplus`, `log_sigmoid`, `erf` and `erfc` are primitives, which a
step's symbolic arrays know by name; everything else is NumPy and these, so a step reads straight through it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnkit.arrays import real
from rnnkit.docstrings import described_as
from rnnkit.hints import Array
from rnnkit.serialization.registry import find, is_elsewhere, name_of


def primitive(function):
    """Let an argument whose type has ``__rnnkit_function__(name, args)``, a symbolic array, answer for itself."""
    name = function.__name__

    @functools.wraps(function)
    def dispatched(x):
        answer = getattr(type(x), "__rnnkit_function__", None)
        if answer is not None:
            return answer(x, name, (x,))
        return function(x if isinstance(x, (float, int)) else real(x, "x"))

    return dispatched


@primitive
def sigmoid(x: Array) -> Any:
    """Compute the logistic function ``1 / (1 + exp(-x))``, exact in both tails.

    Parameters
    ----------
    x : array_like (…), or a symbolic array in a step

    Returns
    -------
    ndarray (…)
        In x's precision.

    Examples
    --------
    >>> float(sigmoid(0.0))
    0.5
    >>> bool(sigmoid(-80.0) > 1e-35)
    True
    """
    # exp of a non-positive number never overflows, and e / (1 + e) keeps the lower tail's digits.
    e = np.exp(-np.abs(x))
    return np.where(np.greater_equal(x, 0), 1 / (1 + e), e / (1 + e))[()]


@described_as(sigmoid)
@primitive
def softplus(x: Array) -> Any:
    """Compute ``log(1 + exp(x))``.

    Examples
    --------
    >>> float(softplus(1000.0))
    1000.0
    """
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@described_as(sigmoid)
@primitive
def log_sigmoid(x: Array) -> Any:
    """Compute ``log(sigmoid(x))``.

    Examples
    --------
    >>> float(log_sigmoid(-1000.0))
    -1000.0
    """
    return np.minimum(x, 0) - np.log1p(np.exp(-np.abs(x)))


@described_as(sigmoid)
@primitive
def erf(x: Array) -> Any:
    """Compute the error function.

    Examples
    --------
    >>> round(float(erf(1.0)), 6)
    0.842701
    """
    from scipy.special import erf  # scipy.special takes a tenth of a second to import

    return erf(x)


@described_as(sigmoid)
@primitive
def erfc(x: Array) -> Any:
    """Compute ``1 - erf(x)``, with the digits of the upper tail.

    Examples
    --------
    >>> round(float(erfc(5.0)) * 1e12, 6)
    1.53746
    """
    from scipy.special import erfc

    return erfc(x)


@described_as(sigmoid)
def linear(x: Array) -> Any:
    """Return the input as it is.

    Examples
    --------
    >>> linear(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-1.,  0.,  2.])
    """
    return x


@described_as(sigmoid)
def relu(x: Array) -> Any:
    """Compute ``max(x, 0)``; NaN stays NaN.

    Examples
    --------
    >>> relu(np.array([-1.0, 0.0, 2.0])).round(4)
    array([0., 0., 2.])
    """
    return np.maximum(x, 0)


@described_as(sigmoid)
def relu6(x: Array) -> Any:
    """Compute ``min(max(x, 0), 6)``.

    Examples
    --------
    >>> relu6(np.array([-1.0, 2.0, 8.0])).round(4)
    array([0., 2., 6.])
    """
    return np.minimum(np.maximum(x, 0), 6)


@described_as(sigmoid)
def leaky_relu(x: Array, negative_slope: Any = 0.2) -> Any:
    """Return `x` where it is positive, ``negative_slope * x`` elsewhere.

    Parameters
    ----------
    negative_slope : float

    Examples
    --------
    >>> leaky_relu(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.2,  0. ,  2. ])
    """
    return np.maximum(x, 0) + negative_slope * np.minimum(x, 0)


@described_as(sigmoid)
def elu(x: Array, alpha: Any = 1.0) -> Any:
    """Return `x` where it is positive, ``alpha * (exp(x) - 1)`` elsewhere (Clevert et al. 2015).

    Parameters
    ----------
    alpha : float

    Examples
    --------
    >>> elu(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.6321,  0.    ,  2.    ])
    """
    return np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0))


@described_as(sigmoid)
def selu(x: Array) -> Any:
    """Compute the scaled ELU that keeps mean 0 and variance 1 (Klambauer et al. 2017).

    Examples
    --------
    >>> selu(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-1.1113,  0.    ,  2.1014])
    """
    return 1.0507009873554805 * elu(x, 1.6732632423543772)


@described_as(sigmoid)
def gelu(x: Array) -> Any:
    """Compute ``x * Φ(x)``, with Φ the normal distribution function (Hendrycks and Gimpel 2016).

    It is Φ itself, no approximation by tanh.

    Examples
    --------
    >>> round(float(gelu(1.0)), 6)
    0.841345
    """
    return 0.5 * x * erfc(x * -0.7071067811865476)  # 1 + erf would cancel in the lower tail


@described_as(sigmoid)
def silu(x: Array) -> Any:
    """Compute ``x * sigmoid(x)``, also called swish.

    Examples
    --------
    >>> silu(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.2689,  0.    ,  1.7616])
    """
    return x * sigmoid(x)


@described_as(sigmoid)
def mish(x: Array) -> Any:
    """Compute ``x * tanh(softplus(x))`` (Misra 2019).

    Examples
    --------
    >>> mish(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.3034,  0.    ,  1.944 ])
    """
    return x * np.tanh(softplus(x))


@described_as(sigmoid)
def hard_sigmoid(x: Array) -> Any:
    """Compute ``clip(x / 6 + 0.5, 0, 1)``.

    Examples
    --------
    >>> float(hard_sigmoid(1.5))
    0.75
    """
    return np.clip(x / 6 + 0.5, 0, 1)


@described_as(sigmoid)
def hard_silu(x: Array) -> Any:
    """Compute ``x * hard_sigmoid(x)``.

    Examples
    --------
    >>> hard_silu(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.3333,  0.    ,  1.6667])
    """
    return x * hard_sigmoid(x)


@described_as(sigmoid)
def softsign(x: Array) -> Any:
    """Compute ``x / (1 + |x|)``.

    Examples
    --------
    >>> softsign(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.5   ,  0.    ,  0.6667])
    """
    return x / (1 + np.abs(x))


@described_as(sigmoid)
def tanh(x: Array) -> Any:
    """Compute the hyperbolic tangent.

    Examples
    --------
    >>> tanh(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-0.7616,  0.    ,  0.964 ])
    """
    return np.tanh(x)


@described_as(sigmoid)
def exponential(x: Array) -> Any:
    """Compute ``exp(x)``.

    Examples
    --------
    >>> exponential(np.array([-1.0, 0.0, 2.0])).round(4)
    array([0.3679, 1.    , 7.3891])
    """
    return np.exp(x)


@described_as(sigmoid)
def softmax(x: Array, axis: Any = -1) -> Any:
    """Compute ``exp(x) / sum(exp(x))`` along `axis`.

    Parameters
    ----------
    axis : int
        Not the batch axis, within a step.

    Examples
    --------
    >>> softmax(np.array([0.0, 0.0])).tolist()
    [0.5, 0.5]
    """
    with np.errstate(invalid="ignore"):  # a row with an infinite maximum is NaN, quietly
        e = np.exp(x - np.max(x, axis=axis, keepdims=True))
    return e / np.sum(e, axis=axis, keepdims=True)


@described_as(softmax)
def log_softmax(x: Array, axis: Any = -1) -> Any:
    """Compute ``log(softmax(x))`` along `axis`.

    Examples
    --------
    >>> log_softmax(np.array([-1.0, 0.0, 2.0])).round(4)
    array([-3.1698, -2.1698, -0.1698])
    """
    with np.errstate(invalid="ignore"):
        z = x - np.max(x, axis=axis, keepdims=True)
    return z - np.log(np.sum(np.exp(z), axis=axis, keepdims=True))


ACTIVATIONS: dict[str, Callable] = {
    "linear": linear, "tanh": tanh, "sigmoid": sigmoid, "relu": relu, "relu6": relu6, "leaky_relu": leaky_relu,
    "elu": elu, "selu": selu, "gelu": gelu, "silu": silu, "swish": silu, "mish": mish, "hard_sigmoid": hard_sigmoid,
    "hard_silu": hard_silu, "hard_swish": hard_silu, "softplus": softplus, "softsign": softsign, "softmax": softmax,
    "log_softmax": log_softmax, "log_sigmoid": log_sigmoid, "exponential": exponential,
}  # fmt: skip


def activation(identifier) -> Callable[..., Any]:
    """Return the function of an `activation` argument, None is linear; a ValueError for an unknown name."""
    if identifier is None:
        return linear
    if isinstance(identifier, str):
        if is_elsewhere(identifier):
            return _called(find(identifier), identifier)
        if identifier not in ACTIVATIONS:
            names = ", ".join(ACTIVATIONS)
            raise ValueError(f"expected an activation among {names}, or a function; got {identifier!r}")
        return ACTIVATIONS[identifier]
    if callable(identifier):
        return identifier
    raise TypeError(f"expected an activation's name, a function or None; got {identifier!r}")


def activation_name(identifier) -> str:
    """Return the name by which `activation` finds this function: its own here, a registered one, or its import path."""
    function = _OF_NUMPY.get(identifier, identifier) if isinstance(identifier, np.ufunc) else activation(identifier)
    for name, known in ACTIVATIONS.items():
        if known is function:
            return name
    return name_of(function)


_OF_NUMPY: dict[Any, Callable] = {np.tanh: tanh, np.exp: exponential}  # the same functions under other names


def _called(found, identifier) -> Callable[..., Any]:
    if not callable(found) or isinstance(found, type):
        raise TypeError(f"expected {identifier!r} to be an activation function, got {found!r}")
    return found
