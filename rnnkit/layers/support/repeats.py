"""Repeated calls: recorded when their kind has occurred before, then repeated without the Python around them."""

from __future__ import annotations

import copy
import functools
import itertools
import threading
import weakref
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from operator import is_not
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnkit.arguments import is_own
from rnnkit.backends.shared.thread_pool import get_num_threads
from rnnkit.execution.execution import is_eager
from rnnkit.layers.support.row_gradient import RowGradient
from rnnkit.layers.support.streaming import running
from rnnkit.recording import (
    Recording,
    Unrepeatable,
    arrays_in,
    current,
    each_array,
    has_stand_ins,
    noted,
    plain,
    standing_in,
)
from rnnkit.stored_weights import StoredWeight

if TYPE_CHECKING:
    from rnnkit.layers.base import Layer

frozen_outside: ContextVar[bool] = ContextVar("rnnkit frozen", default=False)  # whether an outer layer isn't trained
SURE = 2  # comparisons of a recording with the ordinary call: when it is made, and with other numbers
_MET = 3  # calls of a kind before one is recorded
_MOST = 8  # recorded kinds of a layer's calls
_SMALL = 1 << 14  # bytes of several arrays that are copied in less time than their addresses are written
_LONGEST = 16  # entries of a list among the arguments, which may be a long one of numbers

# Attributes that no recording depends on: a call sets them itself, and stateful layers aren't repeated; fit sets them.
_PASSING = {"_kept", "_added_losses", "_generator", "_assigned", "history", "stop_training"}
_PASSING |= {"_repeated_calls", "_repeated_vjps", "_repeated_hvps"}
# Attributes that aren't compared: weights and executors in them are, and the others are for training.
_APART = {*_PASSING, "_own", "_execution", "_graphs", "_compiled", "_repeats", "_repeated_tests"}


# Dicts and lists in which a program changes nothing.
_INTERNAL = _APART | set("_variables _variable_options _before_build _made_with _input_nesting _loss_trackers".split())

_PLAIN = {bool, int, str, type(None)}


class _Changes:
    """Numbers of the last assignment to any layer, and to any weight: while these are the same, nothing has changed."""

    numbers = itertools.count(1)
    last = weights = attributes = 0


class Assigned:
    """The number of the last assignment to an attribute of a layer, and what follows from its attributes."""

    __slots__ = ("arrays", "known", "last")

    def __init__(self) -> None:
        self.last = 0
        self.known: _Known | None = None
        self.arrays: tuple | None = None  # of a layer's cell, with the number of the last change

    def __reduce__(self):
        return type(self), ()  # numbers are this process's


def assigned(layer: Layer, name: str, numbers: bool = False) -> None:
    """Note an assignment to an attribute of a layer, perhaps of numbers in the place of numbers."""
    if name not in _PASSING and (own := vars(layer).get("_assigned")) is not None:
        own.last = _Changes.last = next(_Changes.numbers)
        if not numbers:
            _Changes.attributes = own.last


class _Known:
    """Results of `by_attributes` for a layer, and the lists and dicts that it and the layers inside have."""

    def __init__(self, layer: Layer):
        self.layer, self.results = weakref.ref(layer), {}  # type: ignore[var-annotated]
        self.last = _Changes.attributes
        named = [(part, name, value) for part in _walk(layer) for name, value in vars(part).items()]
        open_ = [v for part, name, v in named if name not in _INTERNAL and (name[0] != "_" or not is_own(type(part)))]
        self.containers = [(one, _entries(one)) for value in open_ for one in _containers(value)]

    def holds(self, layer: Layer) -> bool:
        """Return whether no attribute of any layer was set since, and the lists and dicts in them are the same."""
        if self.last != _Changes.attributes or self.layer() is not layer:
            return False
        for one, then in self.containers:
            now = _entries(one)
            if len(now) != len(then) or any(map(is_not, now, then)):
                return False
        return True


def _walk(layer: Layer):
    """Yield a layer and all inside, as they are now."""
    parts = type(layer)._parts
    yield layer
    for part in getattr(parts, "__wrapped__", parts)(layer).values():
        yield from _walk(part)


def _containers(value):
    """Yield the lists and dicts in a value."""
    if type(value) in (list, tuple, dict):
        if type(value) is not tuple:
            yield value
        for one in value.values() if type(value) is dict else value:
            yield from _containers(one)


def _entries(container) -> list:
    return [*container, *container.values()] if type(container) is dict else list(container)


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
    _Changes.weights = _Changes.last = next(_Changes.numbers)


def last_change() -> int:
    """Return the number of the last assignment to any layer, or replacement of weights."""
    return _Changes.last


