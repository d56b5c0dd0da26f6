"""Races between a kernel's threads, found in its simulated run: two touch a number, one writes, nothing orders them.

Each thread has a vector clock: how far every thread had come by what this one may know of. ``syncthreads`` joins those
of a block; ``threadfence``, ``arrive``, ``seen``, ``threadfence`` bring what went before the first to what comes after
the last, as on a GPU. An access is ordered behind another if its thread knew of it.
"""

import bisect
import contextlib
import gc
import re
import sys
import threading
import weakref

import patience

from rnnkit.backends.cuda.simulator import driver, grid
from rnnkit.backends.cuda.simulator import words as cuda_simulated

_GRAIN = 4  # bytes: the smallest number that a kernel writes


class Race(AssertionError):
    """What a GPU need not order."""


class _Memory(driver.Memory):
    """Memory of which one knows where it is; what stands in it first is NaN."""

    def __init__(self, size, stream):
        super().__init__(size, stream)
        self._array[:] = 0xFF
        _living.add(self)


_living: weakref.WeakSet = weakref.WeakSet()


class _Module(grid._Module):
    def threadfence(self):
        threading.current_thread().fence()


class _Block(grid._Block):
    """A block whose threads know of each other when they have met."""

    def __init__(self, place, threads, shared):
        super().__init__(place, threads, shared)
        self.shared_start = self.shared._dynshared.__array_interface__["data"][0] if shared else 0
        self.shared_end = self.shared_start + shared
        self.met = []
        self.barrier = threading.Barrier(self.barrier.parties, self.meet, patience.left())

    def meet(self):
        together = {}
        for thread, _ in self.met:
            _join(together, thread.clock)
        for thread, _ in self.met:
            thread.clock = dict(together)
            thread.tick()
        lines = {line for _, line in self.met}
        self.met = []
        if len(lines) > 1:
            self.error = Race(f"threads of a block meet in different lines: {sorted(lines)}")


class _Thread(grid._Thread):
    def __init__(self, kernel, table, block, place):
        super().__init__(kernel, table, block, place)
        self.who = (block.place.x, block.place.y, block.place.z), place
        self.clock = {self.who: 1}
        self.shown, self.heard = {}, {}

    def tick(self):
        self.clock[self.who] += 1

    def knows(self, who, when):
        return self.clock.get(who, 0) >= when

    def fence(self):
        """What went before may be shown by the next arrival, and what was heard may be relied upon."""
        _join(self.clock, self.heard)
        self.shown = dict(self.clock)
        self.tick()

    def syncthreads(self):
        self.block.met.append((self, sys._getframe(2).f_lineno))
        super().syncthreads()
        if error := getattr(self.block, "error", None):
            raise error


class _Launch:
    """Who touched what in one launch."""

    def __init__(self, text):
        self.text, self.lock = text, threading.Lock()
        self.wrote, self.read, self.fixed, self.known = {}, {}, set(), set()
        self.arrivals = {}
        spans = sorted((memory.address, memory.address + memory._array.nbytes) for memory in _living)
        self.starts, self.ends = [start for start, _ in spans], [end for _, end in spans]

    def words(self):
        """The simulator's words, watched."""
        found = {}
        for name, word in vars(cuda_simulated).items():
            if of_memory := re.fullmatch(r"((?:shared_)?(?:load|fixed|store)(?:_wide)?)_(?:float|int)(32|64)", name):
                kind, bits = of_memory.groups()
                found[name] = self.watched(word, kind, 16 if "wide" in kind else int(bits) // 8)
        found["word"] = lambda table, i: self.watched(lambda at: cuda_simulated.word(table, i), "fixed", 8)(
            table + 8 * i
        )
        found["byte"] = self.watched(cuda_simulated.byte, "fixed", 1)
        return found | {"arrive": self.arrive, "seen": self.seen}

    def watched(self, word, kind, size):
        shared, writes, fixed = kind.startswith("shared"), "store" in kind, kind.startswith("fixed")

        def touch(address, *value):
            thread = threading.current_thread()
            with self.lock:
                self.check_place(thread, address, size, shared)
                for at in range(address // _GRAIN, -(-(address + size) // _GRAIN)):
                    self.touch(thread, at, writes, fixed)
            return word(address, *value)

        return touch

    def check_place(self, thread, address, size, shared):
        if shared:
            inside = thread.block.shared_start <= address and address + size <= thread.block.shared_end
        elif (address, size) in self.known:
            return
        else:
            i = bisect.bisect_right(self.starts, address) - 1
            inside = i >= 0 and address + size <= self.ends[i]
            self.known.add((address, size))
        if not inside:
            raise Race(f"{_where(self.text)}: {'shared' if shared else 'far'} memory that isn't the kernel's")

    def touch(self, thread, at, writes, fixed):
        writer = self.wrote.get(at)
        if writer and not thread.knows(*writer[:2]):
            raise Race(f"{_where(self.text)}, by {thread.who}: what {writer[0]} wrote in {writer[2]} isn't ordered")
        if (at in self.fixed and writes) or (fixed and writer):
            raise Race(f"{_where(self.text)}: memory that is read as fixed is written")
        if fixed:
            self.fixed.add(at)
        elif writes:
            for who, (when, line) in self.read.pop(at, {}).items():
                if not thread.knows(who, when):
                    raise Race(f"{_where(self.text)}, by {thread.who}: what {who} reads in {line} isn't ordered")
            self.wrote[at] = thread.who, thread.clock[thread.who], _where(self.text)
        else:
            self.read.setdefault(at, {})[thread.who] = thread.clock[thread.who], _where(self.text)

    def arrive(self, address):
        thread = threading.current_thread()
        with self.lock:
            _join(self.arrivals.setdefault(address, {}), thread.shown)
            return cuda_simulated.arrive(address)

    def seen(self, address):
        thread = threading.current_thread()
        with self.lock:
            _join(thread.heard, self.arrivals.get(address, {}))
            return cuda_simulated.seen(address)


def _join(clock, other):
    for who, when in other.items():
        if clock.get(who, 0) < when:
            clock[who] = when


def _where(name):
    """The line of the kernel that is running."""
    frame = sys._getframe(1)
    while frame.f_code.co_filename != name:
        frame = frame.f_back
    return f"line {frame.f_lineno}"


@contextlib.contextmanager
def watched():
    """Every kernel that runs in this context is watched; a race is raised as `Race`."""
    plain = grid.run

    def run(kernel, *arguments):
        function = kernel.py_func
        launch = _Launch(function.__code__.co_filename)
        words = launch.words()
        space = function.__globals__
        before = {name: space[name] for name in words if name in space}
        space.update({name: words[name] for name in before})
        try:
            plain(kernel, *arguments)
        finally:
            space.update(before)

    changed = [(grid, "run", run), (driver, "Memory", _Memory)]
    changed += [(grid, kind.__name__, kind) for kind in (_Module, _Block, _Thread)]
    before = [(module, name, getattr(module, name)) for module, name, _ in changed]
    _living.update(one for one in gc.get_objects() if issubclass(type(one), driver.Memory))
    try:
        for module, name, value in changed:
            setattr(module, name, value)
        yield
    finally:
        for module, name, value in before:
            setattr(module, name, value)
