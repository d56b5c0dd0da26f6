"""Losses: functions of ``(y_true, y_pred)`` in NumPy, and as objects with settings.

Each takes arrays of the same number of axes, reduces the last one, and gives a loss for each row ``(B,)`` or each step
``(B, T)``. In training, the mean over these is over used steps, after sample weights multiplied them. These are
functions like anybody's own: training compiles them, and metrics call them as they are. Names and formulas are Keras's.

>>> import numpy as np
>>> mean_squared_error(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]]))
array([2.])
>>> get("huber")(np.array([[0.0]]), np.array([[3.0]]))
array([2.5])
>>> Huber(delta=2.0)(np.array([[0.0]]), np.array([[3.0]]))
array([4.])
"""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, dataclass_transform

import numpy as np

from rnnkit import docstrings
from rnnkit.activations import log_softmax, softplus
from rnnkit.arguments import fraction, real_number
from rnnkit.arrays import numbers_of, real, refuse
from rnnkit.docstrings import described_as
from rnnkit.hints import Array
from rnnkit.serialization import registry
from rnnkit.serialization.configuration import named, named_config
from rnnkit.serialization.registry import Settings

EPSILON = 1e-7  # Keras's: probabilities stay so far from 0 and 1
MOST_LOG_VARIANCE = 30.0  # beyond, exp overflows float32 with errors of ordinary size


def check_arrays(y_true, y_pred) -> None:
    """Refuse what isn't a plain array, or what stands for one where a loss is traced."""
    for value, what in ((y_true, "y_true"), (y_pred, "y_pred")):
        if isinstance(value, np.ndarray):
            real(value, what)
        elif not hasattr(type(value), "__rnnkit_function__"):
            refuse(value, what)
            raise TypeError(f"expected {what} to be an array, got {type(value).__name__}; pass np.asarray({what})")


def _check_alike(y_true, y_pred, lengths=None) -> None:
    """Refuse arrays that NumPy would broadcast against each other."""
    check_arrays(y_true, y_pred)
    lengths = (y_pred.shape[-1],) if lengths is None else lengths
    if y_true.ndim != y_pred.ndim or y_true.shape[-1] not in lengths:
        wanted = " or ".join(map(str, lengths))
        raise ValueError(
            f"expected y_true with {y_pred.ndim} axes, {wanted} long at the end, got {y_true.ndim} axes"
            + (f", {y_true.shape[-1]} long at the end" if y_true.ndim else "")
        )


def mean_squared_error(y_true: Array, y_pred: Array) -> Any:
    """Compute ``mean((y_pred - y_true)^2)`` over the last axis.

    Parameters
    ----------
    y_true : ndarray (…, D)
    y_pred : ndarray (…, D)

    Returns
    -------
    ndarray (…)
        A loss for each row, or for each step.

    Raises
    ------
    ValueError
        For arrays of other shapes.
    TypeError
        For what isn't an array.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.losses.mean_squared_error(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]])).round(4)
    array([2.])
    """
    _check_alike(y_true, y_pred)
    return np.mean(np.square(y_pred - y_true), axis=-1)


@described_as(mean_squared_error)
def mean_absolute_error(y_true: Array, y_pred: Array) -> Any:
    """Compute ``mean(|y_pred - y_true|)`` over the last axis.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.losses.mean_absolute_error(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]])).round(4)
    array([1.])
    """
    _check_alike(y_true, y_pred)
    return np.mean(np.abs(y_pred - y_true), axis=-1)


@described_as(mean_squared_error)
def mean_absolute_percentage_error(y_true: Array, y_pred: Array) -> Any:
    """Compute ``mean(100 |y_pred - y_true| / |y_true|)`` over the last axis.

    Sizes of y_true below 1e-7 count as 1e-7.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.losses.mean_absolute_percentage_error(np.array([[1.0, 2.0]]), np.array([[1.0, 4.0]])).round(4)
    array([50.])
    """
    _check_alike(y_true, y_pred)
    return 100.0 * np.mean(np.abs(y_true - y_pred) / np.maximum(np.abs(y_true), EPSILON), axis=-1)


