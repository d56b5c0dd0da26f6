"""The elementwise formulas of all backends as C functions, bit for bit as on the CPU if multiply-adds are exact."""

from __future__ import annotations

from typing import Any, NamedTuple

from llvmlite import ir

from rnnkit.backends.formulas.table import FORMULAS, arity
from rnnkit.backends.formulas.value import BIT, Value
from rnnkit.c_code.text import REAL, SUFFIX, number

_FLOAT = {"float32": ir.FloatType(), "float64": ir.DoubleType()}


class _Text(NamedTuple):
    """A C expression, with its type in LLVM."""

    type: Any
    text: str


class _Lines:
    """A replacement of LLVM's builder, which writes each instruction as a C line."""

    def __init__(self, dtype: str):
        self.dtype = dtype
        self.lines: list[str] = []

    def c_type(self, kind) -> str:
        return f"uint{kind.width}_t" if isinstance(kind, ir.IntType) else REAL[self.dtype]

    def result(self, kind, text: str) -> _Text:
        name = f"v{len(self.lines)}"
        self.lines.append(f"const {self.c_type(kind)} {name} = {text};")
        return _Text(kind, name)

    def select(self, mask, a, b):
        return self.result(a.type, f"{mask.text} ? {a.text} : {b.text}")

    def bitcast(self, value, kind):
        function = "from_bits" if isinstance(value.type, ir.IntType) else "to_bits"
        return self.result(kind, f"rk_{function}({value.text})")

    def fneg(self, a):
        return self.result(a.type, f"-{a.text}")

    def not_(self, a):
        return _Text(a.type, f"!{a.text}")


def _operator(sign: str):
    def emit(self, a, b):
        text = f"{a.text} {sign} {b.text}"
        return _Text(BIT, f"({text})") if a.type == BIT else self.result(a.type, text)

    return emit


# Integers are unsigned; formulas written out don't shift negative ones to the right.
for _name, _sign in {
    "fadd": "+", "fsub": "-", "fmul": "*", "fdiv": "/", "add": "+", "sub": "-", "and_": "&", "or_": "|", "xor": "^",
    "shl": "<<", "ashr": ">>",
}.items():  # fmt: skip
    setattr(_Lines, _name, _operator(_sign))


class _CValue(Value):
    """A value of a formula as C text."""

    def constant(self, content):
        if self.is_float:
            return self.of(_Text(self.type, number(content, self.builder.dtype)))
        return self.of(_Text(self.type, f"{int(content)}u" if self.type != BIT else str(int(content))))

    def function(self, name, *others):
        like = [self.like(other).value.text for other in others]
        c_name = "rk_fma" if name == "fma" else name + SUFFIX[self.builder.dtype]
        return self.of(self.builder.result(self.type, f"{c_name}({', '.join([self.value.text, *like])})"))

    def _emit_compare(self, instruction, operator, other):
        return self.of(_Text(BIT, f"({self.value.text} {operator} {other.value.text})"))


def _of_math(name: str):
    return lambda x, *others: x.function(name, *others)


_CValue.own = {name: _of_math(name) for name in ("log", "log1p", "exp", "fmod")} | {
    "exp_product": lambda a, b: (a * b).function("exp"),
    "power": _of_math("pow"),
}


def c_function(name: str, dtype: str) -> list[str]:
    """Return a formula as the lines of a static function ``rk_<name>``."""
    lines, formula = _Lines(dtype), FORMULAS[name].__wrapped__  # type: ignore[attr-defined]  # by functools.wraps
    operands = [_CValue(lines, _Text(_FLOAT[dtype], letter)) for letter in "ab"[: arity(formula)]]
    result = formula(*operands).value.text
    real = REAL[dtype]
    head = f"static inline {real} rk_{name}({', '.join(f'{real} {operand.value.text}' for operand in operands)})"
    return [head, "{", *("    " + line for line in lines.lines), f"    return {result};", "}"]
