"""Steps made of NumPy's functions at random."""

import numpy as np

OPERATIONS = []


def operation(function):
    OPERATIONS.append(function)
    return function


def an_axis(rng, a):
    return int(rng.integers(1, a.ndim))


@operation
def curve(rng, a, pool):
    return (np.tanh, np.sin, np.abs, np.negative, lambda v: 1 / (1 + np.exp(-v)))[rng.integers(5)](a)


@operation
def combine(rng, a, pool):
    alike = [b for b in pool if b.shape[1:] == a.shape[1:]]
    b = alike[rng.integers(len(alike))]
    return (a + b, a * b, a - 2.0 * b, np.maximum(a, b), np.where(a > b, a, 0.3))[rng.integers(5)]


@operation
def shared(rng, a, pool):
    axis = an_axis(rng, a)
    return a * rng.normal(size=[a.shape[i] if i == axis else 1 for i in range(1, a.ndim)])


@operation
def multiply(rng, a, pool):
    return a @ rng.normal(0, 0.5, (a.shape[-1], int(rng.integers(1, 5))))


@operation
def reduce(rng, a, pool):
    return (np.sum, np.max, np.min, np.mean)[rng.integers(4)](a, axis=an_axis(rng, a), keepdims=True)


@operation
def centre(rng, a, pool):
    return a - a.mean(axis=an_axis(rng, a), keepdims=True)


@operation
def drop(rng, a, pool):
    return a.sum(axis=an_axis(rng, a)) if a.ndim > 2 else np.expand_dims(a, an_axis(rng, a))


@operation
def turn(rng, a, pool):
    return a.transpose(0, *(1 + rng.permutation(a.ndim - 1)).tolist())


@operation
def flatten(rng, a, pool):
    return a.reshape(a.shape[0], -1)


@operation
def part(rng, a, pool):
    axis = an_axis(rng, a)
    low = int(rng.integers(a.shape[axis]))
    high = int(rng.integers(low, a.shape[axis])) + 1
    key = (slice(low, high), slice(None, None, -1), slice(low, None, 2))[rng.integers(3)]
    return a[(*[slice(None)] * axis, key)]


@operation
def pick(rng, a, pool):
    axis = an_axis(rng, a)
    return np.take(a, rng.integers(0, a.shape[axis], int(rng.integers(1, 5))), axis=axis)


@operation
def join(rng, a, pool):
    axis = an_axis(rng, a)
    alike = [
        b for b in pool if b.ndim == a.ndim and all(b.shape[i] == a.shape[i] for i in range(1, a.ndim) if i != axis)
    ]
    return np.concatenate([a, alike[rng.integers(len(alike))], a][: int(rng.integers(2, 4))], axis=axis)


@operation
def pile(rng, a, pool):
    return np.stack([a, np.cos(a)], axis=an_axis(rng, a))


@operation
def assign(rng, a, pool):
    axis, new = an_axis(rng, a), a * 1.0
    at = int(rng.integers(a.shape[axis]))
    new[(*[slice(None)] * axis, at)] = np.tanh(a[(*[slice(None)] * axis, -1)])
    return new


@operation
def outer(rng, a, pool):
    flat = a.reshape(a.shape[0], -1)[:, :4]
    return flat[:, :, None] * flat[:, None, :]


def resized(a, shape):
    """Some of an array's elements, as many as a state of this shape has."""
    flat = a.reshape(a.shape[0], -1)
    n = int(np.prod(shape))
    return np.tanh(flat[:, np.arange(n) % flat.shape[1]]).reshape(-1, *shape)


def random_step(seed, length=9, shapes=((4,), (2, 3)), largest=64):
    """The same step at every call, for two states of these shapes; arrays stay small."""

    def step(x, states, w):
        rng = np.random.default_rng(seed)
        pool = [x, *states]
        for _ in range(length):
            a = pool[-1] if rng.random() < 0.6 else pool[rng.integers(len(pool))]
            new = OPERATIONS[rng.integers(len(OPERATIONS))](rng, a, pool)
            if new.ndim <= 4 and np.prod(new.shape[1:]) <= largest:
                pool.append(new)
        return pool[-1], [resized(pool[-1], shapes[0]), resized(pool[-2], shapes[1]) + 0.5 * states[1]]

    return step
