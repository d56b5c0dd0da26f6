"""What a jitted step calls in the place of functions that numba lacks or knows only in part."""

from __future__ import annotations

import functools
import math
import operator
import sys

import numba
import numpy as np
from numba.core import errors, types
from numba.cpython.unsafe.tuple import tuple_setitem
from numba.extending import overload

from rnnkit import functions

OPTIONS = {"error_model": "numpy"}


def elementwise(function):
    """A function of one number, on arrays of any shape and on numbers."""
    return numba.vectorize(function)


@elementwise
def sigmoid(x):
    e = math.exp(-abs(x))
    return 1 / (1 + e) if x >= 0 else e / (1 + e)


@elementwise
def softplus(x):
    return np.maximum(x, 0.0) + math.log1p(math.exp(-abs(x)))


@elementwise
def log_sigmoid(x):
    return np.minimum(x, 0.0) - math.log1p(math.exp(-abs(x)))


@elementwise
def erf(x):
    return math.erf(x)


@elementwise
def erfc(x):
    return math.erfc(x)


@elementwise
def ndtr(x):
    return 0.5 * math.erfc(-x * 0.7071067811865476)


@elementwise
def logit(x):
    return math.log(x / (1 - x))


@elementwise
def where(condition, a, b):
    return a if condition else b


def _constant(value, what):
    """A Python value of a literal type; shapes must be known while the step is compiled."""
    if isinstance(value, types.Omitted):
        return value.value
    if isinstance(value, (types.BaseTuple,)):
        return tuple(_constant(item, what) for item in value)
    if isinstance(value, types.NoneType):
        return None
    if isinstance(value, types.Literal):
        return value.literal_value
    if not isinstance(value, types.Type):
        return value
    raise errors.TypingError(f"{what} has to be a constant")


def _not_in_python(*_, **__):
    raise NotImplementedError("only inside a jitted step")


def _axes(a, axis):
    """First reduced axis and the first one behind; a reduction of several axes has them side by side."""
    axes = _constant(axis, "axis")
    axes = tuple(range(a.ndim)) if axes is None else (axes,) if isinstance(axes, int) else tuple(axes)
    axes = sorted(i % a.ndim for i in axes)
    if axes != list(range(axes[0], axes[-1] + 1)):
        raise errors.TypingError(f"a reduction of the axes {axes}, which are not side by side")
    return axes[0], axes[-1] + 1


@numba.njit
def _size(shape, first, behind):
    """How many elements the axes from `first` up to `behind` have."""
    size = 1
    for i in range(first, behind):
        size *= shape[i]
    return size


def reduction(name, combine, start, dtype=None):
    """A NumPy reduction with axis and keepdims that combines numbers one by one; dtype None is the array's own."""
    combine = numba.njit(combine, **OPTIONS)

    def reduced(a, axis=None, keepdims=False):
        _not_in_python()

    reduced.__name__ = reduced.__qualname__ = name

    @overload(reduced, prefer_literal=True, jit_options=OPTIONS)
    def implementation(a, axis=None, keepdims=False):
        if not isinstance(a, types.Array) or a.ndim == 0:
            return None
        (first, behind), keep, rank = _axes(a, axis), bool(_constant(keepdims, "keepdims")), a.ndim
        kept = rank - (behind - first)
        own = numba.np.numpy_support.as_dtype(a.dtype)
        small = np.dtype(dtype or (own if own.kind == "f" else np.int64))
        begin = start if own.kind == "f" or np.isfinite(start) else np.iinfo(np.int64).max * int(np.sign(start))

        def fold(a):
            inner = _size(a.shape, behind, rank)
            outer = inner * _size(a.shape, first, behind)
            values = np.full(_size(a.shape, 0, first) * inner, begin, small)
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

    return reduced


total = reduction("sum", lambda a, b: a + b, 0)
product = reduction("prod", lambda a, b: a * b, 1)
largest = reduction("max", lambda a, b: a if a > b or a != a else b, -np.inf)
smallest = reduction("min", lambda a, b: a if a < b or a != a else b, np.inf)
some = reduction("any", lambda a, b: a or b != 0, 0, np.bool_)
every = reduction("all", lambda a, b: a and b != 0, 1, np.bool_)


