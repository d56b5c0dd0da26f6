"""Which way imports point, and what importing rnnkit may not do."""

import ast
import json
import pathlib
import sys

import processes
import pytest

PACKAGE = pathlib.Path(__file__).parent.parent / "rnnkit"

# each room, and the rooms it may import from; a file beside the rooms is a room of its own
FOUNDATION = {
    "allocation",
    "arrays",
    "activations",
    "initializers",
    "arguments",
    "serialization",
    "targets",
    "regularizers",
    "constraints",
}
CELL = FOUNDATION | {"steps"}
RUN = CELL | {"engine", "backends", "compiler", "execution"}
ALLOWED = {
    **dict.fromkeys(FOUNDATION, FOUNDATION),
    **dict.fromkeys(CELL - FOUNDATION, CELL),
    "cells": CELL | {"cells"},
    "backends": RUN,
    "engine": RUN,
    "compiler": RUN,
    "execution": RUN,
    "layers": RUN | {"cells", "layers"},
    "cuda": {"engine", "backends"},
    "losses": FOUNDATION | {"losses"},
    "metrics": FOUNDATION | {"losses", "metrics"},
    "optimizers": RUN | {"layers", "optimizers"},
    "callbacks": FOUNDATION | {"callbacks"},
    "training": RUN | {"layers", "losses", "metrics", "optimizers", "callbacks", "training"},
    "models": RUN | {"cells", "layers", "training", "models"},
    "datasets": {"datasets"},
    "forecast": RUN
    | {"__init__", "cells", "layers", "losses", "optimizers", "callbacks", "models", "datasets"}
    | {"forecast"},
}
OUTWARD = {"__init__", "__main__"}  # the public names and the command stand on everything


def room(path: pathlib.Path) -> str:
    """Name the room a file of the package belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported_rooms(path: pathlib.Path) -> set[str]:
    """Read the rooms of rnnkit that a file imports, wherever in the file it does so."""
    found = set()
    package = ("rnnkit", *path.relative_to(PACKAGE).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join([*start, *([node.module] if node.module else [])])
            names = [f"{base}.{alias.name}" for alias in node.names]
        parts = [name.split(".") for name in names]
        found |= {part[1] for part in parts if part[0] == "rnnkit" and len(part) > 1}
        found |= {"__init__" for part in parts if part == ["rnnkit"]}
    return found


FILES = sorted(path for path in PACKAGE.rglob("*.py") if room(path) not in OUTWARD)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    assert room(path) in ALLOWED, f"the room {room(path)!r} is new: say above what it may import"
    known = {child.stem for child in PACKAGE.iterdir()}
    used = {name for name in imported_rooms(path) if name in known}
    assert used <= ALLOWED[room(path)], f"may not import {sorted(used - ALLOWED[room(path)])}"


def test_every_rule_is_about_something():
    assert set(ALLOWED) == {room(path) for path in FILES}


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
    assert set(rnnkit.__all__) <= set(dir(rnnkit))
