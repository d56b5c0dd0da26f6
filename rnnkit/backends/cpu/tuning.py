"""Numbers of the CPU's programs that were chosen for speed: results are right with any of them.

Python code reads them when it runs, as ``tuning.SMALL``. Kernels have theirs compiled in (tiles, pieces,
`CHUNK`, how long idle threads stay): the store compiles all programs anew when this file has changed.
"""

from __future__ import annotations

# Products (kernels/matmul)

# 24 of 32 registers, or 12 of 16, hold sums; the rest are for a row of the panel and an element of A.
TILE_ROWS = 6
PANEL_VECTORS = {32: 4, 16: 2}  # by the number of registers
# One row alone takes neighbouring panels: with this many vectors in flight the multiply-adds' latency is hidden.
SINGLE_ROW_VECTORS = 8
PIECE_RESULT = 1 << 14  # bytes of a first-level cache that a piece of a product may write
PIECE_WEIGHTS = 1 << 14  # bytes of a first-level cache that a piece of a product may read

# Sparse products (kernels/sparse_matmul)

# Rows of the operand for each read of the weight: with more, sums and windows don't fit in registers.
SPARSE_ROWS = 2

# Sums of outer products (kernels/outer_sum, weight_sums)

CHUNK = 128  # rows of a panel of B and of a tile's part of A, which stay together in a first-level cache
FEW_ROWS = 2  # tiles of so few rows take two panels: else the multiply-adds' latency isn't hidden
SUM_BLOCKS = 2  # of a sum for each thread: others take those that a late thread leaves

# Blocks of rows and steps (program)

BLOCK_BYTES = 1 << 18  # of the cache, for a block of steps
ALONE = 4  # times as many for one row: its steps take so little that a block's own time counts
LARGEST_BLOCK = 64  # rows: arrays that a block keeps between two passes should stay in the cache
POOLED = 1 << 20  # bytes of a state from which new pages would take longer than to compute it
WORTH_ARRANGING = 0.9  # of the rows that a mask leaves to compute: another order of rows has to leave fewer

# Sharing of calls by threads (program, weight_sums)

SMALL = 1 << 21  # multiply-adds and elements of a call below which another thread costs more than it saves
SMALL_UNITS = 2  # times as much, below which threads that would share units do: they meet at every step
SMALL_SUM = SMALL  # the same of a sum of outer products
ELEMENT = 16  # multiply-adds that an element of a new state, or of scratch memory, counts for
WIDE = 1 << 14  # multiply-adds of a step's products for each row from which its units are worth splitting
# Multiply-adds of a step's products, each a weight, that leave a second-level cache no room for more, for each of its
# bytes: in float32 they fill half of it.
HEAVY = 1 / 8
PASS = 1 << 27  # multiply-adds of products, some 2 ms, after which threads that share units meet anew

# Patience of a call's parts for each other, in pauses (program)

FIRST_PATIENCE = 100  # that a call waits for threads that are awake to join it
PATIENCE = 8000  # some 200 µs, that a step's parts wait for each other besides what the step itself may take
WORK_OF_PAUSE = 1500  # multiply-adds of a call for each of these pauses at most: short calls wait shorter
STEP_WORK_OF_PAUSE = 64  # multiply-adds of a step for each pause that it may take itself

# Gradients (gradient)

CHUNK_BYTES = 1 << 22  # of what the adjoint keeps for the sums of a chunk; 1 to 16 MB take 10 % longer at most
SEGMENT_BYTES = 1 << 23  # of what is kept of some steps, where large states are computed again
LEAST_ENTRIES = 256  # rows and steps of a chunk at least: sums in registers are worth their start
ZEROS_BYTES = 1 << 16  # of outputs' cotangents, all 0 but the last step's, that cost less than a run for that step

# Idle and late threads in compiled code (threads/barrier)

IDLE_PAUSES = 2_000  # how long an idle thread stays: some 100 µs
IDLE_YIELDS = 1_000  # then some 300 µs in which others may run
ARRIVAL_YIELDS = 20_000  # how long a part waits for the others to arrive

# Threads that were stopped (threads/team)

# No call is shared after one in which a thread was stopped, for so many times the seconds that the stop cost.
REST, REST_GROWTH, LONGEST_REST = 5.0, 2.0, 20.0
LONGEST_WAIT = 2e-4  # seconds that a thread that was stopped costs where units are shared: PATIENCE pauses
LONG = 2e-3  # seconds of own work after which waiting for a thread that was stopped is a small part of the whole
OVERTIME = 1.5  # times its own work after which the caller's thread takes another one for late
GRACE = 1e-4  # seconds that a short call waits for a thread that is late
NAP = 5e-5  # seconds between two looks at a thread that was stopped
LOOK_PAUSES = 300  # that compiled code waits before Python looks at the clock
LOOKS = 50  # some µs: a thread that did its part leaves it a moment after the caller

# Threads that share units, or one alone (threads/trials)

FIRST_TRIAL, LAST_TRIAL = 20, 320  # calls until both ways are tried: twice as many each time that none is changed
GAIN = 1.05  # how much slower the chosen way may be than the other one

# Memory that is kept (threads/team, threads/buffer_pool)

SCRATCH_KEPT = 1 << 22  # bytes of scratch memory that a thread keeps
POOL_KEPT = 1 << 28  # bytes of free buffers that the pool keeps, at most
