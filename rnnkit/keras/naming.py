"""Names of Keras for classes of rnnkit.

A name is a subclass of rnnkit's class, so that it can be derived from. But calling it makes an object of rnnkit's class
itself, with the arguments translated: the object is saved, compiled and exported as if it had been made without
Keras's names. So rnnkit's own objects are instances of the name, too.
"""

from __future__ import annotations

import importlib
import inspect
import types
from abc import ABCMeta
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from rnnkit.keras.left_out import left_out
from rnnkit.keras.overriding import check
from rnnkit.serialization.registry import reading


@dataclass(frozen=True)
class Name:
    """Translation of a name of Keras."""

    path: str  # ``module:name``
    order: str = ""  # Keras's order of positional arguments, where rnnkit's is another one
    defaults: Mapping[str, Any] = field(default_factory=dict)  # arguments where Keras's default is another one
    renamed: Mapping[str, str] = field(default_factory=dict)  # rnnkit's names of arguments
    instances: str = ""  # the path of the class whose objects are instances of the name, where it is another one

    def found(self) -> type:
        """Return the class that the name stands for."""
        return _at(self.path)

    def of_instances(self) -> type:
        """Return the class of the name's instances."""
        return _at(self.instances or self.path)


def _at(path: str) -> type:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)


Translation = Callable[[type, tuple, dict], tuple[tuple, dict, Callable[[Any], None]]]


def named(name: str, module: str, plain: type, translated: Translation, instances: type | None = None) -> type:
    """Return the class for a name of Keras, shown as of a module.

    ``translated(class, arguments, keywords)`` returns the arguments and keywords of `plain`, rnnkit's class, and a
    function to be called with the object. Its instances are those of `instances`, by default of `plain`.
    """

    def new(cls, *arguments, **keywords):
        if cls is not found:  # a program's subclass of the name
            takes_none = plain.__new__ is object.__new__
            return object.__new__(cls) if takes_none else plain.__new__(cls, *arguments, **keywords)
        arguments, keywords, after = translated(plain, arguments, keywords)
        made = plain(*arguments, **keywords)
        after(made)
        return made

    def init(self, *arguments, **keywords):
        arguments, keywords, after = translated(type(self), arguments, keywords)
        plain.__init__(self, *arguments, **keywords)  # type: ignore[misc]
        after(self)

    def subclasshook(cls, kind):
        return issubclass(kind, instances or plain) if cls is found else NotImplemented

    def init_subclass(cls, **keywords):
        super(found, cls).__init_subclass__(**keywords)  # type: ignore[arg-type]
        cls._as_in_keras = True
        bases = [kind.__name__ for kind in plain.__mro__]
        check(
            cls,
            next((one for one in ("Layer", "Optimizer", "Measure") if one in bases), "").replace("Measure", "Metric"),
        )

    body = {
        "__module__": module,
        "__init_subclass__": classmethod(init_subclass),
        "__doc__": f"Keras's name for `{plain.__module__}.{plain.__qualname__}`, see there.",
        "__new__": new,
        "__init__": init,
        "__subclasshook__": classmethod(subclasshook),
    }
    if "__slots__" in vars(plain):
        body["__slots__"] = ()
    found = ABCMeta(name, (plain,), body)
    return found


def by_order(order: str, kind: Any, arguments: tuple, keywords: dict) -> dict:
    """Return arguments as keywords, in Keras's order; a TypeError for too many, or one that is given twice."""
    names = order.split() or [p.name for p in parameters(kind).values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    # Keras has a positional argument here that rnnkit refuses.
    if not order and "kernel_constraint" in names and not kind.__name__.endswith("Cell"):
        names.insert(names.index("kernel_constraint"), "activity_regularizer")
    if len(arguments) > len(names):
        raise TypeError(
            f"{kind.__name__}: expected at most {len(names)} positional arguments, {', '.join(names)}; got "
            f"{len(arguments)}"
        )
    given = dict(zip(names, arguments, strict=False))
    if twice := sorted(set(given) & set(keywords)):
        raise TypeError(f"{kind.__name__}: got the argument {twice[0]!r} twice")
    return given | keywords


def parameters(kind: type) -> Mapping[str, inspect.Parameter]:
    """Return the parameters of a class's constructor, also if its ``__new__`` takes anything."""
    found = inspect.signature(kind).parameters
    if any(p.kind is not p.VAR_POSITIONAL and p.kind is not p.VAR_KEYWORD for p in found.values()):
        return found
    return inspect.signature(partial(kind.__init__, None)).parameters  # type: ignore[misc]


def namespace(module: str, make: Callable[[str], Any], names) -> tuple[Callable, Callable]:
    """Return ``__getattr__`` and ``__dir__`` of a module of ``rnnkit.keras``, which make names when first asked."""
    known = frozenset(names)
    space = vars(importlib.import_module(f"rnnkit.keras.{module}"))

    def get(name):
        if name not in known:
            return left_out(module, name)
        return space.setdefault(name, make(name))

    return get, lambda: sorted({*known, *(one for one in space if not one.startswith("_"))})


def gathered(module: str, places: Mapping[str, str]) -> tuple[Callable, Callable]:
    """Return those of `namespace` for names of other modules, given as one text by module."""
    paths = {name: f"{place}:{name}" for place, names in places.items() for name in names.split()}
    return namespace(module, lambda name: _at(paths[name]), paths)


def unchanged(kind, arguments, keywords):
    """Return arguments that are the same on both sides."""
    return arguments, keywords, lambda made: None


def deserializer(get: Callable) -> Callable:
    """Return the `deserialize` of a module with this `get`."""

    def deserialize(config, custom_objects=None):
        """Return the object that `serialize` described."""
        with reading(custom_objects):
            return get(config)

    return deserialize


def same_classes(
    module: str, plain: types.ModuleType, base: str, aliases: Mapping[str, type]
) -> tuple[Callable, Callable]:
    """Return those of `namespace` for the classes of one of rnnkit's modules, with the same arguments."""

    def make(name):
        name = aliases[name].__name__ if name in aliases else name
        return named(name, f"rnnkit.keras.{module}", getattr(plain, name), unchanged)

    return namespace(module, make, [base, *plain.CLASSES, *aliases])
