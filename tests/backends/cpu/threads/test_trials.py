"""The choice between threads that share units and one alone, on a host that is made up."""

import math

import pytest

from rnnkit.backends.cpu import tuning
from rnnkit.backends.cpu.threads.trials import Trials


class Host:
    """Calls of `Trials`; how long they take may change.

    Attributes
    ----------
    together, alone : float
        Seconds of a call by several threads and by one.
    comes : bool
        Whether workers come to a call that is to be shared.
    """

    def __init__(self, together, alone, comes=True):
        self.together, self.alone, self.comes = together, alone, comes
        self.trials, self.shared = Trials(), []

    def run(self, calls, steps=10) -> float:
        """So many calls; how many times as long they take as by the better way."""
        seconds = 0.0
        for _ in range(calls):
            way = self.trials.next_is_shared()
            joined = way is True and self.comes
            took = self.together if joined else self.alone
            if way is not None:
                self.trials.note(way, took if joined or not way else math.inf, steps)
            self.shared.append(joined)
            seconds += took
        return seconds / (calls * min(self.together if self.comes else math.inf, self.alone))


@pytest.mark.parametrize("ratio", [0.2, 0.6, 0.9, 1.0, 1.1, 1.3, 2.0, 5.0])
@pytest.mark.parametrize("alone", [5e-5, 3e-3, 0.2])
def test_calls_take_little_longer_than_by_the_better_way(ratio, alone):
    host = Host(ratio * alone, alone)
    assert host.run(1000) < 1 + 0.1 * max(ratio, 1 / ratio)
    assert host.run(3000) < 1.07
    assert host.trials.shares == (ratio <= 1.0)


@pytest.mark.parametrize(("before", "after"), [(0.6, 1.6), (1.6, 0.6)])
def test_a_host_that_changes_is_noticed(before, after):
    host = Host(before, 1.0)
    host.run(2000)
    host.together = after
    host.run(tuning.LAST_TRIAL + 10)
    assert host.trials.shares == (after < 1)
    assert host.run(2000) < 1.07


def test_the_first_trial_comes_after_several_calls_and_lasts_one():
    host = Host(1.0, 2.0)
    host.run(tuning.FIRST_TRIAL + 3)
    assert host.shared == [True] * tuning.FIRST_TRIAL + [False, True, True]


def test_what_is_hardly_slower_is_kept():
    """Otherwise times that differ by chance would change the way again and again."""
    host = Host(1.02, 1.0)
    host.run(1000)
    assert host.trials.shares
    host.together = 1.5
    host.run(1000)
    assert not host.trials.shares
    host.together = 0.98
    host.run(1000)
    assert not host.trials.shares


def test_a_trial_ends_though_no_worker_comes():
    host = Host(1.5, 1.0)
    host.run(1000)
    assert not host.trials.shares
    host.comes, host.together = False, 0.5
    assert host.run(1000) == 1.0
    assert not host.trials.shares
    host.comes = True
    host.run(1000)
    assert host.trials.shares


def test_calls_that_nobody_came_to_say_nothing():
    host = Host(0.6, 1.0, comes=False)
    host.run(1000)
    assert host.trials.shares and host.trials.next_is_shared() is True


@pytest.mark.parametrize("together", [0.5, 2.0])
def test_calls_that_were_disturbed_change_the_way_for_few_calls(together):
    host = Host(together, 1.0)
    host.run(tuning.FIRST_TRIAL)
    while host.trials.next_is_shared() is not False:
        host.run(1)
    host.together, host.alone = (50.0, 1.0) if together < 1 else (together, 100.0)
    host.run(6)
    host.together, host.alone = together, 1.0
    host.run(2 * tuning.FIRST_TRIAL)
    assert host.trials.shares == (together < 1)


def test_calls_that_end_at_once_do_not_put_off_the_next_trial():
    host = Host(1.0, 2.0)
    host.run(tuning.FIRST_TRIAL - 1)
    assert host.trials.next_is_shared() and host.trials.next_is_shared()  # by two threads
    host.trials.note(True, 1.0, 10)
    host.trials.note(True, 1.0, 10)
    assert host.trials.next_is_shared() is False
