"""Keras's initializers: names for rnnkit's, with seeds of their own."""

from __future__ import annotations

from dataclasses import fields
from functools import partial

import numpy as np

from rnnkit import initializers as plain
from rnnkit.free_names import snake_case
from rnnkit.interop.keras_kinds import NAMED, SET
from rnnkit.keras.naming import by_order, named, namespace

_VALUES = {"Zeros": 0.0, "Ones": 1.0}
_SCALING = {
    name: {one: getattr(plain.INITIALIZERS[alias], one) for one in ("scale", "mode", "distribution")}
    for name, alias in NAMED.items()
    if name not in _VALUES
}
ALIASES = {alias: name for name, alias in NAMED.items()} | {
    snake_case(name): name for name in SET if not name.endswith("Initializer")
}


def get(identifier):
    """Return the initializer that an argument stands for; None for None."""
    if identifier is None:
        return None
    if isinstance(identifier, np.ndarray):
        return plain.Constant(identifier)  # type: ignore[arg-type]
    if isinstance(identifier, str) and identifier in {*NAMED, *SET}:
        return __getattr__(identifier)()
    return plain.initializer(identifier)


serialize = plain.initializer_config
deserialize = get


def _arguments(name, kind, arguments, keywords):
    if hasattr(keywords.get("seed"), "next_seed"):
        keywords = keywords | {"seed": int(keywords["seed"].next_seed().generate_state(1)[0])}
    if name in _SCALING:
        keywords = by_order("seed", kind, arguments, keywords) | _SCALING[name]
        arguments = ()
    elif name == "Initializer":
        pass
    elif name in _VALUES:
        keywords = {"value": _VALUES[name]}
    else:
        order = " ".join([*(one.name for one in fields(kind) if one.name != "seed"), "seed"])
        keywords, arguments = by_order(order, kind, arguments, keywords), ()
    return arguments, keywords, lambda made: None


def _make(name: str):
    name = ALIASES.get(name, name)
    others: dict[str, type] = {"Initializer": plain.Initializer, "Zeros": plain.Constant, "Ones": plain.Constant}
    kind = SET[name] if name in SET else others.get(name, plain.VarianceScaling)
    return named(name, __name__, kind, partial(_arguments, name))


__getattr__, __dir__ = namespace("initializers", _make, ["Initializer", *NAMED, *SET, *ALIASES])
