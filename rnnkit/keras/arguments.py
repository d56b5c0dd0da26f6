"""Arguments of Keras's layers that rnnkit's don't have: accepted, ignored if they change nothing, or refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from rnnkit.interop.keras_kinds import IGNORED
from rnnkit.keras import settings
from rnnkit.keras.naming import by_order, parameters

SHAPES = ("batch_input_shape", "batch_shape", "input_shape", "input_dim", "input_length", "batch_size")
TAKEN = {
    "dtype": 'None is keras.config.floatx(); "float32", "float64", or a policy of that name',
    "name": "None counts as Keras does: lstm, lstm_1, …",
    "seed": "None is drawn after keras.utils.set_random_seed",
    "trainable": "sets layer.trainable",
    "weights": "of an Embedding: the table, as a list of one array",
} | dict.fromkeys(SHAPES, "of the first layer of a Sequential: an Input before it")


def dropped(kind: str, keywords: dict, own) -> dict:
    """Return keywords without those that are ignored; a ValueError for a value that would change something."""
    left = {}
    for name, value in keywords.items():
        if name not in IGNORED or name in own:
            left[name] = value
        elif not IGNORED[name].is_harmless(value):
            raise ValueError(f"expected no {name} of {kind}, got {value!r}; {IGNORED[name].why}")
    return left


def layer_arguments(name, kind: type, arguments: tuple, keywords: dict):
    """Return rnnkit's arguments for a layer or a cell, and a function that is called with it once it is made.

    The class is rnnkit's, or one derived from it.
    """
    own = parameters(name.found())
    keywords = by_order(name.order, name.found(), arguments, keywords)
    use_cudnn = keywords.get("use_cudnn", "auto")
    keywords = dropped(kind.__name__, keywords, own)
    keywords = {name.renamed.get(one, one): value for one, value in keywords.items()}
    after: list[Callable[[Any], None]] = []
    shape = _first_shape(kind, {one: keywords.pop(one) for one in SHAPES if one in keywords and one not in own})
    if shape is not None:
        after.append(partial(_remember, shape))
    if "use_cudnn" in name.order.split():
        after.append(lambda made: setattr(made, "use_cudnn", use_cudnn))
    if not isinstance(trainable := keywords.pop("trainable", True), (bool, np.bool_)):
        raise ValueError(f"expected trainable of {kind.__name__} to be a boolean, got {trainable!r}")
    if not trainable:
        after.append(_freeze)
    if kind.__name__ == "Embedding":
        after.append(truncate)
    if (weights := keywords.pop("weights", None)) is not None:
        after.append(partial(_fill, weights))
    if "dtype" in own:
        keywords["dtype"] = settings.precision(keywords.get("dtype"))
    elif "dtype" in keywords:
        settings.precision(keywords.pop("dtype"))
    if "seed" in own and keywords.get("seed") is None:
        keywords["seed"] = settings.next_seed()
    elif hasattr(keywords.get("seed"), "next_seed"):
        keywords["seed"] = keywords["seed"].next_seed()
    if "name" in own and keywords.get("name") is None:
        keywords["name"] = settings.auto_name(kind.__name__)
    return (), {**name.defaults, **keywords}, lambda made: [do(made) for do in after]


def _first_shape(kind: type, given: dict) -> tuple | None:
    """Return the shape, with the batch axis, that old arguments of a first layer give."""
    given = {one: value for one, value in given.items() if value is not None}
    if not given:
        return None
    batch = given.pop("batch_size", None)
    for whole in ("batch_shape", "batch_input_shape"):
        if whole in given:
            return tuple(given[whole])
    if "input_shape" in given:
        shape = given["input_shape"]
        return (batch, *(shape if isinstance(shape, (tuple, list)) else (shape,)))
    length, features = given.get("input_length"), given.get("input_dim")
    if kind.__name__ == "Embedding":
        return (batch, *(length if isinstance(length, (tuple, list)) else (length,)))
    if features is None:
        return None
    if length is None and getattr(kind, "_least_rank", 2) < 3:
        return (batch, features)
    return (batch, length, features)


def first_shape(layer) -> tuple | None:
    """Return the input shape that a layer was given, with the batch axis."""
    return getattr(layer, "__dict__", {}).get("_told_shape")


def _remember(shape, layer) -> None:
    layer._told_shape = shape


def _freeze(layer) -> None:
    layer.trainable = False


def truncate(layer) -> None:
    """Let an Embedding take ids as Keras does, without their fractions."""
    layer._truncates = True


def _fill(weights, layer) -> None:
    if type(layer).__name__ != "Embedding":
        raise ValueError(f"expected weights of an Embedding; build {layer.name!r} and call set_weights instead")
    layer.build((None, None))
    layer.set_weights([np.asarray(one) for one in (weights if isinstance(weights, (list, tuple)) else [weights])])
