"""What happens between batches and epochs: callbacks against scripted fits of a small model."""

import io
import math
import re
import sys

import numpy as np
import pytest

from rnnkit import callbacks, console
from rnnkit.callbacks import bars, progress
from rnnkit.callbacks.calling import CallbackList
from rnnkit.callbacks.progress import watched
from rnnkit.layers.support.held_weights import HeldWeights
from rnnkit.layers.support.layer_tree import put_arrays
from rnnkit.serialization.array_files import load_arrays, save_arrays

NAN = math.nan


class Optimizer:
    def __init__(self):
        self.learning_rate = 0.5


class Held(HeldWeights):
    def arrays(self):
        return dict(self.layer.arrays)

    def put(self, arrays):
        self.layer.arrays |= arrays


class Model:
    """One weight, which says how many batches it was trained."""

    _held_weights = Held

    def __init__(self):
        self.optimizer = Optimizer()
        self.stop_training = False
        self.arrays = {"count": np.array([0.0])}

    def _parts(self):
        return {}

    def get_weights(self):
        return [array.copy() for array in self.arrays.values()]

    def set_weights(self, weights):
        self.arrays = dict(zip(self.arrays, weights, strict=True))

    def save_weights(self, path):
        save_arrays(path, self.arrays)

    @property
    def count(self):
        return int(self.arrays["count"][0])


def fit(epochs_logs, given=(), steps=2, verbose=0, model=None, interrupt=None):
    """The loop of a fit with the logs that it is given; `interrupt` is raised after so many batches."""
    model = model or Model()
    called = CallbackList(
        given, model, {"epochs": len(epochs_logs), "steps": steps, "batch_size": 1, "verbose": verbose}
    )
    called.on_train_begin()
    batches = 0
    try:
        for epoch, logs in enumerate(epochs_logs):
            called.on_epoch_begin(epoch)
            for batch in range(steps or 3):
                if batches == interrupt:
                    raise KeyboardInterrupt
                called.on_train_batch_begin(batch)
                batches += 1
                put_arrays(model, {"count": np.array([float(batches)])})
                called.on_train_batch_end(batch, {k: v for k, v in logs.items() if not k.startswith("val_")})
                if model.stop_training:
                    return model, called.history
            called.on_epoch_end(epoch, dict(logs))
            if model.stop_training:
                break
    except KeyboardInterrupt:
        called.history.interrupted = True
    finally:
        called.on_train_end()
    return model, called.history


def losses(*values, key="val_loss"):
    return [{"loss": 1.0, key: value} for value in values]


# Calling


