"""Repeated calls of a vjp: recorded when their kind has occurred before, then repeated with their pullbacks."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit import tracebacks
from rnnkit.layers.support.layer_tree import arrays_by_name
from rnnkit.layers.support.pullback import Gradients, Pullback
from rnnkit.layers.support.repeats import RepeatedCalls, copied_arrays, same_bits
from rnnkit.layers.support.row_gradient import RowGradient
from rnnkit.layers.support.weight_mapping import pair_axes
from rnnkit.recording import Unrepeatable, arrays_in, noted, plain, standing_in


@dataclass(eq=False)
class RecordedVJP:
    """Operations of a recorded call and of its pullback.

    Attributes
    ----------
    forward, back : list of callable
        Operations of a recording.
    cotangents : list of ndarray
        Memory that cotangents are copied to.
    gradients : Gradients
        Gradients in fixed memory.
    dtype : dtype
        The dtype of the pullback.
    complex_weights : dict of str to int
        The axes of the pairs in the gradients of weights, by name.
    latest : object or None
        Token of the call whose numbers are in memory.
    """

    forward: list
    back: list
    cotangents: list
    gradients: Gradients
    dtype: Any
    complex_weights: dict[str, int]
    latest: Any = None

    def go_back(self, cotangents) -> Gradients:
        """Return the gradient of the call whose numbers are in memory."""
        for place, array in zip(self.cotangents, cotangents, strict=True):
            np.copyto(place, array)
        for operation in self.back:
            operation()
        return self.gradients


class RepeatedVJPs(RepeatedCalls):
    """The recorded calls of a layer's vjp; a late pullback first repeats its call, with the arrays from then."""

    def _record(self, kind, layer, call, arguments, keywords) -> None:
        operations = kind.recording.operations
        outputs, pullback = call(layer, *arguments, **keywords)
        kind.result, forward = plain(outputs), len(operations)
        cotangents = [np.ones_like(array) for array in arrays_in(kind.result)]
        kind.recording.give(*cotangents)
        gradients = pullback.pull(noted(cotangents)).mapped(plain)
        parts = operations[:forward], operations[forward:]
        kind.vjp = RecordedVJP(*parts, cotangents, gradients, pullback.dtype, pair_axes(layer))
        dense = [list(gradients.weights.values()), *_fields(gradients)[1:]]
        if not all(kind.recording.knows(array) for array in arrays_in(dense)):
            raise Unrepeatable("a gradient isn't computed by recorded operations")

    def _agrees(self, kind, found, result, drew_nothing) -> bool:
        outputs, pullback = found
        rng = np.random.default_rng(0)
        d = [rng.normal(size=place.shape).astype(place.dtype) for place in kind.vjp.cotangents]
        gradients, own = pullback.pull(d), kind.vjp.go_back(d)
        same = same_bits(outputs, kind.result) and same_bits(_fields(gradients), _fields(own))
        return same and drew_nothing  # a repeated call would draw other numbers

    def _repeat(self, kind, layer, call, arrays, arguments, keywords):
        recorded, weights = kind.vjp, self._watched.weights
        kind.take(arrays, weights)
        arguments, keywords = copied_arrays(arguments), {n: copied_arrays(one) for n, one in keywords.items()}
        saved = arrays_in([arguments, list(keywords.values())])
        for operation in recorded.forward:
            operation()
        recorded.latest = token = object()
        outputs = copied_arrays(kind.result)

        def pull(cotangents) -> Gradients:
            mine = False
            try:
                mine = all(one is not None for one in cotangents) and self._lock.acquire(blocking=False)
                if mine:
                    if recorded.latest is not token:
                        kind.take(saved, weights)
                        for operation in recorded.forward:
                            operation()
                        recorded.latest = token
                    g = recorded.go_back(cotangents)
                    found = (g.weights, g.x, g.initial_state, g.constants, g.more)
                    return Gradients(*(copied_arrays(one) for one in found))
            finally:
                if mine:
                    self._lock.release()
            with standing_in(zip(arrays_by_name(layer).values(), weights, strict=True)):  # the ordinary way
                return call(layer, *arguments, **keywords)[1].pull(cotangents)

        pullback = Pullback(outputs, recorded.dtype, pull)
        pullback.complex_weights = lambda: recorded.complex_weights
        return outputs, pullback


def repeated_vjp(vjp: Callable) -> Callable:
    """Return a layer's ``vjp`` that is repeated once a kind of call has occurred often enough."""

    def ordinary(self, *arguments, **keywords):
        found = vjp(self, *arguments, **keywords)
        if isinstance(found, tuple) and isinstance(found[-1], Pullback):
            found[-1].complex_weights = functools.partial(pair_axes, self)
        return found

    @functools.wraps(vjp)
    def called(self, *arguments, **keywords):
        try:
            if self._repeated_vjps is not None:
                found = self._repeated_vjps.run(self, ordinary, arguments, keywords)
                if found is not None:
                    return found
            return ordinary(self, *arguments, **keywords)
        except Exception as error:
            tracebacks.shorten(error)
            raise

    return called


def _fields(g: Gradients) -> list:
    weights = [np.asarray(one) if isinstance(one, RowGradient) else one for one in g.weights.values()]
    return [weights, g.x, g.initial_state, g.constants, g.more]
