"""Fits on dask arrays and delayed batches: the bits of a fit of one machine in parts, whatever the chunks."""

import os
import signal
import threading
import weakref

import numpy as np
import patience
import pytest
from chunked_runs import SCHEDULERS, cuts, da, dask
from parted_fits import MODELS, Case, same_fit, sequences

import rnnkit as rk

VERBOSE = {"verbose": 0}


def lazily(array, rng, sizes):
    """In chunks: of these rows for x and any others for targets, and of steps."""
    if isinstance(array, list):
        return [lazily(one, rng, sizes) for one in array]
    if array is None or rng.random() < 0.2:
        return array
    chunks = [cuts(len(array), rng)] + [(n,) for n in array.shape[1:]]
    if array.ndim == 3 and rng.random() < 0.5:
        chunks[1] = cuts(array.shape[1], rng)
    return da.from_array(array, chunks=tuple(chunks))


def agrees(case, scheduler, workers=2):
    """A fit on chunks has the bits of the fit on whole arrays, with the rows in the same order."""
    rng = case.rng
    sizes = cuts(len(case.x), rng)
    shuffle = bool(rng.random() < 0.7)
    expected = case.fitted(case.x, case.y, case.weight, shuffle=sizes if shuffle else False)
    x = da.from_array(case.x, chunks=(sizes, cuts(case.x.shape[1], rng), 3))
    with dask.config.set(scheduler=scheduler, num_workers=workers):
        found = case.fitted(x, lazily(case.y, rng, sizes), lazily(case.weight, rng, sizes), shuffle=shuffle)
    same_fit(found, expected)
    traffic = found[1].traffic
    assert traffic.updates == found[0].optimizer.iterations and traffic.gradient_bytes > 0
    assert traffic.computing > 0 and traffic.efficiency > 0 and "updates" in repr(traffic)
    assert expected[1].traffic is None


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("name", MODELS)
def test_L8_a_fit_on_chunks_has_the_bits_of_one_on_arrays(name, scheduler):
    agrees(Case(name, SCHEDULERS.index(scheduler)), scheduler)


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(2, 22))
@pytest.mark.parametrize("name", MODELS)
def test_L8_many_fits_on_chunks(name, seed):
    agrees(Case(name, seed), SCHEDULERS[seed % 2], 1 + seed % 5)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_L8_a_fit_on_delayed_batches_has_the_bits_of_one_on_batches(scheduler, rng):
    case = Case("dropped", 5)
    batches = [
        (case.x[i : i + 9], case.y[i : i + 9], rng.random(len(case.x[i : i + 9]))) for i in range(0, len(case.x), 9)
    ]
    found = []
    for one in (batches, [dask.delayed(batch) for batch in batches]):
        model = case.model()
        with dask.config.set(scheduler=scheduler, num_workers=2):
            history = model.fit(one, epochs=2, parts=12, validation_data=one[:2], validation_freq=2, **VERBOSE)
        found.append((model, history))
    same_fit(*found)


def test_evaluations_have_the_same_numbers():
    case = Case("two outputs", 3)
    model, _ = case.fitted(case.x, case.y, None)
    x = da.from_array(case.x, chunks=(7, 6, 3))
    expected = model.evaluate(case.x, case.y, batch_size=8, sample_weight=case.weight)
    assert model.evaluate(x, case.y, batch_size=8, sample_weight=case.weight) == expected
    assert model.test_on_batch(x, case.y) == model.test_on_batch(case.x, case.y)


def plain(units=4):
    model = rk.Sequential([rk.LSTM(units), rk.Dense(1)], seed=0)
    model.compile("adam", "mse")
    return model


def test_a_table_of_ids_sends_the_gradients_of_its_rows(rng):
    ids = rng.integers(0, 5000, (40, 6))
    y = rng.normal(size=(40, 1)).astype("float32")

    def fitted(x, **options):
        model = rk.Sequential([rk.Embedding(5000, 8), rk.LSTM(3), rk.Dense(1)], seed=0)
        model.compile("adam", "mse")
        return model, model.fit(x, y, batch_size=20, parts=3, epochs=2, **options, **VERBOSE)

    found = fitted(da.from_array(ids, chunks=(15, 6)))
    same_fit(found, fitted(ids, shuffle=(15, 15, 10)))
    assert found[1].traffic.gradient_bytes / found[1].traffic.updates < 5000 * 8 * 4


def test_by_default_a_part_has_64_rows_at_most(rng):
    x, y, _ = sequences(rng, 150)
    found = []
    for given, parts in ((x, 3), (da.from_array(x, chunks=(150, 6, 3)), None)):
        model = plain()
        found.append((model, model.fit(given, y, batch_size=150, parts=parts, **VERBOSE)))
    same_fit(*found)


