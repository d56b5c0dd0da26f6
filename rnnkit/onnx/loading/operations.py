"""ONNX operators as traceable NumPy functions on arrays ``(rows, *features)``.

A function of whole arrays and the step of a recurrent or a memoryless layer are lists of these; see
`rnnkit.onnx.loading.cells`. Axes are counted from the first feature axis, after the rows; of whole arrays it is time.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from functools import reduce
from types import FunctionType

import numpy as np

from rnnkit import activations


def hard_sigmoid(x, alpha=0.2, beta=0.5):
    """Compute a linear function clipped to 0 and 1."""
    return np.minimum(np.maximum(alpha * x + beta, 0.0), 1.0)


def gelu(x, approximate="none"):
    """Compute x times the normal distribution function, or its approximation by tanh."""
    if approximate == "tanh":
        return 0.5 * x * (1.0 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)))
    return activations.gelu(x)


def clip(x, low=None, high=None):
    x = x if low is None else np.maximum(x, low)
    return x if high is None else np.minimum(x, high)


ELEMENTWISE: dict[str, Callable] = {
    **{name: getattr(np, name.lower()) for name in "Abs Ceil Cos Cosh Equal Exp Floor Greater IsNaN Less Log".split()},
    **{name: getattr(np, name.lower()) for name in "Sign Sin Sinh Sqrt Tan Tanh Where".split()},
    **{name: getattr(np, f"arc{name[1:].lower()}") for name in "Acos Acosh Asin Asinh Atan Atanh".split()},
    **{name: getattr(np, f"logical_{name.lower()}") for name in "And Not Or Xor".split()},
    **{name: getattr(activations, name.lower()) for name in "Erf Mish Relu Sigmoid Softplus Softsign".split()},
    "Add": np.add, "Div": np.divide, "GreaterOrEqual": np.greater_equal, "LessOrEqual": np.less_equal,
    "Mul": np.multiply, "Neg": np.negative, "Pow": np.power, "Round": np.rint, "Sub": np.subtract,
    "Max": lambda *arrays: reduce(np.maximum, arrays),
    "Min": lambda *arrays: reduce(np.minimum, arrays),
    "Sum": lambda *arrays: reduce(np.add, arrays),
    "Mean": lambda *arrays: reduce(np.add, arrays) / float(len(arrays)),
    "Celu": lambda x, alpha=1.0: np.maximum(x, 0.0) + np.minimum(alpha * np.expm1(np.minimum(x, 0.0) / alpha), 0.0),
    "Gelu": gelu, "HardSigmoid": hard_sigmoid,
    "Selu": lambda x, alpha=1.67326319217681884765625, gamma=1.05070102214813232421875: (
        gamma * activations.elu(x, alpha)
    ),
    "Shrink": lambda x, lambd=0.5, bias=0.0: np.where(x < -lambd, x + bias, np.where(x > lambd, x - bias, 0.0)),
    "Elu": lambda x, alpha=1.0: activations.elu(x, alpha),
    "HardSwish": lambda x: x * hard_sigmoid(x, 1 / 6, 0.5),
    "LeakyRelu": lambda x, alpha=0.01: activations.leaky_relu(x, alpha),
    "Mod": lambda a, b, fmod=0: np.fmod(a, b) if fmod else np.remainder(a, b),
    "PRelu": lambda x, slope: np.where(x < 0, slope * x, x),
    "Reciprocal": lambda x: 1.0 / x,
    "Swish": lambda x, alpha=1.0: x * activations.sigmoid(alpha * x),
    "ThresholdedRelu": lambda x, alpha=1.0: np.where(x > alpha, x, 0.0),
}  # fmt: skip


# Of the recurrent operators.
ACTIVATIONS: dict[str, Callable] = {
    name: ELEMENTWISE[name]
    for name in "Relu Tanh Sigmoid LeakyRelu ThresholdedRelu HardSigmoid Elu Softsign Softplus".split()
} | {
    "Affine": lambda x, alpha=1.0, beta=0.0: alpha * x + beta,
    "ScaledTanh": lambda x, alpha=1.0, beta=1.0: alpha * np.tanh(beta * x),
}


def options_of(function: Callable) -> dict[str, float | str]:
    """Return the options of a function of these tables, by ONNX's names, with their defaults."""
    given = inspect.signature(function).parameters if isinstance(function, FunctionType) else {}
    return {name: one.default for name, one in given.items() if one.default is not one.empty}


