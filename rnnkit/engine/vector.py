"""SIMD values as numba types: `Vector`, a register full of floats, and `Mask`, one bit for each of its lanes.

Code written with them is vectorised as it stands; nothing is left to the compiler's guesses. Addresses, strides
and offsets are int64 and count bytes; no alignment is asked for. There is no fast-math, and a multiply-add is
formed only where `fma` is written, so that a value doesn't depend on the kernel it is computed in.
"""

import operator
import os

import llvmlite.binding as llvm
from llvmlite import ir
from numba import types
from numba.core import codegen, config
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from rnnkit.engine import value as emitted
from rnnkit.engine.value import BIT, Value, call_intrinsic, type_name

WIDTHS = {"avx512": 64, "avx2": 32, "neon": 16, "generic": 16}
REGISTERS_OF = {"avx512": 32, "avx2": 16, "neon": 32, "generic": 16}


def _find_host():
    name = config.CPU_NAME or llvm.get_host_cpu_name()
    flags = config.CPU_FEATURES if config.CPU_FEATURES is not None else codegen.get_host_cpu_features()
    present = set(flags.split(","))
    if {"+avx512f", "+avx512vl", "+avx512dq", "+avx512bw"} <= present:
        return "avx512", name
    if {"+avx2", "+fma"} <= present:
        return "avx2", name
    return ("neon" if "+neon" in present else "generic"), name


class _Lanes(dict):
    """Lanes by dtype; empty where RNNKIT_VECTOR names nothing known, which is told at the first look-up."""

    def __missing__(self, dtype):
        if not self:
            raise ValueError(f"RNNKIT_VECTOR is {FEATURE_SET!r}: expected one of {', '.join(WIDTHS)}, or unset")
        raise KeyError(dtype)


