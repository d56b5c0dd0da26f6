"""Bases of the estimators: X as sequences, y and the weights of rows as arrays."""

from __future__ import annotations

import multiprocessing
import os
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import (
    _check_sample_weight,
    _check_y,
    check_consistent_length,
    check_is_fitted,
    column_or_1d,
)

from rnnkit.activations import softmax
from rnnkit.backends.shared.thread_pool import get_num_threads, set_num_threads
from rnnkit.docstrings import described_as
from rnnkit.hints import Array
from rnnkit.sklearn.sequences import Scale, Sequences, of_frame, read


class SequenceEstimator(BaseEstimator):
    """Base of the estimators; a subclass defines `_outputs`, the network's outputs for sequences.

    Parameters
    ----------
    standardize : bool
        Whether to scale each feature to mean 0 and variance 1 over the steps of the fitted sequences.
    random_state : int, RandomState or None
        Of initial weights, dropout, and the orders of rows: the same number gives the same bits.
    id, time : str, optional
        Columns of a DataFrame X with a row for each step: the sequence's id, and, unless rows are in
        order, the time. `y` has an entry for each sequence, in the order of their first rows. This requires narwhals
        (``pip install 'rnnkit[tables]'``).

    Attributes
    ----------
    n_features_in_ : int
        The number of features of a step, or of columns if X has two axes.

    Raises
    ------
    ValueError, TypeError
        By `fit`, for a parameter out of its range; by all methods as scikit-learn's estimators, for an X or y that
        doesn't fit.
    """

    def _goes_on(self) -> bool:
        """Return whether `fit` starts from the result of the previous fit."""
        return getattr(self, "warm_start", False) and hasattr(self, "model_")

    def _read(self, X) -> Sequences:
        check_is_fitted(self)
        return self._sequences(X, reset=False)

    def _sequences(self, X, reset: bool) -> Sequences:
        _share_processors()
        if self.id is None or not hasattr(type(X), "columns"):
            return read(self, X, reset)
        found = of_frame(self, X, self.id, self.time, reset)
        if reset:
            self._table, self._step_features = False, found.features
        return found

    def _read_to_fit(self, X, y, sample_weight, **checks) -> tuple[Sequences, np.ndarray, np.ndarray]:
        """Return sequences, y and weights, without rows of weight 0."""
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        y = _check_y(y, estimator=self, **checks)
        sequences = self._sequences(X, reset=not self._goes_on())
        check_consistent_length(sequences, y)
        weights = _check_sample_weight(sample_weight, sequences.lengths, dtype=np.float64)
        if (weights < 0).any():
            raise ValueError("Negative values in data passed to `sample_weight`.")
        used = np.flatnonzero(weights)
        if not len(used):
            raise ValueError("Sample weights must contain at least one non-zero number.")
        if len(used) < len(weights):
            return sequences[used], y[used], weights[used]
        return sequences, y, weights

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "model_")


class SequenceClassifier(ClassifierMixin, SequenceEstimator):
    """Base of classifiers, whose outputs are a number for each class ``(n, classes)``, unless `_scores` says others."""

    classes_: Any

    def _read_classes(self, X, y, sample_weight) -> tuple[Sequences, np.ndarray, np.ndarray]:
        """Return sequences, the index of each one's class, and weights including those of classes."""
        sequences, y, weights = self._read_to_fit(X, y, sample_weight)
        y = column_or_1d(y)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError("The number of classes has to be greater than one; got 1 class")
        weighted = weights * self._class_weights(codes, weights)[codes]
        return sequences, codes, weighted * (weights.sum() / weighted.sum())

    def _class_weights(self, codes, weights) -> np.ndarray:
        if isinstance(self.class_weight, str) and self.class_weight == "balanced":
            return 1.0 / np.bincount(codes, weights)
        return compute_class_weight(self.class_weight, classes=self.classes_, y=self.classes_[codes])

    def _scores(self, sequences) -> np.ndarray:
        return self._outputs(sequences)

    def predict(self, X: Array) -> np.ndarray:
        """Predict the most probable class of each sequence.

        Parameters
        ----------
        X : array_like (n, T) or (n, T, F), or list of arrays (T_i,) or (T_i, F)

        Returns
        -------
        ndarray (n,)
        """
        scores = self._scores(self._read(X))
        return self.classes_[scores.argmax(axis=1)]

    def decision_function(self, X: Array) -> np.ndarray:
        """Return the score of each class: logits, of which `predict_proba` is the softmax.

        Parameters
        ----------
        X : as in `predict`

        Returns
        -------
        ndarray (n, classes), or for two classes (n,), the second's less the first's
        """
        scores = self._scores(self._read(X))
        return scores[:, 1] - scores[:, 0] if len(self.classes_) == 2 else scores

    def predict_proba(self, X: Array) -> np.ndarray:
        """Predict the probability of each class.

        Parameters
        ----------
        X : as in `predict`

        Returns
        -------
        ndarray (n, classes)
            In the order of ``classes_``.
        """
        return softmax(self._scores(self._read(X)))


class SequenceRegressor(RegressorMixin, SequenceEstimator):
    """Base of regressors, whose outputs are of targets ``(n, targets)`` after `_target_scale`."""

    _target_scale: Scale

    def _read_targets(self, X, y, sample_weight) -> tuple[Sequences, np.ndarray, np.ndarray]:
        """Return sequences, targets ``(n, targets)`` and weights."""
        sequences, y, weights = self._read_to_fit(X, y, sample_weight, multi_output=True, y_numeric=True)
        if y.ndim > 2:
            raise ValueError(f"Expected y of shape (samples,) or (samples, targets); got {y.shape}")
        self._single = y.ndim == 1
        return sequences, y.reshape(len(y), -1).astype(np.float64), weights

    @described_as(SequenceClassifier.predict)
    def predict(self, X: Array) -> np.ndarray:
        """Predict the targets of each sequence.

        Returns
        -------
        ndarray (n,) or (n, targets) of float64
        """
        outputs = self._outputs(self._read(X))
        found = self._target_scale.undo(outputs)
        return found[:, 0] if self._single else found

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _share_processors() -> None:
    """Use joblib's share of threads in a worker process, unless ``RNNKIT_NUM_THREADS`` is a number."""
    from joblib.parallel import get_active_backend

    if "RNNKIT_NUM_THREADS" in os.environ or multiprocessing.parent_process() is None:
        return
    if get_active_backend()[0].nesting_level:
        set_num_threads(min(get_num_threads(), int(os.environ.get("NUMBA_NUM_THREADS", 1))))
