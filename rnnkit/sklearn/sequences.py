"""Conversion of scikit-learn's X to sequences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sklearn.utils.validation import check_array, validate_data

from rnnkit.sequences.frames import sequences_from_frame

_BLOCK = 1 << 22  # numbers at all steps of the sequences run together


@dataclass(frozen=True)
class Sequences:
    """Sequences of any lengths, with their steps concatenated."""

    steps: np.ndarray  # (sum of lengths, F)
    lengths: np.ndarray  # (n,) of int

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def features(self) -> int:
        """The number of features F."""
        return self.steps.shape[1]

    def listed(self) -> list[np.ndarray]:
        """Return the sequences as a list of ``(T_i, F)``."""
        return np.split(self.steps, np.cumsum(self.lengths)[:-1])

    def __getitem__(self, rows) -> Sequences:
        """Return some of the sequences, by index."""
        each = self.listed()
        return Sequences(np.concatenate([each[row] for row in rows]), self.lengths[rows])

    def scale(self, weights) -> Scale:
        """Return the scale of all steps, with their sequences' weights."""
        return Scale.of(self.steps, np.repeat(weights, self.lengths))

    def blocks(self, width: int) -> Iterator[slice]:
        """Yield consecutive parts that fit in memory with `width` numbers at each step."""
        part = np.cumsum(self.lengths) * width // _BLOCK
        starts = np.flatnonzero(np.diff(part, prepend=-1))
        for start, stop in zip(starts, [*starts[1:], len(self)], strict=True):
            yield slice(start, stop)


@dataclass(frozen=True)
class Scale:
    """Mean and spread of each feature over the steps of the sequences fitted; a constant feature becomes 0."""

    mean: np.ndarray
    spread: np.ndarray

    @classmethod
    def of(cls, values, weights=None) -> Scale:
        """Measure ``values (rows, F)``, by weight."""
        mean = np.average(values, axis=0, weights=weights)
        spread = np.sqrt(np.average((values - mean) ** 2, axis=0, weights=weights))
        # A spread of rounding errors alone would amplify them.
        return cls(mean, np.where(spread > 1e-12 * np.maximum(np.abs(mean), 1e-300), spread, 1.0))

    def apply(self, values) -> np.ndarray:
        """Subtract the mean and divide by the spread."""
        return (values - self.mean) / self.spread

    def undo(self, values) -> np.ndarray:
        """Invert `apply`."""
        return values * self.spread + self.mean


def read(estimator, X, reset: bool) -> Sequences:
    """Return X as sequences; in `fit` (`reset`) the estimator's ``n_features_in_`` is set, otherwise checked.

    X is an array ``(n, T)`` or ``(n, T, F)``, or a list of n arrays ``(T_i,)`` or ``(T_i, F)``. With two axes, it is
    one feature over time; ``n_features_in_`` is T then, and else F.
    """
    listed = _is_list_of_sequences(X)
    if listed or getattr(X, "ndim", 2) == 3:
        if reset:
            validate_data(estimator, X, skip_check_array=True, ensure_2d=False)
        found = of_list(X, estimator) if listed else _of_array(_checked(X, estimator, allow_nd=True))
        table = False
    else:
        table = reset or estimator._table
        rows = validate_data(estimator, X, reset=reset, dtype=np.float64) if table else _checked(X, estimator)
        found = _of_array(rows[:, :, None])
    if reset:
        estimator._table, estimator._step_features = table, found.features
        if not table:
            estimator.n_features_in_ = found.features
    elif found.features != estimator._step_features:
        raise ValueError(
            f"X has {found.features} features at each step, but {type(estimator).__name__} is expecting "
            f"{estimator._step_features} features as input"
        )
    return found


def _checked(X, estimator, **options) -> np.ndarray:
    return check_array(X, dtype=np.float64, estimator=estimator, input_name="X", **options)


def _of_array(array) -> Sequences:
    n, length, features = array.shape
    if not length or not features:
        raise ValueError(f"Found array with {length} step(s) of {features} feature(s); a minimum of 1 is required.")
    return Sequences(array.reshape(n * length, features), np.full(n, length))


def _is_list_of_sequences(X) -> bool:
    """Return whether X is a list of sequences, rather than an array or nested lists of two axes."""
    if isinstance(X, np.ndarray):
        return X.dtype == object and X.ndim == 1 and len(X) > 0 and np.ndim(X[0]) > 0
    if not isinstance(X, (list, tuple)) or not len(X) or not hasattr(X[0], "__len__") or isinstance(X[0], (str, dict)):
        return False
    lengths = {len(one) if hasattr(one, "__len__") else -1 for one in X}
    return len(lengths) > 1 or np.ndim(X[0]) == 2


def of_list(X, estimator) -> Sequences:
    """Return a list of non-empty sequences ``(T_i, F)`` or ``(T_i,)`` as `Sequences`."""
    arrays: list[np.ndarray] = []
    for i, one in enumerate(X):
        array = np.asarray(one)
        array = array[:, None] if array.ndim == 1 else array
        if array.ndim != 2 or 0 in array.shape:
            raise ValueError(
                f"Expected sequences of shape (steps, features), at least a step; got {array.shape} at {i}"
            )
        if arrays and array.shape[1] != arrays[0].shape[1]:
            raise ValueError(
                f"Expected sequences with {arrays[0].shape[1]} features, as the first has; got {array.shape[1]} at {i}"
            )
        arrays.append(array)
    if not arrays:
        raise ValueError("Found array with 0 sample(s) while a minimum of 1 is required.")
    return Sequences(_checked(np.concatenate(arrays), estimator), np.array([len(array) for array in arrays]))


def of_frame(estimator, X, id: str, time: str | None, reset: bool) -> Sequences:
    """Return the sequences of a table, in the order of first appearance; columns are as of `sequences_from_frame`.

    In `fit` (`reset`), the estimator's ``feature_names_in_`` and ``n_features_in_`` are set; otherwise X is checked
    against them.
    """
    found = sequences_from_frame(X, id, time=time)
    import narwhals as nw  # installed, as the table was read

    features = nw.from_native(X).drop([id] if time is None else [id, time])
    validate_data(estimator, features.to_native(), reset=reset, skip_check_array=True)
    return of_list(list(found.values()), estimator)
