"""Keras's optimizers, over rnnkit's."""

from __future__ import annotations

import importlib
import sys
from functools import partial

from rnnkit import optimizers as plain
from rnnkit.keras.arguments import Argument
from rnnkit.keras.naming import by_order, named, namespace

_IGNORED = {
    "jit_compile": Argument(None, "updates are compiled"),
    "ema_momentum": Argument(None, "counts with use_ema alone"),
    "ema_overwrite_frequency": Argument(None, "counts with use_ema alone"),
    "use_ema": Argument((False, None), "optimizers keep no averages of the weights"),
    "loss_scale_factor": Argument((None,), "float32 and float64 need none"),
    "gradient_accumulation_steps": Argument((None, 1), "use a larger batch_size"),
    "foreach": Argument(None, ""),
}


def _arguments(name, kind, arguments, keywords):
    keywords = by_order("", kind, arguments, keywords)
    if "lr" in keywords:
        keywords["learning_rate"] = keywords.pop("lr")
    if decay := keywords.pop("decay", 0.0):
        first = keywords.get("learning_rate", 0.01 if kind is plain.SGD else 0.001)
        keywords["learning_rate"] = plain.schedules.InverseTimeDecay(first, 1, decay)
    for name, argument in _IGNORED.items():
        if name in keywords:
            value = keywords.pop(name)
            if argument.harmless is not None and value not in argument.harmless:
                raise ValueError(f"expected no {name} of {kind.__name__}, got {value!r}; {argument.why}")
    return (), keywords, lambda made: None


get = deserialize = plain.get
serialize = plain.config_of


def _make(name: str):
    if name in ("schedules", "legacy"):
        return importlib.import_module(f"{__name__}.schedules") if name == "schedules" else sys.modules[__name__]
    kind = getattr(plain, name)
    return named(name, __name__, kind, partial(_arguments, name))


__getattr__, __dir__ = namespace("optimizers", _make, [*plain.CLASSES, "Optimizer", "legacy", "schedules"])
