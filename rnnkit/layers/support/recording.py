"""A call recorded as operations on fixed memory, which are then repeated with other numbers in it.

Around the programs of a small call, Python takes many times as long as they do, though it does the same at every call
of a kind. So such a call runs once inside a `Recording`, which notes every operation on arrays, and then its operations
are repeated without the rest.

The arrays of such a call are `Noted`: NumPy's functions of these, their methods and their indices note what they do.
Only compiled code, which takes addresses, notes itself; a function whose inside NumPy can't show is called by
`rnnkit.opaque.opaque`.

A recording follows every array to its owner, the array whose memory it shows. An operation may read arrays that an
earlier operation wrote, or that were given or are constant, as what NumPy makes of no array. If one reads anything
else, the call can't be recorded: Python has computed something that no repetition would compute again. Where Python
decides by numbers, a repetition checks that these decide the same.
"""

from __future__ import annotations

import inspect
import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import numpy as np

from rnnkit.circumstances import circumstances, within
from rnnkit.steps.nesting import leaves_of, mapped

LARGEST = 1 << 24  # bytes that a recording may hold: in larger calls, Python's time doesn't count

_NEVER, _RARELY, _OFTEN = range(3)  # how often the numbers of an array change


class Unrepeatable(Exception):
    """Error of a call that can't be recorded, or of a recording that can't be repeated with the present numbers."""


class Recording:
    """The operations of one call, recorded while it runs inside ``with recording:``.

    `shares` says that threads may share calls of more multiply-adds than `alone` when they are repeated; otherwise such
    calls can't be recorded. A thread that is abandoned may still write to its call's arrays: the recording then
    `is_unsafe`, and what users are given is copied, or was made anew and is `lent` to that thread. `lengths` are x, the
    outputs, both ``(B, T, …)``, and a function that sets T, where a call of one program may have any number of steps.
    """

    def __init__(self, largest: int = LARGEST, alone: int = 0) -> None:
        self.largest, self.alone, self.bytes = largest, alone, 0  # the bytes that it may hold, and does
        self.shares = self.is_unsafe = False
        self.lent: list[np.ndarray] = []
        self.lengths: tuple[np.ndarray, np.ndarray | None, Callable[[int], None]] | None = None
        self.operations: list[Callable[[], Any]] = []
        self.preparations: list[Callable[[], Any]] = []  # after a change of arrays that change rarely
        self._owners: dict[int, tuple[np.ndarray, int]] = {}  # with how often their numbers change
        self._written: dict[int, np.ndarray] = {}
        self._tables: list[tuple[Callable, dict[int, int]]] = []
        self._fixed: set[int] = set()  # arrays whose addresses stand elsewhere, too

    def __enter__(self):
        if os.environ.get("RNNKIT_REPEAT") == "0":
            raise Unrepeatable("RNNKIT_REPEAT=0 turns repetition off")
        self._inside = within(recording=self)
        self._inside.__enter__()
        return self

    def __exit__(self, *error):
        self._inside.__exit__(*error)

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
        its first entry makes a function of arrays that writes theirs. What no operation wrote may not be read, except
        by an operation of that and constants: its results are as unknown.
        """
        known = [self._owners.get(id(_owner(array))) for array in reads]
        changes = max([_OFTEN if draws else _NEVER, *(found[1] for found in known if found is not None)])
        if None in known:
            if changes or not writes or any(map(self.knows, writes)):
                unknown = reads[known.index(None)]
                raise Unrepeatable(f"an array {unknown.shape} that no recorded operation wrote is read")
            return
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
        """Return the numbers of the arrays that others can replace without a copy, and the function that does it.

        It takes arrays of the same shapes and dtypes, one for each of `given` and `made`, and gives whether any isn't
        contiguous, which has to be copied then.
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
            apart = [write(*[others[i] for i in mine]) for write, mine in steps]
            return any(apart)

        return numbers, redirect

    def knows(self, array) -> bool:
        """Return whether an array is the recording's own, or shows memory of one that is."""
        return id(_owner(array)) in self._owners

    def changes(self, *arrays) -> bool:
        """Return whether the numbers of any of these arrays, as far as they are known, may differ at a repetition."""
        return any(self._owners.get(id(_owner(array)), (None, _OFTEN))[1] for array in arrays)

    def memory(self, size: int) -> np.ndarray:
        """Return bytes as working memory for an operation."""
        found = np.empty(size, np.uint8)
        self._hold(found, _OFTEN)
        return found

    def share(self, shared: Callable[[], Any], alone: Callable[[], Any]) -> None:
        """Do an operation that threads share, `alone` where they aren't free."""
        done = shared()
        if done is None:
            alone()
        elif done is not True:
            self.abandoned()

    def abandoned(self) -> None:
        """Refuse repetition, since a thread was abandoned in the middle of an operation."""
        self.is_unsafe = True
        raise Unrepeatable("a thread may still write to its memory")

    def prepare(self) -> None:
        """Repeat the operations that depend only on arrays that change rarely."""
        for preparation in self.preparations:
            preparation()

    def repeat(self) -> None:
        """Repeat the operations; `Unrepeatable` if one can't be with these numbers."""
        for operation in self.operations:
            operation()

    def spoil(self) -> None:
        """Overwrite all memory that `prepare` and `repeat` write, so that values they don't compute show."""
        for array in self._written.values():
            array[...] = np.nan if array.dtype.kind == "f" else np.array(93).astype(array.dtype)

    def refuse(self, reason: str) -> None:
        """End the recording: the computation can't be repeated."""
        raise Unrepeatable(reason)

    def plain(self, nested: Any) -> Any:
        """Return nested arrays as plain ones."""
        return plain(nested)

    def noted(self, nested: Any) -> Any:
        """Return nested arrays as those of the call."""
        return noted(nested)

    def _hold(self, array, changes) -> None:
        owner = _owner(array)
        known = self._owners.get(id(owner))
        if known is None:
            self.bytes += owner.nbytes
            if self.bytes > self.largest:
                raise Unrepeatable(f"it holds more than {self.largest:,} bytes")
        self._owners[id(owner)] = owner, changes if known is None else max(changes, known[1])


