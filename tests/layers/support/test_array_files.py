"""Arrays and weights in files."""

import pathlib
import pickle
import zipfile

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.layers.support.array_files import load_arrays, save_arrays


@pytest.fixture(autouse=True)
def without_compiling():
    with rk.eager():
        yield


def test_arrays_come_back_bit_for_bit(tmp_path, rng):
    arrays = {
        "0/kernel": rng.normal(size=(3, 4)),
        "file": np.float32([np.nan, -0.0, np.inf]),
        "iterations": np.int64(7),
        "turned": np.asfortranarray(rng.normal(size=(4, 2))),
        "empty": np.zeros((0, 3)),
        "names": np.array(["α", "b"]),
    }
    save_arrays(tmp_path / "a", arrays, {"of": ["anything", 1]})
    found, about = load_arrays(tmp_path / "a")
    assert about == {"of": ["anything", 1]}
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        array = np.asarray(array)
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()


def test_numpy_reads_them_and_the_same_arrays_give_the_same_bytes(tmp_path):
    arrays = {"0/kernel": np.eye(3), "bias": np.arange(2)}
    for name in "ab":
        save_arrays(tmp_path / name, arrays)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    with np.load(tmp_path / "a", allow_pickle=False) as archive:
        assert archive["0/kernel"].tolist() == np.eye(3).tolist()


def test_objects_are_refused_and_leave_the_file_as_it_was(tmp_path):
    path = tmp_path / "a"
    save_arrays(path, {"a": np.ones(2)})
    before = path.read_bytes()
    with pytest.raises(ValueError, match="'b', got an array of objects"):
        save_arrays(path, {"a": np.zeros(2), "b": np.array([{}])})
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["a"]


def test_every_damage_is_an_error_that_names_the_file(tmp_path, rng):
    path = tmp_path / "weights"
    save_arrays(path, {"kernel": rng.normal(size=(3, 4)), "bias": np.zeros(5)})
    whole, (arrays, _) = path.read_bytes(), load_arrays(path)
    for length in range(0, len(whole), 5):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="weights'"):
            load_arrays(path)
    refused = 0
    for place in range(0, len(whole), 3):  # a byte may stand for a date or a flag that nobody reads
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        try:
            found, _ = load_arrays(path)
        except ValueError:
            refused += 1
        else:
            assert {name: array.tobytes() for name, array in found.items()} == {
                name: array.tobytes() for name, array in arrays.items()
            }
    assert refused > len(whole) // 6


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "foreign"
    path.write_bytes(pickle.dumps({"kernel": [1]}))
    with pytest.raises(ValueError, match="damaged or another's"):
        load_arrays(path)
    with open(path, "wb") as file:
        np.savez(file, kernel=np.ones(3))
    with pytest.raises(ValueError, match="says nothing of itself"):
        load_arrays(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rnnkit.json", '{"format": 99, "about": {}}')
    with pytest.raises(ValueError, match="is of 99"):
        load_arrays(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("rnnkit.json", '{"format": 1, "arrays": ["a"], "about": {}}')
        with archive.open("a.npy", "w") as entry:
            np.lib.format.write_array(entry, np.array([pathlib.Path()]), allow_pickle=True)
    with pytest.raises(ValueError, match="damaged or another's"):
        load_arrays(path)
    with pytest.raises(FileNotFoundError):
        load_arrays(tmp_path / "nowhere")


def test_a_folder_is_needed(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        save_arrays(tmp_path / "no" / "a", {})
    with pytest.raises(IsADirectoryError, match="is a directory"):
        save_arrays(tmp_path, {})


LAYERS = [
    (lambda seed: rk.GRU(4, seed=seed), (None, None, 3)),
    (lambda seed: rk.RNN([rk.LSTMCell(2), rk.SimpleRNNCell(3)], seed=seed), (None, None, 3)),
    (lambda seed: rk.Bidirectional(rk.GRU(2), seed=seed), (None, None, 3)),
    (lambda seed: rk.TimeDistributed(rk.Dense(2), seed=seed), (None, None, 3)),
    (lambda seed: rk.Sequential([rk.Embedding(5, 3), rk.GRU(2)], seed=seed), (None, None)),
    (lambda seed: rk.Masking(), (None, None, 3)),
]


@pytest.mark.parametrize("make, shape", LAYERS, ids=["gru", "stack", "bidirectional", "distributed", "model", "none"])
def test_T12_weights_of_every_kind_of_layer_come_back(tmp_path, make, shape):
    layer, other = make(0), make(1)
    for one in (layer, other):
        one.build(shape)
    layer.save_weights(tmp_path / "weights.h5")
    assert [one.name for one in tmp_path.iterdir()] == ["weights.h5"]
    other.load_weights(str(tmp_path / "weights.h5"))
    assert list(other.weights) == list(layer.weights)
    for name, array in layer.weights.items():
        assert other.weights[name].tobytes() == array.tobytes()
        assert not other.weights[name].flags.writeable


def test_a_sparse_weight_stays_sparse_and_a_precision_what_it_is(tmp_path):
    def build(dtype):
        layer = rk.RNN(rk.ESNCell(20, density=0.2), dtype=dtype, seed=3)
        layer.build((None, None, 1))
        return layer

    wide, narrow = build("float64"), build("float32")
    wide.save_weights(tmp_path / "a")
    narrow.load_weights(tmp_path / "a")
    for name, array in wide.weights.items():
        assert narrow.weights[name].dtype == np.float32
        assert np.array_equal(narrow.weights[name], array.astype(np.float32))
    assert "recurrent_kernel" in narrow.cell._sparse_weights()


def test_T12_what_does_not_fit_changes_nothing(tmp_path):
    path = tmp_path / "a.npz"
    small = rk.Sequential([rk.GRU(4), rk.Dense(1)], seed=0)
    small.build((None, None, 3))
    small.save_weights(path)
    other = rk.Sequential([rk.GRU(4), rk.Dense(2, use_bias=False)], seed=1)
    other.build((None, None, 3))
    before = other.get_weights()
    with pytest.raises(ValueError) as caught:
        other.load_weights(path)
    assert str(caught.value) == (
        f"expected weights of 'sequential' in {str(path)!r}, which holds those of a Sequential: "
        "the layer has no 1/bias; 1/kernel is of shape (4, 1), the layer's of (4, 2)"
    )
    assert all(np.array_equal(a, b) for a, b in zip(before, other.get_weights(), strict=True))
    other.save_weights(path)
    with pytest.raises(ValueError, match=r"it has no 1/bias; 1/kernel is of shape \(4, 2\), the layer's of \(4, 1\)"):
        small.load_weights(path)
    save_arrays(path, small.weights)
    with pytest.raises(ValueError, match="expected a file of a layer's weights"):
        small.load_weights(path)


def test_a_layer_is_built_first_and_a_file_is_kept_on_request(tmp_path):
    layer = rk.GRU(4)
    with pytest.raises(ValueError, match=r"to be built before its weights are saved; call build"):
        layer.save_weights(tmp_path / "a")
    layer.build((None, None, 3))
    layer.save_weights(tmp_path / "a", overwrite=False)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        layer.save_weights(tmp_path / "a", overwrite=False)
    with pytest.raises(ValueError, match=r"to be built before weights are loaded into it"):
        rk.GRU(4).load_weights(tmp_path / "a")
