"""Reading and writing vectors, whole or by lanes, at addresses in bytes; no alignment is asked for."""

from llvmlite import ir

from rnnkit.backends.cpu.simd.bounds_check import check, check_each, check_lanes
from rnnkit.backends.cpu.simd.intrinsic import Emission, intrinsic, overloaded
from rnnkit.backends.cpu.simd.kinds import FLOAT32, FLOAT64, INT, VOID, Float, Integer, Mask, Vector, vector
from rnnkit.backends.cpu.simd.registers import LANES, common, common_mask, convert, mask_of
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
    """Return a vector of the integers ``start``, ``start`` + 1, …"""
    return Value(builder, ir.Constant(ir.VectorType(element, lanes), list(range(start, start + lanes))))


def _lane_addresses(builder, address, stride, lanes):
    return Value(builder, address) + lane_numbers(builder, ir.IntType(64), lanes) * Value(builder, stride)


def masked_load(builder, address, llvm_vector, mask, alignment):
    """Load the vector at an address; lanes that aren't in `mask` are 0 and their memory is not touched."""
    check_lanes(builder, address, mask, alignment)
    name = f"llvm.masked.load.{type_name(llvm_vector)}.p0"
    source = pointer(builder, address, llvm_vector)
    return call_intrinsic(builder, name, llvm_vector, [source, ir.IntType(32)(alignment), mask, _zeros(llvm_vector)])


def gather(builder, addresses, mask, llvm_vector, alignment):
    """Load lane l from the l-th address; memory of lanes that aren't in `mask` is not touched."""
    check_each(builder, addresses.value, mask, alignment)
    pointers = builder.inttoptr(addresses.value, ir.VectorType(llvm_vector.element.as_pointer(), llvm_vector.count))
    name = f"llvm.masked.gather.{type_name(llvm_vector)}.v{llvm_vector.count}p0"
    return call_intrinsic(builder, name, llvm_vector, [pointers, ir.IntType(32)(alignment), mask, _zeros(llvm_vector)])


def _zeros(llvm_vector):
    return emitted.uniform(llvm_vector.element, llvm_vector.count, "zeroinitializer")


def define_memory(element: Float | Integer, of: Float):
    """Return functions that read, make and write vectors of one kind of number, with a float's number of lanes."""
    # An unknown RNNKIT_VECTOR is reported at the first use.
    size, kind = element.size, vector(element, LANES.get(of.name, 1))
    lanes, mask_kind = kind.lanes, mask_of(kind)

    def first(builder, count):
        """Return the mask with lanes < count set."""
        count = Value(builder, count)
        few = emitted.select(count < lanes, count, count.constant(lanes))
        few = emitted.select(few > 0, few, few.constant(0))
        index = lane_numbers(builder, ir.IntType(32), lanes)
        return (index < Value(builder, builder.trunc(few.value, ir.IntType(32)))).value

    def load(builder, address, mask):
        """Load the vector at `address`; lanes that aren't in `mask` are 0 and their memory is not touched."""
        return masked_load(builder, address, kind.llvm, mask, size)

    def load_full(builder, address):
        return load_unaligned(builder, address, kind.llvm, size)

    def splat(builder, address):
        """Load the number at `address` into every lane."""
        return emitted.broadcast(builder, load_unaligned(builder, address, element.llvm, size), lanes)

    def fill(value):
        if common(value, kind) is None:
            return None
        return Emission(kind, (value,), lambda builder, number: convert(builder, number, value, kind).value)

    def load_strided(builder, address, stride, mask):
        """Load lane l from `address` + l * `stride`; memory of lanes that aren't in `mask` is not touched."""
        return gather(builder, _lane_addresses(builder, address, stride, lanes), mask, kind.llvm, size)

    def load_table(builder, address, table, mask):
        """Load lane l from `address` + the l-th int32 at `table`; memory of lanes not in `mask` is not touched."""
        offsets = masked_load(builder, table, ir.VectorType(ir.IntType(32), lanes), mask, 4)
        offsets = Value(builder, builder.sext(offsets, ir.VectorType(ir.IntType(64), lanes)))
        return gather(builder, Value(builder, address) + offsets, mask, kind.llvm, size)

    def to_vector(mask):
        """Return 1.0 where `mask` is set, 0.0 elsewhere."""
        test = common_mask(mask)
        if test is None:
            return None

        def emit(builder, bits):
            return convert(builder, bits, mask, test).to_float(element.llvm).value

        return Emission(kind if isinstance(test, Mask) else element, (mask,), emit)

    def load_scalar(builder, address):
        return load_unaligned(builder, address, element.llvm, size)

    def store_scalar(builder, address, value):
        store_unaligned(builder, address, value, size)

    return (
        intrinsic(mask_kind, INT)(first),
        intrinsic(kind, INT, mask_kind)(load),
        intrinsic(kind, INT)(load_full),
        intrinsic(kind, INT)(splat),
        overloaded(fill),
        intrinsic(kind, INT, INT, mask_kind)(load_strided),
        intrinsic(kind, INT, INT, mask_kind)(load_table),
        overloaded(to_vector),
        intrinsic(element, INT)(load_scalar),
        intrinsic(VOID, INT, element)(store_scalar),
    )


