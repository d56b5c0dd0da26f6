"""Cotangents of a call's results: checked against these, then handed to the call's pullback."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np

from rnnkit import tracebacks
from rnnkit.arguments import positive_integer
from rnnkit.backends.cuda.memory.array import DeviceArray
from rnnkit.complex_pairs import is_complex, to_complex
from rnnkit.layers.support import validation
from rnnkit.steps.nesting import leaves_of, mapped


@dataclass(eq=False)
class Gradients:
    """The result of a pullback: for each array that the call read, the cotangent, of the same shape.

    Attributes
    ----------
    weights : dict of str to ndarray
        By the names of `layer.weights`; an `Embedding`'s is a `RowGradient`.
    x : ndarray (B, T, …), or None
        None for inputs that have no gradient, such as the ids of an `Embedding`. Several inputs' are nested as those.
    initial_state : list of ndarray, or None
        Nested as `initial_state`; of the kept states where a stateful layer started from those. Of a model, one
        entry per stateful layer, as its `reset_states` takes them. None for layers without states.
    constants : list of ndarray, or None
    more : dict of str to ndarray
        Cotangents of other arrays of a call, by its keywords.
    """

    weights: dict
    x: Any = None
    initial_state: Any = None
    constants: list | None = None
    more: dict = field(default_factory=dict)

    def of(self, keyword: str) -> Any:
        """Return the cotangent of a call's keyword, None where there is none."""
        return getattr(self, keyword) if keyword in ("x", "initial_state", "constants") else self.more.get(keyword)

    def mapped(self, function: Callable[[Any], Any]) -> Gradients:
        """Return the same with a function applied to each array."""
        return Gradients(*(mapped(getattr(self, one.name), function) for one in fields(self)))

    def __repr__(self):
        given = {"x": self.x, "weights": self.weights, "initial_state": self.initial_state, "constants": self.constants}
        shown = {name: _shapes(one) for name, one in (given | self.more).items() if one is not None}
        return f"Gradients({', '.join(f'{name}: {shapes}' for name, shapes in shown.items())})"


class Pullback:
    """The map from cotangents of a call's results to those of its inputs; called again, it gives the same bits.

    It uses the weights, inputs and drawn masks that the call saw, whatever happened to the layer since.

    Parameters
    ----------
    outputs : ndarray, or nested lists and tuples of them
        The call's results.
    dtype : dtype
    pull : callable
        From a flat list of arrays or None, in the order of `outputs`, to `Gradients`.
    pull_weights : callable, optional
        As `pull`, without the cotangent of ``x``: for training, of the layers that read a model's inputs.
    """

    def __init__(
        self, outputs, dtype, pull: Callable[[list], Gradients], pull_weights: Callable[[list], Gradients] | None = None
    ):
        self._shapes, self.dtype = _shapes(outputs), dtype
        self.pull, self.pull_weights = pull, pull_weights or pull
        self._stream = _stream(outputs)
        self.take: Callable = lambda d_outputs: d_outputs  # as plain arrays
        self.complex_weights: Callable = dict  # the axes of their pairs by name; `pull` gives the pairs' gradients
        self.give: Callable[[Gradients], Gradients] = lambda gradients: gradients  # as the kind of the call's inputs

    @tracebacks.edge
    def __call__(self, d_outputs) -> Gradients:
        """Return the gradient.

        Parameters
        ----------
        d_outputs : array_like, or nested as the call's result
            Cotangents, None for zeros; on the host or in a GPU's memory.

        Raises
        ------
        ValueError
            For another nesting or shape than those of the call's result.
        TypeError
            For what isn't real numbers.
        """
        found = self.pull(self.flat(self.take(d_outputs)))
        if axes := self.complex_weights():
            weights = {n: to_complex(one, axes[n]) if n in axes else one for n, one in found.weights.items()}
            found = replace(found, weights=weights)
        return self.give(found)

    def around(self, outputs, wrap: Callable[[Callable], Callable], dtype=None) -> Pullback:
        """Return the pullback of other outputs, of which `wrap` makes both functions from this one's."""
        return Pullback(outputs, dtype or self.dtype, wrap(self.pull), wrap(self.pull_weights))

    def flat(self, d_outputs) -> list:
        """Return cotangents as `pull` takes them, checked and cast."""
        return self._flat(d_outputs, self._shapes)

    def _flat(self, given, shapes) -> list:
        if isinstance(shapes, dict):
            given = dict.fromkeys(shapes) if given is None else given
            if not isinstance(given, dict) or set(given) != set(shapes):
                raise ValueError(
                    f"expected d_outputs as a dict of {', '.join(map(repr, shapes))}, as the call's result; got "
                    f"{sorted(given) if isinstance(given, dict) else type(given).__name__}"
                )
            return [array for name, shape in shapes.items() for array in self._flat(given[name], shape)]
        if isinstance(shapes, list):
            if given is None:
                given = [None] * len(shapes)
            if not isinstance(given, (list, tuple)) or len(given) != len(shapes):
                got = f"{len(given)} entries" if isinstance(given, (list, tuple)) else type(given).__name__
                raise ValueError(
                    f"expected d_outputs nested as the call's result, with {len(shapes)} entries; got {got}"
                )
            return [array for one, shape in zip(given, shapes, strict=True) for array in self._flat(one, shape)]
        if given is None:
            return [None]
        is_pairs = isinstance(shapes, _ComplexShape)
        array = validation.given(given, "d_outputs", self._stream, is_pairs)
        if array.shape != shapes:
            raise ValueError(f"expected d_outputs of shape {shapes}, as the call's result, got {array.shape}")
        dtype = np.result_type(self.dtype, np.complex64) if is_pairs else self.dtype
        array = validation.cast(array, dtype, kept_axes=2 if array.ndim > 2 else 1)
        return [validation.moved(array, self._stream)]


class _ComplexShape(tuple):
    """The shape of an array of complex numbers."""


def _shapes(outputs):
    if isinstance(outputs, (list, tuple)):
        return [_shapes(one) for one in outputs]
    if isinstance(outputs, dict):
        return {name: _shapes(one) for name, one in outputs.items()}
    return None if outputs is None else _ComplexShape(outputs.shape) if is_complex(outputs) else outputs.shape


def _stream(outputs) -> int | None:
    """Return the stream of results in a GPU's memory; None for those on the host."""
    return next((one.stream for one in leaves_of(outputs) if isinstance(one, DeviceArray)), None)


def positive_steps(value, what: str) -> int | None:
    """Return a positive number of steps, or None."""
    return None if value is None else positive_integer(value, what)


def options(checkpoint, truncate) -> dict:
    """Return the keywords of a vjp, checked."""
    if isinstance(checkpoint, str):
        if checkpoint != "auto":
            raise ValueError(f"expected checkpoint to be None, 'auto' or a number of steps, got {checkpoint!r}")
    else:
        checkpoint = positive_steps(checkpoint, "checkpoint")
    return {"checkpoint": checkpoint, "truncate": positive_steps(truncate, "truncate")}
