"""Functions of the language: their syntax trees, and the meanings of the names in them."""

from __future__ import annotations

import ast
import builtins
import linecache
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

from rnnkit.backends.shared.once import once


class Function:
    """A function as text that is to be translated; it can't be called from Python.

    `known` has the values of the names that are no variables, `lines` the text that it stands in, for messages, and
    `decorator` is the name of its decorator, "compiled", "looping", "deciding" or "directing".
    """

    def __init__(self, definition: ast.FunctionDef, known: Mapping[str, Any], lines: list[str], decorator: str):
        self.definition, self.known, self.lines, self.decorator = definition, known, lines, decorator
        self.__name__ = definition.name

    def __call__(self, *arguments) -> Any:
        """Raise a TypeError: functions of programs have no meaning in Python."""
        raise TypeError(f"{self.__name__} can only be called in a program")

    def look_up(self, name: str) -> Any:
        """Return Python's value of a name that is no variable of the function."""
        try:
            return self.known[name]
        except KeyError:
            return getattr(builtins, name)

    @once
    def gives(self) -> bool:
        return any(isinstance(one, ast.Return) and one.value is not None for one in _statements(self.definition.body))

    @once
    def changed(self) -> set[str]:
        """Return the variables that are assigned more than once."""
        times = Counter(argument.arg for argument in self.definition.args.args)
        for statement in _statements(self.definition.body):
            times.update(_targets(statement))
        return {name for name, count in times.items() if count > 1}


def assigned_by(definition: ast.FunctionDef) -> dict[ast.stmt, set[str]]:
    """Return the variables that each loop of a function assigns, found once for each tree, which threads may share."""
    found = getattr(definition, "assigned", None)
    if found is None:
        found = {}
        _assigned(definition.body, found)
        definition.assigned = found  # type: ignore[attr-defined]
    return found


class Kernel(Function):
    """A function that stands in a module of Python."""

    def __init__(self, py_func, decorator: str):
        self.py_func, self.decorator = py_func, decorator
        self.__name__, self.__doc__, self.__module__ = py_func.__name__, py_func.__doc__, py_func.__module__

    @property
    def definition(self) -> ast.FunctionDef:  # type: ignore[override]  # parsed at the first use
        code = self.py_func.__code__
        return _definitions(code.co_filename, "".join(self.lines))[code.co_firstlineno]

    @property
    def lines(self) -> list[str]:  # type: ignore[override]
        return linecache.getlines(self.py_func.__code__.co_filename)

    @once
    def known(self) -> Mapping[str, Any]:  # an enclosing function's variables have values then
        cells = zip(self.py_func.__code__.co_freevars, self.py_func.__closure__ or (), strict=True)
        return self.py_func.__globals__ | {name: cell.cell_contents for name, cell in cells}


def compiled(py_func) -> Kernel:
    """Decorator: the function is one that programs call; its arguments are int64 or SIMD values."""
    return Kernel(py_func, "compiled")


def looping(py_func) -> Kernel:
    """Decorator: as `compiled`, for a function whose loops read the same memory several times in a round."""
    return Kernel(py_func, "looping")


def deciding(py_func) -> Kernel:
    """Decorator: as `looping`, for a function of one row, which jumps by its decisions."""
    return Kernel(py_func, "deciding")


def directing(py_func) -> Kernel:
    """Decorator: as `compiled`, for a function that mostly calls others: its code is made soon, and not optimised."""
    return Kernel(py_func, "directing")


def read(text: str) -> Function:
    """Return the function ``run`` of a module in the language; Python executes all but the decorated functions."""
    tree, lines = ast.parse(text), text.splitlines()
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.decorator_list]
    rest = [node for node in tree.body if node not in functions]
    known: dict[str, Any] = {}
    exec(compile(ast.Module(rest, []), "<program>", "exec"), known)
    for node in functions:
        (decorator,) = node.decorator_list
        known[node.name] = Function(node, known, lines, getattr(decorator, "id", "compiled"))
    return known["run"]


@lru_cache(8)  # kernels stand in few files
def _definitions(filename, text) -> dict[int, ast.FunctionDef]:
    """Return all functions of a file by the line in which they begin, decorators included."""
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    return {min([node.lineno, *(one.lineno for one in node.decorator_list)]): node for node in functions}


def _statements(body) -> Iterator[ast.stmt]:
    for statement in body:
        yield statement
        yield from _statements(getattr(statement, "body", ()))
        yield from _statements(getattr(statement, "orelse", ()))


def _targets(statement) -> list[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
    names = [name for target in targets for name in getattr(target, "elts", [target])]
    return [name.id for name in names if isinstance(name, ast.Name)]


def _assigned(statements, found) -> set[str]:
    """Return the variables that statements assign; those of each loop among them are noted in `found`."""
    names: set[str] = set()
    for statement in statements:
        names.update(_targets(statement))
        if isinstance(statement, (ast.If, ast.While, ast.For)):
            inner = _assigned(statement.body, found) | _assigned(statement.orelse, found) | set(_targets(statement))
            names |= inner
            if not isinstance(statement, ast.If):
                found[statement] = inner
    return names
