"""Every promise of docs/contract.md has a test that carries its id.

Every id in a test's name is a promise.
"""

import ast
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PROMISES = re.findall(r"^\| ([A-Z]\d+) \|", (TESTS.parent / "docs" / "contract.md").read_text(), re.MULTILINE)


def named_ids():
    """id → where it is named by a test."""
    found = {}
    for path in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                for part in node.name.split("_"):
                    if re.fullmatch(r"[CSMDBPXELTGF]\d+", part):
                        found.setdefault(part, []).append(f"{path.name}::{node.name}")
    return found


NAMED = named_ids()


def test_contract_is_read():
    assert len(PROMISES) == len(set(PROMISES)) > 70
    assert {"C1", "C12", "S1", "S7", "M1", "M9", "D1", "D7", "E1", "L1", "L7", "G1"} <= set(PROMISES)


@pytest.mark.parametrize("promise", PROMISES)
def test_promise_has_a_test(promise):
    assert NAMED.get(promise), f"no test is named after {promise}"


@pytest.mark.parametrize("named", sorted(NAMED))
def test_id_is_a_promise(named):
    assert named in PROMISES, f"{NAMED[named]} name an id that docs/contract.md doesn't have"
