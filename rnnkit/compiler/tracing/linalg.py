"""Linear algebra of small matrices, one for each row, written in operations on whole rows and columns.

Each function takes as many operations on arrays as a matrix has rows. A step of small matrices is planned by rows,
where each number is a line, and what no result needs, such as an upper triangle, is no line. What is shorter by a
formula than through all operations has a rule for its gradient; tangents go through the operations.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

import numpy as np

from rnnkit.compiler.ir.matrix_functions import EIGH, Kernel
from rnnkit.compiler.tracing.batch_axis import Untraceable
from rnnkit.compiler.tracing.broadcasting import lifted, power_by_squares
from rnnkit.compiler.tracing.contractions import matmul
from rnnkit.compiler.tracing.custom_gradient import with_rule
from rnnkit.compiler.tracing.reductions import max_of, place_of
from rnnkit.compiler.tracing.source import lookup_of, source_of

_LARGEST = 64  # rows or columns: each is a handful of operations
_LARGEST_ROTATED = 16  # of which a round of rotations computes all numbers; of more, a loop goes over them
_SWEEPS = 12  # of rotations at most; five to eight are enough
_SQUARINGS = 6  # of the exponential of a matrix, whose 1-norm is at most 5.4 times two to this power
_TRANSPOSED = (1, 2, "T", "C")
_largest = place_of(max_of)


def _matrix(a, square=True) -> tuple[int, int]:
    """Return rows and columns of a matrix of the row's own."""
    for axis in (-2, -1):
        a.feature_axis(axis, "linear algebra")
    rows, columns = a.node.shape[-2:]
    if square and rows != columns:
        raise ValueError(f"expected square matrices, got {rows} x {columns}")
    if max(rows, columns) > _LARGEST:
        raise Untraceable(f"linear algebra of {rows} x {columns} numbers for each row of the batch")
    if not a.node.batched:
        raise Untraceable("linear algebra of weights alone, in this form")
    a.graph.matrices = True
    return rows, columns


def _ends(a, fails, message: str) -> None:
    """Let a row fail, if this is a step of one row; where rows stand side by side, what follows is NaN."""
    if a.axis is None and a.graph.read is not None:
        fails = fails.reshape(-1).any()
        a.graph.checks.append((fails.node, f"{message}, in the line {a.graph.locate()!r}"))


def _with_rule(function: Callable, of: str | Kernel = "formula") -> Callable:
    """Return a function that gives a value and its rule as one that gives the value; see `rnnkit.custom_gradient`."""

    @wraps(function)
    def called(*arrays):
        return with_rule(lambda one, args, named: one(*args, **named), called, arrays, {}, of)

    called.with_rule = function  # type: ignore[attr-defined]
    return called


def _turned(a):
    return np.swapaxes(a, -1, -2)


def _eye(a):
    return np.zeros_like(a) + np.eye(a.node.shape[-1])


# Systems


def inverse(a):
    if not a.node.batched and a.ndim == 2:
        return a.made(a.graph.add("inverse", (a.graph.as_float(a.node),), a.node.shape))
    _matrix(a)
    return _solve(a, _eye(a))


def solve(a, b):
    a, b = lifted(a, b)
    if not a.node.batched:
        return matmul(inverse(a), b)
    _matrix(a)
    whole = (b[:, None] if b.ndim == 1 else b) + np.zeros_like(a[..., :1])
    return _solve(a, whole)[..., 0] if b.ndim == 1 else _solve(a, whole)


@_with_rule
def _solve(a, b):
    x = _solved(a, b)

    def rule(g):
        back = _solved(_turned(a), g)
        return -matmul(back, _turned(x)), back

    return x, rule


def _solved(a, b):
    rows, _ = _eliminated(np.concatenate([a, b], -1), a.node.shape[-1])
    _ends(a, np.stack([row[..., 0] for row in rows], -1) == 0.0, "the matrix is singular")
    return _substituted(rows)