def derived(name, formula):
    """A reduction by a formula of the array, the number of elements behind each value, and the axes."""

    def reduced(a, axis=None, keepdims=False):
        _not_in_python()

    reduced.__name__ = reduced.__qualname__ = name

    @overload(reduced, prefer_literal=True, jit_options=OPTIONS)
    def implementation(a, axis=None, keepdims=False):
        if not isinstance(a, types.Array) or a.ndim == 0:
            return None
        first, behind = _axes(a, axis)
        axes, keep = tuple(range(first, behind)), bool(_constant(keepdims, "keepdims"))
        whole = formula(axes, keep)
        return lambda a, axis=None, keepdims=False: whole(a, _size(a.shape, first, behind))

    return reduced


def _jitted(function):
    return numba.njit(function, **OPTIONS)


def _mean(axes, keep):
    return _jitted(lambda a, n: total(a, axis=axes, keepdims=keep) / n)


def _variance(axes, keep):
    def variance(a, n):
        d = a - total(a, axis=axes, keepdims=True) / n
        return total(d * d, axis=axes, keepdims=keep) / n

    return _jitted(variance)


def _deviation(axes, keep):
    own = _variance(axes, keep)
    return _jitted(lambda a, n: np.sqrt(own(a, n)))


def _norm(axes, keep):
    return _jitted(lambda a, n: np.sqrt(total(a * a, axis=axes, keepdims=keep)))


mean, variance = derived("mean", _mean), derived("var", _variance)
deviation, norm = derived("std", _deviation), derived("norm", _norm)


def softmax(x, axis=-1):
    _not_in_python()


def log_softmax(x, axis=-1):
    _not_in_python()


@overload(softmax, prefer_literal=True, jit_options=OPTIONS)
def _softmax(x, axis=-1):
    along = _constant(axis, "axis")

    def implementation(x, axis=-1):
        e = np.exp(x - largest(x, axis=along, keepdims=True))
        return e / total(e, axis=along, keepdims=True)

    return implementation


@overload(log_softmax, prefer_literal=True, jit_options=OPTIONS)
def _log_softmax(x, axis=-1):
    along = _constant(axis, "axis")

    def implementation(x, axis=-1):
        z = x - largest(x, axis=along, keepdims=True)
        return z - np.log(total(np.exp(z), axis=along, keepdims=True))

    return implementation


def matmul(a, b):
    _not_in_python()


@overload(matmul, jit_options=OPTIONS)
def _matmul(a, b):
    if not isinstance(a, types.Array) or not isinstance(b, types.Array):
        return None
    if a.ndim <= 2 and b.ndim <= 2:
        return lambda a, b: np.dot(_plain(a), _plain(b))
    if b.ndim == 2:
        return lambda a, b: np.dot(_plain(a).reshape((-1, a.shape[-1])), _plain(b)).reshape(a.shape[:-1] + b.shape[1:])
    if a.ndim == b.ndim:

        def stacked(a, b):
            if a.shape[:-2] != b.shape[:-2]:
                raise ValueError("expected the same leading shape on both sides of @ in a jitted step")
            left = _plain(a).reshape((-1, a.shape[-2], a.shape[-1]))
            right = _plain(b).reshape((-1, b.shape[-2], b.shape[-1]))
            values = np.empty((left.shape[0], left.shape[1], right.shape[2]))
            for i in range(left.shape[0]):
                values[i] = np.dot(left[i], right[i])
            return values.reshape(a.shape[:-1] + b.shape[-1:])

        return stacked
    return None


def concatenate(arrays, axis=0):
    _not_in_python()


@overload(concatenate, prefer_literal=True, jit_options=OPTIONS)
def _concatenate(arrays, axis=0):
    """As NumPy's, also for a list that a loop has filled, for which numba has none."""
    along = _constant(axis, "axis")
    if not isinstance(arrays, types.List):
        return lambda arrays, axis=0: np.concatenate(arrays, axis=along)
    along %= arrays.dtype.ndim

    def of_list(arrays, axis=0):
        length = 0
        for array in arrays:
            length += array.shape[along]
        joined = np.empty(tuple_setitem(arrays[0].shape, along, length), arrays[0].dtype)
        start = 0
        for array in arrays:
            for i in np.ndindex(array.shape):
                joined[tuple_setitem(i, along, start + i[along])] = array[i]
            start += array.shape[along]
        return joined

    return of_list


def assign(a, index, value):
    _not_in_python()


@overload(assign, jit_options=OPTIONS)
def _assign(a, index, value):
    """``a[index] = value``: numba's own takes a mask of one axis only, and over a second to compile."""
    if _is_mask(a, index):
        return _assign_by_mask(value)
    if not isinstance(a, types.Array) or not isinstance(value, types.Array) or not _is_basic(index):

        def plainly(a, index, value):
            a[index] = value

        return plainly

    def spread(a, index, value):
        place, source = a[index], value.copy()
        _check_spread(place.shape, source.shape)
        for i in np.ndindex(place.shape):
            place[i] = source[_spread_index(i, source.shape)]

    return spread