def last_replacement() -> int:
    """Return the number of the last replacement of any layer's weights."""
    return _Changes.weights


class Watched:
    """Facts about a layer when it was last examined.

    They are compared only after an assignment to the layer, or to a layer inside; `facts_of` has all of them.

    Attributes
    ----------
    weights : list of ndarray
        The weights that aren't stored in fewer bits.
    """

    def __init__(self) -> None:
        self._layer: Callable[[], Layer | None] = lambda: None  # shared by shallow copies
        self._last = self._last_weights = -1
        self._numbers: list[tuple[Assigned, int]] = []
        self._lists: list[list] = []  # attributes that may be changed in place, as a model's layers
        self._entries: list[list[int]] = []  # the ids of their entries,
        self._alive: list[list] = []  # and the entries, kept alive so that ids stay theirs
        self._facts: list | None = None
        self._kinds: list = []
        self.weights: list = []

    def is_untouched(self, layer: Layer) -> bool:
        """Return whether nothing was assigned to any layer since `look`."""
        if self._last != _Changes.last or self._layer() is not layer:
            return False
        return not self._lists or not self._differs_in_place()

    def _differs_in_place(self) -> bool:
        return [list(map(id, one)) for one in self._lists] != self._entries

    def look(self, layer: Layer) -> bool:
        """Examine a layer; return whether it is the same as at the last time, but for the numbers of `weights`."""
        last, last_weights = _Changes.last, _Changes.weights
        facts, kinds = self._facts, self._kinds
        if (
            self._layer() is not layer
            or self._differs_in_place()
            or any(own.last != then for own, then in self._numbers)
        ):
            layers, self._layer, self._last_weights = layer._all_layers(), weakref.ref(layer), -1
            self._numbers = [(one._assigned, one._assigned.last) for one in layers]
            found = ((name, value) for one in layers for name, value in vars(one).items())
            self._lists = [value for name, value in found if type(value) is list and name[0] != "_"]
            self._alive = [list(one) for one in self._lists]
            self._entries = [list(map(id, one)) for one in self._alive]
            self._facts = facts_of(layers)
        if self._last_weights != last_weights:
            held = layer._held_arrays().values()
            arrays = [array for array in held if not isinstance(array, StoredWeight)]
            self._kinds = [Same(one) if isinstance(one, StoredWeight) else (one.shape, one.dtype) for one in held]
            if len(arrays) != len(self.weights) or any(map(is_not, arrays, self.weights)):
                self.weights = arrays
        self._last, self._last_weights = last, last_weights
        return facts is None or (facts == self._facts and kinds == self._kinds)


@dataclass(eq=False)
class _Kind:
    """Calls with arrays of the same shapes and dtypes, and equal other arguments.

    Attributes
    ----------
    calls, agreed : int
        Calls so far, and how many of them a recording agreed with.
    refusal : str or None
        Why calls of this kind aren't repeated.
    places, weights : list of ndarray
        Memory that the arguments' arrays, and the weights, are copied to.
    redirected : set of int
        The arrays, of arguments and then of results, that are used or made where they are: nothing is copied.
    redirect : callable
        Takes the arrays of arguments and of results, before a repetition.
    direct : tuple or None
        Of most calls, with one array and one result: that one's shape and dtype, `redirect`, and all operations.
    loaded : list of ndarray, or None
        The weights whose numbers are in that memory.
    result
        The result of the call, in fixed memory.
    vjp : rnnkit.layers.support.repeated_gradients.RecordedVJP or None
        With a gradient.
    """

    calls: int = 0
    agreed: int = 0
    refusal: str | None = None
    recording: Any = None
    places: list = field(default_factory=list)
    weights: list = field(default_factory=list)
    redirected: set[int] = field(default_factory=set)
    redirect: Any = None
    direct: tuple | None = None
    loaded: list | None = None
    result: Any = None
    vjp: Any = None

    def take(self, arrays: Sequence[np.ndarray], weights: list) -> None:
        """Copy the numbers of a call's arguments and weights to the recording's memory."""
        if self.vjp is not None:
            self.vjp.latest = None
        if self.loaded is not weights:
            self.loaded = None
            for place, array in zip(self.weights, weights, strict=True):
                place[...] = array
            self.recording.prepare()
            self.loaded = weights
        for i, place in enumerate(self.places):
            if i not in self.redirected:
                place[...] = arrays[i]

    def replace(self) -> None:
        """Find the arrays that a call's own can replace."""
        results, operations = arrays_in(self.result), self.recording.operations
        self.redirected, self.redirect = self.recording.redirected(self.places, results)
        if type(self.result) is np.ndarray and self.redirected == {0, 1} and len(self.places) == 1:
            run = operations[0] if len(operations) == 1 else self.recording.repeat
            self.direct = self.result.shape, self.result.dtype, self.redirect, run
        elif sum(one.nbytes for i, one in enumerate([*self.places, *results]) if i in self.redirected) < _SMALL:
            self.redirected = set()

    def repeat(self, arrays: Sequence[np.ndarray], weights: list):
        """Return the result for a call's arrays, in new memory."""
        if self.direct is not None and self.loaded is weights:
            (array,), (shape, dtype, redirect, operation) = arrays, self.direct
            result = np.empty(shape, dtype)
            redirect(array if array.flags.c_contiguous else np.ascontiguousarray(array), result)
            operation()
            return result
        self.take(arrays, weights)
        if not self.redirected:
            self.recording.repeat()
            return copied_arrays(self.result)
        used = [array if array.flags.c_contiguous else np.ascontiguousarray(array) for array in arrays]
        results = [self.result] if type(self.result) is np.ndarray else arrays_in(self.result)
        made = [np.empty(one.shape, one.dtype) for one in results]
        self.redirect(*used, *made)
        self.recording.repeat()
        if len(self.redirected) < len(used) + len(made):
            for i, one in enumerate(results, len(used)):
                if i not in self.redirected:
                    made[i - len(used)][...] = one
        each = iter(made)
        return made[0] if type(self.result) is np.ndarray else each_array(self.result, lambda _: next(each))


