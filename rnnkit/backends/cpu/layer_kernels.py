"""Kernels of single layers, called on arrays, and noted where a recording is made."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np

from rnnkit.backends.cpu.language.addresses import address
from rnnkit.backends.cpu.language.programs import kernel, load
from rnnkit.backends.cpu.simd.bounds_check import checked
from rnnkit.recording import current


def run_kernel(name: str, dtype: np.dtype, *arguments, writes=()) -> None:
    """Run a kernel, "time_windows.window_sums", on arrays in C order, of which `writes` are overwritten.

    Arguments are numbers, arrays, passed by their addresses, and None, passed as 0.
    """
    numbers = [address(one) if isinstance(one, np.ndarray) else one or 0 for one in arguments]
    run = checked(partial(_code(name, dtype.name, len(arguments)), *numbers), arguments)
    run()
    recording = current()
    if recording is not None:
        written = {id(one) for one in writes}
        arrays = (one for one in arguments if isinstance(one, np.ndarray))
        recording.note(run, [one for one in arrays if id(one) not in written], writes)


@cache
def _code(name: str, dtype: str, arguments: int) -> Callable[..., int]:
    return load(kernel(name, dtype), arguments).function
