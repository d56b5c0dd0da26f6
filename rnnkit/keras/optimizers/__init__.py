"""Keras's optimizers, over rnnkit's."""

from __future__ import annotations

import importlib
import inspect
import sys
from functools import partial

from rnnkit import optimizers as plain
from rnnkit.interop.keras_kinds import Argument
from rnnkit.keras import settings
from rnnkit.keras.naming import by_order, named, namespace

_IGNORED = {
    "jit_compile": Argument(None, "updates are compiled"),
    "loss_scale_factor": Argument((None,), "float32 and float64 need none"),
    "foreach": Argument(None, ""),
}


def _arguments(name, kind, arguments, keywords):
    own = next((one for one in kind.__mro__ if one in plain.CLASSES.values()), kind)  # of a program's subclass
    keywords = by_order("", own, arguments, keywords)
    if "lr" in keywords:
        keywords["learning_rate"] = keywords.pop("lr")
    if callable(rate := keywords.get("learning_rate")) and not inspect.signature(rate).parameters:
        keywords["learning_rate"] = lambda step: rate()
    if keywords.get("name") is None:
        keywords["name"] = settings.auto_name(kind.__name__)
    if decay := keywords.pop("decay", 0.0):
        first = keywords.get("learning_rate", 0.01 if kind is plain.SGD else 0.001)
        keywords["learning_rate"] = plain.schedules.InverseTimeDecay(first, 1, decay)
    for name, argument in _IGNORED.items():
        if name in keywords:
            value = keywords.pop(name)
            if not argument.is_harmless(value):
                raise ValueError(f"expected no {name} of {kind.__name__}, got {value!r}; {argument.why}")
    return (), keywords, lambda made: None


def get(identifier):
    """Return the optimizer that an argument stands for; None for None."""
    if identifier is None:
        return None
    if isinstance(identifier, dict) and "config" in identifier:
        identifier = identifier | {"class_name": _NAMES.get(identifier["class_name"], identifier["class_name"])}
    return plain.get(identifier)


_NAMES = {name.lower(): name for name in plain.CLASSES}
deserialize = get
serialize = plain.config_of


def _make(name: str):
    if name in ("schedules", "legacy"):
        return importlib.import_module(f"{__name__}.schedules") if name == "schedules" else sys.modules[__name__]
    kind = getattr(plain, name)
    return named(name, __name__, kind, partial(_arguments, name))


__getattr__, __dir__ = namespace("optimizers", _make, [*plain.CLASSES, "Optimizer", "legacy", "schedules"])
