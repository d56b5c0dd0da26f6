"""Fits whose batches are cut into parts: the same sums in another order, draws by part, statistics by part."""

import doctest

import numpy as np
import pytest
from parted_fits import MODELS, Case, same_fit, sequences

import rnnkit as rk
from rnnkit.training import order, parts, pieces
from rnnkit.training.batches import Batch
from rnnkit.training.pieces import Summand, added, cut, spans


def pair(x, y, make, count, **options):
    """The weights after a fit in parts, and after one without."""
    found = []
    for more in ({"parts": count}, {}):
        model = make()
        history = model.fit(x, y, epochs=2, batch_size=12, verbose=0, **options, **more)
        found.append((model, history))
    return found


def close(found, expected):
    weights = list(zip(found[0].get_weights(), expected[0].get_weights(), strict=True))
    tolerance = 1e-9 if weights[0][0].dtype == np.float64 else 1e-5
    for a, b in weights:
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=0.01 * tolerance)
    for name, values in expected[1].history.items():
        np.testing.assert_allclose(found[1].history[name], values, rtol=tolerance)


def compiled(*layers, loss="mse", seed=0, **settings):
    def make():
        model = rk.Sequential([type(one).from_config(one.get_config()) for one in layers], seed=seed)
        model.compile(rk.optimizers.Adam(0.01, **settings), loss, metrics=["mae"] if loss == "mse" else ["accuracy"])
        return model

    return make


LSTM, DENSE = rk.LSTM(5), rk.Dense(1, kernel_regularizer="l2")


def test_one_part_has_the_bits_of_an_ordinary_fit(rng):
    x, y, _ = sequences(rng)
    same_fit(*pair(x, y, compiled(LSTM, rk.BatchNormalization(), DENSE), 1, sample_weight=rng.random(len(x))))


@pytest.mark.parametrize("count", [2, 5, 12, 100])
def test_parts_add_up_to_the_batch(count, rng):
    x, y, _ = (one.astype(float) for one in sequences(rng))
    weight = rng.random(len(x))
    close(*pair(x, y, compiled(LSTM, DENSE, global_clipnorm=0.1), count, sample_weight=weight, validation_split=0.2))


def test_masked_steps_count_for_the_whole_batch(rng):
    x, _, y = (one.astype(float) for one in sequences(rng))
    x[np.arange(6) >= rng.integers(1, 7, (len(x), 1))] = 0
    y[(x == 0).all(axis=2)] = np.nan
    layers = rk.Masking(), rk.LSTM(5, return_sequences=True), DENSE
    close(*pair(x, y, compiled(*layers), 4, sample_weight=rng.random(x.shape[:2])))


def test_several_outputs_with_and_without_masks(rng):
    x, rows, steps = (one.astype(float) for one in sequences(rng))
    x[rng.random(x.shape[:2]) < 0.4] = 0

    def make():
        given = rk.Input((None, 3))
        h = rk.LSTM(5, return_sequences=True, seed=1)(rk.Masking()(given))
        before = h, rk.GRU(3, seed=2)(h), rk.GRU(3, seed=3)(given)
        outputs = [rk.Dense(1, seed=i)(one) for i, one in enumerate(before)]
        model = rk.Model(given, outputs, seed=0)
        model.compile("adam", "mse", loss_weights=[0.5, 2.0, 0.0])
        return model

    close(*pair(x, [steps, rows, rows], make, 3))


def test_rows_of_a_table_and_weights_of_classes(rng):
    ids = rng.integers(0, 50, (40, 6))
    y = (ids[:, 0] % 3)[:, None]
    layers = rk.Embedding(50, 4, dtype="float64"), rk.LSTM(5), rk.Dense(3, activation="softmax")
    make = compiled(*layers, loss="sparse_categorical_crossentropy")
    close(*pair(ids, y, make, 5, class_weight={0: 1.0, 1: 3.0, 2: 0.5}))


def test_lists_of_sequences(rng):
    x = [rng.normal(size=(n, 3)) for n in rng.integers(2, 20, 30)]
    y = [np.cumsum(one[:, :1], axis=0) for one in x]
    close(*pair(x, y, compiled(rk.LSTM(5, return_sequences=True), DENSE), 4))


