"""The command that measures a GPU, run where numba's simulator stands in for one."""

import pathlib
import subprocess
import sys

import processes
import pytest

from rnnkit.backends.cuda.memory import availability

COMMAND = pathlib.Path(__file__).parents[2] / "asv_benchmarks" / "compare" / "on_cuda.py"

pytestmark = pytest.mark.skipif(
    not (availability.simulated() and availability.missing() is None),
    reason="takes numba's simulator in the place of a GPU: NUMBA_ENABLE_CUDASIM=1, with numba-cuda",
)


def run(*arguments) -> subprocess.CompletedProcess:
    return processes.run([sys.executable, COMMAND, *arguments])


def test_the_simulator_is_not_taken_for_a_gpu():
    found = run()
    assert (found.returncode, found.stdout) == (2, "")
    assert found.stderr.startswith("nothing was measured: expected a GPU, got numba's simulator")


@pytest.mark.sweep
def test_all_that_would_be_measured_runs_at_tiny_sizes(tmp_path):
    page = tmp_path / "page.md"
    found = run("--tiny", "--rounds", 1, "--output", page)
    assert found.returncode == 0, found.stderr
    text = page.read_text(encoding="utf-8")
    assert "times of numba's simulator" in text and "| hold |" in text
    assert "## Steps of one row" in text and "| 100.00% |" in text
    assert all(f"## {cell}{more}\n" in text for cell in ("LSTM", "gated") for more in ("", ", with its gradient"))
