"""First lines of docstrings are phrases of one kind: docs/language.md has the rules."""

import inspect
import re

import public_names
import pytest

from rnnkit import docstrings

VERBS = set(
    """
    Act Add Append Ask Back-test Become Build Call Carry Change Classify Compare Compile Compute Convert Copy
    Count Create Cut Declare Delete Do Draw Evaluate Export Find Fit Forecast Forget Give Go Hold Initialize
    Keep Leave Let Load Look Make Mask Move Name Pad Plot Predict Print Put Raise Read Reduce Refuse
    Remember Remove Replace Reset Return Run Save Say Score Set Show Start Stop Store Take Train Try Turn Update
    Write
    """.split()
)
CELLS = {
    "additive_smoothing",
    "multiplicative_smoothing",
    "level_and_season",
    "dynamic_theta",
    "croston",
    "tsb",
}  # their steps say it


def first_line(value) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(value) or "").split("\n")[0]


def test_functions_begin_with_a_verb():
    wrong = {
        name: first_line(value)
        for name, value in public_names.functions()
        if name.split(".")[-1] not in CELLS | {"step"} and first_line(value).split(" ")[0].rstrip(",") not in VERBS
    }
    assert wrong == {}


def test_classes_are_named_by_a_noun_phrase():
    verbs = VERBS | {"Apply", "Multiply", "Bring", "Scale"}
    classes = [(name, value) for name, value in public_names.described() if inspect.isclass(value)]
    wrong = {name: first_line(value) for name, value in classes if first_line(value).split(" ")[0] in verbs}
    assert len(classes) > 150 and wrong == {}


def test_first_lines_are_sentences_by_themselves():
    wrong = [name for name, value in [*public_names.described(), *public_names.functions()] if not sentence(value)]
    assert wrong == []


def sentence(value) -> bool:
    """Whether the first line ends with a full stop, and an empty line follows."""
    lines = (inspect.getdoc(value) or "").split("\n")
    return lines[0].endswith(".") and (len(lines) == 1 or lines[1] == "")


@pytest.mark.parametrize("section", ["Parameters", "Returns", "Examples"])
def test_public_names_say_what_they_take_and_give(section):
    assert [name for name, value in public_names.described() if lacks(value, section)] == []


def test_every_parameter_of_a_public_name_is_described():
    assert {name: left for name, value in public_names.described() if (left := undescribed(value))} == {}


def undescribed(value) -> set[str]:
    """The parameters that a docstring says nothing of."""
    try:
        parameters = set(inspect.signature(value).parameters)
    except (TypeError, ValueError):
        return set()
    found = docstrings.sections(value)
    entries = re.findall(r"^[\w*, ]+", f"{found.get('Parameters', '')}\n{found.get('Attributes', '')}", re.MULTILINE)
    return parameters - {name.strip("* ") for entry in entries for name in entry.split(",")}


def lacks(value, section: str) -> bool:
    """Whether a docstring should have a section, and hasn't."""
    text = inspect.getdoc(value) or ""
    if section == "Examples":
        return ">>>" not in text and "Examples\n---" not in text
    if section == "Returns":
        nothing = inspect.isclass(value) or inspect.get_annotations(value).get("return") in (None, "None")
        return not nothing and not re.search(r"^(Returns|Yields)\n-", text, re.MULTILINE)
    try:
        parameters = inspect.signature(value).parameters
    except (TypeError, ValueError):
        return False
    return bool(parameters) and not re.search(r"^(Parameters|Attributes)\n-", text, re.MULTILINE)
