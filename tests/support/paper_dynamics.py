"""Oscillators, differential equations, orthogonal and linear recurrences, spiking neurons."""

import numpy as np
from cells_under_test import BIAS, DENSE, KERNEL, RECURRENT, halved, spread

import rnnkit as rk


@rk.cell(states={"y": "units", "z": "units"}, weights={"V": KERNEL, "W": RECURRENT, "W_hat": RECURRENT, "b": BIAS})
def cornn(x, states, weights, *, dt=0.05, gamma=2.7, epsilon=4.7):
    y, z = states
    z += dt * (np.tanh(y @ weights.W + z @ weights.W_hat + x @ weights.V + weights.b) - gamma * y - epsilon * z)
    y += dt * z
    return y, [y, z]


@rk.cell(
    states={"y": "units", "z": "units"},
    weights={"w": rk.Weight(("units",), "uniform"), "V": KERNEL, "b": BIAS, "c": BIAS},
)
def unicornn(x, states, weights, *, dt=0.1, alpha=0.9):
    y, z = states
    step = dt * rk.sigmoid(weights.c)
    z = z - step * (np.tanh(weights.w * y + x @ weights.V + weights.b) + alpha * y)
    y = y + step * z
    return y, [y, z]


@rk.cell(
    states={"y": "units", "z": "units"},
    weights={
        "kernel": rk.Weight(("features", "4*units"), "glorot_uniform"),
        "recurrent_kernel": rk.Weight(("units", "3*units"), "glorot_uniform"),
        "W_y": RECURRENT,
        "bias": rk.Weight(("4*units",), spread),
    },
)
def lem(x, states, weights, *, dt=0.5):
    y, z = states
    n = y.shape[-1]
    from_x = x @ weights.kernel + weights.bias
    from_y = y @ weights.recurrent_kernel
    slow = dt * rk.sigmoid(from_x[:, :n] + from_y[:, :n])
    fast = dt * rk.sigmoid(from_x[:, n : 2 * n] + from_y[:, n : 2 * n])
    z = (1 - slow) * z + slow * np.tanh(from_x[:, 2 * n : 3 * n] + from_y[:, 2 * n :])
    y = (1 - fast) * y + fast * np.tanh(z @ weights.W_y + from_x[:, 3 * n :])
    return y, [y, z]


class LiquidTimeConstantCell(rk.Cell):
    """Every pair of neurons is a synapse with a sigmoid of its own; the fused solver takes several steps."""

    def __init__(self, units, unfolds=3, **kwargs):
        super().__init__(**kwargs)
        self.units, self.unfolds = units, unfolds
        self.state_size = units

    def build(self, input_shape):
        def positive(shape, rng):
            return rng.uniform(0.1, 1.0, shape)

        for kind, n in (("sensory_", input_shape[-1]), ("", self.units)):
            for name, how in (("mu", positive), ("sigma", positive), ("w", positive), ("erev", spread)):
                setattr(self, kind + name, self.add_weight((n, self.units), how, name=kind + name))
        self.leak = self.add_weight((self.units,), positive, name="leak")
        self.rest = self.add_weight((self.units,), spread, name="rest")

    def currents(self, v, kind):
        w = getattr(self, kind + "w") * rk.sigmoid(
            getattr(self, kind + "sigma") * (v[:, :, np.newaxis] - getattr(self, kind + "mu"))
        )
        return np.sum(w * getattr(self, kind + "erev"), axis=1), np.sum(w, axis=1)

    def call(self, inputs, states):
        v = states[0]
        sensory, sensory_w = self.currents(inputs, "sensory_")
        capacity = 1.0 * self.unfolds
        for _ in range(self.unfolds):
            current, w = self.currents(v, "")
            numerator = capacity * v + self.leak * self.rest + current + sensory
            v = numerator / (capacity + self.leak + w + sensory_w + 1e-8)
        return v, v


class OdeRNNCell(rk.Cell):
    """The state flows along a neural differential equation by Runge and Kutta's rule, then jumps at an observation."""

    def __init__(self, units, steps=2, **kwargs):
        super().__init__(**kwargs)
        self.units, self.steps, self.state_size = units, steps, [units]

    def build(self, input_shape):
        n, features = self.units, input_shape[-1] - 1
        self.A = self.add_weight((n, 7), name="A")
        self.B = self.add_weight((7, n), name="B")
        self.kernel = self.add_weight((features, n), name="kernel")
        self.recurrent_kernel = self.add_weight((n, n), "orthogonal", name="recurrent_kernel")
        self.bias = self.add_weight((n,), spread, name="bias")

    def field(self, h):
        return np.tanh(h @ self.A) @ self.B - h

    def call(self, inputs, states):
        """The last feature is the time since the step before."""
        (h,) = states
        observed, elapsed = inputs[:, :-1], inputs[:, -1:]
        dt = np.abs(elapsed) / self.steps
        for _ in range(self.steps):
            k_1 = self.field(h)
            k_2 = self.field(h + dt / 2 * k_1)
            k_3 = self.field(h + dt / 2 * k_2)
            k_4 = self.field(h + dt * k_3)
            h = h + dt / 6 * (k_1 + 2 * k_2 + 2 * k_3 + k_4)
        h = np.tanh(observed @ self.kernel + h @ self.recurrent_kernel + self.bias)
        return h, [h]


