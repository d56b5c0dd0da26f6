"""How many predictions of classes are right."""

from __future__ import annotations

import numpy as np

from rnnkit import losses
from rnnkit.arguments import positive_integer, real_number
from rnnkit.metrics.metric import Metric


def binary_accuracy(y_true, y_pred, threshold=0.5):
    """The share of entries of the last axis where ``y_pred > threshold`` agrees with y_true, which is 0 or 1."""
    losses.check_arrays(y_true, y_pred)
    right = y_true == (y_pred > threshold)
    return right[..., 0].astype(np.float64) if right.shape[-1] == 1 else np.mean(right, axis=-1)


def categorical_accuracy(y_true, y_pred):
    """1 where the largest entries of y_true and y_pred stand in the same place of the last axis, else 0."""
    losses.check_arrays(y_true, y_pred)
    return (np.argmax(y_true, axis=-1) == np.argmax(y_pred, axis=-1)).astype(np.float64)


def sparse_categorical_accuracy(y_true, y_pred):
    """1 where y_true, ``(…)`` or ``(…, 1)``, is the place of y_pred's largest entry on the last axis, else 0."""
    return (_numbers_of_classes(y_true, y_pred) == np.argmax(y_pred, axis=-1)).astype(np.float64)


def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """1 where y_true's largest entry is among the `k` largest of y_pred, else 0."""
    losses.check_arrays(y_true, y_pred)
    return sparse_top_k_categorical_accuracy(np.argmax(y_true, axis=-1), y_pred, k)


def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5):
    """1 where the entry of y_pred that y_true names is among the `k` largest, else 0.

    Equal entries share a place: that of the first one of them; an entry that isn't finite is no prediction.
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


class BinaryAccuracy(Metric):
    """`binary_accuracy`: `threshold` is 0.5 for probabilities, 0 for logits."""

    def __init__(self, threshold=0.5, name="binary_accuracy"):
        super().__init__(binary_accuracy, name, threshold=real_number(threshold, "threshold"))


class CategoricalAccuracy(Metric):
    """`categorical_accuracy`."""

    def __init__(self, name="categorical_accuracy"):
        super().__init__(categorical_accuracy, name)


class SparseCategoricalAccuracy(Metric):
    """`sparse_categorical_accuracy`."""

    def __init__(self, name="sparse_categorical_accuracy"):
        super().__init__(sparse_categorical_accuracy, name)


class TopKCategoricalAccuracy(Metric):
    """`top_k_categorical_accuracy`."""

    def __init__(self, k=5, name="top_k_categorical_accuracy"):
        super().__init__(top_k_categorical_accuracy, name, k=positive_integer(k, "k"))


class SparseTopKCategoricalAccuracy(Metric):
    """`sparse_top_k_categorical_accuracy`."""

    def __init__(self, k=5, name="sparse_top_k_categorical_accuracy"):
        super().__init__(sparse_top_k_categorical_accuracy, name, k=positive_integer(k, "k"))


class Accuracy(Metric):
    """The share of right predictions, by what the arrays' shapes say.

    Parameters
    ----------
    kind : "binary", "categorical", "sparse_categorical" or None
        None looks at the last axes: `binary_accuracy` where y_pred has one value, `sparse_categorical_accuracy` where
        y_true alone has one, else `categorical_accuracy`.
    threshold : float
        Of binary predictions: 0.5 for probabilities, 0 for logits.
    name : str
    """

    def __init__(self, kind=None, threshold=0.5, name="accuracy"):
        if kind not in (None, "binary", "categorical", "sparse_categorical"):
            raise ValueError(f'expected a kind of "binary", "categorical" or "sparse_categorical", got {kind!r}')
        super().__init__(binary_accuracy, name, kind=kind, threshold=real_number(threshold, "threshold"))

    def _values(self, y_true, y_pred):
        kind = self.settings["kind"]
        if kind is None and y_pred.shape[-1] != 1:
            kind = "sparse_categorical" if y_true.shape[-1] == 1 else "categorical"
        if kind == "sparse_categorical":
            return sparse_categorical_accuracy(y_true, y_pred)
        if kind == "categorical":
            return categorical_accuracy(y_true, y_pred)
        return binary_accuracy(y_true, y_pred, self.settings["threshold"])
