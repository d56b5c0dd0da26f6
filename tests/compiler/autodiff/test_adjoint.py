"""Gradients of odd steps: what stands where nobody expects it. The order of parts, shapes and roles is the point."""

import numpy as np
import pytest
from gradient_runs import BOUNDS, Run, near
from matrix import same_bits

import rnnkit as rk

ODD = {}
COMPILED = (
    "output_is_x", "pure_swap", "constants_only", "tied", "state_is_x", "a_product_of_a_product", "two_kernels_of_x",
)  # fmt: skip


def kernel(*shape):
    return rk.Weight(shape, lambda shape, rng: rng.normal(0, 0.4, shape))


def odd(features=(5,), constants=(), **declared):
    """Decorator: a step under test."""

    def decorate(step):
        ODD[step.__name__] = rk.cell(**declared)(step), features, constants
        return step

    return decorate


@odd(states={"h": 5}, weights={"w": kernel(5, 5)})
def output_is_x(x, states, weights):
    return x, (np.tanh(states[0] @ weights.w + x),)


@odd(states={"h": 5}, weights={"w": kernel(5, 5)})
def output_is_the_old_state(x, states, weights):
    return states[0], (np.tanh(states[0] @ weights.w + x),)


@odd(states={"h": 5}, weights={"w": kernel(5, 5), "b": kernel(5)})
def output_is_a_weight(x, states, weights):
    return np.zeros_like(x) + weights.b, (np.tanh(states[0] @ weights.w + x),)


@odd(states={"a": 5, "b": 5})
def swap(x, states, weights):
    a, b = states
    return a * b, (b, a + 0 * x)


@odd(states={"a": 5, "b": 5})
def pure_swap(x, states, weights):
    a, b = states
    return a, (b, a)


@odd(states={"a": 5, "b": 3}, weights={"w": kernel(5, 3)})
def never_read(x, states, weights):
    a, b = states
    return np.tanh(a + x), (0.5 * a + x, x @ weights.w)


@odd(states={"a": 5}, weights={"w": kernel(5, 3)})
def output_without_state(x, states, weights):
    return np.sin(x) @ weights.w, (states[0] * 0.5,)


@odd(constants=((5,),), states={"a": 5})
def constants_only(x, states, weights, constants):
    (c,) = constants
    return c * 2, (c * states[0],)


@odd(
    features=(2, 3, 4),
    states={"m": (3, 4), "n": (2, 2, 3)},
    weights={"w": kernel(4, 4), "v": kernel(2, 4, 3), "u": kernel(3, 2)},
)
def rank4(x, states, weights):
    m, n = states
    m = np.tanh(m @ weights.w + x.sum(axis=1))
    n = np.tanh(np.einsum("bijk,ikl->bijl", x, weights.v).transpose(0, 1, 3, 2)[:, :, :2] + n * 0.3)
    return n.reshape(x.shape[0], 12) @ weights.u.reshape(-1, 1)[:6].repeat(2, axis=0) + m.max(axis=(1, 2))[:, None], (
        m,
        n,
    )


@odd(states={"h": 5}, weights={"w": kernel(5, 5), "s": kernel()})
def scalar_weight(x, states, weights):
    h = np.tanh(weights.s * (x @ weights.w) + states[0] * weights.s**2)
    return h, (h,)


@odd(states={"h": 5}, weights={"w": kernel(5, 5)})
def tied(x, states, weights):
    h = np.tanh(x @ weights.w + states[0] @ weights.w.T + weights.w[0])
    return h * weights.w.sum() + (h @ weights.w) @ weights.w.T, (h,)


@odd(
    states={"h": 7},
    weights={"w": kernel(5, 7), "u": kernel(7, 7), "a": kernel(7), "c": kernel(7, 1), "d": kernel(1, 7)},
)
def broadcasting(x, states, weights):
    h = np.tanh(x @ weights.w + states[0] @ (weights.u * weights.a + weights.c))
    o = h[:, :, None] * weights.c + h[:, None, :] * weights.d * weights.c.sum(axis=0)
    return o.prod(axis=2) + o.sum(axis=1) * weights.u.mean(axis=1), (h,)


