"""Cells and their arguments as JSON values, and back."""

from __future__ import annotations

import numbers

import numpy as np

from rnnkit.importing import from_path, path_of


def to_json(value, what: str):
    """A constructor argument as JSON values; ``what`` names it in the error."""
    if value is None or isinstance(value, (bool, str, numbers.Integral)):
        return value if not isinstance(value, np.generic) else value.item()
    if isinstance(value, numbers.Real):
        return float(value)
    if isinstance(value, np.ndarray):
        return {"array": value.tolist(), "dtype": value.dtype.name}
    if isinstance(value, (list, tuple)):
        return [to_json(v, what) for v in value]
    if callable(value):
        return {"function": path_of(value)}
    raise TypeError(
        f"{what} can't stand in a configuration: expected numbers, strings, arrays or a named function, got {value!r}"
    )


def from_json(value):
    """The argument that `to_json` wrote."""
    if isinstance(value, dict) and "array" in value:
        return np.array(value["array"], value["dtype"])
    if isinstance(value, dict) and "function" in value:
        return from_path(value["function"])
    return value


def serialize(cell) -> dict:
    """A cell as JSON values: its class by module and name, and its own configuration."""
    inner = getattr(cell, "foreign", cell)
    if not hasattr(inner, "get_config"):
        raise TypeError(f"{type(inner).__name__} has no get_config, which a configuration needs")
    return {"module": type(inner).__module__, "class_name": type(inner).__qualname__, "config": inner.get_config()}


def deserialize(config: dict):
    """The cell that `serialize` described."""
    found = from_path(f"{config['module']}:{config['class_name']}")
    return found.from_config(config["config"]) if hasattr(found, "from_config") else found(**config["config"])


def named(identifier, names, classes, base: type, what: str, function: str = ""):
    """The object that an argument stands for: a name, an object, a class, a configuration, a function or None.

    Parameters
    ----------
    identifier
        A name among `names`, or an import path; an instance of `base` as it is, or a subclass, called without
        arguments; ``{"class_name": …, "config": …}``; None as it is.
    names, classes : dict of str to class
    base : type
        What all of them are.
    what : str
        What they are called in errors.
    function : str
        What a function in the place of an object takes, where one will do.

    Raises
    ------
    ValueError
        For a name that doesn't exist.
    TypeError
        For anything else.
    """
    article = "an" if what[0] in "aeiou" else "a"
    if isinstance(identifier, str):
        if ":" not in identifier:
            if identifier not in names:
                raise ValueError(f"expected {article} {what} among {', '.join(names)}; got {identifier!r}")
            return names[identifier]()
        identifier = from_path(identifier)
    elif isinstance(identifier, dict) and set(identifier) == {"class_name", "config"}:
        name = identifier["class_name"]
        if name not in classes and ":" not in str(name):
            raise ValueError(f"expected {article} {what}'s class among {', '.join(classes)}; got {name!r}")
        kind = classes[name] if name in classes else from_path(name)
        return kind.from_config(identifier["config"]) if hasattr(kind, "from_config") else kind(**identifier["config"])
    if isinstance(identifier, type) and issubclass(identifier, base):
        return identifier()
    if identifier is None or isinstance(identifier, base) or (function and callable(identifier)):
        return identifier
    also = f", a function of {function}" if function else ""
    raise TypeError(
        f"expected {article} {what}'s name, an object of a subclass of {base.__name__}{also} or its configuration; "
        f"got {identifier!r}"
    )


def named_config(given, classes) -> dict | str | None:
    """What `named` makes the same of: ``{"class_name", "config"}``, an import path for a function, or None."""
    if given is None or not hasattr(given, "get_config"):
        return None if given is None else path_of(given)
    kind = type(given)
    name = kind.__name__ if classes.get(kind.__name__) is kind else path_of(kind)
    return {"class_name": name, "config": given.get_config()}
