"""Conversion of cells and their arguments to JSON values, and back."""

from __future__ import annotations

import numbers
from collections.abc import Mapping

import numpy as np

from rnnkit.serialization.registry import class_of, find, is_elsewhere, name_of, public_path, reading, registered_name


def to_json(value, what: str):
    """Return a constructor argument as JSON values; ``what`` names it in the error."""
    if value is None or isinstance(value, (bool, str, numbers.Integral)):
        return value if not isinstance(value, np.generic) else value.item()
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biufcUS":
            raise TypeError(f"{what} can't stand in a configuration: expected an array of numbers, got {value.dtype}")
        return {"array": value.tolist(), "dtype": value.dtype.name}
    if isinstance(value, (list, tuple)):
        return [to_json(v, what) for v in value]
    if callable(value):
        return {"function": name_of(value)}
    raise TypeError(
        f"{what} can't stand in a configuration: expected numbers, strings, arrays or a named function, got {value!r}"
    )


def from_json(value):
    """Return the argument that `to_json` converted; a ValueError for unknown functions, or non-numeric arrays."""
    if isinstance(value, list):
        return [from_json(one) for one in value]
    if isinstance(value, Mapping) and "array" in value:
        dtype = value.get("dtype")
        if not isinstance(dtype, str) or not (dtype in _DTYPES or dtype.startswith(("str", "bytes"))):
            raise ValueError(f"expected an array of numbers in a configuration, got the dtype {dtype!r}")
        text = next((kind for kind in ("str", "bytes") if dtype.startswith(kind)), None)
        return np.array(value["array"], text or dtype)  # text keeps its own width
    if isinstance(value, Mapping) and "function" in value:
        return find(value["function"])
    return value


_DTYPES = {np.dtype(code).name for code in "?bhilqBHILQefdgFDG"}


def serialize(cell) -> dict:
    """Return a cell or a layer as JSON values: its class by module and name, and its own configuration."""
    inner = getattr(cell, "adapted", cell)
    if not hasattr(inner, "get_config"):
        raise TypeError(f"{type(inner).__name__} has no get_config, which a configuration needs")
    kind = vars(type(inner)).get("_configured_as", type(inner))  # a class with alternative names
    module, name = public_path(kind) or (kind.__module__, kind.__qualname__)
    registered = registered_name(kind)
    known = {} if registered is None else {"registered_name": registered}
    return {"module": module, "class_name": name, **known, "config": inner.get_config()}


def deserialize(config):
    """Return the cell or layer of a `serialize`; a TypeError for other values, a ValueError for unknown classes."""
    if not isinstance(config, Mapping) or not {"class_name", "config"} <= set(config):
        raise TypeError(f"expected a configuration as {{'module', 'class_name', 'config'}}, got {config!r}")
    path = config.get("registered_name") or ":".join(str(config[k]) for k in ("module", "class_name") if k in config)
    return made(class_of(path), config["config"])


def made(kind: type, config):
    """Make an object of a class from its configuration."""
    with reading():
        return kind.from_config(config) if hasattr(kind, "from_config") else kind(**config)


def named(identifier, names, classes, base: type, what: str, function: str = ""):
    """Return the object for an argument, as `what` describes it in errors.

    The argument is a name among `names`, a registered one or an import path; an instance of `base`, returned unchanged,
    or a subclass, called without arguments; ``{"class_name": …, "config": …}`` with one of `classes`; None; or, if
    `function` says with which arguments, a function.
    """
    article = _article(what)
    if isinstance(identifier, str):
        if not is_elsewhere(identifier):
            if identifier not in names:
                also = f", or a function of {function}" if function else ""
                raise ValueError(f"expected {article} {what} among {', '.join(names)}{also}; got {identifier!r}")
            identifier = names[identifier]
        else:
            identifier = find(identifier)
    elif is_described(identifier):
        return described(identifier, classes, base, what)
    if isinstance(identifier, type) and issubclass(identifier, base):
        return identifier()
    if identifier is None or isinstance(identifier, base) or (function and callable(identifier)):
        return identifier
    also = f", a function of {function}" if function else ""
    raise TypeError(
        f"expected {article} {what}'s name, an object of a subclass of {base.__name__}{also} or its configuration; "
        f"got {identifier!r}"
    )


def is_described(identifier) -> bool:
    """Return whether an argument is an object's class and configuration, as `described` takes them."""
    return isinstance(identifier, dict) and set(identifier) == {"class_name", "config"}


def described(identifier, classes, base: type, what: str):
    """Return the object of ``{"class_name": …, "config": …}``; a ValueError for an unknown or unsuitable class."""
    name = identifier["class_name"]
    if not isinstance(name, str) or (name not in classes and not is_elsewhere(name)):
        raise ValueError(f"expected {_article(what)} {what}'s class among {', '.join(classes)}; got {name!r}")
    kind = classes[name] if name in classes else class_of(name)
    if not issubclass(kind, base):
        raise ValueError(f"expected {_article(what)} {what}'s class in a configuration, got {name!r}")
    return made(kind, identifier["config"])


def _article(what):
    return "an" if what[0] in "aeiou" else "a"


def named_config(given, classes) -> dict | str | None:
    """Return an argument of `named` for the same object: ``{"class_name", "config"}``, an import path, or None."""
    if given is None or not hasattr(given, "get_config"):
        return None if given is None else name_of(given)
    kind = type(given)
    name = kind.__name__ if classes.get(kind.__name__) is kind else name_of(kind)
    return {"class_name": name, "config": given.get_config()}
