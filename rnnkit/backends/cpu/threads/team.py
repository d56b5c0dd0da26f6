"""A team of worker threads that share a call of a compiled program, and its scratch memory."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable

import numpy as np

from rnnkit.backends.cpu import tuning
from rnnkit.backends.cpu.language.programs import Code
from rnnkit.backends.cpu.simd.atomic import yield_address
from rnnkit.backends.cpu.threads import barrier
from rnnkit.backends.cpu.threads.shared_functions import TEAM_FUNCTIONS
from rnnkit.backends.cpu.threads.trials import Trials
from rnnkit.backends.shared.once import once
from rnnkit.backends.shared.thread_pool import pool

_WORDS = barrier.LINE // 8
_MOST = 256  # threads
ABANDONED = 2  # a call is done, but a worker was abandoned and may still write to the arrays of residuals

_thread = threading.local()


def own_memory(size: int) -> tuple[np.ndarray, int]:
    """Return scratch memory of this thread and the address of `size` bytes at a cache line; the caller keeps it."""
    kept = getattr(_thread, "memory", None)
    if kept is None or kept[0].nbytes < size + barrier.LINE or kept[0].nbytes > tuning.SCRATCH_KEPT:
        memory = np.empty(size + barrier.LINE, np.uint8)
        kept = _thread.memory = memory, line_start(memory)
    return kept


def line_start(memory) -> int:
    return -(-memory.ctypes.data // barrier.LINE) * barrier.LINE


class ThreadTeam:
    """Worker threads that help the caller's thread, for one call at a time: a second caller meanwhile works alone.

    `row_functions` and `team_functions` compile those of `shared_functions`, the latter when workers are first needed.
    """

    def __init__(self, row_functions: Callable, team_functions: Callable):
        self._load_rows, self._load, self.team_functions = row_functions, team_functions, 0
        self._yield = yield_address()
        self.start_again()
        _teams.append(self)

    @once
    def row_functions(self) -> Code:
        return self._load_rows()

    def prepare(self) -> None:
        """Compile what workers run, before a call's arguments are laid out."""
        if not self.team_functions:
            run, address = self._load()
            names = [function.__name__ for function in TEAM_FUNCTIONS]
            serve, lead, wait = (names.index(name) for name in ("serve_slot", "lead_job", "wait_for"))
            self._serve = lambda slot: run(serve, slot, 0, 0, 0, 0, 0, 0, 0)
            self._lead = lambda job, parts, patience: run(lead, job, parts, patience, 0, 0, 0, 0, 0)
            self._wait = lambda job, patience: run(wait, job, patience, 0, 0, 0, 0, 0, 0)
            self.team_functions = address  # set last: another thread may read it meanwhile

    def start_again(self) -> None:
        """Forget the workers: a forked child has none."""
        self._lock = threading.Lock()
        self._slots = _Words(_MOST * _WORDS)
        self._held: list = [None] * _MOST  # arrays that a slot's last job uses, held while it may run
        self._memory: list = [None] * _MOST
        self._shared: np.ndarray | None = None
        self._rest, self._rest_until = tuning.REST, 0.0

    def run(
        self, address, p, n, rows, blocks, memory, threads, keep, trials: Trials | None = None, steps=1
    ) -> int | None:
        """Run a program over rows: workers take blocks of rows, or, with ``trials``, each computes some units.

        Return True or `ABANDONED`; None if nothing was run: the team is busy, or one thread is faster; False if a
        worker was suspended in a short call: it may still write to the arrays in ``keep``.
        """
        now = time.perf_counter()
        if now < self._rest_until:
            return None
        shared = trials.next_is_shared() if trials else True
        if shared is None or not self._lock.acquire(blocking=False):
            return None
        idle: list[int] = []
        try:
            most = min(threads, _MOST) if trials else min(threads, blocks, _MOST)
            if shared:
                self._find_idle(most - 1, idle)
                if not idle:
                    return None
            parts = 1 + len(idle)
            job = _Words(barrier.SCRATCH + 2 * parts)
            words = job.words
            words[barrier.SCRATCH + parts + 1 :] = [self._slots.address + slot * barrier.LINE for slot in idle]
            words[barrier.FUNCTION], words[barrier.ROWS], words[barrier.BLOCKS] = address, rows, blocks
            words[barrier.P], words[barrier.N] = p.ctypes.data, n.ctypes.data
            if not trials:
                return self._run_rows(job, idle, memory, keep)
            if shared:
                return self._run_units(job, idle, 2 * memory, keep, trials, steps)
            done = self._run_rows(job, idle, memory, keep)
            trials.note(False, time.perf_counter() - now, steps)
            return done
        finally:
            self._let_go(idle)
            self._lock.release()

    def _let_go(self, slots):
        for slot in slots:
            for _ in range(tuning.LOOKS):
                if self._slots.words[slot * _WORDS + barrier.STATE] != barrier.RUNNING:
                    self._held[slot] = None
                    break

    def settle(self) -> None:
        """Wait until no worker runs, abandoned ones included: for kernels whose accesses are checked."""
        while self.is_busy():
            time.sleep(tuning.NAP)

    def is_busy(self) -> bool:
        return bool((self._slots.words[barrier.STATE :: _WORDS] == barrier.RUNNING).any())

    def _find_idle(self, others, idle: list[int]):
        """Return the slots that a job can be posted in; a thread is started for a slot that has none."""
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

    def _run_units(self, job, idle, memory, keep, trials: Trials, steps) -> int:
        wanted = memory + barrier.LINE
        if self._shared is None or self.is_busy() or not wanted <= self._shared.nbytes <= tuning.SCRATCH_KEPT:
            self._shared = np.empty(wanted, np.uint8)
        shared = _Words((2 + len(idle)) * _WORDS)
        shared.words[2] = self._yield
        job.words[barrier.BARRIER], job.words[barrier.PARTS] = shared.address, 1 + len(idle)
        job.words[barrier.SCRATCH : barrier.SCRATCH + 1 + len(idle)] = line_start(self._shared)
        for slot in idle:
            self._held[slot] = (job, shared, self._shared, keep)
        start = time.perf_counter()
        self._lead(job.address, 1 + len(idle), 0)
        seconds = time.perf_counter() - start
        abandoned, joined = shared.words[0] == barrier.BROKEN, shared.words[1]
        if abandoned:
            self._rest_after(min(seconds, tuning.LONGEST_WAIT))
        elif joined:
            self._rest = tuning.REST
        trials.note(True, seconds if joined and not abandoned else math.inf, steps)
        return ABANDONED if abandoned else True

    def _run_rows(self, job, idle, memory, keep) -> bool:
        own_scratch, start_of_own = own_memory(memory)
        job.words[barrier.SCRATCH] = start_of_own
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
                    self._rest_after(time.perf_counter() - start)
                    return False
                time.sleep(tuning.NAP)  # leaves this processor to the suspended worker
        self._wait(job.address, 0)  # an acquire: what workers wrote is visible from here on
        waited = time.perf_counter() - start - own
        if waited > (tuning.OVERTIME - 1) * own + tuning.GRACE:
            self._rest_after(min(waited, tuning.LONGEST_WAIT))  # the worker has come back
        elif idle:
            self._rest = tuning.REST
        return True

    def _rest_after(self, lost):
        """Run alone for a multiple of the `lost` seconds, more after each stop in a row: stops then cost little."""
        self._rest_until = time.perf_counter() + self._rest * lost
        self._rest = min(tuning.REST_GROWTH * self._rest, tuning.LONGEST_REST)


class _Words:
    """An array of int64 that starts at a cache line."""

    def __init__(self, count):
        memory = np.zeros(count + _WORDS, np.int64)
        self.address = line_start(memory)
        first = (self.address - memory.ctypes.data) // 8
        self.words = memory[first : first + count]


_teams: list[ThreadTeam] = []


def _after_fork():
    for team in _teams:
        team.start_again()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
