"""Which way imports point, and what importing rnnkit may not do."""

import ast
import json
import pathlib
import re
import sys
from collections import defaultdict
from functools import cache
from itertools import groupby, pairwise

import numpy as np
import processes
import pytest

import rnnkit as rk

ROOT = pathlib.Path(__file__).parents[2]
PACKAGE = ROOT / "rnnkit"
OUTWARD = {"rnnkit", "rnnkit.__main__"}  # the public names and the command stand on everything


def table():
    """Room to the rooms that it may import: the table of docs/design.md under "The rule of imports"."""
    page = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    section = page[page.index("## The rule of imports") :].split("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \|([^|]*)\|$", section, re.MULTILINE)
    names = lambda cell: re.findall(r"`([\w.]+)`", cell)
    return {room: set(names(allowed)) | {room} for left, allowed in rows for room in names(left)}


ALLOWED = table()
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def room(module):
    """The row of the table that a module belongs to: the longest that its path begins with, or that of the root."""
    inside = module.removeprefix("rnnkit").lstrip(".")
    if not inside:
        return "rnnkit"
    rows = [name for name in ALLOWED if inside == name or inside.startswith(f"{name}.")]
    return max(rows, key=len) if rows else "root" if "." not in inside else inside


def statements(node, types):
    """All statements inside one, those that only a type checker reads if `types`; expressions are not gone through."""
    for inner in ast.iter_child_nodes(node):
        test = inner.test if isinstance(inner, ast.If) else None
        if isinstance(test, ast.Name) and test.id == "TYPE_CHECKING" and not types:
            continue
        if isinstance(inner, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield inner
            yield from statements(inner, types)


def imported(module, types):
    """The modules of rnnkit that one imports, wherever in the file; with `types` also what a type checker reads."""
    path, found = MODULES[module], set()
    for node in statements(ast.parse(path.read_text(encoding="utf-8")), types):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import; write the whole path"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            while name and name not in MODULES:
                name = name.rpartition(".")[0]
            found |= {name} & MODULES.keys()
    return found - {module}


@cache
def imports(types=False):
    """What each module imports; read by the tests that ask for it, not by each process that collects them."""
    return {module: imported(module, types) for module in MODULES if module not in OUTWARD}


def test_imports_point_one_way():
    for module, names in imports().items():
        here = room(module)
        assert here in ALLOWED, f"the room {here!r} is new: say in docs/design.md what it may import"
        beyond = {name: room(name) for name in names if room(name) not in ALLOWED[here]}
        assert not beyond, f"{module} may not import these"


def test_every_rule_is_about_something():
    assert set(ALLOWED) == {room(module) for module in imports()}
    used = defaultdict(set)
    for module, names in imports().items():
        used[room(module)] |= {room(name) for name in names} | {room(module)}
    unused = {here: allowed - used[here] for here, allowed in ALLOWED.items() if allowed - used[here]}
    assert not unused, "the table allows what nobody needs"


def circles(edges):
    """Groups of nodes that lead to each other (Tarjan 1972)."""
    number, low, stack, found = {}, {}, [], []

    def visit(node):
        number[node] = low[node] = len(number)
        stack.append(node)
        for other in edges.get(node, ()):
            if other not in number:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], number[other])
        if low[node] == number[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(group)

    for node in edges:
        if node not in number:
            visit(node)
    return found


def test_circles_are_found():
    assert circles({1: {2}, 2: {3}, 3: {1, 4}, 4: set()}) == [[1, 2, 3]]
    assert not circles({1: {2, 3}, 2: {3}, 3: set()})


def test_no_circle_of_files():
    assert circles(imports()) == []


def test_types_make_two_circles():
    known = {"rnnkit.layers.base", "rnnkit.backends.cuda.codegen.section"}
    assert [known & set(one) for one in circles(imports(types=True)) if len(known & set(one)) != 1] == []


# What makes recordings, or derives from what makes them; other code is NumPy, kernels, and `opaque` functions.
KNOW_OF_RECORDINGS = """
    layers.stream layers.support.assignments layers.support.entry layers.support.runner layers.support.tape
    layers.support.vjp_runner optimizers.in_place training.updates
""".split()


def test_few_files_know_of_recordings():
    recorder = {"rnnkit.layers.support.recording", "rnnkit.layers.support.runner", "rnnkit.layers.support.vjp_runner"}
    found = {module.removeprefix("rnnkit.") for module, names in imports().items() if names & recorder}
    assert found == set(KNOW_OF_RECORDINGS), "leave it to NumPy's functions, like= and opaque, or to what knows already"


def test_no_circle_of_rooms():
    edges = {here: allowed - {here} for here, allowed in ALLOWED.items()}
    assert circles(edges) == []


def run(code: str, **environment: str) -> str:
    """Run code in a new Python and give what it printed."""
    return processes.run([sys.executable, "-c", code], check=True).stdout


def test_importing_is_light():
    """No optional extra, none of scipy's heavy parts, nothing compiled, nothing written."""
    code = """
import json, sys, threading
import rnnkit
from numba.core.dispatcher import Dispatcher
import gc
compiled = [d.py_func.__qualname__ for d in gc.get_objects() if isinstance(d, Dispatcher)
            and d.py_func.__module__.startswith("rnnkit") and d.signatures]
print(json.dumps({"modules": sorted(sys.modules), "compiled": compiled, "threads": threading.active_count()}))
"""
    found = json.loads(run(code))
    heavy = (
        "scipy.special",
        "scipy.linalg",
        "scipy.sparse",
        "scipy.signal",
        "matplotlib",
        "pandas",
        "tqdm",
        "asyncio",
        "numba.cuda",
    )
    loaded = [name for name in (*heavy, "numba.cuda") if name in found["modules"]]
    assert loaded == []
    assert not [name for name in found["modules"] if name.startswith(("rnnkit.forecast.plot", "rnnkit.datasets."))]
    assert found["compiled"] == []
    assert found["threads"] == 1


def test_public_names_exist():
    import rnnkit

    assert sorted(rnnkit.__all__) == sorted(set(rnnkit.__all__))
    assert [name for name in rnnkit.__all__ if not hasattr(rnnkit, name)] == []


def test_symbolic_tensors_are_computed_with_in_a_fresh_interpreter():
    """Layers are imported where they are first asked for, which an operator's layer never is."""
    code = "import numpy as np, rnnkit as rk; x = rk.Input((2,)); print(rk.Model(x, np.tanh(x) + x)(np.ones((1, 2))))"
    assert run(code).startswith("[[1.76")


def test_dir_shows_the_public_names_in_a_fresh_interpreter():
    """Which completion in a notebook asks: all of them, and in packages whose names come later no others."""
    code = (
        "import importlib, json, rnnkit\n"
        "names = ['rnnkit', *(f'rnnkit.{name}' for name in rnnkit._SUBPACKAGES)]\n"
        "modules = {name: importlib.import_module(name) for name in names}\n"
        "print(json.dumps({name: [module.__all__, dir(module)] for name, module in modules.items()}))"
    )
    found = json.loads(processes.run([sys.executable, "-c", code], check=True, cwd=ROOT).stdout)
    assert [name for name, (public, shown) in found.items() if set(public) - set(shown)] == []
    for name in ("rnnkit", "rnnkit.forecast", "rnnkit.keras"):
        public, shown = found[name]
        assert shown == sorted(public)


@pytest.mark.parametrize("kind", ["Dense", "LSTM"])
def test_a_call_goes_straight_to_its_program(kind):
    """From `layer(x)`, done the ordinary way, at most 8 moves between packages, of which 2 to a package above."""
    layer, x, seen = getattr(rk, kind)(8), np.ones((2, 4, 8), "float32"), []
    modules = {str(path): name for name, path in MODULES.items()}

    def note(frame, event, _):
        if event == "call" and frame.f_code.co_filename in modules:
            seen.append(room(modules[frame.f_code.co_filename]))

    layer(x), layer(x)
    sys.setprofile(note)
    try:
        layer(x)
    finally:
        sys.setprofile(None)
    rooms, visited = list(ALLOWED), [one for one, _ in groupby(seen)]
    while not visited[-1].startswith("backends"):  # behind the program
        visited.pop()
    climbs = sum(rooms.index(after) > rooms.index(before) for before, after in pairwise(visited))
    assert {"layers", "execution", "backends.cpu"} < set(visited)
    assert len(visited) - 1 <= 8 and climbs <= 2, visited
