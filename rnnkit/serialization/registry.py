"""What a configuration may name: rnnkit's own, what the caller hands in, what was registered in this process.

A configuration is data, which people share. So reading one imports nothing that it names: a name stands for an object
that is known already, or it is an error.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, TypeVar

from rnnkit.serialization import import_paths

Registered = TypeVar("Registered", bound=Callable[..., Any])

_registered: dict[str, Any] = {}  # by "package>name"
_names: dict[int, str] = {}  # the same the other way, by id: what is registered is never collected

# Modules whose names are public; whatever else of rnnkit a path names is looked up in the package itself, so that
# configurations outlive the place where a class stands.
_PUBLIC = (
    "rnnkit",
    *(f"rnnkit.{name}" for name in ("losses", "metrics", "optimizers", "regularizers", "constraints", "initializers")),
    "rnnkit.optimizers.schedules",
    "rnnkit.onnx.loading.cells",
    "rnnkit.onnx.loading.layers",
    "rnnkit.onnx.loading.time_layers",
)
_FUNCTIONS = (
    "rnnkit.activations",
    "rnnkit.custom_gradients",
    "rnnkit.losses",
    "rnnkit.metrics",
)  # whose functions take arrays and do nothing else


class _Scope(NamedTuple):
    """How names are looked up while a configuration is read."""

    custom_objects: Mapping[str, Any]
    own: bool  # the configuration was made in this process a moment ago, for a copy


_scope: ContextVar[_Scope | None] = ContextVar("rnnkit configuration", default=None)


class Configurable:
    """Base of what has a configuration: cells, layers, losses, optimizers and their like.

    A class that derives from it is known to configurations by its import path once it is defined.
    """

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "from_config" in vars(cls):
            cls.from_config = classmethod(_reading_by(vars(cls)["from_config"].__func__))  # type: ignore[assignment]

    if TYPE_CHECKING:  # one's own override need not take custom_objects, which it is given all the same
        from_config: ClassVar[Callable[..., Any]]
    else:

        @classmethod
        def from_config(cls, config: dict[str, Any], custom_objects: Mapping[str, Any] | None = None) -> Self:
            """Return a new object from what `get_config` gave.

            Parameters
            ----------
            config : dict
            custom_objects : dict of str to object, optional
                Functions and classes that the configuration names and that are neither rnnkit's own nor registered, by
                name or by the whole path.

            Raises
            ------
            ValueError
                If the configuration names anything else. Nothing is imported to look for it.
            """
            with reading(custom_objects):
                return cls(**_as_mapping(config, cls))


def _reading_by(function):
    """A ``from_config(cls, config)`` with `custom_objects`, inside which names are those of a configuration."""
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
    """While it lasts, names that arguments hold are those of a configuration.

    Parameters
    ----------
    custom_objects : dict of str to object, optional
        What it may name besides; a reading inside another one adds its own.
    own : bool
        Whether the program wrote the configuration itself, so that it names only what the program has put there.

    Raises
    ------
    TypeError
        If `custom_objects` is no dict by name.
    """
    if custom_objects is not None and (
        not isinstance(custom_objects, Mapping)
        or not all(isinstance(name, str) for name in custom_objects)
        or any(isinstance(value, str) for value in custom_objects.values())  # a name would be looked up once more
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
        What tells this name from others' equal ones.
    name : str, optional
        None takes the function's or class's own.

    Returns
    -------
    A decorator that returns what it is given. A name that is registered again stands for the newer object.

    Raises
    ------
    ValueError
        For an empty name, or one with ``>`` in it.
    TypeError
        For what is neither a function nor a class.

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
    """The name that `register` gave, None for none."""
    return _names.get(id(thing))


def name_of(thing) -> str:
    """What a configuration calls a function or a class: its registered name, or its import path.

    Raises
    ------
    ValueError
        If it has neither.
    """
    known = public_path(thing)
    return registered_name(thing) or (import_paths.path_of(thing) if known is None else ":".join(known))


def public_path(thing) -> tuple[str, str] | None:
    """The public module and the name of something of rnnkit's own; None for what is not, or not public."""
    module, name = str(getattr(thing, "__module__", "")), getattr(thing, "__qualname__", "")
    if module.partition(".")[0] != "rnnkit":
        return None
    places = ("rnnkit", module, module.rpartition(".")[0])
    return next(((place, name) for place in places if _own(place, name) is thing), None)


def is_elsewhere(name: str) -> bool:
    """Whether a string, where built-in names are allowed, names something else."""
    scope = _scope.get()
    return ":" in name or ">" in name or (scope is not None and name in scope.custom_objects)


def find(path: str) -> Any:
    """What a name stands for that is no built-in one; a programmer's may be an import path.

    Raises
    ------
    ValueError
        If nothing is known by this name.
    """
    scope = _scope.get()
    if not isinstance(path, str):
        raise ValueError(f"expected the name of a function or a class in a configuration, got {path!r}")
    if scope is None and ":" in path:
        return import_paths.from_path(path)
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
        found = import_paths.from_path(path)
    if found is None:
        raise ValueError(
            f"expected a configuration that names what is known here; {path!r} is not rnnkit's own, not registered and "
            f"not handed in, and is not imported: pass custom_objects={{{last!r}: …}}, or put "
            "@rk.register('my_package') above its definition"
        )
    return found


def class_of(path: str) -> type:
    """The class that a name stands for in a configuration, wherever it is read.

    Raises
    ------
    ValueError
        If nothing is known by this name, or what is known is no class.
    """
    with reading():
        found = find(path)
    if not isinstance(found, type):
        raise ValueError(f"expected the name of a class in a configuration; {path!r} is {found!r}")
    return found


def _own(module, name):
    """Of rnnkit: a class with a configuration, or a function of arrays; by its public module or where it once stood."""
    place = importlib.import_module(module if module in _PUBLIC else "rnnkit")
    if name.startswith("_") or "." in name:
        return None
    found = getattr(place, name, None)
    if isinstance(found, type):
        return found if issubclass(found, Configurable) else None
    return found if callable(found) and str(getattr(found, "__module__", None)).startswith(_FUNCTIONS) else None


def _defined(module, name):
    """A class that the program derived from one of rnnkit's, at the top of a module that it has imported already."""
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        space = getattr(found, "__dict__", None)  # not getattr of the name, which might import
        found = None if space is None else space.get(part)
    return found if isinstance(found, type) and issubclass(found, Configurable) else None
