"""SIMD values as numba types: `Vector`, a register full of floats, and `Mask`, one bit for each of its lanes.

Code written with them is vectorised as it stands; nothing is left to the compiler's guesses. Addresses, strides
and offsets are int64 and count bytes; no alignment is asked for. There is no fast-math, and a multiply-add is
formed only where `fma` is written, so that a value doesn't depend on the kernel it is computed in.
"""

import operator

from numba import types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin

from rnnkit.backends.cpu.simd.load_store import (  # noqa: F401
    drain,
    fill_float32,
    fill_float64,
    first_float32,
    first_float64,
    load_float32,
    load_float64,
    load_full_float32,
    load_full_float64,
    load_scalar_float32,
    load_scalar_float64,
    load_strided_float32,
    load_strided_float64,
    load_table_float32,
    load_table_float64,
    splat_float32,
    splat_float64,
    store,
    store_full,
    store_scalar_float32,
    store_scalar_float64,
    store_strided,
    stream,
    to_vector_float32,
    to_vector_float64,
)
from rnnkit.backends.cpu.simd.registers import (  # noqa: F401
    FEATURES,
    LANES,
    REGISTERS,
    Mask,
    Vector,
    common,
    common_mask,
    convert,
    mask_of,
)
from rnnkit.backends.formulas import value as emitted
from rnnkit.backends.formulas.target import Target, itself

CPU = Target(intrinsic, signature, common, convert)
function_of_values = CPU.function

fma = function_of_values(3)(emitted.fma)


def _scalar_of(kind):
    return kind.dtype if isinstance(kind, Vector) else kind


@function_of_values(1, result=_scalar_of)
def reduce_add(x):
    return emitted.reduce(x, operator.add)


@function_of_values(1, result=_scalar_of)
def reduce_multiply(x):
    return emitted.reduce(x, operator.mul)


@function_of_values(1, result=_scalar_of)
def reduce_minimum(x):
    return emitted.reduce(x, emitted.minimum)


@function_of_values(1, result=_scalar_of)
def reduce_maximum(x):
    return emitted.reduce(x, emitted.maximum)


@function_of_values(1, result=mask_of)
def to_mask(x):
    """Set where x is not 0."""
    return x != 0


@intrinsic
def select(typingctx, mask, a, b):
    """`a` where `mask` is set, `b` elsewhere."""
    test = common_mask((mask,))
    masks = isinstance(a, (Mask, types.Boolean)) and isinstance(b, (Mask, types.Boolean))
    kind = common_mask((a, b)) if masks else common((a, b))
    if test is None or kind is None:
        return None
    if isinstance(test, Mask) and not isinstance(kind, (Vector, Mask)):
        kind = test if kind == types.boolean else Vector(kind, test.lanes)

    def generate(context, builder, signature, numbers):
        chosen = convert(context, builder, numbers[0], mask, test)
        values = (convert(context, builder, n, t, kind) for n, t in zip(numbers[1:], (a, b), strict=True))
        return emitted.select(chosen, *values).value

    return signature(kind, mask, a, b), generate


# --- Operators ---


def _define_operator(symbol, arity, common, result, owner):
    @infer_global(symbol)
    class _Typing(AbstractTemplate):
        def generic(self, arguments, keywords):
            if len(arguments) != arity or not any(isinstance(t, owner) for t in arguments):
                return None
            typed = CPU.typed(symbol, arguments, common, result)
            return None if typed is None else typed[0]

    others = (types.Number, types.Boolean) if owner is Vector else (types.Boolean,)
    combinations: list[tuple] = [(owner,)] if arity == 1 else [(owner, owner)]
    if arity == 2:
        combinations += [pair for other in others for pair in ((owner, other), (other, owner))]
    for combination in combinations:

        @lower_builtin(symbol, *combination)
        def lower(context, builder, sig, numbers):
            return CPU.typed(symbol, sig.args, common, result)[1](context, builder, sig, numbers)


for _symbol in (operator.add, operator.sub, operator.mul, operator.truediv):
    _define_operator(_symbol, 2, common, itself, Vector)
for _symbol in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
    _define_operator(_symbol, 2, common, mask_of, Vector)
for _symbol in (operator.and_, operator.or_, operator.xor):
    _define_operator(_symbol, 2, common_mask, itself, Mask)
_define_operator(operator.neg, 1, common, itself, Vector)
_define_operator(operator.invert, 1, common_mask, itself, Mask)
