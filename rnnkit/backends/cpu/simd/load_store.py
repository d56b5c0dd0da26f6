"""Reading and writing vectors, whole or by lanes, at addresses in bytes; no alignment is asked for."""

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from rnnkit.backends.cpu.simd.bounds_check import check, check_each, check_lanes
from rnnkit.backends.cpu.simd.registers import LANES, LLVM_FLOATS, Mask, Vector, common_mask, convert, vector_of
from rnnkit.backends.formulas import value as emitted
from rnnkit.backends.formulas.value import Value, call_intrinsic, type_name


def pointer(builder, address, llvm_type):
    return builder.inttoptr(address, llvm_type.as_pointer())


def load_unaligned(builder, address, llvm_type, alignment):
    check(builder, address, _bytes(llvm_type))
    loaded = builder.load(pointer(builder, address, llvm_type))
    loaded.align = alignment
    return loaded


def store_unaligned(builder, address, number, alignment):
    check(builder, address, _bytes(number.type), write=True)
    builder.store(number, pointer(builder, address, number.type)).align = alignment


def _bytes(llvm_type):
    if isinstance(llvm_type, ir.VectorType):
        return llvm_type.count * _bytes(llvm_type.element)
    if isinstance(llvm_type, ir.IntType):
        return llvm_type.width // 8
    return {ir.FloatType(): 4, ir.DoubleType(): 8}[llvm_type]


def lane_numbers(builder, element, lanes, start=0):
    """A vector of the integers ``start``, ``start`` + 1, …"""
    return Value(builder, ir.Constant(ir.VectorType(element, lanes), list(range(start, start + lanes))))


def _lane_addresses(builder, address, stride, lanes):
    return Value(builder, address) + lane_numbers(builder, ir.IntType(64), lanes) * Value(builder, stride)


def masked_load(builder, address, llvm_vector, mask, alignment):
    """The vector at an address; lanes that aren't in `mask` are 0 and their memory is not touched."""
    check_lanes(builder, address, mask, alignment)
    name = f"llvm.masked.load.{type_name(llvm_vector)}.p0"
    source = pointer(builder, address, llvm_vector)
    return call_intrinsic(builder, name, llvm_vector, [source, ir.IntType(32)(alignment), mask, _zeros(llvm_vector)])


def gather(builder, addresses, mask, llvm_vector, alignment):
    """Lane l from the l-th address; memory of lanes that aren't in `mask` is not touched."""
    check_each(builder, addresses.value, mask, alignment)
    pointers = builder.inttoptr(addresses.value, ir.VectorType(llvm_vector.element.as_pointer(), llvm_vector.count))
    name = f"llvm.masked.gather.{type_name(llvm_vector)}.v{llvm_vector.count}p0"
    return call_intrinsic(builder, name, llvm_vector, [pointers, ir.IntType(32)(alignment), mask, _zeros(llvm_vector)])


def _zeros(llvm_vector):
    return ir.Constant(llvm_vector, [0] * llvm_vector.count)


def _define_memory(dtype):
    """What reads, makes and writes vectors of one dtype."""
    element = LLVM_FLOATS[dtype]
    size = dtype.bitwidth // 8

    def llvm_vector():
        return ir.VectorType(element, LANES[str(dtype)])

    def first(typingctx, count):
        """The mask with lanes < count set."""
        lanes = LANES[str(dtype)]

        def generate(context, builder, signature, arguments):
            count = Value(builder, arguments[0])
            index = lane_numbers(builder, ir.IntType(32), lanes)
            few = emitted.select(count < lanes, count, count.constant(lanes))
            few = emitted.select(few > 0, few, few.constant(0))
            return (index < Value(builder, builder.trunc(few.value, ir.IntType(32)))).value

        return Mask(lanes)(types.int64), generate

    def load(typingctx, address, mask):
        """The vector at `address`; lanes that aren't in `mask` are 0 and their memory is not touched."""
        kind = vector_of(dtype)

        def generate(context, builder, signature, arguments):
            return masked_load(builder, arguments[0], llvm_vector(), arguments[1], size)

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
            return gather(builder, _lane_addresses(builder, address, stride, kind.lanes), mask, llvm_vector(), size)

        return kind(types.int64, types.int64, Mask(kind.lanes)), generate

    def load_table(typingctx, address, table, mask):
        """Lane l from `address` + the l-th int32 at `table`; memory of lanes that aren't in `mask` is not touched."""
        kind = vector_of(dtype)

        def generate(context, builder, signature, arguments):
            address, table, mask = arguments
            offsets = masked_load(builder, table, ir.VectorType(ir.IntType(32), kind.lanes), mask, 4)
            offsets = Value(builder, builder.sext(offsets, ir.VectorType(ir.IntType(64), kind.lanes)))
            return gather(builder, Value(builder, address) + offsets, mask, llvm_vector(), size)

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

    made = [first, load, load_full, splat, fill, load_strided, load_table, to_vector, load_scalar, store_scalar]
    for definition in made:
        definition.__name__ = definition.__qualname__ = f"{definition.__name__}_{dtype}"
    return [intrinsic(definition) for definition in made]


(
    first_float32,
    load_float32,
    load_full_float32,
    splat_float32,
    fill_float32,
    load_strided_float32,
    load_table_float32,
    to_vector_float32,
    load_scalar_float32,
    store_scalar_float32,
) = _define_memory(types.float32)
(
    first_float64,
    load_float64,
    load_full_float64,
    splat_float64,
    fill_float64,
    load_strided_float64,
    load_table_float64,
    to_vector_float64,
    load_scalar_float64,
    store_scalar_float64,
) = _define_memory(types.float64)


@intrinsic
def store(typingctx, address, vector, mask):
    """Write the lanes of `vector` that are in `mask` at `address`; no other memory is touched."""

    def generate(context, builder, signature, arguments):
        address, number, mask = arguments
        name = f"llvm.masked.store.{type_name(number.type)}.p0"
        size = ir.IntType(32)(vector.dtype.bitwidth // 8)
        check_lanes(builder, address, mask, size.constant, write=True)
        call_intrinsic(builder, name, ir.VoidType(), [number, pointer(builder, address, number.type), size, mask])
        return context.get_dummy_value()

    return (types.void(types.int64, vector, mask), generate) if isinstance(vector, Vector) else None


@intrinsic
def stream(typingctx, address, vector):
    """Write all lanes of `vector` at an address that is a multiple of its size, past the caches; see `drain`."""

    def generate(context, builder, signature, arguments):
        check(builder, arguments[0], _bytes(arguments[1].type), write=True)
        written = builder.store(arguments[1], pointer(builder, arguments[0], arguments[1].type))
        written.align = _bytes(arguments[1].type)
        written.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
        return context.get_dummy_value()

    return (types.void(types.int64, vector), generate) if isinstance(vector, Vector) else None


@intrinsic
def drain(typingctx):
    """Let other threads see what was streamed."""

    def generate(context, builder, signature, arguments):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


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
        addresses = _lane_addresses(builder, address, stride, vector.lanes).value
        check_each(builder, addresses, mask, vector.dtype.bitwidth // 8, write=True)
        pointers = builder.inttoptr(addresses, ir.VectorType(number.type.element.as_pointer(), vector.lanes))
        name = f"llvm.masked.scatter.{type_name(number.type)}.v{vector.lanes}p0"
        size = ir.IntType(32)(vector.dtype.bitwidth // 8)
        call_intrinsic(builder, name, ir.VoidType(), [number, pointers, size, mask])
        return context.get_dummy_value()

    return (types.void(types.int64, vector, types.int64, mask), generate) if isinstance(vector, Vector) else None
