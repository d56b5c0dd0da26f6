"""A call recorded as operations on fixed memory, which are then repeated with other numbers in it.

Around the programs of a small call, Python takes many times as long as they do, though it does the same at every call
of a kind. So such a call runs once inside a `Recording`, which notes every operation on arrays, and then its operations
are repeated without the rest. Code that computes with arrays outside of programs does it by the functions here, which
do nothing else without a recording.

A recording follows every array to its owner, the array whose memory it shows. An operation may read arrays that an
earlier operation wrote, or that were given or declared constant. If one reads anything else, the call can't be
recorded: Python has computed something that no repetition would compute again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any

import numpy as np

LARGEST = 1 << 24  # bytes that a recording may hold: in larger calls, Python's time doesn't count

_NEVER, _RARELY, _OFTEN = range(3)  # how often the numbers of an array change

_current: ContextVar[Recording | None] = ContextVar("rnnkit_recording", default=None)
_stand_ins: ContextVar[dict[int, tuple] | None] = ContextVar("rnnkit_stand_ins", default=None)


class Unrepeatable(Exception):
    """Error of a call that can't be recorded, or of a recording that can't be repeated with the present numbers."""


class Recording:
    """The operations of one call, recorded while it runs inside ``with recording:``.

    Attributes
    ----------
    largest : int
        Bytes that it may hold.
    alone : int
        Multiply-adds of a call up to which one thread does it, for repeating saves more than sharing.
    shares : bool
        Whether threads may share larger calls when they are repeated; otherwise such calls can't be recorded. One that
        is abandoned may still write to its call's arrays, so none of these may outlive the recording.
    is_unsafe : bool
        Whether that has happened: it can't be repeated any more.
    operations : list of callable
        In order, without arguments.
    preparations : list of callable
        The operations before them, needed after a change of arrays that were given as rarely changing.
    bytes : int
        The bytes that it holds.
    """

    def __init__(self, largest: int = LARGEST, alone: int = 0) -> None:
        self.largest, self.alone = largest, alone
        self.shares = self.is_unsafe = False
        self.operations: list[Callable[[], Any]] = []
        self.preparations: list[Callable[[], Any]] = []
        self._owners: dict[int, tuple[np.ndarray, int]] = {}  # with how often their numbers change
        self._written: dict[int, np.ndarray] = {}
        self._tables: list[tuple[Callable, dict[int, int]]] = []
        self._fixed: set[int] = set()  # arrays whose addresses stand elsewhere, too
        self.bytes = 0

    def __enter__(self):
        if os.environ.get("RNNKIT_REPEAT") == "0":
            raise Unrepeatable("RNNKIT_REPEAT=0 turns repetition off")
        self._token = _current.set(self)
        return self

    def __exit__(self, *error):
        _current.reset(self._token)

    def give(self, *arrays, rarely: bool = False) -> None:
        """Declare arrays whose numbers come from outside and may differ at a repetition; `rarely` if at few of them."""
        for array in arrays:
            self._hold(array, _RARELY if rarely else _OFTEN)

    def constant(self, *arrays) -> None:
        """Declare arrays whose numbers are the same at every repetition."""
        for array in arrays:
            self._hold(array, _NEVER)

    def note(
        self,
        operation: Callable[[], Any],
        reads=(),
        writes=(),
        draws: bool = False,
        table: tuple[Callable[[list[int]], Callable[..., Any]], Mapping[int, int]] | None = None,
    ) -> None:
        """Note an operation that was just done; one that reads only constants, and `draws` nothing, isn't repeated.

        An operation with a `table` of its arrays' addresses says where these stand by the arrays' ids; given places,
        its first entry makes a function of arrays that writes theirs.

        Raises
        ------
        Unrepeatable
            If it read what no operation wrote.
        """
        changes = _OFTEN if draws else _NEVER
        for array in reads:
            found = self._owners.get(id(_owner(array)))
            if found is None:
                raise Unrepeatable(f"an array {array.shape} that no recorded operation wrote is read")
            changes = max(changes, found[1])
        for array in writes:
            self._hold(array, changes)
        writer, places = table or (None, {})
        whole: dict[int, int] = {}
        for array in (*reads, *writes):
            owner = id(_owner(array))
            place = places.get(id(array)) if _is_whole(array) else None
            if place is None or whole.setdefault(owner, place) != place:  # or its memory has two places
                self._fixed.add(owner)
        if writer is not None:
            self._tables.append((writer, whole))
        if changes:
            (self.operations if changes == _OFTEN else self.preparations).append(operation)
            self._written.update((id(array), array) for array in writes)

    def redirected(self, given: list[np.ndarray], made: list[np.ndarray]) -> tuple[set[int], Callable[..., Any]]:
        """Return which of these arrays, and of those that it writes, others can replace without a copy.

        With their numbers comes a function that has other arrays used from now on, of the same shapes and dtypes and
        in C order: it takes one for each of `given` and `made`.
        """
        arrays = [*given, *made]
        owners, written = [id(_owner(array)) for array in arrays], {id(_owner(one)) for one in self._written.values()}
        numbers = {
            i
            for i, owner in enumerate(owners)
            if any(owner in places for _, places in self._tables)
            and owner not in self._fixed
            and owners.count(owner) == 1
            and (owner in written) == (i >= len(given))
            and _is_whole(arrays[i])
        }
        steps = []
        for writer, places in self._tables:
            if mine := [i for i in sorted(numbers) if owners[i] in places]:
                steps.append((writer([places[owners[i]] for i in mine]), mine))
        if len(steps) == 1 and len(numbers) == len(arrays):  # most calls
            return numbers, steps[0][0]

        def redirect(*others):
            for write, mine in steps:
                write(*[others[i] for i in mine])

        return numbers, redirect

    def knows(self, array) -> bool:
        """Whether an array is the recording's own, or shows memory of one that is."""
        return id(_owner(array)) in self._owners

    def changes(self, *arrays) -> bool:
        """Whether the numbers of any of these arrays, as far as they are known, may differ at a repetition."""
        return any(self._owners.get(id(_owner(array)), (None, _OFTEN))[1] for array in arrays)

    def memory(self, size: int) -> np.ndarray:
        """Return bytes as working memory for an operation."""
        found = np.empty(size, np.uint8)
        self._hold(found, _OFTEN)
        return found

    def abandoned(self) -> None:
        """Refuse repetition after a thread was abandoned in the middle of an operation.

        Raises
        ------
        Unrepeatable
            Always.
        """
        self.is_unsafe = True
        raise Unrepeatable("a thread may still write to its memory")

    def prepare(self) -> None:
        """Repeat the operations that depend only on arrays that change rarely."""
        for preparation in self.preparations:
            preparation()

    def repeat(self) -> None:
        """Repeat the operations.

        Raises
        ------
        Unrepeatable
            If something can't be repeated with these numbers.
        """
        for operation in self.operations:
            operation()

    def spoil(self) -> None:
        """Overwrite all memory that a repetition writes with wrong numbers, so that values it doesn't compute show.

        `prepare` and `repeat` have to follow.
        """
        for array in self._written.values():
            array[...] = np.nan if array.dtype.kind == "f" else np.array(93).astype(array.dtype)

    def _hold(self, array, changes) -> None:
        owner = _owner(array)
        known = self._owners.get(id(owner))
        if known is None:
            self.bytes += owner.nbytes
            if self.bytes > self.largest:
                raise Unrepeatable(f"it holds more than {self.largest:,} bytes")
        self._owners[id(owner)] = owner, changes if known is None else max(changes, known[1])


