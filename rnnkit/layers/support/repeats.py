"""Calls of a kind that was met before: recorded, then repeated without the Python around them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from rnnkit.backends.shared.thread_pool import get_num_threads
from rnnkit.execution.execution import is_eager
from rnnkit.recording import Recording, Unrepeatable, current

if TYPE_CHECKING:
    from rnnkit.layers.base import Layer

SURE = 2  # how often a recording has to agree with the ordinary way: when it is made, and with other numbers
_MET = 3  # calls of a kind before one is recorded
_MOST = 8  # kinds of a layer's calls; what comes then is done the ordinary way
_LARGEST = 1 << 20  # bytes of a recorded call, which stay in memory as long as the layer

# Attributes that a call sets itself, and no call depends on but those of stateful layers, which aren't repeated.
_PASSING = {"_kept", "_generator", "_repeated_calls"}


class _Changes:
    """How often anything was assigned to a layer, of all there are: recordings look closer only if that differs."""

    count = 0


def assigned(name: str) -> None:
    """An attribute of a layer, or its weights, have become others."""
    if name not in _PASSING:
        _Changes.count += 1


@dataclass(eq=False)
class _Kind:
    """Calls with arrays of the same shapes and dtypes, and what else there is the same."""

    met: int = 0
    recording: Recording | None = None
    places: Any = None  # memory that the arguments' arrays are copied to, in order
    found: Any = None  # what the call gives, in memory that stays
    agreed: int = 0
    refused: bool = False


class RepeatedCalls:
    """The recorded calls of a layer."""

    def __init__(self) -> None:
        self._kinds: dict[tuple, _Kind] = {}
        self._lock = threading.Lock()
        self._count = -1
        self._facts: list | None = None

    def __reduce__(self):
        return RepeatedCalls, ()  # recordings are memory of this process

    def run(self, layer: Layer, call: Callable, arguments: tuple, keywords: dict):
        """What the call gives, in new arrays; None where it has to be done the ordinary way."""
        arrays: Sequence[np.ndarray]
        key: tuple
        if len(arguments) == 1 and not keywords and type(arguments[0]) is np.ndarray:  # most calls
            arrays, key = arguments, (arguments[0].shape, arguments[0].dtype, get_num_threads())
        else:
            arrays = []
            try:
                key = _key(arguments, arrays), tuple(keywords), _key(keywords.values(), arrays), get_num_threads()
            except TypeError:
                return None
        kind = self._kinds.get(key)
        if kind is None:
            if len(self._kinds) < _MOST:
                self._kinds[key] = _Kind()
            return None
        if kind.refused or current() is not None or is_eager():
            return None
        if kind.met < _MET:
            kind.met += 1
            return None
        if not self._lock.acquire(blocking=False):  # another thread is in here
            return None
        try:
            if self._count != _Changes.count and not self._is_as_before(layer):
                return None
            if kind.agreed < SURE:
                return self._try(kind, layer, call, arrays, arguments, keywords)
            for place, array in zip(kind.places, arrays, strict=True):
                np.copyto(place, array)
            kind.recording.repeat()  # type: ignore[union-attr]  # it was recorded
            return np.array(kind.found) if type(kind.found) is np.ndarray else copied_arrays(kind.found)
        except Unrepeatable:
            return None
        finally:
            self._lock.release()

    def _is_as_before(self, layer) -> bool:
        """Whether the layer is what it was when calls were recorded; else all recordings go."""
        count = _Changes.count
        facts = [*facts_of(layer._all_layers()), *(Same(array) for array in layer._arrays().values())]
        same = facts == self._facts or self._facts is None
        self._facts, self._count = facts, count
        if not same:
            self._kinds = {}
        return same

    def _try(self, kind: _Kind, layer, call, arrays, arguments, keywords):
        """Do a call the ordinary way, and see whether a recording gives the same bits."""
        layers = layer._all_layers()
        before = generator_states(layers)
        found = call(layer, *arguments, **keywords)
        after = generator_states(layers)
        restore(before)  # the same is drawn once more
        try:
            if kind.recording is None:
                self._record(kind, layer, call, arguments, keywords)
            else:
                for place, array in zip(kind.places, arrays, strict=True):
                    np.copyto(place, array)
                kind.recording.spoil()
                kind.recording.repeat()
            pairs = zip(arrays_in(found), arrays_in(kind.found), strict=True)
            kind.refused = any(a.tobytes() != b.tobytes() for a, b in pairs)
        except Exception:  # the ordinary way has none
            kind.refused = True
        finally:
            restore(after)
        kind.agreed += 1
        if kind.refused:
            kind.recording = kind.places = kind.found = None
        return found

    @staticmethod
    def _record(kind, layer, call, arguments, keywords) -> None:
        if not are_own(layer._all_layers()):
            raise Unrepeatable("a layer is of a class of the user's")
        arguments, keywords = copied_arrays(arguments), {n: copied_arrays(one) for n, one in keywords.items()}
        kind.places, kind.recording = arrays_in([arguments, list(keywords.values())]), Recording(_LARGEST)
        kind.recording.give(*kind.places)
        kind.recording.constant(*layer._arrays().values())
        with kind.recording:
            kind.found = call(layer, *arguments, **keywords)
        if not all(kind.recording.knows(array) for array in arrays_in(kind.found)):
            raise Unrepeatable("what it gives isn't computed by recorded operations")


def _key(values, arrays: list) -> tuple:
    """What tells arguments apart, their arrays by shape and dtype; these are added to a list.

    Raises
    ------
    TypeError
        For arguments that nothing is recorded for.
    """
    found: list[Any] = []
    for value in values:
        if type(value) is np.ndarray:
            found.append((value.shape, value.dtype))
            arrays.append(value)
        elif value is None or type(value) is bool:
            found.append(value)
        elif type(value) in (list, tuple) and len(value) < _MOST:
            found.append((type(value), *_key(value, arrays)))
        else:
            raise TypeError
    return tuple(found)


class Same:
    """Equal to what holds the same object."""

    __slots__ = ("value",)

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return isinstance(other, Same) and self.value is other.value

    __hash__ = None  # type: ignore[assignment]


def facts_of(layers) -> list:
    """What calls of layers depend on besides their arguments and weights; to be compared."""
    found: list[Any] = []
    for layer in layers:
        execution = getattr(layer, "_execution", None)
        found += [Same(layer), Same(getattr(execution, "executors", None))]
        found.append({n: value for n, value in vars(layer).items() if isinstance(value, (bool, int, float, str))})
    return found


def generator_states(layers) -> dict:
    """Where the generators of layers stand, for `restore`."""
    generators = {layer: layer._generator.bit_generator for layer in layers if layer._generator is not None}
    return {layer: (generator, generator.state) for layer, generator in generators.items()}


def restore(states: dict) -> None:
    """Let generators go on from where they stood."""
    for generator, state in states.values():
        generator.state = state


def are_own(layers) -> bool:
    """Whether no layer is of a class of the user's, whose code has to run at each call."""
    return all(type(layer).__module__.partition(".")[0] == "rnnkit" for layer in layers)


def arrays_in(nested) -> list[np.ndarray]:
    """The arrays of nested lists and tuples, in order."""
    if isinstance(nested, (list, tuple)):
        return [array for one in nested for array in arrays_in(one)]
    return [nested] if isinstance(nested, np.ndarray) else []


def copied_arrays(nested):
    """Nested lists and tuples with copies of the arrays in them."""
    if isinstance(nested, (list, tuple)):
        return type(nested)(copied_arrays(one) for one in nested)
    return np.array(nested) if isinstance(nested, np.ndarray) else nested
