"""Metrics that are means of losses, and means and sums of numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from rnnkit import losses
from rnnkit.arrays import numbers_of, real
from rnnkit.hints import Array
from rnnkit.metrics.metric import Measure, Metric


class RootMeanSquaredError(Metric):
    """The root of the mean over all batches of `rnnkit.losses.mean_squared_error`.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.metrics.RootMeanSquaredError()([[0.0], [0.0]], [[3.0], [1.0]])
    2.23606797749979
    """

    def __init__(self, name: str = "root_mean_squared_error"):
        super().__init__(losses.mean_squared_error, name)

    def _finish(self, mean):
        return math.sqrt(mean)


class CosineSimilarity(Metric):
    """The mean cosine of the angle between y_true and y_pred: the negative of the loss of this name.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.metrics.CosineSimilarity()([[1.0, 0.0]], [[1.0, 0.0]])
    1.0
    """

    def __init__(self, name: str = "cosine_similarity"):
        super().__init__(losses.cosine_similarity, name)

    def _finish(self, mean):
        return -mean


class _OfLoss(Metric):
    """Base of metrics that are the mean of a loss, with the loss's settings."""

    _loss: str

    def __init__(self, name: str = "", **settings: Any):
        super().__init__(losses.LOSSES[self._loss], name, **settings)


def _mean_of(class_name: str, loss: str, name: str | None = None) -> type[_OfLoss]:
    """Make the class of a metric that is the mean of a loss."""

    def init(self, name: str = name or loss, **settings: Any):
        _OfLoss.__init__(self, name, **settings)

    told = f"""The mean of `rnnkit.losses.{loss}`.

    Parameters
    ----------
    name : str
    **settings
        Those of the loss.

    Examples
    --------
    >>> import rnnkit as rk
    >>> rk.metrics.{class_name}().name
    '{name or loss}'
    """
    return type(class_name, (_OfLoss,), {"_loss": loss, "__init__": init, "__doc__": told, "__module__": __name__})


BinaryCrossentropy: type[_OfLoss] = _mean_of("BinaryCrossentropy", "binary_crossentropy")
CategoricalCrossentropy: type[_OfLoss] = _mean_of("CategoricalCrossentropy", "categorical_crossentropy")
CategoricalHinge: type[_OfLoss] = _mean_of("CategoricalHinge", "categorical_hinge")
Hinge: type[_OfLoss] = _mean_of("Hinge", "hinge")
KLDivergence: type[_OfLoss] = _mean_of("KLDivergence", "kl_divergence")
LogCoshError: type[_OfLoss] = _mean_of("LogCoshError", "log_cosh", "logcosh")
MeanAbsoluteError: type[_OfLoss] = _mean_of("MeanAbsoluteError", "mean_absolute_error")
MeanAbsolutePercentageError: type[_OfLoss] = _mean_of("MeanAbsolutePercentageError", "mean_absolute_percentage_error")
MeanSquaredError: type[_OfLoss] = _mean_of("MeanSquaredError", "mean_squared_error")
MeanSquaredLogarithmicError: type[_OfLoss] = _mean_of("MeanSquaredLogarithmicError", "mean_squared_logarithmic_error")
Poisson: type[_OfLoss] = _mean_of("Poisson", "poisson")
SparseCategoricalCrossentropy: type[_OfLoss] = _mean_of(
    "SparseCategoricalCrossentropy", "sparse_categorical_crossentropy"
)
SquaredHinge: type[_OfLoss] = _mean_of("SquaredHinge", "squared_hinge")


class Sum(Measure):
    """The weighted sum of all numbers so far.

    Examples
    --------
    >>> total = Sum()
    >>> total([1.0, 3.0]), total(2.0)
    (4.0, 6.0)
    """

    def __init__(self, name: str = "sum"):
        super().__init__(name)

    def reset(self) -> None:
        """Forget all numbers."""
        self._total, self._count = 0.0, 0.0

    def update_state(self, values: Any, sample_weight: Array = None) -> None:  # type: ignore[override]
        """Add numbers, with weights that NumPy broadcasts."""
        values = real(np.asarray(numbers_of(values)), "values").astype(np.float64)
        weight = np.broadcast_to(1.0 if sample_weight is None else np.asarray(sample_weight, np.float64), values.shape)
        self._total += float(np.sum(values * weight))
        self._count += float(np.sum(weight))

    def update(self, y_true: Array, y_pred: Array, mask: Array = None, sample_weight: Array = None) -> None:
        """Raise an error, as the metric takes numbers, not targets and outputs."""
        raise ValueError(f"expected a metric of targets and outputs to train with; {self.name!r} takes numbers alone")

    def result(self) -> float:
        """Return the sum so far."""
        return self._total


class Mean(Sum):
    """The mean of all numbers so far.

    Examples
    --------
    >>> mean = Mean()
    >>> mean([1.0, 3.0]), mean(5.0)
    (2.0, 3.0)
    """

    def __init__(self, name: str = "mean"):
        super().__init__(name)

    def result(self) -> float:
        """Return the mean so far; 0 without numbers, as in Keras."""
        return self._total / self._count if self._count else 0.0
