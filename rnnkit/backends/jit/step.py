"""A step as a jitted function: hyper-parameters fixed, helpers jitted, arrays of a cell as arguments."""

from __future__ import annotations

import functools
import operator
import sys
import types
import warnings
from collections import namedtuple
from collections.abc import Mapping
from typing import Any

import numba
import numpy as np
from numba.core import errors, ir
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import FunctionPass, register_pass
from numba.core.ir_utils import build_definitions
from numba.core.untyped_passes import InlineClosureLikes

from rnnkit.arrays import real
from rnnkit.backends.jit import arrays, replacements
from rnnkit.steps.cell import Cell
from rnnkit.steps.declared import DeclaredCell

# An index out of range is an error as in Python, and a division by zero is inf as in NumPy.
OPTIONS = {"nogil": True, "error_model": "numpy", "boundscheck": True}


class Unsupported(errors.NumbaError):
    """Something in a step that can't be compiled, at a line that is known."""


def read_only(array) -> np.ndarray:
    """Return `plain` of an array as a read-only view: one type for numba, whether its owner may write to it or not."""
    view = plain(array).view()
    view.flags.writeable = False
    return view


@functools.cache
def names_type(names: tuple[str, ...]) -> type:
    """Return a namedtuple type, one per tuple of names: numba takes two of the same name and fields for one."""
    return namedtuple("rnnkit_arrays", names)


class Live:
    """An object whose arrays are arguments of the jitted step, as a namedtuple, and all else constants of it."""

    def __init__(self, thing):
        self.thing = thing
        parts = {}
        for name, value in vars(thing).items():
            if (part := _part(value)) is not None:
                parts[name] = part
        self.parts = parts
        # namedtuple takes no leading underscore, hence a letter before every name.
        self.made = names_type(tuple(field(name) for name in parts))

    def values(self, thing) -> tuple:
        """Return the arrays of `thing`, an object like the one read at first, as the jitted step takes them."""
        return self.made(*(_values(part, getattr(thing, name)) for name, part in self.parts.items()))


def arrays_in(value):
    """Yield the arrays that a jitted step takes of a value, with those of cells and lists in it."""
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, Live):
        for name in value.parts:
            yield from arrays_in(getattr(value.thing, name))
    elif isinstance(value, Cell):
        yield from arrays_in(Live(value))
    elif type(value) in (list, tuple):
        for item in value:
            yield from arrays_in(item)


def field(name: str) -> str:
    return f"a_{name}"


def _part(value):
    """Return None for a constant, else how to read the arrays of a value."""
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return "array"
    if isinstance(value, Cell):
        return Live(value)
    if type(value) in (list, tuple):
        parts = [_part(item) for item in value]
        return parts if any(part is not None for part in parts) and None not in parts else None
    return None


def _values(part, value):
    if part == "array":
        return read_only(value)
    if isinstance(part, Live):
        return part.values(value)
    return tuple(_values(p, v) for p, v in zip(part, value, strict=True))


def plain(array, copy: bool = False) -> np.ndarray:
    """Return an array in C order, floats as float64: numba makes ``2 * h`` of a float32 array float64, and then can't
    multiply it with a float32 matrix.
    """
    array = real(array, "an array in a step")
    dtype = np.float64 if array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    return np.array(array, dtype, order="C") if copy else np.asarray(array, dtype, order="C")


# numba compiles functions of these packages itself; all others that a step reaches are jitted with it.
NOT_JITTED = {"numpy", "scipy", "numba", *sys.stdlib_module_names}
_COMPARISONS = {operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne, operator.invert}
_COMPARISONS |= {operator.and_, operator.or_, operator.xor}


def library_of(function) -> str:
    return (function.__module__ or "").partition(".")[0]


