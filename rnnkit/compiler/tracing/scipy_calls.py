"""SciPy's functions in a step of all rows: they don't ask their arguments what to do, as NumPy's do.

A step that calls some is run once more, with calls that are looked at: its function, and those of the user's that it
calls, are compiled again with ``f(x)`` as ``call(f, x)``. All else runs as it stands.
"""

from __future__ import annotations

import ast
import copy
import types
from typing import Any

from rnnkit.compiler.tracing.control_flow import is_of_symbols, is_users
from rnnkit.compiler.tracing.python_functions import called_with_symbols
from rnnkit.compiler.tracing.source import source_of
from rnnkit.compiler.tracing.symbol import RULES

_CALL = "call of rnnkit"  # which no name of the user's is


class LookedAt:
    """Maker of functions whose calls are looked at; their codes are added to `codes`."""

    def __init__(self, codes: set):
        self.codes = codes
        self._made: dict[Any, types.FunctionType] = {}

    def __call__(self, function, *_) -> Any:
        """Return a function with its calls looked at; as it is, where there is no source."""
        if isinstance(function, types.MethodType):
            return types.MethodType(self(function.__func__), function.__self__)
        if not isinstance(function, types.FunctionType) or not is_users(function):
            return function
        if function not in self._made:
            self._made[function] = self._compiled(function)
        return self._made[function]

    def call(self, function, /, *args, **keywords):
        """Return the result of a call in such a function."""
        if is_of_symbols(args, keywords):
            if (getattr(function, "__module__", None) or "").startswith("scipy.linalg"):
                return RULES["function"](function, args, keywords)
            if (found := called_with_symbols(function, args, keywords)) is not NotImplemented:
                return found
        return self(function)(*args, **keywords)

    def _compiled(self, function):
        node, code = copy.deepcopy(source_of(function)), function.__code__
        if node is None or "__class__" in code.co_freevars:
            return function
        node.args.defaults, node.args.kw_defaults = [], [None] * len(node.args.kwonlyargs)  # the function has them
        if isinstance(node, ast.FunctionDef):
            node.decorator_list = []
        node = ast.fix_missing_locations(_Calls().visit(node))
        lines = ast.Expression(node) if isinstance(node, ast.Lambda) else ast.Module([node], [])
        outer = compile(lines, code.co_filename, "eval" if isinstance(node, ast.Lambda) else "exec")
        (made,) = (one for one in outer.co_consts if isinstance(one, types.CodeType) and one.co_name == code.co_name)
        self.codes.add(made)
        cells = zip(code.co_freevars, function.__closure__ or (), strict=True)
        names = function.__globals__ | {name: cell.cell_contents for name, cell in cells} | {_CALL: self.call}
        found = types.FunctionType(made, names, function.__name__, function.__defaults__)
        found.__kwdefaults__ = function.__kwdefaults__
        return found


class _Calls(ast.NodeTransformer):
    def visit_Call(self, node):
        self.generic_visit(node)
        call = ast.Call(ast.Name(_CALL, ast.Load()), [node.func, *node.args], node.keywords)
        return ast.copy_location(call, node)
