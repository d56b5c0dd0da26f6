"""Defaults that do well on data that is there everywhere."""

import pytest
from sequence_estimators import name
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from rnnkit.sklearn import ESNClassifier, RNNClassifier


@pytest.mark.parametrize(
    "estimator",
    [
        ESNClassifier(random_state=0),
        pytest.param(RNNClassifier(epochs=25, random_state=0), marks=pytest.mark.sweep),
    ],
    ids=name,
)
def test_digits_row_by_row(estimator):
    images, digits = load_digits(return_X_y=True)
    x, fresh, y, wanted = train_test_split(images.reshape(-1, 8, 8), digits, test_size=0.5, random_state=0)
    assert estimator.fit(x, y).score(fresh, wanted) > 0.97
