"""Compiled functions by which threads work on one call together: they share out its rows, or the units of each step.

The threads share three structures of int64 words:

- a *slot*, one cache line for each worker: the worker's state and the job it was given;
- a *job*: the program's address and arguments, and a counter of the blocks of rows that are taken;
- a *barrier*, where the units of a step are split: a line with its state and the step at which workers join, then one
  line per part with the last phase that the part reached. Phase 1 is its arrival.

The caller's thread is part 0. The operating system may suspend a worker at any instruction and for any time, so part 0
never depends on a worker: it takes the blocks that nobody took, and breaks a barrier that a worker doesn't reach.
"""

from rnnkit.backends.cpu.language.function import compiled, directing

from rnnkit.backends.cpu.simd.atomic import (  # isort: skip
    atomic_add, atomic_load, atomic_store, call_at, compare_exchange, pause, word, yield_thread,
)  # fmt: skip
from rnnkit.backends.cpu.tuning import ARRIVAL_YIELDS, IDLE_PAUSES, IDLE_YIELDS

LINE = 128  # bytes: processors fetch lines of 64 in pairs
OFF, IDLE, POSTED, RUNNING = range(4)
OPEN, BROKEN, ENDED = range(3)  # states of a barrier
ABANDONED = -1  # the phase of a part that the others no longer wait for
STATE, JOB, PART, YIELD = range(4)  # words of a slot
FUNCTION, P, N, BLOCKS, ROWS, BARRIER, PARTS = range(7)  # words of a job
TAKEN, DONE = 16, 32  # words of a job that are counted up, on lines of their own
SCRATCH = 48  # words of a job: scratch memory of each part, then each part's slot


# Call a step's program at its address: p, n, first, rows, scratch, part, parts, barrier.
call_program = call_at(8)


@compiled
def work(job, part):
    function, p, n, barrier = word(job, FUNCTION), word(job, P), word(job, N), word(job, BARRIER)
    rows, scratch = word(job, ROWS), word(job, SCRATCH + part)
    if barrier != 0:
        call_program(function, p, n, 0, rows, scratch, part, word(job, PARTS), barrier)
        return
    blocks = word(job, BLOCKS)
    while True:
        block = atomic_add(job + 8 * TAKEN, 1)
        if block >= blocks:
            return
        first, after = block_start(block, blocks, rows), block_start(block + 1, blocks, rows)
        call_program(function, p, n, first, after - first, scratch, 0, 1, 0)
        atomic_add(job + 8 * DONE, 1)


@compiled
def block_start(block, blocks, rows):
    """Return the first row of a block; the first blocks are the larger ones."""
    return block * (rows // blocks) + min(block, rows % blocks)


@compiled
def serve_slot(slot):
    """Run the jobs that are posted in a slot until none came for a while."""
    idle = 0
    while True:
        if compare_exchange(slot, POSTED, RUNNING):
            job = atomic_load(slot + 8 * JOB)
            work(job, atomic_load(slot + 8 * PART))
            atomic_store(slot, IDLE)
            idle = 0
        elif idle < IDLE_PAUSES:
            pause()
        elif idle < IDLE_PAUSES + IDLE_YIELDS:
            yield_thread(word(slot, YIELD))
        elif compare_exchange(slot, IDLE, OFF) or atomic_load(slot) == OFF:
            return
        idle += 1


@compiled
def lead_job(job, parts, patience):
    """Post a job in the slots that it names, run its part 0, and wait for blocks that workers took."""
    for part in range(1, parts):
        slot = word(job, SCRATCH + parts + part)
        atomic_store(slot + 8 * JOB, job)
        atomic_store(slot + 8 * PART, part)
        compare_exchange(slot, IDLE, POSTED)
    work(job, 0)
    for part in range(1, parts):
        compare_exchange(word(job, SCRATCH + parts + part), POSTED, IDLE)
    wait_for(job, patience)


@compiled
def wait_for(job, patience):
    """Wait until all blocks of a job are done, for `patience` pauses at most."""
    if word(job, BARRIER) == 0:
        while atomic_load(job + 8 * DONE) < word(job, BLOCKS) and patience > 0:
            pause()
            patience -= 1


# Called by programs


@directing
def share(count, align, part, parts):
    """Return the first of `count` items that belong to a part, in groups of `align`; for part + 1, the part's end."""
    if parts == 1:
        return count * part
    groups = (count + align - 1) // align
    return min(count, groups * part // parts * align)


@compiled
def arrive(barrier, part):
    """Wait until part 0 admits the workers; return 2 * step + turn where this part joins, or -1 if it doesn't."""
    own = barrier + LINE * (1 + part)
    atomic_store(own, 1)
    waited = 0
    while True:
        if atomic_load(barrier) != OPEN:
            return -1
        joined = atomic_load(barrier + 8)
        if joined > 0:
            return joined - 1
        waited += 1
        if waited < IDLE_PAUSES:
            pause()
        elif waited < IDLE_PAUSES + ARRIVAL_YIELDS:
            yield_thread(word(barrier, 2))
        elif compare_exchange(own, 1, ABANDONED):  # another part didn't arrive
            return -1


@compiled
def admit(barrier, parts, step, turn, patience):
    """Let the workers join at a step if all of them have arrived; return 1 if they have, else 0."""
    for part in range(1, parts):
        while atomic_load(barrier + LINE * (1 + part)) != 1:
            if patience <= 0:
                return 0
            pause()
            patience -= 1
    atomic_store(barrier + 8, 1 + 2 * step + turn)
    return 1


@compiled
def barrier_wait(barrier, part, parts, phase, patience):
    """Wait until all parts reached a phase; return 0 if part 0 broke the barrier after `patience` pauses.

    Part 0 marks a missing part as abandoned by one compare-exchange, so either the part reached the phase or it will
    see the mark. Part 0 then goes on alone in other memory.
    """
    if part == 0:
        atomic_store(barrier + LINE, phase)
    elif not compare_exchange(barrier + LINE * (1 + part), phase - 1, phase):
        return 0
    for other in range(parts):
        waited = 0
        while atomic_load(barrier + LINE * (1 + other)) < phase:
            if atomic_load(barrier) != OPEN:
                return 0
            waited += 1
            if part == 0 and waited > patience:
                place = barrier + LINE * (1 + other)
                if compare_exchange(place, phase - 1, ABANDONED) or atomic_load(place) == ABANDONED:
                    atomic_store(barrier, BROKEN)
                    return 0
            elif part == 0 or waited < IDLE_PAUSES:
                pause()
            else:
                yield_thread(word(barrier, 2))
    return 1


@compiled
def close(barrier):
    atomic_store(barrier, ENDED)