class Recorder(callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.heard = []

    def on_train_begin(self, logs=None):
        self.heard.append("begin")

    def on_epoch_begin(self, epoch, logs=None):
        self.heard.append(f"epoch {epoch}")

    def on_train_batch_end(self, batch, logs=None):
        self.heard.append(f"batch {batch}")

    def on_epoch_end(self, epoch, logs=None):
        self.heard.append(f"end of {epoch}")

    def on_train_end(self, logs=None):
        self.heard.append("end")


def test_T11_hooks_are_called_in_order_with_model_and_params():
    recorder = Recorder()
    model, history = fit(losses(1.0, 2.0), recorder)
    assert recorder.heard == (
        ["begin", "epoch 0", "batch 0", "batch 1", "end of 0", "epoch 1", "batch 0", "batch 1", "end of 1", "end"]
    )
    assert recorder.model is model
    assert recorder.params == {"epochs": 2, "steps": 2, "batch_size": 1, "verbose": 0}
    assert history.params is recorder.params


def test_the_older_names_of_the_batch_hooks_are_called():
    class Old(callbacks.Callback):
        heard = ()

        def on_batch_begin(self, batch, logs=None):
            self.heard += (("begin", batch),)

        def on_batch_end(self, batch, logs=None):
            self.heard += (("end", batch, logs["loss"]),)

    old = Old()
    fit(losses(1.0), [old])
    assert old.heard == (("begin", 0), ("end", 0, 1.0), ("begin", 1), ("end", 1, 1.0))


def test_a_list_adds_a_history_and_a_bar_if_they_are_wanted():
    added = [type(one).__name__ for one in CallbackList(None, None, {"verbose": 1}).callbacks]
    assert added == ["ProgressBar", "History"]
    assert CallbackList(None, None, {"verbose": 1}, add_history=False, add_progbar=False).callbacks == []


def test_what_is_better_is_a_function_to_be_read():
    less, more = callbacks.EarlyStopping("loss"), callbacks.ReduceLROnPlateau("val_accuracy")
    assert (less.monitor_op, more.monitor_op) == (np.less, np.greater)
    assert less._is_better(1.0, 2.0) is more._is_better(2.0, 1.0) is True
    assert callbacks.EarlyStopping("loss", min_delta=1)._is_better(1.0, 2.0) is False


def test_hooks_that_nobody_overrides_are_not_called():
    called = CallbackList([callbacks.EarlyStopping(), callbacks.Callback()], Model(), {"verbose": 0})
    assert called._called["on_train_batch_begin"] == called._called["on_train_batch_end"] == []
    assert [type(c).__name__ for c in called._called["on_epoch_end"]] == ["EarlyStopping", "History"]
    assert (called.hears("on_epoch_end"), called.hears("on_train_batch_end")) == (True, False)
    assert not called.terminates_on_nan
    assert CallbackList(callbacks.TerminateOnNaN(), None, {"verbose": 0}).terminates_on_nan


def test_lambda_callback():
    heard = []
    made = callbacks.LambdaCallback(
        on_train_begin=lambda logs: heard.append("begin"),
        on_batch_end=lambda batch, logs: heard.append(batch),
        on_epoch_end=lambda epoch, logs: heard.append(logs["val_loss"]),
        on_train_end=None,
    )
    fit(losses(7.0), made)
    assert heard == ["begin", 0, 1, 7.0]
    with pytest.raises(TypeError, match=r"expected functions for some of on_train_begin, .*; got one for 'on_epoch'"):
        callbacks.LambdaCallback(on_epoch=print)
    with pytest.raises(TypeError, match="expected a function for on_epoch_end, got 3"):
        callbacks.LambdaCallback(on_epoch_end=3)
    assert (
        callbacks.LambdaCallback(told=lambda logs: logs["loss"]).told({"loss": 2}) == 2
    )  # for the program's own calls


def test_what_is_no_callback_is_refused():
    for wrong in (callbacks.EarlyStopping, [callbacks.History], print, [3]):
        with pytest.raises(TypeError, match="expected callbacks, objects"):
            CallbackList(wrong)
    with pytest.raises(ValueError, match="expected verbose to be 'auto', 0, 1 or 2, got 'loud'"):
        CallbackList(None, None, {"verbose": "loud"})


def test_every_callback_ends_its_work_though_one_fails():
    def fail(logs):
        raise OSError("full")

    recorder = Recorder()
    with pytest.raises(OSError, match="full"):
        fit(losses(1.0), [callbacks.LambdaCallback(on_train_end=fail), recorder])
    assert recorder.heard[-1] == "end"


def test_a_history_of_ones_own_is_the_one_that_is_kept():
    own = callbacks.History()
    _, history = fit(losses(1.0), [own])
    assert history is own


# Early stopping


@pytest.mark.parametrize(
    "values, settings, epochs, best",
    [
        ([3, 2, 1, 1, 1], {}, 4, 2),
        ([3, 2, 1, 1, 1, 0], {"patience": 2}, 5, 2),
        ([3, 4, 2, 3, 1, 9], {"patience": 2}, 6, 4),
        ([1, 2, 3, 3, 2], {"monitor": "val_accuracy"}, 4, 2),
        ([1, 2, 3, 3, 2], {"mode": "max"}, 4, 2),
        ([3.0, 2.9, 2.8, 2.7], {"min_delta": 0.5}, 2, 0),
        ([3, 3, 3, 3, 3], {"start_from_epoch": 2}, 4, 2),
        ([5, 4, 3, 2, 1], {"baseline": 0.5, "patience": 3}, 5, 4),
        ([5, 5, 4, 4, 4, 4, 0], {"baseline": 4.5, "patience": 3}, 6, 2),
        ([5, 5, 5, 5, 5], {"baseline": 4.5, "patience": 2}, 2, 0),
        ([2, NAN, 1, NAN, NAN, 0], {"patience": 2}, 5, 2),
        ([NAN, NAN, 1, 1, 1], {"patience": 3}, 5, 2),
        ([3], {}, 1, 0),
    ],
)
def test_T11_early_stopping_stops_and_restores(values, settings, epochs, best):
    stopping = callbacks.EarlyStopping(restore_best_weights=True, **settings)
    model, history = fit(losses(*values, key=settings.get("monitor", "val_loss")), stopping)
    assert len(history.epoch) == epochs
    assert stopping.best_epoch == best
    assert stopping.best == values[best]
    assert model.count == 2 * (best + 1)


def test_the_last_weights_stay_unless_others_are_asked_for():
    model, _ = fit(losses(1, 2, 3), callbacks.EarlyStopping(patience=2))
    assert model.count == 6


def test_best_weights_are_restored_after_an_interruption_too():
    stopping = callbacks.EarlyStopping(patience=9, restore_best_weights=True)
    model, history = fit(losses(3, 1, 2, 2), stopping, interrupt=7)
    assert history.interrupted
    assert model.count == 4
    assert stopping.stopped_epoch is None


def test_a_second_fit_starts_anew():
    stopping = callbacks.EarlyStopping(restore_best_weights=True)
    fit(losses(1, 2), stopping)
    model, history = fit(losses(9, 8, 9), stopping)
    assert (len(history.epoch), model.count, stopping.stopped_epoch) == (3, 4, 2)


def test_a_monitor_that_is_not_in_the_logs_is_an_error_that_lists_what_is():
    for callback in (
        callbacks.EarlyStopping(),
        callbacks.ReduceLROnPlateau(),
        callbacks.ModelCheckpoint("nowhere", save_best_only=True),
    ):
        with pytest.raises(ValueError) as caught:
            fit([{"loss": 1.0, "mae": 2.0}], callback)
        assert str(caught.value) == (
            f"{type(callback).__name__} expected 'val_loss' in the logs, which have loss, mae; "
            "fit needs validation data for it"
        )
    late = callbacks.EarlyStopping()
    late.set_params({"validation_freq": 3})
    late.on_epoch_end(0, {"loss": 1.0})
    late.on_epoch_end(1, {"loss": 1.0})
    with pytest.raises(ValueError, match="in the logs, which have loss"):
        late.on_epoch_end(2, {"loss": 1.0})
    _, history = fit([*losses(2, 1), {"loss": 1.0}, *losses(3)], callbacks.EarlyStopping())
    assert len(history.epoch) == 4, "an epoch without validation is passed over"


@pytest.mark.parametrize("name", ["accuracy", "val_binary_accuracy", "val_left_acc", "r2_score", "auc", "val_f1_score"])
def test_accuracies_and_their_like_are_better_when_greater(name):
    assert callbacks.EarlyStopping(name)._is_better(2.0, 1.0)


@pytest.mark.parametrize("name", ["loss", "val_loss", "mae", "val_accumulated_error", "left_loss", "crossentropy"])
def test_all_others_are_better_when_less(name):
    assert callbacks.EarlyStopping(name)._is_better(1.0, 2.0)


def test_settings_are_checked():
    for make, message in [
        (lambda: callbacks.EarlyStopping(mode="least"), "'auto', 'min' or 'max'"),
        (lambda: callbacks.EarlyStopping(patience=-1), "patience to be a whole number of at least 0; got -1"),
        (lambda: callbacks.ReduceLROnPlateau(factor=1.0), "factor between 0 and 1"),
        (
            lambda: callbacks.ModelCheckpoint("a", save_freq=0),
            "save_freq, if not 'epoch', to be a whole number of at least 1",
        ),
        (lambda: callbacks.CSVLogger("a", separator=""), "separator to be one character"),
    ]:
        with pytest.raises(ValueError, match=message):
            make()
    with pytest.raises(TypeError, match="expected monitor to be a key"):
        callbacks.EarlyStopping(3)
    with pytest.raises(TypeError, match="expected schedule to be a function"):
        callbacks.LearningRateScheduler(0.1)


# Learning rates


def rates(epochs_logs, callback):
    found = []
    record = callbacks.LambdaCallback(on_epoch_end=lambda e, logs: found.append(record.model.optimizer.learning_rate))
    fit(epochs_logs, [callback, record])
    return found


@pytest.mark.parametrize(
    "values, settings, expected",
    [
        ([3, 3, 3, 3], {"patience": 1}, [0.5, 0.25, 0.125, 0.0625]),
        ([3, 3, 3, 3, 3], {"patience": 2}, [0.5, 0.5, 0.25, 0.25, 0.125]),
        ([3, 3, 3, 3, 3, 3], {"patience": 1, "cooldown": 2}, [0.5, 0.25, 0.25, 0.125, 0.125, 0.0625]),
        ([3, 3, 3, 3], {"patience": 1, "min_lr": 0.2}, [0.5, 0.25, 0.2, 0.2]),
        ([1, 2, 3, 3], {"patience": 1, "mode": "max"}, [0.5, 0.5, 0.5, 0.25]),
        ([3.0, 2.95, 2.9], {"patience": 1, "min_delta": 0.25}, [0.5, 0.25, 0.125]),
        ([3, NAN, 2], {"patience": 1}, [0.5, 0.25, 0.25]),
    ],
)
def test_reduce_on_plateau(values, settings, expected):
    assert rates(losses(*values), callbacks.ReduceLROnPlateau(factor=0.5, **settings)) == expected


def test_a_tenth_of_a_tenth_is_a_hundredth():
    found = rates(losses(3, 3, 3, 3), callbacks.ReduceLROnPlateau(factor=0.1, patience=1))
    assert found == [1.0, 0.1, 0.01, 0.001] or found == [0.5, 0.05, 0.005, 0.0005]


def test_scheduler_sets_the_rate_before_each_epoch():
    for schedule, expected in [
        (lambda epoch: 1 / (1 + epoch), [1, 1 / 2, 1 / 3]),
        (lambda epoch, rate: rate / 2, [0.25, 0.125, 0.0625]),
        (lambda epoch, rate=0.1: rate, [0.5, 0.5, 0.5]),
    ]:
        assert rates(losses(1, 1, 1), callbacks.LearningRateScheduler(schedule)) == expected
    for wrong in (None, -1.0, NAN, "fast"):
        with pytest.raises(ValueError, match="finite number from 0 for epoch 0, got"):
            fit(losses(1), callbacks.LearningRateScheduler(lambda epoch, rate, wrong=wrong: wrong))


def test_an_error_inside_a_schedule_is_its_own():
    def schedule(epoch, rate):
        raise TypeError("mine")

    with pytest.raises(TypeError, match="mine"):
        fit(losses(1), callbacks.LearningRateScheduler(schedule))


def test_keras_stops_and_reduces_at_the_same_epochs(rng):
    keras = pytest.importorskip("keras")
    for trial in range(60):
        values = np.round(rng.random(12) * 4 / (1 + np.arange(12) * (trial % 3)), 1).tolist()
        common = {"mode": ("min", "max")[trial % 2], "min_delta": float(rng.choice([0, 0.25]))}
        stop = common | {
            "patience": int(rng.integers(4)),
            "start_from_epoch": int(rng.integers(3)),
            "baseline": (None, 1.0)[trial % 5 == 0],
            "restore_best_weights": True,
        }
        reduce = common | {
            "patience": int(rng.integers(1, 4)),
            "cooldown": int(rng.integers(3)),
            "factor": 0.5,
            "min_lr": 0.05,
        }
        found = []
        for library in (callbacks, keras.callbacks):
            model, learned = Model(), []
            model.get_weights = lambda model=model: [model.count]
            model.set_weights = lambda weights, model=model: put_arrays(model, {"count": np.array(weights)})
            both = library.EarlyStopping(**stop), library.ReduceLROnPlateau(**reduce)
            for callback in both:
                callback.set_model(model)
                callback.on_train_begin()
            for epoch, value in enumerate(values):
                put_arrays(model, {"count": np.array([float(epoch)])})
                for callback in both:
                    callback.on_epoch_end(epoch, {"val_loss": value})
                learned.append(model.optimizer.learning_rate)
                if model.stop_training:
                    break
            for callback in both:
                callback.on_train_end()
            found.append((learned, model.count, both[0].best_epoch))
        assert found[0] == found[1], (values, stop, reduce)


# Files


def test_checkpoint_names_epoch_and_logs_and_makes_folders(tmp_path):
    fit(losses(0.5, 0.25), callbacks.ModelCheckpoint(tmp_path / "new" / "{epoch:02d}-{val_loss:.3f}-{batch}.npz"))
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["01-0.500-2.npz", "02-0.250-2.npz"]
    assert load_arrays(tmp_path / "new" / "02-0.250-2.npz")[0]["count"] == 4


def test_checkpoint_keeps_the_best(tmp_path):
    path = tmp_path / "best"
    fit(losses(3, 1, 2), callbacks.ModelCheckpoint(path, save_best_only=True))
    assert load_arrays(path)[0]["count"] == 4
    fit(losses(3, 1, 2), callbacks.ModelCheckpoint(path))
    assert load_arrays(path)[0]["count"] == 6


def test_checkpoint_counts_batches_over_epochs(tmp_path):
    fit(losses(1, 1, 1), callbacks.ModelCheckpoint(tmp_path / "{epoch}-{batch}", save_freq=3))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2-1", "3-2"]


def test_checkpoint_says_what_a_path_may_name(tmp_path):
    with pytest.raises(ValueError, match=r"to name what there is: epoch, batch, loss, val_loss; got 'mae'"):
        fit(losses(1), callbacks.ModelCheckpoint(tmp_path / "{mae}"))


def test_a_checkpoint_that_could_not_be_written_is_not_the_best(tmp_path):
    checkpoint = callbacks.ModelCheckpoint(tmp_path, save_best_only=True)
    with pytest.raises(IsADirectoryError):
        fit(losses(1), checkpoint)
    assert checkpoint.best is None


def test_columns_of_csv_are_sorted(tmp_path):
    path = tmp_path / "log.csv"
    fit([{"loss": 1.0, "accuracy": 2.0}, {"val_loss": 3.0, "val_accuracy": 4.0}], callbacks.CSVLogger(path))
    assert path.read_text().splitlines()[0] == "epoch,accuracy,loss,val_accuracy,val_loss"


def test_csv_is_whole_after_every_epoch_and_takes_late_keys(tmp_path):
    path = tmp_path / "log.csv"
    seen = []
    look = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(path.read_text()))
    fit([{"loss": 0.1}, {"loss": 1e-7, "val_loss": NAN}, {"loss": 2.0}], [callbacks.CSVLogger(path), look])
    assert seen == [
        "epoch,loss\n0,0.1\n",
        "epoch,loss,val_loss\n0,0.1,\n1,1e-07,nan\n",
        "epoch,loss,val_loss\n0,0.1,\n1,1e-07,nan\n2,2.0,\n",
    ]
    assert [one.name for one in tmp_path.iterdir()] == ["log.csv"]