@odd(states={"h": 6}, weights={"w": kernel(5, 6)})
def orders(x, states, weights):
    h = np.tanh(states[0] + x @ weights.w)
    s = np.sort(h, axis=-1)
    p = np.prod(h.reshape(-1, 2, 3), axis=2)
    return np.concatenate(
        [
            s.cumsum(axis=-1),
            p,
            h.max(axis=-1, keepdims=True),
            h.min(axis=-1, keepdims=True),
            np.ptp(h, axis=-1)[:, None],
        ],
        axis=-1,
    ), (0.5 * h + 0.1 * s,)


@odd(states={"h": 6}, weights={"w": kernel(5, 6)})
def argmaxes(x, states, weights):
    h = np.tanh(states[0] + x @ weights.w)
    i = np.argmax(h, axis=-1)
    return h * (i[:, None] == np.arange(6)), (0.5 * h,)


@odd(states={"h": 6}, weights={"w": kernel(5, 6), "b": kernel(3)})
def weight_with_rows(x, states, weights):
    h = np.tanh(states[0] + x @ weights.w)
    z = np.concatenate([h, np.zeros_like(h[:, :3]) + weights.b, h[:, ::-1]], axis=-1)
    return z**2, (h,)


@odd(states={"h": 8}, weights={"w": kernel(5, 8)})
def overlaps(x, states, weights):
    h = np.tanh(states[0] + x @ weights.w)
    windows = np.stack([h[:, i : i + 4] for i in range(5)], axis=1)
    return (windows * windows.mean(axis=2, keepdims=True)).sum(axis=1) + h[:, [0, 0, 1, 7]] * h[:, 2:6], (
        np.roll(h, 1, axis=1) * 0.7,
    )


@odd(states={"h": 4}, weights={"w": kernel(5, 4), "m": kernel(4, 4)})
def weight_inverse(x, states, weights):
    a = weights.m @ weights.m.T + np.eye(4)
    h = np.tanh(states[0] @ np.linalg.inv(a) + x @ weights.w @ np.linalg.solve(a, weights.m))
    return h, (h,)


@odd(states={"h": 4}, weights={"w": kernel(5, 4), "m": kernel(4, 4)})
def solved_rows(x, states, weights):
    a = weights.m @ weights.m.T + np.eye(4)
    h = np.tanh(np.linalg.solve(a, (states[0] + x @ weights.w).T).T)
    return h, (h,)


@odd(states={"h": 4}, weights={"w": kernel(5, 4)})
def rows_inverse(x, states, weights):
    h = np.tanh(states[0] + x @ weights.w)
    m = np.eye(4) + 0.3 * h[:, :, None] * h[:, None, :]
    return np.linalg.inv(m) @ h[:, :, None], (h,)


@odd(states={"h": 4}, weights={"w": kernel(5, 4)})
def rows_solve(x, states, weights):
    h = np.tanh(states[0] + x @ weights.w)
    m = np.eye(4) + 0.3 * h[:, :, None] * h[:, None, :]
    return np.linalg.solve(m, h[:, :, None])[:, :, 0], (h,)


@odd(states={"P": (4, 4)}, features=(4,), weights={"q": kernel(4, 4)})
def outer_rows(x, states, weights):
    (P,) = states
    P = np.tanh(weights.q @ P @ weights.q.T * 0.3 + x[:, :, None] * x[:, None, :])
    return (P @ x[:, :, None])[:, :, 0], (P,)


@odd(states={"h": (3, 4)}, features=(3, 4), weights={"w": kernel(4, 4), "v": kernel(3, 3), "heads": kernel(3, 4, 4)})
def nested_rows(x, states, weights):
    (h,) = states
    h = np.tanh(h @ weights.w + weights.v @ x + np.einsum("bhi,hij->bhj", h, weights.heads))
    return h[:, 0] + h[:, 1:].sum(axis=1), (h,)