@described_as(mean_squared_error)
def mean_squared_logarithmic_error(y_true: Array, y_pred: Array) -> Any:
    """Compute ``mean((log(1 + y_pred) - log(1 + y_true))^2)`` over the last axis.

    What is below 1e-7 counts as 1e-7.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.losses.mean_squared_logarithmic_error(np.array([[0.0, 1.0]]), np.array([[0.0, 3.0]])).round(4)
    array([0.2402])
    """
    _check_alike(y_true, y_pred)
    difference = np.log1p(np.maximum(y_pred, EPSILON)) - np.log1p(np.maximum(y_true, EPSILON))
    return np.mean(np.square(difference), axis=-1)


@described_as(mean_squared_error)
def hinge(y_true: Array, y_pred: Array) -> Any:
    """Compute ``max(1 - y_true y_pred, 0)`` for labels of -1 and 1, or of 0 and 1; the mean over the last axis.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.losses.hinge(np.array([[1.0, -1.0]]), np.array([[0.5, 0.5]])).round(4)
    array([1.])
    """
    _check_alike(y_true, y_pred)
    return np.mean(np.maximum(1.0 - np.where(y_true == 0, -1.0, y_true) * y_pred, 0.0), axis=-1)


@described_as(mean_squared_error)
def squared_hinge(y_true: Array, y_pred: Array) -> Any:
    """Compute the square of what `hinge` is the mean of; the mean over the last axis.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.losses.squared_hinge(np.array([[1.0, -1.0]]), np.array([[0.5, 0.5]])).round(4)
    array([1.25])
    """
    _check_alike(y_true, y_pred)
    return np.mean(np.square(np.maximum(1.0 - np.where(y_true == 0, -1.0, y_true) * y_pred, 0.0)), axis=-1)


@described_as(mean_squared_error)
def categorical_hinge(y_true: Array, y_pred: Array) -> Any:
    """Compute ``max(1 + the largest prediction of another class - that of y_true's class, 0)`` for one-hot y_true.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.losses.categorical_hinge(np.array([[0.0, 1.0, 0.0]]), np.array([[0.25, 0.5, 0.25]])).round(4)
    array([0.75])
    """
    _check_alike(y_true, y_pred)
    right = np.sum(y_true * y_pred, axis=-1)
    wrong = np.max((1.0 - y_true) * y_pred, axis=-1)
    return np.maximum(wrong - right + 1.0, 0.0)


@described_as(mean_squared_error)
def huber(y_true: Array, y_pred: Array, delta: float = 1.0) -> Any:
    """Compute ``e^2 / 2`` for errors up to `delta`, ``delta (|e| - delta / 2)`` beyond; the mean over the last axis.

    Huber (1964).

    Parameters
    ----------
    delta : float above 0
        Where the loss becomes linear, in units of y.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.losses.huber(np.array([[0.0, 0.0]]), np.array([[0.5, 3.0]]), delta=2.0).round(4)
    array([2.0625])
    """
    _check_alike(y_true, y_pred)
    size = np.abs(y_pred - y_true)
    near = np.minimum(size, delta)  # e^2 of a large error would overflow
    return np.mean(0.5 * np.square(near) + delta * (size - near), axis=-1)


@described_as(mean_squared_error)
def log_cosh(y_true: Array, y_pred: Array) -> Any:
    """Compute ``log(cosh(y_pred - y_true))``, a smooth absolute error; the mean over the last axis.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.losses.log_cosh(np.array([[0.0]]), np.array([[2.0]])).round(4)
    array([1.325])
    """
    _check_alike(y_true, y_pred)
    size = np.abs(y_pred - y_true)
    return np.mean(size + softplus(-2.0 * size) - math.log(2.0), axis=-1)


