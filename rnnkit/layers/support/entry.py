"""The entry of every call of a layer: symbols, repetition, lists of sequences, labelled arrays, and those of a GPU."""

from __future__ import annotations

import functools
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rnnkit import allocation, tracebacks
from rnnkit.layers.support import array_kinds, device_transfer, labelled_calls, sequence_calls
from rnnkit.layers.support.added_losses import with_penalty
from rnnkit.layers.support.array_kinds import first_found, handler_of
from rnnkit.layers.support.pullback import Pullback
from rnnkit.layers.support.runner import Runner
from rnnkit.layers.support.symbolic import SymbolicTensor, record, tracing
from rnnkit.layers.support.vjp_runner import VJPRunner
from rnnkit.layers.support.weight_mapping import pair_axes

_ALONE = 3 << 24  # multiply-adds of a product with the Hessian that one thread does: as long as the Python of a call


def runners() -> tuple[Runner, VJPRunner, dict[tuple[str, ...], Runner]]:
    """Return the runners of a layer's calls, of its vjps, and of products with its Hessian, by what these are by."""
    return Runner(), VJPRunner(), defaultdict(functools.partial(Runner, _ALONE))


def hessian_runner(layer: Any, names: Sequence[str]) -> Runner:
    """Return the runner of products with the Hessian by what these names are of."""
    return layer._hvp_runners[tuple(names)]


def entered(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return a layer's ``__call__`` that is recorded if there is a symbolic tensor among its arguments.

    Calls with NumPy's arrays are repeated once they have occurred often enough, see `rnnkit.layers.support.runner`.
    Arguments may be arrays of a GPU, too.
    """
    crossing = device_transfer.crossing(call)

    @functools.wraps(call)
    def called(self, *arguments, **keywords):
        try:
            trace = tracing.get()
            if trace is not None:
                return trace.call(self, call, arguments, keywords)
            if self._call_runner is not None:
                found = self._call_runner.run(self, call, arguments, keywords)
                if found is not None:
                    return found
            plain = True
            for value in (*arguments, *keywords.values()):
                if type(value) not in _PLAIN:
                    if first_found(value, lambda one: isinstance(one, SymbolicTensor) or None):
                        return record(self, call, arguments, keywords)
                    plain = False
            if not plain and (found := _of_sequences_or_labelled(self, call, arguments, keywords)) is not None:
                return found
            taking = call if plain else crossing
            if self.activity_regularizer is not None:
                return with_penalty(self, taking, arguments, keywords)
            return taking(self, *arguments, **keywords)
        except MemoryError as error:
            raise allocation.retold(error, f"a call of {self.name!r}") from None
        except Exception as error:
            tracebacks.shorten(error)
            raise

    return called


def _of_sequences_or_labelled(layer, call, arguments, keywords):
    """Return the result of a call on a list of sequences or a labelled array; None for other arguments."""
    if layer._axes_in_front:  # the first axis of results isn't that of rows
        if handler_of((*arguments, *keywords.values())) is not None:
            raise ValueError(f"expected arrays in memory for the ensemble {layer.name!r}")
        return None
    found = None
    if layer.activity_regularizer is None:  # whose penalty is over all rows
        found = sequence_calls.called(layer, call, arguments, keywords)
    return labelled_calls.called(layer, call, arguments, keywords) if found is None else found


_PLAIN = {np.ndarray, bool, type(None)}  # most arguments: calls are many and short


def entered_vjp(vjp: Callable[..., Any]) -> Callable[..., Any]:
    """Return a layer's ``vjp`` that is repeated as its calls are, and takes the arrays that they take."""
    crossing = device_transfer.crossing(vjp)

    def ordinary(self, *arguments, **keywords):
        found = crossing(self, *arguments, **keywords)
        if isinstance(found, tuple) and isinstance(found[-1], Pullback):
            found[-1].complex_weights = functools.partial(pair_axes, self)
        return found

    @functools.wraps(vjp)
    def called(self, *arguments, **keywords):
        try:
            if self._vjp_runner is not None:
                found = self._vjp_runner.run(self, ordinary, arguments, keywords)
                if found is not None:
                    return found
            return ordinary(self, *arguments, **keywords)
        except Exception as error:
            tracebacks.shorten(error)
            raise

    return called


def entered_trajectory(trajectory: Callable[..., Any]) -> Callable[..., Any]:
    """Return a layer's ``trajectory`` that takes the arrays that calls take."""
    return tracebacks.edge(device_transfer.crossing(trajectory))


def entered_mask(compute_mask: Callable[..., Any]) -> Callable[..., Any]:
    """Return a layer's ``compute_mask`` that takes arrays of other kinds, and those of a GPU unless the layer does."""
    native, crossing = array_kinds.handled(compute_mask), device_transfer.crossing(compute_mask)

    @functools.wraps(compute_mask)
    def called(self, *arguments, **keywords):
        return (native if self._native else crossing)(self, *arguments, **keywords)

    return called
