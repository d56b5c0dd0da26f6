"""Kernels of single layers, called on arrays, and noted where a recording is made."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from rnnkit.backends.cpu.language.addresses import address
from rnnkit.backends.cpu.language.programs import kernel, load
from rnnkit.backends.cpu.simd.bounds_check import checked
from rnnkit.recording import current, noted, plain


class New(NamedTuple):
    """An array that a kernel makes, of the kernel's dtype unless another is given."""

    shape: tuple
    dtype: Any = None


def run_kernel(name: str, dtype: np.dtype, *arguments) -> Any:
    """Run a kernel, "time_windows.window_sums", on arrays, and return those that it makes: one, or a list.

    Arguments are numbers, arrays, passed by their addresses, `New` ones, and None, passed as 0.
    """
    made: list[np.ndarray] = []
    reads: list[np.ndarray] = []
    numbers: list[int] = []
    for one in arguments:
        if isinstance(one, New):
            made.append(np.empty(one.shape, one.dtype or dtype))
            numbers.append(address(made[-1]))
        elif isinstance(one, np.ndarray):
            reads.append(plain(one.astype(one.dtype, order="C", copy=False)))
            numbers.append(address(reads[-1]))
        else:
            numbers.append(one or 0)
    run = checked(partial(_code(name, dtype, len(arguments)), *numbers), made + reads)
    run()
    if (recording := current()) is not None:
        recording.note(run, reads, made)
    return noted(made if len(made) > 1 else made[0])


@cache
def _code(name: str, dtype: np.dtype, arguments: int) -> Callable[..., int]:
    return load(kernel(name, dtype.name), arguments).function
