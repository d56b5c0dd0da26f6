"""The stubs of rnnkit, what type checkers cannot see in modules that import names late or make signatures; and what
pages list: the public layers in the reference, and the functions of scipy.special that a traced step may use.

``python tests/support/stubs.py`` writes them; a test compares them with what the modules have.
"""

import ast
import importlib
import inspect
import textwrap
from pathlib import Path

import scipy.special

from rnnkit.compiler.ir.operations import COMPOSED, OPERATIONS
from rnnkit.compiler.tracing.python_functions import SPECIAL

ROOT = Path(__file__).parents[2]
HEAD = '"""Written by tests/support/stubs.py: for type checkers alone."""\n\n'


def package(name: str, later: dict[str, str], subpackages: tuple[str, ...] = ()) -> str:
    """The stub of a package that imports some of its names where they are asked for."""
    module = importlib.import_module(name)
    places: dict[str, list[str]] = {}
    for node in ast.parse(Path(module.__file__).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.module.startswith("rnnkit"):
            places.setdefault(node.module, []).extend(alias.name for alias in node.names)
    for public, place in later.items():
        places.setdefault(place, []).append(public)
    own = sorted([*subpackages, *places.pop(name, [])])
    lines = [_import(place, list(set(names) & set(module.__all__))) for place, names in sorted(places.items())]
    lines[:0] = [f"from {name} import {public} as {public}\n" for public in own]
    ordered = sorted(module.__all__, key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    listed = "".join(f'    "{public}",\n' for public in ordered)
    return f"{HEAD}{''.join(lines)}\n__all__ = [\n{listed}]\n"


def _import(place: str, names: list[str]) -> str:
    ordered = sorted(names, key=lambda name: (not name.isupper(), name))  # as isort orders them
    listed = "".join(f"    {name},\n" for name in ordered)
    return f"from {place} import (\n{listed})\n" if names else ""


def recurrent() -> str:
    """The stub of the layers whose arguments are those of their cell and of `RNN`."""
    module = importlib.import_module("rnnkit.layers.recurrent")
    text = HEAD + (
        "from typing import Self\n\n"
        "from rnnkit.hints import (\n"
        "    Activation,\n    Config,\n    Constraint,\n    CustomObjects,\n"
        "    DType,\n    Initializer,\n    Regularizer,\n    Seed,\n)\n"
        "from rnnkit.layers.rnn import RNN\n\n"
        "class _Recurrent(RNN):\n"
        "    @property\n"
        "    def units(self) -> int: ...\n"
        "    def get_config(self) -> Config: ...\n"
        "    @classmethod\n"
        "    def from_config(cls, config: Config, custom_objects: CustomObjects = None) -> Self: ...\n"
    )
    for name in ("SimpleRNN", "GRU", "LSTM"):
        parameters = ["self"]
        for one in inspect.signature(getattr(module, name)).parameters.values():
            if one.kind is one.KEYWORD_ONLY and "*" not in parameters:
                parameters.append("*")
            default = "" if one.default is one.empty else f" = {one.default!r}".replace("'", '"')
            parameters.append(f"{one.name}: {one.annotation}{default}")
        listed = "".join(f"        {one},\n" for one in parameters)
        text += f"\nclass {name}(_Recurrent):\n    def __init__(\n{listed}    ) -> None: ...\n"
    return text


def reference() -> str:
    """The page of layers with each public one, new ones behind the last of the same module."""
    page = (ROOT / "docs/reference/layers.md").read_text(encoding="utf-8")
    public = importlib.import_module("rnnkit.layers").PUBLIC
    for name, module in public.items():
        if f"   {name}\n" not in page:
            listed = [other for other in public if public[other] == module and f"   {other}\n" in page]
            if not listed:
                raise ValueError(f"expected {name} in a section of docs/reference/layers.md: it is alone in {module}")
            last = max(listed, key=lambda other: page.index(f"   {other}\n"))
            page = page.replace(f"   {last}\n", f"   {last}\n   {name}\n")
    return page


def functions() -> str:
    """The page of tracing with the functions of scipy.special that are operations of a graph, or made of some."""
    page = (ROOT / "docs/tracing.md").read_text(encoding="utf-8")
    aliases = {alias for one in OPERATIONS.values() for alias in one.aliases}
    known = sorted(
        vars(scipy.special).keys() & {*OPERATIONS, *aliases, *COMPOSED, *SPECIAL} - {"softplus"}
    )  # new there
    listed = ", ".join(f"`{name}`" for name in known)
    text = textwrap.fill(
        f"- of `scipy.special`: {listed}, and `kve` of the orders 0 and 1;", 120, subsequent_indent="  "
    )
    before, rest = page.split("- of `scipy.special`: ")
    return before + text + "\n" + rest.split(";\n", 1)[1]


def stubs() -> dict[Path, str]:
    """The text of each stub by its file."""
    rnnkit, forecast = importlib.import_module("rnnkit"), importlib.import_module("rnnkit.forecast")
    places = {name: f"rnnkit.forecast.{place}" for name, place in forecast._PLACES.items()}
    return {
        ROOT / "rnnkit/__init__.pyi": package("rnnkit", rnnkit._LATER, rnnkit._SUBPACKAGES),
        ROOT / "rnnkit/forecast/__init__.pyi": package("rnnkit.forecast", places),
        ROOT / "rnnkit/layers/recurrent.pyi": recurrent(),
        ROOT / "docs/reference/layers.md": reference(),
        ROOT / "docs/tracing.md": functions(),
    }


if __name__ == "__main__":
    for path, text in stubs().items():
        path.write_text(text, encoding="utf-8")
