"""Memories: outer products, slots, stacks, attention, and the linear recurrences of language models."""

import numpy as np
from cells_under_test import BIAS, DENSE, KERNEL, spread
from paper_gates import gates

import rnnkit as rk


def layer_norm(z):
    return (z - np.mean(z, axis=-1, keepdims=True)) / np.sqrt(np.var(z, axis=-1, keepdims=True) + 1e-2)


@rk.cell(states={"h": "units", "A": ("units", "units")}, weights=DENSE)
def fast_weights(x, states, weights, *, decay=0.9, rate=0.3, inner=2):
    h, A = states
    A = decay * A + rate * np.einsum("bi,bj->bij", h, h)
    sustained = x @ weights.kernel + h @ weights.recurrent_kernel + weights.bias
    h = np.tanh(sustained)
    for _ in range(inner):
        h = np.tanh(layer_norm(sustained + np.einsum("bij,bj->bi", A, h)))
    return h, [h, A]


class TuringMachineCell(rk.Cell):
    """NTM: one head that addresses by content, then by location, writes and reads."""

    def __init__(self, units, slots=5, width=3, **kwargs):
        super().__init__(**kwargs)
        self.units, self.slots, self.width = units, slots, width
        self.state_size = [units, width, slots, (slots, width)]

    def build(self, input_shape):
        n, width = self.units, self.width
        self.kernel = self.add_weight((input_shape[-1] + width, n), name="kernel")
        self.recurrent_kernel = self.add_weight((n, n), "orthogonal", name="recurrent_kernel")
        self.bias = self.add_weight((n,), spread, name="bias")
        self.head = self.add_weight((n, 3 * width + 6), spread, name="head")

    def get_initial_state(self, batch_size):
        h, read = np.zeros((batch_size, self.units)), np.zeros((batch_size, self.width))
        return [h, read, np.eye(self.slots)[[0] * batch_size], np.full((batch_size, self.slots, self.width), 1e-2)]

    def call(self, inputs, states):
        h, read, w, memory = states
        joined = np.concatenate([inputs, read], axis=-1)
        h = np.tanh(joined @ self.kernel + h @ self.recurrent_kernel + self.bias)
        key, erase, add, rest = np.split(h @ self.head, [self.width, 2 * self.width, 3 * self.width], axis=-1)
        beta, g, gamma = rk.softplus(rest[:, 0:1]), rk.sigmoid(rest[:, 1:2]), 1 + rk.softplus(rest[:, 2:3])
        shift = rk.softmax(rest[:, 3:])

        norms = np.linalg.norm(memory, axis=-1) * np.linalg.norm(key, axis=-1, keepdims=True)
        content = rk.softmax(beta * np.matmul(memory, key[:, :, None])[..., 0] / (norms + 1e-6))
        w = g * content + (1 - g) * w
        w = sum(shift[:, s + 1 : s + 2] * np.roll(w, s, axis=1) for s in (-1, 0, 1))
        w = w**gamma
        w = w / w.sum(axis=1, keepdims=True)

        memory = memory * (1 - w[:, :, None] * rk.sigmoid(erase)[:, None, :]) + w[:, :, None] * np.tanh(add)[:, None, :]
        read = np.einsum("bs,bsd->bd", w, memory)
        return np.concatenate([h, read], axis=-1), [h, read, w, memory]


class MatrixLSTMCell(rk.Cell):
    """mLSTM of xLSTM with heads; the exponential gates are kept finite by a running maximum."""

    def __init__(self, size, heads=2, **kwargs):
        super().__init__(**kwargs)
        self.size, self.heads = size, heads
        self.state_size = [(heads, size, size), (heads, size), heads]

    def build(self, input_shape):
        self.qkv = self.add_weight((input_shape[-1], 3 * self.heads * self.size), name="qkv")
        self.if_gates = self.add_weight((input_shape[-1], 2 * self.heads), name="if_gates")
        self.o = self.add_weight((input_shape[-1], self.heads * self.size), name="o")

    def call(self, inputs, states):
        C, n, m = states
        q, k, v = np.moveaxis(np.reshape(inputs @ self.qkv, (-1, 3, self.heads, self.size)), 1, 0)
        k = k / np.sqrt(self.size)
        i, f = np.split(inputs @ self.if_gates, 2, axis=1)
        log_f = -rk.softplus(-f)
        new_m = np.maximum(log_f + m, i)
        i, f = np.exp(i - new_m)[..., None], np.exp(log_f + m - new_m)[..., None]
        C = f[..., None] * C + i[..., None] * (v[..., :, None] * k[..., None, :])
        n = f * n + i * k
        scale = np.maximum(np.abs(np.sum(n * q, axis=-1, keepdims=True)), np.exp(-new_m)[..., None])
        h = np.einsum("bhij,bhj->bhi", C, q) / scale
        h = rk.sigmoid(inputs @ self.o) * h.reshape(-1, self.heads * self.size)
        return h, [C, n, new_m]


