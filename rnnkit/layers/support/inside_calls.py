"""Calls of layers inside of another one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from rnnkit.circumstances import within
from rnnkit.execution.layer_tree import all_or_nothing
from rnnkit.layers.support.added_losses import kept


@contextlib.contextmanager
def calling_parts(layer: Any) -> Iterator[None]:
    """Call the layers inside of one, all or nothing, within this; they see whether it is frozen."""
    with all_or_nothing(layer), kept(layer), contextlib.nullcontext() if layer.trainable else within(is_frozen=True):
        yield
