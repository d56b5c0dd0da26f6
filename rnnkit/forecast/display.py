"""Summaries of the series that forecasters were fitted to."""

from __future__ import annotations

import numpy as np

_NAMED = 5  # series


def counted_series(history) -> str:
    """Return the number of series, and the first ids if there are ids."""
    count = len(history.lengths)
    ids = [] if history.frame is None else [str(one) for one in history.frame.ids[:_NAMED] if one is not None]
    named = f": {', '.join(ids)}{', …' if count > len(ids) else ''}" if ids else ""
    return f"{count:,} series{named}"


def between(lengths) -> str:
    """Return the range of lengths as text."""
    least, most = int(np.min(lengths)), int(np.max(lengths))
    return f"{most:,}" if least == most else f"{least:,} to {most:,}"


def spanned(timelines) -> str:
    """Return the first and the last time of all series and the step, as text."""
    last = max(timelines.at(place, np.array([length - 1]))[0] for place, length in enumerate(timelines.lengths))
    return f"{_time(timelines.first.min())} to {_time(last)}, each {timelines.frequency}"


def _time(time) -> str:
    """Format a time without trailing zero parts."""
    text = str(time)
    return text.split("T")[0] if "T" in text and not set(text.split("T")[1]) - set("0:.") else text