(
    first_float32, load_float32, load_full_float32, splat_float32, fill_float32, load_strided_float32,
    load_table_float32, to_vector_float32, load_scalar_float32, store_scalar_float32,
) = define_memory(FLOAT32, FLOAT32)  # fmt: skip
(
    first_float64, load_float64, load_full_float64, splat_float64, fill_float64, load_strided_float64,
    load_table_float64, to_vector_float64, load_scalar_float64, store_scalar_float64,
) = define_memory(FLOAT64, FLOAT64)  # fmt: skip


@overloaded
def store(address, vector, mask):
    """Write the lanes of `vector` that are in `mask` at `address`; no other memory is touched."""
    if not isinstance(vector, Vector):
        return None
    size = vector.element.size

    def emit(builder, address, number, mask):
        name = f"llvm.masked.store.{type_name(number.type)}.p0"
        check_lanes(builder, address, mask, size, write=True)
        place = pointer(builder, address, number.type)
        call_intrinsic(builder, name, ir.VoidType(), [number, place, ir.IntType(32)(size), mask])

    return Emission(VOID, (INT, vector, mask_of(vector)), emit)


@overloaded
def stream(address, vector):
    """Write all lanes of `vector` at an address that is a multiple of its size, past the caches; see `drain`."""

    def emit(builder, address, number):
        check(builder, address, _bytes(number.type), write=True)
        written = builder.store(number, pointer(builder, address, number.type))
        written.align = _bytes(number.type)
        written.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))

    return Emission(VOID, (INT, vector), emit) if isinstance(vector, Vector) else None


@intrinsic(VOID)
def drain(builder):
    """Make streamed writes visible to other threads."""
    builder.fence("seq_cst")


@overloaded
def store_full(address, vector):
    def emit(builder, address, number):
        store_unaligned(builder, address, number, vector.element.size)

    return Emission(VOID, (INT, vector), emit) if isinstance(vector, Vector) else None


@overloaded
def store_strided(address, vector, stride, mask):
    """Write lane l of `vector` at `address` + l * `stride`, for the lanes in `mask`."""
    if not isinstance(vector, Vector):
        return None
    lanes, size = vector.lanes, vector.element.size

    def emit(builder, address, number, stride, mask):
        addresses = _lane_addresses(builder, address, stride, lanes).value
        check_each(builder, addresses, mask, size, write=True)
        pointers = builder.inttoptr(addresses, ir.VectorType(number.type.element.as_pointer(), lanes))
        name = f"llvm.masked.scatter.{type_name(number.type)}.v{lanes}p0"
        call_intrinsic(builder, name, ir.VoidType(), [number, pointers, ir.IntType(32)(size), mask])

    return Emission(VOID, (INT, vector, INT, mask_of(vector)), emit)
