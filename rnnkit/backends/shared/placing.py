"""Placement of threads on processors when the operating system wakes them.

After milliseconds in which all processors were busy, Linux no longer looks for an idle one when it wakes a thread: it
may put the thread beside its waker, where it waits for some 10 ms. So its waker says where it may not run, and the
thread says when it runs.
"""

import ctypes
import os
from collections.abc import Iterable


def _processor():
    """Return the function that gives the caller's processor; None where threads can't be placed."""
    try:
        return ctypes.PyDLL(None).sched_getcpu if hasattr(os, "sched_setaffinity") else None
    except (AttributeError, OSError):
        return None


_own = _processor()


def keep_away(threads: Iterable[int]) -> dict[int, set[int]]:
    """Keep threads, by native identifiers, from the caller's processor, unless it is their only one; return the
    processors that they might use before, for `let_back`.
    """
    kept: dict[int, set[int]] = {}
    if _own is None:
        return kept
    own = _own()
    for thread in threads:
        try:
            allowed = os.sched_getaffinity(thread)
            if own in allowed and len(allowed) > 1:
                os.sched_setaffinity(thread, allowed - {own})
                kept[thread] = allowed
        except OSError:  # the thread has ended, or may not be placed
            continue
    return kept


def let_back(allowed: set[int]) -> None:
    """Let the calling thread use these processors again."""
    try:
        os.sched_setaffinity(0, allowed)
    except OSError:  # meanwhile the system has taken them away
        return