def test_csv_appends_or_begins_anew(tmp_path):
    path = tmp_path / "log.csv"
    for append, rows in ((False, 1), (True, 2), (True, 3), (False, 1)):
        fit([{"loss": 0.5}], callbacks.CSVLogger(path, separator=";", append=append))
        assert path.read_text() == "epoch;loss\n" + rows * "0;0.5\n"
    for other in ("a,b\n1,2\n", "epoch;loss\n1;2;3\n", "epoch;loss\n1\n"):
        path.write_text(other)
        with pytest.raises(ValueError, match="expected .* to hold a table that CSVLogger wrote"):
            fit([{"loss": 0.5}], callbacks.CSVLogger(path, separator=";", append=True))
        assert path.read_text() == other
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        fit([{"loss": 0.5}], callbacks.CSVLogger(tmp_path / "no" / "log.csv"))


@pytest.mark.parametrize("loss", [NAN, math.inf, -math.inf])
def test_terminate_on_nan_stops_after_the_batch(loss):
    callback = callbacks.TerminateOnNaN()
    model, history = fit([{"loss": 1.0}, {"loss": loss}, {"loss": 1.0}], callback)
    assert model.stop_training
    assert (model.count, history.epoch) == (3, [0])
    assert (callback.stopped_epoch, callback.stopped_batch) == (1, 0)


