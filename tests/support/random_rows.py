"""Steps of one row made at random: decisions, loops, and arrays that are read and written at computed places.

What is assigned is cut to a few bits, so that all arithmetic is exact: results are the same in every order of sums,
in float32 as in float64. ``python tests/support/random_rows.py 12`` prints step 12.
"""

import linecache
import math
import random
import sys
from collections import namedtuple
from dataclasses import dataclass

import numpy as np

import rnnkit as rk

HELPERS = """
def cut(value):
    return min(max(math.floor(value * 8.0) / 8.0, -6.0), 6.0)


def place(value, size):
    return int(min(abs(value), 9.0) * 8.0) % size

"""


@dataclass
class RandomStep:
    """A step with the sizes that it was written for."""

    step: object
    source: str
    features: int
    array: int
    other: int
    table: int

    @property
    def states(self):
        return {"h": (), "v": self.array, "w": (self.other, 2), "n": ()}

    def cell(self):
        return rk.cell(states=self.states, per_row=True)(self.step)()

    def drawn(self, rows, steps, seed=0, dtype="float64"):
        """x, the states of the start, and the constants."""
        rng = np.random.default_rng(seed)
        eighths = lambda *shape: (rng.integers(-24, 25, shape) / 8).astype(dtype)
        start = [eighths(rows, *(s if isinstance(s, tuple) else (s,))) for s in self.states.values()]
        return eighths(rows, steps, self.features), start, [eighths(rows, self.table)]


def random_row_step(seed, smooth=False):
    """Step number `seed`; a smooth one cuts nothing, so that it has a gradient."""
    writer = _Writer(seed)
    source, name = writer.step(), f"<random row {seed}{' smooth' * smooth}>"
    if smooth:
        source = source.replace("math.floor(value * 8.0) / 8.0", "math.sin(value)").replace("np.floor(", "(")
    linecache.cache[name] = len(source), None, source.splitlines(True), name
    names = {"__name__": "random_rows", "np": np, "math": math}
    exec(compile(source, name, "exec"), names)
    return RandomStep(names["step"], source, writer.sizes["x"], writer.sizes["v"], writer.sizes["w"], writer.sizes["t"])


def plain(step, x, start, constants, mask=None, zero=True):
    """``(outputs, *states)`` of each row by itself, in Python; masked steps give 0, or what the last one gave."""
    named = namedtuple("States", "h v w n")
    outputs, ends = [], []
    for row in range(len(x)):
        states = named(*(_number_or_array(state[row]) for state in start))
        of_row = []
        for t in range(x.shape[1]):
            if mask is None or mask[row, t]:
                output, states = step(x[row, t].astype(float), states, tuple(c[row].astype(float) for c in constants))
                states = named(*map(_number_or_array, states))
                of_row.append(np.array(output, float))
            else:
                of_row.append(None if zero or not of_row else of_row[-1])
        outputs.append(of_row)
        ends.append(states)
    shape = next((one.shape for of_row in outputs for one in of_row if one is not None), ())
    outputs = [[np.zeros(shape) if one is None else one for one in of_row] for of_row in outputs]
    return np.array(outputs), *(np.array(state, float) for state in zip(*ends, strict=True))


def _number_or_array(value):
    return np.array(value, float)[()]