@rk.cell(states=dict.fromkeys(("h", "c", "n", "m"), "units"), weights=gates(4))
def scalar_lstm(x, states, weights):
    """sLSTM of xLSTM."""
    h, c, n, m = states
    z, i, f, o = np.split(x @ weights.kernel + h @ weights.recurrent_kernel + weights.bias, 4, axis=-1)
    log_f = np.log(rk.sigmoid(f))
    new_m = np.maximum(log_f + m, i)
    i, f = np.exp(i - new_m), np.exp(log_f + m - new_m)
    c = f * c + i * np.tanh(z)
    n = f * n + i
    h = rk.sigmoid(o) * c / n
    return h, [h, c, n, new_m]


@rk.cell(
    states={"h": "units"}, weights={"W_f": KERNEL, "W_i": KERNEL, "W_h": KERNEL, "b": rk.Weight((3, "units"), spread)}
)
def min_lstm(x, states, weights):
    (h,) = states
    f, i = rk.sigmoid(x @ weights.W_f + weights.b[0]), rk.sigmoid(x @ weights.W_i + weights.b[1])
    new = x @ weights.W_h + weights.b[2]
    new = np.where(new >= 0, new + 0.5, rk.sigmoid(new))
    h = (f * h + i * new) / (f + i)
    return h, h


@rk.cell(
    states={"x": "features", "a": "units", "b": "units", "p": "units"},
    weights={
        "mu": rk.Weight((3, "features"), "uniform"),
        "W_r": KERNEL,
        "W_k": KERNEL,
        "W_v": KERNEL,
        "W_o": rk.Weight(("units", "features"), "glorot_uniform"),
        "w": BIAS,
        "u": BIAS,
    },
    initial={"p": -1e30},
)
def rwkv(x, states, weights):
    last, a, b, p = states
    r, k, v = (
        (mu * x + (1 - mu) * last) @ W
        for mu, W in zip(weights.mu, (weights.W_r, weights.W_k, weights.W_v), strict=True)
    )
    q = np.maximum(p, weights.u + k)
    e_1, e_2 = np.exp(p - q), np.exp(weights.u + k - q)
    wkv = (e_1 * a + e_2 * v) / (e_1 * b + e_2)
    q = np.maximum(p - np.exp(weights.w), k)
    e_1, e_2 = np.exp(p - np.exp(weights.w) - q), np.exp(k - q)
    return (rk.sigmoid(r) * wkv) @ weights.W_o, [x, e_1 * a + e_2 * v, e_1 * b + e_2, q]


