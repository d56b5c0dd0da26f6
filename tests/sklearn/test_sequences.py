"""What X may be, and what is refused."""

import sys

import numpy as np
import processes
import pytest
from sequence_estimators import ESTIMATORS, name, said, targets, waves
from sklearn.base import clone

from rnnkit.sklearn import ESNClassifier, ESNRegressor, RNNClassifier, RNNRegressor

X, LABELS = waves()
SMALL = ESNRegressor(units=5, random_state=0)
Y = targets(SMALL, LABELS)
EQUAL = np.array([one[:5] for one in X])


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=name)
def test_forms_of_the_same_sequences(estimator):
    y = targets(estimator, LABELS)
    small = clone(estimator).set_params(units=4)
    if hasattr(small, "epochs"):
        small.set_params(epochs=2)
    wanted = said(clone(small).fit(list(EQUAL), y), list(EQUAL))
    objects = np.empty(60, object)
    objects[:] = list(EQUAL)
    for form in (EQUAL, tuple(EQUAL), objects, EQUAL.tolist()):
        fitted = clone(small).fit(form, y)
        assert np.array_equal(said(fitted, form), wanted) and fitted.n_features_in_ == 2
        assert np.array_equal(said(fitted, EQUAL), wanted)


def test_two_axes_are_one_feature_over_time():
    table = EQUAL[:, :, 0]
    fitted = clone(SMALL).fit(table, Y)
    deep = clone(SMALL).fit(table[:, :, None], Y)
    assert fitted.n_features_in_ == 5 and deep.n_features_in_ == 1
    assert np.array_equal(fitted.predict(table), deep.predict(list(table)))
    assert np.array_equal(deep.predict(table[:, :3]), fitted.predict([row[:3, None] for row in table]))
    with pytest.raises(ValueError, match="X has 3 features, but ESNRegressor is expecting 5 features as input"):
        fitted.predict(table[:, :3])


def rows(sequences):
    """The steps of sequences as columns."""
    ids = np.repeat([f"s{i}" for i in range(len(sequences))], [len(one) for one in sequences])
    times = np.concatenate([np.arange(len(one)) for one in sequences])
    values = np.concatenate(sequences)
    return {"who": ids, "when": times, "a": values[:, 0], "b": values[:, 1]}


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames(library):
    frames = pytest.importorskip(library)
    frame = frames.DataFrame(rows(X))
    model = clone(SMALL).set_params(id="who", time="when").fit(frame, Y)
    listed = clone(SMALL).fit(X, Y).predict(X)
    assert model.feature_names_in_.tolist() == ["a", "b"]
    assert np.array_equal(model.predict(frame), listed) and np.array_equal(model.predict(X), listed)
    back = frame[::-1]
    assert np.array_equal(model.predict(back), listed[::-1])
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame.rename({"a": "c"}) if library == "polars" else frame.rename(columns={"a": "c"}))
    with pytest.raises(ValueError, match="columns who, when"):
        model.predict(frame[["a", "b"]])


@pytest.mark.parametrize(
    "bad,message",
    [
        ([np.zeros((3, 2)), np.zeros((4, 3))], "with 2 features, as the first has; got 3 at 1"),
        ([np.zeros((3, 2)), np.zeros((0, 2))], r"at least a step; got \(0, 2\) at 1"),
        ([np.zeros((3, 2)), np.full((1, 2), np.nan)], "contains NaN"),
        (np.zeros((2, 0, 2)), "0 step"),
        (np.zeros((2, 3, 4, 1)), "dim 4"),
        (np.zeros(2), "Expected 2D array"),
        (np.zeros((3, 4, 2)), "inconsistent numbers of samples"),
        ([], "Expected 2D array"),
    ],
)
def test_what_is_no_sequences(bad, message):
    with pytest.raises(ValueError, match=message):
        clone(SMALL).fit(bad, [0.0, 1.0])


def test_other_features_than_fitted():
    with pytest.raises(ValueError, match="X has 1 features at each step, but ESNRegressor is expecting 2"):
        clone(SMALL).fit(X, Y).predict([one[:, :1] for one in X])


@pytest.mark.parametrize(
    "estimator,message",
    [
        (RNNClassifier(cell="rnn"), "cell to be one of lstm, gru, simple_rnn"),
        (RNNClassifier(pooling="sum"), "pooling to be one of"),
        (RNNClassifier(units=0), "units to be a positive integer"),
        (RNNClassifier(epochs=0), "epochs to be a positive integer"),
        (RNNClassifier(epochs="all"), "epochs to be a positive integer"),
        (RNNClassifier(optimizer="best"), "best"),
        (RNNRegressor(layers=0), "layers to be a positive integer"),
        (RNNRegressor(loss="best"), "expected a loss"),
        (RNNRegressor(dropout=2.0), "2.0"),
        (ESNClassifier(pooling=()), "pooling to be 'auto', or some of"),
        (ESNClassifier(alphas=(1.0, 0.0)), "alphas above 0"),
        (ESNClassifier(units=1.5), "units to be a positive integer"),
        (ESNRegressor(leak=2.0), "leak"),
        (ESNRegressor(input_scaling=-1.0), "input_scaling"),
    ],
    ids=str,
)
def test_parameters_out_of_range(estimator, message):
    with pytest.raises(ValueError, match=message):
        estimator.fit(X, targets(estimator, LABELS))


def test_one_class():
    with pytest.raises(ValueError, match="got 1 class"):
        ESNClassifier().fit(X, ["same"] * len(X))


def test_importing_rnnkit_imports_no_scikit_learn():
    code = "import rnnkit, sys; print([name for name in sys.modules if name.split('.')[0] in ('sklearn', 'joblib')])"
    assert processes.run([sys.executable, "-c", code], check=True).stdout.strip() == "[]"


def test_without_scikit_learn_one_error_says_what_to_install():
    code = "import sys; sys.modules['sklearn'] = None; import rnnkit.sklearn"
    result = processes.run([sys.executable, "-c", code])
    assert "pip install 'rnnkit[sklearn]'" in result.stderr.splitlines()[-1]