@odd(states={"h": 4}, weights={"w": kernel(5, 4), "t": kernel(5, 4)})
def twice(x, states, weights):
    z = x @ weights.w
    h = np.tanh(z + states[0] + (x**2) @ weights.w + x @ (weights.w * weights.t))
    return np.concatenate([h, z], axis=-1), (h,)


@odd(states={"h": 4}, weights={"unused": kernel(3), "w": kernel(5, 4)})
def unused_weight(x, states, weights):
    return np.tanh(x @ weights.w + states[0]), (np.tanh(x @ weights.w + states[0]),)


@odd(states={"h": 4}, weights={"w": kernel(5, 4), "m": kernel(4, 4)})
def a_product_of_a_product(x, states, weights):
    h = np.tanh(x @ weights.w @ weights.m + states[0])
    return h, (h,)


@odd(states={"h": 5}, weights={"b": kernel(5)})
def bool_path(x, states, weights):
    h = np.where(x > 0, states[0], weights.b) * (x > 0.2)
    return h, (h + x,)


@odd(states={"h": 5}, weights={"b": kernel(5), "k": kernel(5, 5)})
def state_is_weight(x, states, weights):
    return np.tanh(x @ weights.k + states[0]), (np.zeros_like(x) + weights.b * 2,)


@odd(states={"h": 5, "g": 5}, weights={"k": kernel(5, 5)})
def same_new_state_twice(x, states, weights):
    h, g = states
    n = np.tanh(x @ weights.k + h * g)
    return n, (n, n)


@odd(states={"h": 5, "g": 5}, weights={"k": kernel(5, 5)})
def state_is_x(x, states, weights):
    h, g = states
    n = np.tanh(h @ weights.k + g)
    return n * x, (n, x)


@odd(states={"h": 6}, features=(1,), weights={"k": kernel(1, 6), "r": kernel(6, 6)})
def one_feature(x, states, weights):
    h = np.tanh(x @ weights.k + states[0] @ weights.r)
    return h[:, :1], (h,)


@odd(states={"h": 6}, features=(0,), weights={"k": kernel("features", 6), "r": kernel(6, 6)})
def no_feature(x, states, weights):
    h = np.tanh(x @ weights.k + states[0] @ weights.r)
    return h[:, :1], (h,)


@odd(states={"h": 6}, weights={"k": kernel(5, 6), "r": kernel(6, 6)})
def empty_output(x, states, weights):
    h = np.tanh(x @ weights.k + states[0] @ weights.r)
    return h[:, :0], (h,)


@odd(states={"h": 6}, weights={"k": kernel(6, 5), "g": kernel(2, 6)})
def norms(x, states, weights):
    kernel = weights.k / np.sqrt((weights.k**2).sum(axis=0)) * weights.g.max(axis=0)[:5]
    h = np.tanh(np.concatenate([x, x[:, :1]], axis=1) @ kernel)
    return h + weights.g.std(), (
        np.concatenate([h, h[:, :1]], axis=1) * 0.5 + 0.4 * states[0] * rk.softmax(weights.g.reshape(-1)[:6]),
    )


@odd(states={"h": 6}, weights={"k": kernel(5, 6)})
def products_of_draws(x, states, weights):
    h = np.tanh(x @ weights.k + states[0])
    return (h[:, :, None] * h[:, None, :]).reshape(x.shape[0], 36) @ np.ones((36, 2)), (h,)


@odd(states={"h": 6}, weights={"k": kernel(5, 6)})
def fixed_matrix(x, states, weights):
    m = np.linspace(-1, 1, 36).reshape(6, 6)
    h = np.tanh(x @ weights.k + states[0] @ m)
    return h @ m[:, :2] + np.arange(2) @ m[:2, :2], (h * 0.5,)


