"""The contract's tests with layers on a GPU: RNNKIT_TEST_DEVICE=cuda says where layers compute that say nothing.

Under numba's simulator a thread of a GPU is a thread of Python, so sizes are small there.
"""

import os
import subprocess
import zlib
from collections import Counter
from pathlib import Path

DEVICE = os.environ.get("RNNKIT_TEST_DEVICE", "cpu")

ELSEWHERE = {  # tests that ask nothing of a GPU, by what their names have in them
    "[folded": "a step that can't be traced runs on the CPU alone",
    "-folded": "…",
    "FoldedCell": "…",
    "test_C8_a_jitted": "…",
    "test_C8_neither_traced_nor_jitted": "…; only tracing is left, and its error says so in words of its own",
    "test_C9_assignment_into_arrays": "… for one of its steps",
    "L3_threads": "threads are the CPU's",
    "across_blocks_of_steps": "takes sizes that the simulator doesn't; tests/backends/cuda makes blocks small instead",
    "test_chunks_change_no_row": "makes chunks of the CPU's small; tests/backends/cuda does so with a GPU's",
}


def by_device(cpu, gpu):
    """What a test takes on the CPU, or the less that it takes on a GPU."""
    return cpu if DEVICE == "cpu" else gpu


def begin() -> None:
    """Let layers that name no device be on the one that is under test."""
    if DEVICE != "cpu":
        import rnnkit as rk

        rk.RNN.__init__.__kwdefaults__["device"] = DEVICE


EVERY = int(os.environ.get("RNNKIT_TEST_EVERY", "1"))
FEW = 6  # cases of a test that are all run
# Tests of cells, masks, directions and sizes together, of which a part is run on the CPU; others have a promise a case.
MATRICES = (
    "tests/analysis/",
    "tests/backends/",
    "tests/c_code/test_cells",
    "tests/c_code/test_networks",
    "tests/compiler/",
    "tests/contract/test_contract_device",
    "tests/contract/test_contract_masks",
    "tests/contract/test_contract_shapes",
    "tests/contract/test_contract_state",
    "tests/contract/test_gradient_laws",
    "tests/contract/test_laws",
    "tests/corpus/",
    "tests/execution/",
    "tests/forecast/models/",
    "tests/layers/support/test_pullback",
    "tests/layers/test_changed_attributes",
    "tests/layers/test_ensemble",
    "tests/onnx/exporting/test_recurrent",
    "tests/onnx/exporting/test_step_nodes",
    "tests/optimizers/",
    "tests/test_complex",
)


def chosen(items) -> tuple[list, list]:
    """Which tests are for the device, and which aren't; of many cases every n-th, if RNNKIT_TEST_EVERY says so.

    Compiling takes its time, and so does the simulator. Which cases of a test are run depends on its name and on the
    commit, so that between them the laws take all cells and all kinds of calls, and commits take all cases.
    """
    wanted, left, seen = [], [], {}
    at = commit() if EVERY > 1 else ""
    cases = Counter(function_of(item) for item in items)
    for item in items:
        name = function_of(item)
        number = seen[name] = seen.get(name, zlib.crc32(f"{at} {name}".encode())) + 1
        elsewhere = DEVICE != "cpu" and any(word in item.name for word in ELSEWHERE)
        matrix = DEVICE != "cpu" or name.startswith(MATRICES)
        kept = cases[name] <= FEW or not matrix or number % EVERY == 0
        (left if elsewhere or not kept else wanted).append(item)
    return wanted, left


def commit() -> str:
    """The commit that is checked out, or nothing outside of a repository."""
    command = ["git", "-c", "safe.directory=*", "rev-parse", "HEAD"]  # a checkout may belong to another user
    try:
        done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True)
    except OSError:  # no git here
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def function_of(item) -> str:
    """A test without its case."""
    return item.nodeid.partition("[")[0]
