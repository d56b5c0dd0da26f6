"""Lookup of names in configurations: rnnkit's own, the caller's `custom_objects`, and registered ones.

A configuration is shared data, so reading it imports nothing that it names: a name is that of a known object, or an
error.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, fields, is_dataclass
from operator import attrgetter
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, TypeVar

Registered = TypeVar("Registered", bound=Callable[..., Any])

_registered: dict[str, Any] = {}  # by "package>name"
_names: dict[int, str] = {}  # the inverse, by id, as registered objects are never collected

# Modules with public names; other paths of rnnkit are looked up in the package itself, so that
# configurations stay valid when a class moves.
_PUBLIC = (
    "rnnkit",
    *(f"rnnkit.{name}" for name in ("losses", "metrics", "optimizers", "regularizers", "constraints", "initializers")),
    "rnnkit.optimizers.schedules",
    "rnnkit.keras.losses",
)
# Modules whose functions only compute on arrays.
_FUNCTIONS = ("rnnkit.activations", "rnnkit.custom_gradients", "rnnkit.losses", "rnnkit.metrics")


class _Scope(NamedTuple):
    """Settings of the lookup while a configuration is read."""

    custom_objects: Mapping[str, Any]
    own: bool  # whether this process made the configuration, for a copy


_scope: ContextVar[_Scope | None] = ContextVar("rnnkit configuration", default=None)


class Configurable:
    """Base of classes with a configuration: cells, layers, losses, optimizers and the like.

    Configurations can name a derived class by its import path once it is defined.
    """

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "from_config" in vars(cls):
            cls.from_config = classmethod(_reading_by(vars(cls)["from_config"].__func__))  # type: ignore[assignment]

    if TYPE_CHECKING:  # overrides need not declare custom_objects
        from_config: ClassVar[Callable[..., Any]]
    else:

        @classmethod
        def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
            """Return a new object from a result of `get_config`.

            Parameters
            ----------
            config : dict
            custom_objects : dict of str to object, optional
                Functions and classes in the configuration that are neither rnnkit's own nor registered, by
                name or by the whole path.

            Raises
            ------
            ValueError
                If the configuration has other names, for which nothing is imported.
            """
            with reading(custom_objects):
                return cls(**_as_mapping(config, cls))


class Settings(Configurable):
    """Base of small immutable objects: frozen dataclasses, whose fields are their configuration."""

    __slots__ = ()
    _checks: ClassVar[Mapping[str, Callable]] = {}  # of fields, by name or annotation: ``(value, name) -> value``

    def __post_init__(self) -> None:
        for one in fields(self):  # type: ignore[arg-type]
            if check := self._checks.get(one.name, self._checks.get(str(one.type))):
                object.__setattr__(self, one.name, check(getattr(self, one.name), one.name))

    def get_config(self) -> dict[str, Any]:
        """Return the fields of a dataclass as JSON values; another one of your own with arguments overrides it."""
        return asdict(self) if is_dataclass(self) else {}


def _reading_by(function):
    """Return ``from_config(cls, config)`` with `custom_objects`, run inside `reading`."""
    signature = inspect.signature(function)
    takes = "custom_objects" in signature.parameters

    @functools.wraps(function)
    def from_config(cls, config, custom_objects=None):
        with reading(custom_objects):
            more = {"custom_objects": custom_objects} if takes else {}
            try:
                return function(cls, _as_mapping(config, cls), **more)
            except KeyError as error:
                if error.args and error.args[0] not in config:
                    raise ValueError(f"expected a configuration of {cls.__name__} with {error.args[0]!r}") from error
                raise

    if not takes:
        own = inspect.Parameter("custom_objects", inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None)
        shown = signature.replace(parameters=[*signature.parameters.values(), own])
        setattr(from_config, "__signature__", shown)  # noqa: B010
    return from_config


def _as_mapping(config, cls) -> Mapping[str, Any]:
    if not isinstance(config, Mapping) or not all(isinstance(key, str) for key in config):
        raise TypeError(f"expected a configuration of {cls.__name__} as a dict by argument, got {config!r}")
    return config


@contextmanager
def reading(custom_objects: Mapping[str, Any] | None = None, own: bool = False) -> Iterator[None]:
    """Look up names in arguments as those of a configuration, inside the ``with`` block.

    `custom_objects` are additional objects, a dict by name, or else there is a TypeError; nested blocks add theirs.
    `own` says that the program itself wrote the configuration, so that all its names can be trusted.
    """
    if custom_objects is not None and (
        not isinstance(custom_objects, Mapping)
        or not all(isinstance(name, str) for name in custom_objects)
        or any(isinstance(value, str) for value in custom_objects.values())  # names would be looked up again
    ):
        raise TypeError(f"expected custom_objects as a dict from name to function or class, got {custom_objects!r}")
    outer = _scope.get() or _Scope({}, False)
    token = _scope.set(_Scope({**outer.custom_objects, **(custom_objects or {})}, outer.own or own))
    try:
        yield
    finally:
        _scope.reset(token)


def register(package: str, name: str | None = None) -> Callable[[Registered], Registered]:
    """Let configurations name a function or a class, as a decorator.

    Parameters
    ----------
    package : str
        A prefix that distinguishes the name from other packages' equal ones.
    name : str, optional
        By default the function's or class's own.

    Returns
    -------
    A decorator that returns its argument. A name that is registered again stands for the newer object.

    Raises
    ------
    ValueError
        For an empty name, or one with ``>`` in it.
    TypeError
        For anything but a function or a class.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> @rk.register("my_package")
    ... def sine(x):
    ...     return np.sin(x)
    >>> config = rk.LSTM(2, activation=sine).get_config()
    >>> config["activation"]
    'my_package>sine'
    >>> rk.LSTM.from_config(config).cell.activation is sine
    True
    """
    for one in (package, *(() if name is None else (name,))):
        if not isinstance(one, str) or not one or ">" in one:
            raise ValueError(f"expected a name without '>' for rk.register, such as 'my_package', got {one!r}")

    def registering(thing: Registered) -> Registered:
        if not callable(thing):
            raise TypeError(f"expected a function or a class under rk.register, got {thing!r}")
        own = name or getattr(thing, "__name__", None)
        if own is None:
            raise TypeError(f"expected a name for {thing!r}, as in rk.register({package!r}, 'name')")
        path = f"{package}>{own}"
        if path in _registered:
            _names.pop(id(_registered[path]), None)
        _registered[path], _names[id(thing)] = thing, path
        return thing

    return registering


def registered_name(thing) -> str | None:
    """Return the name given to `register`, or None."""
    return _names.get(id(thing))


def name_of(thing) -> str:
    """Return a function's or class's name in a configuration: registered, or an import path; else a ValueError."""
    known = public_path(thing)
    return registered_name(thing) or (path_of(thing) if known is None else ":".join(known))


def public_path(thing) -> tuple[str, str] | None:
    """Return the public module and the name of an object of rnnkit; None for others."""
    module, name = str(getattr(thing, "__module__", "")), getattr(thing, "__qualname__", "")
    if module.partition(".")[0] != "rnnkit":
        return None
    places = ("rnnkit", module, module.rpartition(".")[0])
    return next(((place, name) for place in places if _own(place, name) is thing), None)


def is_elsewhere(name: str) -> bool:
    """Return whether a string that may be a built-in name is another name."""
    scope = _scope.get()
    return ":" in name or ">" in name or (scope is not None and name in scope.custom_objects)


def find(path: str) -> Any:
    """Return the object of a name that isn't built in, or of an import path in code; a ValueError if unknown."""
    scope = _scope.get()
    if not isinstance(path, str):
        raise ValueError(f"expected the name of a function or a class in a configuration, got {path!r}")
    if scope is None and ":" in path:
        return from_path(path)
    module, _, name = path.partition(":") if ":" in path else ("", "", path)
    last = name.rpartition("." if module else ">")[2]
    handed_in = {} if scope is None else scope.custom_objects
    for key in (path, name, last):
        if key in handed_in:
            return handed_in[key]
    if path in _registered:
        return _registered[path]
    found = _own(module, name) if module.partition(".")[0] == "rnnkit" else _defined(module, name)
    if found is None and scope is not None and scope.own and module:
        found = from_path(path)
    if found is None:
        raise ValueError(
            f"expected a configuration that names what is known here; {path!r} is not rnnkit's own, not registered and "
            f"not handed in, and is not imported: pass custom_objects={{{last!r}: …}}, or put "
            "@rk.register('my_package') above its definition"
        )
    return found


def class_of(path: str) -> type:
    """Return the class of a name in a configuration; a ValueError if it is unknown or no class."""
    with reading():
        found = find(path)
    if not isinstance(found, type):
        raise ValueError(f"expected the name of a class in a configuration; {path!r} is {found!r}")
    return found


def _own(module, name):
    """Return a class with a configuration or a function of arrays of rnnkit, by its public or a former module."""
    place = importlib.import_module(module if module in _PUBLIC else "rnnkit")
    if name.startswith("_") or "." in name:
        return None
    found = getattr(place, name, None)
    if isinstance(found, type):
        return found if issubclass(found, Configurable) else None
    return found if callable(found) and str(getattr(found, "__module__", None)).startswith(_FUNCTIONS) else None


def _defined(module, name):
    """Return a class derived from one of rnnkit's, at the top level of a module that is already imported."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        space = getattr(found, "__dict__", None)  # getattr of the name might import
        found = None if space is None else space.get(part)
    return found if isinstance(found, type) and issubclass(found, Configurable) else None


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