_found, _cpu = _find_host()
FEATURE_SET = os.environ.get("RNNKIT_VECTOR") or _found
LANES = _Lanes()
if FEATURE_SET in WIDTHS:
    LANES.update(float32=WIDTHS[FEATURE_SET] // 4, float64=WIDTHS[FEATURE_SET] // 8)
REGISTERS = REGISTERS_OF.get(FEATURE_SET, 16)
FEATURES = f"{FEATURE_SET} {8 * WIDTHS.get(FEATURE_SET, 0)} bits {REGISTERS} registers {_cpu}"

LLVM_FLOATS = {types.float32: ir.FloatType(), types.float64: ir.DoubleType()}


class Vector(types.Type):
    """`lanes` floats of numba type `dtype`; ``<lanes x float>`` in LLVM."""

    def __init__(self, dtype, lanes):
        self.dtype = dtype
        self.lanes = lanes
        super().__init__(name=f"vector({dtype} x {lanes})")


class Mask(types.Type):
    """`lanes` bits."""

    def __init__(self, lanes):
        self.lanes = lanes
        super().__init__(name=f"mask({lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector):
        super().__init__(manager, vector, ir.VectorType(LLVM_FLOATS[vector.dtype], vector.lanes))


@register_model(Mask)
class _MaskModel(models.PrimitiveModel):
    def __init__(self, manager, mask):
        super().__init__(manager, mask, ir.VectorType(BIT, mask.lanes))


def vector_of(dtype):
    """The `Vector` of this host for a numba float type."""
    return Vector(dtype, LANES[str(dtype)])


# --- Functions of Values as numba intrinsics: vectors and numbers mix as in NumPy. ---


def common(arguments):
    """The Vector or float type in which `arguments` meet, None if they don't."""
    vectors = {t for t in arguments if isinstance(t, Vector)}
    if not all(isinstance(t, (Vector, types.Number, types.Boolean)) for t in arguments) or len(vectors) > 1:
        return None
    if vectors:
        return vectors.pop()
    floats = [t for t in arguments if isinstance(t, types.Float) and t in LLVM_FLOATS]
    return max(floats, key=lambda t: t.bitwidth, default=types.float64)


def common_mask(arguments):
    """The Mask or bool in which `arguments` meet, None if they don't."""
    masks = {t for t in arguments if isinstance(t, Mask)}
    if not all(isinstance(t, (Mask, types.Boolean)) for t in arguments) or len(masks) > 1:
        return None
    return masks.pop() if masks else types.boolean


def mask_of(kind):
    """The type of a comparison of this kind of value."""
    return Mask(kind.lanes) if isinstance(kind, Vector) else types.boolean


def itself(kind):
    return kind


def convert(context, builder, number, given, kind):
    """An argument of type `given` as a `Value` of `kind`."""
    if given == kind:
        return _bit(Value(builder, number), kind)
    if isinstance(kind, Mask):
        return Value(builder, emitted.broadcast(builder, builder.trunc(number, BIT), kind.lanes))
    number = context.cast(builder, number, given, kind.dtype if isinstance(kind, Vector) else kind)
    return Value(builder, emitted.broadcast(builder, number, kind.lanes) if isinstance(kind, Vector) else number)


def _bit(value, kind):
    # A numba bool is i1 as a value; some versions hand it over as i8.
    if kind == types.boolean and value.width != 1:
        return Value(value.builder, value.builder.trunc(value.value, BIT))
    return value


def typed(function, arguments, meet=common, result=itself):
    """(signature, code generator) of `function` of Values for these argument types; None where they don't fit."""
    kind = meet(arguments)
    if kind is None:
        return None

    def generate(context, builder, signature, numbers):
        values = [convert(context, builder, n, t, kind) for n, t in zip(numbers, signature.args, strict=True)]
        return function(*values).value

    return signature(result(kind), *arguments), generate


def function_of_values(arity, meet=common, result=itself):
    """Decorator: a Python function of `arity` Values becomes a function for jitted code."""

    def decorate(function):
        if arity == 1:

            def definition(typingctx, a):
                return typed(function, (a,), meet, result)
        elif arity == 2:

            def definition(typingctx, a, b):
                return typed(function, (a, b), meet, result)
        else:

            def definition(typingctx, a, b, c):
                return typed(function, (a, b, c), meet, result)

        definition.__name__ = definition.__qualname__ = function.__name__
        definition.__doc__ = function.__doc__
        return intrinsic(definition)

    return decorate


fma = function_of_values(3)(emitted.fma)
absolute = function_of_values(1)(emitted.absolute)
sqrt = function_of_values(1)(emitted.sqrt)
floor = function_of_values(1)(emitted.floor)
ceil = function_of_values(1)(emitted.ceil)
trunc = function_of_values(1)(emitted.trunc)
rint = function_of_values(1)(emitted.rint)
copysign = function_of_values(2)(emitted.copysign)
minimum = function_of_values(2)(emitted.minimum)
maximum = function_of_values(2)(emitted.maximum)


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
    meet = common_mask if isinstance(a, (Mask, types.Boolean)) and isinstance(b, (Mask, types.Boolean)) else common
    kind = meet((a, b))
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


def _define_operator(symbol, function, arity, meet, result, owner):
    @infer_global(symbol)
    class _Typing(AbstractTemplate):
        def generic(self, arguments, keywords):
            if len(arguments) != arity or not any(isinstance(t, owner) for t in arguments):
                return None
            kind = meet(arguments)
            return None if kind is None else signature(result(kind), *arguments)

    others = (types.Number, types.Boolean) if owner is Vector else (types.Boolean,)
    combinations = [(owner,)] if arity == 1 else [(owner, owner)]
    if arity == 2:
        combinations += [pair for other in others for pair in ((owner, other), (other, owner))]
    for combination in combinations:

        @lower_builtin(symbol, *combination)
        def lower(context, builder, sig, numbers):
            return typed(function, sig.args, meet, result)[1](context, builder, sig, numbers)


for _symbol in (operator.add, operator.sub, operator.mul, operator.truediv):
    _define_operator(_symbol, _symbol, 2, common, itself, Vector)
for _symbol in (operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne):
    _define_operator(_symbol, _symbol, 2, common, mask_of, Vector)
for _symbol in (operator.and_, operator.or_, operator.xor):
    _define_operator(_symbol, _symbol, 2, common_mask, itself, Mask)
_define_operator(operator.neg, operator.neg, 1, common, itself, Vector)
_define_operator(operator.invert, operator.invert, 1, common_mask, itself, Mask)


# --- Memory ---


def pointer(builder, address, llvm_type):
    return builder.inttoptr(address, llvm_type.as_pointer())


def load_unaligned(builder, address, llvm_type, alignment):
    loaded = builder.load(pointer(builder, address, llvm_type))
    loaded.align = alignment
    return loaded


def store_unaligned(builder, address, number, alignment):
    builder.store(number, pointer(builder, address, number.type)).align = alignment


def _lane_addresses(builder, address, stride, lanes):
    i64 = ir.IntType(64)
    steps = Value(builder, ir.Constant(ir.VectorType(i64, lanes), list(range(lanes))))
    return (Value(builder, address) + steps * Value(builder, stride)).value


def _gather(builder, addresses, mask, llvm_vector, alignment):
    pointers = builder.inttoptr(addresses, ir.VectorType(llvm_vector.element.as_pointer(), llvm_vector.count))
    name = f"llvm.masked.gather.{type_name(llvm_vector)}.v{llvm_vector.count}p0"
    zeros = ir.Constant(llvm_vector, [0.0] * llvm_vector.count)
    return call_intrinsic(builder, name, llvm_vector, [pointers, ir.IntType(32)(alignment), mask, zeros])


def _define_memory(dtype):
    """The loads and makers of vectors of one dtype, by name."""
    element = LLVM_FLOATS[dtype]
    size = dtype.bitwidth // 8

    def llvm_vector():
        return ir.VectorType(element, LANES[str(dtype)])

    def first(typingctx, count):
        """The mask with lanes < count set."""
        lanes = LANES[str(dtype)]

        def generate(context, builder, signature, arguments):
            count = Value(builder, arguments[0])
            index = Value(builder, ir.Constant(ir.VectorType(ir.IntType(32), lanes), list(range(lanes))))
            few = emitted.select(count < lanes, count, count.constant(lanes))
            few = emitted.select(few > 0, few, few.constant(0))
            return (index < Value(builder, builder.trunc(few.value, ir.IntType(32)))).value

        return Mask(lanes)(types.int64), generate

    def load(typingctx, address, mask):
        """The vector at `address`; lanes that aren't in `mask` are 0 and their memory is not touched."""
        kind = vector_of(dtype)

        def generate(context, builder, signature, arguments):
            vector = llvm_vector()
            name = f"llvm.masked.load.{type_name(vector)}.p0"
            zeros = ir.Constant(vector, [0.0] * vector.count)
            source = pointer(builder, arguments[0], vector)
            return call_intrinsic(builder, name, vector, [source, ir.IntType(32)(size), arguments[1], zeros])

        return kind(types.int64, Mask(kind.lanes)), generate

    def load_full(typingctx, address):
        """The vector at `address`, all lanes."""

        def generate(context, builder, signature, arguments):
            return load_unaligned(builder, arguments[0], llvm_vector(), size)

        return vector_of(dtype)(types.int64), generate

    def splat(typingctx, address):
        """The number at `address` in every lane."""

        def generate(context, builder, signature, arguments):
            number = load_unaligned(builder, arguments[0], element, size)
            return emitted.broadcast(builder, number, LANES[str(dtype)])

        return vector_of(dtype)(types.int64), generate

    def fill(typingctx, value):
        """`value` in every lane."""
        kind = vector_of(dtype)
        if not isinstance(value, (types.Number, types.Boolean)):
            return None

        def generate(context, builder, signature, arguments):
            return convert(context, builder, arguments[0], value, kind).value

        return kind(value), generate

    def load_strided(typingctx, address, stride, mask):
        """Lane l from `address` + l * `stride`; memory of lanes that aren't in `mask` is not touched."""
        kind = vector_of(dtype)

        def generate(context, builder, signature, arguments):
            address, stride, mask = arguments
            return _gather(builder, _lane_addresses(builder, address, stride, kind.lanes), mask, llvm_vector(), size)

        return kind(types.int64, types.int64, Mask(kind.lanes)), generate

    def load_table(typingctx, address, table, mask):
        """Lane l from `address` + the l-th int32 at `table`; memory of lanes that aren't in `mask` is not touched."""
        kind = vector_of(dtype)

        def generate(context, builder, signature, arguments):
            address, table, mask = arguments
            offsets_type = ir.VectorType(ir.IntType(32), kind.lanes)
            name = f"llvm.masked.load.{type_name(offsets_type)}.p0"
            source = [pointer(builder, table, offsets_type), ir.IntType(32)(4), mask]
            offsets = call_intrinsic(
                builder, name, offsets_type, [*source, ir.Constant(offsets_type, [0] * kind.lanes)]
            )
            offsets = Value(builder, builder.sext(offsets, ir.VectorType(ir.IntType(64), kind.lanes)))
            return _gather(builder, (Value(builder, address) + offsets).value, mask, llvm_vector(), size)

        return kind(types.int64, types.int64, Mask(kind.lanes)), generate

    def to_vector(typingctx, mask):
        """1.0 where `mask` is set, 0.0 elsewhere."""
        test = common_mask((mask,))
        if test is None:
            return None

        def generate(context, builder, signature, arguments):
            return convert(context, builder, arguments[0], mask, test).to_float(element).value

        return (vector_of(dtype) if isinstance(test, Mask) else dtype)(mask), generate

    def load_scalar(typingctx, address):
        """The number at `address`."""

        def generate(context, builder, signature, arguments):
            return load_unaligned(builder, arguments[0], element, size)

        return dtype(types.int64), generate

    def store_scalar(typingctx, address, value):
        """Write one number at `address`."""

        def generate(context, builder, signature, arguments):
            store_unaligned(builder, arguments[0], arguments[1], size)
            return context.get_dummy_value()

        return types.void(types.int64, dtype), generate

    made = {}
    for definition in (first, load, load_full, splat, fill, load_strided, load_table, to_vector, load_scalar, store_scalar):
        definition.__name__ = definition.__qualname__ = f"{definition.__name__}_{dtype}"
        made[definition.__name__] = intrinsic(definition)
    return made


globals().update(_define_memory(types.float32))
globals().update(_define_memory(types.float64))


@intrinsic
def store(typingctx, address, vector, mask):
    """Write the lanes of `vector` that are in `mask` at `address`; no other memory is touched."""

    def generate(context, builder, signature, arguments):
        address, number, mask = arguments
        name = f"llvm.masked.store.{type_name(number.type)}.p0"
        size = ir.IntType(32)(vector.dtype.bitwidth // 8)
        call_intrinsic(builder, name, ir.VoidType(), [number, pointer(builder, address, number.type), size, mask])
        return context.get_dummy_value()

    return (types.void(types.int64, vector, mask), generate) if isinstance(vector, Vector) else None


@intrinsic
def store_full(typingctx, address, vector):
    """Write all lanes of `vector` at `address`."""

    def generate(context, builder, signature, arguments):
        store_unaligned(builder, arguments[0], arguments[1], vector.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return (types.void(types.int64, vector), generate) if isinstance(vector, Vector) else None


@intrinsic
def store_strided(typingctx, address, vector, stride, mask):
    """Write lane l of `vector` at `address` + l * `stride`, for the lanes in `mask`."""

    def generate(context, builder, signature, arguments):
        address, number, stride, mask = arguments
        addresses = _lane_addresses(builder, address, stride, vector.lanes)
        pointers = builder.inttoptr(addresses, ir.VectorType(number.type.element.as_pointer(), vector.lanes))
        name = f"llvm.masked.scatter.{type_name(number.type)}.v{vector.lanes}p0"
        size = ir.IntType(32)(vector.dtype.bitwidth // 8)
        call_intrinsic(builder, name, ir.VoidType(), [number, pointers, size, mask])
        return context.get_dummy_value()

    return (types.void(types.int64, vector, types.int64, mask), generate) if isinstance(vector, Vector) else None
