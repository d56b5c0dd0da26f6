"""Keras's callbacks: names for rnnkit's."""

from __future__ import annotations

from functools import partial

from rnnkit.callbacks.monitoring import Monitor
from rnnkit.keras import ops
from rnnkit.keras.naming import Name, by_order, named, namespace

NAMES = {
    name: Name(f"rnnkit.callbacks:{name}")
    for name in (
        "BackupAndRestore Callback CSVLogger EarlyStopping History LambdaCallback LearningRateScheduler "
        "ReduceLROnPlateau SwapEMAWeights TensorBoard"
    ).split()
} | {
    "CallbackList": Name(
        "rnnkit.callbacks.calling:CallbackList",
        "callbacks add_history add_progbar model",
        {"add_history": False, "add_progbar": False},
    ),
    "ModelCheckpoint": Name("rnnkit.callbacks:ModelCheckpoint", defaults={"save_weights_only": False}),
    "ProgbarLogger": Name("rnnkit.callbacks:ProgressBar"),
    "TerminateOnNaN": Name("rnnkit.callbacks:TerminateOnNaN"),
}


IGNORED = {  # at most with a value that is false
    "TensorBoard": ("write_graph", "profile_batch", "embeddings_freq", "embeddings_metadata"),
}


SET = {  # attributes
    "CSVLogger": {"missing": "NA"},
    "EarlyStopping": {"no_epoch": 0, "best_epoch": 0, "stopped_epoch": 0},
    "TerminateOnNaN": {"logs_epoch": True},
}


def _arguments(name, kind, arguments, keywords):
    keywords = dict(keywords)
    if "period" in keywords:
        raise ValueError("expected no period of ModelCheckpoint; give save_freq")
    for one in IGNORED.get(name, ()):
        if keywords.pop(one, None):
            raise ValueError(f"expected no {one} of {name}; see {NAMES[name].path.replace(':', '.')}")
    if "epsilon" in keywords and name == "ReduceLROnPlateau":
        keywords["min_delta"] = keywords.pop("epsilon")
    if order := NAMES[name].order:  # of a CallbackList, which takes all other keywords for its callbacks
        keywords, arguments = by_order(order, kind, arguments, keywords), ()
        keywords["params"] = {one: keywords.pop(one) for one in set(keywords) - set(order.split())}
    return arguments, {**NAMES[name].defaults, **keywords}, partial(_set, name)


def _set(name, made):
    """Set the attributes that Keras's objects have."""
    vars(made).update(SET.get(name, {}))
    if isinstance(made, Monitor):
        made.monitor_op = getattr(ops, made.monitor_op.__name__)


def _make(name: str):
    return named(name, __name__, NAMES[name].found(), partial(_arguments, name))


__getattr__, __dir__ = namespace("callbacks", _make, NAMES)