class RepeatedCalls:
    """The recorded calls of a layer, each of `size` times the bytes that a layer's may hold.

    Of each program, up to `alone` multiply-adds are done by one thread. `lists` says that a list is no list of
    sequences, whatever the layer takes.
    """

    def __init__(self, alone: int = 0, size: int = 1, lists: bool = False) -> None:
        self._alone, self._size, self._lists = alone, size, lists
        self._kinds: dict[tuple, _Kind] = {}
        self._lock = threading.Lock()
        self._watched = Watched()

    def __reduce__(self):
        return type(self), (self._alone, self._size, self._lists)  # recordings are memory of this process

    def run(self, layer: Layer, call: Callable, arguments: tuple, keywords: dict):
        """Return the result of a recorded call, in new arrays; None if the call has to run the ordinary way."""
        arrays: Sequence[np.ndarray]
        key: tuple
        if len(arguments) == 1 and not keywords and type(arguments[0]) is np.ndarray:  # most calls
            arrays, key = arguments, (arguments[0].shape, arguments[0].dtype, get_num_threads(), frozen_outside.get())
        elif arguments and type(arguments[0]) in (list, tuple) and not self._lists and layer._takes_sequences():
            return None  # the calls on its buckets are repeated
        else:
            arrays, found = [], [get_num_threads(), frozen_outside.get(), len(arguments), *keywords]
            if not (_add_key(arguments, arrays, found) and _add_key(keywords.values(), arrays, found)):
                return None
            key = tuple(found)
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) < _MOST:
                self._kinds[key] = _Kind()
            return None
        if kind.refusal is not None or current() is not None or is_eager() or running.get() is not None:
            return None
        if has_stand_ins():
            return None
        if kind.calls < _MET:
            kind.calls += 1
            return None
        mine = False
        try:
            mine = self._lock.acquire(False)
            if not mine:  # another thread repeats a call
                return None
            if not self._watched.is_untouched(layer) and not self._watched.look(layer):
                self._kinds = {}
                return None
            if kind.agreed < SURE:
                return self._try(kind, layer, call, arrays, arguments, keywords)
            return self._repeat(kind, layer, call, arrays, arguments, keywords)
        except Unrepeatable:
            return None
        finally:
            if mine:
                self._lock.release()

    def _try(self, kind: _Kind, layer, call, arrays, arguments, keywords):
        """Run a call the ordinary way, and check that a recording gives the same bits."""
        if sum(array.nbytes for array in (*arrays, *self._watched.weights)) > self._size * layer._recorded_bytes:
            kind.refusal = f"it holds more than {self._size * layer._recorded_bytes:,} bytes"
            return None
        layers = layer._all_layers()
        before = call_states(layers)
        found = call(layer, *arguments, **keywords)
        after = call_states(layers)
        restore(before)  # so that the recording draws the same
        try:
            if kind.recording is None:
                self._make(kind, layer, call, arguments, keywords)
                result = kind.result
            else:
                kind.recording.spoil()
                kind.loaded = None
                result = kind.repeat(arrays, self._watched.weights)
            if not self._agrees(kind, found, result, before == after):
                kind.refusal = "it gives other bits than the ordinary way"
        except Exception as error:  # of the recording: the ordinary call raised none
            kind.refusal = str(error)
        finally:
            restore(after)
        kind.agreed += 1
        if kind.refusal is not None:
            kind.recording = kind.loaded = kind.result = kind.vjp = None
            kind.places, kind.weights = [], []
        return found

    def _make(self, kind: _Kind, layer, call, arguments, keywords) -> None:
        if not are_own(layer._all_layers()):
            raise Unrepeatable("a layer is of a class of the user's")
        arguments, keywords = copied_arrays(arguments), {n: copied_arrays(one) for n, one in keywords.items()}
        recording = kind.recording = Recording(self._size * layer._recorded_bytes, self._alone)
        kind.places = arrays_in([arguments, list(keywords.values())])
        memory = {id(array): np.array(array) for array in self._watched.weights}  # a shared layer has one
        kind.weights, kind.loaded = [memory[id(array)] for array in self._watched.weights], self._watched.weights
        recording.give(*kind.places)
        recording.give(*kind.weights, rarely=True)
        with recording, standing_in(zip(self._watched.weights, noted(kind.weights), strict=True)):
            self._record(kind, layer, call, noted(arguments), noted(keywords))
        if not all(recording.knows(array) for array in arrays_in(kind.result)):
            raise Unrepeatable("what it gives isn't computed by recorded operations")

    # Overridden for calls with their gradient

    def _record(self, kind, layer, call, arguments, keywords) -> None:
        kind.result = plain(call(layer, *arguments, **keywords))
        kind.replace()

    def _agrees(self, kind, found, result, drew_nothing: bool) -> bool:
        """Return whether the recording gives the bits of the ordinary call."""
        return same_bits(found, result)

    def _repeat(self, kind, layer, call, arrays, arguments, keywords):
        return kind.repeat(arrays, self._watched.weights)


