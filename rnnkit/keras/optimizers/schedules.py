"""Keras's schedules of learning rates: names for rnnkit's."""

from __future__ import annotations

from rnnkit.keras.naming import deserializer, named, namespace
from rnnkit.optimizers import schedules as plain

_NAMES = {name: name for name in plain.CLASSES} | {"LearningRateSchedule": "Schedule"}

serialize = plain.config_of
deserialize = deserializer(plain.get)


def _arguments(kind, arguments, keywords):
    keywords.pop("name", None)
    return arguments, keywords, lambda made: None


def _make(name: str):
    return named(name, __name__, getattr(plain, _NAMES[name]), _arguments)


__getattr__, __dir__ = namespace("optimizers.schedules", _make, _NAMES)