class _Writer:
    def __init__(self, seed):
        self.random, self.loops, self.made, self.budget = random.Random(seed), 0, 0, 14
        few, many = (2, 3, 5, 8), (9, 12, 17)
        self.sizes = {
            "x": self.pick(1, 3, 9),
            "v": self.pick(*few, *many, *many),
            "w": self.pick(2, 5, 9),
            "t": self.pick(2, 8, 11),
        }
        self.sizes["u"] = self.pick(3, 8, 10, self.sizes["v"], self.sizes["v"])
        self.numbers, self.rounds, self.arrays = ["a", "b", "h"], [], ["v", "u"]

    def pick(self, *choices):
        return self.random.choice(choices)

    def step(self):
        lines = [
            "def step(x, states, constants):",
            "    (t,) = constants",
            "    h, v, w, n = states.h, states.v.copy(), states.w.copy(), states.n",
            f"    u = np.{self.pick('zeros', 'ones')}({self.sizes['u']})",
            "    a, b = x[0], t[0]",
        ]
        self.result = self.pick("a + b", "a - h", "v[0] + u[-1]", "np.array([a, b, v[-1]])", "np.concatenate([u, v])")
        for _ in range(4):
            lines += self.block(4, 0)
        return HELPERS + "\n".join([*lines, f"    return {self.result}, (h, v, w, cut(n + 0.125))", ""])

    # Expressions

    def number(self, depth=0):
        of_array = lambda: self.element()
        simple = [lambda: self.pick(*self.numbers), of_array, lambda: self.pick("0.5", "-1.0", "2.0")]
        if depth > 1:
            return self.pick(*simple)()
        one = lambda: self.number(depth + 1)
        return self.pick(
            *simple,
            lambda: f"({one()} + {one()})",
            lambda: f"{one()} * {one()}",
            lambda: f"({one()} if {self.condition(1)} else {one()})",
            lambda: f"{self.pick('min', 'max')}({one()}, {one()})",
            lambda: f"({one()} - {one()})",
            lambda: f"abs({one()})",
            lambda: f"{self.pick('v', 'u')}.{self.pick('sum', 'max', 'min')}()",
            lambda: f"float({self.index(5)})",
        )()

    def index(self, size):
        choices = [
            lambda: str(self.random.randrange(-size, size)),
            lambda: f"place({self.pick(*self.numbers)}, {size})",
            lambda: f"place({self.pick(*self.numbers)}, {size}) - {size}",
        ]
        if self.rounds:
            choices += [
                lambda: f"{self.pick(*self.rounds)} % {size}",
                lambda: f"({self.pick(*self.rounds)} * {self.pick(1, 3)} + 1) % {size}",
            ] * 2
        return self.pick(*choices)()

    def element(self):
        name = self.pick("x", "t", *self.arrays, "w")
        if name == "w":
            return f"w[{self.index(self.sizes['w'])}, {self.index(2)}]"
        return f"{name}[{self.index(self.sizes[name])}]"

    def condition(self, depth=0):
        number = lambda: self.number(2)
        if depth > 1 or self.random.random() < 0.6:
            return f"{number()} {self.pick('<', '>', '<=', '>=', '==', '!=')} {number()}"
        inner = lambda: self.condition(depth + 1)
        return self.pick(
            lambda: f"({inner()} {self.pick('and', 'or')} {inner()})",
            lambda: f"not ({inner()})",
            lambda: f"-1 < {number()} <= 2.0",
        )()

    # Statements

    def block(self, indent, depth, in_loop=False):
        return [line for _ in range(self.random.randint(1, 2)) for line in self.statement(indent, depth, in_loop)]

    def statement(self, indent, depth, in_loop):
        space, kind = " " * indent, self.random.randrange(16)
        self.budget -= 1
        if kind < 4:
            name = self.pick(*self.arrays, "w")
            second = f", {self.index(2)}" if name == "w" else ""
            return [f"{space}{name}[{self.index(self.sizes[name])}{second}] = cut({self.number()})"]
        if kind == 4:
            return self.of_whole_arrays(space)
        if kind in (5, 6, 7) and depth < 3 and self.budget > 0:
            lines = [f"{space}if {self.condition()}:", *self.block(indent + 4, depth + 1, in_loop)]
            if self.random.random() < 0.6:
                lines += [f"{space}else:", *self.block(indent + 4, depth + 1, in_loop)]
            return lines
        if kind in (8, 9, 10) and depth < 3 and self.loops < 3 and self.budget > 0:
            return self.loop(space, depth)
        if kind == 11 and in_loop:
            return [f"{space}if {self.condition()}:", f"{space}    {self.pick('break', 'continue')}"]
        if kind == 12 and depth:
            return [f"{space}if {self.condition()}:", f"{space}    return {self.result}, (h, v, w, n)"]
        return [f"{space}{self.pick('a', 'b', 'h')} = cut({self.number()})"]

    def of_whole_arrays(self, space):
        """A copy that is read after the array has changed, a shift, a swap of two elements."""
        name = self.pick("v", "u")
        size, self.made = self.sizes[name], self.made + 1
        one, other = self.index(size), self.index(size)
        old = f"old_{self.made}"
        return self.pick(
            [
                f"{space}{old} = {name}.copy()",
                f"{space}{name}[{one}] = cut({self.number()})",
                f"{space}a = cut({old}[{other}] - {name}[{other}] + {old}.sum())",
            ],
            [f"{space}{name}[1:] = {name}[:-1].copy()", f"{space}{name}[0] = {self.pick('a', 'b', 'h')}"],
            [f"{space}{name}[{one}], {name}[{other}] = {name}[{other}], {name}[{one}]"],
            [
                f"{space}{name} = np.where({name} > a, {name} * 0.5, {name}[::-1])",
                f"{space}{name} = np.floor({name} * 8.0) / 8.0",
            ],
            [f"{space}v, u = u.copy(), v.copy()"]
            if self.sizes["u"] == self.sizes["v"]
            else [f"{space}v[:2], u[:2] = u[:2].copy(), v[:2].copy()"],
            [f"{space}w[{self.index(self.sizes['w'])}] = w[{self.index(self.sizes['w'])}].copy()"],
        )

    def loop(self, space, depth):
        self.loops += 1
        name, kind = f"i{self.loops}", self.random.randrange(4)
        rounds = [f"range({self.pick(2, 9, 13)})", f"range(place({self.pick('a', 'b', 'h')}, 11))"]
        if kind < 3:
            head = [f"{space}for {name} in {self.pick(*rounds)}:"]
            self.rounds.append(name)
            body = self.block(len(space) + 4, depth + 1, True)
            self.rounds.remove(name)
            return head + body
        head = [f"{space}{name} = 0", f"{space}while {name} < {self.pick(4, 12)} and {self.condition()}:"]
        self.rounds.append(name)
        body = self.block(len(space) + 4, depth + 1, False)
        self.rounds.remove(name)
        return [*head, *body, f"{space}    {name} += 1"]


if __name__ == "__main__":
    print(random_row_step(int(sys.argv[1])).source)
