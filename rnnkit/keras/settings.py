"""Keras's settings of the whole program: the precision, the seed and the numbers in names."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import ClassVar

import numpy as np

from rnnkit.free_names import snake_case

_PRECISIONS = ("float32", "float64")


class _Settings:
    floatx = "float32"
    epsilon = 1e-7
    seeds: np.random.SeedSequence | None = None  # of objects made without a seed of their own
    taken: ClassVar[defaultdict[str, int]] = defaultdict(int)  # the number of objects with each name


def floatx() -> str:
    """Return the precision of layers that are given none, ``"float32"`` at first."""
    return _Settings.floatx


def set_floatx(value) -> None:
    """Set the precision of layers that are made from here on.

    Raises
    ------
    ValueError
        For another one than float32 and float64.
    """
    _Settings.floatx = precision(value)


def epsilon() -> float:
    """Return a small number, 1e-7 at first, for the arithmetic of scripts."""
    return _Settings.epsilon


def set_epsilon(value) -> None:
    """Set the value of `epsilon`; rnnkit's own losses keep theirs."""
    _Settings.epsilon = float(value)


def precision(policy) -> str:
    """Return the name of the precision that a `dtype` argument or a policy stands for; None is `floatx`.

    Raises
    ------
    ValueError
        For another one than float32 and float64.
    """
    if policy is None:
        return floatx()
    name = getattr(policy, "compute_dtype", None) or policy
    try:
        name = name if isinstance(name, str) else np.dtype(name).name
    except TypeError:
        name = repr(name)
    if name not in _PRECISIONS:
        raise ValueError(f'expected a dtype of "float32" or "float64", got {name!r}; layers compute in one precision')
    return name


def set_random_seed(seed: int) -> None:
    """Seed Python's and NumPy's generators, and all layers and models that are made from here on without a seed.

    Two programs that call it first draw the same weights, masks and orders of rows, and so have the same bits.
    """
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002  # scripts draw from it
    _Settings.seeds = np.random.SeedSequence(seed)


def next_seed() -> np.random.SeedSequence | None:
    """Return the seed of the next layer or model that has none; None unless `set_random_seed` was called."""
    return None if _Settings.seeds is None else _Settings.seeds.spawn(1)[0]


def clear_session(free_memory: bool = True) -> None:
    """Restart the numbers in names; `free_memory` changes nothing, since unused models are freed at once."""
    _Settings.taken.clear()


def get_uid(prefix: str = "") -> int:
    """Count an object with a prefix, and return the number of those so far."""
    _Settings.taken[prefix] += 1
    return _Settings.taken[prefix]


def auto_name(class_name: str) -> str:
    """Return the name of an object without one, as Keras counts: ``lstm``, ``lstm_1``, …

    >>> clear_session()
    >>> auto_name("SimpleRNN"), auto_name("SimpleRNN")
    ('simple_rnn', 'simple_rnn_1')
    """
    name = snake_case(class_name)
    number = get_uid(name) - 1
    return f"{name}_{number}" if number else name
