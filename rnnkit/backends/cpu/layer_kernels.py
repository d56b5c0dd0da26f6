"""Kernels of single layers, called on arrays, and noted where a recording is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import numpy as np

from rnnkit.backends.cpu.language.addresses import address
from rnnkit.backends.cpu.language.programs import kernel, load
from rnnkit.backends.cpu.simd.bounds_check import checked
from rnnkit.backends.shared.call import recording_of


class New(NamedTuple):
    """An array that a kernel makes, of the kernel's dtype unless another is given."""

    shape: tuple
    dtype: Any = None


class Into(NamedTuple):
    """Memory that a kernel writes."""

    array: np.ndarray


def run_kernel(name: str, dtype: np.dtype, *arguments, reads: Sequence[np.ndarray] = ()) -> Any:
    """Run a kernel, "time_windows.window_sums", on arrays, and return those that it makes: one, or a list.

    Arguments are numbers, arrays, passed by their addresses, `New` ones, `Into` memory, and None, passed as 0. It may
    also have `reads`, arrays whose addresses it finds elsewhere.
    """
    made: list[np.ndarray] = []
    given: list[np.ndarray] = []
    numbers: list[int] = []
    for one in arguments:
        if isinstance(one, (New, Into)):
            made.append(one.array if isinstance(one, Into) else np.empty(one.shape, one.dtype or dtype))
            numbers.append(address(made[-1]))
        elif isinstance(one, np.ndarray):
            given.append(one.astype(one.dtype, order="C", copy=False))
            numbers.append(address(given[-1]))
        else:
            numbers.append(one or 0)
    run = checked(partial(_code(name, dtype, len(arguments)), *numbers), made + given, reads)
    run()
    found = made if len(made) > 1 else made[0]
    recording = next(filter(None, map(recording_of, (*given, *reads))), None)
    if recording is None:
        return found
    recording.note(run, [*given, *reads], made)
    return recording.noted(found)


@cache
def _code(name: str, dtype: np.dtype, arguments: int) -> Callable[..., int]:
    return load(kernel(name, dtype.name), arguments).function
