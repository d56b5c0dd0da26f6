"""Threads that are woken away from the processor of the thread that wakes them."""

import contextlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import patience
import pytest

from rnnkit.backends.shared import placing
from rnnkit.backends.shared.thread_pool import Helpers

pytestmark = pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system can't place threads")


@contextlib.contextmanager
def helpers(count=1):
    made = Helpers(count)
    try:
        yield made
    finally:
        made.shutdown()


def done(helper, function=os.getpid):
    """What a thread gives, once it waits for work again."""
    found, there = [], threading.Event()

    def noted():
        found.append(function())
        there.set()

    helper.submit(noted)
    assert there.wait(patience.left())
    patience.until(lambda: helper._waiting, "a thread waits for work")
    return found[0]


def allowed():
    return threading.get_native_id(), os.sched_getaffinity(0)


def test_a_thread_may_use_all_its_processors_when_it_runs(monkeypatch):
    several = {0, 1} if len(os.sched_getaffinity(0)) < 2 else os.sched_getaffinity(0)
    moved = []
    monkeypatch.setattr(placing.os, "sched_getaffinity", lambda thread: set(several))
    monkeypatch.setattr(placing.os, "sched_setaffinity", lambda thread, own: moved.append((thread, own)))
    monkeypatch.setattr(placing, "_own", lambda: min(several))
    with helpers() as helper:
        thread = done(helper, threading.get_native_id)
        assert moved == []  # a new thread is placed by the system
        assert done(helper, threading.get_native_id) == thread
    assert moved == [(thread, several - {min(several)}), (0, several)]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="takes two processors")
def test_a_thread_that_is_woken_does_not_start_beside_its_waker():
    with helpers() as helper:
        thread, before = done(helper, allowed)
        (kept,) = placing.keep_away([thread]).items()
        own = before - os.sched_getaffinity(thread)
        assert kept == (thread, before) and len(own) == 1
        helper._kept_away[thread] = before
        assert done(helper, allowed) == (thread, before)
        assert os.sched_getaffinity(thread) == before


def test_many_callers_leave_every_thread_its_processors():
    before = os.sched_getaffinity(0)
    seen, count, there = set(), 400, threading.Event()

    def noted():
        seen.update(os.sched_getaffinity(0))
        ran.append(allowed())
        if len(ran) == count:
            there.set()

    ran = []
    with helpers(3) as helper, ThreadPoolExecutor(4) as callers:
        for _ in range(count):
            callers.submit(helper.submit, noted)
        assert there.wait(patience.left())
        for _ in range(20):
            done(helper)
        threads = {thread for thread, _ in ran}
        patience.until(lambda: helper._waiting >= threads, "all threads wait for work")
        left = {thread: os.sched_getaffinity(thread) for thread in helper._waiting}
    assert seen <= before
    assert all(own == before or helper._kept_away.get(thread) == before for thread, own in left.items())


@pytest.mark.parametrize("given", [{3}, {1, 2}])
def test_a_thread_keeps_its_only_processor_and_others_are_left_alone(given, monkeypatch):
    monkeypatch.setattr(placing, "_own", lambda: 3)
    monkeypatch.setattr(placing.os, "sched_getaffinity", lambda thread: given)
    monkeypatch.setattr(placing.os, "sched_setaffinity", lambda *given: pytest.fail("moved"))
    assert placing.keep_away([7]) == {}


def test_systems_that_do_not_place_threads(monkeypatch):
    def refused(*given):
        raise PermissionError

    monkeypatch.setattr(placing.os, "sched_setaffinity", refused)
    assert placing.keep_away([threading.get_native_id()]) == {}
    placing.let_back({0})
    monkeypatch.setattr(placing, "_own", None)
    assert placing.keep_away([threading.get_native_id()]) == {}
    with helpers() as helper:
        assert done(helper) == done(helper) == os.getpid()