class Jit:
    """The jitted functions of one driver and all that they reach; every driver reads globals anew."""

    def __init__(self):
        self.made: dict = {}

    def function(self, function: types.FunctionType, known: Mapping[str, object] | None = None):
        """Return the function jitted, with some parameters known: a `Live` object, or a constant no longer passed."""
        known = dict(known or {})
        key = (function, tuple((name, id(value)) for name, value in known.items()))
        if key not in self.made:
            code = function.__code__
            names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
            given = dict(zip(names[: code.co_argcount][::-1], (function.__defaults__ or ())[::-1], strict=False))
            given |= function.__kwdefaults__ or {}
            given |= {name: None for name, value in known.items() if not isinstance(value, Live)}
            first = min((i for i, name in enumerate(names) if name in given), default=len(names))
            # numba binds no keyword-only parameters, so they follow the positional ones.
            code = code.replace(co_argcount=len(names), co_kwonlyargcount=0)
            defaults = tuple(self.constant(given.get(name)) for name in names[first:])
            copy = types.FunctionType(code, function.__globals__, function.__name__, defaults, function.__closure__)
            copy.__module__ = function.__module__
            self.made[key] = numba.njit(copy, pipeline_class=self._pipeline(known), **OPTIONS)
        return self.made[key]

    def constant(self, value):
        """Return a Python value as numba takes it in the place of a global."""
        if isinstance(value, numba.core.dispatcher.Dispatcher | numba.np.ufunc.dufunc.DUFunc):
            return value
        if callable(value) and (found := replacements.replacement_for(value)) is not None:
            return found
        if isinstance(value, types.FunctionType):
            return value if library_of(value) in NOT_JITTED else self.function(value)
        if isinstance(value, functools.partial) and isinstance(value.func, types.FunctionType) and not value.args:
            return self.function(value.func, value.keywords)
        if isinstance(value, np.ndarray) and value.dtype.kind == "f":
            return plain(value)
        if isinstance(value, np.floating):
            return float(value)
        if isinstance(value, np.bool_ | np.integer):
            return value.item()
        if type(value) in (list, tuple):
            return tuple(self.constant(item) for item in value)
        return value

    def _pipeline(self, known):
        """Return numba's pipeline with names, attributes and functions resolved before types are inferred."""
        jit = self

        class Pipeline(CompilerBase):
            def define_pipelines(self):
                passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
                self.state.metadata["rnnkit"] = (jit, known)
                passes.add_pass_after(Resolve, InlineClosureLikes)
                passes.finalize()
                return [passes]

        return Pipeline


@register_pass(mutates_CFG=False, analysis_only=False)
class Resolve(FunctionPass):
    """A pass that replaces values known in Python by constants and jitted functions, in numba's form of a function."""

    _name = "rnnkit_resolve"

    def __init__(self):  # abstract in the base class
        super().__init__()

    def run_pass(self, state):
        jit, known = state.metadata.pop("rnnkit", (None, None))
        if jit is None:
            return False
        _Resolver(state.func_ir, jit, known).run()
        state.func_ir._definitions = build_definitions(state.func_ir.blocks)
        return True


