"""Keras's callbacks: names for rnnkit's."""

from __future__ import annotations

from functools import partial

from rnnkit.keras.naming import Name, named, namespace

NAMES = {
    name: Name(f"rnnkit.callbacks:{name}")
    for name in (
        "BackupAndRestore Callback CSVLogger EarlyStopping History LambdaCallback LearningRateScheduler "
        "ReduceLROnPlateau SwapEMAWeights TensorBoard"
    ).split()
} | {
    "CallbackList": Name("rnnkit.callbacks.calling:CallbackList"),
    "ModelCheckpoint": Name("rnnkit.callbacks:ModelCheckpoint", defaults={"save_weights_only": False}),
    "ProgbarLogger": Name("rnnkit.callbacks:ProgressBar"),
    "TerminateOnNaN": Name("rnnkit.callbacks:TerminateOnNaN"),
}


IGNORED = {  # at most with a value that is false
    "TensorBoard": ("write_graph", "write_images", "profile_batch", "embeddings_freq", "embeddings_metadata"),
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
    return arguments, {**NAMES[name].defaults, **keywords}, lambda made: made.__dict__.update(SET.get(name, {}))


def _make(name: str):
    return named(name, __name__, NAMES[name].found(), partial(_arguments, name))


__getattr__, __dir__ = namespace("callbacks", _make, NAMES)
