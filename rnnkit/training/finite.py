"""Search for the first number that isn't finite."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np


def first_offender(arrays: Iterable[tuple[str, np.ndarray | None]]) -> str | None:
    """Describe the first array that holds NaN or infinity; None if all are finite.

    >>> first_offender([("x", np.zeros(2)), ("y", np.array([1.0, np.nan]))])
    'y has 1 value of 2 that is not finite, the first of them nan at [1]'
    """
    for name, array in arrays:
        if array is None or array.dtype.kind != "f":
            continue
        wrong = ~np.isfinite(array)
        if count := int(wrong.sum()):
            place = np.unravel_index(int(wrong.argmax()), array.shape)
            values, verb = ("value", "is") if count == 1 else ("values", "are")
            return (
                f"{name} has {count} {values} of {array.size} that {verb} not finite, the first of them "
                f"{array[place]} at [{', '.join(map(str, place))}]"
            )
    return None
