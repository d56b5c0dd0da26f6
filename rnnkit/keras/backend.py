"""Keras's settings and, for old scripts, its operations: ``K.mean(x)`` is ``keras.ops.mean(x)``."""

from __future__ import annotations

import numpy as np

from rnnkit.keras.naming import gathered
from rnnkit.keras.utils import standardize_dtype

_PLACES = {
    "rnnkit.keras.config": "backend epsilon floatx image_data_format set_epsilon set_floatx set_image_data_format",
    "rnnkit.keras.settings": "clear_session get_uid",
    "rnnkit.keras.utils": "is_keras_tensor",
}
_get, __dir__ = gathered("backend", _PLACES)


def is_float_dtype(dtype) -> bool:
    """Return whether this is a dtype of floats."""
    return standardize_dtype(dtype).startswith("float")


def is_int_dtype(dtype) -> bool:
    """Return whether this is a dtype of integers."""
    return standardize_dtype(dtype).startswith(("int", "uint"))


def result_type(*dtypes) -> str:
    """Return the dtype of a result computed from arrays of these dtypes."""
    return np.result_type(*map(standardize_dtype, dtypes)).name


def get_value(x):
    """Return the value of a learning rate or of an array."""
    return x.numpy() if hasattr(x, "numpy") else x


def set_value(x, value) -> None:
    """Raise an error: numbers are set where they belong."""
    raise NotImplementedError("expected model.optimizer.learning_rate = value, or layer.set_weights, for set_value")


def int_shape(x) -> tuple:
    """Return the shape of an array or a symbolic tensor."""
    return tuple(x.shape)


def pow(x, a):
    """Return ``x ** a``."""
    return np.power(x, a)


def __getattr__(name: str):
    from rnnkit.keras import ops

    if name.startswith("__"):
        raise AttributeError(name)
    return _get(name) if name in __dir__() else getattr(ops, name)