def _assign_by_mask(value):
    if not isinstance(value, types.Array):

        def by_mask(a, index, value):
            for i in np.ndindex(a.shape):
                if index[i]:
                    a[i] = value

        return by_mask

    def by_mask_in_order(a, index, value):
        count = 0
        for i in np.ndindex(a.shape):
            if index[i]:
                a[i] = value[count]
                count += 1

    return by_mask_in_order


@numba.njit
def _check_spread(shape, source):
    for d in range(len(source)):
        if source[d] not in (1, shape[len(shape) - len(source) + d]):
            raise ValueError("could not broadcast an array into the shape that it is assigned to")


@numba.njit(inline="always")
def _spread_index(index, shape):
    own = shape
    for d in range(len(shape)):
        own = tuple_setitem(own, d, index[len(index) - len(shape) + d] if shape[d] > 1 else 0)
    return own


def _is_basic(index):
    """Whether an index gives a view of at least one axis."""
    parts = index.types if isinstance(index, types.BaseTuple) else (index,)
    views = [isinstance(part, types.SliceType | types.EllipsisType) for part in parts]
    return any(views) and all(v or isinstance(part, types.Integer) for v, part in zip(views, parts, strict=True))


def where_get(a, index):
    _not_in_python()


@overload(where_get, jit_options=OPTIONS)
def _where_get(a, index):
    """``a[index]`` after a comparison."""
    if not _is_mask(a, index):
        return lambda a, index: a[index]
    return lambda a, index: a.copy().reshape(a.size)[index.copy().reshape(a.size)]


def _is_mask(a, index):
    arrays = isinstance(a, types.Array) and isinstance(index, types.Array)
    return arrays and index.dtype == types.boolean and index.ndim == a.ndim > 1


def contiguous(a):
    _not_in_python()


@overload(contiguous, inline="always")
def _contiguous(a):
    """What numba's own reshape takes: an array in C order."""
    if isinstance(a, types.Array) and a.layout != "C":
        return lambda a: np.ascontiguousarray(a)
    return lambda a: a


def _plain(a):
    _not_in_python()


@overload(_plain, inline="always")
def _plain_array(a):
    """float64 in C order, which BLAS takes."""
    if a.dtype != types.float64:
        return lambda a: np.ascontiguousarray(a).astype(np.float64)
    if a.layout != "C":
        return lambda a: np.ascontiguousarray(a)
    return lambda a: a


# Methods of arrays: replaced where they are called with arguments, since numba's own take none.
METHODS = {
    "sum": total,
    "prod": product,
    "mean": mean,
    "max": largest,
    "min": smallest,
    "var": variance,
    "std": deviation,
    "any": some,
    "all": every,
}

# Functions of a list of arrays, for which numba wants a tuple.
OF_SEVERAL = {np.concatenate, np.stack, np.hstack, np.vstack, np.dstack, np.column_stack}


@functools.cache
def _known() -> dict:
    known = {getattr(np, name): stand_in for name, stand_in in METHODS.items()}
    known |= {np.amax: largest, np.amin: smallest, np.linalg.norm: norm}
    known |= {np.where: where, np.concatenate: concatenate, np.matmul: matmul, np.dot: matmul, operator.matmul: matmul}
    known |= {functions.sigmoid: sigmoid, functions.softplus: softplus, functions.log_sigmoid: log_sigmoid}
    known |= {functions.erf: erf, functions.erfc: erfc, functions.softmax: softmax, functions.log_softmax: log_softmax}
    return known


@functools.cache
def _known_of_scipy() -> dict:
    special = sys.modules["scipy.special"]
    known = {special.expit: sigmoid, special.log_expit: log_sigmoid, special.erf: erf, special.erfc: erfc}
    known |= {special.ndtr: ndtr, special.logit: logit, special.softmax: softmax, special.log_softmax: log_softmax}
    return known | {special.log1p: np.log1p, special.expm1: np.expm1, special.exp2: np.exp2}


def stand_in_for(function):
    """What to call in the place of `function`, or None: numba's own, or the function jitted."""
    try:
        found = _known().get(function)
        if found is None and "scipy.special" in sys.modules:
            found = _known_of_scipy().get(function)
    except TypeError:  # not hashable, so none of them
        return None
    return found
