"""Keras as a witness: imported once, in the precision of a test."""

import importlib.util
import os
import warnings

import numpy as np
import pytest

BACKEND = next((name for name in ("jax", "torch", "tensorflow") if importlib.util.find_spec(name)), None)


def imported():
    """Keras, whose float64 is one: its table of types says float32 for most functions of float64."""
    if BACKEND is None:
        pytest.skip("Keras has no backend here")
    os.environ.setdefault("KERAS_BACKEND", BACKEND)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras = pytest.importorskip("keras")
        types = importlib.import_module("keras.src.backend.common.dtypes")
    types.BIT64_TO_BIT32_DTYPE["float64"] = "float64"
    return keras


def use(keras, dtype):
    """Compute in a precision from here on; jax has to be told of float64, and Keras fails in float32 if it was."""
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    if keras.config.backend() == "jax":
        import jax

        jax.config.update("jax_enable_x64", dtype == "float64")


def arrays(keras, nested):
    """The arrays of what a layer or a model gave, flat."""
    return [np.asarray(keras.ops.convert_to_numpy(one)) for one in keras.tree.flatten(nested)]


def tensors(keras, nested, dtype):
    """Arrays, nested as they are, as Keras's."""
    if isinstance(nested, (list, tuple)):
        return [tensors(keras, one, dtype) for one in nested]
    return keras.ops.convert_to_tensor(nested, dtype=dtype)