# History


def test_history_has_an_entry_for_every_epoch_that_had_one():
    _, history = fit([{"loss": 2.0}, {"loss": 1.0, "val_loss": 3.0}, {"loss": 0.5}])
    assert history.epoch == [0, 1, 2]
    assert history.history == {"loss": [2.0, 1.0, 0.5], "val_loss": [3.0]}
    assert [line.split() for line in str(history).splitlines()[-2:]] == [["2", "1", "3"], ["3", "0.5"]]


def test_history_shows_itself():
    history = callbacks.History()
    assert repr(history) == "<History of 0 epochs>"
    assert str(history) == "History of 0 epochs"
    for epoch in range(14):
        history.on_epoch_end(epoch, {"loss": 1 / (1 + epoch), "<b>": NAN, "learning_rate": 0.1})
    history.interrupted = True
    assert repr(history) == "<History of 14 epochs, interrupted: loss 0.07143, <b> nan>"
    html, text = history._repr_html_(), str(history)
    assert "History of 14 epochs, interrupted" in html and "History of 14 epochs, interrupted" in text
    assert html.count("<tr>") == 14 and "… 2 more" in html
    assert text.splitlines()[-1].split() == ["14", "0.07143", "nan", "0.1"]
    assert "&lt;b&gt;</th>" in html


