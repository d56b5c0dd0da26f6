"""Which driver a process has: a GPU's, or what stands in for it under the simulator."""

from __future__ import annotations

from functools import cache

from rnnkit.backends.cuda.memory.availability import require, simulated


def driver():
    """The driver's calls, or what stands in for them under the simulator; refused where CUDA can't be used."""
    require()
    return _calls()


@cache
def _calls():
    if simulated():
        from rnnkit.backends.cuda.simulator import driver as simulator

        return simulator
    from rnnkit.backends.cuda.memory import driver as gpu

    return gpu
