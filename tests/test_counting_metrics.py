"""Metrics of counts, areas, F scores and R2 against slow definitions, however batches are cut."""

import copy
import itertools

import numpy as np
import pytest

from rnnkit import metrics

MADE = {
    "precision": metrics.Precision(),
    "precision of two": metrics.Precision(top_k=2),
    "recall": metrics.Recall(thresholds=[0.6, 0.2]),
    "recall of a class": metrics.Recall(class_id=1),
    "true positives": metrics.TruePositives(0.3),
    "false positives": metrics.FalsePositives(),
    "true negatives": metrics.TrueNegatives(),
    "false negatives": metrics.FalseNegatives([0.1, 0.9]),
    "auc": metrics.AUC(),
    "auc of precision": metrics.AUC(curve="PR"),
    "auc of labels": metrics.AUC(multi_label=True, num_thresholds=20),
    "auc, weighted": metrics.AUC(label_weights=[1.0, 2.0, 0.5], thresholds=[0.5, 0.1, 0.8]),
    "f1": metrics.F1Score(),
    "f2, micro": metrics.FBetaScore("micro", 2.0, 0.4),
    "f1, weighted": metrics.F1Score("weighted"),
    "r2": metrics.R2Score(),
    "r2 of each": metrics.R2Score(None),
    "r2 by variation": metrics.R2Score("variance_weighted_average", num_regressors=2),
    "cosine": metrics.CosineSimilarity(),
    "mape": metrics.MeanAbsolutePercentageError(),
}


def data(rng, steps=()):
    y_true = (rng.random((10, *steps, 3)) < 0.5).astype("float32")
    return y_true, rng.random((10, *steps, 3)).astype("float32"), rng.uniform(0.2, 2, (10, *steps))


def after(metric, *batches):
    metric = copy.copy(metric)
    metric.reset()
    for batch in batches:
        metric.update(*batch)
    return np.asarray(metric.result())