class _Resolver:
    """One walk over a function; `objects` holds the known values of variables."""

    def __init__(self, func_ir, jit, known):
        self.func_ir, self.jit, self.known = func_ir, jit, known
        self.objects: dict[str, object] = {}
        self.methods: dict[str, tuple] = {}

    def run(self):
        for _, block in sorted(self.func_ir.blocks.items()):
            body: list[ir.Stmt] = []
            for statement in block.body:
                if isinstance(statement, ir.SetAttr) and statement.target.name in self.objects:
                    raise Unsupported(f"the step assigns to the attribute {statement.attr!r}", statement.loc)
                if isinstance(statement, ir.SetItem):
                    statement = self.assigned(statement, body)
                if isinstance(statement, ir.Assign):
                    self.assignment(statement, body)
                if isinstance(statement, ir.Return):
                    self.returned(statement.value)
                body.append(statement)
            block.body = body

    def assignment(self, statement, body):
        value, target = statement.value, statement.target.name
        if isinstance(value, ir.Arg) and value.name in self.known:
            self.settle(statement, value.name, self.known[value.name], keep=True)
        elif isinstance(value, ir.Global | ir.FreeVar):
            self.settle(statement, value.name, value.value)
        elif isinstance(value, ir.Var) and len(self.func_ir._definitions[target]) == 1:
            tables: tuple[dict[str, Any], ...] = self.objects, self.methods
            for table in tables:
                if value.name in table:
                    table[target] = table[value.name]
        elif isinstance(value, ir.Expr):
            handler = getattr(self, value.op, None)
            if handler is not None:
                handler(statement, value, body)

    def settle(self, statement, name, found, keep=False):
        """Record a variable's known value: modules and live objects are remembered, all else is made constant."""
        target, loc = statement.target.name, statement.value.loc
        if isinstance(found, Live):
            self.objects[target] = found
        elif isinstance(found, types.ModuleType):
            self.objects[target] = found
            if keep:
                statement.value = ir.Global(name, found, loc)
        else:
            constant = self.jit.constant(found)
            if keep or constant is not found:
                statement.value = ir.FreeVar(0, name, constant, loc)

    def getattr(self, statement, value, body):
        name, base = value.attr, self.objects.get(value.value.name)
        target = statement.target.name
        if base is None:
            if name == "reshape":
                contiguous = value.value.scope.redefine("$rnnkit_contiguous", value.loc)
                call = ir.Expr.call(value.value, (value.value,), (), value.loc)
                self.redirect(call, arrays.contiguous, body)
                body.append(ir.Assign(call, contiguous, value.loc))
                value.value = contiguous
            if name in replacements.METHODS:
                self.methods[target] = (replacements.METHODS[name], value.value, False)
            return
        if isinstance(base, list):
            return
        thing = base.thing if isinstance(base, Live) else base
        try:
            found = getattr(thing, name)
        except AttributeError:
            return  # numba complains, unless the branch is one that it prunes
        if isinstance(base, Live) and name in base.parts:
            part = base.parts[name]
            if part != "array":
                self.objects[target] = part
            value.attr = field(name)
        elif isinstance(base, Live) and isinstance(found, types.MethodType) and found.__self__ is thing:
            if not hasattr(found.__func__, "__code__") or found.__func__ is DeclaredCell.call:
                raise Unsupported(f"the step calls another declared cell by {name!r}", value.loc)
            method = self.jit.function(found.__func__, {found.__func__.__code__.co_varnames[0]: base})
            self.methods[target] = (method, value.value, True)
            statement.value = ir.FreeVar(0, name, method, value.loc)
        elif isinstance(base, Live) or isinstance(found, types.ModuleType):
            self.settle(statement, name, found, keep=isinstance(base, Live))
        else:
            constant = self.jit.constant(found)
            if constant is not found:
                statement.value = ir.FreeVar(0, name, constant, value.loc)

    def call(self, statement, value, body):
        if value.func.name in self.methods:
            function, first, always = self.methods[value.func.name]
            if always or value.args or value.kws:
                self.redirect(value, function, body)
                value.args = (first, *value.args)
        elif self.constant_of(value.func) in replacements.OF_SEVERAL and value.args:
            self.as_tuple(value.args[0])

    def getitem(self, statement, value, body):
        parts, index = self.objects.get(value.value.name), self.only_definition(value.index)
        if isinstance(parts, list) and isinstance(index, ir.Const) and isinstance(index.value, int):
            if parts[index.value] != "array":
                self.objects[statement.target.name] = parts[index.value]
            return
        if self.is_comparison(value.index):
            call = ir.Expr.call(value.value, (value.value, value.index), (), value.loc)
            self.redirect(call, arrays.where_get, body)
            statement.value = call

    def assigned(self, statement, body):
        target, loc = statement.target, statement.loc
        call = ir.Expr.call(target, (target, statement.index, statement.value), (), loc)
        self.redirect(call, arrays.assign, body)
        return ir.Assign(call, target.scope.redefine("$rnnkit_nothing", loc), loc)

    def is_comparison(self, variable):
        definition = self.only_definition(variable)
        while isinstance(definition, ir.Var):
            definition = self.only_definition(definition)
        operation = isinstance(definition, ir.Expr) and definition.op in ("binop", "unary")
        return operation and definition.fn in _COMPARISONS

    def inplace_binop(self, statement, value, body):
        self.binop(statement, value, body)

    def binop(self, statement, value, body):
        if value.fn in (operator.matmul, operator.imatmul):
            call = ir.Expr.call(value.lhs, (value.lhs, value.rhs), (), value.loc)
            self.redirect(call, arrays.matmul, body)
            statement.value = call

    def redirect(self, call, function, body):
        """Let a call call `function`, by a variable of its own before it."""
        variable = call.func.scope.redefine("$rnnkit_function", call.loc)
        value = ir.FreeVar(0, getattr(function, "__name__", "function"), function, call.loc)
        body.append(ir.Assign(value, variable, call.loc))
        call.func = variable

    def constant_of(self, variable):
        """Return the global or attribute of a module that a variable holds, else None."""
        definition = self.only_definition(variable)
        if isinstance(definition, ir.Global | ir.FreeVar):
            return definition.value if callable(definition.value) else None
        if isinstance(definition, ir.Expr) and definition.op == "getattr":
            module = self.objects.get(definition.value.name)
            if isinstance(module, types.ModuleType):
                found = getattr(module, definition.attr, None)
                return found if callable(found) else None
        return None

    def returned(self, variable):
        definition = self.only_definition(variable)
        while isinstance(definition, ir.Var) or (isinstance(definition, ir.Expr) and definition.op == "cast"):
            definition = self.only_definition(definition if isinstance(definition, ir.Var) else definition.value)
        if isinstance(definition, ir.Expr) and definition.op == "build_tuple":
            for item in definition.items:
                self.as_tuple(item)

    def only_definition(self, variable):
        definitions = self.func_ir._definitions[variable.name] if isinstance(variable, ir.Var) else []
        return definitions[0] if len(definitions) == 1 else None

    def as_tuple(self, variable):
        """Turn a list display into a tuple, whose entries may differ in type."""
        definition = self.only_definition(variable)
        if isinstance(definition, ir.Expr) and definition.op == "build_list" and variable.name.startswith("$"):
            definition.op = "build_tuple"


def quietly(function):
    """Run a function that may compile, without numba's warnings on performance, which tell a user nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", errors.NumbaWarning)
        return function()
