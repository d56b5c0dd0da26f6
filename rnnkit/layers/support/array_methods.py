"""Methods of arrays for what stands for one."""

from __future__ import annotations

from typing import Any

import numpy as np


class ArrayMethods(np.lib.mixins.NDArrayOperatorsMixin):
    """Base of objects that NumPy's functions take: an array's operators and methods, by these."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> Any:
        return NotImplemented if other is None or isinstance(other, str) else super().__eq__(other)

    def __ne__(self, other: object) -> Any:
        return NotImplemented if other is None or isinstance(other, str) else super().__ne__(other)

    @property
    def T(self) -> Any:
        """The array with its axes reversed, which has to have no batch axis."""
        return self.transpose()

    def reshape(self, *shape: Any) -> Any:
        """Reshape the array as `numpy.reshape` does; the first None in a symbolic one's shape is the batch size."""
        new: Any = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        return np.reshape(self, new)  # type: ignore[call-overload]

    def transpose(self, *axes: Any) -> Any:
        """Permute the axes as `numpy.transpose` does."""
        order: Any = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes or None
        return np.transpose(self, order)  # type: ignore[call-overload]


def _reduction(name):
    def method(self, axis=None, **keywords):
        return getattr(np, name)(self, axis=axis, **keywords)

    method.__doc__ = f"As `numpy.{name}`."
    return method


for _name in ("sum", "mean", "max", "min", "prod", "std", "var", "argmax", "argmin", "cumsum"):
    setattr(ArrayMethods, _name, _reduction(_name))