def _add_key(values, arrays: list, found: list) -> bool:
    """Add the arrays of arguments, and the key of their kind; False if calls with them can't be recorded."""
    for value in values:
        kind = type(value)
        if kind is np.ndarray:
            found += (value.shape, value.dtype)
            arrays.append(value)
        elif value is None or kind is bool:
            found.append(value)
        elif kind in (list, tuple) and len(value) <= _LONGEST:
            found += (kind, len(value))
            if not _add_key(value, arrays, found):
                return False
        else:
            return False
    return True


class Same:
    """Wrapper of an object that equals another one with the same object."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return isinstance(other, Same) and self.value is other.value

    __hash__ = None  # type: ignore[assignment]


def facts_of(layers) -> list:
    """Return, for comparison, all that calls of layers depend on besides their arguments and weights."""
    found: list[Any] = []
    for layer in layers:
        execution = getattr(layer, "_execution", None)
        found += [weakref.ref(layer), Same(getattr(execution, "executors", None))]  # weakly: it has the recordings
        found.append({name: _fact(value) for name, value in vars(layer).items() if name not in _APART})
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
        moving = {name: Same(array) for name, array in layer._moving().items()}
        if generator is not None or moving:
            found[layer] = generator, None if generator is None else generator.state, moving
    return found


def unmoved(layers, arrays) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the weights that calls don't change, each twice, for `standing_in`; calls read the others each time."""
    moving = {id(array) for layer in layers for array in layer._moving().values()}
    return [(array, array) for array in arrays if id(array) not in moving]


def restore(states: dict) -> None:
    """Restore the states of `call_states`."""
    for layer, (generator, state, moving) in states.items():
        if generator is not None:
            generator.state = state
        if any(array is not moving[name].value for name, array in layer._moving().items()):
            layer._put_own_arrays({name: same.value for name, same in moving.items()})


def are_own(layers) -> bool:
    """Return whether no layer is of a user's class whose code has to run at each call."""
    return all(is_own(type(layer)) or layer._is_read_once for layer in layers)


def same_bits(nested, other) -> bool:
    """Return whether arrays that are nested alike have the same bits."""
    pairs = zip(arrays_in(nested), arrays_in(other), strict=True)
    return all(a.tobytes() == b.tobytes() and a.shape == b.shape for a, b in pairs)


def copied_arrays(nested):
    """Return nested lists, tuples and dicts with copies of the arrays in them."""
    if isinstance(nested, np.ndarray):  # most of them
        return np.array(nested)
    if isinstance(nested, (list, tuple)):
        return type(nested)([copied_arrays(one) for one in nested])
    if isinstance(nested, dict):
        return {name: copied_arrays(one) for name, one in nested.items()}
    return copy.copy(nested) if isinstance(nested, RowGradient) else nested