def test_history_is_drawn():
    pytest.importorskip("matplotlib").use("Agg")
    from matplotlib import pyplot

    history = callbacks.History()
    with pytest.raises(ValueError, match="at least one epoch"):
        history.plot()
    for epoch in range(3):
        validation = {} if epoch == 1 else {"val_loss": 2.0, "val_mae": 3.0}
        history.on_epoch_end(epoch, {"loss": 10.0**-epoch, "mae": 1.0, "learning_rate": 0.1} | validation)
    figure = history.plot()
    left, right = figure.axes
    assert (left.get_title("left"), right.get_title("left")) == ("loss", "mae")
    assert [line.get_label() for line in left.lines] == ["training", "validation"]
    assert left.lines[0].get_xdata().tolist() == [1, 2, 3]
    assert left.lines[1].get_xdata().tolist() == [1, 3]
    assert left.get_yscale() == "log"
    assert right.get_yscale() == "linear"
    history.on_epoch_end(3, {"learning_rate": 0.05})
    other = history.plot()
    assert [axes.get_title("left") for axes in other.axes] == ["loss", "mae", "learning_rate"]
    own, axes = pyplot.subplots()
    assert history.plot(axes) is own
    assert own.axes == [axes]
    for one in (figure, other, own):
        one.canvas.draw()
        pyplot.close(one)


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    history = callbacks.History()
    history.on_epoch_end(0, {"loss": 1.0})
    with pytest.raises(ImportError, match=r"pip install 'rnnkit\[plots\]'"):
        history.plot()


