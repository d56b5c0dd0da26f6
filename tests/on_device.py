"""The contract's tests with layers on a card: RNNKIT_TEST_DEVICE=cuda says where layers compute that say nothing.

Under numba's simulator a thread of a card is a thread of Python, so sizes are small there.
"""

import os

DEVICE = os.environ.get("RNNKIT_TEST_DEVICE", "cpu")

ELSEWHERE = {  # tests that ask nothing of a card, by what their names have in them
    "[folded": "a step that can't be traced runs on the CPU alone",
    "-folded": "…",
    "FoldedCell": "…",
    "test_C8_road_2": "…",
    "test_C8_neither_road": "…; one road is left, and its error says so in words of its own",
    "test_C9_assignment_into_arrays": "… for one of its steps",
    "L3_threads": "threads are the CPU's",
    "across_blocks_of_steps": "takes sizes that the simulator doesn't; test_cuda_program makes blocks small instead",
    "test_chunks_change_no_row": "makes chunks of the CPU's small; test_cuda_program does so with a card's",
}


def by_device(cpu, card):
    """What a test takes on the CPU, or the less that it takes on a card."""
    return cpu if DEVICE == "cpu" else card


def begin() -> None:
    """Let layers that name no device be on the one that is under test."""
    if DEVICE != "cpu":
        import rnnkit as rk

        rk.RNN.__init__.__kwdefaults__["device"] = DEVICE


def chosen(items) -> tuple[list, list]:
    """Which tests are for the device, and which aren't."""
    if DEVICE == "cpu":
        return items, []
    left = [item for item in items if any(word in item.name for word in ELSEWHERE)]
    return [item for item in items if item not in left], left
