"""Keras's callbacks: names for rnnkit's."""

from __future__ import annotations

from functools import partial

from rnnkit.keras.naming import Name, named, namespace

NAMES = {
    name: Name(f"rnnkit.callbacks:{name}")
    for name in (
        "Callback CSVLogger EarlyStopping History LambdaCallback LearningRateScheduler ReduceLROnPlateau"
    ).split()
} | {
    "CallbackList": Name("rnnkit.callbacks.calling:CallbackList"),
    "ModelCheckpoint": Name("rnnkit.callbacks:ModelCheckpoint", defaults={"save_weights_only": False}),
    "ProgbarLogger": Name("rnnkit.callbacks:ProgressBar"),
    "TerminateOnNaN": Name("rnnkit.callbacks:TerminateOnNaN"),
}


def _arguments(name, kind, arguments, keywords):
    keywords = dict(keywords)
    if keywords.pop("initial_value_threshold", None) is not None:
        raise ValueError("expected no initial_value_threshold of ModelCheckpoint; give EarlyStopping a baseline")
    if "period" in keywords or keywords.pop("raise_error", False):
        raise ValueError("expected neither period nor raise_error; a fit without TerminateOnNaN raises an error")
    if "epsilon" in keywords and name == "ReduceLROnPlateau":
        keywords["min_delta"] = keywords.pop("epsilon")
    return arguments, {**NAMES[name].defaults, **keywords}, lambda made: None


def _make(name: str):
    return named(name, __name__, NAMES[name].found(), partial(_arguments, name))


__getattr__, __dir__ = namespace("callbacks", _make, NAMES)
