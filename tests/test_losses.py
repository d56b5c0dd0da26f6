"""Losses against their formulas, and as training takes them: compiled, with masks, weights and a way back."""

import inspect
import json
import math
import pickle
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import special, stats

from rnnkit import losses
from rnnkit.backends.shared.call import Result
from rnnkit.compiler.autodiff.reverse import to_x
from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.execution import passes
from rnnkit.steps.step import Step
from rnnkit.training.objective import LossCell, Objective

BATCH, TIME, SIZE = 3, 4, 3
LEVELS = (0.1, 0.5, 0.9)


def logits(rng, *lead):
    return 2 * rng.normal(size=(*lead, SIZE))


def rates(rng, *lead):
    return rng.uniform(0.2, 3, size=(*lead, SIZE))


def shares(rng, *lead):
    return special.softmax(logits(rng, *lead), axis=-1)


def chances(rng, *lead):
    return rng.uniform(0.05, 0.95, size=(*lead, SIZE))


def counts(rng, *lead):
    return rng.integers(0, 5, (*lead, SIZE))


def ids(rng, *lead):
    return rng.integers(0, SIZE, lead)


def one_value(rng, *lead):
    return rng.normal(size=(*lead, 1))


def means_and_scales(rng, *lead):
    return rng.normal(size=(*lead, 2 * SIZE))


def softplus(x):
    return np.logaddexp(0, x)


def of_gaussian(t, y):
    return -np.mean(stats.norm.logpdf(t, y[:SIZE], np.exp(0.5 * y[SIZE:])))


def smooth(t, amount, middle):
    return (1 - amount) * t + amount * middle


# name: the loss, how targets and outputs are drawn, and the formula for one row of one step
CASES = {
    "mse": ("mse", logits, logits, lambda t, y: sum((t - y) ** 2) / len(y)),
    "mae": ("mae", logits, logits, lambda t, y: sum(abs(t - y)) / len(y)),
    "huber": (losses.Huber(0.7), logits, logits, lambda t, y: np.mean(special.huber(0.7, t - y))),
    "log_cosh": ("log_cosh", logits, logits, lambda t, y: np.mean(np.log(np.cosh(t - y)))),
    "quantile": (
        losses.Quantile(0.2),
        logits,
        logits,
        lambda t, y: np.mean([0.2 * (a - b) if a > b else 0.8 * (b - a) for a, b in zip(t, y, strict=True)]),
    ),
    "quantiles": (
        losses.Quantile(LEVELS),
        one_value,
        logits,
        lambda t, y: np.mean(
            [q * (t[0] - b) if t[0] > b else (1 - q) * (b - t[0]) for q, b in zip(LEVELS, y, strict=True)]
        ),
    ),
    "binary": ("bce", chances, chances, lambda t, y: -np.mean(special.xlogy(t, y) + special.xlogy(1 - t, 1 - y))),
    "binary, logits": (
        losses.BinaryCrossentropy(from_logits=True, label_smoothing=0.2),
        chances,
        logits,
        lambda t, y: np.mean(smooth(t, 0.2, 0.5) * softplus(-y) + (1 - smooth(t, 0.2, 0.5)) * softplus(y)),
    ),
    "categorical": ("categorical_crossentropy", shares, rates, lambda t, y: -t @ np.log(y / sum(y))),
    "categorical, logits": (
        losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.3),
        shares,
        logits,
        lambda t, y: -smooth(t, 0.3, 1 / SIZE) @ np.log(special.softmax(y)),
    ),
    "sparse": ("sparse_categorical_crossentropy", ids, rates, lambda t, y: -np.log(y[t] / sum(y))),
    "sparse, logits": (
        losses.SparseCategoricalCrossentropy(from_logits=True),
        ids,
        logits,
        lambda t, y: special.logsumexp(y) - y[t],
    ),
    "gaussian": ("gaussian_nll", logits, means_and_scales, of_gaussian),
    "poisson": ("poisson", counts, rates, lambda t, y: np.mean(y - t * np.log(y + 1e-7))),
    "poisson, logarithms": (
        losses.Poisson(log_input=True),
        counts,
        logits,
        lambda t, y: -np.mean(stats.poisson.logpmf(t, np.exp(y)) + special.gammaln(t + 1)),
    ),
    "divergence": ("kld", shares, shares, lambda t, y: sum(special.kl_div(t, y))),
    "cosine": ("cosine_similarity", logits, logits, lambda t, y: -t @ y / math.sqrt((t @ t) * (y @ y))),
}