def mod_relu(z, b):
    return np.sign(z) * np.maximum(np.abs(z) + b, 0)


class CayleyRNNCell(rk.Cell):
    """scoRNN: an orthogonal matrix as the scaled Cayley transform of a skew one, modReLU."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units, self.state_size = units, units
        self.D = np.where(np.arange(units) < units // 2, -1.0, 1.0)

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], self.units), name="kernel")
        self.skew = self.add_weight((self.units, self.units), spread, name="skew")
        self.b = self.add_weight((self.units,), "zeros", name="b")

    def call(self, inputs, states):
        A = np.triu(self.skew, 1)
        A = A - A.T
        identity = np.eye(self.units)
        W = np.linalg.inv(identity + A) @ (identity - A) * self.D
        h = mod_relu(np.dot(inputs, self.kernel) + np.dot(states[0], W.T), self.b)
        return h, [h]


@rk.cell(
    states={"h": "units"},
    weights={"kernel": KERNEL, "v": rk.Weight(("reflections", "units"), spread), "bias": BIAS},
)
def householder(x, states, weights):
    (h,) = states
    for v in weights.v:
        h = h - 2 * np.dot(h, v)[:, None] * v / np.dot(v, v)
    h = h[:, np.random.default_rng(0).permutation(h.shape[1])]
    h = mod_relu(h + x @ weights.kernel, weights.bias)
    return h, h


@rk.cell(states={"h": "units"}, weights={"kernel": KERNEL, "angles": rk.Weight(("layers", "units"), spread)})
def rotations(x, states, weights):
    """EUNN, real: layers of plane rotations of neighbours, then of the neighbours between them."""
    (h,) = states
    n = h.shape[-1]
    for layer, angle in enumerate(weights.angles):
        pairs = np.arange(n)
        first = pairs[layer % 2 : n - 1 : 2].copy()
        pairs[first], pairs[first + 1] = first + 1, first
        sign = np.where(pairs > np.arange(n), -1.0, 1.0) * (pairs != np.arange(n))
        shared = angle[np.minimum(pairs, np.arange(n))]
        h = h * np.cos(shared * (sign != 0)) + sign * np.sin(shared) * h[:, pairs]
    h = np.tanh(h + x @ weights.kernel)
    return h, (h,)


class LegendreMemoryCell(rk.Cell):
    """LMU: a window of the past in Legendre polynomials, and a plain network around it."""

    def __init__(self, units, order=4, theta=8.0, **kwargs):
        super().__init__(**kwargs)
        self.units, self.order = units, order
        self.state_size = [units, order]
        i = np.arange(order)
        row, column = np.meshgrid(i, i, indexing="ij")
        A = (2 * row + 1) / theta * np.where(row < column, -1.0, (-1.0) ** (row - column + 1))
        B = (2 * i + 1) * (-1.0) ** i / theta
        self.A = np.linalg.inv(np.eye(order) - A)  # backward Euler
        self.B = self.A @ B

    def build(self, input_shape):
        self.e_x = self.add_weight((input_shape[-1], 1), name="e_x")
        self.e_h = self.add_weight((self.units, 1), name="e_h")
        self.e_m = self.add_weight((self.order, 1), name="e_m")
        self.W_x = self.add_weight((input_shape[-1], self.units), name="W_x")
        self.W_h = self.add_weight((self.units, self.units), "orthogonal", name="W_h")
        self.W_m = self.add_weight((self.order, self.units), name="W_m")

    def call(self, inputs, states):
        h, m = states
        u = inputs @ self.e_x + h @ self.e_h + m @ self.e_m
        m = m @ self.A.T + u * self.B
        h = np.tanh(inputs @ self.W_x + h @ self.W_h + m @ self.W_m)
        return h, [h, m]


FREQUENCIES = np.array([0.0, 1.0, 2.5, 5.0])
PHASES = np.linspace(0, np.pi / 2, 4)


@rk.cell(
    states={"u": (4, "units"), "t": 1},
    weights={
        **DENSE,
        "read": rk.Weight((4, "units", "units"), "glorot_uniform"),
        "recurrent_kernel": rk.Weight((4, "units", "units"), "glorot_uniform"),
    },
)
def fourier(x, states, weights, *, length=20):
    """FRU: a running Fourier transform of the hidden state."""
    u, t = states
    h = np.tanh(np.einsum("bku,kuv->bv", u, weights.recurrent_kernel) + x @ weights.kernel + weights.bias)
    wave = np.cos(2 * np.pi * FREQUENCIES * t / length + PHASES)
    u = u + wave[:, :, None] * h[:, None, :] / length
    return np.tensordot(u, weights.read, axes=2), (u, t + 1)


def log_decay(shape, rng):
    return np.log(-np.log(rng.uniform(0.4, 0.95, shape)))


@rk.cell(
    states={"re": "units", "im": "units"},
    weights={
        "nu": rk.Weight(("units",), log_decay),
        "theta": rk.Weight(("units",), spread),
        "B_re": KERNEL,
        "B_im": KERNEL,
        "C_re": rk.Weight(("units", "features"), "glorot_uniform"),
        "C_im": rk.Weight(("units", "features"), "glorot_uniform"),
        "D": rk.Weight(("features",), "ones"),
    },
)
def linear_recurrent_unit(x, states, weights):
    """LRU, a complex diagonal in real and imaginary parts."""
    re, im = states
    modulus, angle = np.exp(-np.exp(weights.nu)), np.exp(weights.theta)
    a, b = modulus * np.cos(angle), modulus * np.sin(angle)
    gamma = np.sqrt(1 - modulus**2)
    re, im = a * re - b * im + gamma * (x @ weights.B_re), a * im + b * re + gamma * (x @ weights.B_im)
    return re @ weights.C_re - im @ weights.C_im + weights.D * x, [re, im]


@rk.cell(
    states={"s": ("features", "order")},
    weights={
        "A": rk.Weight(("features", "order"), spread),
        "W_B": rk.Weight(("features", "order"), "glorot_uniform"),
        "W_C": rk.Weight(("features", "order"), "glorot_uniform"),
        "W_dt": rk.Weight(("features", "features"), "glorot_uniform"),
        "b_dt": rk.Weight(("features",), spread),
        "D": rk.Weight(("features",), "ones"),
    },
)
def selective_state_space(x, states, weights):
    """Mamba's recurrence."""
    (s,) = states
    dt = rk.softplus(x @ weights.W_dt + weights.b_dt)[:, :, None]
    B, C = (x @ weights.W_B)[:, None, :], (x @ weights.W_C)[:, None, :]
    s = np.exp(-dt * np.exp(weights.A)) * s + dt * B * x[:, :, None]
    return (s * C).sum(-1) + weights.D * x, s


