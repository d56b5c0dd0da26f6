"""Layers around a recurrence go to ONNX where they are steps of the last axis, and are refused elsewhere, in C too."""

import numpy as np
import pytest
from onnx_runs import Exported

import rnnkit as rk

LAYERS = {
    "LayerNormalization": lambda: rk.LayerNormalization(beta_initializer="normal", gamma_initializer="normal"),
    "UnitNormalization": rk.UnitNormalization,
    "Softmax": rk.Softmax,
    "ReLU": lambda: rk.ReLU(1.0, 0.1, 0.2),
    "LeakyReLU": rk.LeakyReLU,
    "ELU": lambda: rk.ELU(0.3),
    "GaussianNoise": lambda: rk.GaussianNoise(0.5),
    "SpatialDropout1D": lambda: rk.SpatialDropout1D(0.5),
}
REFUSED = {
    "LayerNormalization along time": lambda: rk.LayerNormalization(axis=1),
    "Softmax along all": lambda: rk.Softmax((1, 2)),
    "Conv1D": lambda: rk.Conv1D(2, 2),
    "BatchNormalization": rk.BatchNormalization,
    "MaxPooling1D": rk.MaxPooling1D,
    "PReLU": lambda: rk.PReLU(shared_axes=[1]),
}


def around(make):
    return rk.Sequential([rk.Input((5, 3), dtype="float64"), make(), rk.GRU(2)], seed=0)


@pytest.mark.parametrize("name", LAYERS)
def test_the_outputs_are_the_same(name, rng):
    pytest.importorskip("onnxruntime")
    model, x = around(LAYERS[name]), rng.normal(size=(4, 5, 3))
    np.testing.assert_allclose(np.asarray(Exported(model)(x)[0]), model(x), rtol=1e-10, atol=1e-10)


def test_the_smallest_of_arrays(rng):
    pytest.importorskip("onnxruntime")
    a, b = rk.Input((3,), dtype="float64"), rk.Input((3,), dtype="float64", name="b")
    model = rk.Model([a, b], rk.Dense(2, seed=0)(rk.Minimum()([a, b])))
    x, y = rng.normal(size=(2, 4, 3))
    np.testing.assert_allclose(np.asarray(Exported(model)(x, y)[0]), model([x, y]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", REFUSED)
def test_what_reads_several_steps_is_refused_and_nothing_is_written(name, tmp_path):
    model = around(REFUSED[name])
    with pytest.raises(ValueError, match="can't be exported to ONNX"):
        rk.onnx.export(model, tmp_path / "model.onnx")
    with pytest.raises(ValueError, match="expected layers that take one step at a time"):
        rk.export_c(model, tmp_path)
    assert not list(tmp_path.iterdir())