COMPILED = ("mse", "huber", "binary", "sparse, logits", "gaussian")  # a second or two each; the others are evaluated


@cache
def objective(name) -> Objective:
    """Read each loss once for all tests."""
    return (Objective if name in COMPILED else Evaluated)(CASES[name][0])


class Evaluated(Objective):
    """The same graphs, evaluated in NumPy where a program would be compiled."""

    def _program(self, steps, features, targets, dtype, gradient):
        step = Step(LossCell(self.loss, steps, features, targets, losses.takes_ids(self.loss)), features)
        graph = to_x(passes.read(step, dtype, {}), dtype, features)

        def run(record):
            given = {("x", None): record.x[:, 0]} | {("draw", name): array for name, array in record.draws.items()}
            nodes = graph.states[0], graph.output
            with np.errstate(all="ignore"):
                values = evaluate(nodes, given, dtype)
            lost, d_x = (np.broadcast_to(values[node.id], (len(record.x), *node.shape)).copy() for node in nodes)
            return Result(d_x, d_x, (lost,))

        return SimpleNamespace(run=run)


def drawn(name, rng, *lead):
    _, target, output, _ = CASES[name]
    return target(rng, *lead), output(rng, *lead)


def by_formula(name, y_true, y_pred):
    formula = CASES[name][-1]
    return np.array([formula(y_true[i], y_pred[i]) for i in np.ndindex(y_pred.shape[:-1])]).reshape(y_pred.shape[:-1])


@pytest.mark.parametrize("name", CASES)
class TestEachLoss:
    """The laws that hold for all of them."""

    def test_formula(self, name, rng):
        for lead in ((BATCH,), (BATCH, TIME)):
            y_true, y_pred = drawn(name, rng, *lead)
            got = losses.get(CASES[name][0])(y_true, y_pred)
            np.testing.assert_allclose(got, by_formula(name, y_true, y_pred), rtol=1e-6, atol=1e-6)

    def test_over_a_batch(self, name, rng):
        y_true, y_pred = drawn(name, rng, BATCH, TIME)
        part = objective(name)(y_true, y_pred)
        expected = losses.get(CASES[name][0])(y_true, y_pred)
        assert part.count == BATCH * TIME
        assert part.total == pytest.approx(expected.sum(), rel=1e-12)
        flat = objective(name)(y_true.reshape(-1, *y_true.shape[2:]), y_pred.reshape(-1, y_pred.shape[-1]))
        assert (flat.total, flat.count) == (part.total, part.count)

    def test_gradient_with_mask_and_weights(self, name, rng):
        y_true, y_pred = drawn(name, rng, BATCH, TIME)
        mask, weight = rng.random((BATCH, TIME)) < 0.7, rng.uniform(0, 2, (BATCH, TIME))
        d, scale = rng.normal(size=y_pred.shape), 0.3
        cotangent = objective(name)(y_true, y_pred, mask, weight).pull(scale)

        def total(step):
            values = losses.get(CASES[name][0])(y_true, y_pred + step * d)
            return scale * np.sum(np.where(mask, weight * values, 0))

        step = 1e-5
        assert np.sum(cotangent * d) == pytest.approx((total(step) - total(-step)) / (2 * step), rel=1e-5)
        assert not cotangent[~mask].any()

    def test_nothing_comes_from_under_a_mask(self, name, rng):
        y_true, y_pred = drawn(name, rng, BATCH, TIME)
        mask = rng.random((BATCH, TIME)) < 0.7
        part = objective(name)(y_true, y_pred, mask)
        dirty = y_pred.copy()
        dirty[~mask] = np.nan
        y_true = np.where(
            mask.reshape(mask.shape + (1,) * (y_true.ndim - 2)), y_true, -1 if name[:6] == "sparse" else np.nan
        )
        again = objective(name)(y_true, dirty, mask)
        assert (again.total, again.count) == (part.total, np.count_nonzero(mask))
        np.testing.assert_array_equal(again.pull(), part.pull())

    def test_config(self, name):
        loss = losses.get(CASES[name][0])
        config = losses.loss_config(loss)
        assert losses.get(json.loads(json.dumps(config))) == loss
        assert losses.name_of(losses.get(losses.name_of(loss))) == losses.name_of(loss)