@odd(states={"h": 4}, weights={"w": kernel(5, 4), "b": kernel(3)})
def repeats(x, states, weights):
    (h,) = states
    h = np.tanh(h + x @ weights.w)
    wide = np.repeat(h[:, :, None], 3, axis=2) * np.tile(weights.b, 4).reshape(4, 3)
    return (wide**2).sum(axis=1) + np.concatenate([h[:, :1]] * 3, axis=1), (np.tile(h[:, 1:3], 2),)


@odd(states={"h": 4}, weights={"w": kernel(3, 4, 4), "g": kernel(5, 3)})
def a_mixture_of_kernels(x, states, weights):
    (h,) = states
    gates = rk.softmax(x @ weights.g)
    h = np.tanh(np.einsum("bk,kij,bi->bj", gates, weights.w, h) + x[:, :4])
    return h, (h,)


@odd(states={"h": 4}, weights={"w": kernel(5, 8)})
def assigned(x, states, weights):
    a, b = np.split(x @ weights.w, 2, axis=-1)
    h = states[0].copy()
    h[:, 1:3] = np.tanh(a[:, 1:3])
    h[:, ::2] += b[:, ::2]
    return np.maximum(h, b) - np.minimum(a, 0.3), (np.tanh(h),)


@odd(constants=((3, 4), (4,)), states={"h": 4}, weights={"w": kernel(5, 4), "u": kernel(4, 4)})
def two_constants(x, states, weights, constants):
    a, b = constants
    h = np.tanh((a @ weights.u).sum(axis=1) * b + x @ weights.w + states[0])
    return h, (h * b,)


@odd(states={"h": 4}, weights={"w": kernel(5, 4)})
def picked_in_order(x, states, weights):
    h = np.tanh(x @ weights.w + states[0])
    order = np.argsort(h, axis=1)
    return np.take_along_axis(h, order, axis=1) * x[:, :4], (h[:, [1, 1, 0, 3]] * 0.5,)


@odd(states={"h": 4}, weights={"w": kernel(5, 4), "e": kernel(4, 4)})
def turned_by_a_series(x, states, weights):
    skew = weights.e - weights.e.T
    turn = np.linalg.inv(np.eye(4) + skew) @ (np.eye(4) - skew)
    h = states[0] @ (np.eye(4) + skew + skew @ skew / 2) * 0.5 + x[:, :4] @ turn
    return x @ weights.w @ turn, (h,)


@odd(states={"h": 4}, weights={"w": kernel(5, 4), "u": kernel(5, 4), "b": kernel(4)})
def two_kernels_of_x(x, states, weights):
    h = np.tanh(x @ weights.w + x @ weights.u + weights.b + states[0])
    return h, (h,)


def run_of(name, mask="none", dtype="float64"):
    cell, features, constants = ODD[name]
    layer = rk.RNN(cell(), return_sequences=True, return_state=True, dtype=dtype, seed=3)
    layer.build((None, None, *features))
    return Run(layer, features, 3, 4, mask, constants)


@pytest.mark.parametrize("name", ODD)
def test_the_adjoint_in_numpy_is_the_slope(name):
    with rk.eager():  # nothing is compiled
        run = run_of(name, "random")
    reference = run.reference
    loss = lambda **moved: run.plain_loss(reference, **moved)
    gradient = run.expected(reference=reference)
    run.check_slopes(gradient, loss, run.plain_loss_with_weight(reference), np.random.default_rng(1))


@pytest.mark.parametrize(
    "name", [name if name in COMPILED else pytest.param(name, marks=pytest.mark.sweep) for name in ODD]
)
def test_the_program_is_the_adjoint_in_numpy(name):
    for mask in ("none", "random"):
        run = run_of(name, mask)
        outputs, pull = run.vjp()
        same_bits(outputs, run.call())
        gradient = pull(run.d)
        near(gradient, run.expected(), BOUNDS["float64"])
        run.check_slopes(gradient, run.loss, run.loss_with_weight, np.random.default_rng(1), count=1)
