"""Gated and plain recurrent networks, typed in from the papers as a user would."""

import numpy as np
from cells_under_test import BIAS, DENSE, KERNEL, RECURRENT, halved, spread

import rnnkit as rk


def gates(count):
    """Kernel, recurrent kernel and bias of so many gates side by side."""
    return {
        "kernel": rk.Weight(("features", f"{count}*units"), "glorot_uniform"),
        "recurrent_kernel": rk.Weight(("units", f"{count}*units"), "glorot_uniform"),
        "bias": rk.Weight((f"{count}*units",), spread),
    }


@rk.cell(states={"h": "units"}, weights={"kernel": KERNEL, "u": rk.Weight(("units",), spread), "bias": BIAS})
def indrnn(x, states, weights):
    (h,) = states
    h = rk.relu(x @ weights.kernel + weights.u * h + weights.bias)
    return h, h


class AntisymmetricRNNCell(rk.Cell):
    """The gated form, equation 15; the recurrent matrix is made of a triangle."""

    def __init__(self, units, epsilon=0.2, gamma=0.1, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units
        self.epsilon, self.gamma = epsilon, gamma

    def build(self, input_shape):
        n = self.units
        self.V_h = self.add_weight((input_shape[-1], n), name="V_h")
        self.V_z = self.add_weight((input_shape[-1], n), name="V_z")
        self.W = self.add_weight((n, n), spread, name="W")
        self.b_h = self.add_weight((n,), spread, name="b_h")
        self.b_z = self.add_weight((n,), spread, name="b_z")

    def call(self, inputs, states):
        h = states[0]
        upper = np.triu(self.W, k=1)
        M = upper - upper.T - self.gamma * np.eye(self.units)
        recurrent = h @ M.T
        z = rk.sigmoid(recurrent + np.dot(inputs, self.V_z) + self.b_z)
        h = h + self.epsilon * z * np.tanh(recurrent + np.dot(inputs, self.V_h) + self.b_h)
        return h, [h]


@rk.cell(states={"c": "units"}, weights=gates(2))
def janet(x, states, weights, *, beta=1.0):
    (c,) = states
    s, candidate = np.split(x @ weights.kernel + c @ weights.recurrent_kernel + weights.bias, 2, axis=1)
    c = rk.sigmoid(s) * c + (1 - rk.sigmoid(s - beta)) * np.tanh(candidate)
    return c, (c,)


@rk.cell(
    states={"h": "units", "s": "context"},
    weights={
        "A": KERNEL,
        "B": rk.Weight(("features", "context"), "glorot_uniform"),
        "P": rk.Weight(("context", "units"), "glorot_uniform"),
        "R": RECURRENT,
        "U": rk.Weight(("units", 4), "glorot_uniform"),
        "V": rk.Weight(("context", 4), "glorot_uniform"),
    },
)
def scrn(x, states, weights, *, alpha=0.95):
    h, s = states
    s = (1 - alpha) * (x @ weights.B) + alpha * s
    h = rk.sigmoid(s @ weights.P + x @ weights.A + h @ weights.R)
    return rk.softmax(h @ weights.U + s @ weights.V), [h, s]


@rk.cell(
    states={"c": "units"},
    weights={
        "W": rk.Weight(("features", "4*units"), "glorot_uniform"),
        "v": rk.Weight((2, "units"), spread),
        "b": rk.Weight((2, "units"), spread),
    },
)
def sru(x, states, weights):
    """With the fourth projection for inputs of another width."""
    (c,) = states
    new, f, r, skip = np.split(x @ weights.W, 4, axis=-1)
    f = rk.sigmoid(f + weights.v[0] * c + weights.b[0])
    r = rk.sigmoid(r + weights.v[1] * c + weights.b[1])
    c = f * c + (1 - f) * new
    return r * c + (1 - r) * skip, c


class QRNNCell(rk.Cell):
    """A convolution over the last three inputs, fo-pooling."""

    def __init__(self, units, features, window=3, **kwargs):
        super().__init__(**kwargs)
        self.units, self.window = units, window
        self.state_size = [units, (window - 1, features)]

    def build(self, input_shape):
        self.W = self.add_weight((self.window, input_shape[-1], 3 * self.units), name="W")

    def call(self, inputs, states):
        c, past = states
        window = np.concatenate([past, inputs[:, None]], axis=1)
        z, f, o = np.split(np.tensordot(window, self.W, axes=([1, 2], [0, 1])), 3, axis=-1)
        f, o = rk.sigmoid(f), rk.sigmoid(o)
        c = f * c + (1 - f) * np.tanh(z)
        return o * c, [c, window[:, 1:]]


def cumax(z):
    return np.cumsum(rk.softmax(z), axis=-1)


class OrderedNeuronsLSTMCell(rk.Cell):
    """ON-LSTM; master gates of ``units // chunk`` entries, each for a chunk of neurons."""

    def __init__(self, chunks, chunk=2, **kwargs):
        super().__init__(**kwargs)
        self.chunks, self.chunk = chunks, chunk
        self.units = chunks * chunk
        self.state_size = (self.units, self.units)
        self.output_size = self.units

    def build(self, input_shape):
        width = 4 * self.units + 2 * self.chunks
        self.kernel = self.add_weight((input_shape[-1], width), name="kernel")
        self.recurrent_kernel = self.add_weight((self.units, width), name="recurrent_kernel")
        self.bias = self.add_weight((width,), spread, name="bias")

    def call(self, inputs, states):
        h, c = states
        n, m = self.units, self.chunks
        z = inputs @ self.kernel + h @ self.recurrent_kernel + self.bias
        f, i, o = rk.sigmoid(z[:, :n]), rk.sigmoid(z[:, n : 2 * n]), rk.sigmoid(z[:, 2 * n : 3 * n])
        new = np.tanh(z[:, 3 * n : 4 * n])
        master_f = np.repeat(cumax(z[:, 4 * n : 4 * n + m]), self.chunk, axis=1)
        master_i = np.repeat(1 - cumax(z[:, 4 * n + m :]), self.chunk, axis=1)
        overlap = master_f * master_i
        c = (f * overlap + (master_f - overlap)) * c + (i * overlap + (master_i - overlap)) * new
        h = o * np.tanh(c)
        return h, (h, c)


@rk.cell(
    states={"h": "units", "c": "units"},
    weights={
        **gates(4),
        "Q": rk.Weight((3, "units", "features"), "glorot_uniform"),
        "R": rk.Weight((2, "features", "units"), "glorot_uniform"),
    },
)
def mogrifier(x, states, weights, *, rounds=5):
    h, c = states
    for r in range(rounds):
        if r % 2 == 0:
            x = 2 * rk.sigmoid(h @ weights.Q[r // 2]) * x
        else:
            h = 2 * rk.sigmoid(x @ weights.R[r // 2]) * h
    i, f, g, o = np.split(x @ weights.kernel + h @ weights.recurrent_kernel + weights.bias, 4, axis=-1)
    c = rk.sigmoid(f) * c + rk.sigmoid(i) * np.tanh(g)
    h = rk.sigmoid(o) * np.tanh(c)
    return h, [h, c]


def periods(shape, rng):
    return np.exp(rng.uniform(0.5, 2.5, shape))


@rk.cell(
    states={"h": "units", "c": "units", "t": 1},
    weights={**gates(4), "tau": rk.Weight(("units",), periods), "shift": rk.Weight(("units",), periods)},
)
def phased_lstm(x, states, weights, *, ratio=0.3, leak=0.001):
    h, c, t = states
    phase = ((t - weights.shift) % weights.tau) / weights.tau
    k = np.where(phase < ratio / 2, 2 * phase / ratio, np.where(phase < ratio, 2 - 2 * phase / ratio, leak * phase))
    i, f, g, o = np.split(x @ weights.kernel + h @ weights.recurrent_kernel + weights.bias, 4, axis=-1)
    new_c = rk.sigmoid(f) * c + rk.sigmoid(i) * np.tanh(g)
    new_h = rk.sigmoid(o) * np.tanh(new_c)
    h, c = k * new_h + (1 - k) * h, k * new_c + (1 - k) * c
    return h, [h, c, t + 1]


class ClockworkRNNCell(rk.Cell):
    """Modules with periods 1, 2, 4 …; the recurrent matrix is block triangular."""

    def __init__(self, units, modules=3, **kwargs):
        super().__init__(**kwargs)
        self.units, self.modules = units, modules
        module = np.arange(units) * modules // units
        self.allowed = module[:, None] >= module[None, :]
        self.period = 2**module
        self.state_size = [units, 1]

    def build(self, input_shape):
        self.W = self.add_weight((input_shape[-1], self.units), name="W")
        self.U = self.add_weight((self.units, self.units), spread, name="U")
        self.b = self.add_weight((self.units,), spread, name="b")

    def call(self, inputs, states):
        h, t = states
        new = np.tanh(inputs @ self.W + h @ (self.U * self.allowed) + self.b)
        h = np.where(np.mod(t, self.period) == 0, new, h)
        return h, [h, t + 1]


@rk.cell(states={"h": "units"}, weights={"W_z": KERNEL, "b_z": BIAS, "W_x": KERNEL, "W_h": RECURRENT, "b_k": BIAS})
def star(x, states, weights):
    (h,) = states
    z = np.tanh(x @ weights.W_z + weights.b_z)
    k = rk.sigmoid(x @ weights.W_x + h @ weights.W_h + weights.b_k)
    h = np.tanh((1 - k) * h + k * z)
    return h, (h,)


@rk.cell(
    states={"s": "units"},
    weights={
        "W": rk.Weight(("features", "2*units"), "glorot_uniform"),
        "R": rk.Weight(("depth", "units", "2*units"), "glorot_uniform"),
        "b": rk.Weight(("depth", "2*units"), spread),
    },
)
def recurrent_highway(x, states, weights):
    (s,) = states
    for layer, (R, b) in enumerate(zip(weights.R, weights.b, strict=True)):
        z = s @ R + b
        if layer == 0:
            z = z + x @ weights.W
        h, t = np.split(z, 2, axis=-1)
        t = rk.sigmoid(t)
        s = np.tanh(h) * t + s * (1 - t)
    return s, (s,)


@rk.cell(
    states={"h": "units"},
    weights={"U_a": KERNEL, "W_a": RECURRENT, "U_c": KERNEL, "W_c": RECURRENT, "U": KERNEL},
)
def nbrc(x, states, weights):
    """Bistable: neither contracting nor quick to forget."""
    (h,) = states
    a = 1 + np.tanh(x @ weights.U_a + h @ weights.W_a)
    c = rk.sigmoid(x @ weights.U_c + h @ weights.W_c)
    h = c * h + (1 - c) * np.tanh(x @ weights.U + a * h)
    return h, h


@rk.cell(
    states={"h": "units", "c": "units"},
    weights={**gates(4), "W_mx": KERNEL, "W_mh": RECURRENT},
)
def multiplicative_lstm(x, states, weights):
    h, c = states
    m = (x @ weights.W_mx) * (h @ weights.W_mh)
    z = np.concatenate((x, m), axis=1) @ np.concatenate((weights.kernel, weights.recurrent_kernel)) + weights.bias
    new, i, f, o = np.hsplit(z, 4)
    c = rk.sigmoid(f) * c + rk.sigmoid(i) * np.tanh(new)
    h = np.tanh(c) * rk.sigmoid(o)
    return h, (h, c)


@rk.cell(states={"h": "units"}, weights={**DENSE, "mix": rk.Weight((3, "units"), "ones")})
def multiplicative_integration(x, states, weights):
    (h,) = states
    alpha, beta_1, beta_2 = weights.mix
    wx, uh = x @ weights.kernel, h @ weights.recurrent_kernel
    h = np.tanh(alpha * wx * uh + beta_1 * uh + beta_2 * wx + weights.bias)
    return h, (h,)


class FastGRNNCell(rk.Cell):
    """Both matrices of low rank, shared by gate and candidate; two scalars are weights."""

    def __init__(self, units, rank=2, **kwargs):
        super().__init__(**kwargs)
        self.units, self.rank, self.state_size = units, rank, units

    def build(self, input_shape):
        r = self.rank
        self.W_1 = self.add_weight((self.units, r), name="W_1")
        self.W_2 = self.add_weight((input_shape[-1], r), name="W_2")
        self.U_1 = self.add_weight((self.units, r), name="U_1")
        self.U_2 = self.add_weight((self.units, r), name="U_2")
        self.b_z = self.add_weight((self.units,), spread, name="b_z")
        self.b_h = self.add_weight((self.units,), spread, name="b_h")
        self.zeta = self.add_weight((), "ones", name="zeta")
        self.nu = self.add_weight((1,), "zeros", name="nu")

    def call(self, inputs, states):
        (h,) = states
        W, U = self.W_1 @ self.W_2.T, np.dot(self.U_1, self.U_2.T)
        pre = np.matmul(inputs, W.T) + np.einsum("ij,bj->bi", U, h)
        z = rk.sigmoid(pre + self.b_z)
        candidate = np.tanh(pre + self.b_h)
        h = (rk.sigmoid(self.zeta) * (1 - z) + rk.sigmoid(self.nu)) * candidate + z * h
        return h, [h]


@rk.cell(
    states={"h": "units"},
    weights={"V": rk.Weight(("units", "features", "units"), spread), "U": rk.Weight(("units", "units"), halved)},
)
def tensor_rnn(x, states, weights):
    """A bilinear form of input and state for each unit."""
    (h,) = states
    h = np.tanh(0.2 * np.einsum("bi,kij,bj->bk", x, weights.V, h) + h @ weights.U + x[:, :1])
    return h, (h,)


class ConvLSTMCell(rk.Cell):
    """In one dimension, the convolution written with shifted slices."""

    def __init__(self, length, channels, **kwargs):
        super().__init__(**kwargs)
        self.channels = channels
        self.state_size = [(length, channels), (length, channels)]

    def build(self, input_shape):
        _, length, channels = input_shape
        n = self.channels
        self.W = self.add_weight((3, channels, 4 * n), name="W")
        self.U = self.add_weight((3, n, 4 * n), name="U")
        self.peephole = self.add_weight((3, length, n), spread, name="peephole")
        self.b = self.add_weight((4 * n,), spread, name="b")

    def convolve(self, x, kernel):
        padded = np.pad(x, ((0, 0), (1, 1), (0, 0)))
        length = x.shape[1]
        return sum(padded[:, k : k + length] @ kernel[k] for k in range(3))

    def call(self, inputs, states):
        h, c = states
        z = self.convolve(inputs, self.W) + self.convolve(h, self.U) + self.b
        i, f, g, o = np.split(z, 4, axis=-1)
        i, f = rk.sigmoid(i + self.peephole[0] * c), rk.sigmoid(f + self.peephole[1] * c)
        c = f * c + i * np.tanh(g)
        h = rk.sigmoid(o + self.peephole[2] * c) * np.tanh(c)
        return h, [h, c]


@rk.cell(
    states={"h": ("heads", "units")},
    weights={
        "key": rk.Weight(("features", "units"), "glorot_uniform"),
        "query": rk.Weight(("heads", "units", "units"), "glorot_uniform"),
        "W": rk.Weight(("heads", "features", "units"), "glorot_uniform"),
        "U": rk.Weight(("heads", "units", "units"), "glorot_uniform"),
    },
)
def independent_mechanisms(x, states, weights, *, active=2):
    """Only the mechanisms that find the input most relevant move; all read each other."""
    (h,) = states
    score = np.einsum("bhu,bu->bh", np.einsum("bhi,hij->bhj", h, weights.query), x @ weights.key)
    rank = (score[:, None, :] > score[:, :, None]).sum(axis=-1)
    chosen = (rank < active)[..., np.newaxis]
    new = np.tanh(np.einsum("bf,hfu->bhu", x, weights.W) + np.einsum("bhi,hij->bhj", h, weights.U))
    h = np.where(chosen, new, h)
    attention = rk.softmax(np.matmul(h, np.swapaxes(h, 1, 2)) / np.sqrt(h.shape[-1]))
    h = 0.9 * h + 0.1 * attention @ h
    return h.reshape(h.shape[0], -1), h


def ternary(w):
    """Weights of -1, 0 and 1."""
    return np.sign(w) * (np.abs(w) > 0.3)


@rk.cell(states={"h": "units"}, weights={"kernel": KERNEL, "recurrent_kernel": rk.Weight(("units", "units"), spread)})
def quantised(x, states, weights, *, bits=4):
    (h,) = states
    levels = 2**bits - 1
    z = x @ ternary(weights.kernel) + h @ ternary(weights.recurrent_kernel)
    h = np.round(np.clip(z / 1.9, -1, 1) * levels) / levels  # by 2, many sums would lie halfway between levels
    return np.sign(h), (h,)
