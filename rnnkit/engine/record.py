"""One call of a layer, checked and normalised, and what comes of it: the language between layers and executors."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np


@dataclass(slots=True)
class Record:
    """Arrays and wishes of one call, in the layer's dtype.

    Attributes
    ----------
    x : ndarray (B, T, *features)
        The feature axes are C-contiguous; batch and time may have any stride.
    states : tuple of ndarray (B, *shape)
        The initial states, never written to.
    weights : dict of str to ndarray
    mask : ndarray of bool (B, T), or None
    constants : tuple of ndarray (B, ...)
    draws : dict of str to ndarray (B, ...)
    reverse : bool
        Process the steps from T-1 to 0.
    zero_masked : bool
        Masked steps put out zeros rather than the held output.
    sequences, trajectory : bool
        Keep every output; keep every state.
    training : bool
    place : ndarray (B, T, *output), or None
        Where every output may be written, of any strides along batch and time; an executor that does gives it back.
    """

    x: np.ndarray
    states: tuple[np.ndarray, ...]
    weights: dict[str, np.ndarray]
    mask: np.ndarray | None = None
    constants: tuple[np.ndarray, ...] = ()
    draws: dict[str, np.ndarray] = field(default_factory=dict)
    reverse: bool = False
    zero_masked: bool = False
    sequences: bool = True
    trajectory: bool = False
    training: bool = False
    place: np.ndarray | None = None


@dataclass(slots=True)
class Result:
    """New arrays, in processing order along time.

    Attributes
    ----------
    outputs : ndarray (B, T, *output), or None
    last : ndarray (B, *output)
        The held output after the last processed step.
    states : tuple of ndarray (B, *shape)
        The states after the last processed step.
    trajectory : tuple of ndarray (B, T, *shape), or None
    """

    outputs: np.ndarray | None
    last: np.ndarray
    states: tuple[np.ndarray, ...]
    trajectory: tuple[np.ndarray, ...] | None = None
