"""Workers that die, come and go, clients that leave, errors, full disks: the same bits, or one clear error."""

import json
import os
import sys
from pathlib import Path

import processes
import pytest

pytest.importorskip("distributed")
pytestmark = pytest.mark.cluster
SCRIPT = Path(__file__).parents[1] / "support" / "cluster_faults.py"


def told(*arguments):
    """What the script says, whose time is bounded."""
    path = os.pathsep.join([str(Path(__file__).parents[2]), *filter(None, sys.path)])
    done = processes.run([sys.executable, SCRIPT, *arguments], env={**os.environ, "PYTHONPATH": path})
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def faults():
    return told("faults")


def test_an_error_names_its_rows_and_leaves_other_blocks_alone(faults):
    found = faults["raising"]
    assert found["error"].startswith("layer 'words', rows 4 to 5, steps 30 to 39: expected ids from 0 to 4, got 9")
    assert found["others"] == [True] * 5
    assert found["before"] is True


def test_a_worker_without_space_for_programs_computes_on(faults):
    assert faults["full_disk"]["same"] is True
    assert faults["full_disk"]["refused"] > 0


def test_what_a_client_leaves_is_given_up_and_the_workers_go_on(faults):
    assert faults["left_alone"]["wanted"] > 0
    assert faults["left_alone"]["same"] is True


def test_a_worker_that_its_nanny_started_again_gives_the_same_bits(faults):
    assert faults["restarted"] == {"same": True, "new": 1}


def test_a_worker_that_joins_late_takes_part(faults):
    assert faults["late"]["same"] is True
    assert faults["late"]["tasks"] > 0


@pytest.mark.sweep
def test_twenty_of_twenty_predictions_survive_kills_at_random_moments():
    assert told("kills", "20")["same"] == [True] * 20
