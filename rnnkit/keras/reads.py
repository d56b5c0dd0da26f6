"""Reads of a model's own method besides its arguments, where its bytecode shows all of them.

A recording of such a method stays true while all of that is the same. The bytecode of the method, and of the user's
functions that it calls, may name functions of arrays, NumPy's and Keras's, numbers and texts, and attributes of layers
that are numbers, texts, weights, layers inside, or losses. What stores anything but local variables, or names anything
else, such as a list, a random generator, a metric or `print`, is refused. So a list that it changes is its own.
"""

from __future__ import annotations

import dis
from collections.abc import Iterable
from functools import lru_cache
from itertools import pairwise
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np

from rnnkit.arguments import is_own
from rnnkit.execution.array_functions import is_traceable
from rnnkit.identity import Same
from rnnkit.keras import losses, ops, settings
from rnnkit.layers.support.layer_tree import all_layers

_PLAIN = {bool, int, float, str, type(None)}
_BUILTINS = set(
    "abs all any bool dict enumerate float int isinstance len list max min range reversed round slice sorted sum super "
    "tuple zip".split()
)
_MODULES = {"numpy", "math", *(f"rnnkit.keras{one}" for one in ("", ".ops", ".losses", ".activations"))}
_METHODS = set(
    "T all any append argmax argmin argsort astype clip copy cumprod cumsum diagonal dot dtype extend flatten get item "
    "items keys max mean min ndim nonzero prod ravel repeat reshape round shape size squeeze std sum swapaxes take "
    "trace transpose values var".split()
)  # of arrays, and of lists and dicts
_INSIDE = set("cast ops losses activations nn numpy linalg pi inf newaxis".split())  # of modules; NumPy 1 has a `cast`
_READING = ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR")
_OF_MODELS = {"losses", "compute_loss", "compute_metrics", "get_metrics_result"}  # rnnkit's own
_OPERATIONS = tuple(
    "BINARY BUILD CALL COMPARE CONTAINS COPY DELETE_FAST DICT END_FOR EXTENDED FOR_ GEN_START GET_ITER IS "
    "JUMP KW_NAMES LIST LOAD_ASSERT LOAD_CLOSURE LOAD_CONST LOAD_FAST LOAD_SMALL MAKE MAP_ADD NOP NOT_TAKEN POP_ "
    "PRECALL PUSH_NULL RAISE RERAISE RESUME RETURN SET_ADD SET_FUNCTION SET_UPDATE STORE_FAST STORE_SUBSCR "
    "STORE_SLICE SWAP TO_BOOL UNARY UNPACK YIELD".split()
)


class Unknown(Exception):
    """Error of a method that may read anything."""


def facts_read(model: Any, names: Iterable[str], weights: bool = True) -> list:
    """Return, for comparison, all that methods of a model read; `Unknown` if that can't be told.

    Without `weights`, neither weights nor layers may be among it, nor the model but for its attributes.
    """
    found = _Reads(model, weights)
    for name in names:
        found.attribute(name)
    return found.facts