def _logsumexp(x, axis, keepdims=False):
    top = np.max(x, axis=axis, keepdims=True)
    total = np.log(np.sum(np.exp(x - top), axis=axis, keepdims=True)) + top
    return total if keepdims else np.squeeze(total, axis=axis)


REDUCTIONS: dict[str, Callable] = {
    "ReduceL1": lambda x, axis, **k: np.sum(np.abs(x), axis=axis, **k),
    "ReduceL2": lambda x, axis, **k: np.sqrt(np.sum(x * x, axis=axis, **k)),
    "ReduceLogSum": lambda x, axis, **k: np.log(np.sum(x, axis=axis, **k)),
    "ReduceLogSumExp": _logsumexp,
    "ReduceMax": np.max,
    "ReduceMean": np.mean,
    "ReduceMin": np.min,
    "ReduceProd": np.prod,
    "ReduceSum": np.sum,
    "ReduceSumSquare": lambda x, axis, **k: np.sum(x * x, axis=axis, **k),
}


def _reduce(op):
    return lambda x, axes: REDUCTIONS[op](x, axis=tuple(axis + 1 for axis in axes))


def layer_norm(x, *scale_and_bias, axes, epsilon):
    """Normalize to mean 0 and variance 1 along axes of features, then scale and shift."""
    axis = tuple(a + 1 for a in axes)
    centred = x - np.mean(x, axis=axis, keepdims=True)
    result = centred / np.sqrt(np.mean(centred * centred, axis=axis, keepdims=True) + epsilon)
    if scale_and_bias:
        result = result * scale_and_bias[0]
    return result + scale_and_bias[1] if len(scale_and_bias) > 1 else result


def _sized(x, shape, like=None):
    """Return sizes ``(rows, *shape)``, where None is the size that x or `like` has there."""
    known = (x if like is None else like).shape
    return (x.shape[0], *(known[i] if size is None else size for i, size in enumerate(shape, 1)))


OPERATIONS: dict[str, Callable] = {
    **ELEMENTWISE,
    **ACTIVATIONS,
    "ArgMax": lambda x, axis: np.argmax(x, axis=axis + 1),
    "ArgMin": lambda x, axis: np.argmin(x, axis=axis + 1),
    **{op: _reduce(op) for op in REDUCTIONS},
    "Clip": clip,
    "Concat": lambda *arrays, axis: np.concatenate(arrays, axis=axis + 1),
    "CumSum": lambda x, axis: np.cumsum(x, axis=axis + 1),
    "EachStep": lambda x, like: np.broadcast_to(x[:, None], (x.shape[0], like.shape[1], *x.shape[1:])),
    "Einsum": lambda *arrays, equation: np.einsum(equation, *arrays),
    "Expand": lambda x, *like, shape: np.broadcast_to(x, _sized(x, shape, *like)),
    "LayerNormalization": layer_norm,
    "Length": lambda x: np.zeros_like(x.reshape((x.shape[0], -1))[:, 0]) + x.shape[1],
    "LogSoftmax": lambda x, axis: activations.log_softmax(x, axis + 1),
    "NotZero": lambda x: x != 0,
    "Number": lambda x: np.where(x, 1.0, 0.0),
    "Product": np.matmul,
    "Reshape": lambda x, shape: x.reshape(_sized(x, shape)),
    "Slice": lambda x, axis, start, stop, step: x[(slice(None),) * (axis + 1) + (slice(start, stop, step),)],
    "Rows": lambda x, like: np.broadcast_to(x, (like.shape[0], *np.shape(x))),
    "Softmax": lambda x, axis: activations.softmax(x, axis + 1),
    "Steps": lambda x: np.zeros_like(x.reshape((*x.shape[:2], -1))[:, :, 0]) + np.arange(x.shape[1]),
    "Squeeze": lambda x, axes: np.squeeze(x, axis=tuple(axis + 1 for axis in axes)),
    "Take": lambda x, axis, places: np.take(x, np.array(places), axis=axis + 1),
    "Transpose": lambda x, order: np.transpose(x, (0, *(axis + 1 for axis in order))),
    "Unsqueeze": lambda x, axes: np.expand_dims(x, tuple(axis + 1 for axis in axes)) if axes else x,
    "Until": lambda lengths, like: np.where(np.arange(like.shape[1]) < lengths[:, None], 1.0, 0.0),
}
