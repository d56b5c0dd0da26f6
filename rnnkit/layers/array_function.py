"""Any NumPy-style function of whole arrays as a layer: the batch axis first, the time axis in sight."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Self

import numpy as np

from rnnkit.execution.array_functions import TracedFunction, dtype_of, kind_of
from rnnkit.hints import Array, Config, CustomObjects, DType, Seed, Shape
from rnnkit.layers.base import Layer, makes_no_mask
from rnnkit.layers.support import symbolic, validation
from rnnkit.layers.support.pullback import Gradients, Pullback
from rnnkit.layers.support.symbolic import leaves, mapped
from rnnkit.recording import constant, copied, repeated
from rnnkit.serialization.registry import find, name_of

_MOST = 64  # kinds of shapes whose graphs are kept
_LENGTHS = ((12, 24), (60, 120), (1, 2))  # pairs of sizes that stand in for open ones, until a function takes a pair


class WholeArrays(Layer):
    """Base of layers that are a function of whole arrays; a subclass has `_result` and `_lines`."""

    _takes_unbatched = True
    _unbatched: tuple[int, ...] = ()  # the places of the arrays that have no batch axis

    def __init__(self, *, dtype: DType = None, seed: Seed = None, name: str | None = None):
        super().__init__(dtype=dtype, seed=seed, name=name)
        self._traces: dict[tuple, TracedFunction] = {}

    def _result(self, arrays, mask, training):
        """The function's value for arrays, or symbols of the tracer, nested as the inputs."""
        raise NotImplementedError

    def _lines(self) -> tuple:
        """The functions whose lines errors are about."""
        return ()

    def __call__(self, inputs: Array, mask: Array = None, training: bool = False) -> Any:
        """Apply the function to an array, or to a list of arrays of one batch size.

        Raises
        ------
        ValueError
            If the function can't be traced and differentiated, with its line; for arrays of different batch sizes.
        TypeError
            For what isn't an array.
        """
        return self._called(inputs, mask, training)

    def _called(self, inputs, mask, training):
        traced, arrays = self._entered(inputs, mask, training)
        return mapped(traced.nesting, traced(arrays).__getitem__)

    def _vjp(self, inputs, mask, training, wanted):
        traced, arrays = self._entered(inputs, mask, training)
        found = traced(arrays)
        outputs = mapped(traced.nesting, found.__getitem__)
        differentiable = [np.asarray(one).dtype.kind == "f" for one in leaves(inputs)]

        def pull(cotangents):
            pairs = zip(cotangents, found, strict=True)
            d = [constant(np.zeros(one.shape, self.dtype)) if given is None else given for given, one in pairs]
            d_arrays = zip(traced.pull(arrays, d), differentiable, strict=False)
            return Gradients({}, mapped(inputs, lambda _: next((d if own else None) for d, own in d_arrays)))

        return outputs, Pullback(outputs, self.dtype, pull)

    def _entered(self, inputs, mask, training) -> tuple[TracedFunction, list[np.ndarray]]:
        """The function for arrays of these shapes, and the arrays as it reads them: copies, as the gradient needs."""
        given = [validation.numbers(one, "x") for one in leaves(inputs)]
        rows = {len(one) for i, one in enumerate(given) if i not in self._unbatched and one.ndim}
        if len(rows) > 1 or any(not one.ndim for i, one in enumerate(given) if i not in self._unbatched):
            raise ValueError(f"expected arrays of one batch size, got the shapes {[one.shape for one in given]}")
        if not self.built:
            shape = mapped(inputs, np.shape)
            self._build_with(shape, self.dtype or np.result_type(*map(validation.precision_of, given)))
        masks = [repeated(partial(_used, one), one) for one in self._masks(mask)]
        traced = self._traced(inputs, [(one.shape, kind_of(one.dtype)) for one in (*given, *masks)], mask, training)
        return traced, [copied(one, self.dtype) for one in (*given, *masks)]

    def _masks(self, mask) -> list:
        """The masks that the function takes."""
        return [one for one in leaves(mask) if one is not None] if self._takes_mask() else []

    def _takes_mask(self) -> bool:
        return False

    def _traced(self, inputs, kinds, mask, training) -> TracedFunction:
        """The function at the shapes of arrays, with the batch axis where there is one, and of which kinds."""
        count = len(leaves(inputs))
        several = isinstance(mask, (list, tuple))
        known = [one is not None for one in (mask if several else [mask])] if len(kinds) > count else []
        batched = [i not in self._unbatched for i in range(len(kinds))]
        shapes = [shape[1:] if own else shape for (shape, _), own in zip(kinds, batched, strict=True)]
        conditions = [kind for _, kind in kinds]
        nesting = mapped(inputs, lambda _: 0)
        key = repr(nesting), tuple(shapes), tuple(conditions), tuple(known), several, bool(training)
        if key not in self._traces:

            def function(arrays):
                own, masks = iter(arrays), iter(arrays[count:])
                given = mapped(nesting, lambda _: next(own))
                own_masks = [next(masks) if there else None for there in known]
                return self._result(given, own_masks if several else (own_masks or [None])[0], training)

            found = TracedFunction(function, shapes, batched, conditions, self.dtype, self.name, self._lines())
            if len(self._traces) >= _MOST:
                self._traces.clear()
            self._traces[key] = found
        return self._traces[key]

    # Shapes and masks

    def _shape(self, shape):
        if not symbolic.is_shape(shape):
            return [self._shape(one) for one in shape]
        return validation.shape(shape, 0 if self._unbatched else 1, "batch, …")

    def _check_shape(self, shape):
        """Any shapes that the function takes will do."""

    def _opened(self, shape):
        return shape

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the result, nested as it; None for sizes that move with open ones of the input."""
        return self._shapes_and_kinds(self._shape(input_shape), None)[0]

    def _given_for(self, node, shape):
        shapes, kinds = self._shapes_and_kinds(shape, [kind_of(tensor.dtype) for tensor in leaves(node.x)])
        return shapes, dtype_of(set(kinds), self.dtype)

    def _shapes_and_kinds(self, shape, conditions):
        shapes = symbolic.shape_leaves(shape)
        conditions = conditions or ["float"] * len(shapes)
        batched = [one for i, one in enumerate(shapes) if i not in self._unbatched]
        nested = _nesting_of(shape)
        dtype, self.dtype = self.dtype, self.dtype or np.dtype("float32")
        try:
            first, second = self._at_two_lengths(nested, shapes, conditions)
        finally:
            self.dtype: Any = dtype
        sizes = [
            tuple(a if a == b else None for a, b in zip(one, other, strict=True))
            for one, other in zip(first.shapes, second.shapes, strict=True)
        ]
        rows = (next((one[0] for one in batched if one[0] is not None), None),) if batched else ()
        found = [(*rows, *one) for one in sizes]
        return mapped(first.nesting, found.__getitem__), first.kinds

    def _at_two_lengths(self, nested, shapes, conditions):
        """The function at two sizes in the place of the open ones."""
        failure = None
        for lengths in _LENGTHS:
            try:
                found = []
                for length in lengths:
                    closed = [
                        tuple(
                            length if n is None and (axis or i in self._unbatched) else n for axis, n in enumerate(one)
                        )
                        for i, one in enumerate(shapes)
                    ]
                    found.append(self._traced(nested, list(zip(closed, conditions, strict=True)), None, False))
                return found
            except Exception as error:
                failure = failure or error
                if not any(None in one[1:] for one in shapes):
                    break
        assert failure is not None, "a pair was tried"
        raise failure

    @makes_no_mask
    def compute_mask(self, inputs: Array, mask: Array = None) -> Any:
        """Return the input's mask for results with its axes of batch and time, else None; of several, any's."""
        masks = [validation.array(one, "mask") != 0 for one in leaves(mask) if one is not None]
        several = isinstance(mask, (list, tuple))
        if not masks or (several and len(masks) < len(mask)) or len({one.shape for one in masks}) > 1:
            return None
        joined = np.logical_or.reduce(masks)
        given = [validation.numbers(one, "x") for one in leaves(inputs)]
        kinds = [(one.shape, kind_of(one.dtype)) for one in (*given, *self._masks(mask))]
        traced = self._traced(inputs, kinds, mask, False)
        found = [joined if len(s) and (len(given[0]), s[0]) == joined.shape[:2] else None for s in traced.shapes]
        return mapped(traced.nesting, found.__getitem__)

    def __getstate__(self) -> Any:
        return self.__dict__ | {"_traces": {}}


def _used(mask) -> np.ndarray:
    return validation.array(mask, "mask") != 0


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
        *,
        dtype: DType = None,
        seed: Seed = None,
        name: str | None = None,
    ):
        super().__init__(dtype=dtype, seed=seed, name=name)
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


def _nesting_of(shape):
    """Nested lists as those of shapes, with 0 for each."""
    return 0 if symbolic.is_shape(shape) else [_nesting_of(one) for one in shape]
