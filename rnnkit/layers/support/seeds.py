"""The seeds of layers: one child sequence for weights, one for the draws of calls, the others for the layers inside."""

from __future__ import annotations

import contextlib
import numbers
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rnnkit.layers.support.layer_tree import all_layers
from rnnkit.opaque import opaque


def seed_sequence(seed) -> np.random.SeedSequence:
    """Return the sequence of a `seed` argument: an integer, a SeedSequence, its configuration, or None for any."""
    if isinstance(seed, np.random.SeedSequence):
        return np.random.SeedSequence(seed.entropy, spawn_key=seed.spawn_key)
    if isinstance(seed, dict) and set(seed) == {"entropy", "spawn_key"}:
        return np.random.SeedSequence(seed["entropy"], spawn_key=tuple(seed["spawn_key"]))
    if seed is not None and (not isinstance(seed, numbers.Integral) or isinstance(seed, bool) or seed < 0):
        raise ValueError(f"expected seed to be a non-negative integer, a SeedSequence or None, got {seed!r}")
    return np.random.SeedSequence(None if seed is None else int(seed))


def spawned(layer: Any, count: int) -> list[np.random.SeedSequence]:
    """Return the first children of a layer's sequence."""
    # A new sequence each time: spawning from the same one again would give other children.
    return np.random.SeedSequence(layer._sequence.entropy, spawn_key=layer._sequence.spawn_key).spawn(count)


def weight_generator(layer: Any) -> np.random.Generator:
    """Return a generator at the start of the weights' stream, the same at every try to build."""
    return np.random.default_rng(spawned(layer, 1)[0])


def draw_generator(layer: Any) -> np.random.Generator:
    """Return the generator that calls draw masks from, in the state after the last call."""
    if layer._generator is None:
        layer._generator = np.random.default_rng(spawned(layer, 2)[1])
    return layer._generator


def drawn(layer: Any, function: Callable[[np.random.Generator], Any], like: Any) -> Any:
    """Return what a function draws at each call of a layer on arrays like these."""
    return opaque(lambda: function(draw_generator(layer)), draws=True, like=like)


def adopt_seed(layer: Any, sequence: np.random.SeedSequence) -> None:
    """Let a layer take a seed from the layer or model that contains it, and those inside theirs."""
    layer._given_seed, layer._sequence, layer._generator = sequence, sequence, None
    if hasattr(layer, "_pass_seed_on"):
        layer._pass_seed_on()


def start_draws(layer: Any, *numbers: int) -> None:
    """Let a layer's calls draw from the start of one of many streams."""
    layer._generator = numbered_generator(layer, 1, *numbers)  # a child of the sequence that calls draw from


def numbered_generator(layer: Any, *numbers: int) -> np.random.Generator:
    """Return a generator at the start of one of many streams of a layer's seed."""
    key = (*layer._sequence.spawn_key, *numbers)
    return np.random.default_rng(np.random.SeedSequence(layer._sequence.entropy, spawn_key=key))


@contextlib.contextmanager
def drawing_from(layer: Any, *numbers: int) -> Iterator[None]:
    """Let a layer and those inside draw from the start of streams, and afterwards from where they were."""
    kept = [(one, one._generator) for one in all_layers(layer)]
    for one, _ in kept:
        start_draws(one, *numbers)
    try:
        yield
    finally:
        for one, generator in kept:
            one._generator = generator


def seeds_for_parts(layer: Any, count: int) -> list[np.random.SeedSequence]:
    """Return the sequences for layers inside."""
    return spawned(layer, 2 + count)[2:]


def inherit_seeds(layer: Any, parts) -> None:
    """Give layers inside their sequences; those keep their seeds that have any, or are built."""
    parts = list(parts)
    for part, sequence in zip(parts, seeds_for_parts(layer, len(parts)), strict=True):
        inherit_seed(part, sequence)


def inherit_seed(layer: Any, sequence: np.random.SeedSequence) -> None:
    """Let a layer take a sequence, unless it has a seed of its own, or is built."""
    if layer._given_seed is None and not layer.built:
        adopt_seed(layer, sequence)
