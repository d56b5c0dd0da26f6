"""Areas under curves over all thresholds."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.activations import sigmoid
from rnnkit.arguments import fraction, whole
from rnnkit.hints import Array
from rnnkit.metrics.counts import Counts, divided
from rnnkit.metrics.metric import Measure, used_entries

_EDGE = 1e-7  # as in Keras, the distance of the outer thresholds from 0 and 1


class AUC(Measure):
    """The area under the curve of a binary prediction, by sums over thresholds, as Keras computes it.

    Parameters
    ----------
    num_thresholds : int
        2 or more, at equal distances from 0 to 1; predictions beyond are clipped to 0 or 1.
    curve : {"ROC", "PR"}
        The true positive rate against the false positive rate; or precision
        against recall.
    summation_method : {"interpolation", "minoring", "majoring"}
        Between thresholds: the mean of both heights, for "PR" the interpolation of Davis and Goadrich (2006); the lower
        height; the higher one.
    name : str
    thresholds : list of float, optional
        Between 0 and 1, in place of equal distances.
    multi_label : bool
        Take an area for each entry of the last axis, and their mean.
    label_weights : list of float, optional
        Weights of the entries of the last axis.
    from_logits : bool

    Examples
    --------
    >>> AUC(num_thresholds=3)([[0], [0], [1], [1]], [[0.0], [0.5], [0.3], [0.9]])
    0.75
    """

    from_logits: bool
    multi_label: bool

    def __init__(
        self,
        num_thresholds: int = 200,
        curve: str = "ROC",
        summation_method: str = "interpolation",
        name: str = "auc",
        thresholds: Any = None,
        multi_label: bool = False,
        label_weights: Any = None,
        from_logits: bool = False,
    ):
        if curve not in ("ROC", "PR"):
            raise ValueError(f"expected a curve of 'ROC' or 'PR', got {curve!r}")
        if summation_method not in ("interpolation", "minoring", "majoring"):
            raise ValueError(
                f"expected a summation_method of 'interpolation', 'minoring' or 'majoring', got {summation_method!r}"
            )
        self.num_thresholds: Any = whole(num_thresholds, "num_thresholds", 2)
        self.curve, self.summation_method = curve, summation_method
        self.thresholds: Any = (
            None if thresholds is None else sorted(fraction(one, "a threshold") for one in thresholds)
        )
        self.multi_label, self.from_logits = bool(multi_label), bool(from_logits)
        self.label_weights: Any = None if label_weights is None else [float(one) for one in label_weights]
        super().__init__(name)

    def reset(self) -> None:
        """Forget all batches."""
        self._counts: Counts | None = None

    def update(self, y_true: Array, y_pred: Array, mask: Array = None, sample_weight: Array = None) -> None:
        """Add a batch, as `Metric.update`."""
        y_true, y_pred, weight = used_entries(y_true, y_pred, mask, sample_weight, True)
        y_pred = sigmoid(y_pred) if self.from_logits else y_pred
        y_pred = np.fmin(np.fmax(y_pred, 0), 1) if self.thresholds is None else y_pred  # NaN becomes 0
        if self.label_weights is not None and not self.multi_label:
            weight = weight * np.array(self.label_weights)
        if self._counts is None:
            last = self.num_thresholds - 1
            inner = [i / last for i in range(1, last)] if self.thresholds is None else self.thresholds
            labels = y_pred.shape[-1] if self.multi_label else None
            self._counts = Counts([-_EDGE, *inner, 1 + _EDGE], labels)
        self._counts.add(y_true, y_pred, weight)

    def result(self) -> float:
        """Return the area so far; 0 without entries."""
        if self._counts is None:
            return 0.0
        areas = np.sum(self._areas(self._counts), axis=0)
        if not self.multi_label:
            return float(areas)
        return float(np.average(areas, weights=self.label_weights))

    def _areas(self, counts: Counts) -> np.ndarray:
        """Return the areas between neighbouring thresholds."""
        right, wrong = counts.true_positives, counts.false_positives
        positive = right + counts.false_negatives
        recall, predicted = divided(right, positive), right + wrong
        if self.curve == "PR" and self.summation_method == "interpolation":
            gained, taken = right[:-1] - right[1:], predicted[:-1] - predicted[1:]
            slope = divided(gained, np.maximum(taken, 0))
            start = right[1:] - slope * predicted[1:]
            both = (predicted[:-1] > 0) & (predicted[1:] > 0)
            ratio = np.where(both, divided(predicted[:-1], predicted[1:]), 1.0)
            return divided(slope * (gained + start * np.log(ratio)), positive[1:])
        if self.curve == "ROC":
            x, y = divided(wrong, wrong + counts.true_negatives), recall
        else:
            x, y = recall, divided(right, predicted)
        if self.summation_method == "interpolation":
            heights = (y[:-1] + y[1:]) / 2
        else:
            heights = (np.minimum if self.summation_method == "minoring" else np.maximum)(y[:-1], y[1:])
        return (x[:-1] - x[1:]) * heights