def test_iterables_of_batches(rng):
    x, y, _ = (one.astype(float) for one in sequences(rng))
    batches = [(x[i : i + 7], y[i : i + 7]) for i in range(0, len(x), 7)]
    close(*pair(batches, None, compiled(LSTM, DENSE), 3))


@pytest.mark.parametrize("name", MODELS)
def test_L3_the_bits_do_not_depend_on_threads(name, threads):
    case, found = Case(name, 0), []
    for count in (1, 3):
        threads(count)
        found.append(case.fitted(case.x, case.y, case.weight))
    same_fit(*found)


def test_draws_differ_between_parts_and_updates_and_leave_the_layers_where_they_were(rng):
    model = compiled(rk.Dropout(0.5))()
    stepper = parts.PartedStepper(model, model._compiled, None, 3)
    batch = Batch([np.ones((6, 8))], [np.ones((6, 8))])
    stepper.build(batch)
    stepper.looked_at = {0}
    before = model.layers[0]._generator
    seen = [
        stepper.part(piece, update, number).told[0].outputs[0].tobytes()
        for update in (0, 1)
        for number, piece in enumerate(cut(batch, 3))
    ]
    assert len(set(seen)) == 6
    assert stepper.part(cut(batch, 3)[1], 1, 1).told[0].outputs[0].tobytes() == seen[4]
    assert model.layers[0]._generator is before


@pytest.mark.parametrize("name", MODELS)
def test_a_fit_that_is_resumed_has_the_same_bits(name):
    case = Case(name, 7)
    whole = case.fitted(case.x, case.y, case.weight, epochs=3)
    first = case.fitted(case.x, case.y, case.weight, epochs=1)[0]
    second = case.model()
    second.build(case.x.shape)
    second.set_weights(first.get_weights())
    second.optimizer.set_state(first.optimizer.get_state())
    history = second.fit(
        case.x, case.y, sample_weight=case.weight, **(case.options | {"epochs": 3, "initial_epoch": 1})
    )
    assert history.history["loss"] == whole[1].history["loss"][1:]
    for a, b in zip(second.get_weights(), whole[0].get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_moving_averages_are_the_mean_over_parts(rng):
    x = rng.normal(3, 2, (12, 4))
    model = rk.Sequential([rk.BatchNormalization(momentum=0.5)], seed=0)
    model.compile("sgd", "mse")
    model.fit(x, x, batch_size=12, parts=2, verbose=0, shuffle=False)
    half = [x[:6], x[6:]]
    np.testing.assert_allclose(model.weights["0/moving_mean"], 0.5 * x.mean(axis=0))
    variance = np.mean([one.var(axis=0) for one in half], axis=0)
    np.testing.assert_allclose(model.weights["0/moving_variance"], 0.5 + 0.5 * variance)


def test_frozen_statistics_keep_their_bits(rng):
    x = rng.normal(size=(13, 4))
    model = rk.Sequential([rk.BatchNormalization(), rk.Dense(4)], seed=0)
    model.build(x.shape)
    model.set_weights([one + rng.random(one.shape) for one in model.get_weights()])
    model.layers[0].trainable = False
    model.compile("sgd", "mse")
    before = model.layers[0].get_weights()
    model.fit(x, x, batch_size=13, parts=3, verbose=0)
    for a, b in zip(model.layers[0].get_weights(), before, strict=True):
        assert np.array_equal(a, b)


def test_an_error_names_the_rows_and_changes_nothing(rng):
    x, y, _ = sequences(rng, 24)
    x[17, 2, 1] = np.nan
    model = compiled(LSTM, rk.BatchNormalization(), DENSE)()
    model.build(x.shape)
    before = model.get_weights()
    told = "epoch 0, batch 0: rows 16 to 23 of the batch: the loss is not finite: x has 1 value of 144"
    with pytest.raises(FloatingPointError, match=told):
        model.fit(x, y, batch_size=24, parts=3, shuffle=False, verbose=0)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), before, strict=True))
    assert model.optimizer.iterations == 0


