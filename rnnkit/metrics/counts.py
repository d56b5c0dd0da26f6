"""Counts of true and false predictions above thresholds, and metrics derived from them."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.arguments import fraction, number_from_zero, positive_integer, real_number, whole
from rnnkit.free_names import snake_case
from rnnkit.hints import Array
from rnnkit.metrics.metric import Kept, Measure, used_entries


def divided(a, b) -> np.ndarray:
    """Return ``a / b``, 0 where b is 0."""
    return np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=np.not_equal(b, 0))


class Counts:
    """Sums of weights of true and false, positive and negative predictions, for each threshold.

    A prediction above a threshold is positive; thresholds ``(n,)`` ascend. The sums are ``(n,)``, or ``(n, labels)``.
    """

    def __init__(self, thresholds, labels: int | None = None):
        self.thresholds, self.labels = np.asarray(thresholds, np.float64), labels
        shape = (len(self.thresholds),) if labels is None else (len(self.thresholds), labels)
        self.true_positives, self.false_positives, self.true_negatives, self.false_negatives = np.zeros((4, *shape))

    def add(self, y_true, y_pred, weight) -> None:
        """Add predictions ``(N, K)`` with weights that NumPy broadcasts; with labels, per column."""
        weight = np.broadcast_to(weight, y_pred.shape)
        if self.labels is None:
            parts: list[tuple[Any, ...]] = [(..., y_true.ravel() != 0, y_pred.ravel(), weight.ravel())]
        else:
            parts = [((slice(None), k), y_true[:, k] != 0, y_pred[:, k], weight[:, k]) for k in range(self.labels)]
        for at, positive, values, weights in parts:
            (negatives, positives), (all_negatives, all_positives) = self._above(positive, values, weights)
            self.true_positives[at] += positives
            self.false_negatives[at] += all_positives - positives
            self.false_positives[at] += negatives
            self.true_negatives[at] += all_negatives - negatives

    def _above(self, positive, values, weights) -> tuple[np.ndarray, np.ndarray]:
        """Return, for negatives and positives, the weights of values above each threshold, and of all values."""
        place = np.searchsorted(self.thresholds.astype(values.dtype), values, side="left")
        place[np.isnan(values)] = 0  # NaN is above no threshold
        places = len(self.thresholds) + 1
        found = np.bincount(place + places * positive, weights, 2 * places).reshape(2, places)
        return np.cumsum(found[:, ::-1], axis=1)[:, -2::-1], found.sum(axis=1)


def _sums(name: str) -> property:
    return property(lambda self: getattr(self._counts, name)[np.argsort(self._order)], doc=f"The {name} so far, (n,).")


class CountingMetric(Measure):
    """Base of metrics of counts; a subclass defines `_share`.

    Parameters
    ----------
    thresholds : float or list of float, optional
        A prediction above is positive; 0.5 by default. Several give several results, which training refuses.
    top_k : int, optional
        The `top_k` largest predictions of a row are positive, if they are above the given thresholds.
    class_id : int, optional
        Count only this entry of the last axis.
    name : str
    """

    _default = ""
    _reads: tuple[str, ...] = ()  # the sums of which the result is computed
    true_positives, false_positives = _sums("true_positives"), _sums("false_positives")
    true_negatives, false_negatives = _sums("true_negatives"), _sums("false_negatives")

    def __init__(self, thresholds: Any = None, top_k: Any = None, class_id: Any = None, name: str | None = None):
        self.thresholds = thresholds
        self.top_k: Any = None if top_k is None else positive_integer(top_k, "top_k")
        self.class_id: Any = None if class_id is None else whole(class_id, "class_id", 0)
        several = isinstance(thresholds, (list, tuple, np.ndarray))
        default = 0.5 if top_k is None else -np.inf
        given = list(thresholds) if several else [default if thresholds is None else thresholds]
        self._used = [real_number(one, "a threshold") for one in given]
        super().__init__(name or self._default)

    def reset(self) -> None:
        """Forget all batches."""
        self._order = np.argsort(self._used, kind="stable")
        self._counts = Counts(np.sort(self._used))

    def update(self, y_true: Array, y_pred: Array, mask: Array = None, sample_weight: Array = None) -> None:
        """Add a batch, as `Metric.update`."""
        if np.ndim(y_pred) == 1 and self.class_id is not None:
            raise ValueError(f"expected y_pred of shape (batch, classes) for class_id, got {np.shape(y_pred)}")
        if np.ndim(y_pred) == 1 and self.top_k is not None:  # one row, as in Keras
            y_true, y_pred = np.reshape(y_true, (1, -1)), np.reshape(y_pred, (1, -1))
        y_true, y_pred, weight = used_entries(y_true, y_pred, mask, sample_weight, True)
        if self.top_k is not None and y_pred.size:
            kept = np.zeros(y_pred.shape, bool)  # of equal ones the first, as in Keras
            np.put_along_axis(kept, np.argsort(-y_pred, axis=-1, kind="stable")[:, : self.top_k], True, axis=-1)
            y_pred = np.where(kept, y_pred, -np.inf)
        if self.class_id is not None:
            y_true, y_pred = y_true[:, [self.class_id]], y_pred[:, [self.class_id]]
            weight = weight[:, [self.class_id]] if weight.shape[1] > 1 else weight
        self._counts.add(y_true, y_pred, weight)

    def result(self) -> Any:
        """Return the result so far, an array for several thresholds."""
        found = np.empty(len(self._used))
        found[self._order] = self._share(self._counts)
        return found if isinstance(self.thresholds, (list, tuple, np.ndarray)) and len(found) > 1 else float(found[0])

    def _share(self, counts: Counts) -> np.ndarray:
        raise NotImplementedError

    @property
    def variables(self) -> list:
        """The sums that the result is computed of, by ascending thresholds."""
        return [Kept(self._counts, name, self.name) for name in self._reads]


class Precision(CountingMetric):
    """The share of right ones among the positive predictions; 0 without any.

    Examples
    --------
    >>> Precision()([[0.0], [1.0], [1.0]], [[0.9], [0.8], [0.1]])
    0.5
    """

    _default = "precision"
    _reads = ("true_positives", "false_positives")

    def _share(self, counts):
        return divided(counts.true_positives, counts.true_positives + counts.false_positives)


class Recall(CountingMetric):
    """The share of positives that are predicted as such; 0 without any.

    Examples
    --------
    >>> Recall()([[0.0], [1.0], [1.0]], [[0.9], [0.8], [0.1]])
    0.5
    """

    _default = "recall"
    _reads = ("true_positives", "false_negatives")

    def _share(self, counts):
        return divided(counts.true_positives, counts.true_positives + counts.false_negatives)


class _OneCount(CountingMetric):
    """Base of metrics that are one of the four counts."""

    def __init__(self, thresholds: Any = None, name: str | None = None):
        super().__init__(thresholds, name=name)

    def _share(self, counts):
        return getattr(counts, self._default)


def _count_of(class_name: str, told: str, found: float) -> type[_OneCount]:
    """Make the class of a metric that is one of the four counts."""
    text = f"""The weight of {told}.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.metrics.{class_name}()([[0.0], [1.0], [1.0]], [[0.9], [0.8], [0.1]])
    {found}
    """
    name = snake_case(class_name)
    body = {"_default": name, "_reads": (name,), "__doc__": text, "__module__": __name__}
    return type(class_name, (_OneCount,), body)


TruePositives: type[_OneCount] = _count_of("TruePositives", "positive predictions that are right", 1.0)
FalsePositives: type[_OneCount] = _count_of("FalsePositives", "positive predictions that are wrong", 1.0)
TrueNegatives: type[_OneCount] = _count_of("TrueNegatives", "negative predictions that are right", 0.0)
FalseNegatives: type[_OneCount] = _count_of("FalseNegatives", "negative predictions that are wrong", 1.0)


class FBetaScore(Measure):
    """The F score of each class, and their mean.

    ``(1 + beta²) precision recall / (beta² precision + recall)``; 0 if both are 0.

    Parameters
    ----------
    average : {"macro", "micro", "weighted"} or None
        The mean over classes; the score of all predictions together; the mean weighted by class frequency; None gives
        an array, which training refuses.
    beta : float above 0
    threshold : float, optional
        A prediction above is positive; without one, the largest prediction of a row.

    Raises
    ------
    ValueError
        For another average, or a beta or threshold outside of its range.

    Examples
    --------
    >>> FBetaScore("macro")([[1, 0], [0, 1], [0, 1]], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    0.6666666666666666
    """

    beta: Any

    def __init__(self, average: Any = None, beta: Any = 1.0, threshold: Any = None, name: str = "fbeta_score"):
        if average not in (None, "micro", "macro", "weighted"):
            raise ValueError(f"expected average to be None, 'micro', 'macro' or 'weighted', got {average!r}")
        if not number_from_zero(beta, "beta"):
            raise ValueError(f"expected beta above 0, got {beta!r}")
        self.average, self.beta = average, float(beta)
        self.threshold: Any = None if threshold is None else fraction(threshold, "threshold")
        super().__init__(name)

    def reset(self) -> None:
        """Forget all batches."""
        self._sums: np.ndarray = np.zeros((3, 1))

    def update(self, y_true: Array, y_pred: Array, mask: Array = None, sample_weight: Array = None) -> None:
        """Add a batch, as `Metric.update`."""
        y_true, y_pred, weight = used_entries(y_true, y_pred, mask, sample_weight)
        if self.threshold is None:
            largest = np.max(y_pred, axis=-1, keepdims=True, initial=-np.inf)
            positive = (y_pred >= largest) & (np.abs(y_pred) > 1e-9)
        else:
            positive = y_pred > self.threshold
        sums = np.stack([np.sum(part * weight, axis=0) for part in (positive * y_true, positive, 1.0 * y_true)])
        self._sums = self._sums + (sums.sum(axis=1, keepdims=True) if self.average == "micro" else sums)

    def result(self) -> Any:
        """Return the score so far."""
        right, predicted, real = self._sums
        precision, recall, square = divided(right, predicted), divided(right, real), self.beta**2
        scores = divided((1 + square) * precision * recall, square * precision + recall)
        if self.average is None:
            return scores
        return float(np.sum(scores * divided(real, real.sum())) if self.average == "weighted" else np.mean(scores))


class F1Score(FBetaScore):
    """The F score with a beta of 1, the harmonic mean of precision and recall.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.metrics.F1Score("macro")([[1, 0], [0, 1], [0, 1]], [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3]])
    0.6666666666666666
    """

    def __init__(self, average: Any = None, threshold: Any = None, name: str = "f1_score"):
        super().__init__(average, 1.0, threshold, name)
