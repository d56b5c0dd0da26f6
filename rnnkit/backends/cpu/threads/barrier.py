"""Threads that work on one call together, from compiled code: rows shared out, or one row's units.

Memory that they share, in words of 8 bytes:

- a *slot* for each thread beside the caller's, a cache line: its state, and the job that it was given;
- a *job*: the program's address and arguments, and the rows that are still to be taken;
- a *gang*, where the units of a step are split: a line with its state and where the others join, then a line for each
  part with the number of meetings that it came to. Meeting 1 is its arrival.

The caller's thread is part 0. It never depends on the others: it takes the rows that nobody took, and closes a gang
whose parts don't come, for the system may stop a thread at any place for as long as it likes.
"""

from numba.extending import intrinsic

from rnnkit.backends.cpu.simd.atomic import (
    atomic_add,
    atomic_load,
    atomic_store,
    define_call,
    exchange_if,
    pause,
    step_aside,
    word,
)
from rnnkit.backends.cpu.tuning import ARRIVAL_YIELDS, IDLE_PAUSES, IDLE_YIELDS
from rnnkit.backends.shared.numba_pipeline import compiled

LINE = 128  # bytes: processors fetch lines of 64 in pairs
OFF, IDLE, POSTED, RUNNING = range(4)
OPEN, BROKEN, ENDED = range(3)  # states of a gang
LEFT = -1  # the meeting of a part that the others no longer wait for
STATE, JOB, PART, YIELD = range(4)  # words of a slot
FUNCTION, P, N, BLOCKS, ROWS, GANG, PARTS = range(7)  # words of a job
TAKEN, DONE = 16, 32  # words of a job that are counted up, on lines of their own
SCRATCH = 48  # words of a job: scratch memory of each part, then each part's slot


@intrinsic
def call_program(typingctx, address, p, n, first, rows, scratch, part, parts, gang):
    """Call a step's program at its address."""
    return define_call(8)


@compiled
def work(job, part):
    """Do a part of a job."""
    function, p, n, gang = word(job, FUNCTION), word(job, P), word(job, N), word(job, GANG)
    rows, scratch = word(job, ROWS), word(job, SCRATCH + part)
    if gang != 0:
        call_program(function, p, n, 0, rows, scratch, part, word(job, PARTS), gang)
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
    """The first row of a block; the first blocks are the larger ones."""
    return block * (rows // blocks) + min(block, rows % blocks)


@compiled
def serve_slot(slot):
    """Do the jobs that are posted in a slot, until none came for a while."""
    idle = 0
    while True:
        if exchange_if(slot, POSTED, RUNNING):
            job = atomic_load(slot + 8 * JOB)
            work(job, atomic_load(slot + 8 * PART))
            atomic_store(slot, IDLE)
            idle = 0
        elif idle < IDLE_PAUSES:
            pause()
        elif idle < IDLE_PAUSES + IDLE_YIELDS:
            step_aside(word(slot, YIELD))
        elif exchange_if(slot, IDLE, OFF) or atomic_load(slot) == OFF:
            return
        idle += 1


@compiled
def lead_job(job, parts, patience):
    """Post a job in the slots that it names, do its part 0, and wait for rows that another thread took."""
    for part in range(1, parts):
        slot = word(job, SCRATCH + parts + part)
        atomic_store(slot + 8 * JOB, job)
        atomic_store(slot + 8 * PART, part)
        exchange_if(slot, IDLE, POSTED)
    work(job, 0)
    for part in range(1, parts):
        exchange_if(word(job, SCRATCH + parts + part), POSTED, IDLE)
    wait_for(job, patience)


@compiled
def wait_for(job, patience):
    """Wait until all rows of a job are done, for `patience` pauses at most."""
    if word(job, GANG) == 0:
        while atomic_load(job + 8 * DONE) < word(job, BLOCKS) and patience > 0:
            pause()
            patience -= 1


# What the parts of a gang call within a program


@compiled
def share(count, align, part, parts):
    """The first of `count` things that belong to a part, in groups of `align`; of part + 1: where this part ends."""
    if parts == 1:
        return count * part
    groups = (count + align - 1) // align
    return min(count, groups * part // parts * align)


@compiled
def arrive(gang, part):
    """Wait to be let in: 2 * step + turn where this part joins the others, or -1."""
    own = gang + LINE * (1 + part)
    atomic_store(own, 1)
    waited = 0
    while True:
        if atomic_load(gang) != OPEN:
            return -1
        joined = atomic_load(gang + 8)
        if joined > 0:
            return joined - 1
        waited += 1
        if waited < IDLE_PAUSES:
            pause()
        elif waited < IDLE_PAUSES + ARRIVAL_YIELDS:
            step_aside(word(gang, 2))
        elif exchange_if(own, 1, LEFT):  # another part doesn't come
            return -1


@compiled
def admit(gang, parts, step, turn, patience):
    """Let the other parts in at a step, if all of them have arrived; 1 if they have."""
    for part in range(1, parts):
        while atomic_load(gang + LINE * (1 + part)) != 1:
            if patience <= 0:
                return 0
            pause()
            patience -= 1
    atomic_store(gang + 8, 1 + 2 * step + turn)
    return 1


@compiled
def meet(gang, part, parts, meeting, patience):
    """Wait until all parts came to a meeting; 0 if the gang isn't open, broken by part 0 when it waited too long.

    Part 0 goes on in other memory then, and nobody passes the meeting: it marks one that hasn't come, in one move with
    the look whether it has.
    """
    if part == 0:
        atomic_store(gang + LINE, meeting)
    elif not exchange_if(gang + LINE * (1 + part), meeting - 1, meeting):
        return 0
    for other in range(parts):
        waited = 0
        while atomic_load(gang + LINE * (1 + other)) < meeting:
            if atomic_load(gang) != OPEN:
                return 0
            waited += 1
            if part == 0 and waited > patience:
                place = gang + LINE * (1 + other)
                if exchange_if(place, meeting - 1, LEFT) or atomic_load(place) == LEFT:
                    atomic_store(gang, BROKEN)
                    return 0
            elif part == 0 or waited < IDLE_PAUSES:
                pause()
            else:
                step_aside(word(gang, 2))
    return 1


@compiled
def close(gang):
    """Send the other parts away, at the end of a call."""
    atomic_store(gang, ENDED)
