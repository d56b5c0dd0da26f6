"""Assignments to the attributes of layers, and to their weights, which end what was computed from them."""

from __future__ import annotations

import functools
import itertools
import weakref
from collections.abc import Callable
from operator import is_not
from typing import Any

import numpy as np

from rnnkit.arguments import is_own
from rnnkit.layers.support.recording import unrepeatable

# Attributes that no recording depends on: a call sets them itself, and stateful layers aren't repeated; fit sets them;
# of weights that are replaced `weights_replaced` is told.
PASSING = {"_kept", "_added_losses", "_generator", "_assigned", "_own", "history", "stop_training"}
PASSING |= {"_call_runner", "_vjp_runner", "_hvp_runners"}
# Attributes that aren't compared: weights and executors in them are, and the others are for training.
APART = {*PASSING, "_execution", "_graphs", "_traces", "_compiled", "_update_runner"}
_OPEN = {list, dict}
_NUMBERS = {int, float, np.float32, np.float64, np.ndarray}
# Dicts and lists in which a program changes nothing.
_INTERNAL = APART | set("_variables _variable_options _before_build _made_with _input_nesting _loss_trackers".split())


class Changes:
    """Numbers of the last assignment to any layer, and to any weight: while these are the same, nothing has changed."""

    numbers = itertools.count(1)
    last = weights = attributes = 0


class Assigned:
    """The number of the last assignment to an attribute of a layer, and what follows from its attributes."""

    __slots__ = ("arrays", "known", "last", "plan")

    def __init__(self) -> None:
        self.last = 0
        self.known: _Known | None = None
        self.arrays: tuple | None = None  # of a layer's cell, with the number of the last change
        self.plan: tuple | None = None  # of a layer's calls, see `rnnkit.layers.base.Layer`

    def __reduce__(self):
        return type(self), ()  # numbers are this process's


class Watchful:
    """Base of layers: what they compute repeatedly ends when an attribute is set, and no such call sets one."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "_generator":
            unrepeatable(f"a call keeps {name!r}")
        numbers = type(value) in _NUMBERS and type(self.__dict__.get(name)) in _NUMBERS
        super().__setattr__(name, value)
        assigned(self, name, numbers)

    def __delattr__(self, name: str) -> None:
        super().__delattr__(name)
        assigned(self, name)


def assigned(layer: Any, name: str, numbers: bool = False) -> None:
    """Note an assignment to an attribute of a layer, perhaps of numbers in the place of numbers."""
    if name not in PASSING and (own := vars(layer).get("_assigned")) is not None:
        own.last = Changes.last = next(Changes.numbers)
        if not numbers:
            Changes.attributes = own.last


class _Known:
    """Results of `by_attributes` for a layer, and the lists and dicts that it and the layers inside have."""

    def __init__(self, layer: Any):
        self.layer, self.results = weakref.ref(layer), {}  # type: ignore[var-annotated]
        self.last = Changes.attributes
        named = [(part, name, value) for part in _walk(layer) for name, value in vars(part).items()]
        open_ = [v for part, name, v in named if name not in _INTERNAL and (name[0] != "_" or not is_own(type(part)))]
        self.containers = [(one, entries(one)) for value in open_ for one in containers(value)]

    def holds(self, layer: Any) -> bool:
        """Return whether no attribute of any layer was set since, and the lists and dicts in them are the same."""
        if self.last != Changes.attributes or self.layer() is not layer:
            return False
        for one, then in self.containers:
            now = entries(one)
            if len(now) != len(then) or any(map(is_not, now, then)):
                return False
        return True


def _walk(layer: Any):
    """Yield a layer and all inside, as they are now."""
    parts = type(layer)._parts
    yield layer
    for part in getattr(parts, "__wrapped__", parts)(layer).values():
        yield from _walk(part)


def containers(value, arrays: bool = False):
    """Yield the lists and dicts in a value, and its `arrays`."""
    if type(value) in (list, tuple, dict):
        if type(value) is not tuple:
            yield value
        for one in value.values() if type(value) is dict else value:
            yield from containers(one, arrays)
    elif arrays and type(value) is np.ndarray:
        yield value


def entries(container) -> list:
    """Return what a list or a dict holds."""
    return [*container, *container.values()] if type(container) is dict else list(container)


def contents(container, mark: Callable[[Any], Any]) -> Any:
    """Return, for comparison, what a list or a dict holds, by a mark of each entry, or the numbers of an array."""
    return container.tobytes() if type(container) is np.ndarray else tuple(map(mark, entries(container)))


def changeable(layer: Any) -> list:
    """Return the lists, dicts and arrays in a layer's attributes that a program may change in place.

    What has more than a thousand entries, such as a vocabulary, is taken to stay as it is. Attributes of rnnkit's own
    classes are no arrays.
    """
    if is_own(type(layer)):
        values = [value for name, value in vars(layer).items() if type(value) in _OPEN and name[0] != "_"]
    else:
        values = [value for name, value in vars(layer).items() if name not in _INTERNAL]
    found = [one for value in values for one in containers(value, arrays=True)]
    return [one for one in found if (one.size if type(one) is np.ndarray else len(one)) <= 1000]


def by_attributes(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a method whose result is kept while no attribute is set, as a decorator: it may depend on nothing else.

    Numbers that are set in the place of numbers don't count.
    """
    name = function.__qualname__

    @functools.wraps(function)
    def kept(layer):
        own = vars(layer).get("_assigned")
        if own is None:  # it is being made
            return function(layer)
        known = own.known
        if known is None or not known.holds(layer):
            known = own.known = _Known(layer)
        if name not in known.results:
            known.results[name] = function(layer)
        return known.results[name]

    return kept


def weights_replaced() -> None:
    """Note that weights of some layer were replaced."""
    Changes.weights = Changes.last = next(Changes.numbers)