# Progress


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self):
        return True


def shown(monkeypatch, stream, **settings):
    monkeypatch.setattr(sys, "stderr", stream)
    fit(losses(0.5, 0.25), **settings)
    return stream.getvalue()


def test_nothing_is_shown_where_nobody_looks_or_wants_it(monkeypatch, capsys):
    assert shown(monkeypatch, io.StringIO(), verbose="auto") == ""
    assert shown(monkeypatch, Terminal(), verbose=0) == ""
    monkeypatch.setattr(sys, "stderr", None)
    fit(losses(1.0), verbose="auto")
    fit(losses(1.0), verbose=2)
    assert capsys.readouterr().out == ""


def test_a_line_per_epoch(monkeypatch):
    for stream, verbose in ((io.StringIO(), 1), (io.StringIO(), 2), (Terminal(), 2)):
        lines = shown(monkeypatch, stream, verbose=verbose).splitlines()
        assert len(lines) == 2
        assert re.fullmatch(r"epoch 1/2: \d+[.:]\d+ (s|min), loss 1, val_loss 0\.5", lines[0])
        assert re.fullmatch(r"epoch 2/2: \d+[.:]\d+ (s|min), loss 1, val_loss 0\.25", lines[1])


def test_a_line_per_epoch_without_tqdm(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    lines = shown(monkeypatch, Terminal(), verbose=1).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]


@pytest.mark.parametrize("steps", [2, None])
def test_a_bar_in_a_terminal(monkeypatch, steps):
    pytest.importorskip("tqdm")
    text = shown(monkeypatch, Terminal(), verbose="auto", steps=steps)
    drawn = text.replace("\n", "").split("\r")
    batches = 2 * (steps or 3)
    assert text.endswith("\n")
    assert f"epoch 2/2 |██████████| {batches}/{batches} [" in drawn[-1]
    assert "loss 1, val_loss 0.25]" in drawn[-1]
    assert any("epoch 2/2 |█████     |" in one and "val_loss 0.5" in one for one in drawn), "it stays in sight"