def unrepeatable(reason: str) -> None:
    """Refuse to record the caller's computation, if a recording is made."""
    if circumstances().recording is not None:
        raise Unrepeatable(reason)


class Noted(np.ndarray):
    """An array of a recorded call: what NumPy does with it is done with plain arrays, and noted."""

    def __array_ufunc__(self, ufunc, method, *inputs, **options):
        if any(hasattr(one, "__array_ufunc__") and not isinstance(one, _NUMPYS) for one in inputs):
            return NotImplemented
        if (out := options.get("out")) is not None:
            options["out"] = out if len(out) > 1 else out[0]
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        return _done(function, inputs, options, ufunc.nout == 1 and method != "at")

    def __array_function__(self, function, types, arguments, options):
        if not all(issubclass(kind, np.ndarray) for kind in types):
            return NotImplemented
        return _done(function, arguments, options, _takes_out(function))

    @property
    def recording(self) -> Recording | None:
        """The recording that notes what is done with the array, or None."""
        return circumstances().recording

    @staticmethod
    def __rnnkit_opaque__(function, arguments, draws, writes):
        """Do a function as one operation, which a recording calls again, into the same arrays."""
        recording = circumstances().recording
        if recording is None:
            return function(*arguments)
        given, written = plain(arguments), plain(list(writes))
        recording.give(*written)
        with within(recording=None):
            found = function(*given)
        kept = _own(found, recording, written)
        run: Callable = partial(function, *given)
        if found is not None or not writes:
            run = _renewing(kept, run)
        if written or draws or not arrays_in(kept):
            recording.note(run, arrays_in(given), written, draws)
        return noted(kept)

    def __getitem__(self, key):
        return _done(np.ndarray.__getitem__, (self, key), {}, False)

    def __setitem__(self, key, value):
        array, key, value = plain((self, key, value))
        array[key] = value
        if (recording := circumstances().recording) is not None:
            place, reads = array[key], [array, *arrays_in([key, value])]
            if isinstance(value, np.ndarray) and _is_same(place, value):
                return  # what an operation in place wrote there
            recording.give(array)
            if np.may_share_memory(place, array):
                recording.note(_copying(place, value), reads, [place])
            else:
                recording.note(partial(np.ndarray.__setitem__, array, key, value), reads)

    def astype(self, dtype, order="K", casting="unsafe", subok=True, copy=True):
        """Return the array itself for a copy that would be the same: nobody changes the arrays of a call."""
        recording, array = circumstances().recording, plain(self)
        if recording is not None and order in "KC" and array.dtype == dtype and array.flags.c_contiguous:
            return self
        found = array.astype(dtype, order, casting, copy=copy)
        if recording is None or found is array:
            return found if recording is None else self
        recording.note(_copying(found, array), [array], [found])
        return noted(found)

    def copy(self, order="C"):
        """Return the array itself, as `astype`."""
        return self.astype(self.dtype, order)

    def flatten(self, order="C"):
        """Return a copy with one axis."""
        return self.reshape(-1, order=order).copy()

    def fill(self, value):
        """Set all numbers."""
        self[...] = value

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __contains__(self, value):
        return bool((self == value).any())

    def __setattr__(self, name, value):
        if name in ("real", "imag", "flat"):
            unrepeatable(f"{name} of an array is set")
        super().__setattr__(name, value)


