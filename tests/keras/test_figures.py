"""Losses, metrics, schedules, activations, operations and fits against what Keras gave for the same programs."""

import keras_cases
import numpy as np
import pytest

from rnnkit import keras

RECORDED = keras_cases.recorded()


@pytest.mark.parametrize("case", keras_cases.CASES)
def test_the_figures_are_those_of_keras(case):
    found, expected = keras_cases.CASES[case](keras), RECORDED[case]
    assert set(found) == set(expected)
    wrong = []
    for name, values in expected.items():
        own = found[name]
        if isinstance(values, dict):
            assert own["keys"] == values["keys"], name
            own, values = own["values"], values["values"]
        if np.shape(own) != np.shape(values) or not np.allclose(own, values, rtol=1e-5, atol=2e-6, equal_nan=True):
            wrong.append((name, own, values))
    assert not wrong
