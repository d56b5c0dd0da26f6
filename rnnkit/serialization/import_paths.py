"""Objects by their import path, ``"package.module:name"``: how a programmer may name a function in an argument.

Nothing that comes from a configuration is looked up here: see `rnnkit.serialization.registry`.
"""

import importlib
from operator import attrgetter


def path_of(thing) -> str:
    """The path that `from_path` finds `thing` under again.

    Raises
    ------
    ValueError
        If nothing of that name can be imported: a lambda, a function inside a function.
    """
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
    """The object that `path_of` named.

    Raises
    ------
    ValueError
        If there is no such module or no such name in it.
    """
    module, _, name = path.partition(":")
    try:
        return attrgetter(name)(importlib.import_module(module))
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        raise ValueError(
            f"expected a path 'package.module:name' that can be imported; got {path!r} ({error})"
        ) from None
