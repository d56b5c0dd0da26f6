"""A layer or a model one step at a time, with its states in fixed memory."""

from __future__ import annotations

import itertools
import math
import os
import threading
import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from rnnkit import tracebacks
from rnnkit.arguments import integer, positive_integer
from rnnkit.backends.shared.failures import StepFailed
from rnnkit.circumstances import standing_in, within
from rnnkit.hints import Array
from rnnkit.layers.support import symbolic, validation
from rnnkit.layers.support.device_transfer import device_of
from rnnkit.layers.support.layer_tree import all_layers, arrays_by_name
from rnnkit.layers.support.recording import LARGEST, Recording, Unrepeatable, noted, noting, plain
from rnnkit.layers.support.runner import Runner, same_bits
from rnnkit.layers.support.watching import unmoved
from rnnkit.steps.nesting import mapped


class _StepRunner(Runner):
    """The recorded step of a stream, whose states stay in memory. Weights are constants of the recording."""

    _met, _long, _may_be_longer = 0, math.inf, False

    def _layers(self, subject):
        return all_layers(subject.layer)

    def _largest(self, subject):
        return LARGEST

    def _holds(self, subject):
        watched = self._watched
        if watched.is_untouched(subject.layer):
            return True
        weights, recorded = watched.weights, any(kind.recording for kind in self._kinds.values())
        return watched.look(subject.layer) and (watched.weights is weights or not recorded)

    def _states(self, subject):
        return list(map(np.array, subject._kept()))

    def _restore(self, subject, states):
        for place, array in zip(subject._kept(), states, strict=True):
            place[...] = array

    def _record(self, kind, subject, call, arguments, keywords):
        from rnnkit.execution.layer_kernels import Copies  # takes the compiler with it

        recording, kept = kind.recording, subject._kept()
        new = subject._recorded(recording)
        if not all(recording.knows(array) and array.flags.c_contiguous for array in new):
            raise Unrepeatable("what it gives isn't computed by recorded operations")
        kind.own = copies = Copies(kept, new)  # which keeps its table of addresses
        copies.run()
        recording.note(copies.run, new, kept)

    def _give(self, kind, subject, *given):
        for operation in kind.recording.operations:
            operation()
        return subject._y

    _again = _give

    def _agrees(self, kind, subject, results, states):
        return same_bits(subject._kept(), states[1])


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
        self._row = self._x[:, 0]
        self._shape = self._row.shape
        self._lock = threading.RLock()
        _streams.add(self)
        self._states: list[tuple[np.ndarray, ...]] | None = None  # of each recurrent layer, in order
        self._held: list[np.ndarray] = []  # the output of each of them at the last step
        self._skipped: list[int] = []
        self._runner = _StepRunner()
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
            y = self._call()
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
        """Return the states that a layer's step starts from; None for the layer's own."""
        if initial_state is not None:
            raise ValueError(
                f"expected layers that start from states of their own; {layer.name!r} is given those of another layer"
            )
        if self._states is not None:
            return self._states[len(self._found)]
        self._recurrent.append(layer)
        return None

    def end(self, states: Array, initial: Array, outputs: Array, mask: Array) -> None:
        """Take the states after that step, those that it started from, and the layer's output.

        In the rows that a mask ``(B, 1)`` leaves out, `outputs` is set to the layer's output at the step before.
        """
        if self._states is None:
            self._initial.append(initial)
        elif mask is not None:
            used, held = (self.batch, *(1,) * (outputs.ndim - 1)), self._held[len(self._found)]
            outputs[...] = np.where(mask.reshape(used), outputs, held)
        self._found.append(states)
        self._outputs.append(outputs)

    def _call(self, masked: Sequence[int] = ()):
        """Run the layers' step, in which some rows are masked."""
        self._found, self._outputs = [], []
        more: dict[str, Any] = {} if self._constants is None else {"constants": self._constants}
        if masked:
            more["mask"] = np.ones((self.batch, 1), bool)
            more["mask"][masked] = False
        with within(stream=self):
            return self.layer(self._x, **more)

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
            row = self._row
            if type(x) is not np.ndarray or x.dtype is not row.dtype or x.shape != self._shape:
                x = self._checked(x)
            row[...] = x
            try:
                if self._skipped or self._runner.serve((), self, Stream._ordinary, (), (), {}) is None:
                    self._ordinary()
            except Exception as error:
                tracebacks.shorten(error)
                raise
            if self._skipped:
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
        if x.shape != self._shape:
            raise ValueError(f"expected x of shape {self._shape}, one step of each row; got {x.shape}")
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

    def _ordinary(self) -> list[np.ndarray]:
        """Run one step through the layers, without a recording; return its results, in memory that stays."""
        for place, array in zip(self._kept(), self._next(self._skipped), strict=True):
            place[...] = array
        return self._y

    def _next(self, masked: Sequence[int] = ()) -> list[np.ndarray]:
        """Return what a step makes of `_kept`."""
        y = self._steps(self._call(masked))
        return [*(state for states in self._found for state in states), *self._outputs, *y]

    def _recorded(self, recording: Recording) -> list[np.ndarray]:
        """Return what a step makes of `_kept`, recorded."""
        weights = list(arrays_by_name(self.layer).values())
        recording.give(self._x, *self._kept())
        recording.constant(*weights, *(self._constants or ()))
        pairs = unmoved(all_layers(self.layer), weights)
        arrays = "_x", "_states", "_held", "_constants"
        with recording, standing_in((array, noted(same)) for array, same in pairs), noting(self, *arrays):
            found = plain(self._next())
        self._found, self._outputs = plain([self._found, self._outputs])
        return found

    def _kept(self) -> list[np.ndarray]:
        """Return all states and outputs that a step leaves."""
        return [*(state for states in self._states or () for state in states), *self._held, *self._y]

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
        stream._lock, stream._runner = threading.RLock(), _StepRunner()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_locks)
