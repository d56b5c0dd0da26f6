"""Linear algebra of matrices that each row has of its own, against NumPy and SciPy row by row."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

import rnnkit as rk


def turned(a):
    return np.swapaxes(a, -1, -2)


def definite(a):
    return a @ turned(a) + np.eye(a.shape[-1])


def cholesky(a, b):
    return np.linalg.cholesky(definite(a))


def inverse(a, b):
    return np.linalg.inv(a)


def solve(a, b):
    return np.linalg.solve(a, b)


def det(a, b):
    return np.linalg.det(a / a.shape[-1])[..., None, None]


def slogdet(a, b):
    sign, logarithm = np.linalg.slogdet(a)
    return (sign * logarithm)[..., None, None]


def qr(a, b):
    found = np.linalg.qr(a)
    return found.Q @ (found.R - 2 * np.eye(a.shape[-1]))


def qr_tall(a, b):
    q, r = np.linalg.qr(a[..., : a.shape[-1] // 2 + 1])
    return np.concatenate([q, np.tanh(q) @ r], -1)


def qr_wide(a, b):
    return np.linalg.qr(a[..., : a.shape[-1] // 2 + 1, :], mode="r")


def eigenvalues(a, b):
    return np.linalg.eigvalsh(a, "U")[..., None]


def eigenvectors(a, b):
    values, vectors = np.linalg.eigh(a)
    return (vectors * np.tanh(values)[..., None, :]) @ turned(vectors)


def eigen_diagonal(a, b):
    """The diagonal of a function of a matrix, of its upper triangle."""
    values, vectors = np.linalg.eigh(a, "U")
    return np.sum(np.square(vectors) * np.tanh(values / 5)[..., None, :], -1)


def power(a, b):
    return np.linalg.matrix_power(a / a.shape[-1], 5) + np.linalg.matrix_power(a, -2) + np.linalg.matrix_power(a, 0)


def traces(a, b):
    return np.trace(a, axis1=-2, axis2=-1)[..., None, None] * b


def least_squares(a, b):
    x, residuals, _, _ = np.linalg.lstsq(a[:, :-1], b)
    return np.concatenate([x, residuals[None]], 0)


def least_squares_of_a_vector(a, b):
    return np.linalg.lstsq(a, b[:, 0], rcond=None)[0]


def triangular(a, b):
    return scipy.linalg.solve_triangular(a, b) + scipy.linalg.solve_triangular(a, b, lower=True)


def triangular_transposed(a, b):
    x = scipy.linalg.solve_triangular(a, b, trans="T")
    return x + scipy.linalg.solve_triangular(a / a.shape[-1], b, trans=1, lower=True, unit_diagonal=True)


def triangular_of_a_vector(a, b):
    return scipy.linalg.solve_triangular(a, b[:, 0], trans="T")


def exponential(a, b):
    return scipy.linalg.expm(a / 3) + scipy.linalg.expm(a * 3 - 9 * np.eye(a.shape[-1]))


def part_of_an_exponential(a, b):
    return scipy.linalg.expm(a / 2)[..., :1] @ turned(b)[..., :1, :]


def factor(a, b):
    return scipy.linalg.cholesky(definite(a)) + scipy.linalg.cholesky(definite(a), lower=True)


def has_batches():
    """Whether SciPy takes several matrices at once, as it does since 1.16."""
    try:
        scipy.linalg.solve_triangular(np.eye(2)[None], np.eye(2)[None])
    except ValueError:
        return False
    return True


BATCHED = has_batches()
OF_SCIPY = (triangular, triangular_transposed, exponential, part_of_an_exponential, factor)
BOTH = (cholesky, inverse, solve, det, slogdet, qr, qr_tall, qr_wide, eigenvalues, eigenvectors, power, traces)
OF_A_ROW = (least_squares, least_squares_of_a_vector, triangular_of_a_vector)
CASES = [
    *((one, kind) for one in BOTH for kind in (False, True)),
    *((one, kind) for one in OF_SCIPY for kind in (False, True)[not BATCHED :]),
    *((one, True) for one in OF_A_ROW),
]


def layer_of(function, n, per_row, dtype="float64"):
    """Of a matrix and two columns as features; the state moves the matrix, and the result moves the state."""

    def step(x, states):
        lead = x.shape[:-1]
        a = 0.3 * x[..., : n * n].reshape(*lead, n, n) + np.eye(n) * (1 + n / 4) + 0.1 * states.h[..., :1, None]
        y = function(a, x[..., n * n :].reshape(*lead, n, 2)).reshape(*lead, -1)
        return y, 0.3 * states.h + 0.1 * np.tanh(np.sum(y, axis=-1, keepdims=True))

    cell = rk.cell(states={"h": 1}, per_row=per_row)(step)()
    return rk.RNN(cell, return_sequences=True, dtype=dtype)


def drawn(n, rows=3, steps=4, dtype="float64"):
    return np.random.default_rng(n).standard_normal((rows, steps, n * n + 2 * n)).astype(dtype)


def agree(layer, x, tolerance, **call):
    got = layer(x, **call)
    with rk.eager():
        expected = layer(x, **call)
    assert layer.explain().startswith("traced")
    assert np.abs(got - expected).max() <= tolerance * np.abs(expected).max()


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize(("function", "per_row"), CASES)
def test_C19_matrices_of_a_row_are_what_numpy_says_and_have_exact_gradients(function, per_row, n):
    n = max(n, 2) if function in (least_squares, least_squares_of_a_vector) else n
    layer, x = layer_of(function, n, per_row), drawn(n)
    agree(layer, x, 1e-12)
    agree(layer, x, 1e-12, mask=np.random.default_rng(1).random((3, 4)) < 0.6)
    assert rk.gradcheck(layer, x)


@pytest.mark.parametrize(("function", "per_row"), CASES[::2])
def test_matrices_of_a_row_in_float32_and_in_a_stream(function, per_row):
    layer, x = layer_of(function, 3, per_row, "float32"), drawn(3, dtype="float32")
    agree(layer, x, 2e-4)
    stream = layer.stream(3)
    parts = np.stack([stream.step(x[:, t]) for t in range(4)], 1)
    assert parts.tobytes() == layer(x).tobytes()


LARGER = [
    (7, eigenvectors, False),
    (11, solve, False),
    (17, exponential, True),
    (17, triangular_transposed, BATCHED is False),
    (17, eigen_diagonal, True),
    (20, eigen_diagonal, False),
    (18, qr, False),
    (20, cholesky, False),
    (33, inverse, False),
    (64, least_squares_of_a_vector, True),
]


@pytest.mark.parametrize(("n", "function", "per_row"), LARGER)
def test_larger_matrices_are_computed_by_rows_and_columns(n, function, per_row):
    layer, x = layer_of(function, n, per_row), drawn(n, 2, 2)
    agree(layer, x, 1e-12)
    if function in (solve, cholesky, triangular_transposed, eigen_diagonal):
        assert rk.gradcheck(layer, x, directions=1)


def test_C19_least_squares_of_a_batch_are_refused_as_in_numpy():
    with pytest.raises(np.linalg.LinAlgError, match="must be two-dimensional"):
        layer_of(lambda a, b: np.linalg.lstsq(a, b)[0], 2, False)(drawn(2))


def test_C19_what_a_decision_leaves_a_part_of_has_an_exact_gradient():
    """A part without a cotangent says nothing about the rest of a matrix; a row without any has no gradient at all."""

    def part(a, b):
        found = np.where(np.sum(a, axis=(-2, -1))[..., None, None] > -50.0, np.linalg.solve(a, a @ a + np.eye(3)), a)
        return found[..., :2]

    assert rk.gradcheck(layer_of(part, 3, False), drawn(3))

    @rk.loop
    def guarded(x, s=0.0):
        a = x.reshape(2, 2)
        whole = np.linalg.det(a) != 0.0
        return np.where(whole, np.linalg.solve(np.where(whole, a, np.eye(2)), a[:, 0])[0], x[0]), s

    x = np.array([[2.0, 1.0, 1.0, 3.0], [1.0, 2.0, 2.0, 4.0]])
    y, pull = guarded.vjp(x)
    np.testing.assert_allclose(y, 1.0)
    np.testing.assert_allclose(pull(np.ones(2)).x, [[0.0] * 4, [1.0, 0.0, 0.0, 0.0]], atol=1e-15)


@pytest.mark.parametrize("n", [2, 3])
@pytest.mark.parametrize("scale", [0.0, 1e-12, 1e12])
def test_eigenvalues_of_any_size_and_of_equal_ones(n, scale):
    @rk.loop
    def spread(x, s=0.0):
        w, v = np.linalg.eigh(x.reshape(n, n))
        return np.concatenate([w, (v @ v.T).reshape(-1)]), s

    a = scale * np.array([[[2.0, 1, 0], [1, 2, 0], [0, 0, 3]], [[1.0, 0, 0], [0, 1, 0], [0, 0, 1]]])[:, :n, :n]
    found = spread(a.reshape(2, n * n))
    np.testing.assert_allclose(found[:, :n], np.linalg.eigvalsh(a), rtol=0, atol=4e-15 * scale)
    np.testing.assert_allclose(found[:, n:].reshape(2, n, n), [np.eye(n)] * 2, rtol=0, atol=1e-14)


def test_second_derivatives_of_eigenvalues_in_loops_are_refused():
    layer, x = layer_of(eigen_diagonal, 17, True), drawn(17, 2, 2)
    layer(x)
    with pytest.raises(ValueError, match="second derivatives of eigenvalues of so many rows aren't known"):
        rk.hvp(layer, x, x, by="x")


@pytest.mark.parametrize("function", [cholesky, det])
def test_more_than_64_rows_are_refused(function):
    with pytest.raises(ValueError, match="linear algebra of 65 x 65 numbers for each row"):
        layer_of(function, 65, True).build((None, None, 65 * 65 + 130))


def test_second_derivatives_go_through_the_operations_of_a_rule():
    @rk.loop
    def mixed(y, s=0.0, *, A):
        S = A @ A.T + (1.0 + y) * np.eye(2)
        e = np.linalg.solve(S, A[0])
        q, r = np.linalg.qr(A + y * np.eye(2))
        w, v = np.linalg.eigh(S)
        sum_of_vectors = np.sum(v * v * np.sin(w))
        return e @ e + np.linalg.slogdet(S)[1] + np.linalg.det(A) + r[0, 1] + q[1, 1] + sum_of_vectors, s + y

    rng = np.random.default_rng(0)
    A, d, y = rng.standard_normal((2, 2)), rng.standard_normal((2, 2)), np.abs(rng.standard_normal(5))

    def gradient(A):
        out, pull = mixed.vjp(y, A=A)
        return pull(np.ones_like(out)).parameters["A"]

    slope = (gradient(A + 1e-5 * d) - gradient(A - 1e-5 * d)) / 2e-5
    np.testing.assert_allclose(rk.hvp(mixed, y, d, by="A", A=A), slope, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "matrix", "message"),
    [
        (lambda a: np.linalg.cholesky(a), [[1.0, 2.0], [2.0, 1.0]], "the matrix is not positive definite"),
        (lambda a: np.linalg.solve(a, np.ones(2)), [[1.0, 2.0], [2.0, 4.0]], "the matrix is singular"),
        (lambda a: np.linalg.inv(a), [[0.0, 0.0], [0.0, 0.0]], "the matrix is singular"),
    ],
)
def test_C19_a_row_fails_where_numpy_raises_and_is_spoiled_in_a_batch(function, matrix, message):
    x = np.broadcast_to(np.eye(2).reshape(4), (3, 5, 4)).copy()
    x[1, 2] = np.reshape(matrix, 4)
    mask = np.ones((3, 5), bool)
    mask[1, 2] = False

    def of_a_row(x, s=0.0):
        return function(x.reshape(2, 2)).reshape(-1), s

    def of_a_batch(x, states):
        return function(x.reshape(-1, 2, 2)).reshape(x.shape[0], -1), states

    loop = rk.loop(of_a_row)
    with pytest.raises(IndexError, match=f"row 1 fails at step 2: {message}"):
        loop(x)
    if "singular" in message:  # NaN is no reason to fail, as in NumPy
        assert np.isnan(loop(np.full((1, 4), np.nan))).all()
    assert np.isfinite(loop(x, mask=mask)).all()
    layer = rk.RNN(rk.cell(states={"h": 1})(of_a_batch)(), return_sequences=True)
    finite = np.isfinite(layer(x)).all(axis=2)
    assert not finite[1, 2] and finite.sum() == 14


def test_weights_alone_are_computed_once():
    @rk.cell(states={"h": 3}, weights={"w": rk.Weight((3, 3), "normal")}, per_row=True)
    def with_weight(x, states, weights):
        a = weights.w @ weights.w.T + np.eye(3)
        h = np.tanh(x[:3] + 0.5 * scipy.linalg.solve_triangular(np.linalg.cholesky(a), states.h, lower=True))
        return h + np.linalg.slogdet(a)[1], h

    layer = rk.RNN(with_weight(), dtype="float64", seed=0)
    agree(layer, np.random.default_rng(0).standard_normal((3, 4, 3)), 1e-12)
    assert rk.gradcheck(layer, (3, 4, 3))


# A filter and a transform of sigma points

ZEROS, EYE = np.zeros(4), np.eye(4)
FILTER = {
    "F": np.array([[0.95, 0, 0.1, 0], [0, 0.95, 0, 0.1], [0, 0, 0.9, 0], [0, 0, 0, 0.9]]),
    "Q": 0.1 * np.eye(4),
    "H": np.array([[1.0, 0, 0.2, 0], [0, 1.0, 0, 0.2]]),
    "r": 0.5,
}


@rk.loop
def kalman(y, m=ZEROS[:4], P=EYE[:4, :4], *, F, Q, H, r):
    """The log likelihood of what is observed; steps with gaps only predict."""
    m, P = F @ m, F @ P @ F.T + Q
    if np.isnan(y[0]):
        return 0.0, (m, P)
    L = np.linalg.cholesky(H @ P @ H.T + r * np.eye(2))
    e = scipy.linalg.solve_triangular(L, y - H @ m, lower=True)
    G = scipy.linalg.solve_triangular(L, H @ P, lower=True)
    return -0.5 * (e @ e) - np.sum(np.log(np.diag(L))) - np.log(2 * np.pi), (m + G.T @ e, P - G.T @ G)


@rk.loop
def unscented(y, m=ZEROS[:3], P=EYE[:3, :3], *, q, r):
    """Seven sigma points through a pendulum's step, and what is seen of them."""
    L = np.linalg.cholesky(3.5 * P)
    points = np.concatenate([m[None], m + L.T, m - L.T])
    w = np.full(7, 1 / 7)
    moved = np.stack(
        [points[:, 0] + 0.1 * points[:, 1], points[:, 1] - 0.1 * np.sin(points[:, 0]), 0.9 * points[:, 2]], 1
    )
    mean = w @ moved
    off = moved - mean
    P = off.T @ (w[:, None] * off) + q * np.eye(3)
    seen = np.sin(moved[:, :1]) + moved[:, 2:]
    e = y - w @ seen
    S = (seen - w @ seen).T @ (w[:, None] * (seen - w @ seen)) + r * np.eye(1)
    gain = np.linalg.solve(S, (seen - w @ seen).T @ (w[:, None] * off)).T
    value = -0.5 * (e @ np.linalg.solve(S, e)) - 0.5 * np.linalg.slogdet(S)[1]
    return value, (mean + gain @ e, P - gain @ S @ gain.T)


@pytest.mark.parametrize(("loop", "width", "given"), [(kalman, 2, FILTER), (unscented, 1, {"q": 0.1, "r": 0.3})])
def test_filters_by_factors(loop, width, given):
    y = np.random.default_rng(0).standard_normal((5, 9, width))
    if loop is kalman:
        y[np.random.default_rng(1).random((5, 9)) < 0.3] = np.nan
    got, pull = loop.vjp(y, **given)
    with rk.eager():
        np.testing.assert_allclose(got, loop(y, **given), rtol=1e-11, atol=1e-12)
    gradient = pull(np.ones_like(got)).parameters

    for name, value in given.items():
        direction = np.random.default_rng(2).standard_normal(np.shape(value))
        ends = [loop(y, **{**given, name: value + s * direction}).sum() for s in (1e-6, -1e-6)]
        assert np.isclose(np.sum(gradient[name] * direction), (ends[0] - ends[1]) / 2e-6, rtol=1e-6, atol=1e-7)