def test_a_penalty_that_is_not_finite_names_the_weight(rng):
    x, y, _ = sequences(rng)
    model = compiled(LSTM, DENSE)()
    model.build(x.shape)
    model.weights["1/kernel"] = np.full((5, 1), np.inf)
    with pytest.raises(FloatingPointError, match="not finite"):
        model.fit(x, y, parts=2, verbose=0)


def test_what_has_no_parts_is_refused(rng):
    x, y, _ = sequences(rng)
    stateful = rk.Sequential([rk.LSTM(3, stateful=True, name="kept"), rk.Dense(1)])
    stateful.compile("adam", "mse")
    with pytest.raises(ValueError, match="'kept' is stateful"):
        stateful.fit(x, y, parts=2, shuffle=False, batch_size=len(x))
    model = compiled(LSTM, DENSE)()
    model.compile("lbfgs", "mse")
    with pytest.raises(ValueError, match="'lbfgs'"):
        model.fit(x, y, parts=2)
    from rnnkit.training.of_batch import OfBatch

    model.compile("adam", OfBatch(lambda y_true, y_pred: np.sqrt(np.mean(np.square(y_pred - y_true))), "whole"))
    with pytest.raises(ValueError, match="'whole' gives one number for a batch"):
        model.fit(x, y, parts=2, verbose=0)
    for wrong in (0, 1.5, "2"):
        with pytest.raises(ValueError, match="parts"):
            model.fit(x, y, parts=wrong)


@pytest.mark.parametrize("count", [1, 2, 3, 8, 9, 17, 70])
def test_a_tree_of_eights_adds_in_the_order_of_one_tree(count, rng):
    summands = [
        None
        if rng.random() < 0.1
        else Summand([{"w": rng.normal(size=3).astype("float32")}], {}, rng.normal(size=(1, 2)), 1, (), [])
        for _ in range(count)
    ]
    level = summands
    while len(level) > 1:
        level = [added(level[i : i + 8]) for i in range(0, len(level), 8)]
    whole = added(summands)
    assert (level[0] is None) == (whole is None)
    if whole is not None:
        assert np.array_equal(level[0].gradients[0]["w"], whole.gradients[0]["w"])
        assert np.array_equal(level[0].sums, whole.sums) and level[0].rows == whole.rows


@pytest.mark.parametrize("rows", range(1, 20))
def test_parts_differ_by_one_row_at_most(rows):
    for count in range(1, 25):
        found = spans(rows, count)
        sizes = [stop - start for start, stop in found]
        assert len(found) == min(rows, count) and sum(sizes) == rows and max(sizes) - min(sizes) <= 1
        assert [start for start, _ in found[1:]] == [stop for _, stop in found[:-1]]


def test_blocks_are_shuffled_and_the_rows_in_them(rng):
    found = order.shuffled(20, np.random.default_rng(3), (5, 0, 12, 3))
    blocks = np.searchsorted([5, 17], found, side="right")
    assert sorted(found.tolist()) == list(range(20))
    assert np.count_nonzero(np.diff(blocks)) == 2  # each block's rows lie together
    alone = order.shuffled(20, np.random.default_rng(3), (20,))
    assert np.array_equal(alone, order.shuffled(20, np.random.default_rng(3)))
    assert order.first_blocks((5, 0, 12, 3), 11) == (5, 6)


def test_one_block_is_the_usual_order(rng):
    x, y, _ = sequences(rng)
    make = compiled(LSTM, DENSE)
    same_fit(
        *(
            (model, model.fit(x, y, epochs=2, verbose=0, shuffle=shuffle, batch_size=8))
            for shuffle in (True, (len(x),))
            for model in [make()]
        )
    )


def test_blocks_of_other_rows_are_refused(rng):
    x, y, _ = sequences(rng, 30)
    model = compiled(LSTM, DENSE)()
    with pytest.raises(ValueError, match="sizes of blocks of 30 rows in all; got 29"):
        model.fit(x, y, shuffle=(20, 9))
    with pytest.raises(ValueError, match="a size in shuffle"):
        model.fit(x, y, shuffle=(31, -1))


def test_examples():
    assert doctest.testmod(pieces).failed == doctest.testmod(order).failed == 0