def _eliminated(rest, n: int):
    """Return the rows of a triangle that matrices become, the largest pivot first as LAPACK does; and exchanges' sign.

    Each row begins with its pivot, and the columns behind the matrix are turned as it is.
    """
    rows: list[Any] = []
    sign: Any = 1.0
    for left in range(n, 1, -1):
        chosen = np.arange(left) == _largest(np.abs(rest[..., 0]), axis=-1)[..., None]
        pivot = np.sum(np.where(chosen[..., None], rest, 0.0), axis=-2)
        rest = np.where(chosen[..., 1:, None], rest[..., :1, :], rest[..., 1:, :])
        rest = rest[..., 1:] - rest[..., :1] / pivot[..., None, :1] * pivot[..., None, 1:]
        sign = np.where(chosen[..., 0], sign, -sign)
        rows.append(pivot)
    return [*rows, rest[..., 0, :]], sign


def _substituted(rows):
    """Return the x of ``u x = b``, where the rows of u, from the diagonal on, stand beside those of b."""
    x: Any = None
    for left, row in enumerate(reversed(rows), 1):
        new = row[..., None, left:]
        if x is not None:
            new = new - np.sum(row[..., 1:left, None] * x, axis=-2, keepdims=True)
        new = new / row[..., None, :1]
        x = new if x is None else np.concatenate([new, x], -2)
    return x


def solve_triangular(a, b, trans=0, lower=False, unit_diagonal=False, overwrite_b=False, check_finite=True):
    a, b = lifted(a, b)
    if not a.node.batched:
        a = np.tril(a) if lower else np.triu(a)
        a = np.where(np.eye(a.node.shape[-1], dtype=bool), 1.0, a) if unit_diagonal else a
        return matmul(inverse(_turned(a) if trans in _TRANSPOSED else a), b)
    _matrix(a)
    vector = b.ndim == 1
    b = (b[:, None] if vector else b) + np.zeros_like(a[..., :1])
    if trans in _TRANSPOSED:
        a, lower = _turned(a), not lower
    if lower:
        a, b = a[..., ::-1, ::-1], b[..., ::-1, :]
    n = a.node.shape[-1]
    rows = [np.concatenate([a[..., i, i:], b[..., i, :]], -1) for i in range(n)]
    if unit_diagonal:
        rows = [np.concatenate([np.ones_like(row[..., :1]), row[..., 1:]], -1) for row in rows]
    else:
        _ends(a, np.stack([row[..., 0] for row in rows], -1) == 0.0, "the matrix is singular")
    x = _substituted(rows)
    x = x[..., ::-1, :] if lower else x
    return x[..., 0] if vector else x


def cholesky(a, upper=False):
    """Return the factor of the lower triangle, or of the upper one."""
    n, _ = _matrix(a)
    rest, columns, squares = _turned(a) if upper else a, [], []
    for i in range(n):
        squares.append(rest[..., 0, 0])
        column = rest[..., :1] / np.sqrt(rest[..., :1, :1])
        rest = rest[..., 1:, 1:] - column[..., 1:, :] * _turned(column)[..., 1:]
        columns.append(np.concatenate([np.zeros_like(a[..., :i, :1]), column], -2) if i else column)
    _ends(a, ~(np.stack(squares, -1) > 0.0), "the matrix is not positive definite")
    found = np.concatenate(columns, -1)
    return _turned(found) if upper else found


@_with_rule
def det(a):
    n, _ = _matrix(a)
    rows, sign = _eliminated(a, n)
    pivots = np.stack([row[..., 0] for row in rows], -1)
    found = np.prod(pivots, -1) * sign
    return found, lambda g: (g * found)[..., None, None] * _solved(_turned(a), _eye(a))


@_with_rule
def _logarithm(a):
    rows, sign = _eliminated(a, a.node.shape[-1])
    pivots = np.stack([row[..., 0] for row in rows], -1)
    found = np.prod(np.sign(pivots), -1) * sign, np.sum(np.log(np.abs(pivots)), -1)
    return found, lambda _, g: g[..., None, None] * _solved(_turned(a), _eye(a))


def slogdet(a):
    _matrix(a)
    return type(np.linalg.slogdet(np.eye(1)))(*_logarithm(a))


