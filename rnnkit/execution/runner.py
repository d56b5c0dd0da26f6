"""The runner of what is computed again and again: recorded when its kind has occurred before, then repeated.

A kind of computation has a key, which holds everything that its result depends on besides numbers of arrays. What a key
doesn't hold, as attributes of layers, is watched: a change drops all recordings. A recording is used after it gave the
bits of the ordinary way twice.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnnkit.backends.shared.thread_pool import get_num_threads
from rnnkit.circumstances import FROZEN, USUAL, circumstances, standing_in
from rnnkit.execution.watching import Watched, are_own, call_states, restore
from rnnkit.recording import Recording, Unrepeatable, arrays_in, each_array, noted, plain

SURE = 2  # comparisons of a recording with the ordinary way: when it is made, and with other numbers
_SMALL = 1 << 14  # bytes of several arrays that are copied in less time than their addresses are written
_LONGEST = 64  # entries of a list among the arguments, which may be a long one of numbers


class Stage(NamedTuple):
    """A part of a recording between which and the next one Python does something else."""

    places: list[np.ndarray]  # memory that its arrays are copied to
    operations: list[Callable[[], Any]]
    result: Any  # in memory that stays


class Kind:
    """Computations of one key: how often they occurred, and their recording once they did often enough."""

    def __init__(self) -> None:
        self.calls = 0
        self.refusal: str | None = None  # why they aren't repeated
        self.clear()

    def clear(self) -> None:
        """Drop the recording."""
        self.agreed = 0  # computations that it gave the bits of
        self.recording: Any = None
        self.stages: list[Stage] = []
        self.weights: list[np.ndarray] = []  # memory that weights are copied to,
        self.loaded: list[np.ndarray] | None = None  # and those whose numbers are there
        self.redirected: set[int] = set()  # arrays of arguments, then of results, that are used where they are
        self.redirect: Any = None  # takes all of these before a repetition
        self.direct: tuple | None = None  # of one array and one result: that one's shape and dtype, and what is run
        self.latest: Any = None  # token of a computation whose numbers are in memory
        self.own: Any = None  # what the computation keeps beside

    def stage(self, function: Callable, *arguments) -> Any:
        """Record a function of nested arrays, in copies of these, as the next stage; return its result."""
        arguments = copied_arrays(arguments)
        places, first = arrays_in(arguments), len(self.recording.operations)
        self.recording.give(*places)
        result = plain(function(*noted(arguments)))
        if not all(self.recording.knows(array) for array in arrays_in(result)):
            raise Unrepeatable("what it gives isn't computed by recorded operations")
        self.stages.append(Stage(places, self.recording.operations[first:], result))
        return result

    def replace(self) -> None:
        """Find the arrays that those of a call can replace."""
        (places, operations, result) = self.stages[0]
        results = arrays_in(result)
        self.redirected, self.redirect = self.recording.redirected(places, results)
        if type(result) is np.ndarray and self.redirected == {0, 1} and len(places) == 1:
            run = operations[0] if len(operations) == 1 else self.recording.repeat
            self.direct = result.shape, result.dtype, self.redirect, run
        elif sum(one.nbytes for i, one in enumerate([*places, *results]) if i in self.redirected) < _SMALL:
            self.redirected = set()

    def load(self, weights: list[np.ndarray]) -> None:
        """Copy weights to their memory, unless their numbers are there."""
        if self.loaded is not weights:
            self.loaded = None
            for place, array in zip(self.weights, weights, strict=True):
                place[...] = array
            self.recording.prepare()
            self.loaded = weights

    def run(self, number: int, arrays: Sequence[np.ndarray]) -> Any:
        """Repeat a stage with the numbers of arrays; return its result, in memory that the next repetition changes."""
        places, operations, result = self.stages[number]
        for place, array in zip(places, arrays, strict=True):
            place[...] = array
        for operation in operations:
            operation()
        return result

    def repeat(self, arrays: Sequence[np.ndarray]) -> Any:
        """Return the result of the first stage, in new memory."""
        if not self.redirected:
            return copied_arrays(self.run(0, arrays))
        (places, _, result) = self.stages[0]
        for i, place in enumerate(places):
            if i not in self.redirected:
                place[...] = arrays[i]
        used = [array if array.flags.c_contiguous else np.ascontiguousarray(array) for array in arrays]
        results = [result] if type(result) is np.ndarray else arrays_in(result)
        made = [np.empty(one.shape, one.dtype) for one in results]
        self.redirect(*used, *made)
        self.recording.repeat()
        if len(self.redirected) < len(used) + len(made):
            for i, one in enumerate(results, len(used)):
                if i not in self.redirected:
                    made[i - len(used)][...] = one
        each = iter(made)
        return made[0] if type(result) is np.ndarray else each_array(result, lambda _: next(each))


class Runner:
    """The recorded calls of a layer; classes derived from it have those of gradients, updates, and steps.

    A recording may hold `size` times the bytes that a layer's may, and has one thread do programs of up to `alone`
    multiply-adds. `lists` says that a list is no list of sequences, whatever the layer takes.
    """

    _met = 3  # computations of a kind before one is recorded, beside the first
    _most = 8  # recorded kinds

    def __init__(self, alone: int = 0, size: int = 1, lists: bool = False) -> None:
        self._alone, self._size, self._lists = alone, size, lists
        self._kinds: dict[tuple, Kind] = {}
        self._lock = threading.Lock()
        self._watched = Watched()

    def __reduce__(self):
        return type(self), (self._alone, self._size, self._lists)  # recordings are memory of this process

    def run(self, layer, call: Callable, arguments: tuple, keywords: dict) -> Any:
        """Return the result of ``call(layer, *arguments, **keywords)`` by a recording; None if none serves it."""
        arrays: Sequence[np.ndarray]
        if len(arguments) == 1 and not keywords and type(arguments[0]) is np.ndarray:  # most calls
            arrays, key = arguments, (arguments[0].shape, arguments[0].dtype, get_num_threads())
        elif arguments and type(arguments[0]) in (list, tuple) and not self._lists and layer._takes_sequences():
            return None  # the calls on its buckets are repeated
        else:
            found: list[Any] = [get_num_threads(), len(arguments), *keywords]
            arrays = []
            if not (add_key(arguments, arrays, found) and add_key(keywords.values(), arrays, found)):
                return None
            key = tuple(found)
        return self.serve(key, layer, call, arrays, arguments, keywords)

    def serve(self, key: tuple, subject, call: Callable, arrays: Sequence, arguments: tuple, keywords: dict) -> Any:
        """Return the result of ``call(subject, *arguments, **keywords)``, a computation of this key, as `run`."""
        now = circumstances()
        if now is not USUAL:
            if now != FROZEN:  # it is recorded, of a stream, eager, or computes with other weights
                return None
            key = *key, True
        kind = self._kinds.get(key)
        if kind is None or (kind.agreed < SURE and not self._is_due(kind)):
            if kind is None and not self._is_full(subject):
                self._kinds[key] = Kind()
            return None
        if not self._lock.acquire(False):  # another thread repeats a computation
            return None
        try:
            if not self._holds(subject):
                self._kinds = {key: Kind()}
                return None
            if kind.agreed < SURE:
                return self._try(kind, subject, call, arrays, arguments, keywords)
            if kind.direct is not None and kind.loaded is self._watched.weights:
                (array,), (shape, dtype, redirect, operation) = arrays, kind.direct
                result = np.empty(shape, dtype)
                redirect(array if array.flags.c_contiguous else np.ascontiguousarray(array), result)
                operation()
                return result
            return self._give(kind, subject, call, arrays, arguments, keywords)
        except Unrepeatable:
            return None
        finally:
            self._lock.release()

    def _is_due(self, kind: Kind) -> bool:
        """Count a computation; return whether a recording is tried."""
        kind.calls += 1
        return kind.refusal is None and kind.calls > self._met

    def _try(self, kind: Kind, subject, call, arrays, arguments, keywords) -> Any:
        """Compute the ordinary way, and check that a recording gives the same bits."""
        before = self._states(subject)
        found = call(subject, *arguments, **keywords)
        after = self._states(subject)
        try:
            if kind.recording is not None:
                kind.recording.spoil()
                kind.loaded = None
            self._restore(subject, before)  # so that the recording starts as the call did, and draws the same
            if kind.recording is None:
                self._check(subject, arrays)
                kind.recording = Recording(self._largest(subject), self._alone)
                result = self._record(kind, subject, call, arguments, keywords)
            else:
                result = self._again(kind, subject, arrays, arguments)
            if not self._agrees(kind, subject, (found, result), (before, after)):
                raise Unrepeatable("it gives other bits than the ordinary way")
            kind.agreed += 1
        except Exception as error:  # of the recording: the ordinary way raised none
            if kind.recording is None or not kind.recording.is_unsafe:  # or it is recorded once more
                kind.refusal = str(error)
            kind.clear()
        except BaseException:
            kind.clear()
            raise
        finally:
            self._restore(subject, after)
        return found

    # Overridden for other computations than calls of layers

    def _is_full(self, subject) -> bool:
        """Return whether no other kind is recorded."""
        return len(self._kinds) >= self._most

    def _layers(self, subject) -> list:
        """Return the layers that take part."""
        return subject._all_layers()

    def _largest(self, subject) -> int:
        """Return the bytes that a recording may hold."""
        return self._size * subject._recorded_bytes

    def _holds(self, subject) -> bool:
        """Return whether what the recordings depend on besides their keys is as it was."""
        return self._watched.is_untouched(subject) or self._watched.look(subject)

    def _states(self, subject) -> Any:
        """Return what a computation changes, for `_restore`."""
        return call_states(self._layers(subject))

    def _restore(self, subject, states) -> None:
        restore(states)

    def _check(self, subject, arrays) -> None:
        """Refuse by an error what isn't recorded."""
        if sum(array.nbytes for array in (*arrays, *self._watched.weights)) > self._largest(subject):
            raise Unrepeatable(f"it holds more than {self._largest(subject):,} bytes")
        if not are_own(self._layers(subject)):
            raise Unrepeatable("a layer is of a class of the user's")

    def _record(self, kind: Kind, subject, call, arguments, keywords) -> Any:
        """Record a computation; return its result, for comparison."""
        weights, recording = self._watched.weights, kind.recording
        memory = {id(array): np.array(array) for array in weights}  # a shared layer has one
        kind.weights, kind.loaded = [memory[id(array)] for array in weights], weights
        recording.give(*kind.weights, rarely=True)
        with recording, standing_in(zip(weights, noted(kind.weights), strict=True)):
            return self._record_stages(kind, subject, call, arguments, keywords)

    def _record_stages(self, kind: Kind, subject, call, arguments, keywords) -> Any:
        result = kind.stage(lambda given, named: call(subject, *given, **named), arguments, keywords)
        kind.replace()
        return result

    def _again(self, kind: Kind, subject, arrays, arguments) -> Any:
        """Repeat a recording that isn't trusted yet."""
        kind.load(self._watched.weights)
        return kind.repeat(arrays)

    def _agrees(self, kind: Kind, subject, results: tuple, states: tuple) -> bool:
        """Return whether the ordinary way and the recording have the same result; `states` are around the first."""
        return same_bits(*results)

    def _give(self, kind: Kind, subject, call, arrays, arguments, keywords) -> Any:
        """Return the result by a recording that is trusted."""
        return self._again(kind, subject, arrays, arguments)


def add_key(values, arrays: list, found: list) -> bool:
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
            if not add_key(value, arrays, found):
                return False
        else:
            return False
    return True


def same_bits(nested, other) -> bool:
    """Return whether arrays that are nested alike have the same bits."""
    pairs = zip(arrays_in(nested), arrays_in(other), strict=True)
    return all(a.tobytes() == b.tobytes() and a.shape == b.shape for a, b in pairs)


def copied_arrays(nested):
    """Return nested lists, tuples and dicts with copies of the arrays in them, and of what renews itself."""
    if isinstance(nested, np.ndarray):  # most of them
        return np.array(nested)
    if isinstance(nested, (list, tuple)):
        return type(nested)([copied_arrays(one) for one in nested])
    if isinstance(nested, dict):
        return {name: copied_arrays(one) for name, one in nested.items()}
    return nested.copy() if hasattr(nested, "renew") else nested
