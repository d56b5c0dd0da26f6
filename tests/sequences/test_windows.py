"""Windows: a plain loop, Keras's batches, and how much is read."""

import json
import pathlib

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.sequences.windows import timeseries_dataset_from_array

RECORDED = pathlib.Path(__file__).parent / "data" / "timeseries_dataset.json"


def plain(data, targets, length, horizon, stride, rate):
    """All windows and their targets, one at a time."""
    x, y = [], []
    for start in range(0, len(data), stride):
        steps = [start + k * rate for k in range(length)]
        ahead = [steps[-1] + h * rate for h in np.atleast_1d(horizon)]
        if max(steps + ahead) < len(data):
            x.append(data[steps])
            y.append(targets[ahead] if np.ndim(horizon) else targets[ahead[0]])
    return np.array(x), np.array(y)


class Slices:
    """What a dataset on disk has: slices along the first axis, and a count of the steps that were read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.read = array, array.shape, array.dtype, 0

    def __len__(self):
        return len(self.array)

    def __getitem__(self, steps):
        assert isinstance(steps, slice)
        found = self.array[steps]
        self.read += len(found)
        return found


def data(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


@pytest.mark.parametrize("kind", [np.asarray, Slices])
@pytest.mark.parametrize("stride, rate", [(1, 1), (3, 1), (1, 2), (2, 3)])
@pytest.mark.parametrize("horizon", [1, 4, 0, [1, 2, 5], range(-2, 2)])
@pytest.mark.parametrize("shape", [(30,), (30, 2)])
def test_windows_are_the_plain_loop(kind, stride, rate, horizon, shape):
    values, other = data(*shape), data(30, 3)
    for targets, given in ((values, None), (other, kind(other)), (other[:, 0], other[:, 0])):
        x, y = plain(values, targets, 4, horizon, stride, rate)
        options = {"horizon": horizon, "targets": given, "stride": stride, "sampling_rate": rate, "batch_size": 5}
        found = rk.windows(kind(values), 4, **options)
        assert len(found) == -(-len(x) // 5)
        parts = [found[i] for i in range(len(found))]
        np.testing.assert_array_equal(np.concatenate([one for one, _ in parts]), x.reshape(*x.shape[:2], -1))
        np.testing.assert_array_equal(np.concatenate([one for _, one in parts]), y)
        np.testing.assert_array_equal(found.x[:], x.reshape(*x.shape[:2], -1))
        np.testing.assert_array_equal(found.y[:], y)


@pytest.mark.parametrize("shape", [(), (2,)])
def test_windows_of_several_series_lie_within_one(shape):
    series = [data(n, *shape) + 100 * i for i, n in enumerate((9, 3, 0, 12, 5))]
    labels = [np.arange(len(one)) + 100 * i for i, one in enumerate(series)]
    for options in ({}, {"horizon": [1, 2], "stride": 2}, {"sampling_rate": 2, "horizon": 0}):
        for given in (None, labels):
            found = rk.windows(series, 4, targets=given, **options)
            single = [
                rk.windows(one, 4, targets=own, **options)
                for one, own in zip(series, given or series, strict=True)
                if len(one) > 8
            ]
            short = [
                rk.windows(one, 4, targets=own, **options)
                for one, own in zip(series, given or series, strict=True)
                if len(one) == 5 and options == {}
            ]
            expected = [*single, *short]
            np.testing.assert_array_equal(found.x[:], np.concatenate([one.x[:] for one in expected]))
            np.testing.assert_array_equal(found.y[:], np.concatenate([one.y[:] for one in expected]))
    assert rk.windows(list(np.arange(6.0)), 4).x.shape == (2, 4, 1)  # numbers are one series
    with pytest.raises(ValueError, match=r"targets with \[9, 3, 0, 12, 5\] steps, as data has; got \[9, 3\]"):
        rk.windows(series, 4, targets=labels[:2])
    with pytest.raises(ValueError, match="at least 14 steps, for a window of 13 and the horizon; got 12"):
        rk.windows(series, 13)


def test_only_a_batch_is_read(tmp_path):
    source = Slices(data(10_000, 2))
    found = rk.windows(source, 10, batch_size=4)
    found[100]
    assert source.read == 4 * (10 + 1)
    stored = np.memmap(tmp_path / "data", "float32", "w+", shape=(1000, 2))
    stored[:] = data(1000, 2)
    found = rk.windows(stored, 10)
    assert np.shares_memory(found.x.data, stored)
    assert found[0][0].flags.owndata or found[0][0].base is not stored


def test_shuffled_windows_are_all_windows_in_a_new_order_each_epoch():
    values = data(200, 1)
    plain_y = rk.windows(values, 3).y[:]
    shuffled = rk.windows(values, 3, shuffle=True, seed=5)
    orders = []
    for _ in range(2):
        batches = [shuffled[i] for i in range(len(shuffled))]
        y = np.concatenate([one for _, one in batches])
        assert sorted(y.ravel()) == sorted(plain_y.ravel()) and not np.array_equal(y, plain_y)
        orders.append(y)
        x, y = batches[1]
        before = [int(np.flatnonzero(values == one)[0]) - 1 for one in y]
        np.testing.assert_array_equal(x[:, -1], values[before])
        shuffled.on_epoch_end()
    assert not np.array_equal(*orders)
    again = rk.windows(values, 3, shuffle=True, seed=5)
    np.testing.assert_array_equal(again[0][1], orders[0][:32])


def test_fit_takes_windows():
    values = np.sin(np.arange(120.0) / 3)[:, None].astype("float32")
    batches = rk.windows(values, 8, shuffle=True, seed=0)
    model = rk.Sequential([rk.GRU(4), rk.Dense(1)], seed=0)
    model.compile(rk.optimizers.Adam(0.02), "mse")
    history = model.fit(batches, epochs=4, validation_data=rk.windows(values, 8))
    assert history.history["loss"][-1] < history.history["loss"][0] and "val_loss" in history.history
    ordered = rk.windows(values, 8)
    found = model.predict(rk.windows(values, 8, horizon=None))
    np.testing.assert_array_equal(found[:-1], model.predict(ordered.x))
    assert np.isclose(model.evaluate(ordered), model.evaluate(ordered.x, ordered.y))
    model.fit(ordered.x, ordered.y, validation_split=0.25)


def test_windows_of_frames():
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    values = data(20, 2)
    for frame in (pd.DataFrame(values, columns=["a", "b"]), pl.DataFrame(values, schema=["a", "b"])):
        found = rk.windows(frame, 4, targets="b")
        np.testing.assert_array_equal(found.x[:], rk.windows(values, 4).x[:])
        np.testing.assert_array_equal(found.y[:], values[4:, 1])
        np.testing.assert_array_equal(rk.windows(frame, 4, targets=["b"]).y[:], values[4:, 1:])
        np.testing.assert_array_equal(rk.windows([frame, frame], 4, targets="b").y[:], np.tile(values[4:, 1], 2))
        with pytest.raises(ValueError, match="got 'c' for a frame with the columns a, b"):
            rk.windows(frame, 4, targets="c")
        np.testing.assert_array_equal(rk.windows(frame["a"], 4).x[:], rk.windows(values[:, 0], 4).x[:])


def test_windows_of_a_file(tmp_path):
    h5py = pytest.importorskip("h5py")
    values = data(50, 2)
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["two"], file["one"] = values, values[:, 0]
        for name, given in (("two", values), ("one", values[:, 0])):
            expected, found = rk.windows(given, 5, sampling_rate=2), rk.windows(file[name], 5, sampling_rate=2)
            for i in range(len(expected)):
                for a, b in zip(found[i], expected[i], strict=True):
                    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("case", json.loads(RECORDED.read_text()), ids=lambda case: json.dumps(case["options"]))
def test_keras_cuts_the_same_windows(case):
    values, targets = np.arange(40), np.arange(40) + 100
    given = None if case["targets"] is None else targets[: case["targets"]]
    found = timeseries_dataset_from_array(values, given, **case["options"])
    batches = [found[i] for i in range(len(found))]
    parts = [one if given is None else [part.tolist() for part in one] for one in batches]
    assert [np.asarray(one).tolist() if given is None else list(one) for one in parts] == case["batches"]


def test_targets_that_end_before_the_data():
    found = timeseries_dataset_from_array(np.arange(40), np.arange(20), 4, start_index=10, batch_size=100)
    x, y = found[0]
    np.testing.assert_array_equal(y, range(10, 20))
    np.testing.assert_array_equal(x[:, 0], range(10, 20))


@pytest.mark.parametrize(
    "call, kind, words",
    [
        (lambda: rk.windows(data(5, 1), 5), ValueError, "at least 6 steps, for a window of 5 and the horizon; got 5"),
        (lambda: rk.windows(data(5, 1), 3, horizon=[1, 9]), ValueError, "at least 12 steps"),
        (lambda: rk.windows(data(5, 1), 0), ValueError, "length to be a positive integer"),
        (lambda: rk.windows(data(9, 1), 3, horizon=-3), ValueError, "horizons above -3"),
        (lambda: rk.windows(data(9, 1), 3, horizon="next"), ValueError, r"such as range\(1, 25\)"),
        (lambda: rk.windows(data(9, 1), 3, horizon=1.0), ValueError, r"such as range\(1, 25\)"),
        (lambda: rk.windows(data(9, 1), 3, targets=data(8, 1)), ValueError, "targets with 9 steps, as data has; got 8"),
        (lambda: rk.windows(data(9, 1), 3, targets="b"), ValueError, "got 'b' for an array"),
        (lambda: rk.windows(data(9, 1), 3, batch_size=0), ValueError, "batch_size"),
        (lambda: rk.windows(np.array(["a", "b"]), 1), TypeError, "real numbers"),
        (lambda: rk.windows(3.0, 1), ValueError, "single number"),
        (lambda: rk.windows(data(9, 1), 3)[1.5], ValueError, "integer"),
        (lambda: rk.windows(data(9, 1), 3)[1], IndexError, "below 1"),
        (lambda: timeseries_dataset_from_array(data(9), None, 3, start_index=9), ValueError, "start_index below 9"),
        (lambda: timeseries_dataset_from_array(data(9), None, 3, end_index=9), ValueError, "end_index below 9"),
        (lambda: timeseries_dataset_from_array(data(9), None, 3, start_index=4, end_index=4), ValueError, "end_index"),
        (lambda: timeseries_dataset_from_array(data(9), None, 3, sampling_rate=9), ValueError, "sampling_rate below 9"),
        (lambda: timeseries_dataset_from_array(data(9), None, 3, sequence_stride=0), ValueError, "sequence_stride"),
    ],
)
def test_one_sentence_says_what_is_wrong(call, kind, words):
    with pytest.raises(kind, match=words):
        call()
