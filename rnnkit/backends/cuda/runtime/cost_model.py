"""A GPU's properties, the ways to split a call's work for it, and a step's cost in each.

The cost is a model in cycles, made of the serial work of a block of threads; docs/performance.md holds
it against the sizes that are measured. It has to be right about which launch configuration is better, and no GPU was
at hand to fit it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rnnkit.backends.cuda.memory.availability import simulated

THREADS = 256  # of a block at most: each then has up to 255 registers
# Cycles, and bytes a cycle, from NVIDIA's tuning guides and others' measurements on an H100 and an A100.
_CHAIN = 4  # until the next multiply-add can use a result
_SHARED = 30  # until shared memory answers
_GLOBAL = 300  # until the second-level cache answers
_AHEAD = 4  # reads in flight at a time: loops over a product's rows are unrolled as often
_FUNCTION = 40  # instructions of tanh, sigmoid or a division
_SHARED_BYTES = 128  # from shared memory to a multiprocessor
_GLOBAL_BYTES = 48  # from the second-level cache to a multiprocessor
_GLOBAL_BYTES_ALL = 3500  # … to all of them
_BARRIER = 60  # until a block's threads have met
_GRID_BARRIER = 1800  # until a group's blocks have: about a microsecond
_SCHEDULERS = 4  # of a multiprocessor, each with warps of its own
_WARP = 32
_FEWEST = 8  # units of a part at least: most of its warp then idles, but shared memory may hold no more weights


@dataclass(frozen=True)
class GPU:
    """The properties of a GPU that matter to a kernel."""

    multiprocessors: int
    shared: int  # bytes of shared memory that a block may have
    across: int = THREADS  # threads that a block has along units at most
    threads: int = THREADS  # and in all
    sums: int = 128  # multiply-adds of a multiprocessor in a cycle, float32; half as many in float64
    clock: float = 1.755e9  # cycles a second
    bandwidth: float = 3.35e12  # bytes a second of its memory


H100 = GPU(132, 227 << 10)
A100 = GPU(108, 163 << 10, sums=64, clock=1.41e9, bandwidth=1.555e12)


def current_gpu() -> GPU:
    """Return the GPU in use; the simulator's threads are expensive."""
    if simulated():
        return GPU(2, 48 << 10, 3, 6)
    from numba import cuda

    device = cuda.get_current_device()
    like = A100 if device.compute_capability == (8, 0) else H100
    count, shared = device.MULTIPROCESSOR_COUNT, device.MAX_SHARED_MEMORY_PER_BLOCK_OPTIN
    return replace(like, multiprocessors=count, shared=shared, clock=device.CLOCK_RATE * 1e3)


@dataclass(frozen=True)
class LaunchConfig:
    """The way in which a call's rows and units are shared."""

    rows: int  # rows whose products a thread sums at once
    tile: int  # rows of a block
    parts: int  # blocks that share the units of the same rows
    x: int  # threads of a block along units
    y: int  # and along rows

    def blocks(self, rows: int) -> int:
        """Return the number of blocks of a call with so many rows."""
        return -(-rows // self.tile) * self.parts


@dataclass(frozen=True)
class Step:
    """The work of a step of one row."""

    units: int  # of the largest product in the time loop
    gates: int  # of the same
    work: int  # multiply-adds of all products
    item: int  # bytes of a number
    barriers: int  # how often a step's threads meet
    pointwise: int  # operations for a unit
    functions: int  # the functions among `pointwise`
    moved: int  # bytes that are read and written besides weights and states


def costs(step: Step, gpu: GPU, config: LaunchConfig, rows: int, weights: bool, shared: bool) -> dict[str, float]:
    """Return the cycles of a step of all rows by cause; weights and states may be in shared memory or not."""
    blocks = config.blocks(rows)
    together = min(blocks, gpu.multiprocessors)
    units = -(-step.units // config.parts)  # of a block
    turns = -(-units // config.x)
    all_warps = -(-min(units, config.x) // _WARP) * config.y
    warps = max(1.0, all_warps / _SCHEDULERS)  # of a scheduler that has warps
    own = step.work / step.units * units * step.item  # bytes of the block's weights

    # A thread takes 16 bytes of each gate's column, and of its rows, then their multiply-adds in chains.
    lanes = 16 // step.item
    pieces = turns * step.work / (step.units * step.gates) / lanes
    sums = step.gates * config.rows
    turn = _WARP * _SCHEDULERS / gpu.sums * step.item / 4  # cycles of a scheduler for a warp's multiply-adds
    issued = warps * (lanes * sums * turn + step.gates + config.rows + 4)
    waited = lanes * max(_CHAIN, sums * turn) + (_SHARED if weights else _GLOBAL) / _AHEAD
    read = own * config.y / _SHARED_BYTES + pieces * config.rows * all_warps  # all of a warp read one row's at once
    place = "shared memory"
    from_global = max(own / _GLOBAL_BYTES, own * together / _GLOBAL_BYTES_ALL)
    if not weights and from_global > read:  # the first-level cache is the same memory
        read, place = from_global, "second-level cache"
    product = {"multiply-adds": pieces * issued, "chains": pieces * waited, place: read}
    product["GPU's memory"] = step.moved * rows / (gpu.bandwidth / gpu.clock)
    longest = max(product, key=lambda what: product[what])

    instructions = step.pointwise + _FUNCTION * step.functions
    barrier = (_GRID_BARRIER if config.parts > 1 else 0) + _BARRIER
    found = {
        longest: product[longest],
        "functions": turns * config.rows * instructions * max(2.0, warps),  # half of them wait for the previous one
        # The loop's reads are in flight while a product is summed; states in global memory are read before.
        "first reads": max(0.0, _GLOBAL - product[longest]) + (0 if shared else _GLOBAL),
        "barriers": step.barriers * barrier,
    }
    waves = -(-blocks // gpu.multiprocessors)
    return {what: waves * cycles for what, cycles in found.items()}


def configs(gpu: GPU, rows: int, units: int):
    """Yield the ways to share a call that are worth weighing."""
    x = 1
    while x < min(units, gpu.across):
        x = min(2 * x, gpu.across)
    for sums in (1, 2, 4):
        for y in (1, 2, 4, 8):
            tile = sums * y
            if (sums > 1 or y > 1) and tile >= 2 * rows:
                continue
            groups, parts = -(-rows // tile), 1
            while parts == 1 or (groups * parts <= gpu.multiprocessors and _FEWEST * (parts - 1) < units):
                across = x
                while parts > 1 and across > _WARP and across // 2 >= units / parts:
                    across //= 2
                if across * y <= gpu.threads:
                    yield LaunchConfig(sums, tile, parts, across, y)
                parts *= 2
