"""Equal steps of time: where the rows of a table lie on them, and how they go on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

MOST = 1.5  # steps per row: times with more holes than that are rather taken as they stand
MONTH, DAY = np.timedelta64(1, "M"), np.timedelta64(1, "D")


@dataclass(frozen=True)
class Timeline:
    """The time of each step, and of those to come.

    Attributes
    ----------
    name : str
        What the times are called.
    times : ndarray (T,)
        Integers, floats or datetime64, going up.
    months : int
        From one step to the next, where times go by months; otherwise 0.

    Examples
    --------
    >>> Timeline("year", np.array([2006, 2007, 2008])).ahead(2).tolist()
    [2009, 2010]
    >>> ends = np.array(["2001-11-30", "2001-12-31"], dtype="datetime64[D]")
    >>> [str(day) for day in Timeline("month", ends, months=1).ahead(2)]
    ['2002-01-31', '2002-02-28']
    """

    name: str
    times: np.ndarray
    months: int = 0

    def ahead(self, count: int) -> np.ndarray:
        """The times ``(count,)`` of the steps after the last one."""
        numbers = np.arange(1, count + 1)
        last = self.times[-1]
        if self.months:
            return _on_day(last.astype("datetime64[M]") + self.months * numbers * MONTH, _days(self.times).max())
        steps = np.diff(self.times)
        if not len(steps):
            steps = np.array([1]).astype(steps.dtype)
        return last + numbers * np.sort(steps)[len(steps) // 2]


def regular(name: str, times) -> tuple[np.ndarray, Timeline]:
    """The steps that times lie on, with the steps that are missing between them.

    Parameters
    ----------
    name : str
    times : ndarray (rows,)
        Going up.

    Returns
    -------
    steps : ndarray (rows,) of int
        The step of each row.
    timeline : Timeline
        Of all steps. Times that are not whole multiples of the smallest step, or that leave out more than a third of
        the steps, are one step each.

    Examples
    --------
    >>> steps, timeline = regular("year", np.array([1990, 1992, 1993, 1994]))
    >>> steps.tolist(), timeline.times.tolist()
    ([0, 2, 3, 4], [1990, 1991, 1992, 1993, 1994])
    """
    as_they_stand = np.arange(len(times)), Timeline(name, times)
    if len(times) < 3:
        return as_they_stand
    if times.dtype == "datetime64[D]" and _same_day(times):
        months = times.astype("datetime64[M]").astype(np.int64)
        unit = int(np.diff(months).min())
        if unit:
            steps = (months - months[0]) // unit
            if ((months - months[0]) % unit == 0).all() and steps[-1] < MOST * len(times):
                all_months = times[0].astype("datetime64[M]") + unit * np.arange(steps[-1] + 1) * MONTH
                return steps, Timeline(name, _on_day(all_months, _days(times).max()), unit)
    unit = np.diff(times).min()
    steps = np.round((times - times[0]) / unit).astype(np.int64)
    exact = (
        np.allclose(times, times[0] + steps * unit, rtol=0, atol=1e-3 * unit)
        if times.dtype.kind == "f"
        else (times == times[0] + steps * unit).all()
    )
    if not exact or steps[-1] >= MOST * len(times):
        return as_they_stand
    whole = times[0] + np.arange(steps[-1] + 1) * unit
    whole[steps] = times
    return steps, Timeline(name, whole)


def _days(times) -> np.ndarray:
    """The day of the month, from 1."""
    return (times - times.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) + 1


def _month_ends(months) -> np.ndarray:
    return (months + MONTH).astype("datetime64[D]") - DAY


def _same_day(times) -> bool:
    """Whether all dates lie on the same day of the month, or at its end where the month has no such day."""
    return bool((times == _on_day(times.astype("datetime64[M]"), _days(times).max())).all())


def _on_day(months, day) -> np.ndarray:
    return np.minimum(months.astype("datetime64[D]") + (day - 1) * DAY, _month_ends(months))