EXTREMES = {
    "binary, logits": ([[0.0, 1, 1]], [[1e4, -1e4, 1e4]], (2e4 * 0.9 + 1e4 * 0.1) / 3),
    "sparse, logits": ([[0]], [[-1e4, 1e4, 0.0]], 2e4),
    "categorical, logits": ([[0.0, 1, 0]], [[-1e4, 1e4, 1e4]], None),
    "binary": ([[0.0, 1, 1]], [[1.0, 0.0, 1.0]], 2 * -math.log(1e-7) / 3),
    "categorical": ([[1.0, 0, 0]], [[0.0, 1.0, 0.0]], -math.log(1e-7)),
    "sparse": ([[2]], [[0.0, 1.0, 0.0]], -math.log(1e-7)),
    "huber": ([[1e200, 0, 0]], [[-1e200, 0, 0.0]], 0.7 * 2e200 / 3),
    "log_cosh": ([[1e200, 0, 0]], [[0.0, 0, 0.0]], 1e200 / 3),
    "gaussian": ([[0.0, 0, 0]], [[0.0, 1, 1, -1e4, 1e4, 0]], None),
    "cosine": ([[0.0, 0, 1]], [[0.0, 0.0, 0.0]], 0.0),
    "divergence": ([[0.0, 1, 0]], [[1.0, 0.0, 0.0]], None),
}


@pytest.mark.parametrize("name", EXTREMES)
def test_extremes_are_finite(name):
    y_true, y_pred, expected = EXTREMES[name]
    part = objective(name)(np.array(y_true), np.array(y_pred))
    assert math.isfinite(part.total)
    assert np.isfinite(part.pull()).all()
    plain = losses.get(CASES[name][0])(np.array(y_true), np.array(y_pred))
    assert part.total == pytest.approx(float(plain[0]), rel=1e-9)
    if expected is not None:
        assert part.total == pytest.approx(expected, rel=1e-6)


def test_float32_extremes():
    part = Objective("bce")(np.array([[0.0, 1, 1]]), np.array([[1.0, 0.0, 1.0]], np.float32))
    assert np.isfinite(part.total)
    assert part.pull().dtype == np.float32
    assert np.isfinite(part.pull()).all()


def unreduced(y_true, y_pred):
    return np.abs(y_pred - y_true)


def steep(y_true, y_pred):
    """One number a row, from differences along time."""
    return np.mean(np.square(y_pred[:, 1:] - y_pred[:, :-1] - y_true[:, 1:]), axis=(1, 2))


def jumps(y_true, y_pred):
    """One number a step; only steps that jump far show that they depend on each other."""
    before = np.concatenate([y_pred[:, :1], y_pred[:, :-1]], axis=1)
    return np.mean(np.square(y_pred - y_true) + np.maximum(np.abs(y_pred - before) - 5.0, 0.0), axis=-1)


