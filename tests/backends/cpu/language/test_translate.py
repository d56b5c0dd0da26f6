"""The language of programs has Python's meaning: what is translated gives what Python gives for the same text."""

import itertools
import random
import re

import numpy as np
import pytest

from rnnkit.backends.cpu.language import programs
from rnnkit.backends.cpu.language.translate import Fault

HEAD = """
import numpy as np

from rnnkit.backends.cpu.language.function import compiled, directing
from rnnkit.backends.cpu.simd.atomic import atomic_load, atomic_store, word
"""


def names_of(text) -> dict:
    """The text as Python runs it."""
    names: dict = {"compiled": lambda function: function}
    exec("\n".join(line for line in text.splitlines() if not line.startswith(("import", "from"))), names)
    return names


def check(body, arguments=("a", "b", "c"), numbers=None):
    """A module whose ``run`` takes ints gives the same as Python, for these numbers or for many.

    Functions that direct others do, too, and so do some of each kind.
    """
    truth = names_of(HEAD + body)["run"]
    bodies = [body, body.replace("@compiled", "@directing"), body.replace("@compiled", "@directing", 1)]
    wanted = [programs.Wanted(HEAD + one, len(arguments)) for one in bodies]
    runs = [code.function for code in programs.load_all(wanted, "a test")]
    given = numbers or itertools.product((-7, -1, 0, 1, 3, 10), repeat=len(arguments))
    for values in given:
        expected = truth(*values)
        assert [run(*values) for run in runs] == [0 if expected is None else int(expected)] * 3, (values, body)


@pytest.mark.parametrize(
    "expression",
    [
        "a + b * c - 3", "(a ^ b) | (c & 12)", "-a - -5", "min(a, b, c) * 100 + max(a, b)",
        "a // 3 * 1000 + a % 3", "a // -4 * 1000 + a % -4", "a // (b * b + 1) * 1000 + a % (b * b + 1)",
        "a // (-b * b - 1) * 1000 + a % (-b * b - 1)", "(a < b) + 2 * (a <= b) + 4 * (a == b) + 8 * (a != c)",
        "(a > b) + 2 * (b >= c)", "a if b < c else b", "(a if b else c) if a and c else (b or 7)",
        "a < 0 and b < 0 or not c", "not (a or b) and (c == 0 or a > 3)", "10 if True else a",
    ],
)  # fmt: skip
def test_expressions(expression):
    value = expression if not re.search(r"\b(and|or)\b", expression) else f"1 if ({expression}) else 0"
    check(f"@compiled\ndef run(a, b, c):\n    return {value}\n")


STATEMENTS = {
    "branches": """
    x = a
    if a < b:
        x = b
    elif c > 0:
        x, b = b, x
    else:
        if b == 1:
            return 77
        x += 4
    return x * 100 + b
    """,
    "a loop with all its ways out": """
    total, i = 0, 0
    while True:
        i += 1
        if i == a:
            continue
        if i > 8 or total > b * 10:
            break
        for j in range(i):
            if j == c:
                break
            if j % 2 == 0:
                continue
            total += j
    return total * 10 + i
    """,
    "ranges": """
    total = 0
    for i in range(a):
        total += i
    for i in range(a, b):
        for k in range(a, b, 3):
            total = total * 3 % 10007 + i * k
    return total
    """,
    "loops that swap": """
    x, y = a, b
    for k in range(c):
        x, y = y, x + y
        if y > 50:
            x, y = y, 1
    return x * 1000 + y
    """,
    "bools": """
    full, k = True, 0
    while full and k < 5:
        k += 1
        full = k != a
    return 2 * k + (full == (b < c)) + (not full)
    """,
    "nothing returned": """
    if a > 0:
        return
    a = 1
    """,
    "a loop that ends everything": """
    for i in range(3):
        if i == a:
            return i + 100
        else:
            b += i
    return b
    """,
}


@pytest.mark.parametrize("kind", STATEMENTS)
def test_statements(kind):
    check(f"@compiled\ndef run(a, b, c):{STATEMENTS[kind]}\n")


def test_functions_call_functions():
    check("""
LIMIT = 5

@compiled
def one(a, b):
    return a * 3 + b

@compiled
def two(a, b):
    return a * 4 + one(a, b)

@compiled
def nothing(a):
    a += 1

@compiled
def run(a, b, c):
    nothing(a)
    return one(a, min(b, LIMIT)) - two(one(b, c), 1)
""")