# Factors


def qr(a, mode="reduced"):
    """Compute ``np.linalg.qr`` by Householder's reflections with LAPACK's signs."""
    if mode not in ("reduced", "r"):
        raise Untraceable(f"np.linalg.qr in mode {mode!r}; only reduced and r")
    m, n = _matrix(a, square=False)
    q, r = (_tall if m >= n else _reflected)(a)
    return r if mode == "r" else type(np.linalg.qr(np.eye(1)))(q, r)


@_with_rule
def _tall(a):
    q, r = _reflected(a)

    def rule(g_q, g_r):
        m = matmul(r, _turned(g_r)) - matmul(_turned(g_q), q)
        g = g_q + matmul(q, np.tril(m) + _turned(np.tril(m, -1)))
        return _turned(solve_triangular(r, _turned(g)))

    return (q, r), rule


def _reflected(a):
    """Return Q and R, of as many columns and rows as the shorter side has."""
    (m, n), rest, reflections, rows = a.node.shape[-2:], a, [], []
    for i in range(min(m, n)):
        if i < m - 1:
            first, below = rest[..., :1, :1], rest[..., 1:, :1]
            square = np.sum(below * below, axis=-2, keepdims=True)
            turns = square > 0.0
            length = np.sqrt(np.where(turns, square + first * first, 1.0))
            end = np.where(first < 0.0, length, -length)
            scale = np.where(turns, (end - first) / end, 0.0)
            v = np.concatenate([np.ones_like(first), below / np.where(turns, first - end, 1.0)], -2)
            rest = rest - scale * v * np.sum(v * rest, axis=-2, keepdims=True)
            reflections.append((i, scale, v))
        row = rest[..., :1, :]
        rows.append(np.concatenate([np.zeros_like(a[..., :1, :i]), row], -1) if i else row)
        rest = rest[..., 1:, 1:]
    q = np.zeros_like(a[..., :1]) + np.eye(m, min(m, n))
    for i, scale, v in reversed(reflections):
        part = q[..., i:, i:]
        part = part - scale * v * np.sum(v * part, axis=-2, keepdims=True)
        if i:
            part = np.concatenate([q[..., i:, :i], part], -1)
        q = np.concatenate([q[..., :i, :], part], -2) if i else part
    return q, np.concatenate(rows, -2)


def lstsq(a, b, rcond=None):
    """Compute ``np.linalg.lstsq`` of full column rank; the singular values aren't found."""
    a, b = lifted(a, b)
    if a.ndim != 2 or a.axis is not None:
        raise Untraceable("np.linalg.lstsq of more than one matrix, as in NumPy; write a step of one row, per_row=True")
    m, n = _matrix(a, square=False)
    if m < n:
        raise Untraceable("np.linalg.lstsq of fewer equations than unknowns")
    q, r = qr(a)
    x = solve_triangular(r, matmul(_turned(q), b))
    off = np.square(b - matmul(a, x))
    residuals = np.sum(off[:, None] if b.ndim == 1 else off, axis=0) if m > n else np.zeros(0)
    return x, residuals, n, None


def matrix_power(a, n):
    _matrix(a)
    found = power_by_squares(inverse(a) if n < 0 else a, abs(n), lambda power: matmul(power, power), matmul)
    return _eye(a) if found is None else found


