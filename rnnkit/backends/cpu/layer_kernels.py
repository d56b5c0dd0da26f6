"""Kernels of single layers, called on arrays, and noted where a recording is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
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


class Into(NamedTuple):
    """Memory that a kernel writes."""

    array: np.ndarray


def run_kernel(name: str, dtype: np.dtype, *arguments, reads: Sequence[np.ndarray] = ()) -> Any:
    """Run a kernel, "time_windows.window_sums", on arrays, and return those that it makes: one, or a list.

    Arguments are numbers, arrays, passed by their addresses, `New` ones, `Into` memory, and None, passed as 0. It may
    also have `reads`, arrays whose addresses it finds elsewhere.
    """
    arrays: list[tuple[np.ndarray, Any]]
    arrays = [(np.empty(one.shape, one.dtype or dtype), one) for one in arguments if isinstance(one, New)]
    arrays += [(one.array, one) for one in arguments if isinstance(one, Into)]
    made = {id(one): array for array, one in arrays}
    given = {id(one): plain(one.astype(one.dtype, order="C", copy=False)) for one in arguments if _is_array(one)}
    found = made | given
    numbers = [address(found[id(one)]) if id(one) in found else one or 0 for one in arguments]
    run = checked(partial(_code(name, dtype.name, len(arguments)), *numbers), list(found.values()), reads)
    run()
    results = list(made.values())
    if (recording := current()) is not None:
        recording.note(run, [*given.values(), *reads], results)
    return noted(results if len(results) > 1 else results[0])


def _is_array(value) -> bool:
    return isinstance(value, np.ndarray)


@cache
def _code(name: str, dtype: str, arguments: int) -> Callable[..., int]:
    return load(kernel(name, dtype), arguments).function