def test_two_batches_are_loaded_while_one_is_computed(rng):
    x, y, _ = sequences(rng, 40)
    loaded = [threading.Event() for _ in range(5)]

    def note(block, block_info=None):
        loaded[block_info[0]["chunk-location"][0]].set()
        return block

    class Waits(rk.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            for one in loaded[batch : batch + 3]:
                assert one.wait(patience.left()), "the next batches aren't loaded"
            assert not any(one.is_set() for one in loaded[batch + 3 :]), "too much is loaded"

    lazy = da.from_array(x, chunks=(8, 6, 3)).map_blocks(note, meta=np.empty((0, 0, 0), x.dtype))
    with dask.config.set(scheduler="threads", num_workers=2):
        plain().fit(lazy, y, batch_size=8, shuffle=False, callbacks=[Waits()], **VERBOSE)


@pytest.mark.parametrize("shuffle", [True, False])
def test_each_chunk_is_loaded_once_an_epoch_and_few_are_held(shuffle):
    held, most, loads = weakref.WeakSet(), [0], []

    class Chunk(np.ndarray):
        __hash__ = object.__hash__  # for a set of those that are in memory
        __eq__ = object.__eq__

    def load(block_info=None):
        (first, stop), *_ = block_info[None]["array-location"]
        array = np.random.default_rng(first).normal(size=(stop - first, 6, 3)).astype("float32").view(Chunk)
        held.add(array)
        loads.append(first)
        most[0] = max(most[0], len(held))
        return array

    chunks = ((50,) * 20, (6,), (3,))
    x = da.map_blocks(load, chunks=chunks, dtype="float32", meta=np.empty((0, 0, 0), "float32"))
    y = np.zeros((1000, 1), "float32")
    with dask.config.set(scheduler="sync"):
        plain().fit(x, y, batch_size=40, epochs=2, shuffle=shuffle, **VERBOSE)
    assert len(loads) == 40 and len(set(loads[:20])) == 20
    assert most[0] <= 4


def test_an_error_names_the_rows_of_x(rng):
    x, y, _ = sequences(rng, 32)
    x[21, 2, 1] = np.nan
    model = plain()
    lazy = da.from_array(x, chunks=(12, 6, 3))
    with pytest.raises(FloatingPointError, match="epoch 0, batch 1: rows 20 to 23 of x: the loss is not finite: x has"):
        model.fit(lazy, y, batch_size=16, parts=4, shuffle=False, **VERBOSE)
    assert model.optimizer.iterations == 1


@pytest.mark.parametrize("scheduler", ["threads", "sync"])
def test_a_chunk_that_can_not_be_loaded_leaves_the_weights_of_the_last_update(rng, scheduler):
    x, y, _ = sequences(rng, 32)

    def failing(block, block_info=None):
        if block_info[0]["chunk-location"][0] == 2:
            raise KeyError("a file")
        return block

    model, reference = plain(), plain()
    lazy = da.from_array(x, chunks=(8, 6, 3)).map_blocks(failing, meta=np.empty((0, 0, 0), x.dtype))
    with dask.config.set(scheduler=scheduler, num_workers=2), pytest.raises(KeyError, match="a file") as caught:
        model.fit(lazy, y, batch_size=8, parts=2, shuffle=False, **VERBOSE)
    assert caught.value.__notes__ == [
        "in the update by rows 16 to 23 of x; the model has the weights of the last finished update"
    ]
    reference.fit(x, y, batch_size=8, parts=2, shuffle=False, steps_per_epoch=2, **VERBOSE)
    for a, b in zip(model.get_weights(), reference.get_weights(), strict=True):
        assert np.array_equal(a, b)


def test_ctrl_c_ends_a_fit_after_the_update(rng, ctrl_c):
    x, y, _ = sequences(rng, 32)

    class Presses(rk.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                os.kill(os.getpid(), signal.SIGINT)

    model = plain()
    with dask.config.set(scheduler="threads", num_workers=2):
        history = model.fit(da.from_array(x, chunks=(8, 6, 3)), y, batch_size=8, callbacks=[Presses()], **VERBOSE)
    assert history.interrupted and model.optimizer.iterations == 2
    assert not [one for one in threading.enumerate() if one.name.startswith("rnnkit-loading")]


def test_callbacks_and_lambdas_need_not_be_shipped(rng):
    x, y, _ = sequences(rng, 32)
    model, lock, seen = plain(), threading.Lock(), []
    told = rk.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append((lock, logs["loss"])))
    for _ in range(2):  # the second has a history
        model.fit(da.from_array(x, chunks=(8, 6, 3)), y, callbacks=[told], **VERBOSE)
    assert len(seen) == 2 and model.history is not None and model.optimizer.iterations == 2


def test_what_does_not_fit_together_is_refused(rng):
    x, y, _ = sequences(rng, 32)
    lazy, model = da.from_array(x, chunks=(8, 6, 3)), plain()
    batches = [dask.delayed((x, y))]
    stateful = rk.Sequential([rk.LSTM(3, stateful=True), rk.Dense(1)])
    stateful.compile("adam", "mse")
    for call, error, told in (
        (lambda: model.fit(lazy, y[:-1]), ValueError, "expected y with 32 rows"),
        (lambda: model.fit(lazy[lazy[:, 0, 0] > 0], y), ValueError, "chunks of known size"),
        (lambda: model.fit(batches, y), ValueError, "within the delayed batches"),
        (lambda: model.fit(batches[0]), TypeError, "a list of delayed batches"),
        (lambda: model.fit(batches, validation_split=0.5), ValueError, "validation_split"),
        (lambda: stateful.fit(lazy, y), ValueError, "is stateful"),
        (lambda: model.fit(lazy, y, validation_split=0.99), ValueError, "leave rows on both sides"),
        (lambda: model.fit(lazy[:0], y[:0]), ValueError, "at least one row"),
        (lambda: model.fit(lazy, y, shuffle=(8, 24)), ValueError, "chunks"),
        (lambda: model.fit([dask.delayed(x)], **VERBOSE), ValueError, r"batches \(x, y\)"),
    ):
        with pytest.raises(error, match=told):
            call()
