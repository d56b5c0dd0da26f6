"""Fits on a real cluster of processes: the bits of one machine, with workers that come, die and disagree."""

import json
import os
import sys
from pathlib import Path

import processes
import pytest
from parted_fits import sequences

import rnnkit as rk

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.cluster
SCRIPT = Path(__file__).parents[1] / "support" / "cluster_fit_run.py"


def told_with(kills):
    """What the script says, whose time is bounded."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])
    done = processes.run([sys.executable, SCRIPT, kills], env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def told():
    return told_with(0)


def test_L8_one_worker_and_two_give_the_bits_of_one_machine(told):
    assert told["one"] and told["two"]


def test_L8_delayed_batches_give_the_bits_of_batches(told):
    assert told["batches"]


def test_a_worker_that_joins_late_changes_no_bit(told):
    assert told["late"] == [True, 2]


def test_weights_are_sent_once_for_an_update_and_worker(told):
    sent, kinds = told["sent"]
    assert sent <= 1.3 * kinds  # Dask drops copies every two seconds, and may so in the midst of an update


def test_a_worker_that_is_killed_changes_no_bit(told):
    assert told["killed"] == [True, True]


def test_an_error_on_a_worker_names_the_rows(told):
    error, updates = told["failing"]
    assert (
        error.startswith("epoch 0, batch 1: rows 37 to 41 of x: the loss is not finite: x has 1 value") and updates == 1
    )


def test_ctrl_c_ends_the_fit_and_leaves_no_task(told):
    assert told["interrupted"] == [True, 3, 0]


def test_a_lost_connection_is_one_error_with_the_weights_of_the_last_update(told):
    error, notes, same = told["disconnected"]
    assert "the connection is lost" in error and "last finished update" in notes[0] and same


def test_a_worker_with_other_vectors_refuses(rng, monkeypatch):
    from rnnkit.distributed import updates

    x, y, _ = sequences(rng)
    model = rk.Sequential([rk.LSTM(3), rk.Dense(1)], seed=0)
    model.compile("adam", "mse")
    model.fit(x, y, verbose=0)
    shipped = updates.ShippedStepper(model._stepper(model._source(x, y, None, 8, None), None, 2))
    with shipped.lent(updates.Weights({})) as stepper:
        assert stepper.model is not model
    monkeypatch.setattr(updates, "vectors", lambda: "generic")
    with pytest.raises(RuntimeError, match="got 'generic'.*RNNKIT_VECTOR"), shipped.lent(updates.Weights({})):
        pass


@pytest.mark.sweep
@pytest.mark.timeout(900)
def test_twenty_kills_and_a_worker_with_other_vectors():
    told = told_with(20)
    assert told["kills"] == [True] * 20
    assert "got 'generic'" in told["vectors"] and "RNNKIT_VECTOR" in told["vectors"]
