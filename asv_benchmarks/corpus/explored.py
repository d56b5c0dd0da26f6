"""Ten steps as somebody writes them who explores, for NumPy and for jax.numpy alike.

The file is run with two modules: `np`, and `nn` with activations. A step gets arrays with an axis for rows in front.
"""
# ruff: noqa: F821

from collections.abc import Callable
from dataclasses import dataclass

ROWS, STEPS, FEATURES, UNITS, SLOTS, WIDTH, OBSERVED = 4, 10, 8, 16, 5, 3, 4

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Explored:
    """A step, and the shapes of what it takes, without the axis of the rows."""

    step: Callable  # (x, states, weights, *constants) → (output, states)
    states: dict[str, Shape]
    weights: dict[str, Shape]
    constants: tuple[Shape, ...] = ()


def dense(gates: int = 1) -> dict[str, Shape]:
    """Return the shapes of kernel, recurrent kernel and bias."""
    return {"kernel": (FEATURES, gates * UNITS), "recurrent": (UNITS, gates * UNITS), "bias": (gates * UNITS,)}


def _lstm(x, states, weights):
    h, c = states
    i, f, g, o = np.split(x @ weights.kernel + h @ weights.recurrent + weights.bias, 4, axis=-1)
    c = nn.sigmoid(f) * c + nn.sigmoid(i) * np.tanh(g)
    h = nn.sigmoid(o) * np.tanh(c)
    return h, [h, c]


def _gru(x, states, weights):
    (h,) = states
    from_x = np.split(x @ weights.kernel + weights.bias, 3, axis=-1)
    from_h = np.split(h @ weights.recurrent, 3, axis=-1)
    z, r = nn.sigmoid(from_x[0] + from_h[0]), nn.sigmoid(from_x[1] + from_h[1])
    h = z * h + (1 - z) * np.tanh(from_x[2] + r * from_h[2])
    return h, [h]


def _indrnn(x, states, weights):
    (h,) = states
    h = nn.relu(x @ weights.kernel + weights.u * h + weights.bias)
    return h, [h]


def _cornn(x, states, weights):
    y, z = states
    force = np.tanh(x @ weights.V + y @ weights.W + z @ weights.U + weights.bias)
    z = z + 0.05 * (force - 2.7 * y - 4.7 * z)
    y = y + 0.05 * z
    return y, [y, z]


def _lem(x, states, weights):
    y, z = states
    a, b, c, d = np.split(x @ weights.kernel + weights.bias, 4, axis=-1)
    r, s, t = np.split(y @ weights.recurrent, 3, axis=-1)
    slow, fast = 0.5 * nn.sigmoid(a + r), 0.5 * nn.sigmoid(b + s)
    z = (1 - slow) * z + slow * np.tanh(c + t)
    y = (1 - fast) * y + fast * np.tanh(z @ weights.W + d)
    return y, [y, z]


def normal(z):
    return (z - np.mean(z, axis=-1, keepdims=True)) / np.sqrt(np.var(z, axis=-1, keepdims=True) + 1e-3)


def _norm_lstm(x, states, weights):
    h, c = states
    z = weights.gain * normal(x @ weights.kernel + h @ weights.recurrent) + weights.bias
    i, f, g, o = np.split(z, 4, axis=-1)
    c = nn.sigmoid(f) * c + nn.sigmoid(i) * np.tanh(g)
    h = nn.sigmoid(o) * np.tanh(normal(c))
    return h, [h, c]


def _attention(x, states, weights, encoded):
    (h,) = states
    scores = np.tanh(encoded @ weights.W + (h @ weights.U)[:, None, :]) @ weights.v
    shares = nn.softmax(scores, axis=-1)
    context = np.sum(shares[:, :, None] * encoded, axis=1)
    h = np.tanh(x @ weights.kernel + context @ weights.C + h @ weights.recurrent + weights.bias)
    return h, [h]


def flow(h, x, weights):
    return np.tanh(h @ weights.A + x) @ weights.B - h