def expm(a):
    """Compute ``scipy.linalg.expm`` by Padé's approximant of degree 13, of a matrix halved until it is small enough."""
    _matrix(a)
    size = max_of(np.sum(np.abs(a), axis=-2), -1)[..., None, None]
    halvings = np.ceil(np.log2(np.maximum(size / 5.37, 1.0)))
    a = a * np.exp2(-halvings)
    b = [64764752532480000.0, 32382376266240000.0, 7771770303897600.0, 1187353796428800.0, 129060195264000.0,
         10559470521600.0, 670442572800.0, 33522128640.0, 1323241920.0, 40840800.0, 960960.0, 16380.0, 182.0,
         1.0]  # fmt: skip
    b, one = [c / b[0] for c in b], np.eye(a.node.shape[-1])
    a2 = matmul(a, a)
    a4 = matmul(a2, a2)
    a6 = matmul(a4, a2)

    def series(k):
        high = matmul(a6, b[k + 12] * a6 + b[k + 10] * a4 + b[k + 8] * a2)
        return high + b[k + 6] * a6 + b[k + 4] * a4 + b[k + 2] * a2 + b[k] * one

    odd, even = matmul(a, series(1)), series(0)
    found = solve(even - odd, even + odd)
    for k in range(_SQUARINGS):
        found = np.where(halvings > k, matmul(found, found), found)
    return np.where(halvings > _SQUARINGS, np.nan, found)


# Eigenvalues


def eigvalsh(a, UPLO="L"):
    return _eigen_of(a, UPLO)[0]


def eigh(a, UPLO="L"):
    """Compute ``np.linalg.eigh``; the sign of a vector may be another than LAPACK's."""
    return type(np.linalg.eigh(np.eye(1)))(*_eigen_of(a, UPLO))


def _eigen_of(a, triangle):
    """Return eigenvalues in their order, and vectors."""
    n, _ = _matrix(a)
    if a.graph.read is None:
        raise Untraceable("eigenvalues outside of a step")
    lower = triangle.upper() == "L"
    if n > _LARGEST_ROTATED:
        values, vectors = _eigen_in_loops(a if lower else _turned(a))
        return values, _turned(vectors)
    held = np.tril(np.ones((n, n), bool))
    return _eigen(np.where(held if lower else held.T, a, _turned(a)))


def _read(function, like, *arrays):
    """Return what a function of one row gives, whose loops are read; of a step of one row, or of all rows."""
    bound = inspect.signature(function).bind(*(one.made(one.node) if hasattr(one, "made") else one for one in arrays))
    found = like.graph.read._read(source_of(function), bound, lookup_of(function), function.__code__)
    return [one.made(one.node, like.axis) for one in (found if isinstance(found, tuple) else (found,))]


@_with_rule
def _eigen(a):
    n = a.node.shape[-1]
    row, even = a.made(a.node), n + n % 2
    vectors = row.made(a.graph.literal(np.eye(n, even)))
    limits = np.finfo(a.dtype)
    least = np.sum(np.square(row)) * (n * limits.eps) ** 2
    if n < even:  # an eigenvalue of its own, larger than all others
        largest = 2.0 * np.sum(np.abs(row)) + limits.tiny
        row = np.pad(row, ((0, 1), (0, 1))) + largest * np.diag(np.arange(even) == n)
    firsts, seconds = np.arange(0, even, 2), np.arange(1, even, 2)
    after = np.array([*firsts[:1], *seconds[:1], *firsts[1:-1]]), np.array([*seconds[1:], *firsts[-1:]])
    after = (firsts, seconds) if even == 2 else after
    order = np.argsort(np.concatenate([firsts, seconds]))[np.stack(after, 1).reshape(-1)]
    rounds = 1 if even == 2 else _SWEEPS * (even - 1)
    row, vectors = _read(_rotated, a, row, vectors, order, rounds, least)
    values = np.diagonal(row, 0, -2, -1)
    places = np.argsort(values, -1)[..., None, :n] + np.zeros((n, 1), int)
    values, vectors = np.sort(values, -1)[..., :n], np.take_along_axis(vectors, places, -1)

    def rule(g_values, g_vectors):
        between = values[..., None, :] - values[..., :, None]
        apart = between != 0.0
        inner = np.where(apart, matmul(_turned(vectors), g_vectors) / np.where(apart, between, 1.0), 0.0)
        return matmul(vectors, matmul(inner + g_values[..., None, :] * np.eye(n), _turned(vectors)))

    return (values, vectors), rule


