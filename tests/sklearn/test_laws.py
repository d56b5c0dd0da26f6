"""What holds for every estimator: bits, order, padding, weights, copies, and searches."""

import copy
import os
import pickle

import joblib
import numpy as np
import pytest
from sequence_estimators import CLASSIFIERS, ESTIMATORS, REGRESSORS, name, said, targets, waves
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import rnnkit as rk
from rnnkit.sklearn import ESNClassifier, ESNRegressor, RNNClassifier, RNNRegressor

X, LABELS = waves()
FITTED = [clone(one).fit(X, targets(one, LABELS)) for one in ESTIMATORS]
fitted = pytest.mark.parametrize("estimator", FITTED, ids=name)
unfitted = pytest.mark.parametrize("estimator", ESTIMATORS, ids=name)


@fitted
def test_it_learns(estimator):
    fresh, labels = waves(seed=1)
    assert estimator.score(fresh, targets(estimator, labels)) > 0.85


@fitted
def test_X22_a_sequence_has_the_same_bits_alone_and_beside_others(estimator):
    together = said(estimator, X)
    assert np.array_equal(together, np.concatenate([said(estimator, [one]) for one in X]))
    order = np.random.default_rng(0).permutation(len(X))
    assert np.array_equal(together[order], said(estimator, [X[row] for row in order]))


@fitted
def test_X22_the_same_seed_gives_the_same_bits_and_another_doesnt(estimator):
    again = clone(estimator).fit(X, targets(estimator, LABELS))
    assert np.array_equal(said(again, X), said(estimator, X))
    other = clone(estimator).set_params(random_state=1).fit(X, targets(estimator, LABELS))
    assert not np.array_equal(said(other, X), said(estimator, X))


@fitted
def test_copies_say_the_same(estimator):
    for again in (pickle.loads(pickle.dumps(estimator)), copy.deepcopy(estimator)):
        assert np.array_equal(said(again, X), said(estimator, X))


@fitted
def test_fit_changes_no_parameter_and_shows_itself(estimator):
    assert clone(estimator).get_params() == estimator.get_params()
    assert name(estimator) in estimator._repr_html_() and estimator.n_features_in_ == 2


@pytest.mark.parametrize("estimator", [FITTED[1], FITTED[3]], ids=name)
def test_a_weight_of_two_is_the_same_row_twice_where_a_readout_is_solved(estimator):
    weights = np.random.default_rng(0).integers(0, 4, size=len(X))
    y = targets(estimator, LABELS)
    weighted = clone(estimator).fit(X, y, sample_weight=weights)
    rows = np.repeat(np.arange(len(X)), weights)
    repeated = clone(estimator).fit([X[row] for row in rows], y[rows])
    assert weighted.alpha_ == repeated.alpha_ and weighted.pooling_ == repeated.pooling_
    np.testing.assert_allclose(said(weighted, X), said(repeated, X), rtol=1e-6, atol=1e-9)


@unfitted
def test_a_weight_of_zero_is_no_row_and_only_proportions_count_where_batches_are_drawn(estimator):
    y, weights = targets(estimator, LABELS), (np.arange(len(X)) % 3 > 0).astype(float)
    rows = np.flatnonzero(weights)
    without = clone(estimator).fit([X[row] for row in rows], y[rows])
    assert np.array_equal(said(clone(estimator).fit(X, y, sample_weight=weights), X), said(without, X))
    if hasattr(estimator, "epochs"):
        assert np.array_equal(said(clone(estimator).fit(X, y, sample_weight=4 * weights), X), said(without, X))