def text_of(draw: random.Random) -> str:
    """A function of random statements, whose numbers stay small and which always ends."""
    lines, names, depth = [], ["a", "b", "c"], itertools.count()

    def expression(deep=2):
        if deep == 0 or draw.random() < 0.2:
            return draw.choice([*names, str(draw.randint(-3, 9))])
        x, y, z = (expression(deep - 1) for _ in range(3))
        kinds = [f"({x} {draw.choice('+-*')} {y})", f"({x} // {draw.choice((2, 3, -5))})", f"({x} % (({y}) % 7 + 1))"]
        kinds += [f"({x} if {condition(deep - 1)} else {z})", f"{draw.choice(('min', 'max'))}({x}, {y})"]
        return draw.choice(kinds)

    def condition(deep=2):
        if deep <= 0 or draw.random() < 0.5:
            return f"{expression(0)} {draw.choice(('<', '<=', '==', '!=', '>', '>='))} {expression(0)}"
        if draw.random() < 0.3:
            return f"not ({condition(deep - 1)})"
        return f"({condition(deep - 1)} {draw.choice(('and', 'or'))} {condition(deep - 1)})"

    def block(indent, deep, loop):
        known = list(names)
        for _ in range(draw.randint(1, 3)):
            statement(indent, deep, loop)
        names[:] = known  # what only some ways assign can't be read behind them

    def statement(indent, deep, loop):
        put = lambda line: lines.append("    " * indent + line)
        kind = draw.choice("aaagsifw" if deep else "aags")
        if kind == "a":
            name = draw.choice([*names, f"v{len(names)}"])
            put(f"{name} = {expression()} % 1009")
            names.extend([name] if name not in names else [])
        elif kind == "g":
            put(f"{draw.choice(names)} += {expression(1)} % 13")
        elif kind == "s":
            x, y = draw.sample(names, 2)
            put(f"{x}, {y} = {y}, {x}")
        elif kind == "i":
            put(f"if {condition()}:")
            block(indent + 1, deep - 1, loop)
            if draw.random() < 0.6:
                put("else:")
                block(indent + 1, deep - 1, loop)
        else:
            count = f"n{next(depth)}"
            put(f"for {count} in range({expression(1)} % 5):" if kind == "f" else f"{count} = 0")
            if kind == "w":
                put(f"while {count} < 4 and {condition(1)}:")
                put(f"    {count} += 1")
            block(indent + 1, deep - 1, True)
        if loop and draw.random() < 0.15:
            put(f"if {condition(1)}:")
            put(f"    {draw.choice(('break', 'continue', 'return ' + expression(1)))}")

    for _ in range(5):
        statement(1, 3, False)
    lines.append(f"    return {' * 7 + '.join(names)}")
    return "@compiled\ndef run(a, b, c):\n" + "\n".join(lines) + "\n"


@pytest.mark.parametrize("seed", range(30))
def test_random_functions(seed):
    draw = random.Random(seed)
    numbers = [[draw.randint(-20, 20) for _ in range(3)] for _ in range(25)]
    check(text_of(draw), numbers=numbers)


def test_division_by_zero_gives_zero():
    """As numba's with NumPy's error model; no signal ends the process."""
    run = programs.load(f"{HEAD}@compiled\ndef run(a, b):\n    return a // b * 10 + a % b\n", 2).function
    assert run(7, 0) == 0


def test_a_second_operand_is_not_looked_at():
    """It would read at address 0."""
    text = f"{HEAD}@compiled\ndef run(a):\n    x = 5 if a == 0 else word(a, 0)\n"
    text += "    if a != 0 and word(a, 0) == 9:\n        x += 1\n    return x\n"
    run, memory = programs.load(text, 1).function, np.array([9], np.int64)
    assert run(0) == 5 and run(memory.ctypes.data) == 10


REFUSED = {
    "x = [a]": "List is not of the language",
    "x = b": "b has no value on some way",
    "x = print(a)": "print is no function of programs",
    "x = a + 'text'": "'text' is no value of programs",
    "x = word(a)": "word takes no int64",
    "with a:\n        x = 1": "With is not of the language",
    "if a:\n        y = 1\n    x = y": "y has no value on some way",
    "for x in (1, 2):\n        a += x": "a loop runs over range(…)",
}


@pytest.mark.parametrize("decorator", ["compiled", "directing"])
@pytest.mark.parametrize("line", REFUSED)
def test_what_is_not_of_the_language_is_named(line, decorator):
    with pytest.raises(Fault) as error:
        programs.load(f"{HEAD}@{decorator}\ndef run(a):\n    {line}\n    return x\n", 1)
    message = str(error.value)
    assert message.startswith("run: ") and REFUSED[line] in message, message