@described_as(mean_squared_error)
def quantile(y_true: Array, y_pred: Array, levels: Any = 0.5) -> Any:
    """Compute the pinball loss ``max(q e, (q - 1) e)``, ``e = y_true - y_pred``; the mean over the last axis.

    Koenker and Bassett (1978). The best y_pred for a level q is the q-quantile of y_true.

    Parameters
    ----------
    y_true : ndarray
        With several levels, one value on its last axis, or one for each level.
    y_pred : ndarray
        With several levels, one value for each on its last axis.
    levels : float or sequence of float
        Between 0 and 1.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.losses.quantile(np.array([[1.0]]), np.array([[0.0, 2.0]]), levels=[0.1, 0.9]).round(4)
    array([0.1])
    """
    several = np.ndim(levels) > 0
    _check_alike(y_true, y_pred, (1, len(levels)) if several else None)
    if several and y_pred.shape[-1] != len(levels):
        raise ValueError(f"expected y_pred with {len(levels)} quantiles on its last axis, got {y_pred.shape[-1]}")
    level = np.array(levels, np.float64).astype(y_pred.dtype) if several else float(levels)
    error = y_true - y_pred
    return np.mean(np.maximum(level * error, (level - 1.0) * error), axis=-1)


@described_as(mean_squared_error)
def binary_crossentropy(y_true: Array, y_pred: Array, from_logits: bool = False, label_smoothing: float = 0.0) -> Any:
    """Compute ``-y_true log(p) - (1 - y_true) log(1 - p)``; the mean over the last axis.

    Parameters
    ----------
    y_true : ndarray
        Between 0 and 1.
    y_pred : ndarray of y_true's shape
        Probabilities p, clipped at 1e-7 and 1 - 1e-7; or logits, ``p = sigmoid(y_pred)``, exact in both tails.
    from_logits : bool
        Whether y_pred holds logits rather than probabilities.
    label_smoothing : float in [0, 1]
        Move y_true so far towards 1/2.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.losses.binary_crossentropy(np.array([[1.0, 0.0]]), np.array([[0.9, 0.2]]), label_smoothing=0.1).round(4)
    array([0.2538])
    """
    _check_alike(y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + 0.5 * label_smoothing
    if from_logits:
        return np.mean(softplus(y_pred) - y_true * y_pred, axis=-1)
    p = np.clip(y_pred, EPSILON, 1.0 - EPSILON)
    return -np.mean(y_true * np.log(p) + (1.0 - y_true) * np.log(1.0 - p), axis=-1)


def _log_probabilities(y_pred, from_logits):
    if from_logits:
        return log_softmax(y_pred)
    p = y_pred / np.maximum(np.sum(y_pred, axis=-1, keepdims=True), EPSILON)
    return np.log(np.clip(p, EPSILON, 1.0 - EPSILON))


@described_as(mean_squared_error)
def categorical_crossentropy(
    y_true: Array, y_pred: Array, from_logits: bool = False, label_smoothing: float = 0.0
) -> Any:
    """Compute ``-sum(y_true log(p))`` over the last axis, whose entries are classes.

    Parameters
    ----------
    y_true : ndarray
        One-hot, or probabilities of the classes.
    y_pred : ndarray of y_true's shape
        Probabilities p, which are divided by their sum and clipped at 1e-7; or logits, ``p = softmax(y_pred)``.
    from_logits : bool
        Whether y_pred holds logits rather than probabilities.
    label_smoothing : float in [0, 1]
        Move y_true so far towards the same for all classes.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.losses.categorical_crossentropy(np.array([[0.0, 1.0]]), np.array([[0.2, 0.8]]), label_smoothing=0.1).round(4)
    array([0.2925])
    """
    _check_alike(y_true, y_pred)
    if label_smoothing:
        y_true = y_true * (1.0 - label_smoothing) + label_smoothing / y_pred.shape[-1]
    return -np.sum(y_true * _log_probabilities(y_pred, from_logits), axis=-1)


@described_as(mean_squared_error)
def sparse_categorical_crossentropy(
    y_true: Array, y_pred: Array, from_logits: bool = False, ignore_class: int | None = None
) -> Any:
    """Compute ``-log(p[y_true])``: `categorical_crossentropy` for classes by their numbers.

    Parameters
    ----------
    y_true : ndarray
        Numbers from 0 on, of y_pred's shape without the last axis, or with 1 in its place.
    y_pred : ndarray
        Probabilities p of the classes, which are divided by their sum and clipped at 1e-7; or logits.
    from_logits : bool
        Whether y_pred holds logits rather than probabilities.
    ignore_class : int, optional
        A number in y_true whose loss is 0; means over entries leave these out, as those under a mask.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.losses.sparse_categorical_crossentropy(np.array([[1]]), np.array([[0.2, 0.8]]), from_logits=True).round(4)
    array([0.4375])
    """
    check_arrays(y_true, y_pred)
    if y_true.ndim == y_pred.ndim - 1:
        y_true = y_true[..., None]
    _check_alike(y_true, y_pred, (1,))
    numbers = numbers_of(y_pred)
    chosen = y_true == np.arange(y_pred.shape[-1], like=numbers if isinstance(numbers, np.ndarray) else None)
    if ignore_class is not None:
        chosen = np.logical_and(chosen, y_true != ignore_class)
    return -np.sum(np.where(chosen, _log_probabilities(y_pred, from_logits), 0.0), axis=-1)


@described_as(mean_squared_error)
def gaussian_negative_log_likelihood(y_true: Array, y_pred: Array) -> Any:
    """Compute ``(log(2 pi) + s + (y_true - m)^2 exp(-s)) / 2`` of normal distributions.

    Nix and Weigend (1994). The mean over y_true's last axis.

    Parameters
    ----------
    y_true : ndarray (…, D)
    y_pred : ndarray (…, 2 D)
        First the means m, then the logarithms s of the variances, which are clipped at -30 and 30.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.losses.gaussian_negative_log_likelihood(np.array([[0.0]]), np.array([[1.0, 0.0]])).round(4)
    array([1.4189])
    """
    check_arrays(y_true, y_pred)
    size = y_pred.shape[-1] // 2
    if 2 * size != y_pred.shape[-1]:
        raise ValueError(
            f"expected y_pred with as many log-variances as means on its last axis, got {y_pred.shape[-1]} values"
        )
    _check_alike(y_true, y_pred, (size,))
    mean = y_pred[..., :size]
    log_variance = np.clip(y_pred[..., size:], -MOST_LOG_VARIANCE, MOST_LOG_VARIANCE)
    scaled = np.square(y_true - mean) * np.exp(-log_variance)
    return np.mean(0.5 * (math.log(2.0 * math.pi) + log_variance + scaled), axis=-1)


@described_as(mean_squared_error)
def poisson(y_true: Array, y_pred: Array, log_input: Any = False) -> Any:
    """Compute ``y_pred - y_true log(y_pred + 1e-7)`` for counts y_true; the mean over the last axis.

    With `log_input`, y_pred is the logarithm of the rate: ``exp(y_pred) - y_true y_pred``.

    Parameters
    ----------
    log_input : bool
        Whether y_pred holds logarithms of rates.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.losses.poisson(np.array([[2.0]]), np.array([[1.5]])).round(4)
    array([0.6891])
    """
    _check_alike(y_true, y_pred)
    if log_input:
        return np.mean(np.exp(y_pred) - y_true * y_pred, axis=-1)
    return np.mean(y_pred - y_true * np.log(y_pred + EPSILON), axis=-1)


@described_as(mean_squared_error)
def kl_divergence(y_true: Array, y_pred: Array) -> Any:
    """Compute ``sum(y_true log(y_true / y_pred))`` over the last axis, both clipped at 1e-7 and 1.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.losses.kl_divergence(np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])).round(4)
    array([0.1438])
    """
    _check_alike(y_true, y_pred)
    y_true, y_pred = np.clip(y_true, EPSILON, 1.0), np.clip(y_pred, EPSILON, 1.0)
    return np.sum(y_true * (np.log(y_true) - np.log(y_pred)), axis=-1)


@described_as(mean_squared_error)
def cosine_similarity(y_true: Array, y_pred: Array) -> Any:
    """Compute ``-cos`` of the angle between y_true and y_pred as vectors along the last axis.

    It is -1 for the same direction.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.losses.cosine_similarity(np.array([[1.0, 0.0]]), np.array([[1.0, 1.0]])).round(4)
    array([-0.7071])
    """
    _check_alike(y_true, y_pred)
    y_true = 1.0 * y_true  # a square of small integers would overflow
    return -np.sum(_normalized(y_true) * _normalized(y_pred), axis=-1)


def _normalized(x):
    return x / np.sqrt(np.maximum(np.sum(np.square(x), axis=-1, keepdims=True), EPSILON**2))


class Loss(Settings):
    """Base of the losses with settings: frozen dataclasses, called as ``loss(y_true, y_pred)``.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> loss = rk.losses.Huber(delta=2.0)
    >>> loss.name, loss.get_config()
    ('huber', {'delta': 2.0})
    """

    name: ClassVar[str]

    def __call__(self, y_true: Array, y_pred: Array) -> Any:
        """Return the function of the same name with these settings."""
        return LOSSES[self.name](y_true, y_pred, **self.get_config())


def _positive(value, what: str) -> float:
    found = real_number(value, what)
    if not 0 < found < math.inf:
        raise ValueError(f"expected a finite {what} above 0, got {value!r}")
    return found


def _one_or_more_levels(value, what: str) -> float | tuple[float, ...]:
    several = isinstance(value, (tuple, list, np.ndarray))
    levels = tuple(real_number(level, "a level") for level in (value if several else [value]))
    if not levels or not all(0 < level < 1 for level in levels):
        raise ValueError(f"expected {what} between 0 and 1, got {value!r}")
    return levels if several else levels[0]


@dataclass_transform(frozen_default=True)
class _OfFunction(Loss):
    """Base of the objects of a loss ``of``, whose fields are the function's settings.

    Their names and docstrings are made of the function's. A setting in its example becomes the object's.
    """

    _checks: ClassVar = {"delta": _positive, "label_smoothing": fraction, "levels": _one_or_more_levels}

    def __init_subclass__(cls, of: Callable | None = None, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if of is None:  # a class derived from one here
            return
        cls.name = of.__name__
        if of.__doc__:
            told = {"": f"The loss `{cls.name}`, as an object.\n\n{docstrings.sections(of)['']}"}
            if inspect.signature(of).parameters.keys() & cls._checks.keys():
                told["Raises"] = "ValueError\n    For a setting outside of its range."
            call = rf"\.{cls.name}\((.*\))(?:, (\w+=.*))?\)\.round"
            example = docstrings.sections(of)["Examples"]
            told["Examples"] = re.sub(call, lambda m: f".{cls.__name__}({m[2] or ''})({m[1]}).round", example)
            cls.__doc__ = docstrings.text_of(told)
        described_as(of)(dataclass(frozen=True)(cls))


def _class_of(name: str, function: Callable) -> type[Loss]:
    """Make the class of a loss without settings."""
    return type(name, (_OfFunction,), {"__module__": __name__}, of=function)


MeanSquaredError: type[Loss] = _class_of("MeanSquaredError", mean_squared_error)
MeanAbsoluteError: type[Loss] = _class_of("MeanAbsoluteError", mean_absolute_error)
MeanAbsolutePercentageError: type[Loss] = _class_of("MeanAbsolutePercentageError", mean_absolute_percentage_error)
MeanSquaredLogarithmicError: type[Loss] = _class_of("MeanSquaredLogarithmicError", mean_squared_logarithmic_error)
Hinge: type[Loss] = _class_of("Hinge", hinge)
SquaredHinge: type[Loss] = _class_of("SquaredHinge", squared_hinge)
CategoricalHinge: type[Loss] = _class_of("CategoricalHinge", categorical_hinge)


class Huber(_OfFunction, of=huber):
    delta: float = 1.0


LogCosh: type[Loss] = _class_of("LogCosh", log_cosh)


class Quantile(_OfFunction, of=quantile):
    levels: float | tuple[float, ...] = 0.5


class BinaryCrossentropy(_OfFunction, of=binary_crossentropy):
    from_logits: bool = False
    label_smoothing: float = 0.0


class CategoricalCrossentropy(_OfFunction, of=categorical_crossentropy):
    from_logits: bool = False
    label_smoothing: float = 0.0


class SparseCategoricalCrossentropy(_OfFunction, of=sparse_categorical_crossentropy):
    from_logits: bool = False
    ignore_class: int | None = None


GaussianNegativeLogLikelihood: type[Loss] = _class_of("GaussianNegativeLogLikelihood", gaussian_negative_log_likelihood)


class Poisson(_OfFunction, of=poisson):
    log_input: bool = False


KLDivergence: type[Loss] = _class_of("KLDivergence", kl_divergence)
CosineSimilarity: type[Loss] = _class_of("CosineSimilarity", cosine_similarity)


CLASSES: dict[str, type[Loss]] = {kind.__name__: kind for kind in _OfFunction.__subclasses__()}
LOSSES: dict[str, Callable] = {kind.name: globals()[kind.name] for kind in CLASSES.values()}
__all__ = ["Loss", "get", *CLASSES, *LOSSES]
ALIASES = {
    "mse": "mean_squared_error",
    "mae": "mean_absolute_error",
    "mape": "mean_absolute_percentage_error",
    "msle": "mean_squared_logarithmic_error",
    "bce": "binary_crossentropy",
    "logcosh": "log_cosh",
    "pinball": "quantile",
    "gaussian_nll": "gaussian_negative_log_likelihood",
    "kld": "kl_divergence",
}
ALIASES |= {name.upper(): ALIASES[name] for name in ("mse", "mae", "mape", "msle", "bce", "kld")}


@described_as(named)
def get(identifier: Any) -> Callable:
    """Return the function ``(y_true, y_pred)`` that a `loss` argument stands for.

    Parameters
    ----------
    identifier : str, callable or dict
        A name as in Keras (``"mse"``, ``"huber"``, ``"BinaryCrossentropy"``), a function or an object as it is, or
        ``{"class_name": …, "config": …}``.

    Returns
    -------
    callable
        ``(y_true, y_pred) -> array``.

    Examples
    --------
    >>> import rnnkit as rk
    >>> rk.losses.get("mse").__name__
    'mean_squared_error'
    """
    if identifier is None:
        raise TypeError("expected a loss's name, a function of (y_true, y_pred) or a configuration; got None")
    names = LOSSES | {alias: LOSSES[name] for alias, name in ALIASES.items()} | CLASSES
    return named(identifier, names, CLASSES, Loss, "loss", function="(y_true, y_pred)")


def loss_config(identifier) -> str | dict:
    """Return what `get` makes the same loss of: a name, an object's settings, or how a function is known."""
    loss = get(identifier)
    if isinstance(loss, Loss):
        return named_config(loss, CLASSES)  # type: ignore[return-value]
    name = name_of(loss)
    return name if LOSSES.get(name) is loss else registry.name_of(loss)


def name_of(loss) -> str:
    """Return a loss's name: its function's, an object's own, or its class's."""
    return getattr(loss, "__name__", None) or getattr(loss, "name", None) or type(loss).__name__


def counted(ignored: int | None, y_true: np.ndarray) -> np.ndarray | None:
    """Return which classes by number ``(…, 1)`` aren't the ignored one; None without one."""
    return None if ignored is None else y_true[..., 0] != ignored


def takes_ids(loss) -> bool:
    """Return whether a loss reads classes by their numbers."""
    return loss is sparse_categorical_crossentropy or isinstance(loss, SparseCategoricalCrossentropy)
