"""Products, joins, assignments and choices of array elements inside a jitted step, where numba's own fall short."""

from __future__ import annotations

import numba
import numpy as np
from numba.core import errors, types
from numba.cpython.unsafe.tuple import tuple_setitem

from rnnkit.backends.jit.overloads import OPTIONS, constant, in_steps, size_of


@in_steps()
def matmul(a, b):
    """Return a product without BLAS, whose order of summation would depend on the shape; for one row no slower."""
    if not isinstance(a, types.Array) or not isinstance(b, types.Array) or 0 in (a.ndim, b.ndim):
        return None
    if b.ndim <= 2:
        rank, number = a.ndim, a.ndim == b.ndim == 1

        def of_matrix(a, b):
            rows, inner = size_of(a.shape, 0, rank - 1), b.shape[0]
            left = _plain(a).reshape((1, rows, a.shape[-1]))
            right = _plain(b).reshape((1, inner, size_of(b.shape, 1, b.ndim)))
            values = _products(left, right)
            return values[0, 0, 0] if number else values.reshape(a.shape[:-1] + b.shape[1:])

        return of_matrix
    if a.ndim == b.ndim:
        rank = a.ndim

        def stacked(a, b):
            if a.shape[:-2] != b.shape[:-2]:
                raise ValueError("expected the same leading shape on both sides of @ in a jitted step")
            count = size_of(a.shape, 0, rank - 2)
            left = _plain(a).reshape((count, a.shape[-2], a.shape[-1]))
            right = _plain(b).reshape((count, b.shape[-2], b.shape[-1]))
            return _products(left, right).reshape(a.shape[:-1] + b.shape[-1:])

        return stacked
    return None


@numba.njit(**OPTIONS)
def _products(a, b):
    """Return matrix products, each element summed in order."""
    if a.shape[2] != b.shape[1]:
        raise ValueError("expected as many columns on the left of @ as rows on the right")
    values = np.zeros((a.shape[0], a.shape[1], b.shape[2]))
    for s in range(a.shape[0]):
        for i in range(a.shape[1]):
            for k in range(a.shape[2]):
                factor = a[s, i, k]
                for j in range(b.shape[2]):
                    values[s, i, j] += factor * b[s, k, j]
    return values


@in_steps(prefer_literal=True)
def concatenate(arrays, axis=0):
    """Concatenate as NumPy does, also a list that a loop has filled, which numba can't."""
    along = constant(axis, "axis")
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


@in_steps()
def assign(a, index, value):
    """Do ``a[index] = value``: numba's own takes a mask of one axis only, and over a second to compile."""
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
    """Return whether an index gives a view of at least one axis."""
    parts = index.types if isinstance(index, types.BaseTuple) else (index,)
    views = [isinstance(part, types.SliceType | types.EllipsisType) for part in parts]
    return any(views) and all(v or isinstance(part, types.Integer) for v, part in zip(views, parts, strict=True))


@in_steps()
def where_get(a, index):
    """Return ``a[index]`` where the index may be a mask."""
    if not _is_mask(a, index):
        return lambda a, index: a[index]
    return lambda a, index: a.copy().reshape(a.size)[index.copy().reshape(a.size)]


def _is_mask(a, index):
    arrays = isinstance(a, types.Array) and isinstance(index, types.Array)
    return arrays and index.dtype == types.boolean and index.ndim == a.ndim > 1


@in_steps(inline="always", jit_options={})
def contiguous(a):
    """Return an array in C order, as numba's own reshape needs."""
    if isinstance(a, types.Array) and a.layout != "C":
        return lambda a: np.ascontiguousarray(a)
    return lambda a: a


@in_steps(inline="always", jit_options={})
def _plain(a):
    if a.dtype != types.float64:
        return lambda a: np.ascontiguousarray(a).astype(np.float64)
    if a.layout != "C":
        return lambda a: np.ascontiguousarray(a)
    return lambda a: a


def along(name, function):
    """Make a NumPy function of an array and an axis from `function`, which takes a vector to one of the same length."""
    function = numba.njit(function, **OPTIONS)

    def each(a, axis=-1):
        if not isinstance(a, types.Array) or a.ndim == 0:
            return None
        place = constant(axis, "axis")
        if place is None:
            return lambda a, axis=-1: function(a.copy().reshape(a.size))
        last = a.ndim - 1
        order = [i for i in range(a.ndim) if i != place % a.ndim] + [place % a.ndim]
        there, back = tuple(order), tuple(int(i) for i in np.argsort(order))

        def vectors(a, axis=-1):
            moved = np.ascontiguousarray(np.transpose(a, there))
            rows = moved.reshape((-1, moved.shape[last]))
            result = np.empty(rows.shape, function(rows[0]).dtype)
            for i in range(rows.shape[0]):
                result[i] = function(rows[i])
            return np.transpose(result.reshape(moved.shape), back)

        return vectors

    each.__name__ = name
    return in_steps(prefer_literal=True)(each)


sort = along("sort", lambda v: np.sort(v))
argsort = along("argsort", lambda v: np.argsort(v, kind="mergesort"))
cumsum = along("cumsum", lambda v: np.cumsum(v))
cumprod = along("cumprod", lambda v: np.cumprod(v))


@in_steps(prefer_literal=True)
def einsum(subscripts, *operands):
    """Return the sum over products, by one loop per letter, those of the result outside."""
    given = constant(subscripts, "the first argument of einsum").replace(" ", "")
    inputs, arrow, output = given.partition("->")
    inputs = inputs.split(",")
    if not arrow:
        output = "".join(sorted(c for c in set("".join(inputs)) if given.count(c) == 1))
    if "." in given or len(inputs) != len(operands):
        raise errors.TypingError("einsum with an ellipsis or another number of arrays than its subscripts")
    sizes = {c: f"operands[{k}].shape[{i}]" for k, letters in enumerate(inputs) for i, c in enumerate(letters)}
    inner = [c for c in sizes if c not in output]
    lines = ["def implementation(subscripts, *operands):"]
    lines.append(f"    result = np.zeros(({''.join(sizes[c] + ', ' for c in output)}))")
    for depth, c in enumerate([*output, *inner]):
        lines.append("    " * (depth + 1) + f"for {c} in range({sizes[c]}):")
    factors = " * ".join(f"operands[{k}][{', '.join(letters)}]" for k, letters in enumerate(inputs))
    lines.append("    " * (len(sizes) + 1) + f"result[{', '.join(output) or '()'}] += {factors}")
    lines.append("    return result")
    names = {"np": np}
    exec("\n".join(lines), names)
    return names["implementation"]
