"""NumPy-style functions of arrays ``(B, T, 4)``, and operations on symbolic tensors of that shape."""

import numpy as np

import rnnkit as rk

RNG = np.random.default_rng(0)
RAMP = np.linspace(0.5, 1.5, 4)


def attention(several):
    query, key, value = several
    scores = np.matmul(query, np.swapaxes(key, 1, 2)) / np.sqrt(4.0)
    weights = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    return np.matmul(weights / np.sum(weights, axis=-1, keepdims=True), value)


def heads(x):
    split = np.transpose(np.reshape(x, (x.shape[0], -1, 2, 2)), (0, 2, 1, 3))
    return np.reshape(np.transpose(split @ np.swapaxes(split, -1, -2), (0, 2, 1, 3)), (x.shape[0], x.shape[1], -1))


def normalized(x):
    return (x - np.mean(x, axis=-1, keepdims=True)) / np.sqrt(np.var(x, axis=-1, keepdims=True) + 1e-3) * RAMP


def softmax_over_time(x):
    return rk.softmax(np.swapaxes(x, 1, 2))


def causal(x):
    scores = x @ np.swapaxes(x, 1, 2)
    n = scores.shape[1]
    return np.where(np.tril(np.ones((n, n), bool)), scores, 0.0) @ x


# A function, and how many arrays (B, T, 4) it takes: 0 for one that is no list.
FUNCTIONS = {
    "the last step": (lambda x: x[:, -1, :], 0),
    "every second step from the end": (lambda x: x[:, ::-2], 0),
    "a new axis": (lambda x: x[:, None] * 2.0, 0),
    "mean over time": (lambda x: x.mean(axis=1), 0),
    "variance over time": (lambda x: np.var(x, axis=1), 0),
    "largest over time": (lambda x: x.max(axis=1), 0),
    "norm of a row": (lambda x: np.linalg.norm(x, axis=(1, 2)), 0),
    "transposed": (lambda x: np.transpose(x, (0, 2, 1)), 0),
    "flattened": (lambda x: np.reshape(x, (x.shape[0], -1)), 0),
    "shifted": (lambda x: np.concatenate([np.zeros_like(x[:, :1]), x[:, :-1]], axis=1), 0),
    "rolled": (lambda x: np.roll(x, 1, axis=1), 0),
    "differences": (lambda x: np.diff(x, axis=1), 0),
    "running sums": (lambda x: np.cumsum(x, axis=1), 0),
    "softmax over time": (softmax_over_time, 0),
    "layer normalization": (normalized, 0),
    "gram": (lambda x: np.einsum("bti,btj->bij", x, x), 0),
    "weighted": (lambda x: np.tensordot(x, RAMP, 1), 0),
    "heads": (heads, 0),
    "causal": (causal, 0),
    "gated": (lambda x: rk.sigmoid(x[..., :2]) * np.tanh(x[..., 2:]), 0),
    "chosen": (lambda x: np.where(x > 0.2, np.exp(x), x / 3), 0),
    "clipped": (lambda x: np.clip(x, -0.5, 0.5) ** 3, 0),
    "padded": (lambda x: np.pad(x, ((0, 0), (1, 2), (0, 0))), 0),
    "repeated": (lambda x: np.repeat(x, 2, axis=1), 0),
    "stacked": (lambda x: np.stack([x, np.abs(x)], axis=2), 0),
    "assigned": (lambda x: _with_zeros(x), 0),
    "product": (lambda ab: ab[0] * ab[1], 2),
    "quotient": (lambda ab: ab[0] / (1 + ab[1] ** 2), 2),
    "matrices": (lambda ab: ab[0] @ np.swapaxes(ab[1], 1, 2), 2),
    "einsum": (lambda ab: np.einsum("bti,bsi->bts", ab[0], ab[1]), 2),
    "side by side": (lambda ab: np.concatenate(ab, axis=1), 2),
    "attention": (attention, 3),
    "a list": (lambda x: [x[:, 0], np.sum(x, axis=2)], 0),
    "a split": (lambda x: np.split(x, 2, axis=2), 0),
}


def _with_zeros(x):
    x = x.copy()
    x[:, 1:] *= 0.5
    return x


def drawn(count, length=5, rows=3, dtype="float64"):
    arrays = [RNG.normal(size=(rows, length, 4)).astype(dtype) for _ in range(count or 1)]
    return arrays if count else arrays[0]


OPERATIONS = {
    "x[:, -1]": lambda x: x[:, -1],
    "x[..., 1:3]": lambda x: x[..., 1:3],
    "x[:, :, None]": lambda x: x[:, :, None],
    "x / 2": lambda x: x / 2,
    "2 / x": lambda x: 2 / (x + 5),
    "1 - x": lambda x: 1 - x,
    "-x": lambda x: -x,
    "abs": lambda x: abs(x),
    "x ** 2": lambda x: x**2,
    "x @ array": lambda x: x @ np.arange(8.0).reshape(4, 2),
    "array * x": lambda x: RAMP * x,
    "x @ y": lambda x: x @ np.swapaxes(x, 1, 2),
    "tanh": np.tanh,
    "sigmoid": rk.sigmoid,
    "softmax": rk.softmax,
    "maximum": lambda x: np.maximum(x, 0),
    "concatenate": lambda x: np.concatenate([x, x * 2], axis=1),
    "stack": lambda x: np.stack([x, x], axis=1),
    "mean": lambda x: np.mean(x, axis=1, keepdims=True),
    "method": lambda x: x.mean(axis=1).reshape((-1, 2, 2)),
    "reshape": lambda x: np.reshape(x, (x.shape[0], x.shape[1], 2, 2)),
    "where": lambda x: np.where(x > 0, x, -np.inf).max(axis=1),
    "take": lambda x: np.take(x, np.array([2, 0]), axis=2),
    "linalg": lambda x: np.linalg.norm(x, axis=2),
    "pad": lambda x: np.pad(x, ((0, 0), (1, 0), (0, 0))),
    "einsum": lambda x: np.einsum("bti,ij->btj", x, np.eye(4)),
    "x + x": lambda x: x + x,
    "x + last": lambda x: x + x[:, -1:],
    "of two ranks": lambda x: x * np.mean(x, axis=(1, 2)).reshape((-1, 1, 1)),
}
