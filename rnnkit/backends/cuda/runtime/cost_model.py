"""What a card has, how a call's work can be cut for it, and what a step then takes.

The last is a model in cycles, made of what a block of threads does one after the other; docs/performance.md holds it
against the sizes that are measured. It has to be right about which cut is better, and no card was at hand to fit it.
"""

from __future__ import annotations

from dataclasses import dataclass

from rnnkit.backends.cuda.memory.availability import simulated

THREADS = 256  # of a block at most: each then has up to 255 registers
# Cycles and bytes a cycle: what NVIDIA's tuning guides say, and what others measured on an H100 and an A100.
_CHAIN = 4  # until a multiply-add's result is there for the next one
_NEAR = 30  # until shared memory answers
_FAR = 300  # until the second-level cache answers
_AHEAD = 4  # reads that are on their way at a time: loops over a product's rows are unrolled as often
_FUNCTION = 40  # instructions of tanh, sigmoid or a division
_NEAR_BYTES = 128  # from shared memory to a multiprocessor
_FAR_BYTES = 48  # from the second-level cache to a multiprocessor
_FAR_BYTES_ALL = 3500  # … to all of them
_MEETING = 60  # until a block's threads have met
_GRID_MEETING = 1800  # until a group's blocks have: about a microsecond
_SCHEDULERS = 4  # of a multiprocessor, each with warps of its own
_WARP = 32
_FEWEST = 8  # units of a part: most of its warp has no work then, but its weights may be all that near memory holds


@dataclass(frozen=True)
class Card:
    """What of a card matters to a kernel.

    Attributes
    ----------
    multiprocessors : int
    near : int
        Bytes of shared memory that a block may have.
    across, threads : int
        Threads that a block has along units at most, and in all.
    sums : int
        Multiply-adds of a multiprocessor in a cycle, float32; half as many in float64.
    clock : float
        Cycles a second.
    bandwidth : float
        Bytes a second of its memory.
    """

    multiprocessors: int
    near: int
    across: int = THREADS
    threads: int = THREADS
    sums: int = 128
    clock: float = 1.755e9
    bandwidth: float = 3.35e12


H100 = Card(132, 227 << 10)
A100 = Card(108, 163 << 10, sums=64, clock=1.41e9, bandwidth=1.555e12)


def current_card() -> Card:
    """The card that is in use; the simulator's threads are dear."""
    if simulated():
        return Card(2, 48 << 10, 3, 6)
    from numba import cuda

    device = cuda.get_current_device()
    like = A100 if device.compute_capability == (8, 0) else H100
    return Card(
        device.MULTIPROCESSOR_COUNT,
        device.MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
        sums=like.sums,
        clock=device.CLOCK_RATE * 1e3,
        bandwidth=like.bandwidth,
    )


@dataclass(frozen=True)
class Cut:
    """How a call's rows and units are shared.

    Attributes
    ----------
    rows : int
        Whose products a thread sums at once.
    tile : int
        Rows of a block.
    parts : int
        Blocks that share the units of the same rows.
    x, y : int
        Threads of a block, along units and along rows.
    """

    rows: int
    tile: int
    parts: int
    x: int
    y: int

    def blocks(self, rows: int) -> int:
        """Of a call with so many rows."""
        return -(-rows // self.tile) * self.parts


@dataclass(frozen=True)
class Step:
    """What a step of one row takes.

    Attributes
    ----------
    units, gates : int
        Of the largest product in the time loop.
    work : int
        Multiply-adds of all products.
    item : int
        Bytes of a number.
    meetings : int
        How often a step's threads meet.
    pointwise, functions : int
        Operations for a unit, and those of them that are functions.
    moved : int
        Bytes that are read and written besides weights and states.
    """

    units: int
    gates: int
    work: int
    item: int
    meetings: int
    pointwise: int
    functions: int
    moved: int


def costs(step: Step, card: Card, cut: Cut, rows: int, weights: bool, near: bool) -> dict[str, float]:
    """Cycles of a step of all rows by what they go to; weights and states may stand in near memory or not."""
    blocks = cut.blocks(rows)
    together = min(blocks, card.multiprocessors)
    units = -(-step.units // cut.parts)  # of a block
    turns = -(-units // cut.x)
    all_warps = -(-min(units, cut.x) // _WARP) * cut.y
    warps = max(1.0, all_warps / _SCHEDULERS)  # of a scheduler that has any
    own = step.work / step.units * units * step.item  # bytes of the block's weights

    # A thread takes 16 bytes of each gate's column, and of its rows, then their multiply-adds in chains.
    lanes = 16 // step.item
    pieces = turns * step.work / (step.units * step.gates) / lanes
    sums = step.gates * cut.rows
    turn = _WARP * _SCHEDULERS / card.sums * step.item / 4  # cycles of a scheduler for a warp's multiply-adds
    issued = warps * (lanes * sums * turn + step.gates + cut.rows + 4)
    waited = lanes * max(_CHAIN, sums * turn) + (_NEAR if weights else _FAR) / _AHEAD
    read = own * cut.y / _NEAR_BYTES + pieces * cut.rows * all_warps  # all of a warp read one row's at once
    place = "shared memory"
    far = max(own / _FAR_BYTES, own * together / _FAR_BYTES_ALL)
    if not weights and far > read:  # the first-level cache is the same memory
        read, place = far, "second-level cache"
    product = {"multiply-adds": pieces * issued, "chains": pieces * waited, place: read}
    product["card's memory"] = step.moved * rows / (card.bandwidth / card.clock)
    longest = max(product, key=lambda what: product[what])

    instructions = step.pointwise + _FUNCTION * step.functions
    meeting = (_GRID_MEETING if cut.parts > 1 else 0) + _MEETING
    found = {
        longest: product[longest],
        "functions": turns * cut.rows * instructions * max(2.0, warps),  # half of them wait for the one before
        # What the loop reads is on its way while a product is summed; states that don't stand near come before.
        "first reads": max(0.0, _FAR - product[longest]) + (0 if near else _FAR),
        "meetings": step.meetings * meeting,
    }
    waves = -(-blocks // card.multiprocessors)
    return {what: waves * cycles for what, cycles in found.items()}


def cuts(card: Card, rows: int, units: int):
    """The ways to share a call that are worth a look."""
    x = 1
    while x < min(units, card.across):
        x = min(2 * x, card.across)
    for sums in (1, 2, 4):
        for y in (1, 2, 4, 8):
            tile = sums * y
            if (sums > 1 or y > 1) and tile >= 2 * rows:
                continue
            groups, parts = -(-rows // tile), 1
            while parts == 1 or (groups * parts <= card.multiprocessors and _FEWEST * (parts - 1) < units):
                across = x
                while parts > 1 and across > _WARP and across // 2 >= units / parts:
                    across //= 2
                if across * y <= card.threads:
                    yield Cut(sums, tile, parts, across, y)
                parts *= 2