class TestOwnLoss:
    """A user's function."""

    def test_unreduced(self, rng):
        y_true, y_pred = logits(rng, BATCH, TIME), logits(rng, BATCH, TIME)
        part = Evaluated(unreduced)(y_true, y_pred)
        assert part.total / part.count == pytest.approx(np.mean(np.abs(y_pred - y_true)))
        np.testing.assert_allclose(part.pull(), np.sign(y_pred - y_true) / SIZE)

    def test_a_number_for_each_row(self, rng):
        y_true, y_pred = logits(rng, BATCH, TIME), logits(rng, BATCH, TIME)
        own = Objective(steep)
        part = own(y_true, y_pred, sample_weight=[1, 0, 2])
        assert part.count == BATCH
        assert part.total == pytest.approx(steep(y_true, y_pred) @ [1, 0, 2])
        assert not part.pull()[1].any()
        with pytest.raises(ValueError, match="a mask of steps can't be applied"):
            own(y_true, y_pred, mask=np.eye(BATCH, TIME))
        assert own(y_true, y_pred, mask=np.ones((BATCH, TIME))).count == BATCH

    def test_steps_that_see_each_other(self, rng):
        y_true, y_pred = logits(rng, BATCH, TIME), 10 * logits(rng, BATCH, TIME)
        mask = np.ones((BATCH, TIME), bool)
        mask[1, 2:] = False
        own = Evaluated(jumps)
        part = own(y_true, y_pred)
        assert part.total == pytest.approx(jumps(y_true, y_pred).sum())
        y_pred[1, 2:] = np.nan
        part = own(y_true, y_pred, mask)
        assert math.isfinite(part.total)
        assert np.isfinite(part.pull()).all()
        assert not part.pull()[1, 2:].any()

    def test_rows_that_are_mixed(self):
        with pytest.raises(ValueError, match="got a number for 2 rows; reduce with axis=-1"):
            Objective(lambda y_true, y_pred: np.mean(np.square(y_pred - y_true)))(np.ones((3, 2)), np.ones((3, 2)))

        def centred(y_true, y_pred):
            return np.square(y_pred - y_true - np.mean(y_pred))

        with pytest.raises(ValueError, match=r"mixes rows, .*np\.mean\(y_pred\).*reduce with axis=-1"):
            Objective(centred)(np.ones((3, 2)), np.ones((3, 2)))

    def test_what_cannot_be_read(self):
        def strange(y_true, y_pred):
            return np.gradient(y_pred - y_true, axis=1)

        with pytest.raises(
            ValueError, match=r"gradient of 'strange' isn't known: np\.gradient .*test_losses\.py, line"
        ):
            Objective(strange)(np.ones((3, 2)), np.ones((3, 2)))


