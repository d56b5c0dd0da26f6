"""Panels, reservoirs and a search on a real cluster of two processes."""

import json
import os
import sys
from pathlib import Path

import processes
import pytest

pytest.importorskip("distributed")
pytestmark = pytest.mark.cluster
SCRIPT = Path(__file__).parents[1] / "support" / "cluster_panels.py"


def told_by(*arguments):
    """What the script says, whose time is bounded."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(SCRIPT.parent), *filter(None, sys.path)])
    done = processes.run([sys.executable, SCRIPT, *arguments], env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def told():
    return told_by()


def test_L8_workers_give_the_forecasts_of_one_call(told):
    assert told["same"] == [True, True]


def test_L8_workers_fit_the_reservoir_of_one_machine(told):
    assert told["reservoir"] is True


def test_a_worker_that_is_killed_in_a_panel_changes_no_bit(told):
    assert told["killed"]["same"] and told["killed"]["done"] < told["killed"]["all"]


def test_L8_workers_learn_from_all_series_what_one_process_does(told):
    assert told["learned"] == [True, True]


def test_workers_that_are_killed_in_training_change_no_bit(told):
    assert told["killed_in_training"] == {"same": True, "killed": 2}


def test_a_series_that_raises_on_a_worker_is_named(told):
    read, fitted = told["refused"]
    assert read.startswith("series 's2': expected finite values") and fitted.startswith(
        "series 's2': expected positive"
    )


def test_trials_of_a_search_come_with_results_or_errors(told):
    assert told["search"]["numbers"] == [0, 1, 2] and told["search"]["error"] == "seven"
    assert told["search"]["same"] and told["search"]["best"]


def test_a_search_that_is_given_up_is_cancelled(told):
    assert told["search"]["cancelled"] is True


@pytest.mark.sweep
@pytest.mark.timeout(900)
def test_twenty_of_twenty_panels_survive_kills_at_random_moments():
    assert told_by("kills", "20")["same"] == [True] * 20
