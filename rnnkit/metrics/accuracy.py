"""Accuracies of predicted classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit import losses, targets
from rnnkit.arguments import positive_integer, real_number
from rnnkit.docstrings import described_as
from rnnkit.hints import Array
from rnnkit.metrics.metric import Metric, entry_weights, is_by_entry

_KINDS = ("binary", "categorical", "sparse_categorical", "equal")


def binary_accuracy(y_true: Array, y_pred: Array, threshold: Any = 0.5) -> Any:
    """Compute the share of the last axis where ``y_pred > threshold`` agrees with y_true, which is 0 or 1.

    Parameters
    ----------
    y_true : ndarray (…, D)
    y_pred : ndarray (…, D)
    threshold : float
        0.5 for probabilities, 0 for logits.

    Returns
    -------
    ndarray (…)
        Between 0 and 1.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.metrics.binary_accuracy(np.array([[0, 1, 1, 1]]), np.array([[0.2, 0.7, 0.4, 0.9]]))
    array([0.75])
    """
    losses.check_arrays(y_true, y_pred)
    right = y_true == (y_pred > threshold)
    return right[..., 0].astype(np.float64) if right.shape[-1] == 1 else np.mean(right, axis=-1)


@described_as(binary_accuracy)
def categorical_accuracy(y_true: Array, y_pred: Array) -> Any:
    """Return 1 if the largest entries of y_true and y_pred have the same index on the last axis, else 0.

    Returns
    -------
    ndarray (…)
        0 or 1.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.metrics.categorical_accuracy(np.array([[0, 1], [0, 1]]), np.array([[0.2, 0.8], [0.6, 0.4]]))
    array([1., 0.])
    """
    losses.check_arrays(y_true, y_pred)
    return (np.argmax(y_true, axis=-1) == np.argmax(y_pred, axis=-1)).astype(np.float64)


@described_as(categorical_accuracy)
def sparse_categorical_accuracy(y_true: Array, y_pred: Array) -> Any:
    """Return 1 if y_true, ``(…)`` or ``(…, 1)``, is the index of y_pred's largest entry on the last axis, else 0.

    Parameters
    ----------
    y_true : ndarray (…) or (…, 1)
        Indices of classes, from 0.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.metrics.sparse_categorical_accuracy(np.array([1, 1]), np.array([[0.2, 0.8], [0.6, 0.4]]))
    array([1., 0.])
    """
    return (_numbers_of_classes(y_true, y_pred) == np.argmax(y_pred, axis=-1)).astype(np.float64)


@described_as(categorical_accuracy)
def top_k_categorical_accuracy(y_true: Array, y_pred: Array, k: Any = 5) -> Any:
    """Return 1 if y_true's largest entry is among the `k` largest of y_pred, else 0.

    Parameters
    ----------
    k : int

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> y_pred = np.array([[0.5, 0.1, 0.4], [0.5, 0.3, 0.2]])
    >>> rk.metrics.top_k_categorical_accuracy(np.array([[0, 0, 1], [0, 0, 1]]), y_pred, k=2)
    array([1., 0.])
    """
    losses.check_arrays(y_true, y_pred)
    return sparse_top_k_categorical_accuracy(np.argmax(y_true, axis=-1), y_pred, k)


@described_as(sparse_categorical_accuracy)
def sparse_top_k_categorical_accuracy(y_true: Array, y_pred: Array, k: Any = 5) -> Any:
    """Return 1 if the entry of y_pred with the index y_true is among the `k` largest, else 0.

    Equal entries have the rank of the first one of them; an entry that isn't finite is no prediction.

    Parameters
    ----------
    k : int

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> y_pred = np.array([[0.5, 0.1, 0.4], [0.5, 0.3, 0.2]])
    >>> rk.metrics.sparse_top_k_categorical_accuracy(np.array([2, 2]), y_pred, k=2)
    array([1., 0.])
    """
    k = positive_integer(k, "k")
    place = _numbers_of_classes(y_true, y_pred).astype(np.intp)[..., None]
    inside = (place >= 0) & (place < y_pred.shape[-1])
    chosen = np.take_along_axis(y_pred, np.where(inside, place, 0), axis=-1)
    above = np.count_nonzero(y_pred > chosen, axis=-1)
    return ((above < k) & np.isfinite(chosen[..., 0]) & inside[..., 0]).astype(np.float64)


def _numbers_of_classes(y_true, y_pred):
    losses.check_arrays(y_true, y_pred)
    return y_true[..., 0] if y_true.ndim == y_pred.ndim else y_true


class _ByEntry(Metric):
    """Base of metrics of single entries, whose mean over a row is a value: weights may be of entries, too."""

    def update(self, y_true: Array, y_pred: Array, mask: Array = None, sample_weight: Array = None) -> None:
        y_true, y_pred = targets.aligned(y_true, y_pred)
        of_entries = y_true.shape == y_pred.shape and self.settings.get("kind", "equal") in ("equal", "binary")
        if of_entries and mask is None and is_by_entry(sample_weight, y_pred.ndim):
            sample_weight = entry_weights(sample_weight, y_pred.shape)
            y_true, y_pred = y_true.reshape(-1, 1), y_pred.reshape(-1, 1)
        super().update(y_true, y_pred, mask, sample_weight)


@described_as(binary_accuracy)
class BinaryAccuracy(_ByEntry):
    """The mean of `binary_accuracy`.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.metrics.BinaryAccuracy()([[0.0], [1.0], [1.0], [1.0]], [[0.2], [0.7], [0.4], [0.9]])
    0.75
    """

    def __init__(self, threshold: Any = 0.5, name: str = "binary_accuracy"):
        super().__init__(binary_accuracy, name, threshold=real_number(threshold, "threshold"))


class CategoricalAccuracy(Metric):
    """The mean of `categorical_accuracy`.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.metrics.CategoricalAccuracy()([[0, 1], [0, 1]], [[0.2, 0.8], [0.6, 0.4]])
    0.5
    """

    def __init__(self, name: str = "categorical_accuracy"):
        super().__init__(categorical_accuracy, name)


class SparseCategoricalAccuracy(Metric):
    """The mean of `sparse_categorical_accuracy`.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.metrics.SparseCategoricalAccuracy()([1, 1], [[0.2, 0.8], [0.6, 0.4]])
    0.5
    """

    def __init__(self, name: str = "sparse_categorical_accuracy"):
        super().__init__(sparse_categorical_accuracy, name)


@described_as(top_k_categorical_accuracy)
class TopKCategoricalAccuracy(Metric):
    """The mean of `top_k_categorical_accuracy`.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.metrics.TopKCategoricalAccuracy(k=2)([[0, 0, 1], [0, 0, 1]], [[0.5, 0.1, 0.4], [0.5, 0.3, 0.2]])
    0.5
    """

    def __init__(self, k: Any = 5, name: str = "top_k_categorical_accuracy"):
        super().__init__(top_k_categorical_accuracy, name, k=positive_integer(k, "k"))


@described_as(sparse_top_k_categorical_accuracy)
class SparseTopKCategoricalAccuracy(Metric):
    """The mean of `sparse_top_k_categorical_accuracy`.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.metrics.SparseTopKCategoricalAccuracy(k=2)([2, 2], [[0.5, 0.1, 0.4], [0.5, 0.3, 0.2]])
    0.5
    """

    def __init__(self, k: Any = 5, name: str = "sparse_top_k_categorical_accuracy"):
        super().__init__(sparse_top_k_categorical_accuracy, name, k=positive_integer(k, "k"))


class Accuracy(_ByEntry):
    """The share of right predictions, of a kind chosen by the arrays' shapes.

    Parameters
    ----------
    kind : "binary", "categorical", "sparse_categorical", "equal" or None
        None decides by the last axes: `binary_accuracy` if y_pred has one value, `sparse_categorical_accuracy` if
        only y_true has one, else `categorical_accuracy`. "equal" is the share of the last axis where both are equal.
    threshold : float
        Of binary predictions: 0.5 for probabilities, 0 for logits.

    Raises
    ------
    ValueError
        For another kind.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.metrics.Accuracy()([1, 1], [[0.2, 0.8], [0.6, 0.4]])
    0.5
    """

    def __init__(self, kind: Any = None, threshold: Any = 0.5, name: str = "accuracy"):
        if kind not in (None, *_KINDS):
            raise ValueError(f"expected a kind of {', '.join(map(repr, _KINDS))} or None, got {kind!r}")
        super().__init__(binary_accuracy, name, kind=kind, threshold=real_number(threshold, "threshold"))

    def _values(self, y_true, y_pred):
        kind = self.settings["kind"]
        if kind is None and y_pred.shape[-1] != 1:
            kind = "sparse_categorical" if y_true.shape[-1] == 1 else "categorical"
        if kind == "sparse_categorical":
            return sparse_categorical_accuracy(y_true, y_pred)
        if kind == "categorical":
            return categorical_accuracy(y_true, y_pred)
        if kind == "equal":
            return np.mean(y_true == y_pred, axis=-1)
        return binary_accuracy(y_true, y_pred, self.settings["threshold"])