def test_an_interrupted_bar_shows_where_it_was(monkeypatch):
    pytest.importorskip("tqdm")
    text = shown(monkeypatch, Terminal(), verbose="auto", steps=50, interrupt=77)
    assert "epoch 2/2 |███████▋  | 77/100 [" in text.rpartition("\r")[2]
    assert "loss 1, val_loss 0.5]" in text.rpartition("\r")[2]


def test_an_optimizer_without_batches_moves_the_bar_too(monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    bar = callbacks.ProgressBar(1)
    bar.set_params({"epochs": 2, "steps": 4})
    bar.on_train_begin()
    for epoch in range(2):
        bar.on_epoch_begin(epoch)
        bar.on_epoch_end(epoch, {"loss": 1.0})
    bar.on_train_end()
    assert "epoch 2/2 |██████████| 8/8 [" in sys.stderr.getvalue().rpartition("\r")[2]


def test_a_message_does_not_tear_the_bar(monkeypatch):
    pytest.importorskip("tqdm")
    stopping = callbacks.EarlyStopping(verbose=1, restore_best_weights=True)
    monkeypatch.setattr(sys, "stderr", Terminal())
    fit(losses(1.0, 2.0, 3.0), stopping, verbose=1)
    lines = [line.rpartition("\r")[2] for line in sys.stderr.getvalue().splitlines()]
    assert "epoch 2: val_loss is no better, training stops" in lines
    assert "the weights with val_loss 1 are put back" in lines


def test_a_bar_is_not_drawn_for_every_batch(monkeypatch):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(sys, "stderr", Terminal())
    drawn, now = [], 0.0
    monkeypatch.setattr(progress, "perf_counter", lambda: now)
    monkeypatch.setattr(callbacks.ProgressBar, "_show", lambda self, logs: drawn.append(logs))
    bar = callbacks.ProgressBar(1)
    bar.set_params({"epochs": 1, "steps": 20_000})
    bar.on_train_begin()
    bar.on_epoch_begin(0)
    for batch in range(20_000):
        now += 1e-3
        bar.on_train_batch_end(batch, {"loss": 1.0, "mae": 2.0})
    assert 190 <= len(drawn) <= 3 + 20 / 0.1
    bar.on_train_end()


def test_batches_are_watched_where_somebody_looks(monkeypatch):
    pytest.importorskip("tqdm")
    for verbose, shown in (("auto", True), (1, True), (0, False)):
        monkeypatch.setattr(sys, "stderr", Terminal())
        assert list(watched(iter("abc"), 3, "predict", verbose)) == list("abc")
        assert ("predict" in sys.stderr.getvalue()) == shown
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert list(watched("abc", 3, "predict", 1)) == list("abc")
    assert sys.stderr.getvalue() == ""
    with pytest.raises(ValueError, match="verbose"):
        watched("abc", 3, "predict", 7)


def test_in_a_notebook_one_output_is_drawn_again_and_again(monkeypatch, capsys):
    pytest.importorskip("tqdm")
    display = pytest.importorskip("IPython.display")
    outputs = []

    class Handle:
        def update(self, data, raw):
            outputs[-1].append(data["text/plain"])

    def show(data, raw, display_id):
        outputs.append([data["text/plain"]])
        return Handle()

    for module in (bars, console):
        monkeypatch.setattr(module, "in_jupyter", lambda: True)
    monkeypatch.setattr(display, "display", show)
    fit(losses(1.0, 0.5), verbose="auto")
    (drawn,) = outputs
    assert drawn[0].startswith("epoch 1/2 |          | 0/4 [")
    assert re.search(r"epoch 2/2 \|█{10}\| 4/4 \[.*, loss 1, val_loss 0\.5\]$", drawn[-1])
    assert capsys.readouterr().err == ""


def test_the_bar_of_the_command_is_this_one_and_goes_away(monkeypatch):
    from rnnkit.callbacks.stages import progress_bar

    for tqdm in (True, False):
        if not tqdm:
            monkeypatch.setitem(sys.modules, "tqdm", None)
        monkeypatch.setattr(sys, "stderr", Terminal())
        with progress_bar(3, "back-test") as advance:
            advance()
            advance()
        text = sys.stderr.getvalue()
        assert "back-test" in text
        assert ("2/3" if tqdm else "2 of 3") in text
        assert text.endswith("\r")
        assert text.split("\r")[-2].strip() == ""