@unfitted
def test_weights_draw_predictions_to_their_rows(estimator):
    """Of two equal sequences that differ in y, the heavier one counts."""
    both, y = [X[0]] * 2 + X, np.concatenate([LABELS[:2], LABELS])
    for heavy in (0, 1):
        weights = np.ones(len(both))
        weights[heavy] = 300.0
        found = clone(estimator).fit(both, targets(estimator, y), sample_weight=weights).predict(both[:1])[0]
        wanted = targets(estimator, y)[heavy]
        assert found == wanted if isinstance(found, str) else abs(found - wanted) < 0.5


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=name)
def test_balanced_classes_are_weights(estimator):
    rows = [*range(0, 60, 2), 1, 3, 5]
    some, y = [X[row] for row in rows], LABELS[rows]
    balanced = clone(estimator).set_params(class_weight="balanced").fit(some, y)
    by_class = {"slow": 1.0, "fast": 10.0}
    given = clone(estimator).set_params(class_weight=by_class).fit(some, y)
    np.testing.assert_allclose(said(balanced, X), said(given, X), rtol=1e-4)
    assert (balanced.predict(X) == "fast").sum() >= (clone(estimator).fit(some, y).predict(X) == "fast").sum()


@pytest.mark.parametrize("estimator", REGRESSORS, ids=name)
def test_targets_may_have_columns(estimator):
    y = targets(estimator, LABELS, columns=3)
    found = clone(estimator).fit(X, y).predict(X)
    assert found.shape == y.shape and clone(estimator).fit(X, y).score(X, y) > 0.8


@pytest.mark.parametrize("estimator", CLASSIFIERS, ids=name)
def test_scores_and_probabilities_agree(estimator):
    labels = np.where(np.array([len(one) for one in X]) > 12, LABELS, "short")
    model = clone(estimator).fit(X, labels)
    scores, probabilities = model.decision_function(X), model.predict_proba(X)
    assert model.classes_.tolist() == ["fast", "short", "slow"] and scores.shape == (60, 3)
    np.testing.assert_allclose(
        np.log(probabilities[:, 1] / probabilities[:, 0]), scores[:, 1] - scores[:, 0], rtol=1e-6
    )
    assert np.array_equal(model.predict(X), model.classes_[probabilities.argmax(axis=1)])


