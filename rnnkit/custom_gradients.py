"""Functions with a gradient of their own, on arrays and inside a step."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from rnnkit.hints import Array


def custom_gradient(function: Callable) -> Callable:
    """Let a function say itself how cotangents go back through it, as a decorator.

    Parameters
    ----------
    function : callable
        From arrays to ``(value, rule)``. The value is an array of floats, or a tuple of them. ``rule`` takes the
        value's cotangent, one for each of several, and returns one cotangent for each positional argument: an array
        that broadcasts to the argument (or a sum over it is taken), or None for none; of one argument the bare array.
        Both are NumPy, and read inside a step as the step is. Other arrays that the function reads have no gradient.

    Returns
    -------
    callable
        A function that returns the value alone. Compiled gradients of steps, losses and layers that call it follow
        the rule, in `vjp`, `fit` and `gradcheck`.

    Raises
    ------
    TypeError
        For what can't be called.

    Examples
    --------
    A spike, with the slope of a fast sigmoid in the place of its own (Zenke and Ganguli, 2018):

    >>> import numpy as np, rnnkit as rk
    >>> @rk.custom_gradient
    ... def spike(v):
    ...     return np.where(v > 0, 1.0, 0.0), lambda d: d / (1 + 10 * np.abs(v)) ** 2
    >>> layer = rk.Lambda(spike)
    >>> y, pullback = layer.vjp(np.array([[-0.1, 0.0, 0.4]]))
    >>> y.tolist(), pullback(np.ones_like(y)).x.tolist()
    ([[0.0, 0.0, 1.0]], [[0.25, 1.0, 0.04]])
    """
    if not callable(function):
        raise TypeError(f"expected a function under rk.custom_gradient, got {function!r}")

    called = _answered_by_symbols(function, lambda *arguments, **keywords: function(*arguments, **keywords)[0])
    called.with_rule = function
    return called


def by_kernels(forward: Callable, backward: Callable, reads: str) -> Callable[[Callable], Callable]:
    """Let NumPy compute a function of arrays at once, as a decorator of the formula that it equals.

    ``forward`` takes what the formula takes, arrays by position and options by keyword; the last arrays may be missing
    or None. The first array alone has a gradient: ``backward(d, of, *others, **options)``, where `of` is what it
    `reads`, "x", the result "y", or the "shape" of x. Programs, exports and tangents have the formula.
    """

    def decorated(formula):
        called = _answered_by_symbols(formula, forward)
        called.kernels = forward, backward, reads
        return called

    return decorated


def _answered_by_symbols(function, plain) -> Any:
    """Return a function of arrays, with the names of another, that leaves it to symbols what it is of them."""

    @functools.wraps(function)
    def called(*arguments, **keywords):
        arguments = tuple(one.__symbolic__() if hasattr(type(one), "__symbolic__") else one for one in arguments)
        for one in arguments:
            if (answer := getattr(type(one), "__rnnkit_custom_gradient__", None)) is not None:
                return answer(one, called, arguments, keywords)
        return plain(*arguments, **keywords)

    return called


@custom_gradient
def stop_gradient(x: Array) -> Any:
    """Return the input as it is, and let no gradient through.

    Parameters
    ----------
    x : array_like (…), or a symbolic array in a step

    Returns
    -------
    ndarray (…)

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.Lambda(lambda x: x * rk.stop_gradient(x))
    >>> y, pullback = layer.vjp(np.array([[3.0]]))
    >>> y, pullback(np.ones_like(y)).x
    (array([[9.]]), array([[3.]]))
    """
    return x, lambda d: None
