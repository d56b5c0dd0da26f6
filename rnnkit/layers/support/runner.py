"""The runner of what is computed again and again: recorded when its kind has occurred before, then repeated.

A kind of computation has a key, which holds everything that its result depends on besides numbers of arrays. What a key
doesn't hold, as attributes of layers, is watched: a change drops all recordings. A recording is used after it gave the
bits of the ordinary way twice.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from rnnkit.backends.shared.thread_pool import get_num_threads
from rnnkit.circumstances import FROZEN, USUAL, circumstances, standing_in
from rnnkit.layers.support.assignments import Changes, assigned
from rnnkit.layers.support.facts import takes_sequences
from rnnkit.layers.support.layer_tree import all_layers
from rnnkit.layers.support.recording import LARGEST, Recording, Unrepeatable, arrays_in, noted, plain
from rnnkit.layers.support.watching import Watched, are_own, call_states, restore
from rnnkit.steps.nesting import like, mapped

SURE = 2  # comparisons of a recording with the ordinary way: when it is made, and with other numbers
_SMALL = 1 << 14  # bytes of several arrays that are copied in less time than their addresses are written
_COPIED, _EACH = 1 << 19, 1 << 18  # bytes that are copied in the time of Python around a layer, and an operation
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
        self.call: Any = None  # of one result and no copies: from the arrays to the result, or None where it can't
        self.steps = 0  # where calls may have any number of steps, that of the last one
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

    def replace(self, layers: int) -> None:
        """Find the arrays that those of a call of so many layers can replace."""
        (places, operations, result) = self.stages[0]
        results = arrays_in(result)
        self.redirected, self.redirect = self.recording.redirected(places, results)
        if type(result) is np.ndarray and len(self.redirected) == len(places) + 1:
            self.call = self._call
            if len(operations) == 1 and (program := getattr(self.redirect, "program", None)) is not None:
                self.call = program.caller([*places, result], self.redirect.places)
                if self.recording.lengths is not None:
                    x, outputs, _ = self.recording.lengths
                    if x.shape == places[0].shape and (outputs is None or outputs.shape == result.shape):
                        self.steps = x.shape[1]
        elif sum(one.nbytes for i, one in enumerate([*places, *results]) if i in self.redirected) < _SMALL:
            self.redirected = set()
        copied = sum(one.nbytes for i, one in enumerate([*places, *results]) if i not in self.redirected)
        if copied > _COPIED * layers + _EACH * len(operations):
            raise Unrepeatable("it copies arrays for longer than Python takes")

    def _call(self, *arrays: np.ndarray) -> np.ndarray | None:
        kept = self.stages[0].result
        result = np.empty(kept.shape, kept.dtype)
        if self.redirect(*arrays, result):
            return None
        self._repeat_with(*arrays, result)
        return result

    def _repeat_with(self, *arrays: np.ndarray) -> None:
        try:
            self.recording.repeat()
        except Unrepeatable:
            self.leave(*arrays)
            raise

    def take_steps(self, steps: int) -> None:
        """Let the next calls have so many steps."""
        _, outputs, take = self.recording.lengths
        take(steps)
        self.steps = steps
        for shape in self.call.shapes[outputs is None : 2]:
            shape[1] = steps

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
        results = [result] if type(result) is np.ndarray else arrays_in(result)
        shapes = [one.shape for one in results] if not self.steps else self.call.shapes
        made = [np.empty(shape, one.dtype) for shape, one in zip(shapes, results, strict=False)]
        if self.redirect(*arrays, *made):
            arrays = [*map(np.ascontiguousarray, arrays)]
            self.redirect(*arrays, *made)
        self._repeat_with(*arrays, *made)
        if len(self.redirected) < len(arrays) + len(made):
            for i, one in enumerate(results, len(arrays)):
                if i not in self.redirected:
                    made[i - len(arrays)][...] = one
        if type(result) is np.ndarray:
            return made[0]
        each = iter(made)
        return mapped(result, lambda one: next(each) if isinstance(one, np.ndarray) else one)

    def leave(self, *arrays: np.ndarray) -> None:
        """Leave arrays that took a place in the recording to a thread that was left behind, if there is one."""
        if self.recording.is_unsafe:
            self.recording.lent += arrays

    def drop_unsafe(self) -> None:
        """Drop a recording to whose memory a thread that was left behind may write: it is made once more."""
        if self.recording is not None and self.recording.is_unsafe:
            self.clear()
            self.calls = 0


class Runner:
    """The recorded calls of a layer; classes derived from it have those of gradients, updates, and steps.

    A recording has one thread do programs of up to `alone` multiply-adds. `lists` says that a list is no list of
    sequences, whatever the layer takes.
    """

    _met = 3  # computations of a kind before one is recorded, beside the first
    _most = 8  # recorded kinds
    _may_be_longer = True  # where a program of one row, or of rows, is all of a call
    _long = 5e-3  # seconds of a computation with many bytes beside which Python's time doesn't count

    def __init__(self, alone: int = 0, lists: bool = False) -> None:
        self._alone, self._lists = alone, lists
        self._kinds: dict[tuple, Kind] = {}
        self._longer: dict[tuple, Kind] = {}  # of calls with different numbers of steps, by keys without these
        self._idle = {"idle": True}  # empty while a thread repeats a computation
        self._latest: tuple = 0, 0, None, None  # `Changes.last`, threads, layer and kind of one by `Kind.call`
        self._watched = Watched()
        self._is_paused = False

    def pause(self, layer, is_paused: bool) -> None:
        """Have calls done the ordinary way, or no more: after one that leaves losses, which the next one replaces."""
        if is_paused != self._is_paused:
            self._is_paused = is_paused
            assigned(layer, "losses", numbers=True)  # there is no latest call to repeat

    def __reduce__(self):
        return type(self), (self._alone, self._lists)  # recordings are memory of this process

    def run(self, layer, call: Callable, arguments: tuple, keywords: dict) -> Any:
        """Return the result of ``call(layer, *arguments, **keywords)`` by a recording; None if none serves it."""
        arrays: Any = None
        if len(arguments) == 1 and type(arguments[0]) is np.ndarray:
            if not keywords:
                arrays = arguments
            elif len(keywords) == 1 and type(constants := keywords.get("constants")) is list and constants:
                arrays = *arguments, *constants
        threads = get_num_threads()
        if arrays is not None:  # most calls
            last, then, subject, kind = self._latest
            if last == Changes.last and threads == then and circumstances() is USUAL and subject() is layer:
                if not self._idle.pop("idle", False):
                    return None
                try:
                    result = kind.call and kind.call(*arrays)
                finally:
                    self._idle["idle"] = True
                if result is not None:
                    return result
        elif arguments and type(arguments[0]) in (list, tuple) and not self._lists and takes_sequences(layer):
            return None  # the calls on its buckets are repeated
        if self._is_paused:
            return None
        if arrays is arguments:
            key: tuple = threads, arguments[0].shape, arguments[0].dtype
        else:
            arrays, found = [], [threads, len(arguments), *keywords]
            if not add_key((*arguments, *keywords.values()), arrays, found):
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
        if kind is None:
            if len(self._kinds) < self._most and self._held() < self._largest(subject):
                self._kinds[key] = Kind()
            kind = self._of_any_length(key, arrays)
        if kind is None or (kind.agreed < SURE and not self._is_due(kind)):
            return None
        if not self._idle.pop("idle", False):  # another thread repeats a computation
            return None
        try:
            if not self._holds(subject):
                self._kinds, self._longer = {key: Kind()}, {}
                return None
            if kind.agreed < SURE:
                return self._try(kind, subject, call, arrays, arguments, keywords)
            if kind.steps and kind.steps != arrays[0].shape[1]:
                kind.take_steps(arrays[0].shape[1])
            if kind.call is not None and kind.loaded is self._watched.weights:
                usual = now is USUAL and not self._watched.lists and len(arguments) == 1 and len(keywords) < 2
                if usual and (not keywords or "constants" in keywords) and hasattr(kind.call, "shapes"):
                    self._latest = Changes.last, key[0], self._watched.layer, kind
                result = kind.call(*arrays)
                if result is not None:
                    return result
            return self._give(kind, subject, call, arrays, arguments, keywords)
        except Unrepeatable:
            kind.drop_unsafe()
            return None
        finally:
            self._idle["idle"] = True

    def _of_any_length(self, key: tuple, arrays: Sequence[np.ndarray]) -> Kind | None:
        """Return the kind of calls that differ in the steps of their first array alone, if there may be any."""
        if not self._may_be_longer or not arrays or arrays[0].ndim < 3 or not arrays[0].shape[1]:
            return None
        shape = arrays[0].shape
        at = key.index(shape)
        others = *key[:at], (shape[0], *shape[2:]), *key[at + 1 :]
        kind = self._longer.get(others)
        if kind is None and len(self._longer) < self._most:
            self._longer[others] = Kind()
        return None if kind is None or kind.refusal is not None else kind

    def _is_due(self, kind: Kind) -> bool:
        """Count a computation; return whether a recording is tried."""
        kind.calls += 1
        return kind.refusal is None and kind.calls > self._met

    def _try(self, kind: Kind, subject, call, arrays, arguments, keywords) -> Any:
        """Compute the ordinary way, and check that a recording gives the same bits."""
        before, began = self._states(subject), time.perf_counter()
        found = call(subject, *arguments, **keywords)
        if time.perf_counter() - began > self._long and self._bytes(arrays) > subject._recorded_bytes:
            kind.refusal = "it takes long beside Python"
            return found
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
                if any(one is kind for one in self._longer.values()) and not kind.steps:
                    raise Unrepeatable("it may not have other numbers of steps")
            else:
                if kind.steps:
                    kind.take_steps(arrays[0].shape[1])
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

    def _held(self) -> int:
        """Return the bytes that recordings hold."""
        kinds = *self._kinds.values(), *self._longer.values()
        return sum(kind.recording.bytes for kind in kinds if kind.recording is not None)

    def _layers(self, subject) -> list:
        """Return the layers that take part."""
        return all_layers(subject)

    def _largest(self, subject) -> int:
        """Return the bytes that a recording may hold."""
        return max(LARGEST, subject._recorded_bytes)

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
        if self._bytes(arrays) > self._largest(subject):
            raise Unrepeatable(f"it holds more than {self._largest(subject):,} bytes")
        if not are_own(self._layers(subject)):
            raise Unrepeatable("a layer is of a class of the user's")

    def _bytes(self, arrays) -> int:
        """Return the bytes of arrays and of the weights."""
        return sum(array.nbytes for array in (*arrays, *self._watched.weights))

    def _record(self, kind: Kind, subject, call, arguments, keywords) -> Any:
        """Record a computation; return its result, for comparison."""
        weights, recording = self._watched.weights, kind.recording
        memory = {id(array): np.array(array) for array in weights}  # a shared layer has one
        kind.weights, kind.loaded = [memory[id(array)] for array in weights], weights
        recording.give(*kind.weights, rarely=True)
        recording.shares = True
        with recording, standing_in(zip(weights, noted(kind.weights), strict=True)):
            return self._record_stages(kind, subject, call, arguments, keywords)

    def _record_stages(self, kind: Kind, subject, call, arguments, keywords) -> Any:
        result = kind.stage(lambda given, named: call(subject, *given, **named), arguments, keywords)
        kind.replace(len(self._layers(subject)))
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
        entries = [copied_arrays(one) for one in nested]
        return entries if type(nested) is list else like(nested, entries)
    if isinstance(nested, dict):
        return {name: copied_arrays(one) for name, one in nested.items()}
    return nested.copy() if hasattr(nested, "renew") else nested
