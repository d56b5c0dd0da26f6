"""Weights of layers in files."""

import numpy as np
import pytest
from layers_under_test import LAYERS as ROWS

import rnnkit as rk
from rnnkit.serialization.array_files import save_arrays


@pytest.fixture(autouse=True)
def without_compiling():
    with rk.eager():
        yield


LAYERS = [
    (lambda seed: rk.RNN([rk.LSTMCell(2), rk.SimpleRNNCell(3)], seed=seed), (None, None, 3)),
    (lambda seed: rk.Sequential([rk.Embedding(5, 3), rk.GRU(2)], seed=seed), (None, None)),
    *((lambda seed, row=row: row.make(seed=seed), row.shape()) for name, row in ROWS.items() if name != "Model"),
]


@pytest.mark.parametrize("make, shape", LAYERS, ids=["stack", "model", *(name for name in ROWS if name != "Model")])
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
