"""Penalties on the size of weights, which training adds to the loss: Keras's regularizers.

A regularizer is a callable ``weight -> float`` that knows its gradient. Those here are small immutable objects, known
by name (``"l2"``).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np

from rnnkit.arguments import number_from_zero
from rnnkit.arrays import real
from rnnkit.docstrings import described_as
from rnnkit.hints import Array
from rnnkit.serialization.configuration import named, named_config
from rnnkit.serialization.registry import Settings

__all__ = ["L1", "L1L2", "L2", "Regularizer", "get"]


class Regularizer(Settings):
    """Base of regularizers: one of your own defines ``__call__`` and `gradient`.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> class Towards(rk.regularizers.Regularizer):
    ...     def __call__(self, weight):
    ...         return 0.5 * float(np.sum((weight - 1) ** 2, dtype=np.float64))
    ...     def gradient(self, weight):
    ...         return weight - 1
    >>> Towards()(np.zeros(3))
    1.5
    """

    __slots__ = ()

    def __call__(self, weight: Array) -> float:
        """Return the penalty of a weight."""
        raise NotImplementedError

    def gradient(self, weight: Array) -> np.ndarray:
        """Return the penalty's gradient, an array like `weight`."""
        raise NotImplementedError


@dataclass(frozen=True, slots=True)
class L1L2(Regularizer):
    """``l1 * sum(|w|) + l2 * sum(w²)``.

    Parameters
    ----------
    l1, l2 : float
        0 or more.

    Raises
    ------
    ValueError
        For another number.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.regularizers.L1L2(l1=1.0, l2=0.5)(np.array([2.0, -4.0]))
    16.0
    """

    _checks: ClassVar = {"l1": number_from_zero, "l2": number_from_zero}
    _fixed: ClassVar[str] = ""  # a setting that is 0
    l1: float = 0.0
    l2: float = 0.0

    def __call__(self, weight: Array) -> float:
        """Return the penalty of a weight, summed in float64."""
        weight, penalty = real(weight, "weight"), 0.0
        if self.l1:
            penalty += self.l1 * float(np.sum(np.abs(weight), dtype=np.float64))
        if self.l2:
            penalty += self.l2 * float(np.sum(np.square(weight, dtype=np.float64)))
        return penalty

    def gradient(self, weight: Array) -> np.ndarray:
        """Compute ``l1 * sign(w) + 2 * l2 * w``."""
        weight = real(weight, "weight")
        return self.l1 * np.sign(weight) + 2 * self.l2 * weight

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments."""
        return {name: value for name, value in asdict(self).items() if name != self._fixed}

    def __repr__(self) -> str:
        shown = ", ".join(f"{name}={value!r}" for name, value in L1L2.get_config(self).items())
        return f"{type(self).__qualname__}({shown})"


class L1(L1L2):
    """``l1 * sum(|w|)``, which draws weights to exactly 0.

    Parameters
    ----------
    l1 : float
        0 or more.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.regularizers.L1(0.01)(np.array([1.0, -2.0]))
    0.03
    """

    __slots__ = ()
    _fixed = "l2"

    def __init__(self, l1: Any = 0.01):
        super().__init__(l1=l1)


class L2(L1L2):
    """``l2 * sum(w²)``, which keeps weights small.

    Parameters
    ----------
    l2 : float
        0 or more.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.regularizers.L2(0.01)(np.array([1.0, -2.0]))
    0.05
    """

    __slots__ = ()
    _fixed = "l1"

    def __init__(self, l2: Any = 0.01):
        super().__init__(l2=l2)


REGULARIZERS = {"l1": L1, "l2": L2, "l1_l2": L1L2}
CLASSES = {kind.__name__: kind for kind in (L1, L2, L1L2)}


@described_as(named)
def get(identifier: Any) -> Regularizer | None:
    """Return the regularizer that an argument stands for.

    Parameters
    ----------
    identifier : str, Regularizer, dict or None
        A name (``"l1"``, ``"l2"``, ``"l1_l2"``), an object as it is, or ``{"class_name": …, "config": …}``; None for
        no penalty.

    Returns
    -------
    Regularizer or None

    Examples
    --------
    >>> import rnnkit as rk
    >>> rk.regularizers.get("l2")
    L2(l2=0.01)
    """
    return named(identifier, REGULARIZERS, CLASSES, Regularizer, "regularizer")


def config_of(regularizer) -> dict[str, Any] | str | None:
    """Return the JSON values from which `get` makes the regularizer again."""
    return named_config(regularizer, CLASSES)
