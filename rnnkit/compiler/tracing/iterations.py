"""Iterations of a ``for`` in a step, with entries by the number of the round, which may be a symbol."""

from __future__ import annotations

import itertools

import numpy as np

from rnnkit.compiler.tracing.batch_axis import Untraceable
from rnnkit.compiler.tracing.decisions import both, known, truth
from rnnkit.compiler.tracing.symbol import Symbol


class Iteration:
    """A sequence: ``length`` is an integer, or None where each row has its own."""

    length: int | None

    def at(self, reader, k):
        """Return the entry of round k, an integer or a symbol."""
        raise NotImplementedError

    def more(self, k):
        return truth(k < self.length)

    def entries(self, reader) -> list:
        """Return all entries of an iteration whose length is known."""
        if self.length is None:
            raise Untraceable("a range whose length is computed, where a number is expected; loop over it with for")
        return [self.at(reader, k) for k in range(self.length)]


class Items(Iteration):
    """A list, a tuple or an array."""

    def __init__(self, values):
        self.values, self.length = values, len(values)

    def at(self, reader, k):
        return reader.load(self.values, k)


class Range(Iteration):
    """``range``, with ends that may be computed."""

    def __init__(self, start, stop, step):
        step = known(step)
        if isinstance(step, Symbol) or step == 0:
            raise Untraceable("a range whose step is computed or 0; write while")
        ends = (known(start), known(stop))
        if any(isinstance(end, float) or getattr(end, "dtype", np.dtype(int)).kind == "f" for end in (*ends, step)):
            raise TypeError("range of a float; write int(…), as all that a step is given is floats")
        self.start, self.stop, self.step = start, stop, int(step)
        counted = not any(isinstance(end, Symbol) for end in ends)
        self.length = len(range(int(ends[0]), int(ends[1]), self.step)) if counted else None
        if counted:
            self.start, self.stop = map(int, ends)

    def at(self, reader, k):
        if self.step != 1:
            return self.start + k * self.step
        from_zero = not isinstance(self.start, Symbol) and self.start == 0
        return k if from_zero and not isinstance(k, int) else self.start + k

    def more(self, k):
        here = self.at(None, k)
        return truth(here < self.stop if self.step > 0 else here > self.stop)


class Zip(Iteration):
    """``zip``, and ``enumerate`` as one of a range."""

    def __init__(self, parts, strict=False):
        self.parts = parts
        lengths = [part.length for part in parts]
        if strict and len(set(lengths)) > 1:
            raise ValueError(f"zip of lengths {', '.join(map(str, lengths))}")
        self.length = None if None in lengths else min(n for n in lengths if n is not None)

    def at(self, reader, k):
        return tuple(part.at(reader, k) for part in self.parts)

    def more(self, k):
        found = True
        for part in self.parts:
            found = both(found, part.more(k))
        return found


class Reversed(Iteration):
    def __init__(self, part):
        if part.length is None:
            raise Untraceable("reversed of a computed range; write range with a step of -1")
        self.part, self.length, self.last = part, part.length, part.length - 1

    def at(self, reader, k):
        return self.part.at(reader, self.last - k)


class Endless(Iteration):
    """The endless count of ``enumerate``."""

    length = None

    def __init__(self, start):
        self.start = start

    def at(self, reader, k):
        return self.start + k

    def more(self, k):
        return True


def enumerated(part: Iteration, start=0) -> Zip:
    made = Zip([Endless(start), part])
    made.length = part.length
    return made


def iteration_of(reader, value) -> Iteration:
    if isinstance(value, Iteration):
        return value
    if isinstance(value, range):
        return Range(value.start, value.stop, value.step)
    if isinstance(value, (Symbol, np.ndarray)):
        if not value.ndim:
            raise TypeError("iteration over a number")
        return Items(value)
    if isinstance(value, (list, tuple, str)):
        return Items(value)
    found = list(itertools.islice(iter(value), 10**5 + 1))
    if len(found) > 10**5:
        raise Untraceable("a loop over an iterator without end; write while")
    return Items(found)
