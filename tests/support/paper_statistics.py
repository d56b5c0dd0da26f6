"""Filters, delay lines and running statistics: cells with few weights or none."""

import numpy as np
from cells_under_test import KERNEL, halved, spread

import rnnkit as rk


@rk.cell(
    states={"past": ("lags", "units")},
    weights={"kernel": KERNEL, "taps": rk.Weight(("lags*units", "units"), "glorot_uniform")},
)
def narx(x, states, weights):
    """The network sees its own last outputs."""
    (past,) = states
    y = np.tanh(x @ weights.kernel + past.reshape(past.shape[0], -1) @ weights.taps)
    return y, np.concatenate([y[:, None, :], past[:, :-1]], axis=1)


class DilatedBufferCell(rk.Cell):
    """One causal convolution of a TCN, step by step: a rolling buffer, every second entry of which is a tap."""

    def __init__(self, channels, features, taps=3, dilation=2, **kwargs):
        super().__init__(**kwargs)
        self.channels, self.taps, self.dilation = channels, taps, dilation
        self.state_size = [((taps - 1) * dilation + 1, features)]
        self.output_size = channels

    def build(self, input_shape):
        self.kernel = self.add_weight((self.taps, input_shape[-1], self.channels), name="kernel")
        self.bias = self.add_weight((self.channels,), spread, name="bias")

    def call(self, inputs, states):
        buffer = np.roll(states[0], 1, axis=1)
        buffer[:, 0] = inputs
        return rk.gelu(np.einsum("btf,tfc->bc", buffer[:, :: self.dilation], self.kernel) + self.bias), [buffer]


@rk.cell(states={"mean": (2,), "P": (2, 2)}, initial={"P": lambda batch: np.tile(np.eye(2), (batch, 1, 1))})
def kalman(x, states, *, q=(0.05, 0.01), r=0.5):
    """Local linear trend; the first feature is observed, NaN where it is missing."""
    mean, P = states
    F = np.array([[1.0, 1.0], [0.0, 1.0]])
    mean = mean @ F.T
    P = F @ P @ F.T + np.diag(q)
    innovation = x[:, 0] - mean[:, 0]
    S = P[:, 0, 0] + r
    gain = P[:, :, 0] / S[:, None]
    missing = np.isnan(innovation)
    update = np.where(missing[:, None], 0.0, gain * innovation[:, None])
    shrunk = P - gain[:, :, None] * P[:, 0:1, :]
    P = np.where(missing[:, None, None], P, (shrunk + shrunk.transpose(0, 2, 1)) / 2)
    return np.stack([mean[:, 0], S], axis=1), [mean + update, P]


@rk.cell(states={"variance": "features", "last": "features"}, initial={"variance": 1.0})
def garch(x, states, *, omega=0.1, alpha=0.1, beta=0.8):
    variance, last = states
    variance = omega + alpha * np.square(last) + beta * variance
    return -0.5 * (np.log(2 * np.pi * variance) + x**2 / variance), [variance, x]


@rk.cell(
    states={"log_alpha": "units"},
    weights={
        "transition": rk.Weight(("units", "units"), spread),
        "mean": rk.Weight(("units", "features"), spread),
        "log_scale": rk.Weight(("units", "features"), spread),
    },
)
def hidden_markov(x, states, weights):
    """The forward algorithm in logarithms, normalised at each step; Gaussian emissions."""
    (log_alpha,) = states
    log_A = weights.transition - np.log(np.sum(np.exp(weights.transition), axis=1, keepdims=True))
    z = (x[:, None, :] - weights.mean) * np.exp(-weights.log_scale)
    emission = -0.5 * (z**2).sum(axis=-1) - weights.log_scale.sum(axis=-1)
    joint = log_alpha[:, :, None] + log_A
    top = joint.max(axis=1, keepdims=True)
    log_alpha = emission + (top + np.log(np.exp(joint - top).sum(axis=1, keepdims=True)))[:, 0]
    evidence = np.logaddexp.reduce(log_alpha, axis=-1, keepdims=True)
    return evidence, log_alpha - evidence


@rk.cell(
    states={"delta": "units"},
    weights={"transition": rk.Weight(("units", "units"), spread), "kernel": KERNEL},
)
def viterbi(x, states, weights):
    """The best path's score and where it came from, as numbers."""
    (delta,) = states
    scores = delta[:, :, None] + weights.transition
    delta = scores.max(axis=1) + x @ weights.kernel
    return np.argmax(scores, axis=1).astype(x.dtype), delta - delta.max(axis=1, keepdims=True)


