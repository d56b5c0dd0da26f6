"""Recurrences of papers, as layers of many units, for NumPy and for jax.numpy alike.

The file is run with two names: `np`, and `nn` with activations, `stop_gradient` and `custom_gradient`. A step gets
arrays with an axis of rows in front.
"""
# ruff: noqa: F821

import functools
from collections.abc import Callable
from dataclasses import dataclass

import rnnkit as rk

KERNEL = rk.Weight(("features", "units"), "glorot_uniform")
COMPLEX_KERNEL = rk.Weight(("features", "units"), dtype="complex")
READOUT = rk.Weight(("units", "features"), dtype="complex")
SLOPE = 25.0  # of the surrogate of a spike


@dataclass(frozen=True)
class Paper:
    """A step, the paper it is from, and what `rnnkit.cell` is told of it."""

    step: Callable  # (x, states, weights) → (output, states)
    source: str
    states: dict
    weights: dict
    sizes: dict  # small ones, by the names in the shapes
    measured: tuple  # where speeds are compared: (batch, time, features, *sizes)
    complex_x: bool = False
    loop: Callable | None = None  # by hand, for numba: (x, *weights) → outputs

    @functools.cached_property
    def cell(self) -> type:
        """The class of its cells, whose keywords are `sizes`."""
        return rk.cell(states=self.states, weights=self.weights)(self.step)


def uniform(low: float, high: float) -> Callable:
    return lambda shape, rng: rng.uniform(low, high, shape)


def eigenvalues(shape, rng):
    """Draw those of a stable continuous system."""
    return -rng.uniform(0.2, 1.0, shape) + 1j * rng.uniform(-3.0, 3.0, shape)


def lru(x, states, weights):
    gamma = np.sqrt(1 - np.abs(weights.lam) ** 2)
    h = weights.lam * states.h + gamma * (x @ weights.B)
    return (h @ weights.C).real + weights.D * x, (h,)


def s5(x, states, weights):
    turned = np.exp(weights.lam * np.exp(weights.log_step))  # by zero-order hold
    h = turned * states.h + np.einsum("bf,fu->bu", x, weights.B) * ((turned - 1) / weights.lam)
    return 2 * np.real(h @ weights.C), (h,)


def reflected(h, v):
    """Reflect rows at a hyperplane."""
    return h - 2 * (h @ v.conj())[..., None] * v / (v @ v.conj()).real


def unitary(x, states, weights):
    n = weights.bias.shape[0]
    h = np.fft.fft(np.exp(1j * weights.d1) * states.h, norm="ortho")
    h = reflected(h, weights.r1)[:, np.arange(n) * 3 % n]
    h = np.fft.ifft(np.exp(1j * weights.d2) * h, norm="ortho")
    z = np.exp(1j * weights.d3) * reflected(h, weights.r2) + x @ weights.V
    size = np.abs(z)
    h = z / size * np.maximum(size + weights.bias, 0)
    return h, (h,)


def min_gru(x, states, weights):
    z = nn.sigmoid(x @ weights.gate)
    h = (1 - z) * states.h + z * (x @ weights.kernel)
    return h, (h,)


def min_gru_loop(x, gate, kernel):
    rows, steps, _ = x.shape
    units = kernel.shape[1]
    real, out = x.dtype.type, np.empty((rows, steps, units), x.dtype)
    for b in range(rows):
        opened, new, h = x[b] @ gate, x[b] @ kernel, np.zeros(units, x.dtype)
        for t in range(steps):
            for u in range(units):
                z = real(1) / (real(1) + np.exp(-opened[t, u]))
                h[u] += z * (new[t, u] - h[u])
                out[b, t, u] = h[u]
    return out


def delta_net(x, states, weights):
    (S,) = states
    q, k, v = nn.silu(x @ weights.W_q), nn.silu(x @ weights.W_k), x @ weights.W_v
    q = q / np.linalg.norm(q, axis=-1, keepdims=True)
    k = k / np.sqrt(np.sum(k * k, axis=-1, keepdims=True))
    beta = nn.sigmoid(x @ weights.w_beta)
    old = np.matmul(S, k[:, :, None]).squeeze(-1)
    S = S + (beta * (v - old))[:, :, None] * k[:, None, :]
    return np.einsum("bij,bj->bi", S, q), (S,)


def rwkv7(x, states, weights):
    (S,) = states
    r, k, v = x @ weights.W_r, x @ weights.W_k, x @ weights.W_v
    w = np.exp(-np.exp(-0.5) * nn.sigmoid(x @ weights.W_w + weights.w))
    a = nn.sigmoid(x @ weights.W_a + weights.a)
    removed = k * weights.xi
    removed = removed / np.sqrt(np.sum(removed * removed, axis=-1, keepdims=True) + 1e-6)
    k = k * (1 + (a - 1) * weights.alpha)
    old = np.einsum("bij,bj->bi", S, removed)
    S = S * w[:, None, :] - old[:, :, None] * (a * removed)[:, None, :] + v[:, :, None] * k[:, None, :]
    return np.einsum("bij,bj->bi", S, r), (S,)


def ssd(x, states, weights):
    (h,) = states
    _, heads, width, _ = h.shape
    u = (x @ weights.W_x).reshape(-1, heads, width)
    dt = nn.softplus(x @ weights.W_dt + weights.b_dt)
    decay = np.exp(-dt * np.exp(weights.log_A))
    B, C = x @ weights.W_B, x @ weights.W_C
    h = decay[:, :, None, None] * h + (dt[:, :, None] * u)[..., None] * B[:, None, None, :]
    y = np.einsum("bhpn,bn->bhp", h, C) + weights.D[:, None] * u
    return y.reshape(-1, heads * width), (h,)


