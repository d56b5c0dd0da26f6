"""Random steps of one row: nested decisions, loops and exits over three numbers and an array of four."""

import linecache
import random

import numpy as np


def step_of(seed):
    """A function ``(x, states)`` with the states ``h``, a number, and ``a``, four; its source can be read."""
    source, name = _Writer(seed).step(), f"<random step {seed}>"
    linecache.cache[name] = len(source), None, source.splitlines(True), name
    names = {"__name__": "random_decisions", "np": np}
    exec(compile(source, name, "exec"), names)
    return names["step"]


class _Writer:
    def __init__(self, seed):
        self.random, self.loops = random.Random(seed), 0

    def step(self):
        """The source text."""
        head = ["def step(x, states):", "    a, h = states.h, states.a.copy()", "    b, c, i = x[0], 0.0, 1"]
        body = [line for _ in range(3) for line in self.block(4, 0, False)]
        return "\n".join([*head, *body, "    return a + b + c, (a, h)", ""])

    def pick(self, *choices):
        """One of several texts."""
        return self.random.choice(choices)

    def number(self, depth=0):
        """An expression that is a number."""
        choices = [
            lambda: self.pick(*"abc"),
            lambda: f"x[{self.random.randrange(3)}]",
            lambda: self.pick("0.5", "-1.0", "3"),
        ]
        one = lambda: self.number(depth + 1)
        if depth < 3:
            choices += [
                lambda: f"({one()} + {one()})",
                lambda: f"({one()} * 0.5)",
                lambda: f"h[{self.place()}]",
                lambda: f"({one()} if {self.condition(depth + 1)} else {one()})",
                lambda: f"min({one()}, {one()})",
                lambda: f"({one()} - {one()})",
            ]
        return self.pick(*choices)()

    def place(self):
        """An index into four."""
        return self.pick("0", "1", "-1", f"int(min(abs({self.pick(*'abc')}), 3.0)) % 4", "i % 4")

    def condition(self, depth=0):
        """An expression that is true or false."""
        number, kind = lambda: self.number(depth + 1), self.random.randrange(5 if depth < 2 else 2)
        if kind < 2:
            return f"{number()} {self.pick('<', '>', '<=', '>=')} {number()}"
        inner = lambda: self.condition(depth + 1)
        others = (lambda: f"({inner()} {self.pick('and', 'or')} {inner()})", lambda: f"not ({inner()})")
        return (*others, lambda: f"-1 < {number()} < {number()}")[kind - 2]()

    def block(self, indent, depth, in_loop):
        """A few statements."""
        return [line for _ in range(self.random.randint(1, 3)) for line in self.statement(indent, depth, in_loop)]

    def statement(self, indent, depth, in_loop):
        """One statement, as lines."""
        space, kind = " " * indent, self.random.randrange(12)
        below = lambda loop: self.block(indent + 4, depth + 1, loop)
        if kind in (4, 5):
            return [f"{space}h[{self.place()}] {self.pick('=', '+=', '-=')} {self.number(1)}"]
        if kind in (6, 7) and depth < 3:
            lines = [f"{space}if {self.condition()}:", *below(in_loop)]
            lines += [f"{space}elif {self.condition()}:", *below(in_loop)] if self.random.random() < 0.3 else []
            return lines + ([f"{space}else:", *below(in_loop)] if self.random.random() < 0.6 else [])
        if kind in (8, 9) and depth < 3 and self.loops < 3:
            self.loops += 1
            if kind == 8:
                count = self.pick("3", "12", "40", f"int(min(abs({self.number(2)}), 6.0))")
                lines = [f"{space}for i in range({count}):", *below(True)]
                return lines + ([f"{space}else:", *below(in_loop)] if self.random.random() < 0.3 else [])
            round_ = f"round_{self.loops}"
            head = [f"{space}{round_} = 0", f"{space}while {round_} < {self.pick('5', '30')} and {self.condition()}:"]
            return [*head, f"{space}    {round_} += 1", *below(True)]
        if kind == 10 and in_loop:
            return [f"{space}if {self.condition()}:", f"{space}    {self.pick('break', 'continue')}"]
        if kind == 11 and depth:
            return [f"{space}if {self.condition()}:", f"{space}    return {self.number()}, (a, h)"]
        return [f"{space}{self.pick(*'abc')} {self.pick('=', '=', '+=')} {self.number()}"]