@rk.cell(states={"level": "features", "trend": "features", "season": ("period", "features")}, initial={"season": 0.1})
def holt_winters(x, states, *, alpha=0.3, beta=0.1, gamma=0.2, damped=0.95):
    level, trend, season = states
    first = season[:, 0]
    forecast = level + damped * trend + first
    new_level = alpha * (x - first) + (1 - alpha) * (level + damped * trend)
    trend = beta * (new_level - level) + (1 - beta) * damped * trend
    latest = gamma * (x - new_level) + (1 - gamma) * first
    season = np.concatenate([season[:, 1:], latest[:, None]], axis=1)
    return forecast, [new_level, trend, season]


class RunningMomentsCell(rk.Cell):
    """Welford's mean and variance; gives the standardised input."""

    def __init__(self, features, **kwargs):
        super().__init__(**kwargs)
        self.state_size = [1, features, features]
        self.output_size = features

    def call(self, inputs, states):
        count, mean, m_2 = states
        count = count + 1
        deviation = inputs - mean
        mean = mean + deviation / count
        m_2 = m_2 + deviation * (inputs - mean)
        spread_ = np.sqrt(np.where(count > 1, m_2 / np.maximum(count - 1, 1), 1.0))
        return np.clip((inputs - mean) / (spread_ + 1e-3), -5, 5), [count, mean, m_2]


@rk.cell(states={"high": "features", "low": "features"})
def cumulative_sums(x, states, *, slack=0.2, limit=1.5):
    """Page's two-sided chart; both sums start again after an alarm."""
    high, low = states
    high, low = np.maximum(0, high + x - slack), np.maximum(0, low - x - slack)
    alarm = (high > limit) | (low > limit)
    return np.where(alarm, np.where(high > low, 1.0, -1.0), 0.0), [np.where(alarm, 0, high), np.where(alarm, 0, low)]


@rk.cell(
    states={"w": "features", "P": ("features", "features")},
    initial={"P": lambda batch: 10 * np.tile(np.eye(3), (batch, 1, 1))},
)
def least_squares(x, states, *, forget=0.98):
    """Recursive least squares: the last feature as a linear function of the others and one."""
    w, P = states
    regressors, target = x.copy(), x[:, -1]
    regressors[:, -1] = 1.0
    Pr = (P @ regressors[..., None])[..., 0]
    gain = Pr / (forget + np.einsum("bi,bi->b", regressors, Pr))[:, None]
    error = target - np.sum(w * regressors, axis=1)
    w = w + gain * error[:, None]
    P = (P - gain[:, :, None] * Pr[:, None, :]) / forget
    return error[:, None], [w, P]


@rk.cell(states={"h": "units"}, weights={"kernel": KERNEL, "W": rk.Weight(("units", "units"), halved)})
def hysteresis(x, states, weights, *, low=-0.1, high=0.2):
    """Schmitt triggers: on above one threshold, off below another, unchanged between."""
    (h,) = states
    z = x @ weights.kernel + h @ weights.W
    h = np.select([z > high, z < low], [np.ones_like(h), np.zeros_like(h)], default=h)
    return h, (h,)


@rk.cell(
    states={"alpha": "units"},
    weights={
        "transition": rk.Weight(("units", "units"), spread),
        "emission": rk.Weight(("units", 4), spread),
    },
    initial={"alpha": 0.2},
)
def discrete_markov(x, states, weights):
    """The forward algorithm over symbols 0 to 3, looked up in a table by the first feature."""
    (alpha,) = states
    symbol = (x[:, 0] > 0) + 2 * (x[:, 1] > 0).astype(int)
    emission = rk.softmax(weights.emission, axis=1)[:, symbol].T
    alpha = emission * (alpha @ rk.softmax(weights.transition, axis=1))
    total = alpha.sum(axis=1, keepdims=True)
    return np.log(total), alpha / total


@rk.cell(
    states={"mean": "units", "P": ("units", "units")},
    weights={
        "F": rk.Weight(("units", "units"), halved),
        "H": rk.Weight(("features", "units"), spread),
        "Q": rk.Weight(("units",), "ones"),
    },
    initial={"P": lambda batch: np.tile(np.eye(4), (batch, 1, 1))},
)
def kalman_filter(x, states, weights, *, noise=0.3):
    """All features observed, the innovations' covariance inverted; gives the likelihood's quadratic form."""
    mean, P = states
    F, H = weights.F, weights.H
    mean, P = mean @ F.T, F @ P @ F.T + np.diag(weights.Q**2)
    innovation = x - mean @ H.T
    S = H @ P @ H.T + noise * np.eye(x.shape[1])
    gain = np.linalg.solve(S, H @ P).transpose(0, 2, 1)
    distance = innovation[:, None, :] @ np.linalg.inv(S) @ innovation[:, :, None]
    mean = mean + (gain @ innovation[:, :, None])[:, :, 0]
    P = P - gain @ H @ P
    return distance[:, 0], [mean, 0.5 * (P + np.swapaxes(P, 1, 2))]
