"""What plans have beside plain products and loops: rows of operands, tables of places, values that are kept."""

import numpy as np
import pytest
from c_code_runs import Library, needs_compiler

import rnnkit as rk


def weight(*shape):
    return rk.Weight(shape, "normal")


@rk.cell(states={"m": (3, 4)}, weights={"w": weight(4, 4), "u": weight(2, 4), "v": weight(3, 5)})
def rows(x, states, weights):
    """Products of each row of a matrix, of columns in the middle, and of every other row."""
    (m,) = states
    z = m @ weights.w + x[:, 1:3][:, None] @ weights.u
    every_other = m[:, ::2] @ weights.w
    m = np.tanh(z + every_other.sum(axis=1, keepdims=True))
    return m[:, :, 1:][:, 1] @ weights.v, (m,)


@rk.cell(states={"h": 6}, weights={"w": weight(6, 6)})
def places(x, states, weights):
    """Reversed, rolled and chosen elements, a sort, and conditions that are kept."""
    (h,) = states
    high = h > 0.1
    h = np.tanh(h[:, ::-1] @ weights.w + x[:, [0, 2, 1, 1, 0, 2]] + np.roll(h, 2, axis=1))
    h = np.where(np.concatenate([high[:, 3:], high[:, :3]], axis=1), h, 0.5 * np.sort(h, axis=-1))
    h[:, 1] = 0.25
    return np.concatenate([h[:, ::2], h.max(axis=-1, keepdims=True)], axis=-1), (h,)


@rk.cell(states={"h": 3, "still": 2}, weights={"w": weight(3, 3)}, initial={"still": 0.7, "h": -0.2})
def unmoved(x, states, weights):
    """A state that never changes, though it is read, and weights that are made of weights."""
    h, still = states
    w = weights.w.T @ weights.w * 0.3
    h = np.tanh(h @ w + x @ np.abs(w) + still.sum(axis=-1, keepdims=True))
    return h, (h, still)


@rk.cell(states={"h": 3, "unread": 2})
def unread(x, states, weights):
    """A state that is neither read nor changed, an input that isn't read, and an output that is a number."""
    h, left = states
    return np.zeros_like(h), (h * 0.5 + 1.0, left)


@rk.cell(states={"h": 2})
def exchanged(x, states, weights):
    """New states that are the old ones, elsewhere."""
    (h,) = states
    return h, (h[:, ::-1] + x[:, :2],)


@rk.cell(states={"a": 2, "b": 2})
def swapped(x, states, weights):
    """Each state becomes the other."""
    a, b = states
    return a + x[:, :2], (b, a + 0.5)


@rk.cell(states={"h": 2}, weights={"w": weight(4, 2)})
def of_constants(x, states, weights, constants):
    """What depends on constants alone is computed once, by products and sums, too."""
    memory, scale = constants
    drive = np.tanh(memory @ weights.w).sum(axis=1) * np.exp(scale)
    h = 0.5 * states[0] + drive + x[:, :2]
    return h * scale, (h,)


@rk.cell(states={"h": 2}, weights={"w": weight(3, 2)})
def unused_constant(x, states, weights, constants):
    h = np.tanh(states[0] + x @ weights.w)
    return h, h


CELLS = {one.__name__: one for one in (rows, places, unmoved, unread, exchanged, swapped)}
CONSTANTS = {"of_constants": (of_constants, [(5, 4), (1,)]), "unused_constant": (unused_constant, [(3,)])}


@needs_compiler
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_plans_of_all_kinds(dtype, tmp_path):
    rng, layers = np.random.default_rng(0), {}
    given = {name: (kind, []) for name, kind in CELLS.items()} | CONSTANTS
    constants = {name: [rng.normal(size=(1, *s)).astype(dtype) for s in shapes] for name, (_, shapes) in given.items()}
    for name, (kind, _) in given.items():
        layer = rk.RNN(kind(), return_sequences=True, dtype=dtype, seed=0)
        layer.build((None, None, 3))
        layers[name] = layer, {"constants": constants[name] or None}
    library = Library(layers, tmp_path)
    x = rng.normal(size=(1, 50, 3)).astype(dtype)
    for name, (layer, keywords) in layers.items():
        want = layer(x, constants=keywords["constants"])[0]
        got = library.sequence(name, dtype, [(want.shape[1:], True)], [c[0] for c in constants[name]]).run(x[0])
        near = 1e-6 if dtype == "float32" else 1e-13
        assert np.abs(got - want).max() <= near * max(1, np.abs(want).max()), name
