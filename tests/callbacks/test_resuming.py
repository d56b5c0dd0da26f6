"""Backups of fits, averages of weights in evaluations, and event files."""

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.callbacks import BackupAndRestore, Callback, LambdaCallback, SwapEMAWeights, TensorBoard

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6, 2)).astype("float32")
Y = X.sum(axis=(1, 2))[:, None]


def model(**keywords):
    found = rk.Sequential([rk.GRU(3), rk.Dropout(0.2), rk.Dense(1)], seed=0)
    found.compile(rk.optimizers.Adam(0.01, **keywords), "mse")
    return found


class Interrupt(Callback):
    def __init__(self, epoch, batch):
        super().__init__()
        self.at, self.epoch = (epoch, batch), 0

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise RuntimeError("power cut")


@pytest.mark.parametrize("save_freq", ["epoch", 4])
def test_an_interrupted_fit_goes_on_with_the_same_bits(tmp_path, save_freq):
    whole = model()
    whole.fit(X, Y, epochs=4, batch_size=10, verbose=0)
    first = model()
    both = [BackupAndRestore(tmp_path / "a", save_freq), Interrupt(2, 1)]
    with pytest.raises(RuntimeError, match="power cut"):
        first.fit(X, Y, epochs=4, batch_size=10, verbose=0, callbacks=both)
    assert (tmp_path / "a" / "backup.npz").exists()
    second = model()
    history = second.fit(
        X, Y, epochs=4, batch_size=10, verbose=0, callbacks=[BackupAndRestore(tmp_path / "a", save_freq)]
    )
    if save_freq == "epoch":
        assert history.epoch == [2, 3]
        for one, other in zip(whole.get_weights(), second.get_weights(), strict=True):
            assert np.array_equal(one, other)
    assert not (tmp_path / "a").exists()


def test_the_backup_before_a_damaged_one_is_used(tmp_path):
    whole, first, second = model(), model(), model()
    whole.fit(X, Y, epochs=4, batch_size=10, verbose=0)
    backup, other_file = BackupAndRestore(tmp_path, double_checkpoint=True), tmp_path / "notes.txt"
    with pytest.raises(RuntimeError, match="power cut"):
        first.fit(X, Y, epochs=4, batch_size=10, verbose=0, callbacks=[backup, Interrupt(2, 1)])
    (tmp_path / "backup.npz").write_bytes(b"0")
    other_file.write_text("stays, and the folder with it")
    with pytest.warns(UserWarning, match="the backup before the last one is used"):
        history = second.fit(X, Y, epochs=4, batch_size=10, verbose=0, callbacks=[backup])
    assert history.epoch == [1, 2, 3]
    for one, other in zip(whole.get_weights(), second.get_weights(), strict=True):
        assert np.array_equal(one, other)
    assert list(tmp_path.iterdir()) == [other_file]
    other_file.with_name("backup.npz").write_bytes(b"0")
    with pytest.raises(ValueError, match="damaged"):
        second.fit(X, Y, verbose=0, callbacks=[BackupAndRestore(tmp_path)])


def test_wrong_backups(tmp_path):
    with pytest.raises(ValueError, match="backup_dir"):
        BackupAndRestore("")
    with pytest.raises(ValueError, match="save_freq"):
        BackupAndRestore("a", 0.5)
    model().fit(X, Y, verbose=0, callbacks=[BackupAndRestore(tmp_path, delete_checkpoint=False)])
    other = rk.Sequential([rk.LSTM(3), rk.Dense(1)])
    other.compile("adam", "mse")
    with pytest.raises(ValueError, match="another model"):
        other.fit(X, Y, verbose=0, callbacks=[BackupAndRestore(tmp_path)])


def test_averages_in_evaluations():
    """The last validation is that of the weights that a fit ends with; training is not changed."""
    plain, own = (model(use_ema=True, ema_momentum=0.9) for _ in range(2))
    data = {"epochs": 3, "batch_size": 10, "verbose": 0, "validation_data": (X, Y)}
    seen = []
    keep = LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(own.get_weights()))
    history = own.fit(X, Y, callbacks=[SwapEMAWeights(swap_on_epoch=True), keep], **data).history
    plain.fit(X, Y, **data)
    for one, other, last in zip(plain.get_weights(), own.get_weights(), seen[-1], strict=True):
        assert np.array_equal(one, other) and np.array_equal(other, last)
    assert history["val_loss"][-1] == own.evaluate(X, Y, batch_size=32, verbose=0)
    with pytest.raises(ValueError, match="use_ema=True"):
        model().fit(X, Y, verbose=0, callbacks=[SwapEMAWeights()])


def events_of(folder):
    """The steps and values of the event files in a folder."""
    from tensorboardX.proto import event_pb2

    data, place = b"".join(path.read_bytes() for path in sorted(folder.iterdir())), 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 8], "little")
        event = event_pb2.Event.FromString(data[place + 12 : place + 12 + size])
        yield from ((event.step, value) for value in event.summary.value)
        place += size + 16


def test_event_files(tmp_path):
    pytest.importorskip("tensorboardX")
    board = TensorBoard(tmp_path, histogram_freq=1, update_freq=2, write_steps_per_second=True, write_images=True)
    network = model()
    network.fit(X, Y, epochs=2, batch_size=10, verbose=0, validation_data=(X, Y), callbacks=[board])
    tested = [(step, value.tag) for step, value in events_of(tmp_path / "validation")]
    updates = len(X) // 10
    of_tests = [(updates, "evaluation_loss_vs_iterations"), (2 * updates, "evaluation_loss_vs_iterations")]
    assert tested == [of_tests[0], (0, "epoch_loss"), of_tests[1], (1, "epoch_loss")]
    trained = [value for _, value in events_of(tmp_path / "train")]
    tags = [value.tag for value in trained]
    assert tags.count("batch_loss") == tags.count("batch_steps_per_second") == 4
    assert {"epoch_loss", "epoch_learning_rate", "epoch_steps_per_second", "0/kernel/histogram"} <= set(tags)
    image = next(value.image for value in trained if value.tag == "0/kernel/image")
    assert (image.height, image.width) == network.weights["0/kernel"].shape


def test_event_files_of_evaluations_alone(tmp_path):
    pytest.importorskip("tensorboardX")
    network, found = model(), []
    for epochs in (3, 1):  # within one second
        network.fit(X, Y, epochs=epochs, batch_size=10, verbose=0)
        loss = network.evaluate(X, Y, verbose=0, callbacks=[TensorBoard(tmp_path)])
        found.append((network.optimizer.iterations, "evaluation_loss_vs_iterations", pytest.approx(loss)))
    assert [(step, value.tag, value.simple_value) for step, value in events_of(tmp_path / "validation")] == found
    assert [step for step, _, _ in found] == [3 * len(X) // 10, 4 * len(X) // 10]


def test_event_files_of_a_second_fit_are_beside_the_first_ones(tmp_path):
    pytest.importorskip("tensorboardX")
    board = TensorBoard(tmp_path)
    for _ in range(2):
        model().fit(X, Y, epochs=1, verbose=0, callbacks=[board])
    assert [value.tag for _, value in events_of(tmp_path / "train")].count("epoch_loss") == 2


def test_event_files_need_their_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(__import__("sys").modules, "tensorboardX", None)
    with pytest.raises(ImportError, match="tensorboardX"):
        model().fit(X, Y, verbose=0, callbacks=[TensorBoard(tmp_path)])
