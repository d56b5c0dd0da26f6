"""Calls of layers inside of another one."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from rnnkit.layers.support.added_losses import kept
from rnnkit.layers.support.layer_tree import all_or_nothing
from rnnkit.layers.support.repeats import frozen_outside


@contextlib.contextmanager
def calling_parts(layer: Any) -> Iterator[None]:
    """Call the layers inside of one, all or nothing, within this; they see whether it is frozen."""
    token = None if layer.trainable else frozen_outside.set(True)
    try:
        with all_or_nothing(layer), kept(layer):
            yield
    finally:
        if token is not None:
            frozen_outside.reset(token)
