"""Losses that calls of layers add to those of `compile`: penalties of outputs, and what `call` gives `add_loss`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np

from rnnkit.circumstances import circumstances, within
from rnnkit.layers.support.layer_tree import all_layers, all_or_nothing
from rnnkit.layers.support.pullback import Pullback
from rnnkit.layers.support.row_gradient import added_up
from rnnkit.layers.support.symbolic import leaves
from rnnkit.opaque import opaque

_collected: ContextVar[Collected | None] = ContextVar("rnnkit added losses", default=None)


@dataclass(eq=False)
class Added:
    """A loss that a layer added in a call, with the cotangent that a pullback of the call takes for it."""

    owner: Any
    value: Any  # ()
    cotangent: float = 1.0


class Collected(list):
    """The losses that are added while a context lasts."""

    def __init__(self) -> None:
        self.recording = circumstances().recording

    @property
    def total(self) -> float:
        """The sum of the losses."""
        return sum((float(one.value) for one in self), 0.0)


@contextmanager
def collecting() -> Iterator[Collected]:
    """Collect the losses of the calls inside."""
    found = Collected()
    token = _collected.set(found)
    try:
        yield found
    finally:
        _collected.reset(token)


@contextmanager
def kept(layer) -> Iterator[Collected]:
    """Let the layers of an outermost call keep the losses that it adds, for `Layer.losses`."""
    if (outer := _collected.get()) is not None:
        yield outer
        return
    with collecting() as found:
        yield found
    if found and found.recording is not None:
        found.recording.refuse("it leaves losses")
    keep(layer, found)
    layer._call_runner.pause(layer, bool(found))


@contextmanager
def calling_parts(layer: Any) -> Iterator[None]:
    """Call the layers inside of one, all or nothing, within this; they see whether it is frozen."""
    with all_or_nothing(layer), kept(layer), nullcontext() if layer.trainable else within(is_frozen=True):
        yield


def keep(layer, found: list[Added]) -> None:
    """Replace the losses that the layers inside of one have added by those of a new call."""
    by_owner: dict[Any, list] = {}
    for added in found:
        by_owner.setdefault(added.owner, []).append(added.value)
    for owner, values in by_owner.items():
        vars(owner)["_added_losses"] = values  # no attribute by which calls differ
    for one in all_layers(layer):
        if one not in by_owner:
            vars(one).pop("_added_losses", None)


def is_collecting() -> bool:
    """Return whether a call's losses are wanted."""
    return _collected.get() is not None


def note(owner, value) -> Added:
    """Add a loss to those that are collected."""
    found, added = _collected.get(), Added(owner, value)
    assert found is not None, "losses are collected"
    if (recording := circumstances().recording) is not found.recording:
        (recording or found.recording).refuse("its losses are collected around it")
    found.append(added)
    return added


def regularized(layer, outputs, pullback: Pullback | None = None) -> Any:
    """Add the penalty of a layer's outputs, over the number of rows; return the pullback with its gradient."""
    if not is_collecting():
        return pullback
    regularizer, arrays = layer.activity_regularizer, leaves(outputs)
    added = [note(layer, opaque(_by_row, regularizer, one)) for one in arrays]
    if pullback is None:
        return None

    def gradient(k, one):
        return (regularizer.gradient(one) * (added[k].cotangent / max(1, len(one)))).astype(one.dtype)

    def back(pull):
        def run(cotangents):
            own = [opaque(gradient, k, one) for k, one in enumerate(arrays)]
            pairs = zip(cotangents, own, strict=True)
            return pull([one if d is None else added_up(d, one) for d, one in pairs])

        return run

    return pullback.around(outputs, back)


def _by_row(regularizer, array) -> np.ndarray:
    return np.array(regularizer(array) / max(1, len(array)))


def with_penalty(layer, call, arguments, keywords) -> Any:
    """Return the result of a call of a layer; one outside of all models keeps the penalty of its outputs."""
    if is_collecting():
        return call(layer, *arguments, **keywords)
    with kept(layer):
        found = call(layer, *arguments, **keywords)
        regularized(layer, found)
    return found


def unregularized(layer) -> Any:
    """Return a layer whose calls another one makes; a ValueError for one with a regularizer of its outputs."""
    if layer.activity_regularizer is not None:
        raise ValueError(
            f"expected layers without an activity_regularizer inside of others, {layer.name!r} has one; call add_loss "
            "in a layer of your own behind them"
        )
    return layer
