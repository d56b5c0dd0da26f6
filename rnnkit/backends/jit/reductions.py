"""NumPy's reductions with axis and keepdims inside a jitted step, and functions derived from them."""

from __future__ import annotations

import numba
import numpy as np
from numba.core import errors, types
from numba.cpython.unsafe.tuple import tuple_setitem

from rnnkit.backends.jit.overloads import OPTIONS, constant, in_steps, size_of


def _axes(a, axis):
    """Return the first reduced axis and the first one behind; the axes of a reduction have to be neighbours."""
    axes = constant(axis, "axis")
    axes = tuple(range(a.ndim)) if axes is None else (axes,) if isinstance(axes, int) else tuple(axes)
    axes = sorted(i % a.ndim for i in axes)
    if axes != list(range(axes[0], axes[-1] + 1)):
        raise errors.TypingError(f"a reduction of the axes {axes}, which are not side by side")
    return axes[0], axes[-1] + 1


def reduction(name, combine, start, dtype=None):
    """Make a NumPy reduction with axis and keepdims that combines numbers one by one; dtype None is the array's own."""
    combine = numba.njit(combine, **OPTIONS)

    def reduced(a, axis=None, keepdims=False):
        if not isinstance(a, types.Array) or a.ndim == 0:
            return None
        (first, behind), keep, rank = _axes(a, axis), bool(constant(keepdims, "keepdims")), a.ndim
        kept = rank - (behind - first)
        own = numba.np.numpy_support.as_dtype(a.dtype)
        small = np.dtype(dtype or (own if own.kind == "f" else np.int64))
        begin = start if own.kind == "f" or np.isfinite(start) else np.iinfo(np.int64).max * int(np.sign(start))

        def fold(a):
            inner = size_of(a.shape, behind, rank)
            outer = inner * size_of(a.shape, first, behind)
            values = np.full(size_of(a.shape, 0, first) * inner, begin, small)
            for i, value in enumerate(a.flat):
                at = i // outer * inner + i % inner
                values[at] = combine(values[at], value)
            return values

        fold = numba.njit(fold)
        if kept == 0 and not keep:
            return lambda a, axis=None, keepdims=False: fold(a)[0]

        def over_axes(a, axis=None, keepdims=False):
            shape = a.shape if keep else a.shape[:kept]
            for i in range(rank):
                if first <= i < behind:
                    if keep:
                        shape = tuple_setitem(shape, i, 1)
                elif i >= behind:
                    shape = tuple_setitem(shape, i if keep else i - rank + kept, a.shape[i])
            return fold(a).reshape(shape)

        return over_axes

    reduced.__name__ = name
    return in_steps(prefer_literal=True)(reduced)


total = reduction("sum", lambda a, b: a + b, 0)
product = reduction("prod", lambda a, b: a * b, 1)
largest = reduction("max", lambda a, b: a if a > b or a != a else b, -np.inf)
smallest = reduction("min", lambda a, b: a if a < b or a != a else b, np.inf)
some = reduction("any", lambda a, b: a or b != 0, 0, np.bool_)
every = reduction("all", lambda a, b: a and b != 0, 1, np.bool_)


def derived(name, formula):
    """Make a reduction by a formula of the array, the number of elements behind each value, and the axes."""

    def reduced(a, axis=None, keepdims=False):
        if not isinstance(a, types.Array) or a.ndim == 0:
            return None
        first, behind = _axes(a, axis)
        axes, keep = tuple(range(first, behind)), bool(constant(keepdims, "keepdims"))
        whole = formula(axes, keep)
        return lambda a, axis=None, keepdims=False: whole(a, size_of(a.shape, first, behind))

    reduced.__name__ = name
    return in_steps(prefer_literal=True)(reduced)


def _jitted(function):
    return numba.njit(function, **OPTIONS)


def _variance(axes, keep):
    def variance(a, n):
        d = a - total(a, axis=axes, keepdims=True) / n
        return total(d * d, axis=axes, keepdims=keep) / n

    return _jitted(variance)


def _deviation(axes, keep):
    own = _variance(axes, keep)
    return _jitted(lambda a, n: np.sqrt(own(a, n)))


mean = derived("mean", lambda axes, keep: _jitted(lambda a, n: total(a, axis=axes, keepdims=keep) / n))
norm = derived("norm", lambda axes, keep: _jitted(lambda a, n: np.sqrt(total(a * a, axis=axes, keepdims=keep))))
variance, deviation = derived("var", _variance), derived("std", _deviation)


@in_steps(prefer_literal=True)
def softmax(x, axis=-1):
    along = constant(axis, "axis")

    def implementation(x, axis=-1):
        e = np.exp(x - largest(x, axis=along, keepdims=True))
        return e / total(e, axis=along, keepdims=True)

    return implementation


@in_steps(prefer_literal=True)
def log_softmax(x, axis=-1):
    along = constant(axis, "axis")

    def implementation(x, axis=-1):
        z = x - largest(x, axis=along, keepdims=True)
        return z - np.log(total(np.exp(z), axis=along, keepdims=True))

    return implementation
