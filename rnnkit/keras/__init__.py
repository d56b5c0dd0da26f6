"""The names of Keras 3 over rnnkit's classes: a script on recurrent networks runs by changing its import.

>>> import numpy as np
>>> from rnnkit import keras
>>> model = keras.Sequential([keras.Input((None, 3)), keras.layers.LSTM(4), keras.layers.Dense(1)])
>>> model.compile(optimizer="adam", loss="mse")
>>> model.predict(np.ones((2, 5, 3))).shape
(2, 1)
"""

from __future__ import annotations

import importlib

_MODULES = (
    "activations applications backend callbacks config constraints datasets dtype_policies initializers layers losses "
    "metrics mixed_precision models ops optimizers preprocessing random regularizers saving tree utils"
).split()
_NAMES = {
    "DTypePolicy": "dtype_policies",
    "FloatDTypePolicy": "dtype_policies",
    "GradientTape": "gradients",
    "Initializer": "initializers",
    "Input": "layers",
    "InputSpec": "layers",
    "KerasTensor": "layers",
    "Layer": "layers",
    "Loss": "losses",
    "Metric": "metrics",
    "Model": "models",
    "Optimizer": "optimizers",
    "Regularizer": "regularizers",
    "Sequential": "models",
    "Variable": "variables",
    "value_and_grad": "gradients",
    "__version__": "config",
    "version": "config",
}

__all__ = [*_MODULES, *(name for name in _NAMES if name != "__version__")]


def __getattr__(name: str):
    """Import a module, or a name of one, when it is first asked for."""
    if name in _MODULES:
        return importlib.import_module(f"rnnkit.keras.{name}")
    if name in _NAMES:
        place = "rnnkit.layers.support.tape" if _NAMES[name] == "gradients" else f"rnnkit.keras.{_NAMES[name]}"
        return getattr(importlib.import_module(place), name)
    from rnnkit.keras.left_out import left_out

    return left_out("", name)


def __dir__():
    return sorted(__all__)