@pytest.mark.parametrize("name", MADE)
def test_a_result_does_not_depend_on_how_batches_are_cut(name, rng):
    y_true, y_pred, weight = data(rng)
    whole = after(MADE[name], (y_true, y_pred, None, weight))
    parts = after(MADE[name], *((y_true[i : i + 3], y_pred[i : i + 3], None, weight[i : i + 3]) for i in (0, 3, 6, 9)))
    assert np.allclose(whole, parts, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", MADE)
def test_what_is_masked_or_has_no_weight_is_not_there(name, rng):
    y_true, y_pred, weight = data(rng, (4,))
    mask = rng.random((10, 4)) < 0.6
    spoiled = np.where(mask[..., None], y_pred, np.nan), np.where(mask[..., None], y_true, 5)
    found = after(MADE[name], (spoiled[1], spoiled[0], mask, weight))
    expected = after(MADE[name], (y_true[mask], y_pred[mask], None, weight[mask]))
    assert np.allclose(found, expected, rtol=1e-12, atol=0)
    assert np.allclose(after(MADE[name], (y_true, y_pred, None, weight * mask)), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("name", MADE)
def test_copies_have_sums_of_their_own_and_configurations_make_the_same(name, rng):
    y_true, y_pred, _ = data(rng)
    metric = copy.copy(MADE[name])
    metric.reset()
    first = np.asarray(metric(y_true[:5], y_pred[:5]))
    other = copy.copy(metric)
    other.reset()
    other.update(y_true[5:], y_pred[5:])
    assert np.array_equal(metric.result(), first)
    again = metrics.get(metrics.config_of(metric))
    assert type(again) is type(metric) and again.get_config() == metric.get_config()
    assert np.array_equal(again(y_true[:5], y_pred[:5]), first)


def slow_counts(y_true, y_pred, weight, threshold):
    found = dict.fromkeys(("tp", "fp", "tn", "fn"), 0.0)
    for row in range(len(y_true)):
        for k in range(y_true.shape[1]):
            positive = y_pred[row, k] > np.float32(threshold)
            found[("t" if positive == bool(y_true[row, k]) else "f") + ("p" if positive else "n")] += weight[row]
    return found


@pytest.mark.parametrize("threshold", [0.0, 0.25, 0.5, 1.0])
def test_counts_and_shares_are_their_definitions(threshold, rng):
    y_true, y_pred, weight = data(rng)
    y_pred[:3] = np.float32(threshold)  # is not above
    slow = slow_counts(y_true, y_pred, weight, threshold)
    batch = (y_true, y_pred, None, weight)
    for kind, value in {
        metrics.TruePositives: slow["tp"],
        metrics.FalsePositives: slow["fp"],
        metrics.TrueNegatives: slow["tn"],
        metrics.FalseNegatives: slow["fn"],
        metrics.Precision: slow["tp"] / max(slow["tp"] + slow["fp"], 1e-300),
        metrics.Recall: slow["tp"] / max(slow["tp"] + slow["fn"], 1e-300),
    }.items():
        assert np.isclose(after(kind(threshold), batch), value, rtol=1e-12), kind


@pytest.mark.parametrize("method", ["interpolation", "minoring", "majoring"])
@pytest.mark.parametrize("curve", ["ROC", "PR"])
def test_areas_are_sums_over_thresholds(curve, method, rng):
    y_true, y_pred, weight = data(rng)
    y_pred[:2], y_pred[2:4] = 0, 1  # the outer thresholds lie beyond
    if (curve, method) == ("PR", "interpolation"):
        pytest.skip("has a formula of its own, which the recorded figures of Keras check")
    points = []
    for threshold in [-1e-7, *(i / 9 for i in range(1, 9)), 1 + 1e-7]:
        c = slow_counts(y_true, y_pred, weight, threshold)
        recall = c["tp"] / (c["tp"] + c["fn"])
        precision = c["tp"] / (c["tp"] + c["fp"]) if c["tp"] + c["fp"] else 0.0
        points.append((c["fp"] / (c["fp"] + c["tn"]), recall) if curve == "ROC" else (recall, precision))
    area = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        height = {"interpolation": (y0 + y1) / 2, "minoring": min(y0, y1), "majoring": max(y0, y1)}[method]
        area += (x0 - x1) * height
    metric = metrics.AUC(num_thresholds=10, curve=curve, summation_method=method)
    assert np.isclose(after(metric, (y_true, y_pred, None, weight)), area, rtol=1e-12)


def test_scores_of_f_and_r2_agree_with_scikit_learn(rng):
    sklearn = pytest.importorskip("sklearn.metrics")
    y_true = np.eye(3)[rng.integers(0, 3, 40)]
    y_pred = rng.random((40, 3))
    weight = rng.uniform(0.5, 2, 40)
    labels, chosen = y_true.argmax(1), y_pred.argmax(1)
    for average in ("macro", "micro", "weighted", None):
        for beta in (1.0, 0.5):
            found = after(metrics.FBetaScore(average, beta), (y_true, y_pred, None, weight))
            expected = sklearn.fbeta_score(labels, chosen, beta=beta, average=average, sample_weight=weight)
            assert np.allclose(found, expected, rtol=1e-12)
    targets = rng.normal(size=(40, 3)) + 1000
    outputs = targets + rng.normal(size=(40, 3))
    for mine, theirs in (
        ("uniform_average",) * 2,
        ("variance_weighted_average", "variance_weighted"),
        (None, "raw_values"),
    ):
        expected = sklearn.r2_score(targets, outputs, sample_weight=weight, multioutput=theirs)
        assert np.allclose(after(metrics.R2Score(mine), (targets, outputs, None, weight)), expected, rtol=1e-9)
    probabilities = rng.random(4000)
    positive = rng.random(4000) < probabilities
    fine = metrics.AUC(num_thresholds=4000)
    assert abs(fine(positive[:, None], probabilities[:, None]) - sklearn.roc_auc_score(positive, probabilities)) < 1e-3


@pytest.mark.parametrize("name", ["precision", "recall", "auc", "auc of labels", "true positives", "false negatives"])
def test_a_prediction_that_is_no_number_is_not_a_positive_one(name, rng):
    y_true, y_pred, _ = data(rng)
    y_pred[y_true == 1] = np.nan
    lowest = np.where(np.isnan(y_pred), np.float32(-1), y_pred)
    np.testing.assert_array_equal(after(MADE[name], (y_true, y_pred)), after(MADE[name], (y_true, lowest)))


def test_wrong_settings_and_nothing_to_tell():
    for make, told in (
        (lambda: metrics.AUC(curve="x"), "curve"),
        (lambda: metrics.AUC(summation_method="x"), "summation_method"),
        (lambda: metrics.AUC(num_thresholds=1), "num_thresholds"),
        (lambda: metrics.FBetaScore(average="x"), "average"),
        (lambda: metrics.FBetaScore(beta=0.0), "beta"),
        (lambda: metrics.R2Score("x"), "class_aggregation"),
        (lambda: metrics.Precision(top_k=0), "top_k"),
        (lambda: metrics.Recall(thresholds="x"), "threshold"),
        (lambda: metrics.Mean().update(1, 2), "numbers alone"),
    ):
        with pytest.raises(ValueError, match=told):
            make()
    assert metrics.Precision().result() == metrics.AUC().result() == metrics.Mean().result() == 0
    assert np.isnan(metrics.R2Score().result())


def test_a_function_that_gives_one_number_for_a_batch_has_the_mean_over_batches():
    metric = metrics.Metric(lambda y_true, y_pred: np.max(y_pred - y_true), name="largest")
    assert after(metric, (np.zeros((2, 1)), np.ones((2, 1))), (np.zeros((1, 1)), np.full((1, 1), 3.0))) == 2


def test_weights_of_single_entries_and_predictions_of_integers():
    """A weight for each entry counts as so many entries; integers are predictions as floats are."""
    y, p = np.array([[0, 1, 1], [1, 0, 1]]), np.array([[0.3, 0.9, 0.2], [0.8, 0.6, 0.7]])
    weights = np.array([[1, 2, 0], [3, 1, 1]])
    repeated = [np.repeat(one.ravel(), weights.ravel())[:, None] for one in (y, p)]
    for make in (metrics.Precision, metrics.Recall, metrics.TruePositives, metrics.AUC):
        one, other = make(), make()
        one.update(y, p, sample_weight=weights)
        other.update(*repeated)
        assert np.isclose(one.result(), other.result())
    assert metrics.AUC()(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 1])) == 1.0