def _runge_kutta(x, states, weights):
    (h,) = states
    x, dt = x @ weights.kernel + weights.bias, 0.25
    for _ in range(4):
        k_1 = flow(h, x, weights)
        k_2 = flow(h + dt / 2 * k_1, x, weights)
        k_3 = flow(h + dt / 2 * k_2, x, weights)
        k_4 = flow(h + dt * k_3, x, weights)
        h = h + dt / 6 * (k_1 + 2 * k_2 + 2 * k_3 + k_4)
    return h, [h]


def _kalman(x, states, weights):
    m, P = states
    z = x[:, :OBSERVED]
    m, P = m @ weights.F.T, weights.F @ P @ weights.F.T + 0.1 * np.eye(OBSERVED)
    gain = P @ np.linalg.inv(P + weights.R @ weights.R.T + 0.5 * np.eye(OBSERVED))
    m = m + (gain @ (z - m)[:, :, None])[:, :, 0]
    P = P - gain @ P
    return m, [m, P]


def length(z, **keywords):
    return np.sqrt(np.sum(z * z, axis=-1, **keywords) + 1e-6)


def _turing(x, states, weights):
    h, read, w, memory = states
    h = np.tanh(np.concatenate([x, read], axis=-1) @ weights.kernel + h @ weights.recurrent + weights.bias)
    key, erase, add, rest = np.split(h @ weights.head, [WIDTH, 2 * WIDTH, 3 * WIDTH], axis=-1)
    beta, g, gamma = nn.softplus(rest[:, 0:1]), nn.sigmoid(rest[:, 1:2]), 1 + nn.softplus(rest[:, 2:3])
    shift = nn.softmax(rest[:, 3:])
    likeness = (memory @ key[:, :, None])[:, :, 0] / (length(memory) * length(key, keepdims=True))
    w = g * nn.softmax(beta * likeness) + (1 - g) * w
    w = sum(shift[:, s + 1 : s + 2] * np.roll(w, s, axis=1) for s in (-1, 0, 1))
    w = w**gamma
    w = w / np.sum(w, axis=1, keepdims=True)
    memory = memory * (1 - w[:, :, None] * nn.sigmoid(erase)[:, None, :]) + w[:, :, None] * np.tanh(add)[:, None, :]
    read = np.sum(w[:, :, None] * memory, axis=1)
    return np.concatenate([h, read], axis=-1), [h, read, w, memory]


_H, _HC, _YZ = (dict.fromkeys(names, (UNITS,)) for names in ("h", "hc", "yz"))
_SQUARE, _OBSERVED = (UNITS, UNITS), (OBSERVED, OBSERVED)
EXPLORED = {
    "LSTM": Explored(_lstm, _HC, dense(4)),
    "GRU": Explored(_gru, _H, dense(3)),
    "IndRNN": Explored(_indrnn, _H, {"kernel": (FEATURES, UNITS), "u": (UNITS,), "bias": (UNITS,)}),
    "coRNN": Explored(_cornn, _YZ, {"V": (FEATURES, UNITS), "W": _SQUARE, "U": _SQUARE, "bias": (UNITS,)}),
    "LEM": Explored(_lem, _YZ, dense(4) | {"recurrent": (UNITS, 3 * UNITS), "W": _SQUARE}),
    "LSTM with layer norm": Explored(_norm_lstm, _HC, dense(4) | {"gain": (4 * UNITS,)}),
    "attention": Explored(
        _attention,
        _H,
        dense() | {"W": (FEATURES, UNITS), "U": _SQUARE, "v": (UNITS,), "C": (FEATURES, UNITS)},
        ((SLOTS, FEATURES),),
    ),
    "Runge-Kutta": Explored(
        _runge_kutta, _H, {"A": _SQUARE, "B": _SQUARE, "kernel": (FEATURES, UNITS), "bias": (UNITS,)}
    ),
    "Kalman filter": Explored(_kalman, {"m": (OBSERVED,), "P": _OBSERVED}, {"F": _OBSERVED, "R": _OBSERVED}),
    "Turing machine": Explored(
        _turing,
        {"h": (UNITS,), "read": (WIDTH,), "w": (SLOTS,), "memory": (SLOTS, WIDTH)},
        dense() | {"kernel": (FEATURES + WIDTH, UNITS), "head": (UNITS, 3 * WIDTH + 6)},
    ),
}
