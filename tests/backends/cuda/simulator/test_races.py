"""The detector of races finds those of a kernel that misses something; runtime/test_program has none in whole ones."""

import os

import pytest

pytest.importorskip("numba_cuda", reason="numba-cuda isn't installed")
if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") == "0":
    pytest.skip("kernels run under the simulator: NUMBA_ENABLE_CUDASIM=1", allow_module_level=True)

from cuda_races import Race, watched
from cuda_runs import CUTS, on_gpu, setup

from rnnkit.backends.cuda import kernel_cache
from rnnkit.backends.cuda.runtime.launch import Function


def run_with_text(layer, record, changed, **settings):
    """Run with a kernel's text changed by a function."""
    with watched():
        on_gpu(layer, load=lambda text: Function(kernel_cache.run_of(changed(text))), **settings).run(record)


def without(word, number):
    """A text with one call of a word of the time loop left out."""

    def changed(text):
        if "for t in range(steps)" not in text:
            return text
        lines = text.splitlines()
        at = [i for i, line in enumerate(lines) if word in line][number]
        return "\n".join([*lines[:at], lines[at].replace(word, "pass"), *lines[at + 1 :]])

    return changed


@pytest.mark.parametrize("word, number, cut, placing", [
    ("cuda.syncthreads()", 0, "rows", "shared weights"),  # the states are begun
    ("cuda.syncthreads()", -2, "rows", "shared weights"),  # … and ended, with a step
    ("cuda.syncthreads()", 0, "parts", "staged"),
    ("cuda.syncthreads()", -1, "parts", "staged"),
    ("cuda.threadfence()", 0, "parts", "global"),
    ("cuda.threadfence()", -1, "parts", "global"),
])  # fmt: skip
def test_a_race_is_found_where_a_meeting_is_missing(word, number, cut, placing):
    layer, record = setup("LSTMCell")
    settings = {"config": CUTS[cut], "placing": placing}
    run_with_text(layer, record, lambda text: text, **settings)
    with pytest.raises(Race, match="isn't ordered"):
        run_with_text(layer, record, without(word, number), **settings)


def test_memory_that_is_not_the_kernels_is_found():
    layer, record = setup("LSTMCell")
    with pytest.raises(Race, match="isn't the kernel's"):
        run_with_text(layer, record, lambda text: text.replace("shared += tile *", "shared += 99 * tile *"))
