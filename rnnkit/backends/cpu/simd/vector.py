"""Functions of SIMD values: `Vector`, a register full of floats, and `Mask`, one bit for each of its lanes.

Code written with them is vectorized as it stands; nothing is left to the compiler's guesses. Addresses, strides
and offsets are int64 and count bytes; no alignment is asked for. There is no fast-math, and a multiply-add is
formed only where `fma` is written, so that a value doesn't depend on the kernel it is computed in.
"""

import operator
from collections.abc import Callable

from rnnkit.backends.cpu.simd.intrinsic import Emission, Intrinsic, overloaded
from rnnkit.backends.cpu.simd.kinds import BOOL, Kind, Mask, Vector, vector
from rnnkit.backends.cpu.simd.load_store import *  # noqa: F403  # what programs import from here, too
from rnnkit.backends.cpu.simd.registers import (  # noqa: F401
    FEATURES,
    LANES,
    REGISTERS,
    common,
    common_bits,
    common_mask,
    convert,
    mask_of,
)
from rnnkit.backends.formulas import value as emitted


def itself(kind: Kind) -> Kind:
    """Return the kind itself: the result has the kind in which it is computed."""
    return kind


def _scalar_of(kind: Kind) -> Kind:
    return kind.element if isinstance(kind, Vector) else kind


def typed(function: Callable, given: tuple[Kind, ...], common=common, result=itself) -> Emission | None:
    """Return `function` of Values for arguments of these kinds; None where they can't be computed together."""
    kind = common(*given)
    if kind is None:
        return None

    def emit(builder, *numbers):
        pairs = zip(numbers, given, strict=True)
        return function(*[convert(builder, number, one, kind) for number, one in pairs]).value

    return Emission(result(kind), given, emit)


def function_of_values(arity: int, result=itself) -> Callable[[Callable], Intrinsic]:
    """Decorator: make a function of so many Values one of programs; `result` gives its kind by the common one."""

    def decorate(function):
        return Intrinsic(
            lambda *given: typed(function, given, result=result) if len(given) == arity else None, function
        )

    return decorate


fma = function_of_values(3)(emitted.fma)


def _reduction(combine: Callable) -> Intrinsic:
    def reduced(x):
        return emitted.reduce(x, combine)

    return function_of_values(1, result=_scalar_of)(reduced)


reduce_add, reduce_multiply = _reduction(operator.add), _reduction(operator.mul)
reduce_minimum, reduce_maximum = _reduction(emitted.minimum), _reduction(emitted.maximum)


@function_of_values(1, result=mask_of)
def to_mask(x):
    return x != 0


@overloaded
def select(mask, a, b):
    """Return `a` where `mask` is set, `b` elsewhere."""
    test = common_mask(mask)
    masks = all(isinstance(kind, Mask) or kind is BOOL for kind in (a, b))
    kind = common_mask(a, b) if masks else common(a, b)
    if test is None or kind is None:
        return None
    if isinstance(test, Mask) and not isinstance(kind, (Vector, Mask)):
        kind = test if kind is BOOL else vector(kind, test.lanes)

    def emit(builder, chosen, *values):
        chosen = convert(builder, chosen, mask, test)
        pairs = zip(values, (a, b), strict=True)
        return emitted.select(chosen, *(convert(builder, value, given, kind) for value, given in pairs)).value

    return Emission(kind, (mask, a, b), emit)


# Operators on values that are not all ints and bools: the common kind of the values, and the result's kind.
_ARITHMETIC: tuple[Callable, ...] = (operator.add, operator.sub, operator.mul, operator.truediv, operator.neg)
_COMPARISONS = (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne)
_LOGICAL: tuple[Callable, ...] = (operator.and_, operator.or_, operator.xor, operator.invert)
_KINDS: dict[Callable, tuple[Callable, Callable]] = dict.fromkeys(_ARITHMETIC, (common, itself))
_KINDS |= dict.fromkeys(_COMPARISONS, (common, mask_of)) | dict.fromkeys(_LOGICAL, (common_bits, itself))


def arithmetic(symbol: Callable, *given: Kind) -> Emission | None:
    """Return an operator of Python for values of these kinds."""
    return typed(symbol, given, *_KINDS[symbol]) if symbol in _KINDS else None
