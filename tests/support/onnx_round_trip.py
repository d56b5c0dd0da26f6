"""A layer or a model that is exported to ONNX and loaded again, beside itself."""

import os
import tempfile

import numpy as np
from matrix import flat
from onnx_graphs import outputs_of

import rnnkit as rk
from rnnkit.onnx.loading.load import Loaded, read

BOUNDS = {"float32": 1e-5, "float64": 1e-10}


def again(layer, **options) -> Loaded:
    """What becomes of a layer that is exported and loaded."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.onnx")
        rk.onnx.export(layer, path, **options)
        return read(path)


def built(layer, *shape):
    """A layer whose calls run as plain Python, so that nothing is compiled."""
    with rk.eager():
        layer.build(shape)
    return layer


def given(loaded: Loaded, *arrays):
    """The outputs of a loaded model, for the arrays of its inputs in order."""
    assert len(loaded.inputs) == len(arrays)
    with rk.eager(), np.errstate(all="ignore"):
        return outputs_of(loaded, dict(zip(loaded.inputs, arrays, strict=True)))


def same(got, expected):
    """Equal to the bound of the dtype, relative to each array's largest value."""
    expected = flat(expected if isinstance(expected, np.ndarray) else list(expected))
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype, f"{a.shape} {a.dtype} against {b.shape} {b.dtype}"
        bound = BOUNDS[b.dtype.name] * max(1.0, np.abs(b[np.isfinite(b)]).max(initial=0.0))
        np.testing.assert_allclose(a, b, rtol=0, atol=bound)


def agrees(layer, *arrays, mask=None, initial_state=None, constants=None, **options) -> Loaded:
    """Export a layer, load it, and compare both on arrays; returns what was loaded."""
    options = {"mask": mask is not None, "states": initial_state is not None} | options
    if constants is not None:
        options["constants"] = [one.shape[1:] for one in constants]
    keywords = {"mask": mask, "initial_state": initial_state, "constants": constants}
    x = arrays[0] if len(arrays) == 1 else list(arrays)
    with rk.eager(), np.errstate(all="ignore"):
        expected = layer(x, **{name: value for name, value in keywords.items() if value is not None})
    loaded = again(layer, **options)
    more = [*([] if mask is None else [mask]), *(constants or []), *(flat(initial_state) if initial_state else [])]
    same(given(loaded, *arrays, *more), expected)
    return loaded
