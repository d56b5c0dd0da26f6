"""One folder of compiled programs for the whole test session (RNNKIT_TEST_CACHE names one that outlives it)."""

import atexit
import os
import shutil
import tempfile

import numpy as np
import on_device
import pytest

if kept := os.environ.get("RNNKIT_TEST_CACHE"):
    os.environ["RNNKIT_CACHE_DIR"] = kept
elif not ("PYTEST_XDIST_WORKER" in os.environ and "RNNKIT_CACHE_DIR" in os.environ):
    # Set before rnnkit is imported; workers and the processes that tests start inherit it. A forked child ends by
    # os._exit and so leaves the folder alone.
    os.environ["RNNKIT_CACHE_DIR"] = tempfile.mkdtemp(prefix="rnnkit-tests-")
    atexit.register(shutil.rmtree, os.environ["RNNKIT_CACHE_DIR"], ignore_errors=True)

on_device.begin()


def pytest_collection_modifyitems(config, items):
    items[:], left = on_device.chosen(items)
    config.hook.pytest_deselected(items=left)


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture
def threads():
    """``set_num_threads``, put back as it was after the test."""
    import rnnkit as rk

    before = rk.get_num_threads()
    yield rk.set_num_threads
    rk.set_num_threads(before)