@contextmanager
def standing_in(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> Iterator[None]:
    """Let layers called inside by this thread compute with other weights: the second array of a pair for the first."""
    token = _stand_ins.set({id(array): (array, other) for array, other in pairs})
    try:
        yield
    finally:
        _stand_ins.reset(token)


def has_stand_ins() -> bool:
    """Whether layers called by this thread compute with other weights than their own."""
    return _stand_ins.get() is not None


def weights_now(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the weights of a layer, or the arrays that replace them in this thread."""
    others = _stand_ins.get()
    if others is None:
        return weights
    return {name: others.get(id(array), (None, array))[1] for name, array in weights.items()}


def is_own(function_or_class) -> bool:
    """Whether this is rnnkit's, rather than code of the user's, which may do anything and so has to run each time."""
    return (function_or_class.__module__ or "").partition(".")[0] == "rnnkit"


@contextmanager
def unwatched() -> Iterator[None]:
    """Record nothing inside."""
    token = _current.set(None)
    try:
        yield
    finally:
        _current.reset(token)


def unrepeatable(reason: str) -> None:
    """Refuse to record the caller's computation.

    Raises
    ------
    Unrepeatable
        If a recording is made.
    """
    if _current.get() is not None:
        raise Unrepeatable(reason)


def current() -> Recording | None:
    """Return the recording of this thread, or None."""
    return _current.get()


def repeated(function: Callable[[], Any], *reads, draws: bool = False) -> Any:
    """Return the result of a function of the arrays that it reads; a recording calls it again, into the same arrays.

    Parameters
    ----------
    function : callable
        Gives an array, None, a tuple, list or dict of these, or an object that takes another's numbers by ``renew``.
    *reads : ndarray, None, or nested lists and tuples of these
        All arrays that it reads.
    draws : bool
        Whether it gives something else at each call, whatever it reads.
    """
    recording = _current.get()
    if recording is None:
        return function()
    with unwatched():  # all inside is a part of this one operation
        found = function()
    writes: list[np.ndarray] = []
    kept = _own(found, recording, writes)
    renew = _renewal(kept)
    recording.note(lambda: renew(function()), list(_arrays(reads)), writes, draws)
    return kept


def computed(function: Callable, *operands, draws: bool = False, **options) -> np.ndarray:
    """Return a NumPy function's result in a new array; a recording repeats it with this array as `out`.

    Parameters
    ----------
    function : callable
        As `numpy.add`, `numpy.sum` or `numpy.concatenate`.
    *operands : ndarray, or lists and tuples of these
        All arrays that it reads.
    draws : bool
        As of `repeated`.
    **options
        Other arguments, by name.
    """
    found = function(*operands, **options)
    if not isinstance(found, (np.ndarray, np.generic)):
        return found  # a symbol, while tracing
    found = np.asarray(found)
    recording = _current.get()
    if recording is not None:
        run = partial(function, *operands, out=found, **options)
        recording.note(run, list(_arrays(operands)), [found], draws)
    return found


def viewed(function: Callable[[np.ndarray], np.ndarray], array: np.ndarray) -> np.ndarray:
    """Return a view of an array by a function, which a recording repeats only if it is a copy."""
    found = function(array)
    recording = _current.get()
    if recording is None or recording.knows(found):
        return found
    return repeated(lambda: function(array), array)


def copied(array: np.ndarray, dtype=None) -> np.ndarray:
    """Return a copy in C order; a recording's array in C order is returned as it is, since nobody changes it."""
    if not isinstance(array, np.ndarray):
        return array  # a symbol, while tracing
    recording = _current.get()
    if recording is None:
        return np.array(array, dtype, order="C")
    if array.flags.c_contiguous and (dtype is None or array.dtype == dtype) and recording.knows(array):
        return array
    found = np.array(array, dtype, order="C")
    recording.note(partial(np.copyto, found, array, "unsafe"), [array], [found])
    return found


def contiguous(array: np.ndarray, dtype) -> np.ndarray:
    """Return an array itself if it is in C order and of a dtype, or a copy that is."""
    if array.flags.c_contiguous and array.dtype == dtype:
        return array
    return copied(array, dtype)


def put(place: np.ndarray, value: np.ndarray) -> None:
    """Fill a part of an array."""
    place[...] = value
    recording = _current.get()
    if recording is not None:
        recording.give(place)
        same = place.dtype == value.dtype
        recording.note(partial(np.copyto if same else _cast_into, place, value), [place, value], [place])


def _cast_into(place, value):
    with np.errstate(over="ignore"):
        np.copyto(place, value, "unsafe")


def constant(array: np.ndarray) -> np.ndarray:
    """Return an array that depends on no numbers of a call, declared constant."""
    recording = _current.get()
    if recording is not None:
        recording.constant(array)
    return array


def _owner(array: np.ndarray) -> np.ndarray:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _is_whole(array: np.ndarray) -> bool:
    """Whether an array is all of the memory of its owner, in C order."""
    return array.flags.c_contiguous and array.nbytes == _owner(array).nbytes


def _arrays(nested) -> Iterator[np.ndarray]:
    if isinstance(nested, np.ndarray):
        yield nested
    elif isinstance(nested, (tuple, list)):
        for one in nested:
            yield from _arrays(one)


def _own(found, recording, writes):
    """Return the same result in arrays of the recording's own."""
    if found is None or hasattr(found, "renew"):
        return found
    if isinstance(found, (tuple, list)):
        return type(found)(_own(one, recording, writes) for one in found)
    if isinstance(found, dict):
        return {name: _own(one, recording, writes) for name, one in found.items()}
    if isinstance(found, np.ndarray) and recording.knows(found):
        return found
    kept = np.array(found)
    writes.append(kept)
    return kept


def _renewal(kept) -> Callable[[Any], Any]:
    """Return the function that copies another result of a function into the arrays of the first."""
    if kept is None:
        return _renew_none
    if hasattr(kept, "renew"):
        return kept.renew
    if isinstance(kept, dict):
        named = [(name, _renewal(one)) for name, one in kept.items()]
        return lambda found: [renew(found[name]) for name, renew in named]
    if isinstance(kept, (tuple, list)):
        placed = [_renewal(one) for one in kept]
        return lambda found: [renew(one) for renew, one in zip(placed, found, strict=True)]
    return partial(_renew_array, kept)


def _renew_none(found) -> None:
    if found is not None:
        raise Unrepeatable("an array is given where none was")


def _renew_array(kept, found) -> None:
    if found is kept:
        return
    if found is None or np.shape(found) != kept.shape:
        raise Unrepeatable("an array has another shape")
    np.copyto(kept, found)
