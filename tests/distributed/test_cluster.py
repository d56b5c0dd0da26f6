"""A real cluster: two processes of one thread, whose vectors are of different widths."""

import json
import os
import sys
from pathlib import Path

import processes
import pytest

pytest.importorskip("distributed")
SCRIPT = Path(__file__).parents[1] / "support" / "cluster_run.py"


@pytest.fixture(scope="module")
def told():
    """What the script says, whose time is bounded."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])
    done = processes.run([sys.executable, SCRIPT], env={**os.environ, "PYTHONPATH": path, "RNNKIT_NUM_THREADS": "7"})
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_L1_L2_workers_give_the_bits_of_one_call(told):
    assert told["same"] == [True, True, True]


def test_each_worker_receives_a_layer_once(told):
    assert max(told["shipped"]) == 1


def test_L3_a_task_has_as_many_threads_as_its_worker(told):
    assert told["threads"] == [1, 1]


def test_a_worker_that_is_killed_changes_no_bit(told):
    assert told["killed"]["same"] and told["killed"]["done"] < told["killed"]["all"]


def test_an_error_on_a_worker_names_the_layer_and_the_rows(told):
    assert told["error"].startswith("layer 'words', rows 4 to 5, steps 0 to 4: expected ids from 0 to 2, got 9")


def test_a_worker_whose_sums_have_other_bits_refuses_them(told):
    assert told["vectors"][""] is True
    assert "layer 'shares'" in told["vectors"]["generic"] and "RNNKIT_VECTOR" in told["vectors"]["generic"]


def test_a_readout_has_the_same_bits_on_workers_and_here(told):
    assert told["readout"] is True
