"""Defaults that do well on data that is there everywhere."""

import pytest
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from rnnkit.sklearn import ESNClassifier, RNNClassifier


@pytest.mark.parametrize("kind", [ESNClassifier, RNNClassifier])
def test_digits_row_by_row(kind):
    images, digits = load_digits(return_X_y=True)
    x, fresh, y, wanted = train_test_split(images.reshape(-1, 8, 8), digits, test_size=0.5, random_state=0)
    assert kind(random_state=0).fit(x, y).score(fresh, wanted) > 0.97
