"""Metrics against plain formulas over whole data, however it is cut into batches."""

import json
import math

import numpy as np
import pytest
from scipy import special

from rnnkit import losses, metrics
from rnnkit.training.compiled import Compiled

ROWS, TIME, CLASSES = 9, 4, 6


def one_hot(ids):
    return np.eye(CLASSES)[ids]


def rank_of(y_true, y_pred):
    """How many entries are larger than the one that y_true names."""
    return np.array([sorted(row, reverse=True).index(row[i]) for i, row in zip(y_true, y_pred, strict=True)])


@pytest.fixture
def predicted(rng):
    return special.softmax(rng.normal(size=(ROWS, CLASSES)), axis=-1), rng.integers(0, CLASSES, ROWS)


def over(metric, y_true, y_pred, *, cuts=(2, 6), **more):
    """The result over three batches."""
    metric.reset()
    for part in np.split(np.arange(len(y_pred)), cuts):
        metric.update(y_true[part], y_pred[part], **{name: value[part] for name, value in more.items()})
    return metric.result()


class TestAccuracies:
    """Shares of right predictions."""

    def test_sparse(self, predicted):
        y_pred, ids = predicted
        expected = np.mean(y_pred.argmax(-1) == ids)
        for name in ("accuracy", "acc", "sparse_categorical_accuracy", "SparseCategoricalAccuracy"):
            assert over(metrics.get(name), ids, y_pred) == pytest.approx(expected)
        assert over(metrics.get("accuracy"), ids[:, None], y_pred) == pytest.approx(expected)

    def test_categorical(self, predicted):
        y_pred, ids = predicted
        for name in ("accuracy", "categorical_accuracy", "CategoricalAccuracy"):
            assert over(metrics.get(name), one_hot(ids), y_pred) == pytest.approx(np.mean(y_pred.argmax(-1) == ids))

    def test_binary(self, rng):
        y_pred, y_true = rng.random((ROWS, 1)), rng.integers(0, 2, ROWS)
        for threshold, names in ((0.5, ("accuracy", "binary_accuracy")), (0.8, ())):
            expected = np.mean((y_pred[:, 0] > threshold) == y_true)
            for metric in (metrics.BinaryAccuracy(threshold), *map(metrics.get, names)):
                assert over(metric, y_true, y_pred) == pytest.approx(expected)

    def test_of_binary_logits_the_threshold_is_0(self, rng):
        y_pred, y_true = rng.normal(size=(ROWS, 3)), rng.integers(0, 2, (ROWS, 3))
        metric = metrics.get("accuracy", loss=losses.BinaryCrossentropy(from_logits=True))
        assert over(metric, y_true, y_pred) == pytest.approx(np.mean((y_pred > 0) == y_true))

    @pytest.mark.parametrize("k", [1, 2, 3, CLASSES])
    def test_top_k(self, predicted, k):
        y_pred, ids = predicted
        expected = np.mean(rank_of(ids, y_pred) < k)
        assert over(metrics.TopKCategoricalAccuracy(k), one_hot(ids), y_pred) == pytest.approx(expected)
        assert over(metrics.SparseTopKCategoricalAccuracy(k=k), ids, y_pred) == pytest.approx(expected)

    def test_keras_says_the_same(self, predicted):
        keras = pytest.importorskip("keras")
        y_pred, ids = predicted
        for ours, theirs, y_true in (
            (metrics.TopKCategoricalAccuracy(2), keras.metrics.TopKCategoricalAccuracy(2), one_hot(ids)),
            (metrics.get("sparse_categorical_accuracy"), keras.metrics.SparseCategoricalAccuracy(), ids),
            (metrics.get("rmse"), keras.metrics.RootMeanSquaredError(), one_hot(ids)),
        ):
            weight = np.linspace(0, 2, ROWS)
            theirs.update_state(y_true, y_pred, sample_weight=weight)
            assert over(ours, y_true, y_pred, sample_weight=weight) == pytest.approx(float(theirs.result()), rel=1e-5)


