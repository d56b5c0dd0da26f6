"""Calls of a kind that was met before: recorded, then repeated without the Python around them."""

from __future__ import annotations

import threading
from collections.abc import Callable
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
    """Calls with an array of one shape and dtype."""

    met: int = 0
    recording: Recording | None = None
    x: Any = None  # memory that an array is copied to
    found: Any = None  # what the call gives, in memory that stays
    agreed: int = 0
    refused: bool = False


class RepeatedCalls:
    """The recorded calls of a layer with an array and nothing else."""

    def __init__(self) -> None:
        self._kinds: dict[tuple, _Kind] = {}
        self._lock = threading.Lock()
        self._count = -1
        self._facts: list | None = None

    def __reduce__(self):
        return RepeatedCalls, ()  # recordings are memory of this process

    def run(self, layer: Layer, call: Callable, x: np.ndarray):
        """What the call gives, in new arrays; None where it has to be done the ordinary way."""
        key = x.shape, x.dtype, get_num_threads()
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
                return self._try(kind, layer, call, x)
            np.copyto(kind.x, x)
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

    def _try(self, kind: _Kind, layer, call, x):
        """Do a call the ordinary way, and see whether a recording gives the same bits."""
        found = call(layer, x)
        try:
            if kind.recording is None:
                self._record(kind, layer, call, x)
            else:
                np.copyto(kind.x, x)
                kind.recording.spoil()
                kind.recording.repeat()
            pairs = zip(arrays_in(found), arrays_in(kind.found), strict=True)
            kind.refused = any(a.tobytes() != b.tobytes() for a, b in pairs)
        except Exception:  # the ordinary way has none
            kind.refused = True
        kind.agreed += 1
        if kind.refused:
            kind.recording = kind.x = kind.found = None
        return found

    @staticmethod
    def _record(kind, layer, call, x) -> None:
        if not are_own(layer._all_layers()):
            raise Unrepeatable("a layer is of a class of the user's")
        kind.x, kind.recording = np.array(x), Recording(_LARGEST)
        kind.recording.give(kind.x)
        kind.recording.constant(*layer._arrays().values())
        with kind.recording:
            kind.found = call(layer, kind.x)
        if not all(kind.recording.knows(array) for array in arrays_in(kind.found)):
            raise Unrepeatable("what it gives isn't computed by recorded operations")


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
