"""The public names of rnnkit, by module: what the reference lists and what the rules of docstrings hold for."""

import importlib
import importlib.util
import inspect
from collections.abc import Iterator
from typing import Any

# Those of Keras's names are described by Keras; docs/conf.py lists them.
MODULES = (
    "rnnkit",
    "rnnkit.callbacks",
    "rnnkit.cells",
    "rnnkit.constraints",
    "rnnkit.cuda",
    "rnnkit.datasets",
    "rnnkit.distributed",
    "rnnkit.forecast",
    "rnnkit.initializers",
    "rnnkit.interop",
    "rnnkit.losses",
    "rnnkit.metrics",
    "rnnkit.onnx",
    "rnnkit.optimizers",
    "rnnkit.optimizers.schedules",
    "rnnkit.regularizers",
    "rnnkit.sklearn",
)
OPTIONAL = {"rnnkit.sklearn": "sklearn"}


def present() -> list[str]:
    """The modules whose optional packages are installed."""
    return [name for name in MODULES if importlib.util.find_spec(OPTIONAL.get(name, "rnnkit"))]


def names() -> Iterator[tuple[str, Any]]:
    """Every public name with its object; modules are left out."""
    for module in present():
        found = importlib.import_module(module)
        for name in found.__all__:
            value = getattr(found, name)
            if not inspect.ismodule(value):
                yield f"{module}.{name}", value


def described() -> list[tuple[str, Any]]:
    """Every public class and function once, under the first of its names."""
    first: dict[int, tuple[str, Any]] = {}
    for name, value in names():
        if callable(value):
            first.setdefault(id(value), (name, value))
    return list(first.values())


def functions() -> list[tuple[str, Any]]:
    """Every public function, and every public method that a public class or a base of one defines."""
    found: dict[Any, tuple[str, Any]] = {}
    for name, value in described():
        if not inspect.isclass(value):
            found.setdefault(id(inspect.unwrap(value)), (name, inspect.unwrap(value)))
            continue
        for base in value.__mro__:
            if base.__module__.startswith("rnnkit"):
                for attribute, method in vars(base).items():
                    plain = method.__func__ if isinstance(method, (classmethod, staticmethod)) else method
                    plain = inspect.unwrap(plain) if callable(plain) else plain
                    if inspect.isfunction(plain) and not attribute.startswith("_"):
                        found.setdefault(id(plain), (f"{base.__name__}.{attribute}", plain))
    return list(found.values())
