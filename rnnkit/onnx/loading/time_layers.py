"""Functions along the time axis, for ONNX operators without a layer of Keras."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rnnkit.layers.base import no_mask
from rnnkit.layers.support import symbolic, validation
from rnnkit.layers.support.symbolic import leaves
from rnnkit.layers.support.validation import finite_under_mask
from rnnkit.layers.traced import Traced

FUNCTIONS: dict[str, Callable] = {
    "mean": lambda x: x.mean(axis=1),
    "sum": lambda x: x.sum(axis=1),
    "max": lambda x: x.max(axis=1),
    "min": lambda x: x.min(axis=1),
    "count": lambda x: np.zeros_like(x.reshape((x.shape[0], -1))[:, 0]) + x.shape[1],
    "numbers": lambda x: np.zeros_like(x.reshape((*x.shape[:2], -1))[:, :, 0]) + np.arange(x.shape[1]),
}
# The first array at every step of the second; a mask of the steps of the second, from the first, a length of each row.
OF_TWO: dict[str, Callable] = {
    "repeat": lambda x, like: np.broadcast_to(x[:, None], (x.shape[0], like.shape[1], *x.shape[1:])),
    "until": lambda lengths, like: np.where(np.arange(like.shape[1]) < lengths[:, None], 1.0, 0.0),
}


class OverSteps(Traced):
    """A function along time of an array ``(B, T, …)``, or of two; it passes no mask on.

    `function` is "slice", or a name in `FUNCTIONS` or `OF_TWO`.

    >>> OverSteps("slice", step=-1)(np.array([[1.0, 2.0, 3.0]]))
    array([[3., 2., 1.]])
    >>> OverSteps("until")([np.array([1, 3]), np.zeros((2, 3, 1))])
    array([[1., 0., 0.],
           [1., 1., 1.]])
    """

    _padding = "lengths"
    _axes = "batch, …"

    def __init__(self, function, start=None, stop=None, step=None, *, dtype=None, seed=None, name=None):
        super().__init__(dtype=dtype, seed=seed, name=name)
        known = ("slice", *FUNCTIONS, *OF_TWO)
        if function not in known:
            raise ValueError(f"expected a function among {', '.join(known)}; got {function!r}")
        self.function, self.start, self.stop, self.step = function, start, stop, step
        self._takes_list = function in OF_TWO

    def _result(self, arrays, mask, training):
        if self.function == "slice":
            return arrays[:, self.start : self.stop : self.step]
        return (FUNCTIONS | OF_TWO)[self.function](*leaves(arrays))

    def _taken(self, inputs, mask):
        taken = super()._taken(inputs, mask)
        return taken if self.function in OF_TWO else finite_under_mask(taken, mask)

    compute_mask = no_mask

    def _shape(self, shape):
        if symbolic.is_shape(shape) == (self.function in OF_TWO):
            raise TypeError(f"expected {1 + (self.function in OF_TWO)} arrays in {self.name!r}, got the shape {shape}")
        if self.function in OF_TWO:
            return [validation.shape(one, 1, self._axes) for one in shape]
        return validation.shape(shape, 2, self._axes)

    def _opened(self, shape):
        return shape

    def _check_shape(self, shape):
        """Any shapes that the function takes will do."""

    @property
    def _stream_refusal(self):  # type: ignore[override]
        last = (self.start, self.stop, self.step) in ((-1, None, None), (-1, None, 1))
        return None if last or self.function == "repeat" else super()._stream_refusal

    def _arguments(self):
        return repr(self.function)
