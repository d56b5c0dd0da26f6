"""The arguments of a layer's `call`: its inputs, other arrays, plain values, a mask and the training flag."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from rnnkit.layers.support.symbolic import SymbolicTensor, leaves, mapped, mapped_given
from rnnkit.steps.nesting import leaves_of

_VALUES = (bool, int, float, str)


@dataclass(frozen=True)
class CallSignature:
    """Parameters of a `call`."""

    signature: inspect.Signature
    first: str  # the name of the inputs
    required: list  # names that have no default
    names: frozenset
    open: bool  # whether it takes any keyword

    def takes(self, name: str) -> bool:
        """Return whether `call` takes a keyword."""
        return self.open or name in self.names

    def bound(self, arguments, keywords, positional_arrays: bool = False) -> CallArguments:
        """Return the arguments of a call of the layer, which may have mask and training whatever `call` takes."""
        if positional := [one for one in arguments[1:] if positional_arrays and type(one) in _VALUES]:
            raise ValueError(
                f"expected arrays as positional arguments, and others by their names; got {positional[0]!r}"
            )
        aside = {name: keywords[name] for name in ("mask", "training") if name in keywords and name not in self.names}
        rest = {name: value for name, value in keywords.items() if name not in aside}
        given: dict[str, Any] = {}
        for name, value in self.signature.bind(*arguments, **rest).arguments.items():
            given |= value if self.signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD else {name: value}
        given |= aside
        inputs = given.pop(self.first)
        return self.sorted(inputs, given.pop("mask", None), given.pop("training", None), given)

    def sorted(self, inputs, mask, training, more) -> CallArguments:
        """Return the arguments by kind."""
        values = {name: one for name, one in more.items() if isinstance(one, _VALUES)}
        arrays = {name: nested_arrays(one) for name, one in more.items() if one is not None and name not in values}
        return CallArguments(self, nested_arrays(inputs), arrays, values, mask, bool(training), training)


@dataclass(frozen=True)
class CallArguments:
    """Arguments of one call."""

    call: CallSignature
    inputs: Any  # an array, or nested lists of them
    more: dict  # of the same, by name
    values: dict  # bools, ints, floats and strings by name
    mask: Any  # an array, nested lists of arrays and None, or None
    training: bool
    given_training: Any = None

    def by_name(self) -> dict[str, Any]:
        """Return the arguments as a layer's symbolic call takes them, the inputs first."""
        found = {self.call.first: self.inputs, **self.more, **self.values}
        return found | {"mask": self.mask, "training": self.given_training}

    @property
    def _takes_mask(self) -> bool:
        return self.call.takes("mask") and self.mask is not None

    def arrays(self) -> list:
        """Return all arrays, flat: inputs, others, and masks that `call` takes."""
        found = [*leaves(self.inputs), *(leaf for one in self.more.values() for leaf in leaves(one))]
        return [*found, *leaves(self.mask)] if self._takes_mask else found

    def with_arrays(self, function: Callable) -> CallArguments:
        """Return the same arguments with a function applied to each array."""
        mask = mapped_given(self.mask, lambda one: one if isinstance(one, SymbolicTensor) else _as_bool(one))
        more = {name: mapped(one, function) for name, one in self.more.items()}
        return replace(self, inputs=mapped(self.inputs, function), more=more, mask=mask)

    def masks(self) -> list:
        """Return the masks of the inputs, flat, None for each without."""
        count = len(leaves(self.inputs))
        if self.mask is None:
            return [None] * count
        flat = leaves_of(self.mask)
        return flat if len(flat) == count else flat * count if len(flat) == 1 else [None] * count

    def key(self) -> tuple:
        """Return the key of a kind of calls, without the shapes."""
        nested = {name: repr(mapped(one, lambda _: 0)) for name, one in self.more.items()}
        mask = repr(mapped_given(self.mask, lambda _: 0)) if self._takes_mask else ""
        values = tuple(sorted((name, type(one).__name__, one) for name, one in self.values.items()))
        return repr(mapped(self.inputs, lambda _: 0)), tuple(nested.items()), values, mask, self.training

    def keywords_for(self, tensors: list) -> dict[str, Any]:
        """Return the keywords of `call`, with symbolic tensors in place of the arrays."""
        rest = iter(tensors)
        take = lambda _: next(rest)
        found: dict[str, Any] = {self.call.first: with_none(mapped(self.inputs, take))}
        found |= {name: mapped(one, take) for name, one in self.more.items()} | self.values
        if self._takes_mask:
            found["mask"] = mapped_given(self.mask, take)
        if "training" in self.call.names:
            found["training"] = self.training
        return found

    def nested_like(self, flat: list) -> tuple[Any, dict]:
        """Return the entries of a flat list nested as the inputs, and as the other arrays."""
        rest = iter(flat)
        take = lambda _: next(rest)
        return with_none(mapped(self.inputs, take)), {name: mapped(one, take) for name, one in self.more.items()}


def given_call(layer) -> CallSignature:
    """Return the parameters of a layer's `call`; an error if there is none, or none that gives inputs."""
    if getattr(call := layer.call, "is_missing", False):
        call()  # which raises an error
    found = _signature_of(call.__func__, True) if inspect.ismethod(call) else _signature_of(call, False)
    if found is None:
        raise TypeError(
            f"expected {type(layer).__name__} to define call(self, inputs, …), got call{inspect.signature(call)}"
        )
    return found


@functools.lru_cache(maxsize=256)
def _signature_of(function: Callable, is_method: bool) -> CallSignature | None:
    """Return the parameters of a function, or of a method without its first one; None for no inputs, or any number."""
    signature = inspect.signature(function)
    parameters = list(signature.parameters.values())[is_method:]
    signature = signature.replace(parameters=parameters)
    if not parameters or any(one.kind is one.VAR_POSITIONAL for one in parameters):
        return None
    required = [one.name for one in parameters if one.default is one.empty and one.kind is not one.VAR_KEYWORD]
    names = frozenset(one.name for one in parameters if one.kind is not one.VAR_KEYWORD)
    opened = any(one.kind is one.VAR_KEYWORD for one in parameters)
    return CallSignature(signature, parameters[0].name, required or [parameters[0].name], names, opened)


def nested_arrays(value) -> Any:
    """Return nested lists, tuples and dicts of arrays as lists and dicts; one array, or a list of numbers, as it is.

    None in them, an array that isn't given, is an empty dict; `with_none` has None in its place.
    """
    if isinstance(value, dict):
        return {name: {} if one is None else nested_arrays(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)) and value and any(_is_array(one) for one in value):
        return [{} if one is None else nested_arrays(one) for one in value]
    return value if isinstance(value, SymbolicTensor) or hasattr(value, "shape") else np.asarray(value)


def with_none(nested) -> Any:
    """Return nested lists and dicts with None for empty dicts inside."""
    if isinstance(nested, dict):
        return {name: with_none(one) for name, one in nested.items()} or None
    return [with_none(one) for one in nested] if isinstance(nested, list) else nested


def array_leaves(nested) -> list:
    """Return the arrays of nested lists."""
    return leaves(nested_arrays(nested))


def _is_array(value) -> bool:
    if isinstance(value, (list, tuple)):
        return any(_is_array(one) for one in value)
    return isinstance(value, (SymbolicTensor, dict)) or getattr(value, "ndim", 0) > 0


def _as_bool(mask) -> np.ndarray:
    found = np.asanyarray(mask)
    return found if found.dtype == bool else found != 0