_NUMPYS = np.ndarray, np.generic
_OF_LAYOUT = {np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.iscomplexobj, np.isrealobj}
_OF_LAYOUT |= {np.may_share_memory, np.shares_memory}
_MAKING = {np.zeros_like, np.ones_like, np.empty_like, np.full_like}
_REDUCING = {np.sum: np.add.reduce, np.max: np.maximum.reduce, np.min: np.minimum.reduce}
_REDUCING |= {np.ndarray.sum: np.add.reduce, np.ndarray.max: np.maximum.reduce, np.ndarray.min: np.minimum.reduce}
_READING = "__bool__ __int__ __index__ __float__ __complex__ item tolist tobytes"
_METHODS = "argsort diagonal nonzero ravel repeat reshape searchsorted squeeze swapaxes transpose"
_METHODS_WITH_OUT = "all any argmax argmin clip cumprod cumsum dot max mean min prod round std sum take trace var"


def _method(name: str, takes_out: bool) -> Callable:
    function = getattr(np.ndarray, name)
    return lambda self, *arguments, **options: _done(function, (self, *arguments), options, takes_out)


def _reading(name: str) -> Callable:
    function = getattr(np.ndarray, name)

    def read(self, *arguments):
        array = plain(self)
        return _decided(partial(function, array, *arguments), function(array, *arguments), [array])

    return read


for _name in _METHODS.split():
    setattr(Noted, _name, _method(_name, False))
for _name in _METHODS_WITH_OUT.split():
    setattr(Noted, _name, _method(_name, True))
for _name in _READING.split():
    setattr(Noted, _name, _reading(_name))


def noted(nested: Any) -> Any:
    """Return nested lists, tuples and dicts with their arrays as those of the call that is recorded, if one is."""
    if circumstances().recording is None:
        return nested
    return mapped(nested, lambda one: one.view(Noted) if type(one) is np.ndarray else one)


@contextmanager
def noting(owner: Any, *names: str) -> Iterator[None]:
    """Let the arrays in some attributes of an object be those of the call that is recorded."""
    kept = [getattr(owner, name) for name in names]

    def put(arrays):
        for name, one in zip(names, arrays, strict=True):
            object.__setattr__(owner, name, one)  # attributes that were ever reached by vars() take longer to read

    put(noted(kept))
    try:
        yield
    finally:
        put(kept)


def plain(nested: Any) -> Any:
    """Return nested lists, tuples and dicts with the plain arrays of those of a recorded call."""
    return mapped(nested, _plain)


def _plain(one) -> Any:
    if isinstance(one, slice):
        return slice(_plain(one.start), _plain(one.stop), _plain(one.step))
    if type(one) is not Noted:
        return one
    base = one.base
    return base if type(base) is np.ndarray and _is_same(base, one) else one.view(np.ndarray)


@cache
def _takes_out(function) -> bool:
    try:
        return "out" in inspect.signature(function).parameters
    except ValueError:  # compiled, without a signature
        return False


