"""Objects by their import path, ``"package.module:name"``, as programmers may name functions in arguments.

Names in configurations are not looked up here: see `rnnkit.serialization.registry`.
"""

import importlib
from operator import attrgetter


def path_of(thing) -> str:
    """Return the path by which `from_path` finds `thing`; a ValueError if none does, as for a lambda."""
    name = getattr(thing, "__qualname__", None) or getattr(thing, "__name__", None)
    module = getattr(thing, "__module__", None)
    if module is None and type(thing).__module__ == "numpy":  # ufuncs of older NumPy carry no module
        module = "numpy"
    path = f"{module}:{name}"
    try:
        found = from_path(path)
    except ValueError:
        found = None
    if name is None or found is not thing:
        raise ValueError(
            "expected what a configuration can call by name, such as a module's function or one that rk.register "
            f"has given a name; got {thing!r}"
        )
    return path


def from_path(path: str):
    """Return the object of a path by `path_of`; a ValueError if the module or the name is missing."""
    module, _, name = path.partition(":")
    try:
        return attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(
            f"expected a path 'package.module:name' that can be imported; got {path!r} ({error})"
        ) from None