@rk.cell(
    states={"v": "units", "u": "units"},
    weights={"kernel": rk.Weight(("features", "units"), spread)},
    initial={"v": -65.0, "u": -13.0},
)
def izhikevich(x, states, weights, *, a=0.02, b=0.2, c=-65.0, d=8.0):
    v, u = states
    current = 30 * np.abs(x @ weights.kernel)
    for _ in range(2):
        v = v + 0.5 * (0.04 * v**2 + 5 * v + 140 - u + current)
    u = u + a * (b * v - u)
    fired = v >= 30
    v, u = np.where(fired, c, v), u + d * fired
    return fired.astype(x.dtype), [v, u]


class AdaptiveSpikingCell(rk.Cell):
    """LSNN: leaky neurons with adaptive thresholds and a pause after each spike."""

    def __init__(self, units, threshold=0.4, pause=2, **kwargs):
        super().__init__(**kwargs)
        self.units, self.threshold, self.pause = units, threshold, pause
        self.state_size = [units] * 4

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], self.units), spread, name="kernel")
        self.recurrent_kernel = self.add_weight((self.units, self.units), halved, name="recurrent_kernel")

    def call(self, inputs, states):
        v, z, adaptation, wait = states
        weights = self.recurrent_kernel * ~np.eye(self.units, dtype=bool)
        adaptation = 0.97 * adaptation + z
        limit = self.threshold + 0.2 * adaptation
        v = 0.9 * v + inputs @ self.kernel + z @ weights - z * limit
        z = np.logical_and(v > limit, wait <= 0).astype(v.dtype)
        wait = np.maximum(wait - 1, 0) + self.pause * z
        return z, [v, z, adaptation, wait]


class KWinnersCell(rk.Cell):
    """Only the k strongest units stay on, those that were on less of late with a better chance."""

    def __init__(self, units, k=4, **kwargs):
        super().__init__(**kwargs)
        self.units, self.k, self.state_size = units, k, [units, units]

    def build(self, input_shape):
        self.W = self.add_weight((input_shape[-1] + self.units + 1, self.units), spread, name="W")

    def call(self, inputs, states):
        h, duty = states
        z = np.concatenate([np.ones((inputs.shape[0], 1)), inputs, h], axis=1) @ self.W
        boosted = z * np.exp(self.k / self.units - duty)
        threshold = np.sort(boosted, axis=1)[:, -self.k]
        on = boosted >= threshold[:, None]
        h = np.zeros_like(z)
        h[on] = z[on]
        return h / (1 + np.abs(h)), [np.tanh(h), 0.9 * duty + 0.1 * on]
