"""A layer or a model one step at a time, with its states in fixed memory."""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnkit import tracebacks
from rnnkit.arguments import integer, positive_integer
from rnnkit.backends.shared.failures import StepFailed
from rnnkit.execution.execution import is_eager
from rnnkit.hints import Array
from rnnkit.layers.support import repeats, symbolic, validation
from rnnkit.layers.support.device_transfer import device_of
from rnnkit.layers.support.layer_tree import all_layers, held_arrays
from rnnkit.layers.support.streaming import running
from rnnkit.recording import Recording, Unrepeatable, noted, plain, standing_in
from rnnkit.steps.nesting import mapped


class Stream:
    """The steps of sequences, one at a time, for `batch` sequences side by side.

    It equals::

        states = initial states
        for t in count():
            y, states = layer(x[:, t : t + 1], initial_state=states)       # and so on through all layers of a model

    A step gives the bits that a call over the whole sequences gives at its place. Streams of one layer are
    independent. Several threads may use a stream: their steps come one after the other. A stream can be pickled.

    Parameters
    ----------
    layer : Any
        A built recurrent layer, or a model whose layers take one step at a time.
    batch : int
    constants : list of array_like (B, …), optional
        For a recurrent layer whose cell takes constants.
    initial_state : list of array_like ``(B, *state)``, optional
        The states at the start of a recurrent layer, now and after a reset.

    Raises
    ------
    ValueError
        For a layer that isn't built, or that needs whole sequences, with its name.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.GRU(4, return_sequences=True, seed=0)
    >>> x = np.ones((1, 3, 2), "float32")
    >>> y = layer(x)
    >>> stream = layer.stream()
    >>> all(np.array_equal(stream.step(x[:, t]), y[:, t]) for t in range(3))
    True
    """

    batch: Any
    layer: Any

    def __init__(self, layer: Any, batch: int = 1, constants: Array = None, initial_state: Array = None):
        self.layer, self.batch = layer, positive_integer(batch, "batch")
        if not layer.built:
            raise ValueError(f"expected the layer {layer.name!r} to be built before it is streamed; call build first")
        for one in all_layers(layer):
            if (reason := one._stream_refusal) is not None:
                raise ValueError(
                    f"expected layers that take one step at a time; {one.name!r} ({type(one).__name__}) {reason}"
                )
        if (device := device_of(layer)) != "cpu":
            raise ValueError(f"expected a layer on the CPU to stream, {layer.name!r} is on {device}")
        self._constants = None
        if constants is not None:
            self._constants = [np.array(validation.numbers(one, "constants", complex_too=True)) for one in constants]
        self._start = initial_state
        self._features, self._x = self._input()
        self._lock = threading.RLock()
        _streams.add(self)
        self._states: list[tuple[np.ndarray, ...]] | None = None  # of each recurrent layer, in order
        self._held: list[np.ndarray] = []  # the output of each of them at the last step
        self._skipped: list[int] = []
        self._watched = repeats.Watched()
        self._again: Callable[[list[int]], None] | None = None
        self._agreed = 0  # steps so far at which it gave the bits of the ordinary way
        self._y: list[np.ndarray] = []
        self._begin()

    def _input(self):
        """Return the features of a step, and memory for one with an axis of time."""
        layer = self.layer
        shape = layer._input_shape
        if shape is None or not isinstance(shape, tuple) or (shape and isinstance(shape[0], (tuple, list))):
            raise ValueError(f"expected a model with one input to stream, got {layer.name!r}")
        dtype = np.dtype(np.int64) if layer._reads_ids else layer.dtype
        dtype = np.result_type(dtype, np.complex64) if layer._reads_complex else dtype
        features = () if layer._reads_ids else tuple(shape[2:])
        if None in features:
            raise ValueError(f"expected steps of a known shape to stream; {layer.name!r} is built for {shape}")
        return features, np.zeros((self.batch, 1, *features), dtype)

    def _begin(self) -> None:
        """Run a step of zeros once, to find the states."""
        self._recurrent: list[Any] = []  # the layers that have the states
        self._initial: list[tuple[np.ndarray, ...]] = []
        self._found: list[tuple[np.ndarray, ...]] = []
        self._outputs: list[np.ndarray] = []
        try:
            y = self._call([])
        except StepFailed:  # of zeros; a masked step takes anything
            y = self._call(list(range(self.batch)))
        times = [self.layer.compute_output_shape((self.batch, steps, *self._features)) for steps in (1, 2)]
        self._in_time = [a != b for a, b in zip(*map(symbolic.shape_leaves, times), strict=True)]
        self._several, places = isinstance(y, (list, tuple, dict)), itertools.count()
        self._nested = mapped(y, lambda _: next(places))  # the nesting of results, by their places in `_y`
        self._initial = [tuple(np.array(state) for state in states) for states in self._initial]
        if self._start is not None:
            self._initial = [self.layer._spec.unpack(self._start, self.batch, self.layer.dtype)]
        self._states = [tuple(np.array(state) for state in states) for states in self._initial]
        self._held = [np.zeros_like(one) for one in self._outputs]
        self._y = [np.zeros_like(one) for one in self._steps(y)]

    def _steps(self, y) -> list[np.ndarray]:
        """Return the results of a call with one step, without an axis of time."""
        pairs = zip(symbolic.leaves(y), self._in_time, strict=True)
        first = (slice(None),) * (1 + self.layer._axes_in_front) + (0,)
        return [one[first] if in_time else one for one, in_time in pairs]

    # Called by the recurrent layers

    def begin(self, layer: Any, initial_state: Array) -> Any:
        """Do as `rnnkit.layers.support.streaming.Running` says."""
        if initial_state is not None:
            raise ValueError(
                f"expected layers that start from states of their own; {layer.name!r} is given those of another layer"
            )
        if self._states is not None:
            return self._states[len(self._found)]
        self._recurrent.append(layer)
        return None

    def end(self, states: Array, initial: Array, outputs: Array, mask: Array) -> None:
        """Do as `rnnkit.layers.support.streaming.Running` says."""
        if self._states is None:
            self._initial.append(initial)
        elif mask is not None:
            used, held = (self.batch, *(1,) * (outputs.ndim - 1)), self._held[len(self._found)]
            outputs[...] = np.where(mask.reshape(used), outputs, held)
        self._found.append(states)
        self._outputs.append(outputs)

    def _call(self, masked: list[int]):
        """Run the layers' step, in which some rows are masked."""
        self._found, self._outputs = [], []
        more: dict[str, Any] = {} if self._constants is None else {"constants": self._constants}
        if masked:
            more["mask"] = np.ones((self.batch, 1), bool)
            more["mask"][masked] = False
        token = running.set(self)
        try:
            return self.layer(self._x, **more)
        finally:
            running.reset(token)

    # Steps

    def step(self, x: Array, out: Any = None) -> Any:
        """Compute the outputs of the next step.

        Parameters
        ----------
        x : array_like ``(B, *features)``, or (B,) of ids
        out : ndarray ``(B, *output)``, optional
            Written to, and returned, rather than a new array; a flat list where a step gives several.

        Returns
        -------
        ndarray ``(B, *output)``, or nested as a call gives it: outputs, or an output and states

        Raises
        ------
        ValueError, TypeError
            For another shape; the stream is unchanged then.
        """
        with self._lock:
            if out is not None:
                self._check_out(out)
            place = self._x
            if type(x) is not np.ndarray or x.dtype is not place.dtype or x.shape != (self.batch, *self._features):
                x = self._checked(x)
            place[:, 0] = x
            try:
                if is_eager() or self._skipped:
                    self._ordinary(self._skipped)
                else:
                    if not self._watched.is_untouched(self.layer) or self._again is None:
                        self._record()
                    if self._agreed < repeats.SURE:
                        self._try()
                    else:
                        self._again(self._skipped)  # type: ignore[misc]  # it was recorded
            except Exception as error:
                tracebacks.shorten(error)
                raise
            self._skipped = []
            if out is not None:
                for one, y in zip(out if self._several else [out], self._y, strict=True):
                    np.copyto(one, y)
                return out
            if self._several:
                return mapped(self._nested, lambda i: self._y[i].copy())
            return self._y[0].copy()

    def _checked(self, x):
        x = validation.numbers(x, "x", self._x.dtype.kind == "c")
        if x.shape != (self.batch, *self._features):
            raise ValueError(
                f"expected x of shape {(self.batch, *self._features)}, one step of each row; got {x.shape}"
            )
        if self._x.dtype.kind == "i" and x.dtype.kind not in "iub":
            raise ValueError(f"expected integer ids, got {x.dtype}")
        return x.astype(self._x.dtype)

    def _check_out(self, out) -> None:
        several = out if self._several else [out]
        if not isinstance(several, (list, tuple)) or len(several) != len(self._y):
            raise ValueError(f"expected out as a list of {len(self._y)} arrays, got {type(out).__name__}")
        for place, y in zip(several, self._y, strict=True):
            if not isinstance(place, np.ndarray) or place.shape != y.shape or place.dtype != y.dtype:
                raise ValueError(f"expected out as {y.dtype} {y.shape}, got {getattr(place, 'shape', place)}")
            if not place.flags.writeable:
                raise ValueError("expected out as an array that can be written to, got a read-only one")

    def skip(self, rows: Array) -> None:
        """Let some rows be masked at the next step.

        Their states stay, and each recurrent layer repeats its last output, or gives zeros with `zero_output_for_mask`
        and before its first step.

        Parameters
        ----------
        rows : sequence of int
        """
        found = [integer(row, "a row to skip") for row in np.atleast_1d(np.asarray(rows, dtype=object)).ravel()]
        if wrong := [row for row in found if not 0 <= row < self.batch]:
            raise ValueError(f"expected rows below {self.batch}, got {wrong[0]}")
        with self._lock:
            self._skipped = sorted({*self._skipped, *found})

    def _ordinary(self, skipped: list[int]) -> None:
        """Run one step through the layers, without a recording."""
        y = self._steps(self._call(skipped))
        new = [state for states in self._found for state in states]
        for place, array in zip(self._kept(), [*new, *self._outputs, *y], strict=True):
            place[...] = array

    def _record(self) -> None:
        """Record the step anew, if the layer has changed or it isn't recorded yet."""
        weights = self._watched.weights
        same = self._watched.look(self.layer) and self._watched.weights is weights
        if not same or self._again is None:
            self._again, self._agreed = self._recorded(), 0

    def _try(self) -> None:
        """Run one step in the ordinary way, and check that the recording gives the same bits."""
        assert self._again is not None, "it was recorded"
        kept = self._kept()
        before = list(map(np.array, kept))
        self._ordinary([])
        expected = list(map(np.array, kept))
        for place, array in zip(kept, before, strict=True):
            place[...] = array
        self._again([])
        if not repeats.same_bits(kept, expected):
            self._again = self._ordinary
            for place, array in zip(kept, expected, strict=True):
                place[...] = array
        self._agreed += 1

    def _kept(self) -> list[np.ndarray]:
        """Return all states and outputs that a step leaves."""
        return [*(state for states in self._states or () for state in states), *self._held, *self._y]

    def _recorded(self) -> Callable[[list[int]], None]:
        """Return the layers' step as operations of a recording, or else `_ordinary`."""
        assert self._states is not None, "the stream has begun"
        recording, states = Recording(), [state for several in self._states for state in several]
        recording.give(self._x, *states, *self._held)
        weights = list(held_arrays(self.layer).values())
        recording.constant(*weights, *(self._constants or ()))
        layers = all_layers(self.layer)
        if repeats.are_own(layers):
            kept = self._x, self._states, self._held, self._constants
            pairs = repeats.unmoved(layers, weights)
            try:
                with recording, standing_in((array, noted(same)) for array, same in pairs):
                    self._x, self._states, self._held, self._constants = noted(kept)
                    y = self._steps(self._call([]))
                new = plain([*(state for several in self._found for state in several), *self._outputs, *y])
                if all(recording.knows(array) for array in new) and all(one.flags.c_contiguous for one in new):
                    return _Repetition(recording, self._kept(), new)
            except Unrepeatable:
                pass
            finally:
                self._x, self._states, self._held, self._constants = kept
                self._found, self._outputs = plain([self._found, self._outputs])
        return self._ordinary

    # States

    @property
    def states(self) -> list[Any]:
        """Copies of the states, nested as `get_initial_state` gives them; of a model, an entry per recurrent layer.

        A layer that a model calls several times has as many entries, in the order of the calls.
        """
        with self._lock:
            copies = [tuple(map(np.array, states)) for states in self._states or ()]
        packed = [layer._spec.pack(states) for layer, states in zip(self._recurrent, copies, strict=True)]
        return packed[0] if self._recurrent == [self.layer] else packed

    def reset(self, rows: Array = None) -> None:
        """Start all rows anew, or some.

        Parameters
        ----------
        rows : sequence of int, optional

        Raises
        ------
        ValueError
            For a row that isn't there.
        """
        chosen: Any = slice(None)
        if rows is not None:
            chosen = [integer(row, "a row to reset") for row in np.atleast_1d(np.asarray(rows, dtype=object)).ravel()]
            if wrong := [row for row in chosen if not 0 <= row < self.batch]:
                raise ValueError(f"expected rows below {self.batch}, got {wrong[0]}")
        with self._lock:
            for states, initial in zip(self._states or (), self._initial, strict=True):
                for place, start in zip(states, initial, strict=True):
                    place[chosen] = start[chosen]
            for held in self._held:
                held[chosen] = 0

    def __getstate__(self) -> Any:
        with self._lock:
            return {
                "given": (self.layer, self.batch, self._constants, self._start),
                "states": [list(map(np.array, states)) for states in self._states or ()],
                "held": list(map(np.array, self._held)),
                "skipped": list(self._skipped),
            }

    def __setstate__(self, state: Any) -> None:
        self.__init__(*state["given"])  # type: ignore[misc]
        for states, kept in zip(self._states or (), state["states"], strict=True):
            for place, one in zip(states, kept, strict=True):
                np.copyto(place, one)
        for place, one in zip(self._held, state["held"], strict=True):
            np.copyto(place, one)
        self._skipped = state["skipped"]

    def __repr__(self) -> str:
        return f"Stream({self.layer!r}, batch={self.batch})"


_streams: weakref.WeakSet[Stream] = weakref.WeakSet()


def _free_locks() -> None:
    """Make new locks in a child of fork, which may find them held by a thread that it doesn't have."""
    for stream in _streams:
        stream._lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_locks)


class _Repetition:
    """Recorded step: its operations, then copies of the new states and outputs to their places."""

    def __init__(self, recording: Recording, places: list[np.ndarray], new: list[np.ndarray]):
        from rnnkit.execution.layer_kernels import Copies  # takes the compiler with it

        self.operations, self._recording = recording.operations, recording
        self._finish = Copies(places, new)

    def __call__(self, _) -> None:
        for operation in self.operations:
            operation()
        self._finish.run()
