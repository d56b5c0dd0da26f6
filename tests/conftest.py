"""One folder of compiled programs for the whole test session (RNNKIT_TEST_CACHE names one that outlives it)."""

import atexit
import os
import shutil
import signal
import tempfile
import threading
from pathlib import Path

import numpy as np
import on_device
import patience
import processes
import pytest

from rnnkit.backends.shared.trusted_folder import fault
from rnnkit.compiler.ir import verify

verify.CHECKED = True  # whatever a test compiles, in this process


def trusted_place() -> str:
    """Where temporary folders go: the first place that only this user can write to."""
    places = (tempfile.gettempdir(), os.path.expanduser("~"), os.path.dirname(__file__))
    return next((one for one in places if os.access(one, os.W_OK) and not fault(Path(one, "new"))), places[0])


if (place := trusted_place()) != tempfile.gettempdir():  # of pytest's folders and of processes, too
    os.environ["TMPDIR"] = tempfile.tempdir = place
kept = os.environ.get("RNNKIT_TEST_CACHE")
if kept and fault(Path(kept)) is None:
    os.environ["RNNKIT_CACHE_DIR"] = kept
elif not ("PYTEST_XDIST_WORKER" in os.environ and "RNNKIT_CACHE_DIR" in os.environ):
    # Workers and the processes that tests start inherit it. A forked child ends by os._exit and so leaves it alone.
    os.environ["RNNKIT_CACHE_DIR"] = tempfile.mkdtemp(prefix="rnnkit-tests-")
    atexit.register(shutil.rmtree, os.environ["RNNKIT_CACHE_DIR"], ignore_errors=True)
if not os.access(os.path.expanduser("~"), os.W_OK):  # matplotlib and IPython would complain
    elsewhere = tempfile.mkdtemp(prefix="rnnkit-tests-")
    atexit.register(shutil.rmtree, elsewhere, ignore_errors=True)
    for name in ("MPLCONFIGDIR", "IPYTHONDIR"):
        os.environ.setdefault(name, elsewhere)

on_device.begin()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart():
    patience.unit()  # before there are workers to inherit it


def pytest_collection_modifyitems(config, items):
    items[:], left = on_device.chosen(items)
    config.hook.pytest_deselected(items=left)
    if config.pluginmanager.hasplugin("timeout") and config.getoption("timeout") is None:
        # By a thread, since no signal reaches compiled code; it ends the process, which xdist then replaces.
        limit = pytest.mark.timeout(patience.seconds(patience.TEST), method="thread")
        for item in items:
            if item.get_closest_marker("timeout") is None:
                item.add_marker(limit)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item):
    marker = item.get_closest_marker("timeout")
    patience.begin(marker.args[0] if marker else patience.seconds(patience.TEST))
    thread, name = threading.current_thread(), threading.current_thread().name
    thread.name = item.nodeid  # a stack that is printed at the limit names the test
    try:
        return (yield)
    finally:
        thread.name = name
        processes.end()


# Tests of what a call itself does, however often it is done; those beside them repeat calls as users do.
ORDINARY = [
    Path(__file__).parent / name for name in ("backends", "compiler", "contract", "execution", "layers/support")
]


@pytest.fixture(autouse=True)
def ordinary_calls(request, monkeypatch):
    """No call is repeated where calls themselves are under test."""
    if any(folder in request.path.parents for folder in ORDINARY):
        monkeypatch.setenv("RNNKIT_REPEAT", "0")


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture
def ctrl_c():
    """Ctrl-C as Python has it by default, which what a shell starts in the background ignores."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def threads():
    """``set_num_threads``, put back as it was after the test."""
    import rnnkit as rk

    before = rk.get_num_threads()
    yield rk.set_num_threads
    rk.set_num_threads(before)