class _Reads:
    """Facts that functions of the user's read."""

    def __init__(self, model: Any, weights: bool):
        self.layers = all_layers(model)
        self.inside = [*self.layers, *model.variables] if weights else []
        self.facts: list[Any] = [settings.floatx(), settings.epsilon()]
        self._seen: set[FunctionType] = set()
        self._tracks = bool(getattr(model, "_loss_trackers", None))
        for kind in {kind for layer in self.layers for kind in type(layer).__mro__ if not is_own(kind)}:
            if "__getattr__" in vars(kind) or (kind is not object and "__getattribute__" in vars(kind)):
                raise Unknown(f"{kind.__name__} finds attributes itself")

    def function(self, function: FunctionType) -> None:
        """Add what a function of the user's reads."""
        self.facts.append(Same(function.__code__))
        if function in self._seen:
            return
        self._seen.add(function)
        for one in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self.value(one)
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        for operation, name in _instructions(function.__code__):
            self._refuse_tracking(name)
            if operation == "LOAD_GLOBAL":
                if name in function.__globals__:
                    self.value(function.__globals__[name])
                elif name not in _BUILTINS:
                    raise Unknown(f"{function.__qualname__} reads {name!r}")
            elif operation in ("LOAD_DEREF", "LOAD_CLASSDEREF"):
                if name in cells and name != "__class__":
                    self.value(cells[name].cell_contents)
            elif operation in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"):
                self.attribute(name)
            elif not operation.startswith(_OPERATIONS) and (operation != "STORE_DEREF" or name in cells):
                raise Unknown(f"{function.__qualname__} does {operation}")

    def attribute(self, name: str) -> None:
        """Add what an attribute of this name reads, whatever object has it."""
        known = name in _METHODS or name in _INSIDE or _is_function(name)
        for layer in self.layers:
            if name in vars(layer):
                known = True
                self.value(vars(layer)[name])
                continue
            kind = next((kind for kind in type(layer).__mro__ if name in vars(kind)), object)
            if kind is object or (is_own(kind) and is_own(type(layer))):
                continue  # what isn't one's own could only be read of the layers' attributes
            known, value = True, vars(kind)[name]
            if is_own(kind):
                if name not in _OF_MODELS:
                    raise Unknown(f"{name!r} of {layer.name!r} is read")
                self._refuse_tracking(name)
            else:
                value = value.fget if isinstance(value, property) else value
                if not self.inside and isinstance(value, FunctionType) and not _reads_attributes(value.__code__):
                    raise Unknown(f"{layer.name!r} is used as a whole")
                self.value(value)
        if not known:
            raise Unknown(f"an attribute {name!r} is read")

    def _refuse_tracking(self, name: str) -> None:
        """Refuse what calls the model's default loss, where that adds up the losses of several outputs."""
        if name == "compute_loss" and self._tracks:
            raise Unknown("the losses of several outputs are added up")

    def value(self, value: Any) -> None:
        """Add a value, and what it reads if it is a function of the user's."""
        kind = type(value)
        if kind in _PLAIN:
            self.facts.append((kind, repr(value)))
        elif kind is tuple:
            self.facts.append(len(value))
            for one in value:
                self.value(one)
        elif kind is FunctionType and not is_own(value) and not _is_of_numpy(value):
            self.function(value)
        elif isinstance(value, losses.Loss) and is_own(kind):
            self.facts.append({name: repr(one) for name, one in vars(value).items()})
        elif self._is_known(value):
            self.facts.append(Same(value))
        else:
            raise Unknown(f"{kind.__name__} {value!r} is read")

    def _is_known(self, value) -> bool:
        """Return whether a value does the same as long as it is the same, or is watched itself."""
        if isinstance(value, ModuleType):
            return value.__name__ in _MODULES
        return any(value is one for one in self.inside) or _is_of_numpy(value) or _is_operation(value)


@lru_cache(maxsize=256)
def _instructions(code: CodeType) -> list[tuple[str, Any]]:
    """Return the instructions of a function, and of the functions in it, each once, with the names that they have."""
    inside = [one for one in code.co_consts if isinstance(one, CodeType)]
    own = ((one.opname, one.argval if isinstance(one.argval, str) else "") for one in dis.get_instructions(code))
    return list(dict.fromkeys([*own, *(pair for one in inside for pair in _instructions(one))]))


def _reads_attributes(code: CodeType, own: str = "") -> bool:
    """Return whether a method reads the attributes of its first argument, and nothing else of it."""
    own = own or code.co_varnames[0]
    for one, after in pairwise(dis.get_instructions(code)):
        names = one.argval if isinstance(one.argval, tuple) else (one.argval,)
        loads = own in names and one.opname.startswith("LOAD_") and not one.opname.startswith(_READING)
        if loads and (names.count(own) > 1 or names[-1] != own or not after.opname.startswith(_READING)):
            return False
    return all(_reads_attributes(inside, own) for inside in code.co_consts if isinstance(inside, CodeType))


def _is_of_numpy(value) -> bool:
    """Return whether this is a function of arrays of NumPy, of which recordings are told."""
    name = getattr(value, "__name__", "")
    return isinstance(value, np.ufunc) or (isinstance(value, type(np.sum)) and is_traceable(name))


def _is_operation(value) -> bool:
    """Return whether this is an operation, a loss or an activation of Keras's names."""
    name = getattr(value, "__name__", "")
    return name in _NAMES and any(value is getattr(module, name, None) for module in (ops, losses))


def _is_function(name: str) -> bool:
    """Return whether the modules that may be named have a function of arrays of this name, and nothing else."""
    return (not hasattr(np, name) or _is_of_numpy(getattr(np, name))) and (hasattr(np, name) or name in _NAMES)


_NAMES = {name for name, one in vars(ops).items() if isinstance(one, FunctionType) and one.__module__ == ops.__name__}
_NAMES = {*_NAMES, *ops.MADE, *losses.MADE} - {"convert_to_numpy", "custom_gradient"}
