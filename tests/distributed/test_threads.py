"""How many threads tasks use: together no more than those of their worker, once they run side by side."""

import sys
import threading

import patience
import pytest

import rnnkit as rk
from rnnkit.distributed import shipping as sharing
from rnnkit.distributed.shipping import share


def test_a_task_alone_has_all_threads(threads):
    threads(5)
    with share():
        assert rk.get_num_threads() == 5
    assert rk.get_num_threads() == 5


def test_tasks_beside_another_have_one(threads):
    threads(5)
    found, inside, over = [], threading.Event(), threading.Event()

    def other():
        with share():
            found.append(rk.get_num_threads())
            inside.set()
            over.wait(patience.left())

    with share():
        thread = threading.Thread(target=other)
        thread.start()
        assert inside.wait(patience.left())
        over.set()
        thread.join()
    assert found == [1]
    with share():
        assert rk.get_num_threads() == 5


def test_a_worker_of_dask_says_how_many(threads, monkeypatch):
    pytest.importorskip("distributed")
    threads(5)
    for most, expected in ((1, 1), (3, 3), (9, 5)):
        monkeypatch.setattr(sharing, "_place", lambda most=most: ("tcp://worker", most))
        with share():
            assert rk.get_num_threads() == expected


def test_an_error_gives_the_threads_back(threads):
    threads(4)
    with pytest.raises(KeyError), share():
        raise KeyError
    with share():
        assert rk.get_num_threads() == 4


def test_without_dask_one_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask.array", None)
    with pytest.raises(ImportError, match=r"rk\.distributed needs dask; install it with: pip install 'rnnkit\[dask\]'"):
        rk.distributed.fit_readout(None, None)
