"""Dependencies of layers' results besides arguments and weights, watched so that no recording outlives a change."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from operator import is_not
from typing import Any

import numpy as np

from rnnkit.arguments import is_own
from rnnkit.identity import Same
from rnnkit.layers.support.assignments import APART, Assigned, Changes, changeable, contents
from rnnkit.layers.support.layer_tree import all_layers, arrays_by_name, held_by

_PLAIN = {bool, int, str, type(None)}


class Watched:
    """Facts about a layer when it was last examined.

    They are compared only after an assignment to the layer, or to a layer inside; `facts_of` has all of them.

    Attributes
    ----------
    weights : list of ndarray
    """

    def __init__(self) -> None:
        self.layer: Callable[[], Any] = lambda: None  # a weak reference, shared by shallow copies
        self._last = self._last_weights = -1
        self._numbers: list[tuple[Assigned, int]] = []
        self.lists: list = []  # dicts and arrays, attributes that may be changed in place, as a model's layers
        self._entries: list = []  # the ids of their entries,
        self._alive: list = []  # and the entries, kept alive so that ids stay theirs
        self._facts: list | None = None
        self._kinds: list = []
        self.weights: list = []

    def is_untouched(self, layer) -> bool:
        """Return whether nothing was assigned to any layer since `look`."""
        if self._last != Changes.last or self.layer() is not layer:
            return False
        return not self.lists or not self._differs_in_place()

    def _differs_in_place(self) -> bool:
        return [contents(one, id) for one in self.lists] != self._entries

    def look(self, layer) -> bool:
        """Examine a layer; return whether it is the same as at the last time, but for the numbers of `weights`."""
        last, last_weights = Changes.last, Changes.weights
        facts, kinds = self._facts, self._kinds
        if (
            self.layer() is not layer
            or self._differs_in_place()
            or any(own.last != then for own, then in self._numbers)
        ):
            layers, self.layer, self._last_weights = all_layers(layer), weakref.ref(layer), -1
            self._numbers = [(one._assigned, one._assigned.last) for one in layers]
            self.lists = [one for part in layers for one in changeable(part)]
            self._alive = [contents(one, Same) for one in self.lists]
            self._entries = [contents(one, id) for one in self.lists]
            self._facts = facts_of(layers)
        if self._last_weights != last_weights:
            arrays = list(arrays_by_name(layer).values())
            self._kinds = [(one.shape, one.dtype) for one in arrays]
            if len(arrays) != len(self.weights) or any(map(is_not, arrays, self.weights)):
                self.weights = arrays
        self._last, self._last_weights = last, last_weights
        return facts is None or (facts == self._facts and kinds == self._kinds)


def facts_of(layers) -> list:
    """Return, for comparison, all that calls of layers depend on besides their arguments and weights."""
    found: list[Any] = []
    for layer in layers:
        execution = getattr(layer, "_execution", None)
        found += [weakref.ref(layer), Same(getattr(execution, "executors", None))]  # weakly: it has the recordings
        found.append({name: _fact(value) for name, value in vars(layer).items() if name not in APART})
        found.append([contents(one, _fact) for one in changeable(layer)])
    return found


def _fact(value):
    """Return a value that is equal as long as an attribute is the same: numbers by value, objects by identity."""
    kind = type(value)
    if kind in _PLAIN:
        return kind, value
    if kind is float:
        return kind, repr(value)  # 0 and -0 differ, NaN equals NaN
    if kind in (list, tuple):
        return kind, [_fact(one) for one in value]
    return weakref.ref(value) if "_assigned" in getattr(value, "__dict__", ()) else Same(value)  # a layer weakly


def call_states(layers) -> dict:
    """Return what calls of layers change, the states of generators and moving averages, for `restore`."""
    found = {}
    for layer in layers:
        generator = None if layer._generator is None else layer._generator.bit_generator
        moving = {name: Same(array) for name, array in held_by(layer).moving().items()}
        if generator is not None or moving:
            found[layer] = generator, None if generator is None else generator.state, moving
    return found


def restore(states: dict) -> None:
    """Restore the states of `call_states`."""
    for layer, (generator, state, moving) in states.items():
        if generator is not None:
            generator.state = state
        if any(array is not moving[name].value for name, array in held_by(layer).moving().items()):
            held_by(layer).put({name: same.value for name, same in moving.items()})


def unmoved(layers, arrays) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the weights that calls don't change, each twice, for `standing_in`; calls read the others each time."""
    moving = {id(array) for layer in layers for array in held_by(layer).moving().values()}
    return [(array, array) for array in arrays if id(array) not in moving]


def are_own(layers) -> bool:
    """Return whether no layer is of a user's class whose code has to run at each call."""
    return all(is_own(type(layer)) or layer._is_read_once for layer in layers)
