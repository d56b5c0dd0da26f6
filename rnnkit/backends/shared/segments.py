"""Segments of a gradient's call: residuals of every step are kept for one segment at a time."""

from __future__ import annotations

import itertools
import math

from rnnkit.backends.shared.memory_limit import get_memory_limit


def segments(steps: int, step_bytes: int, checkpoint) -> list[tuple[int, int]]:
    """Return the first step of each segment of `checkpoint` steps, and the step after its last; None is one segment.

    "auto" takes about √T steps where all would keep more than `get_memory_limit` bytes, at `step_bytes` of one step of
    all rows: the least that states at the cuts and one segment take together (Chen et al. 2016, "Training deep nets
    with sublinear memory cost").
    """
    if checkpoint == "auto":
        checkpoint = math.isqrt(steps) if steps * step_bytes > get_memory_limit() else None
    return list(itertools.pairwise([*range(0, steps, checkpoint or max(steps, 1)), steps]))
