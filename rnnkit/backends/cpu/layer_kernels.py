"""Kernels of single layers, called on arrays, and noted where a recording is made."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np

from rnnkit.backends.cpu.language.addresses import address
from rnnkit.backends.cpu.language.programs import load
from rnnkit.backends.cpu.simd.bounds_check import checked
from rnnkit.recording import current

_TEXT = '''"""The kernel {name} of layers, in {dtype}."""

from rnnkit.backends.cpu.kernels.{module} import define_{name}

run = define_{name}("{dtype}")
'''


def run_kernel(kernel: str, dtype: np.dtype, *arguments, writes=()) -> None:
    """Run a kernel, "time_windows.window_sums", on arrays in C order, of which `writes` are overwritten.

    Arguments are numbers, arrays, passed by their addresses, and None, passed as 0.
    """
    numbers = [address(one) if isinstance(one, np.ndarray) else one or 0 for one in arguments]
    run = checked(partial(_code(kernel, dtype.name, len(arguments)), *numbers), arguments)
    run()
    recording = current()
    if recording is not None:
        written = {id(one) for one in writes}
        arrays = (one for one in arguments if isinstance(one, np.ndarray))
        recording.note(run, [one for one in arrays if id(one) not in written], writes)


@cache
def _code(kernel: str, dtype: str, arguments: int) -> Callable[..., int]:
    module, _, name = kernel.partition(".")
    return load(_TEXT.format(module=module, name=name, dtype=dtype), arguments).function
