"""Nodes of a step in ONNX Runtime but pointwise operations: arrangements, reductions, products; and random steps."""

import numpy as np
import pytest
from onnx_runs import Exported, near
from random_steps import SIZES, random_cell

import rnnkit as rk

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

# Of m (batch, 2, 3, 4) and v (batch, 6).
STEPS = {
    "transpose": lambda m, v: m.transpose(0, 3, 1, 2),
    "swapaxes": lambda m, v: np.swapaxes(m, 1, 3) + 1.0,
    "reshape": lambda m, v: m.reshape(-1, 6, 4) * v[:, :, None],
    "ravel": lambda m, v: np.tanh(m.reshape(m.shape[0], -1)),
    "part": lambda m, v: m[:, 0, 1:, ::2],
    "one entry": lambda m, v: m[:, 1, 2, 3],
    "backwards": lambda m, v: v[:, ::-1],
    "steps back": lambda m, v: m[:, :, :, 3:0:-2],
    "index array": lambda m, v: v[:, [5, 0, 0, 3]],
    "the batch last": lambda m, v: (np.moveaxis(m[..., 0], 0, -1) * v[:, :3].T).transpose(2, 0, 1),
    "newaxis": lambda m, v: v[:, None, :, None] * np.ones((2, 1, 3)),
    "broadcast": lambda m, v: np.broadcast_to(v[:, None, :], (v.shape[0], 4, 6)),
    "roll": lambda m, v: np.roll(v, 2, axis=-1),
    "flip": lambda m, v: np.flip(m, axis=2),
    "tile": lambda m, v: np.tile(v, (1, 3)),
    "repeat": lambda m, v: np.repeat(v, 2, axis=-1),
    "diff": lambda m, v: np.diff(v, axis=-1),
    "triangle": lambda m, v: np.tril(m),
    "concatenate": lambda m, v: np.concatenate([v, np.ones((v.shape[0], 2)), v * 2.0], axis=-1),
    "stack": lambda m, v: np.stack([v, v * 2.0, np.ones_like(v)], axis=1),
    "conditions side by side": lambda m, v: np.where(np.concatenate([v > 0, v < 1], axis=-1), 1.0, -1.0),
    "assigned": lambda m, v: assigned(v),
    "sum": lambda m, v: m.sum(axis=(1, 3)),
    "mean and variance": lambda m, v: m.mean(axis=2) + m.var(axis=(2, 3), keepdims=True)[:, :, 0],
    "prod": lambda m, v: m.prod(axis=-1),
    "max": lambda m, v: m.max(axis=1, keepdims=True) * m,
    "min": lambda m, v: m.min(axis=(1, 2, 3)),
    "argmax": lambda m, v: np.argmax(v, axis=-1)[:, None] * v,
    "softmax": lambda m, v: rk.softmax(m, axis=2),
    "cumsum": lambda m, v: np.cumsum(v, axis=-1),
    "sort": lambda m, v: np.sort(v, axis=-1),
    "any and all": lambda m, v: np.where(np.any(m > 1, axis=2), 1.0, 0.0) + np.all(m > -1, axis=2),
    "product of matrices": lambda m, v: m @ np.ones((4, 5)) @ np.ones((5, 2)),
    "product of rows": lambda m, v: np.matmul(m, np.swapaxes(m, 2, 3)),
    "einsum": lambda m, v: np.einsum("bijk,bi->bkj", m, v[:, :2]),
    "solve": lambda m, v: np.linalg.solve(m[:, 0, :, :3] + 5.0 * np.eye(3), v[:, :3, None])[:, :, 0],
    "factors": lambda m, v: (
        np.linalg.cholesky(np.matmul(m[:, 0], np.swapaxes(m[:, 0], 1, 2)) + np.eye(3)) @ np.linalg.qr(m[:, 0, :, :3])[1]
    ),
    "eigenvalues": lambda m, v: np.linalg.eigvalsh(m[:, 0, :, :3]),
    "inverse": lambda m, v: v[:, :2] @ np.linalg.inv(np.array([[2.0, 1.0], [0.5, 3.0]])),
    "nothing": lambda m, v: np.concatenate([v[:, :0], v], axis=-1) + v[:, :0].sum(axis=-1, keepdims=True),
    "product over nothing": lambda m, v: v[:, :0] @ np.ones((0, 3)) + v[:, :0].prod(axis=-1, keepdims=True),
    "the same for all rows": lambda m, v: np.zeros((v.shape[0], 3)),
}


