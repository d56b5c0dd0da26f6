"""Keras's constraints, which weights keep to whatever their gradients are.

A constraint is a callable ``weight -> weight`` that an optimizer applies after each update. Those here are small
immutable objects, known by name (``"non_neg"``); a function of one's own will do as well.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from rnnkit.arguments import integer, number_from_zero
from rnnkit.arrays import real
from rnnkit.docstrings import described_as
from rnnkit.hints import Array
from rnnkit.serialization.configuration import named, named_config
from rnnkit.serialization.registry import Settings

__all__ = ["Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm", "get"]

_EPSILON = 1e-7  # Keras's, added to a norm that may be 0


class Constraint(Settings):
    """Base of the constraints here: ``constraint(weight)`` is a new array of the same shape.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> class AtMost(rk.constraints.Constraint):
    ...     def __call__(self, weight):
    ...         return np.minimum(weight, 1.0)
    >>> AtMost()(np.array([0.5, 3.0])).tolist()
    [0.5, 1.0]
    """

    __slots__ = ()

    def __call__(self, weight: Array) -> np.ndarray:
        """Return the weight under the constraint."""
        raise NotImplementedError


def _axis(axis, what: str):
    """Return an axis, or several as a tuple, also from the list of a configuration."""
    return tuple(integer(one, what) for one in axis) if isinstance(axis, (list, tuple)) else integer(axis, what)


class _Checked(Constraint):
    """Base of the constraints here: floats are finite and 0 or more."""

    __slots__ = ()
    _checks: ClassVar = {"float": number_from_zero, "axis": _axis}


@dataclass(frozen=True, slots=True)
class MaxNorm(_Checked):
    """A constraint that scales vectors longer than `max_value` to that length (Srivastava et al. 2014).

    Parameters
    ----------
    max_value : float
        0 or more.
    axis : int or tuple of int
        Axes along which lengths are taken: 0 for what reaches one unit from all inputs.

    Raises
    ------
    ValueError or TypeError
        For a setting outside of its range.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.constraints.MaxNorm(1.0)(np.array([[3.0, 0.3], [4.0, 0.4]])).round(3).tolist()
    [[0.6, 0.3], [0.8, 0.4]]
    """

    max_value: float = 2.0
    axis: int | tuple[int, ...] = 0

    def __call__(self, weight: Array) -> Any:
        """Return ``w * clip(|w|, 0, max_value) / |w|``."""
        weight = real(weight, "weight")
        norms = _norms(weight, self.axis)
        return _scaled(weight, np.clip(norms, 0, self.max_value) / (_EPSILON + norms))


@dataclass(frozen=True, slots=True)
class MinMaxNorm(_Checked):
    """A constraint that brings lengths between `min_value` and `max_value`.

    Parameters
    ----------
    min_value, max_value : float
        0 or more, the second not below the first.
    rate : float
        The share of the way to an allowed length that an update goes; 1 for all of it.
    axis : int or tuple of int
        As in `MaxNorm`.

    Raises
    ------
    ValueError or TypeError
        For a setting outside of its range.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.constraints.MinMaxNorm(1.0, 2.0)(np.array([[3.0, 0.3], [4.0, 0.4]])).round(3).tolist()
    [[1.2, 0.6], [1.6, 0.8]]
    """

    min_value: float = 0.0
    max_value: float = 1.0
    rate: float = 1.0
    axis: int | tuple[int, ...] = 0

    def __post_init__(self) -> None:
        _Checked.__post_init__(self)
        if self.min_value > self.max_value:
            raise ValueError(f"expected min_value to be at most max_value, got {self.min_value} and {self.max_value}")
        if self.rate > 1:
            raise ValueError(f"expected rate to be between 0 and 1, got {self.rate}")

    def __call__(self, weight: Array) -> Any:
        """Return ``w * (rate * clip(|w|, min_value, max_value) + (1 - rate) * |w|) / |w|``."""
        weight = real(weight, "weight")
        norms = _norms(weight, self.axis)
        wanted = self.rate * np.clip(norms, self.min_value, self.max_value) + (1 - self.rate) * norms
        return _scaled(weight, wanted / (_EPSILON + norms))


@dataclass(frozen=True, slots=True)
class UnitNorm(_Checked):
    """A constraint that scales everything to length 1.

    Parameters
    ----------
    axis : int or tuple of int
        As in `MaxNorm`.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.constraints.UnitNorm()(np.array([[3.0, 0.3], [4.0, 0.4]])).round(3).tolist()
    [[0.6, 0.6], [0.8, 0.8]]
    """

    axis: int | tuple[int, ...] = 0

    def __call__(self, weight: Array) -> Any:
        """Return ``w / |w|``."""
        weight = real(weight, "weight")
        return _scaled(weight, 1 / (_EPSILON + _norms(weight, self.axis)))


@dataclass(frozen=True, slots=True)
class NonNeg(Constraint):
    """A constraint that sets negative entries to 0.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.constraints.NonNeg()(np.array([[3.0, -0.3]])).tolist()
    [[3.0, 0.0]]
    """

    def __call__(self, weight: Array) -> Any:
        """Return ``max(w, 0)``."""
        return np.maximum(real(weight, "weight"), 0)


def _norms(weight, axis):
    for one in axis if isinstance(axis, tuple) else (axis,):
        if not -weight.ndim <= one < weight.ndim:
            raise ValueError(f"expected an axis of the weight of shape {weight.shape}, got {one}")
    return np.sqrt(np.sum(np.square(weight, dtype=np.float64), axis=axis, keepdims=True))


def _scaled(weight, factor):
    return np.asarray(weight * factor, weight.dtype)


CONSTRAINTS = {"max_norm": MaxNorm, "min_max_norm": MinMaxNorm, "non_neg": NonNeg, "unit_norm": UnitNorm}
CLASSES = {kind.__name__: kind for kind in (MaxNorm, MinMaxNorm, NonNeg, UnitNorm)}


@described_as(named)
def get(identifier: Any) -> Callable[[np.ndarray], np.ndarray] | None:
    """Return the callable ``weight -> weight`` that an argument stands for.

    Parameters
    ----------
    identifier : str, callable, dict or None
        A name (``"max_norm"``, ``"min_max_norm"``, ``"non_neg"``, ``"unit_norm"``), a callable as it is, or
        ``{"class_name": …, "config": …}``; None for none.

    Returns
    -------
    callable or None
        ``weight -> weight``.

    Examples
    --------
    >>> import rnnkit as rk
    >>> rk.constraints.get("max_norm")
    MaxNorm(max_value=2.0, axis=0)
    """
    return named(identifier, CONSTRAINTS, CLASSES, Constraint, "constraint", function="weight")


def config_of(constraint) -> dict[str, Any] | str | None:
    """Return the JSON values from which `get` makes the constraint; a ValueError for a function without a name."""
    return named_config(constraint, CLASSES)
