"""Times of a series' steps, and those ahead."""

import numpy as np
import pytest

from rnnkit.forecast.data import frequencies
from rnnkit.forecast.data.timeline import Frequency, regular


@pytest.mark.parametrize(
    ("times", "steps", "ahead"),
    [
        ([2000, 2001, 2002], [0, 1, 2], ["2003", "2004"]),
        ([0.0, 0.25, 0.75, 1.0], [0, 1, 3, 4], ["1.25", "1.5"]),
        (["2000-01-01", "2000-01-08", "2000-01-22"], [0, 1, 3], ["2000-01-29", "2000-02-05"]),
        (["2000-01-31", "2000-02-29", "2000-03-31", "2000-05-31"], [0, 1, 2, 4], ["2000-06-30", "2000-07-31"]),
        (["2000-01-01", "2000-04-01", "2000-07-01"], [0, 1, 2], ["2000-10-01", "2001-01-01"]),
        (["2000-02-29", "2001-02-28", "2002-02-28", "2003-02-28"], [0, 1, 2, 3], ["2004-02-29", "2005-02-28"]),
        (["2000-01-01T00:00", "2000-01-01T06:00", "2000-01-01T12:00"], [0, 1, 2], ["2000-01-01T18:00"]),
        (
            ["2001-01-04", "2001-01-05", "2001-01-08"],
            [0, 1, 2],
            ["2001-01-09", "2001-01-10", "2001-01-11", "2001-01-12"],
        ),
        (["2001-06-30", "2001-09-30", "2002-03-31"], [0, 1, 3], ["2002-06-30", "2002-09-30", "2002-12-31"]),
        (["2001-01-30T18", "2001-02-28T18", "2001-03-30T18"], [0, 1, 2], ["2001-04-30T18", "2001-05-30T18"]),
        ([1, 2, 40], [0, 1, 2], ["78"]),
        ([5], [0], ["6", "7"]),
    ],
)
def test_steps_of_time(times, steps, ahead):
    given = np.array(times, dtype="datetime64" if isinstance(times[0], str) else None)
    found, timeline = regular("time", given)
    assert found.tolist() == steps
    assert (timeline.times[found] == given).all()
    assert [str(time) for time in timeline.ahead(len(ahead))] == ahead


@pytest.mark.parametrize("minutes, steps", [(4, 15), (5, 288), (15, 96), (60, 24)])
def test_times_of_five_minutes_have_a_day_shorter_ones_an_hour(minutes, steps):
    assert frequencies.seasons(Frequency("time", np.timedelta64(minutes, "m")))[0] == steps


def test_a_business_day_has_one_time_of_day():
    times = np.array(["2024-03-01T09:00", "2024-03-04T09:00", "2024-03-05T10:00", "2024-03-09T09:00"], "datetime64[m]")
    steps, exact = Frequency("business day", 1).steps(np.repeat(times[:1], 4), np.zeros(4, int), times)
    assert steps[:3].tolist() == [0, 1, 2] and exact.tolist() == [True, True, False, False]