@nn.custom_gradient
def spike(v):
    return np.where(v > 0, 1.0, 0.0), lambda d: d / (1 + SLOPE * np.abs(v)) ** 2


def lif(x, states, weights):
    v = 0.9 * states.v + x @ weights.kernel - nn.stop_gradient(states.s)
    s = spike(v - 1)
    return s, (v, s)


def lif_loop(x, kernel):
    rows, steps, _ = x.shape
    units = kernel.shape[1]
    real, out = x.dtype.type, np.empty((rows, steps, units), x.dtype)
    for b in range(rows):
        current, v, s = x[b] @ kernel, np.zeros(units, x.dtype), np.zeros(units, x.dtype)
        for t in range(steps):
            for u in range(units):
                v[u] = real(0.9) * v[u] + current[t, u] - s[u]
                s[u] = real(v[u] > 1)
                out[b, t, u] = s[u]
    return out


def alif(x, states, weights):
    v, s, a = states
    a = 0.95 * a + s
    v = 0.9 * v + x @ weights.kernel + s @ weights.recurrent - nn.stop_gradient(s) * (1 + 0.1 * a)
    s = spike(v - 1 - 0.1 * a)
    return s, (v, s, a)


_ANGLES = {name: rk.Weight(("units",), uniform(-3.1, 3.1)) for name in ("d1", "d2", "d3")}
_NORMALS = {name: rk.Weight(("units",), "normal", dtype="complex") for name in ("r1", "r2")}
_PER_UNIT = rk.Weight(("units",), uniform(-0.5, 0.5))
_MATRIX, _H = {"S": ("units", "units")}, {"h": rk.State("units", "complex")}
_QKV = dict.fromkeys(("W_q", "W_k", "W_v"), KERNEL)
PAPERS = {
    "LRU": Paper(
        lru,
        "Orvieto et al. 2023",
        _H,
        {
            "lam": rk.Weight(("units",), rk.initializers.Ring(0.5, 0.95), dtype="complex"),
            "B": COMPLEX_KERNEL,
            "C": READOUT,
            "D": rk.Weight(("features",), "ones"),
        },
        {"units": 6},
        ((8, 1000, 64, 64),),
    ),
    "S5": Paper(
        s5,
        "Smith, Warrington and Linderman 2023",
        _H,
        {
            "lam": rk.Weight(("units",), eigenvalues, dtype="complex"),
            "B": COMPLEX_KERNEL,
            "C": READOUT,
            "log_step": rk.Weight(("units",), "zeros"),
        },
        {"units": 6},
        ((8, 1000, 64, 64),),
    ),
    "unitary RNN": Paper(
        unitary,
        "Arjovsky, Shah and Bengio 2016",
        _H,
        {**_ANGLES, **_NORMALS, "V": COMPLEX_KERNEL, "bias": rk.Weight(("units",), "normal")},
        {"units": 5},
        ((16, 200, 16, 64),),
        complex_x=True,
    ),
    "minGRU": Paper(
        min_gru,
        "Feng et al. 2024",
        {"h": "units"},
        {"gate": KERNEL, "kernel": KERNEL},
        {"units": 6},
        ((8, 1000, 64, 64),),
        loop=min_gru_loop,
    ),
    "DeltaNet": Paper(
        delta_net,
        "Schlag, Irie and Schmidhuber 2021",
        _MATRIX,
        {**_QKV, "w_beta": rk.Weight(("features", 1), "glorot_uniform")},
        {"units": 5},
        ((4, 500, 32, 32),),
    ),
    "RWKV-7": Paper(
        rwkv7,
        "Peng et al. 2025",
        _MATRIX,
        dict.fromkeys(("W_r", "W_k", "W_v", "W_w", "W_a"), KERNEL)
        | dict.fromkeys(("w", "a", "xi", "alpha"), _PER_UNIT),
        {"units": 5},
        ((4, 500, 32, 32),),
    ),
    "SSD (Mamba-2)": Paper(
        ssd,
        "Dao and Gu 2024",
        {"h": ("heads", "width", "order")},
        {
            "W_x": rk.Weight(("features", "heads*width"), "glorot_uniform"),
            **dict.fromkeys(("W_B", "W_C"), rk.Weight(("features", "order"), "glorot_uniform")),
            "W_dt": rk.Weight(("features", "heads"), "glorot_uniform"),
            **dict.fromkeys(("b_dt", "log_A", "D"), rk.Weight(("heads",), uniform(-0.5, 0.5))),
        },
        {"heads": 2, "width": 3, "order": 4},
        ((4, 500, 32, 4, 16, 16),),
    ),
    "LIF": Paper(
        lif,
        "Neftci, Mostafa and Zenke 2019",
        {"v": "units", "s": "units"},
        {"kernel": KERNEL},
        {"units": 6},
        ((4, 50, 8, 32), (16, 500, 64, 512)),
        loop=lif_loop,
    ),
    "ALIF": Paper(
        alif,
        "Bellec et al. 2020",
        {"v": "units", "s": "units", "a": "units"},
        {"kernel": KERNEL, "recurrent": rk.Weight(("units", "units"), "glorot_uniform")},
        {"units": 6},
        ((16, 500, 64, 512),),
    ),
}
