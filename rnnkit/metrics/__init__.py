"""Metrics: measures of a model's quality, without a gradient.

A metric accumulates batches: ``update`` adds one, ``result`` is the mean over all used entries so far, ``reset``
forgets them. Metrics are plain NumPy, with sums in float64. Every loss is a metric by its name, and so is every
function ``(y_true, y_pred) -> array``. Names and formulas are Keras's.

>>> import numpy as np
>>> metric = get("rmse")
>>> metric.update(np.zeros((2, 1)), np.array([[2.0], [0.0]]))
>>> metric.update(np.zeros((2, 1)), np.array([[0.0], [0.0]]))
>>> metric.result()
1.0
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rnnkit import losses
from rnnkit.docstrings import described_as
from rnnkit.metrics.accuracy import (
    Accuracy,
    BinaryAccuracy,
    CategoricalAccuracy,
    SparseCategoricalAccuracy,
    SparseTopKCategoricalAccuracy,
    TopKCategoricalAccuracy,
    binary_accuracy,
    categorical_accuracy,
    sparse_categorical_accuracy,
    sparse_top_k_categorical_accuracy,
    top_k_categorical_accuracy,
)
from rnnkit.metrics.counts import (
    F1Score,
    FalseNegatives,
    FalsePositives,
    FBetaScore,
    Precision,
    Recall,
    TrueNegatives,
    TruePositives,
)
from rnnkit.metrics.curves import AUC
from rnnkit.metrics.errors import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    CategoricalHinge,
    CosineSimilarity,
    Hinge,
    KLDivergence,
    LogCoshError,
    Mean,
    MeanAbsoluteError,
    MeanAbsolutePercentageError,
    MeanSquaredError,
    MeanSquaredLogarithmicError,
    Poisson,
    RootMeanSquaredError,
    SparseCategoricalCrossentropy,
    SquaredHinge,
    Sum,
)
from rnnkit.metrics.metric import Measure, Metric
from rnnkit.metrics.variation import R2Score
from rnnkit.serialization.configuration import described, is_described, named, named_config
from rnnkit.serialization.registry import find, is_elsewhere

__all__ = [
    "AUC", "Accuracy", "BinaryAccuracy", "BinaryCrossentropy", "CategoricalAccuracy", "CategoricalCrossentropy",
    "CategoricalHinge", "CosineSimilarity", "F1Score", "FBetaScore", "FalseNegatives", "FalsePositives", "Hinge",
    "KLDivergence", "LogCoshError", "Mean", "MeanAbsoluteError", "MeanAbsolutePercentageError", "MeanSquaredError",
    "MeanSquaredLogarithmicError", "Measure", "Metric", "Poisson", "Precision", "R2Score", "Recall",
    "RootMeanSquaredError", "SparseCategoricalAccuracy", "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy", "SquaredHinge", "Sum", "TopKCategoricalAccuracy", "TrueNegatives", "TruePositives",
    "binary_accuracy", "categorical_accuracy", "get", "sparse_categorical_accuracy",
    "sparse_top_k_categorical_accuracy", "top_k_categorical_accuracy",
]  # fmt: skip

_PUBLIC: dict[str, Any] = {name: value for name, value in globals().items() if name in __all__}
FUNCTIONS: dict[str, Callable] = {name: value for name, value in _PUBLIC.items() if not isinstance(value, type)}
CLASSES: dict[str, type[Measure]] = {
    name: kind for name, kind in _PUBLIC.items() if name not in FUNCTIONS and kind not in (Measure, Metric)
}
ALIASES = {
    "acc": "Accuracy",
    "accuracy": "Accuracy",
    "rmse": "RootMeanSquaredError",
    "RMSE": "RootMeanSquaredError",
    "root_mean_squared_error": "RootMeanSquaredError",
    "auc": "AUC",
    "precision": "Precision",
    "recall": "Recall",
    "r2_score": "R2Score",
}


@described_as(named)
def get(identifier: Any, loss: Any = None) -> Measure:
    """Return the metric for an entry of a `metrics` argument.

    Parameters
    ----------
    identifier : str, Metric, callable or dict
        A name as in Keras (``"accuracy"``, ``"rmse"``, ``"BinaryAccuracy"``, every loss's), which becomes the metric's
        name; a metric, returned unchanged; a function ``(y_true, y_pred) -> array`` or a loss; or
        ``{"class_name": …, "config": …}``.
    loss : str, callable or dict, optional
        The loss of the training. It decides the kind of ``"accuracy"``, if it is one of the
        crossentropies, and at which threshold; Keras looks at the shapes only.

    Returns
    -------
    Measure

    Examples
    --------
    >>> import rnnkit as rk
    >>> rk.metrics.get("mae").name
    'mae'
    """
    if isinstance(identifier, Measure):
        return identifier
    if isinstance(identifier, str) and not is_elsewhere(identifier):
        return _named(identifier, loss)
    if is_described(identifier):
        return described(identifier, _known(), Measure, "metric")
    if isinstance(identifier, type) and issubclass(identifier, Measure):
        return identifier()  # type: ignore[call-arg]
    if isinstance(identifier, str):
        return get(find(identifier), loss)
    if not callable(identifier):
        raise TypeError(f"expected a metric's name, a function(y_true, y_pred) or a metric; got {identifier!r}")
    return Metric(losses.get(identifier))


def config_of(metric: Measure) -> dict[str, Any] | str | None:
    """Return an argument of `get` for an equal metric, as JSON values."""
    return named_config(metric, _known())


def _known() -> dict[str, type[Measure]]:
    return {**CLASSES, "Metric": Metric}


def _named(identifier, loss) -> Measure:
    name = ALIASES.get(identifier, identifier)
    if name == "Accuracy":
        return Accuracy(**_accuracy_of(loss), name=identifier)
    if name in CLASSES:
        return CLASSES[name](**({} if name == identifier else {"name": identifier}))
    if name in FUNCTIONS:
        return Metric(FUNCTIONS[name], identifier)
    try:
        return Metric(losses.get(name), identifier)
    except ValueError:
        names = ", ".join([*ALIASES, *FUNCTIONS, "every loss"])
        raise ValueError(
            f"expected a metric among {names}, or a function(y_true, y_pred); got {identifier!r}"
        ) from None


def _accuracy_of(loss) -> dict:
    """Return the settings of `Accuracy` for a loss."""
    loss = None if loss is None else losses.get(loss)
    name = None if loss is None else losses.name_of(loss)
    if name == "binary_crossentropy":
        return {"kind": "binary", "threshold": 0.0 if getattr(loss, "from_logits", False) else 0.5}
    if name in ("categorical_crossentropy", "sparse_categorical_crossentropy"):
        return {"kind": name.removesuffix("_crossentropy")}
    return {}