class Differences(TransformerMixin, BaseEstimator):
    """A transformer of lists of sequences."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return [np.diff(one, axis=0, prepend=one[:1]) for one in X]

    def __sklearn_is_fitted__(self):
        return True


@unfitted
def test_pipelines_of_lists_and_of_tables(estimator):
    y = targets(estimator, LABELS)
    listed = make_pipeline(Differences(), clone(estimator)).fit(X, y)
    assert listed.score(X, y) > 0.8
    table = np.array([one[:5, 0] for one in X])
    scaled = make_pipeline(StandardScaler(), clone(estimator)).fit(table, y)
    assert scaled.predict(table).shape == (60,) and scaled[-1].n_features_in_ == 5


def test_a_search_in_two_processes_that_share_the_processors(monkeypatch, threads):
    """Each has as many threads as joblib leaves to BLAS; this one those that were set."""
    for variable in [one for one in os.environ if one.endswith("_NUM_THREADS")]:
        monkeypatch.delenv(variable)
    threads(64)
    scoring = {"accuracy": "accuracy", "threads": lambda *_: rk.get_num_threads()}
    choices = {"units": [2, 20]}
    search = GridSearchCV(ESNClassifier(random_state=0), choices, cv=3, n_jobs=2, scoring=scoring, refit="accuracy")
    search.fit(X, LABELS)
    alone = cross_val_score(ESNClassifier(units=20, random_state=0), X, LABELS, cv=3)
    assert search.best_score_ > 0.9
    assert np.array_equal(alone, [search.cv_results_[f"split{k}_test_accuracy"][1] for k in range(3)])
    assert max(search.cv_results_["mean_test_threads"]) <= max(1, joblib.cpu_count() // 2)
    assert rk.get_num_threads() == 64


@rk.cell(states={"h": "units"}, weights={"kernel": rk.Weight(("features", "units"))})
def leaky(x, states, weights, *, units):
    h = 0.5 * states[0] + 0.5 * np.tanh(x @ weights.kernel)
    return h, (h,)


@pytest.mark.parametrize("cell", ["lstm", "simple_rnn", rk.GRUCell, leaky, rk.LSTMCell(5), leaky(4)], ids=repr)
def test_cells(cell):
    model = RNNRegressor(cell, 6, layers=2, epochs=2, random_state=0)
    y = targets(model, LABELS)
    found = model.fit(X, y).predict(X)
    assert np.array_equal(clone(model).fit(X, y).predict(X), found)
    assert not getattr(cell, "built", False)


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_poolings_leave_out_what_is_padded(pooling):
    model = clone(CLASSIFIERS[0]).set_params(pooling=pooling).fit(X, LABELS)
    assert model.score(*waves(seed=1)) > 0.8
    assert np.array_equal(said(model, X), np.concatenate([said(model, [one]) for one in X]))


def test_early_stopping_keeps_the_best_weights():
    model = RNNClassifier(units=8, epochs=60, early_stopping=True, validation_fraction=0.3, patience=2, random_state=0)
    noise = np.random.default_rng(0).permutation(LABELS)
    model.fit(X, noise)
    losses = model.history_["val_loss"]
    assert model.n_iter_ == len(losses) < 60 and losses.index(min(losses)) == model.n_iter_ - 3


def test_a_warm_start_goes_on():
    model = RNNRegressor(units=8, epochs=10, warm_start=True, learning_rate=0.003, random_state=0)
    y = targets(model, LABELS)
    first = model.fit(X, y).history_["loss"]
    second = model.fit(X, y).history_["loss"]
    assert second[0] < first[0] and second[-1] < first[-1]


def test_a_warm_start_with_other_data_is_refused():
    numbers = RNNRegressor(units=3, epochs=1, warm_start=True, random_state=0).fit(X, targets(REGRESSORS[0], LABELS))
    labels = RNNClassifier(units=3, epochs=1, warm_start=True, random_state=0).fit(X, LABELS)
    with pytest.raises(ValueError, match="X has 1 features at each step"):
        labels.fit([one[:, :1] for one in X], LABELS)
    with pytest.raises(ValueError, match="needs the classes of the fit before"):
        labels.fit(X, np.arange(60) % 3)
    with pytest.raises(ValueError, match="as many targets as the fit before, 1; got 2"):
        numbers.fit(X, targets(numbers, LABELS, columns=2))


@pytest.mark.parametrize(
    "optimizer", ["sgd", "lbfgs", rk.optimizers.SGD(0.1, momentum=0.9), rk.optimizers.LBFGS()], ids=repr
)
def test_optimizers(optimizer):
    model = RNNRegressor(units=4, epochs=4, optimizer=optimizer, random_state=0).fit(X, targets(REGRESSORS[0], LABELS))
    assert model.history_["loss"][-1] < model.history_["loss"][0] and clone(model).fit(X, np.ones(60)).n_iter_


def test_epochs_are_as_many_as_few_rows_need():
    model = RNNRegressor(units=2, batch_size=20, random_state=0)
    assert model.fit(X, targets(model, LABELS)).n_iter_ == 400


def test_probabilities_of_noise_are_even_and_those_of_what_is_plain_are_sure():
    noise = np.random.default_rng(1).permutation(LABELS)
    assert np.median(ESNClassifier(random_state=0).fit(X, noise).predict_proba(X).max(axis=1)) < 0.7
    assert np.median(ESNClassifier(random_state=0).fit(X, LABELS).predict_proba(X).max(axis=1)) > 0.9


def test_a_reservoir_of_one_speed_and_one_pooling():
    model = ESNRegressor(units=10, leak=0.5, pooling="last", alphas=1.0, bidirectional=False, random_state=0)
    model.fit(X, targets(model, LABELS))
    assert model.alpha_ == 1.0 and model.pooling_ == ("last",)
    cell = model.model_.layers[-1].cell
    states = np.zeros((1, 10))
    mean, spread = np.concatenate(X).mean(axis=0), np.concatenate(X).std(axis=0)
    for x in (X[0] - mean) / spread:
        states = rk.ESNCell.call(cell, x[None], [states])[0]
    kernel, bias = model.readout_.get_weights()
    y = targets(model, LABELS)
    np.testing.assert_allclose(model.predict(X[:1]), (states @ kernel + bias)[:, 0] * y.std() + y.mean())
