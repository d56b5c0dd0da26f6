"""Calls of any layer in one form: inputs and their masks nested alike, other arguments by name."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any


def call_on(layer: Any, inputs: Any, **more: Any) -> Any:
    """Call a layer on inputs and the other arguments of `Layer._call_arguments`."""
    arguments, keywords = layer._as_call(inputs, more)
    return layer(*arguments, **keywords)


def vjp_on(layer: Any, inputs: Any, **more: Any) -> Any:
    """Return the vjp of a call on inputs and the other arguments of `Layer._call_arguments`."""
    arguments, keywords = layer._as_call(inputs, more)
    return layer.vjp(*arguments, **keywords)


def call_arguments(layer: Any, call: Any, arguments: tuple, keywords: dict) -> dict[str, Any]:
    """Return a call's arguments by the names of its parameters, the inputs first, as one array or nested lists."""
    return layer._call_arguments(call, arguments, keywords)


def with_mask(layer: Any, x: Any, mask: Any, more: Any = MappingProxyType({})) -> tuple[Any, Any]:
    """Return a call's output and its mask."""
    return layer._with_mask(x, mask, False, more)[:2]


def mask_behind(layer: Any, x: Any, mask: Any) -> Any:
    """Return the result of `Layer.compute_mask`, which is recorded, unless it is known to be None."""
    if mask is None and getattr(type(layer).compute_mask, "makes_no_mask", False):
        return None
    return layer.compute_mask(x, mask)