class TestMeans:
    """What every metric does."""

    @pytest.mark.parametrize("name", ["mse", "mae", "huber", "log_cosh", "kl_divergence", "LogCosh"])
    def test_every_loss_by_its_name(self, name, rng):
        y_true, y_pred = rng.random((2, ROWS, 3))
        metric = metrics.get(name)
        assert metric.name == name
        assert over(metric, y_true, y_pred) == pytest.approx(np.mean(losses.get(name)(y_true, y_pred)))

    def test_root_after_the_mean(self, rng):
        y_true, y_pred = rng.normal(size=(2, ROWS, 2))
        assert over(metrics.get("rmse"), y_true, y_pred) == pytest.approx(math.sqrt(np.mean((y_true - y_pred) ** 2)))

    def test_masks_and_weights(self, rng):
        y_true, y_pred = rng.normal(size=(2, ROWS, TIME, 2))
        mask, weight = rng.random((ROWS, TIME)) < 0.6, rng.uniform(0, 2, (ROWS, TIME))
        errors = np.mean((y_true - y_pred) ** 2, axis=-1)
        y_pred[~mask] = np.nan
        metric = metrics.get("mse")
        assert over(metric, y_true, y_pred, mask=mask) == pytest.approx(errors[mask].mean())
        found = over(metric, y_true, y_pred, mask=mask, sample_weight=weight)
        assert found == pytest.approx(np.average(errors[mask], weights=weight[mask]))
        found = over(metric, y_true, y_pred, mask=mask, sample_weight=weight[:, 0])
        assert found == pytest.approx(np.average(errors[mask], weights=np.repeat(weight[:, 0], mask.sum(1))))

    def test_own_function(self, rng):
        def largest(y_true, y_pred):
            return np.max(np.abs(y_true - y_pred), axis=(1, 2))

        y_true, y_pred = rng.normal(size=(2, ROWS, TIME, 2))
        metric = metrics.get(largest)
        assert metric.name == "largest"
        assert over(metric, y_true, y_pred) == pytest.approx(largest(y_true, y_pred).mean())
        with pytest.raises(ValueError, match="'largest' gives one number a row, to which a mask"):
            metric.update(y_true, y_pred, mask=np.zeros((ROWS, TIME)))

    def test_nothing_yet(self):
        metric = metrics.get("mse")
        assert math.isnan(metric.result())
        metric.update(np.zeros((2, 1)), np.ones((2, 1)))
        metric.reset()
        assert math.isnan(metric.result())

    def test_sums_are_in_float64(self):
        metric = metrics.get("mae")
        for _ in range(3):
            metric.update(np.zeros((2, 1)), np.array([[2.0**24], [1.0]], np.float32))
        assert metric.result() == (2**24 + 1) / 2

    def test_a_failed_update_leaves_it_as_it_was(self):
        metric = metrics.get("mse")
        metric.update(np.zeros((2, 1)), np.ones((2, 1)))
        for wrong in ({"sample_weight": [1, -1]}, {"sample_weight": [1, 2, 3]}):
            with pytest.raises(ValueError, match="sample"):
                metric.update(np.zeros((2, 1)), np.ones((2, 1)), **wrong)
        with pytest.raises(ValueError, match=r"y_true of shape \(2, 1\)"):
            metric.update(np.zeros((3, 1)), np.ones((2, 1)))
        assert metric.result() == 1.0


class TestNames:
    """What `get` takes."""

    @pytest.mark.parametrize("name", [*metrics.ALIASES, *metrics.FUNCTIONS, *metrics.CLASSES, *losses.LOSSES])
    def test_config(self, name):
        metric = metrics.get(name)
        described = {"class_name": type(metric).__name__, "config": metric.get_config()}
        again = metrics.get(json.loads(json.dumps(described)))
        assert type(again) is type(metric)
        assert again.get_config() == metric.get_config()

    def test_an_object_is_itself(self):
        metric = metrics.RootMeanSquaredError(name="error")
        assert metrics.get(metric) is metric
        assert metrics.get(metrics.RootMeanSquaredError).name == "root_mean_squared_error"

    def test_unknown(self):
        with pytest.raises(ValueError, match="expected a metric among acc, accuracy, .*got 'auk'"):
            metrics.get("auk")
        with pytest.raises(ValueError, match="expected a metric's class among"):
            metrics.get({"class_name": "AUK", "config": {}})
        with pytest.raises(TypeError, match="got 3"):
            metrics.get(3)
        with pytest.raises(ValueError, match="expected a kind"):
            metrics.Accuracy("ternary")


@pytest.mark.parametrize("name", losses.LOSSES)
def test_targets_of_any_dtype_give_the_same(name, rng):
    """Small integers don't overflow, and booleans are 0 and 1."""
    y_pred, values = rng.uniform(0.05, 0.95, (ROWS, 2)), {"uint8": 2, "int8": 2, "bool": 2}
    if name in ("mean_squared_error", "cosine_similarity", "huber", "poisson"):
        values = {"uint8": 200, "int8": 120}
    size = 1 if name.startswith(("sparse", "gaussian")) else 2
    for dtype, most in values.items():
        y_true = rng.integers(0, most, (ROWS, size)).astype(dtype)
        found, wanted = (over(metrics.get(name), y, y_pred) for y in (y_true, y_true.astype(float)))
        assert found == pytest.approx(wanted, rel=1e-12)


def test_a_metric_for_several_outputs_has_sums_for_each():
    metric = metrics.RootMeanSquaredError()
    compiled = Compiled(["a", "b"], "sgd", "mse", None, [metric], [metric], {})
    assert [name for name, *_ in compiled.metrics] == [
        "a_root_mean_squared_error",
        "b_root_mean_squared_error",
        "a_weighted_root_mean_squared_error",
        "b_weighted_root_mean_squared_error",
    ]
    assert len({id(one) for _, _, one, _ in compiled.metrics}) == 4 and compiled.metrics[0][2] is metric


def test_the_threshold_of_accuracy_is_a_half_and_that_of_logits_0():
    y_true = np.array([[0.0], [0.0], [1.0], [1.0]])
    for from_logits, y_pred in ((False, [[0.2], [0.45], [0.55], [0.8]]), (True, [[-1.0], [-0.1], [0.1], [1.0]])):
        metric = metrics.get("accuracy", losses.BinaryCrossentropy(from_logits=from_logits))
        metric.update(y_true, np.array(y_pred))
        assert metric.result() == 1.0


def test_equal_entries_share_the_place_of_the_first_of_them():
    """All of them are among the k largest, or none is: here the two in the second and third place."""
    y_pred = np.array([[0.1, 0.5, 0.5, 0.9]] * 4)
    for k, expected in ((1, [0, 0, 0, 1]), (2, [0, 1, 1, 1]), (3, [0, 1, 1, 1]), (4, [1, 1, 1, 1])):
        found = metrics.sparse_top_k_categorical_accuracy(np.arange(4), y_pred, k=k)
        np.testing.assert_array_equal(found, expected)
