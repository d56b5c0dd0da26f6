"""Pages state measurements that a committed file has: docs/measurements.json says for each one where it comes from.

A time, or a ratio of times, in a page's text is an entry there: of a row in docs/performance.json, which
asv_benchmarks/compare writes, or ``from`` what else. Tables beside their own command and conditions are left out.
"""

import json
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).parents[2]
STATED = json.loads((ROOT / "docs" / "measurements.json").read_text(encoding="utf-8"))
FOUND = json.loads((ROOT / "docs" / "performance.json").read_text(encoding="utf-8"))
CLAIM = re.compile(r"\d[\d.,]* ?(?:ns|µs|ms|s|seconds|times as|times the|times faster)(?![\w/-])")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]


def claims(page: pathlib.Path) -> set[str]:
    """The measurements in a page's text, without its code and tables."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    text = re.sub(r"^\|.*$", "", text, flags=re.MULTILINE)
    return set(CLAIM.findall(" ".join(re.sub(r"`[^`]*`", "", text).split())))


def test_every_measurement_has_an_entry():
    pages = [page for page in PAGES if page.name != "performance.md"]
    stated = {(one["page"], one["text"]) for one in STATED}
    new = {(page.relative_to(ROOT).as_posix(), claim) for page in pages for claim in claims(page)} - stated
    assert new == set(), "say in docs/measurements.json where these come from"


@pytest.mark.parametrize("one", STATED, ids=lambda one: f"{one['page']}: {one['text']}")
def test_measurements_are_those_that_were_kept(one):
    text = (ROOT / one["page"]).read_text(encoding="utf-8")
    assert one["text"] in " ".join(text.split()), "docs/measurements.json names what the page no longer says"
    if "from" in one:
        return
    section = FOUND[one["section"]]
    if "mean" in one:
        assert any(one["mean"] in mean for mean in section["means"])
        return
    kept = next(table[one["row"]][one["column"]] for table in section["tables"] if one["row"] in table)
    if "least" in one:
        assert min(kept) > one["least"]
    elif "contains" in one:
        assert one["contains"] in kept
    else:
        assert one["value"] in kept
        digits = re.match(r"[\d.]+", one["text"]).group()
        assert abs(float(digits) - one["value"]) <= 0.02 * one["value"], "more than rounding"
