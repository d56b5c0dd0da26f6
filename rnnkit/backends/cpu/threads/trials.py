"""Trials of whether threads that share a program's units are faster than one alone: both are timed now and then.

The time of a message from one processor to another decides. It differs tenfold between machines, and from minute to
minute on one whose host moves its processors.
"""

import math
from collections import deque

from rnnkit.backends.cpu import tuning

_RECENT = 3  # calls, of which the fastest counts
_GOES = 4  # shared calls of a trial: the first may be over before the other threads are awake


class Trials:
    """The choice for calls of one program with one number of rows, by the times that they took."""

    def __init__(self) -> None:
        self.shares = True  # threads share a call
        self._times = {True: deque([math.inf], _RECENT), False: deque([math.inf], _RECENT)}
        self._trying, self._goes = False, 0
        self._wait = self._left = tuning.FIRST_TRIAL  # calls until both ways are tried again

    def next_is_shared(self) -> bool | None:
        """Return whether to run and time the next call by several threads; None to run it alone, untimed."""
        if not self._trying and self._left <= 0:  # several calls at once may count it below
            self._trying, self._goes = True, 0
            self._times[False].clear()
            if not self.shares:
                self._times[True].clear()
        if self._trying:
            return bool(self._times[False])
        if self.shares:
            return True
        self._left -= 1
        return None

    def note(self, shared: bool, seconds: float, steps: int) -> None:
        """Note the seconds that a call took; infinity for one that was to be shared but whose workers didn't come."""
        came = math.isfinite(seconds)
        if came:
            self._times[shared].append(seconds / steps)
        if not self._trying:
            self._left -= came
            return
        self._goes += shared
        alone, together = (min(self._times[kind], default=math.inf) for kind in (False, True))
        shares = together <= alone * (tuning.GAIN if self.shares else 1 / tuning.GAIN)
        if shares or self._goes == _GOES:
            self._wait = tuning.FIRST_TRIAL if shares != self.shares else min(2 * self._wait, tuning.LAST_TRIAL)
            self.shares, self._trying, self._left = shares, False, self._wait
