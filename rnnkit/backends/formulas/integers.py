"""Integers on `Value`s: NumPy's, which wrap, in int32 or int64.

Where NumPy warns, the result is a processor's: 0 for a division by 0, the least integer for a float out of range.
"""

from rnnkit.backends.formulas.value import Value, narrowed, select, widened


def _divided(a, b, operation):
    """Return ``operation`` of two integers without its traps, and where b is 0 and where b is -1."""
    none, turned = b == 0, b == -1
    return a.of(getattr(a.builder, operation)(a.value, select(none | turned, 1, b).value)), none, turned


def fmod(a, b):
    rest, none, turned = _divided(a, b, "srem")
    return select(none | turned, 0, rest)


def remainder(a, b):
    rest, none, turned = _divided(a, b, "srem")
    rest = select((rest != 0) & ((rest ^ b) < 0), rest + b, rest)
    return select(none | turned, 0, rest)


def floor_divide(a, b):
    quotient, none, turned = _divided(a, b, "sdiv")
    rest = a - quotient * b
    quotient = select((rest != 0) & ((rest ^ b) < 0), quotient - 1, quotient)
    return select(none, 0, select(turned, a.constant(0) - a, quotient))


def absolute(x):
    return select(x < 0, x.constant(0) - x, x)


def left_shift(a, b):
    """Return a << b, and 0 where b is negative or at least the number of bits."""
    inside = (b >= 0) & (b < a.width)
    return select(inside, a << select(inside, b, 0), 0)


def right_shift(a, b):
    """Return a >> b, and the sign alone where b is negative or at least the number of bits."""
    return a >> select((b >= 0) & (b < a.width), b, a.width - 1)


def to_integer(x: Value, llvm_type) -> Value:
    """Return a float or an integer as an integer of a type, with as many lanes."""
    width = getattr(llvm_type, "element", llvm_type).width
    if not x.is_float:
        moved = x.builder.sext if width > x.width else x.builder.trunc
        return x if width == x.width else x.of(moved(x.value, llvm_type))
    least = -(2.0 ** (width - 1))
    inside = (x < -least) & (x > least)
    found = x.of(x.builder.fptosi(select(inside, x, 0.0).value, llvm_type))
    return select(inside, found, found.constant(least))


def round_float32(x: Value) -> Value:
    """Return a float64 rounded to float32, as float64."""
    return widened(narrowed(x))


def wrap(x: Value, bits: int, signed: bool) -> Value:
    """Return an integer cut to so many bits."""
    return (x << (x.width - bits)) >> (x.width - bits) if signed else x & (2**bits - 1)
