"""Pointwise operations as C expressions, and their helper functions, the formulas of all backends among them.

A formula has the bits that it has on the CPU if multiply-adds are exact.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from llvmlite import ir

from rnnkit.backends.formulas.table import FORMULAS, arity
from rnnkit.backends.formulas.value import BIT, Value
from rnnkit.c_code.text import REAL, SUFFIX, number, without_comments
from rnnkit.compiler.ir.kinds import FLOATS, carrier
from rnnkit.compiler.ir.operations import INTEGER_OPERATIONS, OPERATIONS

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


# Formulas that are functions of math.h; all others are written out.
_OF_MATH = {name: name for name in "floor ceil trunc rint erf erfc log log2 log10 log1p sqrt cbrt sin cos tan".split()}
_OF_MATH |= {name: name for name in "sinh cosh hypot fmod copysign".split()} | {"power": "pow", "absolute": "fabs"}
_OF_MATH |= {f"arc{name}": f"a{name}" for name in "sin cos tan tan2 sinh cosh tanh".split()}


def _in_c(text: str) -> str:
    """Return the form of an operation in a kernel as C's, with `~` for the suffix of math.h's functions of float."""
    return re.sub(r"\w+(?=\()", lambda name: f"{_OF_MATH[name[0]]}~" if name[0] in _OF_MATH else f"rk_{name[0]}", text)


# {0}, {1} … stand for operands, `real` for the type.
_TEXTS = {name: _in_c(one.text) for name, one in OPERATIONS.items()}
_TEXTS |= {"where": "{0} ? {1} : {2}", "to_float": "(real){0}", "logical_not": "!{0}"}

_CALLED = {name for text in _TEXTS.values() for name in re.findall(r"\w+(?=~?\()", text)}
CALLED = frozenset(name + suffix for name in _CALLED for suffix in SUFFIX.values())  # not allowed as names of variables

_OF_INTEGERS = {
    name: _in_c(INTEGER_OPERATIONS[name].text)
    for name in "floor_divide remainder fmod bitwise_and bitwise_or bitwise_xor invert".split()
} | {
    "add": "rk_add({0}, {1})",
    "subtract": "rk_subtract({0}, {1})",
    "multiply": "rk_multiply({0}, {1})",
    "negative": "rk_subtract(0, {0})",
    "square": "rk_multiply({0}, {0})",
    "absolute": "{0} < 0 ? rk_subtract(0, {0}) : {0}",
    "maximum": "{0} > {1} ? {0} : {1}",
    "minimum": "{0} < {1} ? {0} : {1}",
    "sign": "({0} > 0) - ({0} < 0)",
    "left_shift": "rk_left_shift({0}, {1}, BITS)",
    "right_shift": "rk_right_shift({0}, {1}, BITS)",
}


def _wrapping(name: str, sign: str) -> str:
    return f"""
static inline int64_t rk_{name}(int64_t a, int64_t b)
{{
    return (int64_t)((uint64_t)a {sign} (uint64_t)b);
}}"""


_HELPERS = {
    f"rk_{name}": _wrapping(name, sign) for name, sign in {"add": "+", "subtract": "-", "multiply": "*"}.items()
}
_HELPERS |= {
    "rk_integer_fmod": """
static inline int64_t rk_integer_fmod(int64_t a, int64_t b)
{
    return b == 0 || b == -1 ? 0 : a % b;
}""",
    "rk_integer_remainder": """
/* As NumPy's: of the sign of b, and 0 where b is. */
static inline int64_t rk_integer_remainder(int64_t a, int64_t b)
{
    const int64_t rest = rk_integer_fmod(a, b);
    return rest != 0 && (rest ^ b) < 0 ? rest + b : rest;
}""",
    "rk_integer_floor_divide": """
/* As NumPy's: rounded down, and 0 where b is. */
static inline int64_t rk_integer_floor_divide(int64_t a, int64_t b)
{
    if (b == 0 || b == -1) {
        return b == 0 ? 0 : rk_subtract(0, a);
    }
    return a / b - (a % b != 0 && ((a % b) ^ b) < 0);
}""",
    "rk_left_shift": """
static inline int64_t rk_left_shift(int64_t a, int64_t b, int32_t bits)
{
    return b >= 0 && b < bits ? (int64_t)((uint64_t)a << b) : 0;
}""",
    "rk_right_shift": """
static inline int64_t rk_right_shift(int64_t a, int64_t b, int32_t bits)
{
    return b >= 0 && b < bits ? a >> b : (a < 0 ? -1 : 0);
}""",
    "rk_to_int32": """
/* Cut towards 0; what no integer is, is the least. */
static inline int64_t rk_to_int32(real a)
{
    return a > -(real)2147483648.0 && a < (real)2147483648.0 ? (int64_t)a : INT32_MIN;
}""",
    "rk_to_int64": """
/* Cut towards 0; what no integer is, is the least. */
static inline int64_t rk_to_int64(real a)
{
    return a > -(real)9223372036854775808.0 && a < (real)9223372036854775808.0 ? (int64_t)a : INT64_MIN;
}""",
    "rk_fma": """
/* a * b + c, rounded once where that is one instruction. */
static inline real rk_fma(real a, real b, real c)
{
#if defined(FP_FAST) || defined(__FP_FAST) || defined(__FMA__) \\
    || defined(__aarch64__) || ARM_HAS
    return fma~(a, b, c);
#else
    return a * b + c;
#endif
}""",
    "rk_to_bits": """
static inline uintBITS_t rk_to_bits(real a)
{
    union { real number; uintBITS_t bits; } both;
    both.number = a;
    return both.bits;
}""",
    "rk_from_bits": """