def _rotated(a, v, order, rounds, least):
    """Apply Jacobi's rotations to all neighbours at once, then others become neighbours; until all else is zero."""
    for _ in range(rounds):
        r, d = np.diagonal(a, 1)[0::2], np.diagonal(a)[1::2] - np.diagonal(a)[0::2]
        size = np.abs(d) + np.sqrt(d * d + 4.0 * r * r)
        t = np.where(d < 0.0, -2.0, 2.0) * r / np.where(size > 0.0, size, 1.0)
        c = 1.0 / np.sqrt(1.0 + t * t)
        s = t * c
        a = np.concatenate([c * a[:, 0::2] - s * a[:, 1::2], s * a[:, 0::2] + c * a[:, 1::2]], 1)[:, order]
        v = np.concatenate([c * v[:, 0::2] - s * v[:, 1::2], s * v[:, 0::2] + c * v[:, 1::2]], 1)[:, order]
        c, s = c[:, None], s[:, None]
        a = np.concatenate([c * a[0::2] - s * a[1::2], s * a[0::2] + c * a[1::2]], 0)[order]
        if np.sum(np.where(np.eye(len(a)), 0.0, a * a)) <= least:
            break
    return a, v


@partial(_with_rule, of=EIGH)
def _eigen_in_loops(a):
    """Return eigenvalues of a lower triangle, and vectors as rows."""
    values, vectors = _read(_in_turn, a, a)
    return (values, vectors), lambda g, g_vectors: _read(_in_turn_back, a, values, vectors, g, g_vectors)[0]


def _in_turn(a):
    """Rotate pairs of rows of a matrix, shifted to be positive, until all are orthogonal: one-sided Jacobi."""
    n, square = len(a), 0.0
    odd = n - 1 + n % 2
    s, sizes = np.zeros((n, n)), np.zeros(n)
    for i in range(n):
        for j in range(n):
            s[i, j] = a[i, j] if j <= i else a[j, i]
        square += s[i] @ s[i]
    shift = 2.0 * np.sqrt(square)
    for i in range(n):
        s[i, i] += shift
    for _ in range(_SWEEPS):
        turned = 0.0
        for i in range(odd):
            for k in range(n % 2, (odd + 1) // 2):  # all pairs whose places add up to 2 i, and the last place with i
                p, q = (i + k) % odd, (i - k + odd) % odd if k > 0 else n - 1
                x, y = s[p], s[q]
                r, d = x @ y, y @ y - x @ x
                turned = np.maximum(turned, np.abs(r))
                size = np.abs(d) + np.sqrt(d * d + 4.0 * r * r)
                t = np.where(d < 0.0, -2.0, 2.0) * r / np.where(size > 0.0, size, 1.0)
                c = 1.0 / np.sqrt(1.0 + t * t)
                s[p], s[q] = c * (x - t * y), c * (t * x + y)
        if turned <= n * np.finfo(a.dtype).eps * square:
            break
    for i in range(n):
        sizes[i] = np.sqrt(s[i] @ s[i])
    values, vectors = np.full(n, np.nan), np.full((n, n), np.nan)
    for i in range(n):
        place = int(np.sum((sizes < sizes[i]) | ((sizes == sizes[i]) & (np.arange(n) < i)))) % n  # never out of range
        values[place] = sizes[i] - shift
        vectors[place] = s[i] / np.where(sizes[i] > 0.0, sizes[i], 1.0)
    return values, vectors


def _in_turn_back(values, vectors, g, g_vectors):
    """Return the cotangent of a lower triangle from those of eigenvalues and of vectors, which are rows."""
    n = len(values)
    inner, half, found, turned = np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n)), np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            inner[i, j] = vectors[i] @ g_vectors[j]
        apart = values - values[i]
        inner[i] = np.where(apart != 0.0, inner[i] / np.where(apart != 0.0, apart, 1.0), 0.0)
        inner[i, i] = g[i]
    for i in range(n):
        for k in range(n):
            half[i] += inner[i, k] * vectors[k]
    for i in range(n):
        for k in range(n):
            found[i] += vectors[k, i] * half[k]
    for i in range(n):
        for j in range(n):
            turned[i, j] = found[i, j] * (i == j) + (found[i, j] + found[j, i]) * (j < i)
    return turned