def assigned(v):
    v = v.copy()
    v[:, 1:3] = 0.5
    v[v > 1] = -1.0
    return v


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("where", ["of a state", "of x", "of a constant", "without a loop"])
@pytest.mark.parametrize("name", STEPS)
def test_a_step(name, where, dtype, rng):
    """In the body, and outside it with two axes in front."""
    function = STEPS[name]

    def read(array):
        return function(array[:, :24].reshape(-1, 2, 3, 4), array[:, 24:])

    @rk.cell(states={"s": 30})
    def step(x, states, weights):
        return read(x if where == "of x" else states[0]), 0.5 * states[0] + x

    @rk.cell(states={"s": 30})
    def step_with_constant(x, states, weights, constants):
        return read(constants[0]), states[0] + x

    x, constants = rng.normal(size=(3, 4, 30)).astype(dtype), None
    if where == "without a loop":
        layer = rk.Lambda(lambda x: read(x).reshape(x.shape[0], -1), dtype=dtype)
    else:
        cell = step_with_constant() if where == "of a constant" else step()
        layer = rk.RNN(cell, return_sequences=True, dtype=dtype)
    if where == "of a constant":
        constants = [rng.normal(size=(3, 30)).astype(dtype)]
    with rk.eager():
        layer.build((None, None, 30))
        result = layer(x, constants=constants) if constants else layer(x)
    if where == "without a loop" and name == "eigenvalues":
        with pytest.raises(ValueError, match="it finds eigenvalues of each time step"):
            Exported(layer)
    else:
        near(Exported(layer, constants=[(30,)] if constants else None)(x, *(constants or [])), result)


JUMPS = ("floor", "ceil", "trunc", "rint", "sign", "//", "remainder", "fmod", ">", "<", "==", "!=")


def check(number):
    """A random cell under a mask, from random states."""
    cell = random_cell(number)
    rng = np.random.default_rng(number)
    draw = lambda *shape: rng.normal(0, 0.7, shape).astype(cell.dtype)
    options = {"go_backwards": bool(number % 2), "zero_output_for_mask": number % 3 == 0, "dtype": cell.dtype}
    layer = rk.RNN(cell, return_sequences=number % 5 > 0, return_state=True, **options)
    batch, time = int(rng.choice((1, 2, 5))), int(rng.choice((1, 3, 9)))
    time = 1 if any(jump in cell.text for jump in JUMPS) else time  # a rounding may decide otherwise at the next one
    x, mask = draw(batch, time, *cell.features), rng.random((batch, time)) < 0.6 if number % 4 else None
    constants, start = [draw(batch, *s) for s in cell.constants], [draw(batch, *s) for s in cell.state_size]
    with rk.eager(), np.errstate(all="ignore"):
        layer.build((None, None, *cell.features))
        result = layer(x, mask=mask, initial_state=start, constants=constants or None)
    exported = Exported(
        layer, mask=mask is not None, states=True, constants=list(cell.constants) if constants else None
    )
    given = [x, *([] if mask is None else [mask]), *constants, *start]
    try:
        near(exported(*given), result, scale=1 + 0.3 * cell.roundings)
    except AssertionError as error:
        raise AssertionError(f"{error}\n{cell.describe()}") from None


USUAL = [SIZES * text + text % SIZES for text in range(60)]


@pytest.mark.parametrize("number", USUAL)
def test_a_random_step(number):
    check(number)


@pytest.mark.sweep
@pytest.mark.parametrize("text", range(60, 1500))
def test_many_random_steps(text):
    for number in range(SIZES * text, SIZES * (text + 1)):
        check(number)
