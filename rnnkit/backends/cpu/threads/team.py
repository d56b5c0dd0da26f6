"""The threads that share a call of a compiled program, and memory that is kept between calls."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

import numpy as np

from rnnkit.backends.cpu import tuning
from rnnkit.backends.cpu.simd.atomic import yield_address
from rnnkit.backends.cpu.threads import barrier
from rnnkit.backends.cpu.threads.shared_functions import GANG
from rnnkit.backends.shared.thread_pool import pool

_WORDS = barrier.LINE // 8
_MOST = 256  # threads
LEFT = 2  # a call is done, but a thread was left in its middle and may write what it knows to what is kept of steps

_thread = threading.local()


def own_memory(size: int) -> np.ndarray:
    """Scratch memory of this thread, ``size`` bytes from its `line_start` on: whoever uses it holds the array."""
    kept = getattr(_thread, "memory", None)
    if kept is None or kept.nbytes < size + barrier.LINE or kept.nbytes > tuning.SCRATCH_KEPT:
        kept = _thread.memory = np.empty(size + barrier.LINE, np.uint8)
    return kept


def line_start(memory) -> int:
    """The first cache line in an array."""
    return -(-memory.ctypes.data // barrier.LINE) * barrier.LINE


class Crew:
    """Threads beside the caller's, for one call at a time: another caller meanwhile works alone.

    Parameters
    ----------
    kit : int
        Address of the compiled `kit.ROWS`.
    gang_kit : callable
        Gives the compiled `kit.GANG` and its address, when threads are first needed.
    """

    def __init__(self, kit: int, gang_kit: Callable):
        self.kit, self.gang_kit = kit, 0
        self._load = gang_kit
        self._yield = yield_address()
        self.start_again()
        _crews.append(self)

    def prepare(self) -> None:
        """Have what threads run, before a call's arguments are laid out."""
        if not self.gang_kit:
            run, address = self._load()
            names = [function.__name__ for function in GANG]
            serve, lead, wait = (names.index(name) for name in ("serve_slot", "lead_job", "wait_for"))
            self._serve = lambda slot: run(serve, slot, 0, 0, 0, 0, 0, 0, 0)
            self._lead = lambda job, parts, patience: run(lead, job, parts, patience, 0, 0, 0, 0, 0)
            self._wait = lambda job, patience: run(wait, job, patience, 0, 0, 0, 0, 0, 0)
            self.gang_kit = address  # last: another thread may be looking

    def start_again(self) -> None:
        """Forget the threads, which a child of a fork doesn't have."""
        self._lock = threading.Lock()
        self._slots = _Words(_MOST * _WORDS)
        self._held: list = [None] * _MOST  # what a slot's last job reads and writes, for as long as it may run
        self._memory: list = [None] * _MOST
        self._shared: np.ndarray | None = None
        self._rest, self._rest_until = tuning.REST, -tuning.LONGEST_REST

    def run(self, address, p, n, rows, blocks, memory, units, threads, keep) -> int | None:
        """Run a program over rows, in blocks that threads take in turn or with its units split.

        Returns
        -------
        bool, `LEFT` or None
            None if nothing was begun. False if a thread was stopped in the middle of a short call: its arrays, which
            are in ``keep``, may then still be written to.
        """
        if time.perf_counter() < self._rest_until or not self._lock.acquire(blocking=False):
            return None
        idle: list[int] = []
        try:
            most = min(threads, _MOST) if units else min(threads, blocks, _MOST)
            self._find_idle(most - 1, idle)
            if not idle:
                return None
            parts = 1 + len(idle)
            job = _Words(barrier.SCRATCH + 2 * parts)
            words = job.words
            words[barrier.SCRATCH + parts + 1 :] = [self._slots.address + slot * barrier.LINE for slot in idle]
            words[barrier.FUNCTION], words[barrier.ROWS], words[barrier.BLOCKS] = address, rows, blocks
            words[barrier.P], words[barrier.N] = p.ctypes.data, n.ctypes.data
            if units:
                return self._run_units(job, idle, 2 * memory, keep)
            return self._run_rows(job, idle, memory, keep)
        finally:
            self._let_go(idle)
            self._lock.release()

    def _let_go(self, slots):
        """Keep no array longer than a thread may touch it."""
        for slot in slots:
            for _ in range(tuning.LOOKS):
                if self._slots.words[slot * _WORDS + barrier.STATE] != barrier.RUNNING:
                    self._held[slot] = None
                    break

    def settle(self) -> None:
        """Wait until no thread works on a job, not even one that was left: for kernels whose accesses are checked."""
        while self.is_busy():
            time.sleep(tuning.NAP)

    def is_busy(self) -> bool:
        """Whether a thread works on a job, be it one that was left."""
        return bool((self._slots.words[barrier.STATE :: _WORDS] == barrier.RUNNING).any())

    def _find_idle(self, others, idle: list[int]):
        """The slots that a job can be posted in, each with a thread that serves it or soon will."""
        words = self._slots.words
        self._let_go(range(others))
        for slot in range(others):
            state = slot * _WORDS + barrier.STATE
            if words[state] == barrier.OFF:
                words[state], words[slot * _WORDS + barrier.YIELD] = barrier.IDLE, self._yield
                try:
                    pool(others).submit(self._serve, self._slots.address + slot * barrier.LINE)
                except BaseException as error:
                    words[state] = barrier.OFF
                    if not isinstance(error, RuntimeError):
                        raise
                    continue  # the interpreter is about to end, or there can be no more threads
            if words[state] == barrier.IDLE:
                idle.append(slot)

    def _run_units(self, job, idle, memory, keep) -> int:
        if (
            self._shared is None
            or self.is_busy()
            or self._shared.nbytes < memory + barrier.LINE
            or self._shared.nbytes > tuning.SCRATCH_KEPT
        ):
            self._shared = np.empty(memory + barrier.LINE, np.uint8)
        meetings = _Words((2 + len(idle)) * _WORDS)
        meetings.words[2] = self._yield
        job.words[barrier.GANG], job.words[barrier.PARTS] = meetings.address, 1 + len(idle)
        job.words[barrier.SCRATCH : barrier.SCRATCH + 1 + len(idle)] = line_start(self._shared)
        for slot in idle:
            self._held[slot] = (job, meetings, self._shared, keep)
        self._lead(job.address, 1 + len(idle), 0)
        left = meetings.words[0] == barrier.BROKEN
        self._note(stopped=left)
        return LEFT if left else True

    def _run_rows(self, job, idle, memory, keep) -> bool:
        own_scratch = own_memory(memory)
        job.words[barrier.SCRATCH] = line_start(own_scratch)
        for part, slot in enumerate(idle, 1):
            kept = self._memory[slot]
            if kept is None or kept.nbytes < memory + barrier.LINE or kept.nbytes > tuning.SCRATCH_KEPT:
                kept = self._memory[slot] = np.empty(memory + barrier.LINE, np.uint8)
            job.words[barrier.SCRATCH + part] = line_start(kept)
            self._held[slot] = (job, kept, keep)
        blocks, start = job.words[barrier.BLOCKS], time.perf_counter()
        self._lead(job.address, 1 + len(idle), tuning.LOOK_PAUSES)
        own = time.perf_counter() - start
        while job.words[barrier.DONE] < blocks:
            self._wait(job.address, tuning.LOOK_PAUSES)
            if time.perf_counter() - start > tuning.OVERTIME * own + tuning.GRACE:
                if own < tuning.LONG:
                    self._note(stopped=True)
                    return False
                time.sleep(tuning.NAP)  # leaves this processor to the thread that was stopped
        self._wait(job.address, 0)  # what the others wrote is seen from here on
        self._note(stopped=time.perf_counter() - start > tuning.OVERTIME * own + tuning.GRACE)
        return True

    def _note(self, stopped):
        """Rest after a call in which a thread was stopped, longer and longer where that goes on."""
        if stopped:
            now = time.perf_counter()
            again = now - self._rest_until < tuning.SOON
            self._rest = min(4 * self._rest, tuning.LONGEST_REST) if again else tuning.REST
            self._rest_until = now + self._rest


class _Words:
    """Words of 8 bytes that start at a cache line."""

    def __init__(self, count):
        memory = np.zeros(count + _WORDS, np.int64)
        self.address = line_start(memory)
        first = (self.address - memory.ctypes.data) // 8
        self.words = memory[first : first + count]


_crews: list[Crew] = []


def _after_fork():
    for crew in _crews:
        crew.start_again()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
