"""Loads and stores of a kernel, at int64 addresses in bytes.

`load_…` and `store_…` access global memory, `fixed_…` global memory that nobody writes while the kernel runs, through
the read-only cache, `shared_…` the shared memory of the thread's block. `…_wide_…` move 16 bytes at a multiple of 16,
as a tuple of 4 float32 or 2 float64. None of them orders memory for other threads: `cuda.syncthreads` and
`cuda.threadfence` do.
"""

from llvmlite import ir
from numba.cuda import cgutils, types
from numba.cuda.extending import intrinsic
from numba.cuda.typing import signature

GLOBAL, SHARED = 1, 3
WORD, BYTE = ir.IntType(64), ir.IntType(8)


def _pointer(builder, address, element, space):
    return builder.inttoptr(address, ir.PointerType(element, space))


def _read(builder, address, element, space, align, fixed=False):
    result = builder.load(_pointer(builder, address, element, space), align=align)
    if fixed:
        result.set_metadata("invariant.load", builder.module.add_metadata([]))
    return result


def _access(kind, space, fixed=False):
    """Return intrinsics that load and store a number of a kind, and 16 bytes of them."""
    item, lanes = kind.bitwidth // 8, 128 // kind.bitwidth

    @intrinsic
    def load(typingctx, address):
        def generate(context, builder, sig, numbers):
            return _read(builder, numbers[0], context.get_value_type(kind), space, item, fixed)

        return signature(kind, types.int64), generate

    @intrinsic
    def load_wide(typingctx, address):
        def generate(context, builder, sig, numbers):
            vector = _read(builder, numbers[0], ir.VectorType(context.get_value_type(kind), lanes), space, 16, fixed)
            each = [builder.extract_element(vector, ir.IntType(32)(lane)) for lane in range(lanes)]
            return cgutils.pack_array(builder, each)

        return signature(types.UniTuple(kind, lanes), types.int64), generate

    @intrinsic
    def store(typingctx, address, number):
        def generate(context, builder, sig, numbers):
            pointer = _pointer(builder, numbers[0], context.get_value_type(kind), space)
            builder.store(numbers[1], pointer, align=item)
            return context.get_dummy_value()

        return signature(types.void, types.int64, kind), generate

    @intrinsic
    def store_wide(typingctx, address, several):
        def generate(context, builder, sig, numbers):
            vector = ir.Constant(ir.VectorType(context.get_value_type(kind), lanes), ir.Undefined)
            for lane, number in enumerate(cgutils.unpack_tuple(builder, numbers[1], lanes)):
                vector = builder.insert_element(vector, number, ir.IntType(32)(lane))
            builder.store(vector, _pointer(builder, numbers[0], vector.type, space), align=16)
            return context.get_dummy_value()

        return signature(types.void, types.int64, types.UniTuple(kind, lanes)), generate

    return {"load": load, "load_wide": load_wide, "store": store, "store_wide": store_wide}


for _kind in (types.float32, types.float64, types.int32, types.int64):
    _own, _fixed, _shared = _access(_kind, GLOBAL), _access(_kind, GLOBAL, fixed=True), _access(_kind, SHARED)
    globals().update({f"load_{_kind}": _own["load"], f"store_{_kind}": _own["store"], f"fixed_{_kind}": _fixed["load"]})
    if _kind in (types.float32, types.float64):
        globals().update({f"{_word}_{_kind}": _own[_word] for _word in ("load_wide", "store_wide")})
        globals().update({f"shared_{_word}_{_kind}": _one for _word, _one in _shared.items()})
        globals()[f"fixed_wide_{_kind}"] = _fixed["load_wide"]


@intrinsic
def shared_start(typingctx, array):
    """Return the address in shared memory of ``cuda.shared.array(0, dtype=np.float64, alignment=16)``, in bytes."""
    if not isinstance(array, types.Array):
        return None

    def generate(context, builder, sig, numbers):
        data = context.make_array(sig.args[0])(context, builder, numbers[0]).data
        shared = builder.addrspacecast(data, ir.PointerType(data.type.pointee, SHARED))
        return builder.ptrtoint(shared, WORD)

    return signature(types.int64, array), generate


@intrinsic
def word(typingctx, address, i):
    """Load the int64 number `i` of a table at `address` that nobody writes while the kernel runs."""

    def generate(context, builder, sig, numbers):
        place = builder.add(numbers[0], builder.shl(numbers[1], WORD(3)))
        return _read(builder, place, WORD, GLOBAL, 8, fixed=True)

    return signature(types.int64, types.int64, types.int64), generate


@intrinsic
def byte(typingctx, address):
    def generate(context, builder, sig, numbers):
        return builder.icmp_unsigned("!=", _read(builder, numbers[0], BYTE, GLOBAL, 1), BYTE(0))

    return signature(types.boolean, types.int64), generate


@intrinsic
def arrive(typingctx, address):
    """Add 1 to the int64 at `address` atomically for all threads of the device, and return its value before."""

    def generate(context, builder, sig, numbers):
        return builder.atomic_rmw("add", _pointer(builder, numbers[0], WORD, GLOBAL), WORD(1), "monotonic")

    return signature(types.int64, types.int64), generate


@intrinsic
def seen(typingctx, address):
    """Load an int64 that another block may change; ``cuda.threadfence()`` precedes reads of that block's results."""

    def generate(context, builder, sig, numbers):
        text = "ld.relaxed.gpu.global.u64 $0, [$1];"
        # The clobber: values loaded before may have changed after it.
        return builder.asm(ir.FunctionType(WORD, [WORD]), text, "=l,l,~{memory}", numbers, side_effect=True)

    return signature(types.int64, types.int64), generate