class RetentionCell(rk.Cell):
    """RetNet: heads with decays of their own, group norm over each head's output."""

    def __init__(self, heads, size=3, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.size = heads, size
        self.decay = 1 - 2.0 ** (-1 - np.arange(heads))
        self.state_size = [(heads, size, size)]

    def build(self, input_shape):
        for name in ("W_q", "W_k", "W_v"):
            setattr(self, name, self.add_weight((input_shape[-1], self.heads, self.size), name=name))
        self.W_g = self.add_weight((input_shape[-1], self.heads * self.size), name="W_g")

    def call(self, inputs, states):
        (S,) = states
        q, k, v = (np.einsum("...f,fhd->...hd", inputs, W) for W in (self.W_q, self.W_k, self.W_v))
        S = self.decay[:, None, None] * S + k[..., :, None] * v[..., None, :]
        read = np.einsum("bhk,bhkv->bhv", q, S) / self.size**0.5
        read = layer_norm(read)
        return rk.silu(inputs @ self.W_g) * read.reshape((-1, self.heads * self.size)), [S]


@rk.cell(
    states={"h": "units", "alpha": "length"},
    weights={
        **gates(3),
        "context_kernel": rk.Weight((4, "3*units"), "glorot_uniform"),
        "W": rk.Weight(("units", 6), "glorot_uniform"),
        "V": rk.Weight((4, 6), "glorot_uniform"),
        "F": rk.Weight((3, 6), spread),
        "v": rk.Weight((6,), spread),
    },
)
def location_attention(x, states, weights, constants):
    """A GRU that listens to a memory (B, length, 4), each place scored with the last step's weights around it."""
    h, alpha = states
    (memory,) = constants
    padded = np.pad(alpha, ((0, 0), (1, 1)))
    around = np.stack([padded[:, :-2], padded[:, 1:-1], padded[:, 2:]], axis=-1)
    energy = np.tanh((h @ weights.W)[:, None] + memory @ weights.V + around @ weights.F) @ weights.v
    alpha = rk.softmax(energy, axis=-1)
    context = (alpha[:, None, :] @ memory)[:, 0]
    from_x = x @ weights.kernel + context @ weights.context_kernel + weights.bias
    from_h = h @ weights.recurrent_kernel
    n = h.shape[1]
    z, r = np.split(rk.sigmoid(from_x[:, : 2 * n] + from_h[:, : 2 * n]), 2, axis=1)
    h = (1 - z) * h + z * np.tanh(from_x[:, 2 * n :] + r * from_h[:, 2 * n :])
    return np.concatenate([h, context], axis=1), [h, alpha]


@rk.cell(
    states={"h": ("slots", "units")},
    weights={
        "embed": KERNEL,
        "keys": rk.Weight(("slots", "units"), spread),
        "U": rk.Weight(("units", "units"), "glorot_uniform"),
        "V": rk.Weight(("units", "units"), "glorot_uniform"),
        "W": rk.Weight(("units", "units"), "glorot_uniform"),
    },
    initial={"h": 0.1},
)
def entity_network(x, states, weights):
    (h,) = states
    s = (x @ weights.embed)[:, None, :]
    gate = rk.sigmoid((s * h).sum(-1) + (s * weights.keys).sum(-1))
    new = np.maximum(h @ weights.U + weights.keys @ weights.V + s @ weights.W, 0.0)
    h = h + gate[..., None] * new
    h = h / np.sqrt(1e-6 + np.sum(h**2, axis=-1, keepdims=True))
    return h.max(axis=1), (h,)


class RelationalMemoryCell(rk.Cell):
    """The memory's slots attend, with several heads, to each other and to the input."""

    def __init__(self, size, slots=3, heads=2, **kwargs):
        super().__init__(**kwargs)
        self.size, self.slots, self.heads, self.width = size, slots, heads, heads * size
        self.state_size = [(slots, self.width)]

    def build(self, input_shape):
        d = self.width
        self.embed = self.add_weight((input_shape[-1], d), name="embed")
        self.q = self.add_weight((d, d), name="q")
        self.k = self.add_weight((d, d), name="k")
        self.v = self.add_weight((d, d), name="v")
        self.mlp = self.add_weight((d, d), name="mlp")
        self.gate = self.add_weight((d, 2 * d), name="gate")

    def split_heads(self, z):
        return z.reshape(-1, z.shape[1], self.heads, self.size).transpose(0, 2, 1, 3)

    def call(self, inputs, states):
        (memory,) = states
        e = np.expand_dims(inputs @ self.embed, 1)
        both = np.concatenate([memory, e], axis=1)
        q, k, v = self.split_heads(memory @ self.q), self.split_heads(both @ self.k), self.split_heads(both @ self.v)
        scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(self.size)
        read = (rk.softmax(scores) @ v).transpose(0, 2, 1, 3).reshape(-1, self.slots, self.width)
        attended = layer_norm(memory + read)
        attended = layer_norm(attended + rk.relu(attended @ self.mlp))
        i, f = np.split(e @ self.gate + np.tanh(memory) @ self.gate, 2, axis=-1)
        memory = rk.sigmoid(i) * np.tanh(attended) + rk.sigmoid(f + 1) * memory
        return memory.reshape(-1, self.slots * self.width), [memory]


class StackRNNCell(rk.Cell):
    """A network beside a stack of numbers, pushed, popped or left by degrees."""

    def __init__(self, units, depth=6, **kwargs):
        super().__init__(**kwargs)
        self.units, self.depth = units, depth
        self.state_size = [units, depth]

    def build(self, input_shape):
        self.U = self.add_weight((input_shape[-1], self.units), name="U")
        self.R = self.add_weight((self.units, self.units), name="R")
        self.P = self.add_weight((2, self.units), name="P")
        self.A = self.add_weight((self.units, 3), spread, name="A")
        self.D = self.add_weight((self.units, 1), spread, name="D")

    def call(self, inputs, states):
        h, stack = states
        h = rk.sigmoid(inputs @ self.U + h @ self.R + stack[:, :2] @ self.P)
        action = rk.softmax(h @ self.A, axis=1)
        push, pop, keep = action[:, 0:1], action[:, 1:2], action[:, 2:3]
        new = keep * stack
        new[:, :1] += push * rk.sigmoid(h @ self.D)
        new[:, 1:] += push * stack[:, :-1]
        new[:, :-1] += pop * stack[:, 1:]
        return h, [h, new]


@rk.cell(
    states={"xi": "units"},
    weights={"kernel": KERNEL, "patterns": rk.Weight(("slots", "units"), "normal")},
)
def hopfield(x, states, weights, *, beta=2.0):
    """A modern Hopfield network: a state is drawn to a stored pattern."""
    xi = rk.softmax(beta * (states.xi + x @ weights.kernel) @ weights.patterns.T, axis=-1) @ weights.patterns
    return xi, xi