class TestArrays:
    """Shapes, masks and weights."""

    def test_an_axis_of_one_may_be_there_or_not(self, rng):
        mse = objective("mse")
        for shape in ((5, 1), (5,), (5, 2, 1)):
            y_pred, y_true = rng.normal(size=shape), rng.normal(size=(5, 2) if len(shape) == 3 else 5)
            expected = mse(y_true.reshape(shape), y_pred)
            for given in (y_true, y_true[..., None]):
                part = mse(given, y_pred)
                assert (part.total, part.count) == (expected.total, expected.count)
                assert part.pull().shape == shape
        y_true, y_pred = drawn("sparse", rng, BATCH, TIME)
        totals = {objective("sparse")(t, y_pred).total for t in (y_true, y_true[..., None], y_true.astype(float))}
        assert len(totals) == 1

    def test_one_value_a_step(self, rng):
        """Bits don't depend on whether steps stand side by side."""
        y_true, y_pred = rng.normal(size=(2, 5, 2, 1))
        mask, weight = np.array([[1, 1], [0, 1], [0, 0], [1, 0], [1, 1]]), rng.uniform(0, 2, (5, 2))
        flat = objective("mse")(y_true.reshape(10, 1), y_pred.reshape(10, 1), sample_weight=(mask * weight).reshape(10))
        y_pred = np.where(mask[..., None], y_pred, np.nan)
        part = objective("mse")(y_true, y_pred, mask, weight)
        assert (part.total, part.count) == (flat.total, mask.sum())
        np.testing.assert_array_equal(part.pull().ravel(), flat.pull().ravel())

    @pytest.mark.parametrize("shape", [(BATCH,), (BATCH, 1), (BATCH, TIME), (BATCH, TIME, 1)])
    def test_weights(self, shape, rng):
        y_true, y_pred = drawn("mse", rng, BATCH, TIME)
        weight = rng.uniform(0, 2, shape)
        by_step = np.broadcast_to(weight.reshape(BATCH, -1), (BATCH, TIME))
        part = objective("mse")(y_true, y_pred, sample_weight=weight)
        assert part.total == pytest.approx(np.sum(by_step * losses.mean_squared_error(y_true, y_pred)))
        assert part.count == BATCH * TIME

    def test_a_mask_of_other_steps_says_nothing(self, rng):
        y_true, y_pred = drawn("mse", rng, BATCH)
        assert objective("mse")(y_true, y_pred, np.zeros((BATCH, TIME))).count == BATCH

    def test_no_rows(self):
        part = objective("mse")(np.ones((0, SIZE)), np.ones((0, SIZE)))
        assert (part.total, part.count, part.pull().shape) == (0.0, 0.0, (0, SIZE))

    def test_all_masked(self, rng):
        y_true, y_pred = drawn("mse", rng, BATCH, TIME)
        part = objective("mse")(y_true, y_pred, np.zeros((BATCH, TIME)))
        assert (part.total, part.count) == (0.0, 0.0)
        assert not part.pull().any()

    def test_without_gradient(self, rng):
        y_true, y_pred = drawn("mse", rng, BATCH)
        part = objective("mse")(y_true, y_pred, gradient=False)
        assert part.total == objective("mse")(y_true, y_pred).total
        with pytest.raises(ValueError, match="gradient=True"):
            part.pull()

    def test_same_bits_on_any_threads_and_strides(self, threads, rng):
        y_true, y_pred = ids(rng, 64, 100), rng.normal(size=(64, 100, 64))
        found = []
        for number in (1, 2):
            threads(number)
            part = objective("sparse, logits")(y_true, y_pred)
            found.append((part.total, part.pull()))
        turned = objective("sparse, logits")(y_true, np.asfortranarray(y_pred))
        for total, cotangent in ((turned.total, turned.pull()), found[1]):
            assert total == found[0][0]
            np.testing.assert_array_equal(cotangent, found[0][1])

    @pytest.mark.parametrize(
        ("name", "shape", "given", "more", "told"),
        [
            ("mse", (3, 1), (3, 2), {}, r"\(3, 2\) with y_pred of shape \(3, 1\)"),
            ("mse", (3, 2), (3, 1), {}, r"\(3, 1\) with y_pred of shape \(3, 2\)"),
            (
                "mse",
                (4, 2),
                (3, 2),
                {},
                r"expected y_true of shape \(4, 2\) for y_pred of shape \(4, 2\), got \(3, 2\)",
            ),
            ("mse", (3, 2), (3, 2), {"sample_weight": [1, 2]}, r"sample_weight of shape \(3,\), got \(2,\)"),
            ("mse", (3, 2), (3, 2), {"sample_weight": [1, 2, -1]}, "at least 0"),
            ("mse", (3, 2), (3, 2), {"sample_weight": [1, 2, np.nan]}, "finite"),
            ("mse", (3, 4, 2), (3, 4, 2), {"mask": np.ones(3)}, r"expected mask of shape \(batch, time\)"),
            ("quantiles", (3, 2), (3, 1), {}, "expected y_pred with 3 quantiles"),
            ("gaussian", (3, 3), (3, 1), {}, "as many log-variances as means"),
            ("sparse", (3, 2), (3, 2), {}, r"expected y_true of shape \(3,\), numbers of classes"),
        ],
    )
    def test_what_does_not_fit(self, name, shape, given, more, told):
        with pytest.raises(ValueError, match=told):
            objective(name)(np.zeros(given, int), np.ones(shape), **more)

    @pytest.mark.parametrize("wrong", [3, -1, 0.5, np.nan])
    def test_classes_that_do_not_exist(self, wrong):
        with pytest.raises(ValueError, match=rf"classes from 0 to 2 in y_true, got {wrong}"):
            objective("sparse")(np.array([0, wrong]), np.ones((2, 3)))