@pytest.mark.parametrize("shape", [(10, 3), (1, 3), (10, 1), ()])
@pytest.mark.parametrize("name", ["true positives", "false negatives", "recall", "binary accuracy", "equal"])
def test_weights_of_entries_are_broadcast(name, shape, rng):
    """They count as weights of rows do, of the entries one by one."""
    made = MADE | {"binary accuracy": metrics.BinaryAccuracy(), "equal": metrics.Accuracy("equal")}
    metric, single = copy.deepcopy(made[name]), copy.deepcopy(made[name])
    y_true, y_pred, _ = data(rng)
    y_pred = np.round(y_pred) if name == "equal" else y_pred
    weight = rng.uniform(0.2, 2, shape)
    found = metric(y_true, y_pred, weight)
    entries = (y_true.reshape(-1, 1), y_pred.reshape(-1, 1), np.broadcast_to(weight, (10, 3)).reshape(-1))
    assert np.allclose(found, single(*entries))
    with pytest.raises(ValueError, match=r"broadcasts to \(10, 3\), got \(4, 3\)"):
        metric(y_true, y_pred, np.ones((4, 3)))
    with pytest.raises(ValueError, match="at least 0"):
        metric(y_true, y_pred, np.full((1, 3), -1.0))


def test_one_row_without_a_batch_axis():
    y_true, y_pred = np.array([0, 1, 1, 0, 0]), np.array([0.2, 0.1, 0.5, 0.0, 0.2])
    for metric in (metrics.Precision(top_k=3), metrics.Recall(top_k=3)):
        assert metric(y_true, y_pred) == copy.copy(metric)(y_true[None], y_pred[None])
    assert metrics.Precision(top_k=2)([[1, 0, 0]], [[0.2, 0.2, 0.2]]) == 0.5  # of equal ones the first
    with pytest.raises(ValueError, match=r"for class_id, got \(5,\)"):
        metrics.Recall(class_id=2)(y_true, y_pred)
