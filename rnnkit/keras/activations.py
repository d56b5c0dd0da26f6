"""Keras's activation functions, on arrays and inside steps."""

from __future__ import annotations

import numpy as np

from rnnkit import activations as plain
from rnnkit.keras.naming import gathered

swish = plain.silu
hard_swish = plain.hard_silu


def relu(x, negative_slope=0.0, max_value=None, threshold=0.0):
    """``max(x, 0)``; with a slope up to `threshold`, and at most `max_value`."""
    if negative_slope == 0.0 and max_value is None and threshold == 0.0:
        return plain.relu(x)
    above = np.where(x > threshold, x, negative_slope * (x - threshold))
    return above if max_value is None else np.minimum(above, max_value)


def gelu(x, approximate=False):
    """``x * Φ(x)``; `approximate` has the formula with tanh (Hendrycks and Gimpel 2016)."""
    if not approximate:
        return plain.gelu(x)
    return 0.5 * x * (1.0 + np.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))


def celu(x, alpha=1.0):
    """``max(x, 0) + min(0, alpha * (exp(x / alpha) - 1))`` (Barron 2017)."""
    return np.maximum(x, 0.0) + alpha * np.expm1(np.minimum(x, 0.0) / alpha)


def glu(x, axis=-1):
    """Return the first half of `x` along an axis, times the sigmoid of the second (Dauphin et al. 2017)."""
    first, second = np.split(x, 2, axis=axis)
    return first * plain.sigmoid(second)


def hard_tanh(x):
    """``clip(x, -1, 1)``."""
    return np.clip(x, -1.0, 1.0)


def hard_shrink(x, threshold=0.5):
    """`x` where its size is above `threshold`, 0 elsewhere."""
    return np.where(np.abs(x) > threshold, x, 0.0)


def soft_shrink(x, threshold=0.5):
    """`x` moved by `threshold` towards 0."""
    return np.sign(x) * np.maximum(np.abs(x) - threshold, 0.0)


def tanh_shrink(x):
    """``x - tanh(x)``."""
    return x - np.tanh(x)


def threshold(x, threshold, default_value):
    """`x` where it is above `threshold`, `default_value` elsewhere."""
    return np.where(x > threshold, x, default_value)


def squareplus(x, b=4):
    """``(x + sqrt(x² + b)) / 2`` (Barron 2021)."""
    return 0.5 * (x + np.sqrt(x * x + b))


def sparse_plus(x):
    """0 up to -1, ``(x + 1)² / 4`` up to 1, `x` beyond."""
    return np.where(x <= -1.0, 0.0, np.where(x < 1.0, 0.25 * np.square(x + 1.0), x))


def sparse_sigmoid(x):
    """``clip((x + 1) / 2, 0, 1)``."""
    return np.clip(0.5 * (x + 1.0), 0.0, 1.0)


def sparsemax(x, axis=-1):
    """Return the nearest vector whose entries are 0 or more and have the sum 1 (Martins and Astudillo 2016)."""
    x = np.moveaxis(x, axis, -1)
    ordered = np.flip(np.sort(x, axis=-1), -1)
    place = np.arange(1, x.shape[-1] + 1)
    above = np.cumsum(ordered, axis=-1) - 1.0
    count = np.sum(np.where(1.0 + place * ordered > above + 1.0, 1.0, 0.0), axis=-1, keepdims=True)
    chosen = np.sum(np.where(place == count, above, 0.0), axis=-1, keepdims=True) / count
    return np.moveaxis(np.maximum(x - chosen, 0.0), -1, axis)


def get(identifier):
    """Return the function that an activation argument stands for; None is linear."""
    own = globals().get(identifier) if isinstance(identifier, str) and identifier not in plain.ACTIVATIONS else None
    return own if callable(own) else plain.activation(identifier)


serialize = plain.activation_name
deserialize = get

_SAME = (
    "elu exponential hard_sigmoid hard_silu leaky_relu linear log_sigmoid log_softmax mish relu6 selu sigmoid silu "
    "softmax softplus softsign tanh"
)
__getattr__, __dir__ = gathered("activations", {"rnnkit.activations": _SAME})
