"""The share of the targets' variation that outputs explain."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rnnkit.arguments import whole
from rnnkit.hints import Array
from rnnkit.metrics.counts import divided
from rnnkit.metrics.metric import Measure, used_entries


class R2Score(Measure):
    """The coefficient of determination ``1 - sum((y_true - y_pred)²) / sum((y_true - mean)²)``.

    Parameters
    ----------
    class_aggregation : {"uniform_average", "variance_weighted_average"} or None
        The mean over the entries of the last axis; the mean weighted by their variance; None gives an array, which
        training refuses.
    num_regressors : int
        The number of regressors for the adjusted score; 0 for the plain one.

    Examples
    --------
    >>> R2Score()([[1.0], [2.0], [3.0]], [[1.0], [2.0], [2.0]])
    0.5
    """

    def __init__(self, class_aggregation: str = "uniform_average", num_regressors: int = 0, name: str = "r2_score"):
        if class_aggregation not in (None, "uniform_average", "variance_weighted_average"):
            raise ValueError(
                "expected class_aggregation to be None, 'uniform_average' or 'variance_weighted_average', got "
                f"{class_aggregation!r}"
            )
        self.class_aggregation = class_aggregation
        self.num_regressors: Any = whole(num_regressors, "num_regressors", 0)
        super().__init__(name)

    def reset(self) -> None:
        """Forget all batches."""
        self._count, self._rows = 0.0, 0
        self._mean = self._spread = self._residual = 0.0  # arrays from the first batch on

    def update(self, y_true: Array, y_pred: Array, mask: Array = None, sample_weight: Array = None) -> None:
        """Add a batch, as `Metric.update`."""
        y_true, y_pred, weight = used_entries(y_true, y_pred, mask, sample_weight)
        if not len(weight):
            return
        y_true, y_pred, weight = y_true.astype(np.float64), y_pred.astype(np.float64), weight
        count, mean = weight.sum(), np.average(y_true, axis=0, weights=weight[:, 0])
        total, apart = self._count + count, mean - self._mean
        spread = np.sum(weight * np.square(y_true - mean), axis=0)
        self._spread = self._spread + spread + np.square(apart) * self._count * count / total
        self._residual = self._residual + np.sum(weight * np.square(y_true - y_pred), axis=0)
        self._mean, self._count = self._mean + apart * count / total, total
        self._rows += y_true.size

    def result(self) -> Any:
        """Return the score so far; NaN without entries, 0 for targets that are all equal."""
        if not self._count:
            return math.nan
        spread, residual = np.asarray(self._spread), np.asarray(self._residual)
        scores: Any = np.where(spread == 0, np.where(residual == 0, np.nan, 0.0), 1 - divided(residual, spread))
        if self.class_aggregation == "uniform_average":
            scores = np.mean(scores)
        elif self.class_aggregation == "variance_weighted_average":
            scores = np.sum(spread * scores) / np.sum(spread)
        if 0 < self.num_regressors < self._rows - 1:
            scores = 1 - (1 - scores) * (self._rows - 1) / (self._rows - self.num_regressors - 1)
        return scores if np.ndim(scores) else float(scores)
