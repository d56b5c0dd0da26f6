"""Instructions of some calls are held to a table, where they can be counted; what can't be judged is no failure."""

import importlib
import json
import pathlib

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "asv_benchmarks"
HERE = {"python": "3.12", "numpy": "2.4"}
COUNTS = {"import": 1_000_000, "call": 1000}


@pytest.fixture
def gate(monkeypatch, tmp_path):
    """The command, with a table of its own and without valgrind: `run` gives its exit code."""
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("instructions")
    monkeypatch.setattr(module, "TABLE", tmp_path / "table.json")
    module.TABLE.write_text(json.dumps({"surroundings": HERE, "instructions": COUNTS}), encoding="utf-8")
    monkeypatch.setattr(module, "reason_not_to", lambda: "")
    monkeypatch.setattr(module, "surroundings", lambda: HERE)

    def run(found, *arguments):
        monkeypatch.setattr(module, "counts", lambda package: found)
        monkeypatch.setattr("sys.argv", ["instructions.py", *arguments])
        return module.main()

    module.run = run
    return module


@pytest.mark.parametrize("change, code", [(0, 0), (0.049, 0), (-0.049, 0), (0.051, 1), (-0.051, 1), (6.3, 1)])
def test_a_change_either_way_fails_and_says_what_to_do(gate, change, code, capsys):
    assert gate.run(COUNTS | {"call": round(1000 * (1 + change))}) == code
    said = capsys.readouterr().out
    assert ("call: 1,000 -> " in said) == ("instructions-renew" in said) == ("CHANGELOG.md" in said) == bool(code)


@pytest.mark.parametrize("found", [COUNTS | {"another": 5}, {"call": 1000}])
def test_a_call_that_only_one_of_them_has_fails(gate, found, capsys):
    assert gate.run(found) == 1
    assert ("another: only counted" in (said := capsys.readouterr().out)) != ("import: only in the table" in said)


def test_a_renewed_table_holds(gate):
    found = {"call": 2000, "import": 5}
    assert gate.run(found, "--renew") == 0
    assert gate.run(found) == 0
    assert gate.run(COUNTS) == 1


@pytest.mark.parametrize("where", [{"python": "3.13", "numpy": "2.4"}, {"python": "3.12", "numpy": "2.4", "libc": "2"}])
def test_elsewhere_the_commit_that_wrote_the_table_is_counted(gate, where, monkeypatch, capsys):
    monkeypatch.setattr(gate, "surroundings", lambda: where)
    other = {"import": 9_000_000, "call": 3000}
    monkeypatch.setattr(gate, "of_table", lambda: other)
    assert gate.run(other) == 0
    assert gate.run(other | {"call": 4000}) == 1
    monkeypatch.setattr(gate, "of_table", lambda: None)
    assert gate.run(other) == 0
    assert "nothing is judged" in capsys.readouterr().out


@pytest.mark.parametrize(
    "which, system, machine",
    [(None, "Linux", "x86_64"), ("valgrind", "Darwin", "x86_64"), ("valgrind", "Linux", "aarch64")],
)
def test_where_nothing_can_be_counted_nothing_fails(which, system, machine, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("instructions")
    monkeypatch.setattr("shutil.which", lambda name: which)
    monkeypatch.setattr("platform.system", lambda: system)
    monkeypatch.setattr("platform.machine", lambda: machine)
    monkeypatch.setattr("sys.argv", ["instructions.py"])
    assert module.main() == 0
    assert "nothing is judged" in capsys.readouterr().out


def test_where_valgrind_fails_nothing_is_judged(gate, monkeypatch, capsys):
    def fails(package):
        raise OSError("valgrind ended with 132: unhandled instruction")

    monkeypatch.setattr(gate, "counts", fails)
    monkeypatch.setattr("sys.argv", ["instructions.py"])
    assert gate.main() == 0
    assert "unhandled instruction" in (said := capsys.readouterr().out) and "nothing is judged" in said


def test_the_table_has_about_ten_calls():
    table = json.loads((FOLDER / "instructions.json").read_text(encoding="utf-8"))
    assert len(table["instructions"]) > 9 and all(count > 0 for count in table["instructions"].values())
    assert {"machine", "python", "numpy", "llvmlite", "valgrind"} < table["surroundings"].keys()
