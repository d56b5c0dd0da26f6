"""Parsing of frequencies: the names of pandas and of polars."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import numpy as np

from rnnkit.arguments import is_integer
from rnnkit.forecast.data.timeline import MONTHS, WEEKDAYS, Frequency

# pandas's names, those before its version 2.2 too, and polars's in small letters
_TIMES = {
    "D": "D", "d": "D", "h": "h", "H": "h", "min": "m", "T": "m", "m": "m", "s": "s", "S": "s",
    "ms": "ms", "L": "ms", "us": "us", "U": "us", "ns": "ns", "N": "ns",
}  # fmt: skip
_MONTHS = {
    "MS": (1, 1), "ME": (1, 31), "M": (1, 31), "mo": (1, 0), "QS": (3, 1), "QE": (3, 31), "Q": (3, 31), "q": (3, 0),
    "YS": (12, 1), "AS": (12, 1), "YE": (12, 31), "Y": (12, 31), "A": (12, 31), "y": (12, 0),
}  # months, day  # fmt: skip
_HOUR, _DAY, _WEEK = np.timedelta64(1, "h"), np.timedelta64(1, "D"), np.timedelta64(7, "D")
_EXAMPLES = "an integer for times that are numbers, or 'D', 'W', 'MS', 'ME', 'QS', 'YE', 'B', 'h', '15min', '1mo'"


def frequency(freq, dated: bool) -> Frequency:
    """Parse the frequency of times that are dates (`dated`) or numbers.

    An int, a timedelta, an offset of pandas, a `Frequency`, or a name of pandas or polars with an optional number in
    front: "M" is the end of a month, "mo" the day of the series' first time; weeks to years may have an anchor.
    """
    if isinstance(freq, Frequency):
        numbered = freq.unit == "time" and not isinstance(freq.count, np.timedelta64)
        if numbered == dated:
            raise ValueError(f"expected {'numbers' if numbered else 'dates'} as times, in steps of {freq}")
        return freq
    if is_integer(freq) and freq > 0:
        if dated:
            raise ValueError(f"expected freq such as 'D' or 'MS', as the times are dates; got {freq!r}")
        return Frequency("time", int(freq))
    found = _of_dates(getattr(freq, "freqstr", freq))
    if found is None:
        raise ValueError(f"expected freq as {_EXAMPLES}; got {freq!r}")
    if not dated:
        raise ValueError(f"expected freq as an integer, as the times are numbers; got {freq!r}")
    return found


def _of_dates(freq) -> Frequency | None:
    if isinstance(freq, (timedelta, np.timedelta64)) and freq > np.timedelta64(0, "s"):
        return Frequency("time", np.timedelta64(freq))
    said = re.fullmatch(r"(\d*)([A-Za-z]+)(?:-([A-Z]{3}))?", freq) if isinstance(freq, str) else None
    if said is None or (said[1] and not int(said[1])):
        return None
    count, name, anchor = int(said[1] or 1), said[2], said[3]
    if name in _MONTHS and (anchor is None or _MONTHS[name][0] > 1):
        months, day = _MONTHS[name]
        if anchor is None:
            return Frequency("month", count * months, day)
        return (
            Frequency("month", months, day, MONTHS.index(anchor) % months) if anchor in MONTHS and count == 1 else None
        )
    if name in ("W", "w") and anchor in (None, *WEEKDAYS):
        return Frequency("time", np.timedelta64(7 * count, "D"), anchor=WEEKDAYS.index(anchor) if anchor else None)
    if anchor is not None:
        return None
    if name == "B":
        return Frequency("business day", count)
    return Frequency("time", np.timedelta64(count, _TIMES[name])) if name in _TIMES else None  # type: ignore[call-overload]


def seasons(frequency: Frequency) -> tuple[int, ...]:
    """Return the steps of the usual seasons of a frequency, in rising order, two at most; none if none is usual.

    A year of months or of weeks; a week and a year of days; of shorter steps the first two of an hour, if they are less
    than five minutes, a day, a week and a year.
    """
    step: Any = frequency.count
    found: list[int] = []
    if frequency.unit == "month":
        found = [] if 12 % step else [12 // int(step)]
    elif frequency.unit == "business day":
        found = [5, 261] if step == 1 else []
    elif isinstance(step, np.timedelta64):
        first = _WEEK if step >= _DAY else _DAY if step >= np.timedelta64(5, "m") else _HOUR
        cycles = [cycle for cycle in (_HOUR, _DAY, _WEEK, 365 * _DAY) if cycle >= first]
        found = [int(cycle // step) for cycle in cycles if not (cycle % step).astype(np.int64)][:2]
        if step == _WEEK:
            found = [52]
        elif (first % step).astype(np.int64):
            found = []
    return tuple(found) if found and found[0] > 1 else ()
