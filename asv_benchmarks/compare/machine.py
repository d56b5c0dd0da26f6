"""How fast the machine can multiply and add, in a loop that never leaves the registers, and copy what no cache
holds.
"""

import functools
import threading
import time
from collections.abc import Callable

import numpy as np
from benchmarks import sizes

from rnnkit.backends.cpu.language import programs
from rnnkit.backends.cpu.simd.registers import LANES

CHAINS = 12  # a multiply-add takes some four cycles and two start in each: eight in flight, and some to spare
LOOPS = 12_000_000  # some 20 ms
COPIED = 1 << 28  # bytes, more than any cache has


@functools.cache
def _chains() -> Callable:
    """``run(loops, start)``: `loops` steps of x = x * 0.5 + start, a number at an address, in `CHAINS` registers."""
    chains = [f"x_{k}" for k in range(CHAINS)]
    lines = ["a, half = splat_float32(start), fill_float32(0.5)"]
    # Starts that differ, or one chain would stand for all.
    lines += [f"{x} = a * fill_float32({k}.0)" for k, x in enumerate(chains, 1)]
    lines += ["for k in range(loops):", *(f"    {x} = fma({x}, half, a)" for x in chains)]
    lines += [f"store_scalar_float32(start + 4, reduce_add({' + '.join(chains)}))"]
    text = [
        "from rnnkit.backends.cpu.language.function import compiled",
        "from rnnkit.backends.cpu.simd.vector import *",
    ]
    text += ["", "@compiled", "def run(loops, start):", *(f"    {line}" for line in lines), ""]
    return programs.load("\n".join(text), 2).function


def _run(loops):
    numbers = np.ones(2, np.float32)
    _chains()(loops, numbers.ctypes.data)


def flops(threads: int = 1, loops: int = LOOPS) -> float:
    """Floating point operations per second of `threads` threads at once, float32; a multiply-add counts as two."""
    passed = _at_once([lambda: _run(loops)] * threads)
    return 2 * LANES["float32"] * CHAINS * loops * threads / passed


def bandwidth(threads: int = 1, copied: int = COPIED) -> float:
    """Bytes per second, read and written, of `threads` threads that copy at once."""
    pairs = [[np.ones(copied // threads, np.uint8) for _ in range(2)] for _ in range(threads)]
    passed = _at_once([functools.partial(np.copyto, *pair) for pair in pairs])
    return 2 * (copied // threads) * threads / passed


def _at_once(works: list[Callable]) -> float:
    """Seconds that these take, each on a thread of its own."""
    gate = threading.Barrier(len(works) + 1)

    def begin(work):
        gate.wait()
        work()

    workers = [threading.Thread(target=begin, args=(work,)) for work in works]
    for worker in workers:
        worker.start()
    gate.wait()
    start = time.perf_counter()
    for worker in workers:
        worker.join()
    return time.perf_counter() - start


def operations(size: sizes.Size) -> int:
    """Floating point operations of the products of an LSTM of this size, and of nothing else."""
    batch, time, features, units = size
    return 2 * batch * time * (features + units) * 4 * units
