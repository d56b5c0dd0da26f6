"""Calls of layers that are written to a graph, and the graph with its inputs and outputs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import singledispatch
from typing import Any

import numpy as np

from rnnkit.arguments import is_own
from rnnkit.layers.support import validation
from rnnkit.layers.support.facts import axis_names, keeps_states
from rnnkit.onnx.exporting.block import Block, Value


@dataclass(frozen=True)
class Call:
    """The arguments of a layer's call."""

    x: Any  # a Value, or a list of them
    mask: Any = None  # conditions, as `compute_mask` gives them
    path: str = ""  # the layer's position, a prefix of the names of weights; "" for the whole model
    training: bool = False  # as the model says at this call; random draws can't be exported
    states: list[Value] | None = None  # of a symbolic call, flat
    constants: tuple[Value, ...] = ()  # likewise
    more: dict[str, list[Value]] = field(default_factory=dict)  # other arrays of a symbolic call, by keyword
    options: dict[str, Any] = field(default_factory=dict)  # other keywords of a symbolic call

    def inside(self, path: str, **changes) -> Call:
        """Return the call of a layer inside, without states and constants of its own."""
        path = f"{self.path}/{path}" if self.path else path
        fresh: dict[str, Any] = {"states": None, "constants": (), "more": {}, "options": {}}
        return replace(self, path=path, **(fresh | changes))


@dataclass
class Writing:
    """The model's graph with its inputs, and with the last states of layers."""

    block: Block
    states: bool | None = None  # whether states are inputs and outputs; None for those of stateful layers
    inputs: list[Value] = field(default_factory=list)
    ended: dict[str, Value] = field(default_factory=dict)

    def input(self, name: str, shape, dtype) -> Value:
        value = Value(self.block.named(name), tuple(shape), np.dtype(dtype))
        self.inputs.append(value)
        return value

    def starts(self, layer, call: Call, shapes) -> list[Value] | None:
        """Return the first states as given, or as inputs of the model; None for the cell's own."""
        if call.states is not None:
            return [self.block.cast(state, layer.dtype) for state in call.states]
        if not self._shows(layer):
            return None
        names = _names(call, "initial_state", len(shapes))
        batch = call.x.shape[0]
        return [self.input(name, (batch, *shape), layer.dtype) for name, shape in zip(names, shapes, strict=True)]

    def ends(self, layer, call: Call, states) -> None:
        """Make the last states outputs of the model."""
        if self._shows(layer):
            names = _names(call, "state", len(states))
            if call.path:  # those of the whole model are reserved
                names = [self.block.named(name) for name in names]
            self.ended |= dict(zip(names, states, strict=True))

    def _shows(self, layer) -> bool:
        return keeps_states(layer) if self.states is None else self.states

    def step_mask(self, mask: Value, x: Value) -> Value:
        """Return a mask of x as conditions ``(batch, time)``."""
        block = self.block
        if len(mask.shape) == 3 and mask.shape[2] == 1:
            mask = Value(block.add("Squeeze", mask.name, block.integers(2)), mask.shape[:2], mask.dtype)
        if len(mask.shape) != 2:
            raise ValueError(f"expected mask of shape {x.shape[:2]}, one value per step; got {mask.shape}")
        return self.condition(mask)

    def condition(self, mask: Value) -> Value:
        """Convert numbers to conditions: true where not 0."""
        if mask.dtype == bool:
            return mask
        is_zero = self.block.add("Equal", mask.name, self.block.number(0, mask.dtype))
        return Value(self.block.add("Not", is_zero), mask.shape, np.dtype(bool))


def _names(call: Call, what: str, count: int) -> list[str]:
    before = f"{call.path}/" if call.path else ""
    return [f"{before}{what}_{i}" for i in range(count)]


def write(layer, writing: Writing, call: Call) -> tuple[list[Value], list[Value | None]]:
    """Write a layer's call, and return its outputs, flat, and a mask or None for each; a ValueError if unsupported."""
    for name in ("__call__", "_call", "_result", "compute_mask"):
        owner = next((kind for kind in type(layer).__mro__ if name in vars(kind)), None)
        if owner is not None and not is_own(owner):
            raise _unknown(layer)
    return written(layer, writing, call)


@singledispatch
def written(layer, writing: Writing, call: Call) -> tuple[list[Value], list[Value | None]]:
    """Write a layer's call, as `write`; each layer of rnnkit registers a function here."""
    raise _unknown(layer)


def _unknown(layer) -> ValueError:
    kind = type(layer)
    told = "a layer that is not written there" if is_own(kind) else "not one of rnnkit's layers"
    return ValueError(
        f"the layer {layer.name!r} can't be exported to ONNX: {kind.__name__} is {told}; "
        "write what it does as a cell, or as the function of a Lambda"
    )


def array_of(writing: Writing, layer, call: Call, least_rank: int) -> Value:
    """Return the single input array of a layer, in the layer's dtype."""
    x = call.x
    if not isinstance(x, Value) or len(x.shape) < least_rank:
        raise validation.shape_error("x", axis_names(layer), None, x.shape if isinstance(x, Value) else ())
    return writing.block.cast(x, layer.dtype)


def refuse_draws(layer, draws: bool, what: str = "draws at random what it does") -> None:
    """Refuse a layer with random draws in training, if a model calls it with training=True."""
    if draws:
        raise ValueError(
            f"the layer {layer.name!r} can't be exported to ONNX: it is called with training=True, and so {what}"
        )
