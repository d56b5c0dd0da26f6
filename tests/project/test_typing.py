"""The types that a user's checker sees: complete, at ease with what users write, and opposed to their mistakes."""

import inspect
import json
import os
import shutil
import sys
from pathlib import Path

import processes
import public_names
import pytest
import stubs

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests" / "project" / "typed_use.py"


@pytest.mark.parametrize("path", stubs.stubs(), ids=lambda path: path.parent.name)
def test_the_stubs_say_what_the_modules_have(path):
    assert path.read_text(encoding="utf-8") == stubs.stubs()[path], "run python tests/support/stubs.py"


def test_public_functions_are_annotated():
    """Every parameter and every result; those of the layers over a built-in cell stand in a stub."""
    bare = []
    for name, function in public_names.functions():
        if not function.__module__.startswith("rnnkit") or function.__module__ == "rnnkit.cells.smoothing":
            continue  # steps, which are written as users write theirs
        signature = inspect.signature(function)
        parameters = [one for one in signature.parameters.values() if one.name not in ("self", "cls")]
        if function.__name__ != "__init__" and signature.return_annotation is inspect.Signature.empty:
            bare.append(f"{name}: its result")
        bare += [f"{name}: {one.name}" for one in parameters if one.annotation is one.empty]
    assert not bare, "\n".join(bare)


def test_public_classes_are_annotated():
    bare = []
    for name, value in public_names.described():
        own = vars(value).get("__init__") if inspect.isclass(value) else None
        if (
            inspect.isfunction(own)
            and own.__module__.startswith("rnnkit")
            and not hasattr(value, "__dataclass_fields__")
        ):
            parameters = list(inspect.signature(own).parameters.values())[1:]
            bare += [f"{name}: {one.name}" for one in parameters if one.annotation is one.empty]
    assert not bare, "\n".join(bare)


@pytest.mark.sweep  # make lint does it
def test_mypy_accepts_what_users_write_and_refuses_mistakes():
    """A ``type: ignore`` that is not needed is an error, so each stands on a mistake that mypy sees."""
    pytest.importorskip("mypy")
    done = processes.run([sys.executable, "-m", "mypy", SAMPLE], cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def pyright(*arguments) -> dict:
    """What pyright says of this interpreter's packages; it has to be the first on the path, an option is not enough."""
    pytest.importorskip("pyright")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, *arguments]
    done = processes.run(command, env={**os.environ, "PATH": path})
    return json.loads(done.stdout)


def public_symbols() -> set[str]:
    """The names, with their modules, of the public classes and functions and of rnnkit's classes under them."""
    found = set()
    for name, value in public_names.names():
        classes = value.__mro__ if inspect.isclass(value) else [value]
        own = [one for one in classes if getattr(one, "__module__", "").startswith("rnnkit")]
        found |= {f"{one.__module__}.{one.__qualname__}" for one in own if hasattr(one, "__qualname__")} or {name}
    return found


@pytest.mark.sweep
def test_pyright_knows_the_types_of_the_public_symbols():
    """As ``pyright --verifytypes rnnkit``, but of what is public rather than of all modules without an underscore."""
    symbols = pyright("--verifytypes", "rnnkit", "--ignoreexternal")["typeCompleteness"]["symbols"]
    public = public_symbols()

    def is_public(name: str) -> bool:
        parts = name.split(".")
        return any(".".join(parts[:count]) in public for count in range(1, len(parts) + 1))

    counted = [one for one in symbols if is_public(one["name"])]
    unknown = [one["name"] for one in counted if not one["isTypeKnown"] or one["isTypeAmbiguous"]]
    assert len(counted) > 1000
    assert 1 - len(unknown) / len(counted) >= 0.95, unknown


@pytest.mark.sweep
def test_pyright_accepts_what_users_write_and_refuses_mistakes(tmp_path):
    shutil.copy(SAMPLE, tmp_path)
    settings = {"reportUnnecessaryTypeIgnoreComment": "error", "extraPaths": [str(ROOT)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    found = pyright("--project", tmp_path)["generalDiagnostics"]
    assert not [one["message"] for one in found if one["severity"] == "error"]
