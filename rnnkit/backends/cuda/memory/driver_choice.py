"""The choice of a process's driver: a GPU's, or the simulator's."""

from __future__ import annotations

from functools import cache

from rnnkit.backends.cuda.memory.availability import require, simulated


def driver():
    """Return the driver's calls, or the simulator's; a RuntimeError where CUDA can't be used."""
    require()
    return _calls()


@cache
def _calls():
    if simulated():
        from rnnkit.backends.cuda.simulator import driver as simulator

        return simulator
    from rnnkit.backends.cuda.memory import driver as gpu

    return gpu
