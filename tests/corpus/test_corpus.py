"""The corpus of recurrences: every step runs as declared, its data takes each branch, and its loop by hand agrees."""

import ast
import collections
import dis
import inspect
import re
import sys
import textwrap

import numpy as np
import pytest
from corpus_runs import CORPUS, drawn, each, helpers_in_python, plain, slopes

ROWS, STEPS = 3, 150


@pytest.fixture
def uncompiled(recurrence, monkeypatch):
    helpers_in_python(recurrence, monkeypatch)


def functions(recurrence):
    """The step, and the functions of its module that it calls."""
    found, left = [], [recurrence.step]
    while left:
        function = left.pop()
        if function not in found:
            found.append(function)
            named = (function.__globals__.get(name) for name in function.__code__.co_names)
            left += [one for one in named if inspect.isfunction(one) and one.__module__ == function.__module__]
    return found


def decisions(function):
    """Each conditional jump but for those of `assert`: the condition's place, its own, where it goes, and when."""
    lines, start = inspect.getsourcelines(function)
    tree = ast.parse(textwrap.dedent("".join(lines)))
    asserted = {
        line + start - 1
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
        for line in range(node.lineno, node.end_lineno + 1)
    }
    operations = without_prefixes(function.__code__)
    for one in dis.get_instructions(function):
        if "JUMP" in one.opname and "IF" in one.opname and one.positions.lineno not in asserted:
            yield tuple(one.positions), one.offset, operations[one.argval], "FALSE" not in one.opname


def without_prefixes(code):
    """Offset to that of the operation there, where an operation may have longer arguments before it."""
    found, offset = {}, None
    for one in reversed(list(dis.get_instructions(code))):
        offset = offset if one.opname == "EXTENDED_ARG" else one.offset
        found[one.offset] = offset
    return found


def went(recurrence, call):
    """Of each function of the step: its lines that ran, and the pairs of instructions that ran one after the other."""
    codes = {function.__code__: (set(), set()) for function in functions(recurrence)}

    def enter(frame, event, argument):
        if frame.f_code not in codes:
            return None
        frame.f_trace_opcodes = True
        lines, pairs = codes[frame.f_code]
        last = None

        def inside(frame, event, argument):
            nonlocal last
            if event == "opcode":
                pairs.add((last, frame.f_lasti))
                last = frame.f_lasti
            elif event == "line":
                lines.add(frame.f_lineno)
            return inside

        return inside

    before = sys.gettrace()
    sys._getframe().f_trace_opcodes = True  # Python 3.12 looks for one such frame when tracing begins
    sys.settrace(enter)
    try:
        call()
    finally:
        sys.settrace(before)
    for code, (_, pairs) in codes.items():
        operations = without_prefixes(code) | {None: None}
        pairs |= {(operations[first], operations[second]) for first, second in pairs}
    return codes


def test_names_are_different_and_there_are_enough():
    names = [recurrence.name for recurrence in CORPUS]
    assert len(set(names)) == len(names) >= 45
    assert all(0 < len(recurrence.description) < 120 for recurrence in CORPUS)
    assert all("(" in recurrence.description for recurrence in CORPUS), "a source"


@each()
def test_data_takes_every_branch_of_the_step(recurrence, uncompiled):
    x, constants = drawn(recurrence, ROWS, STEPS)
    assert x.shape == (ROWS, STEPS, recurrence.features)
    assert {name: c.shape[1:] for name, c in zip(recurrence.constants, constants, strict=True)} == recurrence.constants
    outputs = []
    codes = went(recurrence, lambda: outputs.append(plain(recurrence, x, constants)))
    assert np.isfinite(outputs[0]).all()
    assert (np.ptp(outputs[0], axis=(0, 1)) > 0).all()
    for function in functions(recurrence):
        code = function.__code__
        lines, pairs = codes[code]
        there = {line for _, _, line in code.co_lines() if line} - {code.co_firstlineno}
        assert there <= lines, f"lines of {function.__name__} that no row reaches"
        decided = collections.defaultdict(set)  # a condition of a loop may stand in the code twice
        for place, offset, target, when in decisions(function):
            decided[place] |= {(after == target) == when for before, after in pairs if before == offset != after}
        assert {place for place, sides in decided.items() if len(sides) < 2} == set(), "conditions that never change"


@each()
def test_data_keep_the_dtype(recurrence):
    x, constants = drawn(recurrence, 2, 4, np.float32)
    assert all(array.dtype == np.float32 for array in (x, *constants))


@pytest.mark.sweep
@each()
def test_the_loop_by_hand_is_the_step(recurrence, uncompiled):
    x, constants = drawn(recurrence, ROWS, STEPS)
    expected = plain(recurrence, x, constants)
    np.testing.assert_allclose(recurrence.by_hand(x, *constants), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.sweep
@each()
def test_the_loop_by_hand_stays_in_float32(recurrence):
    x, constants = drawn(recurrence, ROWS, STEPS, np.float32)
    found = recurrence.by_hand(x, *constants)
    assert found.dtype == np.float32
    compiled = recurrence.by_hand.overloads[recurrence.by_hand.signatures[-1]].type_annotation
    wide = {str(name) for name, kind in compiled.typemap.items() if "float64" in str(kind) and name[0] != "$"}
    for one, signature in compiled.calltypes.items():
        constant = all(var.name[0] == "$" and re.search("const|load_global", var.name) for var in one.list_vars())
        if signature and str(signature.return_type) == "float64" and not constant:
            wide.add(str(one))
    assert not wide, "these are computed in float64"


@pytest.mark.sweep
@each()
def test_rows_in_parallel_have_the_same_results(recurrence):
    x, constants = drawn(recurrence, ROWS, STEPS, np.float32)
    np.testing.assert_array_equal(recurrence.by_hand_parallel(x, *constants), recurrence.by_hand(x, *constants))


@pytest.mark.sweep
@each([recurrence for recurrence in CORPUS if recurrence.differentiable])
def test_differences_have_a_limit(recurrence, uncompiled):
    x, constants = drawn(recurrence, 2, 30)
    arrays = [x, *recurrence.start(), *constants]
    weights = np.random.default_rng(1).standard_normal((*x.shape[:2], *recurrence.output))
    pairs = [slopes(recurrence, arrays, weights, np.random.default_rng(2), epsilon) for epsilon in (1e-5, 1e-6)]
    ratios = [wide[0] / narrow[0] for wide, narrow, _ in zip(*pairs, range(7), strict=False)]  # few meet a jump
    assert abs(np.median(ratios) - 1) < 1e-3, ratios
