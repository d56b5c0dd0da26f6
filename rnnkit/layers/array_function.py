"""Any NumPy-style function of whole arrays as a layer: the batch axis first, the time axis in sight."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any, Self, Unpack

import numpy as np

from rnnkit.execution.array_functions import dtype_of, kind_of
from rnnkit.hints import Array, Config, CustomObjects, LayerOptions, Shape
from rnnkit.layers.base import any_shape, makes_no_mask
from rnnkit.layers.support import entry, symbolic, validation
from rnnkit.layers.support.symbolic import leaves, mapped
from rnnkit.layers.traced import Traced
from rnnkit.serialization.registry import find, name_of


class WholeArrays(Traced):
    """Base of layers of a user's function of whole arrays, of any shapes; a subclass has `_result` and `_lines`."""

    _takes_unbatched = _checked = True

    def _kind_of(self, dtype):
        return kind_of(dtype)

    def _taken(self, inputs, mask):
        taken = super()._taken(inputs, mask)
        given = leaves(taken)
        rows = {len(one) for i, one in enumerate(given) if i not in self._unbatched and one.ndim}
        if len(rows) > 1 or any(not one.ndim for i, one in enumerate(given) if i not in self._unbatched):
            raise ValueError(f"expected arrays of one batch size, got the shapes {[one.shape for one in given]}")
        return taken

    # Shapes and masks

    def _shape(self, shape):
        if not symbolic.is_shape(shape):
            return [self._shape(one) for one in shape]
        return validation.shape(shape, 0 if self._unbatched else 1, "batch, …")

    _check_shape = any_shape

    def _opened(self, shape):
        return shape

    def _given_for(self, node, shape):
        shapes, kinds = self._shapes_and_kinds(shape, [kind_of(tensor.dtype) for tensor in leaves(node.x)])
        return shapes, dtype_of(set(kinds), self.dtype)

    @makes_no_mask
    @entry.entered_mask
    def compute_mask(self, inputs: Array, mask: Array = None) -> Any:
        """Return the input's mask for results with its axes of batch and time, else None; of several, any's."""
        masks = [validation.array(one, "mask") != 0 for one in leaves(mask) if one is not None]
        several = isinstance(mask, (list, tuple))
        if not masks or (several and len(masks) < len(mask)) or len({one.shape for one in masks}) > 1:
            return None
        joined = np.logical_or.reduce(masks)
        given = [validation.numbers(one, "x") for one in leaves(inputs)]
        steps = self._masks(mask, given, False)
        kinds = [(one.shape, kind_of(one.dtype)) for one in (*given, *leaves(steps)) if one is not None]
        traced = self._traced(inputs, kinds, steps, False)
        found = [joined if len(s) and (len(given[0]), s[0]) == joined.shape[:2] else None for s in traced.shapes]
        return mapped(traced.nesting, found.__getitem__)

    @property
    def _stream_refusal(self):  # type: ignore[override]
        if not self._takes_steps_apart():
            return "reads several steps at once"
        products = any(traced.multiplies for traced in self._traces.values())
        return "has products of matrices, whose bits depend on the length" if products else None


class ArrayFunction(WholeArrays):
    """Any NumPy-style function of whole arrays, ``(B, …)`` each: time is an axis as any other; rows stay apart.

    The function is traced once for each kind of shapes, and differentiated as a step is.

    Parameters
    ----------
    function : callable
        From an array, or a list of arrays, to an array or a list of them, each with the batch axis first. One with a
        parameter ``mask`` or ``training`` is given these. A configuration needs one that is registered
        (`rnnkit.register`) or can be imported by its name.
    output_shape : ignored
        The function says it.
    mask : callable or array_like, optional
        ``(inputs, mask)`` to the mask that goes with the result, or that mask. None passes the input's on where the
        result has its axes of batch and time.
    arguments : dict, optional
        More keywords of the function, as JSON values.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> from rnnkit.layers.array_function import ArrayFunction
    >>> layer = ArrayFunction(lambda x: x[:, -1] - x.mean(axis=1))
    >>> y, pullback = layer.vjp(np.array([[[1.0], [5.0]]]))
    >>> y, pullback(np.ones_like(y)).x
    (array([[2.]]), array([[[-0.5],
            [ 0.5]]]))
    """

    mask: Any
    arguments: Any

    def __init__(
        self,
        function: Any,
        output_shape: Shape = None,
        mask: Any = None,
        arguments: Any = None,
        **options: Unpack[LayerOptions],
    ):
        super().__init__(**options)
        if not callable(function):
            raise TypeError(f"expected a function of arrays, got {function!r}")
        if arguments is not None and not isinstance(arguments, Mapping):
            raise TypeError(f"expected arguments as a dict by keyword, got {arguments!r}")
        self.function: Callable[..., Any] = function
        self.mask, self.arguments = mask, dict(arguments or {})

    def _result(self, arrays, mask, training):
        more = {n: v for n, v in (("mask", mask), ("training", training)) if self._takes(n)}
        return self.function(arrays, **(more | self.arguments))

    def _takes(self, name) -> bool:
        try:
            return name in inspect.signature(self.function).parameters and name not in self.arguments
        except (TypeError, ValueError):  # NumPy's own functions in C
            return False

    def _takes_mask(self):
        return self._takes("mask")

    def _lines(self):
        return (self.function,)

    @entry.entered_mask
    def compute_mask(self, inputs: Array, mask: Array = None) -> Any:
        """Return what `mask` says; without it the input's, for results that have its axes of batch and time."""
        if self.mask is None:
            return super().compute_mask(inputs, mask)
        return self.mask(inputs, mask) if callable(self.mask) else validation.array(self.mask, "mask")

    def get_config(self) -> Config:
        """Return the constructor's arguments as JSON values."""
        mask = (
            self.mask
            if self.mask is None
            else name_of(self.mask)
            if callable(self.mask)
            else np.asarray(self.mask).tolist()
        )
        return super().get_config() | {"function": name_of(self.function), "mask": mask, "arguments": self.arguments}

    @classmethod
    def from_config(cls, config: Config, custom_objects: CustomObjects = None) -> Self:
        """Return a new layer, not built, from what `get_config` gave."""
        mask = config.get("mask")
        found = {"function": find(config["function"]), "mask": find(mask) if isinstance(mask, str) else mask}
        return cls(**(config | found))

    def _arguments(self):
        return getattr(self.function, "__name__", repr(self.function))
