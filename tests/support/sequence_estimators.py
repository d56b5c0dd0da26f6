"""The estimators for scikit-learn with small networks, and sequences of unequal lengths to fit them to."""

import numpy as np

from rnnkit.sklearn import ESNClassifier, ESNRegressor, RNNClassifier, RNNRegressor

CLASSIFIERS = [
    RNNClassifier(units=12, epochs=20, batch_size=20, learning_rate=0.03, random_state=0),
    ESNClassifier(units=30, random_state=0),
]
REGRESSORS = [
    RNNRegressor(units=12, epochs=20, batch_size=20, learning_rate=0.03, random_state=0),
    ESNRegressor(units=30, random_state=0),
]
ESTIMATORS = [*CLASSIFIERS, *REGRESSORS]


def name(estimator) -> str:
    """Name an estimator by its class."""
    return type(estimator).__name__


def waves(n=60, seed=0):
    """Noisy waves ``(T_i, 2)`` of 5 to 20 steps, and which of them are the fast ones."""
    rng = np.random.default_rng(seed)
    fast = np.arange(n) % 2
    found = []
    for one in fast:
        t = np.arange(rng.integers(5, 21))[:, None]
        wave = np.sin((1.5 if one else 0.6) * t + rng.uniform(0, 6, size=(1, 2)))
        found.append(wave + 0.1 * rng.normal(size=wave.shape))
    return found, np.array(["slow", "fast"])[fast]


def targets(estimator, labels, columns=None):
    """What an estimator is fitted to: labels, or numbers in so many columns."""
    if hasattr(estimator, "predict_proba"):
        return labels
    numbers = (labels == "fast").astype(float)
    return numbers if columns is None else np.column_stack([numbers * (k + 1) for k in range(columns)])


def said(estimator, X):
    """All numbers that a fitted estimator says of sequences."""
    return estimator.predict_proba(X) if hasattr(estimator, "predict_proba") else estimator.predict(X)
