"""Keras's regularizers: names for rnnkit's."""

from __future__ import annotations

from rnnkit import regularizers as plain
from rnnkit.keras.naming import same_classes

get = deserialize = plain.get
serialize = plain.config_of
__getattr__, __dir__ = same_classes("regularizers", plain, "Regularizer", plain.REGULARIZERS)
