"""The syntax trees of functions, and facts about a tree."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
import linecache
import textwrap
import tokenize


def source_of(function):
    """Return the syntax tree of a function, or None without a source."""
    return tree_of(function.__code__)


@functools.lru_cache(1024)
def tree_of(code):
    """Return the syntax tree of a function's code, or None without a source."""
    linecache.checkcache(code.co_filename)
    first = code.co_firstlineno - 1
    try:
        lines = inspect.getblock(linecache.getlines(code.co_filename)[first:])  # getsource asks all modules first
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (SyntaxError, tokenize.TokenError):
        return None
    ast.increment_lineno(tree, first)
    kind = ast.Lambda if code.co_name == "<lambda>" else ast.FunctionDef
    found = [node for node in ast.walk(tree) if isinstance(node, kind)]
    if kind is ast.Lambda:
        return found[0] if len(found) == 1 else None
    return found[0] if found and getattr(found[0], "name", "") == code.co_name else None


def lookup_of(function):
    """Return the function that looks up names that aren't the function's own."""
    cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))

    def lookup(name):
        if name in cells:
            return cells[name].cell_contents
        if name in function.__globals__:
            return function.__globals__[name]
        if hasattr(builtins, name):
            return getattr(builtins, name)
        raise NameError(f"name {name!r} is not defined")

    return lookup


class Inner:
    """A function that a step defines; called, it is read as the step is."""

    def __init__(self, reader, node, frame, defaults, named):
        self.reader, self.node, self.frame, self.file = reader, node, frame, frame.file
        a, kinds = node.args, inspect.Parameter
        plain = [(p, kinds.POSITIONAL_ONLY) for p in a.posonlyargs] + [(p, kinds.POSITIONAL_OR_KEYWORD) for p in a.args]
        values = [kinds.empty] * (len(plain) - len(defaults)) + defaults
        parameters = [kinds(p.arg, kind, default=value) for (p, kind), value in zip(plain, values, strict=True)]
        parameters += [kinds(a.vararg.arg, kinds.VAR_POSITIONAL)] if a.vararg else []
        parameters += [kinds(p.arg, kinds.KEYWORD_ONLY, default=named.get(p.arg, kinds.empty)) for p in a.kwonlyargs]
        parameters += [kinds(a.kwarg.arg, kinds.VAR_KEYWORD)] if a.kwarg else []
        self.signature = inspect.Signature(parameters)

    def __call__(self, *args, **keywords):
        return self.reader.call(self, args, keywords)

    def lookup(self, name):
        """Return the value of a name that isn't the function's own."""
        return self.frame.names[name] if name in self.frame.names else self.frame.outer(name)


def changed_by(loop) -> tuple[set[str], set[str]]:
    """Return the names that a loop assigns, and those of arrays that it writes into."""
    given, written, inner = set(), set(), set()
    for one in ast.walk(loop):
        if isinstance(one, (ast.FunctionDef, ast.Lambda)):
            inner |= set(ast.walk(one)) - {one}
        if isinstance(one, ast.comprehension):
            inner |= set(ast.walk(one.target))
    for one in ast.walk(loop):
        if one in inner:
            continue
        target: ast.AST | None = one.target if isinstance(one, ast.AugAssign) else None
        if isinstance(one, ast.Subscript) and isinstance(one.ctx, ast.Store):
            target = one
        while isinstance(target, ast.Subscript):
            target = target.value
        if isinstance(target, ast.Name):
            written.add(target.id)
            inner.add(target)
        if isinstance(one, ast.Name) and isinstance(one.ctx, ast.Store) and one not in inner:
            given.add(one.id)
        if isinstance(one, ast.FunctionDef):
            given.add(one.name)
    return given, written


def read_outside(function, loop) -> set[str]:
    """Return the names that a function reads outside of a loop."""
    inside = set(ast.walk(loop)) - {n for statement in loop.orelse for n in ast.walk(statement)}
    names = (n for n in ast.walk(function) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load))
    return {n.id for n in names if n not in inside}


def may_be_left(statements) -> bool:
    """Tell whether a loop with this body may be left from inside."""
    for statement in statements:
        if isinstance(statement, (ast.Break, ast.Return)):
            return True
        if isinstance(statement, (ast.For, ast.While)):
            if any(isinstance(n, ast.Return) for n in ast.walk(statement)) or may_be_left(statement.orelse):
                return True
        elif isinstance(statement, ast.If) and (may_be_left(statement.body) or may_be_left(statement.orelse)):
            return True
    return False
