"""Equal steps of time: the steps of a table's rows, and future times."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

MOST = 1.5  # steps per row, above which times are not put on equal steps
MONTH, DAY = np.timedelta64(1, "M"), np.timedelta64(1, "D")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
WEEKDAYS = ("MON", "TUE", "WED", "THU", "FRI", "SAT", "SUN")
_UNITS = {
    "week": 7 * DAY,
    "day": DAY,
    "hour": np.timedelta64(1, "h"),
    "minute": np.timedelta64(1, "m"),
    "second": np.timedelta64(1, "s"),
}


class UnequalSteps(ValueError):
    """An error for times without one frequency, with the series and the row, counted over all series."""

    def __init__(self, series: int, row: int, text: str):
        super().__init__(text)
        self.series, self.row = int(series), int(row)


@dataclass(frozen=True)
class Frequency:
    """The length of a step."""

    unit: str  # "month", "business day" (Mondays to Fridays), or "time" for the unit of the times
    count: int | float | np.timedelta64  # units of a step
    day: int = 0  # of the month, 31 for its end; 0 for each series' own day
    anchor: int | None = None  # weekday from 0 for Monday, or month modulo the count

    def __str__(self) -> str:
        if self.unit != "time":
            return counted(self.count, self.unit)
        if not isinstance(self.count, np.timedelta64):
            return f"{self.count:.10g}"
        for name, unit in _UNITS.items():
            if self.count % unit == np.timedelta64(0, "s"):
                return counted(self.count // unit, name)
        return str(self.count)

    def at(self, first, days, steps) -> np.ndarray:
        """Return the times that lie `steps` after `first`, on the days of the month `days`; all broadcast."""
        if self.unit == "time":
            return first + steps * self.count
        date = first.astype("datetime64[D]")
        if self.unit == "month":
            day = _on_day(first.astype("datetime64[M]") + self.count * steps * MONTH, self.day or days)
        else:
            day = np.busday_offset(date, self.count * steps)
        return (day + (first - date)).astype(first.dtype)

    def steps(self, first, days, times) -> tuple[np.ndarray, np.ndarray]:
        """Return the steps from `first` to `times`, and a mask of the times that lie on a step ``(rows,)``."""
        if self.unit == "time":
            return _whole(times - first, self.count)
        if self.unit == "month":
            months = times.astype("datetime64[M]")
            apart = (months - first.astype("datetime64[M]")).astype(np.int64)
            exact = times == _on_day(months, self.day or days) + (first - first.astype("datetime64[D]"))
        else:
            date, begin = times.astype("datetime64[D]"), first.astype("datetime64[D]")
            apart = np.busday_count(begin, date)
            exact = (_weekdays(date) < 5) & (times - date == first - begin)
        steps, whole = _whole(apart, self.count)
        return steps, exact & whole

    def fits(self, first) -> np.ndarray:
        """Return a mask of the times that lie on the anchor; all do without one."""
        if self.anchor is None:
            return np.ones(len(first), bool)
        if self.unit == "month":
            return first.astype("datetime64[M]").astype(np.int64) % int(self.count) == self.anchor
        return _weekdays(first.astype("datetime64[D]")) == self.anchor


@dataclass(frozen=True)
class Timeline:
    """The times of a series' steps, past and future."""

    name: str
    times: np.ndarray  # (T,), increasing integers, floats or datetime64
    frequency: Frequency | None = None  # of future steps; by default the median step

    def ahead(self, count: int) -> np.ndarray:
        """The times ``(count,)`` of the steps after the last one."""
        numbers, last = np.arange(1, count + 1), self.times[-1]
        if self.frequency is not None:
            return self.frequency.at(np.array([last]), np.int64(31), numbers)
        steps = np.diff(self.times)
        if not len(steps):
            steps = np.array([1]).astype(steps.dtype)
        return last + numbers * np.sort(steps)[len(steps) // 2]


@dataclass(frozen=True)
class Timelines:
    """The times of many series that have one frequency."""

    name: str
    first: np.ndarray  # (B,), the time of each series' first step
    days: np.ndarray  # (B,), the day of the month that each lies on, where steps are months
    lengths: np.ndarray  # (B,), steps of each series
    frequency: Frequency

    def __len__(self) -> int:
        return len(self.first)

    def __getitem__(self, series: Any) -> Any:
        """Return the `Timeline` of a series, or the timelines of several."""
        if isinstance(series, slice):
            return replace(self, first=self.first[series], days=self.days[series], lengths=self.lengths[series])
        frequency = self.frequency
        if frequency.unit == "month":
            frequency = replace(frequency, day=frequency.day or int(self.days[series]))
        return Timeline(self.name, self.at(series, np.arange(self.lengths[series])), frequency)

    def at(self, series, steps) -> np.ndarray:
        """Return the times of steps, counted from 0 at each series' start; later steps lie in the future."""
        return self.frequency.at(self.first[series], self.days[series], np.asarray(steps))

    def ahead(self, count: int) -> np.ndarray:
        """The times ``(B, count)`` of the steps after each series' last one."""
        return self.at(np.arange(len(self))[:, None], self.lengths[:, None] + np.arange(count))

    def steps(self, series, times) -> np.ndarray:
        """Return the step of each time ``(rows,)``; -1 before the first step or between two."""
        steps, exact = self.frequency.steps(self.first[series], self.days[series], times)
        return np.where(exact & (steps >= 0), steps, -1)


def regular(name: str, times) -> tuple[np.ndarray, Timeline]:
    """Return the step of each row, with missing steps counted, and the timeline of all steps; times must increase.

    Times that are no equal steps, or that leave out more than a third of the steps, are one step each.
    """
    as_they_stand = np.arange(len(times)), Timeline(name, times)
    if len(times) < 3:
        return as_they_stand
    try:
        steps, lines = on_steps(name, times, np.array([len(times)]))
    except UnequalSteps:
        return as_they_stand
    timeline = lines[0]
    timeline.times[steps] = times  # keep floats exactly
    return steps, timeline


def on_steps(name: str, times, rows, frequency: Frequency | None = None) -> tuple[np.ndarray, Timelines]:
    """Return the steps of the times of several series, from 0 in each series, and their timelines.

    Times are those of one series after another, increasing within each, `rows` ``(B,)`` the series' lengths. An
    UnequalSteps names a series whose times do not lie on the frequency, or leave out over a third of an inferred one.
    """
    starts = np.cumsum(rows) - rows
    chosen = infer(times, rows) if frequency is None else frequency
    first, days = times[starts], np.zeros(len(rows), np.int64)
    if chosen.unit == "month" and not chosen.day:
        days = np.maximum.reduceat(_days(times), starts)
    steps, exact = chosen.steps(np.repeat(first, rows), np.repeat(days, rows), times)
    lengths = steps[starts + rows - 1] + 1
    wrong = ~np.logical_and.reduceat(exact, starts)
    if frequency is None:
        wrong |= _holes(lengths - 1, rows)
    elif not chosen.fits(first).all():
        series = int(np.argmin(chosen.fits(first)))
        raise UnequalSteps(series, starts[series], _off(times[starts[series]], chosen))
    if wrong.any():
        series = int(np.argmax(wrong))
        own = slice(starts[series], starts[series] + rows[series])
        if frequency is None:
            raise _unequal(series, starts[series], times[own], steps[own], exact[own], chosen)
        row = int(np.argmin(exact[own]))
        raise UnequalSteps(series, starts[series] + row, _off(times[own][row], chosen))
    return steps, Timelines(name, first, days, lengths, chosen)


def infer(times, rows) -> Frequency:
    """Return the common frequency of several series, given as `on_steps` takes them; an UnequalSteps without one."""
    starts = np.cumsum(rows) - rows
    dated = times.dtype.kind == "M"
    units, known = _alone(times.view(np.int64) if dated else times, rows, starts)
    monthly = np.zeros(len(rows), bool)
    business = dated and (units[rows > 1] == DAY // _tick(times)).any() and _on_weekdays(times, rows)
    if business:
        days = Frequency("business day", 1).steps(np.repeat(times[starts], rows), 0, times)[0]
        units, known = _alone(days, rows, starts)
    elif dated and (units[rows > 1] >= 28 * DAY // _tick(times)).any():
        dates = times.astype("datetime64[D]")
        day = 31 if (dates == _month_ends(dates.astype("datetime64[M]"))).all() else 0
        first = times[starts]
        months = Frequency("month", 1, day)
        apart, exact = months.steps(
            np.repeat(first, rows), np.repeat(np.maximum.reduceat(_days(times), starts), rows), times
        )
        by_month, monthly = _alone(apart, rows, starts)
        monthly &= np.logical_and.reduceat(exact, starts)
        units, known = np.where(monthly, by_month, units), known | monthly
    many = known & (rows > 2)
    if not many.any() and (rows > 2).any():
        series = int(np.argmax(rows > 2))
        own = slice(starts[series], starts[series] + rows[series])
        steps, exact = _whole(times[own] - times[starts[series]], np.diff(times[own]).min())
        raise _irregular(series, starts[series], times[own], steps, exact)
    chosen = many if many.any() else known & (rows > 1)
    if not chosen.any():
        if dated:
            raise UnequalSteps(0, 0, f"expected two times at least, or a frequency (freq=); got {text(times[0])} alone")
        return Frequency("time", 1)
    if (monthly != monthly[np.argmax(chosen)])[chosen].any():
        one, other = int(np.argmax(chosen & monthly)), int(np.argmax(chosen & ~monthly))
        pair = [Frequency("month", int(units[one])), _frequency(units[other], times)]
        later = max(one, other)
        raise UnequalSteps(later, starts[later], _mixed(*(pair if later == one else pair[::-1])))
    unit = units[chosen].min()
    if monthly[np.argmax(chosen)]:
        return Frequency("month", int(unit), day)
    return Frequency("business day", int(unit)) if business else _frequency(unit, times)


def text(time) -> str:
    """Format a time for errors."""
    if not isinstance(time, np.datetime64):
        return f"{time:.10g}" if isinstance(time, np.floating) else str(time)
    whole = next((unit for unit in ("D", "m", "s") if time == time.astype(f"datetime64[{unit}]")), None)
    return str(time if whole is None else time.astype(f"datetime64[{whole}]")).replace("T", " ")


def _frequency(unit, times) -> Frequency:
    if times.dtype.kind == "M":
        return Frequency("time", int(unit) * _tick(times))
    return Frequency("time", unit.item())


def _tick(times) -> np.timedelta64:
    """Return the unit of datetimes."""
    return np.ones(1, np.int64).view(times.dtype.str.replace("M", "m"))[0]


def _alone(numbers, rows, starts) -> tuple[np.ndarray, np.ndarray]:
    """Return the smallest step of each series, and whether all its times lie on such steps with few gaps."""
    gaps = np.empty_like(numbers)
    np.subtract(numbers[1:], numbers[:-1], out=gaps[1:])
    gaps[starts] = np.iinfo(np.int64).max if numbers.dtype.kind == "i" else np.inf
    units = np.minimum.reduceat(gaps, starts)
    several = (rows > 1) & (units > 0)
    units[~several] = 1
    steps, exact = _whole(numbers - np.repeat(numbers[starts], rows), np.repeat(units, rows))
    return units, several & np.logical_and.reduceat(exact, starts) & ~_holes(steps[starts + rows - 1], rows)


def _whole(apart, unit) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of units in each distance, and whether it is a whole number."""
    if apart.dtype.kind == "f":
        steps = np.rint(apart / unit)
        return steps.astype(np.int64), abs(apart - steps * unit) <= 1e-3 * unit
    steps = apart // unit
    return steps, steps * unit == apart


def _holes(last, rows) -> np.ndarray:
    """Return whether series leave out too many steps, from the number of the last one."""
    return last >= MOST * rows


def _on_weekdays(times, rows) -> bool:
    """Return whether daily times leave out all weekends, and at least one."""
    days = times.astype("datetime64[D]")
    if (_weekdays(days) > 4).any():
        return False
    ends = np.cumsum(rows)
    week = (days.astype(np.int64) + 3) // 7
    return bool((week[ends - 1] > week[ends - rows]).any())


def _unequal(series, start, times, steps, exact, frequency) -> UnequalSteps:
    """Return the error for one series, which has another frequency or none."""
    if len(times) > 2:
        try:
            own = infer(times, np.array([len(times)]))
            on_steps("", times, np.array([len(times)]), own)
        except UnequalSteps:
            pass
        else:
            if own != frequency:
                return UnequalSteps(series, start, _mixed(own, frequency))
    return _irregular(series, start, times, steps, exact)


def _irregular(series, start, times, steps, exact) -> UnequalSteps:
    """Return an error that names the first two times not a whole number of steps apart, or those furthest apart."""
    row = int(np.argmin(exact)) if not exact.all() else int(np.argmax(np.diff(steps))) + 1
    said = "times in equal steps" if not exact.all() else "times that leave out a third of the steps at most"
    pair = f"{text(times[row - 1])} and then {text(times[row])}"
    return UnequalSteps(series, start + row, f"expected {said}, or a frequency (freq=); got {pair}")


def _mixed(own, others) -> str:
    return f"expected series of one frequency; got steps of {own} here and of {others} in others"


def _off(time, frequency) -> str:
    where = f"in steps of {frequency}"
    if frequency.unit == "month" and frequency.day:
        where += " at the end of a month" if frequency.day == 31 else f" on day {frequency.day} of a month"
    if frequency.anchor is not None:
        months = frequency.unit == "month"
        names = MONTHS[frequency.anchor :: int(frequency.count)] if months else (WEEKDAYS[frequency.anchor],)
        where += f" ({', '.join(names)})"
    return f"expected times {where}; got {text(time)}"


def counted(count: Any, what: str) -> str:
    """Return a count with its noun."""
    return f"{count} {what}{'' if count == 1 else 's'}"


def _weekdays(days) -> np.ndarray:
    """Return the days of the week, from 0 for Monday."""
    return (days.astype(np.int64) + 3) % 7


def _days(times) -> np.ndarray:
    """Return the days of the month, from 1."""
    days = times.astype("datetime64[D]")
    return (days - days.astype("datetime64[M]").astype("datetime64[D]")).astype(np.int64) + 1


def _month_ends(months) -> np.ndarray:
    return (months + MONTH).astype("datetime64[D]") - DAY


def _on_day(months, day) -> np.ndarray:
    return np.minimum(months.astype("datetime64[D]") + (day - 1) * DAY, _month_ends(months))
