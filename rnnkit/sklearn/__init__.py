"""scikit-learn estimators with recurrent networks; no other part of rnnkit imports scikit-learn."""

from __future__ import annotations

try:
    import sklearn.utils.validation

    sklearn.utils.validation.validate_data  # noqa: B018  (of version 1.6 and later)
except (ImportError, AttributeError):
    raise ImportError(
        "rnnkit.sklearn needs scikit-learn 1.6 or later; install it with: pip install 'rnnkit[sklearn]'"
    ) from None

from rnnkit.sklearn.recurrent import RNNClassifier, RNNRegressor
from rnnkit.sklearn.reservoir import ESNClassifier, ESNRegressor

__all__ = ["ESNClassifier", "ESNRegressor", "RNNClassifier", "RNNRegressor"]