class TestNames:
    """What `get` takes."""

    def test_unknown(self):
        with pytest.raises(ValueError, match="expected a loss among mean_squared_error, .*got 'mle'"):
            losses.get("mle")
        with pytest.raises(ValueError, match="expected a loss's class among"):
            losses.get({"class_name": "Mle", "config": {}})
        with pytest.raises(TypeError, match="got None"):
            losses.get(None)

    def test_every_class_is_its_function(self):
        for kind in losses.CLASSES.values():
            function = losses.LOSSES[kind.name]
            settings = list(inspect.signature(function).parameters.values())[2:]
            assert function.__name__ == kind.name and getattr(losses, kind.__name__) is kind
            assert [one.default for one in settings] == list(kind().get_config().values())
            assert [one.name for one in settings] == list(inspect.signature(kind).parameters)
            assert losses.get(kind.__name__) == losses.get(kind) == kind()

    @pytest.mark.parametrize(
        ("kind", "settings"),
        [
            (losses.Huber, {"delta": 0}),
            (losses.Quantile, {"levels": 1.0}),
            (losses.Quantile, {"levels": []}),
            (losses.BinaryCrossentropy, {"label_smoothing": 2}),
            (losses.CategoricalCrossentropy, {"label_smoothing": -1}),
        ],
    )
    def test_settings(self, kind, settings):
        with pytest.raises(ValueError, match=next(iter(settings))):
            kind(**settings)

    def test_pickled(self, rng):
        y_true, y_pred = drawn("huber", rng, BATCH)
        objective("huber")(y_true, y_pred)
        assert pickle.loads(pickle.dumps(objective("huber"))).loss == losses.Huber(0.7)


KERAS = {
    "mse": ("mean_squared_error", {}),
    "mae": ("mean_absolute_error", {}),
    "huber": ("huber", {"delta": 0.7}),
    "log_cosh": ("log_cosh", {}),
    "binary": ("binary_crossentropy", {}),
    "binary, logits": ("binary_crossentropy", {"from_logits": True, "label_smoothing": 0.2}),
    "categorical": ("categorical_crossentropy", {}),
    "categorical, logits": ("categorical_crossentropy", {"from_logits": True, "label_smoothing": 0.3}),
    "sparse": ("sparse_categorical_crossentropy", {}),
    "sparse, logits": ("sparse_categorical_crossentropy", {"from_logits": True}),
    "poisson": ("poisson", {}),
    "divergence": ("kl_divergence", {}),
    "cosine": ("cosine_similarity", {}),
}


@pytest.mark.parametrize("name", KERAS)
def test_keras_says_the_same(name, rng):
    keras = pytest.importorskip("keras")
    function, settings = KERAS[name]
    y_true, y_pred = drawn(name, rng, BATCH, TIME)
    y_pred = y_pred.astype(np.float32)
    theirs = np.asarray(getattr(keras.losses, function)(y_true, y_pred, **settings))
    np.testing.assert_allclose(losses.get(CASES[name][0])(y_true, y_pred), theirs, rtol=1e-4, atol=1e-5)


def test_torch_has_the_same_gradients(rng):
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    theirs = {
        "huber": lambda t, y: F.huber_loss(y, t, reduction="none", delta=0.7).mean(-1),
        "sparse, logits": lambda t, y: F.cross_entropy(y.movedim(-1, 1), t, reduction="none"),
        "binary": lambda t, y: F.binary_cross_entropy(y, t, reduction="none").mean(-1),
        "poisson, logarithms": lambda t, y: F.poisson_nll_loss(y, t, reduction="none").mean(-1),
        "gaussian": lambda t, y: F.gaussian_nll_loss(
            y[..., :SIZE], t, y[..., SIZE:].exp(), full=True, reduction="none"
        ).mean(-1),
        "cosine": lambda t, y: -F.cosine_similarity(t, y, dim=-1),
    }
    for name, function in theirs.items():
        y_true, y_pred = drawn(name, rng, BATCH, TIME)
        given = torch.tensor(y_pred, requires_grad=True)
        total = function(torch.tensor(y_true), given).sum()
        total.backward()
        part = objective(name)(y_true, y_pred)
        assert part.total == pytest.approx(total.item(), rel=1e-9), name
        np.testing.assert_allclose(part.pull(), given.grad.numpy(), rtol=1e-8, atol=1e-12, err_msg=name)


def test_the_angle_between_short_vectors_is_theirs():
    """A length above 1e-7 is divided by, however short."""
    x = 1e-5 * np.array([[3.0, 4.0], [0.0, 1.0]])
    np.testing.assert_allclose(losses.cosine_similarity(x, x), -1.0, rtol=1e-6)
