"""Pages state measurements that a committed file has: docs/measurements.json says for each one where it comes from.

A time, or a ratio of times, in a page's text is an entry there, of one of these kinds:

- ``section``: a row in docs/performance.json, which asv_benchmarks/compare writes;
- ``computed``: what the page's own formula gives with its constants;
- ``code``: a constant of a file, which ``has`` it;
- ``advice``: nothing measured, with its reason;
- ``command``: what the page names beside the figure to measure it, where no file has the result.

Tables beside their own command and conditions are left out.
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


def number(text: str) -> float:
    """The one that a claim begins with."""
    return float(re.match(r"[\d.]+", text).group())


def check_section(one):
    section = FOUND[one["section"]]
    if "mean" in one:
        assert any(one["mean"] in mean for mean in section["means"])
        return
    if "rows" in one:
        rows = {name: row for table in section["tables"] for name, row in table.items() if name.startswith(one["rows"])}
        assert rows and max(float(row[one["column"]]) for row in rows.values()) < one["most"] == number(one["text"])
        return
    kept = next(table[one["row"]][one["column"]] for table in section["tables"] if one["row"] in table)
    if "least" in one:
        assert min(kept) > one["least"]
    elif "contains" in one:
        assert one["contains"] in kept
    else:
        assert one["value"] in kept
        assert abs(number(one["text"]) - one["value"]) <= 0.02 * one["value"], "more than rounding"


def check_computed(one):
    value = eval(one["computed"], {"__builtins__": {}})
    assert abs(number(one["text"]) - value) <= 0.05 * value, f"the formula gives {value:.3g}"


def check_code(one):
    assert one["has"] in (ROOT / one["code"]).read_text(encoding="utf-8")


def check_advice(one):
    assert one["advice"]


def check_command(one):
    assert (ROOT / one["command"].split()[0]).is_file()
    assert one["command"] in (ROOT / one["page"]).read_text(encoding="utf-8"), "the page says how to measure it"


KINDS = {
    "section": check_section,
    "computed": check_computed,
    "code": check_code,
    "advice": check_advice,
    "command": check_command,
}


@pytest.mark.parametrize("one", STATED, ids=lambda one: f"{one['page']}: {one['text']}")
def test_measurements_are_those_that_were_kept(one):
    text = (ROOT / one["page"]).read_text(encoding="utf-8")
    assert one["text"] in " ".join(text.split()), "docs/measurements.json names what the page no longer says"
    (kind,) = KINDS.keys() & one.keys()
    KINDS[kind](one)