def _done(function, arguments, options, takes_out):
    """Return the result of a function of NumPy's, noted."""
    given, named = plain(arguments), plain(options)
    found, recording = function(*given, **named), circumstances().recording
    if recording is None or function in _OF_LAYOUT:
        return found
    run: Callable = partial(function, *given, **named)
    out = named.get("out")
    reads = arrays_in([given, [one for name, one in named.items() if name != "out"]])
    if out is not None or found is None:  # it writes to an array
        writes = arrays_in(given[0] if out is None else out)
        if out is None:
            recording.give(*writes)
        in_place = "where" in named or any(np.may_share_memory(*pair) for pair in itertools.product(writes, reads))
        if in_place and not recording.changes(*writes):
            raise Unrepeatable("an array that no operation wrote is changed in place")
        run = _copying(*given) if function is np.copyto and len(given) == 2 and not named else _as_now(run)
        recording.note(run, reads, writes)
        return found if out is None else noted(found)
    if (
        (function in _MAKING and len(reads) == 1)
        or not reads
        or (function is np.asarray and not given[0].flags.writeable)
    ):
        if not isinstance(found, np.ndarray):
            return found
        recording.constant(found)
        return noted(found)
    if isinstance(found, (list, tuple)):
        writes = []
        kept = _own(found, recording, writes)
        if writes:
            recording.note(_as_now(_renewing(kept, run)), reads, writes)
        return noted(kept)
    if not isinstance(found, _NUMPYS):
        return _decided(run, found, reads)
    if isinstance(found, np.ndarray) and any(_owner(found) is _owner(one) for one in reads):
        return noted(found)
    kept = np.asarray(found)
    if function is np.stack and len(given) == 1 and not named:  # with less Python around it
        run = partial(np.concatenate, [one[None] for one in given[0]])
    if function in _REDUCING and len(given) < 3:
        run = partial(_REDUCING[function], *given, **({"axis": None} if len(given) < 2 else {}) | named)
    run = partial(run, out=kept) if takes_out else _renewing(kept, run)
    recording.note(_as_now(run), reads, [kept])
    return noted(kept)


def _decided(run, found, reads):
    """Return what Python knows of arrays; a repetition checks that it is the same."""

    def check():
        if run() != found:
            raise Unrepeatable("Python decides by numbers that aren't the same")

    if (recording := circumstances().recording) is not None:
        recording.note(check, reads)
    return found


def _as_now(run: Callable) -> Callable:
    """Return an operation that treats floating-point errors as they are treated now."""
    errors = np.geterr()
    if errors == _ERRORS:
        return run

    def under():
        with np.errstate(**errors):
            run()

    return under


_ERRORS = np.geterr()


def _copying(place, value) -> Callable:
    same = getattr(value, "dtype", None) == place.dtype
    return partial(np.copyto if same else _cast_into, place, value)


def _cast_into(place, value):
    with np.errstate(over="ignore"):
        np.copyto(place, value, "unsafe")


def _owner(array: np.ndarray) -> np.ndarray:
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


def _is_same(array, other) -> bool:
    return array.__array_interface__ == other.__array_interface__


def _is_whole(array: np.ndarray) -> bool:
    """Return whether an array is all of the memory of its owner, in C order."""
    return array.flags.c_contiguous and array.nbytes == _owner(array).nbytes


def arrays_in(nested) -> list[np.ndarray]:
    """Return the arrays of nested lists, tuples and dicts, in order."""
    return [one for one in leaves_of(nested) if isinstance(one, np.ndarray)]


def _own(found, recording, writes):
    """Return the same result in arrays of the recording's own."""

    def own(one):
        if hasattr(one, "renew"):
            one.__rnnkit_opaque__ = Noted.__rnnkit_opaque__
        if one is None or hasattr(one, "renew") or (isinstance(one, np.ndarray) and recording.knows(one)):
            return one
        writes.append(np.array(one))
        return writes[-1]

    return mapped(found, own)


def _renewing(kept, run: Callable) -> Callable[[], None]:
    """Return an operation that copies a function's results into those of its first call."""
    if isinstance(kept, np.ndarray):  # most of them
        return lambda: _renew(kept, run())
    own = leaves_of(kept)

    def renew():
        for one, found in zip(own, leaves_of(run()), strict=True):
            _renew(one, found)

    return renew


def _renew(kept, found) -> None:
    if found is kept:
        return
    if isinstance(kept, np.ndarray) and found is not None and np.shape(found) == kept.shape:
        np.copyto(kept, found)
    elif hasattr(kept, "renew"):
        kept.renew(found)
    else:
        raise Unrepeatable("an array has another shape, or is there where none was")