static inline real rk_from_bits(uintBITS_t a)
{
    union { real number; uintBITS_t bits; } both;
    both.bits = a;
    return both.number;
}""",
    "rk_product": """
/* y = x W, where W has `depth` rows of `columns`: of each column one chain of multiply-adds, in order. */
static void rk_product(const real *restrict x, const real *restrict w,
                       real *restrict y, int32_t depth, int32_t columns)
{
    int32_t k = 0;
    for (int32_t n = 0; n < columns; ++n) {
        y[n] = 0;
    }
    for (; k + 4 <= depth; k += 4, w += 4 * (size_t)columns) {
        const real *restrict w1 = w + columns, *restrict w2 = w1 + columns, *restrict w3 = w2 + columns;
        const real x0 = x[k], x1 = x[k + 1], x2 = x[k + 2], x3 = x[k + 3];
        for (int32_t n = 0; n < columns; ++n) {
            y[n] = rk_fma(x3, w3[n], rk_fma(x2, w2[n], rk_fma(x1, w1[n], rk_fma(x0, w[n], y[n]))));
        }
    }
    for (; k < depth; ++k, w += columns) {
        const real x0 = x[k];
        for (int32_t n = 0; n < columns; ++n) {
            y[n] = rk_fma(x0, w[n], y[n]);
        }
    }
}""",
    "rk_sparse_product": """
/* y = x W, where of W only the nonzeros are there: of row k those from starts[k] to starts[k + 1]. */
static void rk_sparse_product(const real *restrict x, const real *restrict w,
                              const int32_t *restrict starts, const int32_t *restrict in_column,
                              real *restrict y, int32_t depth, int32_t columns)
{
    for (int32_t n = 0; n < columns; ++n) {
        y[n] = 0;
    }
    for (int32_t k = 0; k < depth; ++k) {
        const real x_k = x[k];
        for (int32_t i = starts[k]; i < starts[k + 1]; ++i) {
            y[in_column[i]] = rk_fma(x_k, w[i], y[in_column[i]]);
        }
    }
}""",
}


def _of_lanes(name: str, sign: str) -> str:
    """Return a reduction of partial results: halves first, then quarters."""
    return f"""
static inline real rk_{name}_of_lanes(real *restrict part)
{{
    for (int half = RK_LANES / 2; half > 0; half /= 2) {{
        for (int i = 0; i < half; ++i) {{
            part[i] = part[i] {sign} part[i + half];
        }}
    }}
    return part[0];
}}"""


_HELPERS |= {f"rk_{name}_of_lanes": _of_lanes(name, sign) for name, sign in {"sum": "+", "prod": "*"}.items()}
LANES = """
/* How many parts a sum is made of: those that fill a vector. */
#if defined(__AVX512F__) && defined(__AVX512VL__) && defined(__AVX512DQ__) && defined(__AVX512BW__)
enum { RK_LANES = 64 / sizeof(real) };
#elif defined(__AVX2__) && defined(__FMA__)
enum { RK_LANES = 32 / sizeof(real) };
#else
enum { RK_LANES = 16 / sizeof(real) };
#endif
"""


def expression(op: str, operands, dtype: str) -> str | None:
    """Return the C text of an operation on operands given by name, or None."""
    text = _TEXTS.get(op)
    return None if text is None else _typed(text, dtype).format(*operands)


def integer_expression(op: str, operands, kind: str) -> str:
    """Return the C text of an operation on integers of a kind; comparisons are those of floats."""
    text = _OF_INTEGERS.get(op)
    if text is None:
        return _TEXTS[op].format(*operands)
    text = text.replace("BITS", carrier(kind).removeprefix("int"))
    return _wrapped(text.format(*operands), kind)


def cast(operand: str, given: str, kind: str, dtype: str) -> str:
    """Return the C text of a cast from one kind to another."""
    if kind in FLOATS:
        return f"({REAL[dtype if kind == 'float' else kind]}){operand}"
    return _wrapped(operand if given not in FLOATS else f"rk_to_{carrier(kind)}({operand})", kind)


def _wrapped(text: str, kind: str) -> str:
    return f"({text})" if kind == "int64" else f"({carrier(kind)}_t)({kind}_t)({text})"


def helpers(text: str, dtype: str) -> str:
    """Return the functions ``rk_…`` that a text calls, directly or indirectly, in a valid order for C."""
    found: dict[str, str] = {}

    def add(called_by: str) -> None:
        for name in dict.fromkeys(re.findall(r"\brk_\w+(?=\()", called_by)):
            if name not in found:
                own = _helper(name, dtype)
                add(own.partition("{")[2])
                found[name] = own

    add(without_comments(text))
    lanes = [_typed(LANES.strip(), dtype)] if "RK_LANES" in text else []
    return "\n\n".join([*lanes, *found.values()])


def _helper(name: str, dtype: str) -> str:
    if name in _HELPERS:
        return _typed(_HELPERS[name].strip(), dtype)
    return "\n".join(c_function(name.removeprefix("rk_"), dtype))


# Many small ARM processors have multiply-adds only for float.
_ARM_HAS = {"float32": "defined(__ARM_FEATURE_FMA)", "float64": "(defined(__ARM_FEATURE_FMA) && (__ARM_FP & 8))"}


def _typed(text: str, dtype: str) -> str:
    real, suffix, bits = REAL[dtype], SUFFIX[dtype], {"float32": "32", "float64": "64"}[dtype]
    text = text.replace("FP_FAST", f"FP_FAST_FMA{suffix.upper()}").replace("ARM_HAS", _ARM_HAS[dtype])
    text = text.replace("BITS", bits)
    return re.sub(r"\breal\b", real, text).replace("~", suffix)
