"""Words of a kernel on a GPU, compiled without one: what instructions they become, and that they become any."""

import os
import re

import pytest

pytest.importorskip("numba_cuda", reason="numba-cuda isn't installed")
if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") != "0":
    pytest.skip("the simulator compiles nothing", allow_module_level=True)

import cuda_ptx
from cuda_ptx import ARCHITECTURES, instructions, names, ptx

from rnnkit.backends.cuda.device import intrinsics
from rnnkit.backends.cuda.simulator import words
from rnnkit.compiler.ir.operations import BY_LANE, INTEGER_OPERATIONS, OPERATIONS

if cuda_ptx.ptxas() is None:
    pytest.skip("no ptxas: numba-cuda's extra cu12 or cu13 brings it", allow_module_level=True)

DTYPES = {"float32": 4, "float64": 8}
each_cc = pytest.mark.parametrize("cc", ARCHITECTURES, ids=ARCHITECTURES.values())
# Both precisions and both kinds of GPUs, each with one of the others; all pairs in the sweep.
each_target = pytest.mark.parametrize(
    "dtype, cc",
    [
        pytest.param(dtype, cc, marks=() if i == j else pytest.mark.sweep, id=f"{dtype}-{ARCHITECTURES[cc]}")
        for i, dtype in enumerate(DTYPES)
        for j, cc in enumerate(ARCHITECTURES)
    ],
)
FAR = BY_LANE.keys()  # on the CPU by lane, here by libdevice


def operands(name: str) -> int:
    return next(count for count in (3, 2, 1) if f"{{{count - 1}}}" in OPERATIONS[name].text)


def kernel(body: str, dtype: str, parameters: str = "a") -> str:
    """The text of a kernel, its words' dtype and the bytes of one number filled in."""
    lines = (line.replace("DTYPE", dtype).replace("SIZE", str(DTYPES[dtype])) for line in body.strip().splitlines())
    head = "import numpy as np\nfrom numba import cuda\nfrom rnnkit.backends.cuda.device.intrinsics import *\n"
    return f"{head}\ndef kernel({parameters}):\n" + "\n".join(f"    {line}" for line in lines) + "\n"


def of_operation(name: str, dtype: str) -> str:
    """The text of a kernel that does one operation."""
    operation = OPERATIONS[name]
    load = "byte(a + {0})" if operation.operands == "bool" else "load_DTYPE(a + {0} * SIZE)"
    values = [load.format(i) for i in range(operands(name))]
    if name == "where":
        values[0] = "byte(a)"
    word = "to_float_DTYPE" if name == "to_float" else name
    result = f"{word}({', '.join(values)})"
    if operation.result == "bool":
        result = f"to_float_DTYPE({result})"
    return kernel(f"store_DTYPE(a, {result})", dtype)


def taken(code: str, cc) -> cuda_ptx.Resources:
    return cuda_ptx.resources(code, ARCHITECTURES[cc])


def atomics(code: str) -> list[str]:
    return [name for name in names(code) if name.startswith(("atom", "red"))]


@pytest.mark.parametrize("name", OPERATIONS)
@each_target
def test_an_operation_compiles(name, dtype, cc):
    code = ptx(of_operation(name, dtype), cc=cc)
    found = taken(code, cc)
    assert found.registers <= 64
    assert found.spill_stores == found.spill_loads == found.shared == 0
    assert not atomics(code)
    if name in FAR:
        return
    assert found.stack == 0
    assert not any("approx" in line or ".ftz" in line or "call" in line for line in instructions(code))
    if dtype == "float32" and name not in ("power", "zeta"):  # zeta is made of powers
        assert not any(".f64" in name for name in names(code)), "a float32 operation goes through float64"


# Statements with every word that isn't an operation.
WORDS = {
    "fma": "store_DTYPE(a, fma(load_DTYPE(a), load_DTYPE(a + 8), load_DTYPE(a + 16)))",
    "to_bool": "store_DTYPE(a, to_float_DTYPE(to_bool(load_DTYPE(a))))",
    "to_float_DTYPE": "store_DTYPE(a, to_float_DTYPE(byte(a)))",
    "load_DTYPE": "store_DTYPE(a, load_DTYPE(a + 8))",
    "store_DTYPE": "store_DTYPE(a, load_DTYPE(a + 8))",
    "fixed_DTYPE": "store_DTYPE(a, fixed_DTYPE(b))",
    "load_wide_DTYPE": "store_wide_DTYPE(a, load_wide_DTYPE(a + 16))",
    "store_wide_DTYPE": "store_wide_DTYPE(a, load_wide_DTYPE(a + 16))",
    "fixed_wide_DTYPE": "store_wide_DTYPE(a, fixed_wide_DTYPE(b))",
    "shared_start": (
        "shared_store_DTYPE(shared_start(cuda.shared.array(0, dtype=np.float64, alignment=16)), load_DTYPE(a))"
    ),
    "shared_load_DTYPE": "store_DTYPE(a, shared_load_DTYPE(b))",
    "shared_store_DTYPE": "shared_store_DTYPE(b, load_DTYPE(a))",
    "shared_load_wide_DTYPE": "store_wide_DTYPE(a, shared_load_wide_DTYPE(b))",
    "shared_store_wide_DTYPE": "shared_store_wide_DTYPE(b, load_wide_DTYPE(a))",
    "word": "store_DTYPE(a, load_DTYPE(word(b, 3)))",
    "byte": "store_DTYPE(a, where(byte(b), load_DTYPE(a), 0))",
    "arrive": "store_DTYPE(a + SIZE * arrive(b), load_DTYPE(a))",
    "seen": "store_DTYPE(a + SIZE * seen(b), load_DTYPE(a))",
    "from_integer_DTYPE": "store_DTYPE(a, from_integer_DTYPE(load_int32(b)))",
    "round_float32": "store_float64(a, round_float32(load_float64(a)))",
    **{f"{word}_{kind}": statement.replace("KIND", kind) for kind in ("int32", "int64") for word, statement in {
        "load": "store_KIND(a, load_KIND(a + 8))",
        "fixed": "store_KIND(a, fixed_KIND(b))",
        "store": "store_KIND(a, load_KIND(a + 8))",
        "to": "store_KIND(a, to_KIND(load_DTYPE(a)))",
    }.items()},
    **{f"wrap_{kind}": f"store_int32(a, wrap_{kind}(load_int32(a)))" for kind in ("int8", "int16", "uint8", "uint16")},
    "wrap_uint32": "store_int64(a, wrap_uint32(load_int64(a)))",
}  # fmt: skip
# Words of integers alone, each with its operands.
OF_INTEGERS = {
    operation.text.partition("(")[0] if operation.text.endswith(")") else name: operation.text.count("{")
    for name, operation in INTEGER_OPERATIONS.items()
    if operation.text.startswith("integer_") or name not in OPERATIONS
}


def test_every_word_is_under_test():
    listed = {name.replace("DTYPE", dtype) for name in WORDS for dtype in DTYPES}
    assert set(intrinsics.__all__) == listed | OF_INTEGERS.keys() | (set(OPERATIONS) - {"to_float"})


def test_the_simulator_knows_every_word():
    assert not [name for name in intrinsics.__all__ if not callable(getattr(words, name, None))]


@pytest.mark.parametrize("name", WORDS)
@each_target
def test_a_word_compiles(name, dtype, cc):
    code = ptx(kernel(WORDS[name], dtype, "a, b"), cc=cc)
    found = taken(code, cc)
    assert found.registers <= 32
    assert found[1:] == (0, 0, 0, 0)
    assert atomics(code) == (["atom.global.add.u64"] if name == "arrive" else [])
    assert not any("approx" in line or "call" in line or "cvta" in line for line in instructions(code))


@pytest.mark.parametrize("kind, cc", [("int32", (9, 0)), ("int64", (8, 0))])
@pytest.mark.parametrize("name", [*OF_INTEGERS, *(name for name in INTEGER_OPERATIONS if name in OPERATIONS)])
def test_integers_stay_integers(name, kind, cc):
    operation = INTEGER_OPERATIONS.get(name)
    count = OF_INTEGERS.get(name) or len(set(re.findall(r"{\d}", operation.text)))
    values = [f"load_{kind}(a + {8 * i})" for i in range(count)]
    values[0] = "byte(a)" if name == "where" else values[0]
    text = f"{name}({', '.join(values)})"
    if operation is not None and operation.text.startswith("integer_"):
        text = f"integer_{text}"
    if operation is not None and operation.result == "bool":
        text = f"where({text}, np.{kind}(1), np.{kind}(0))"
    code = ptx(kernel(f"store_{kind}(a, {text})", "float32"), cc=cc)
    assert not any(".f32" in one or ".f64" in one for one in names(code))
    assert taken(code, cc).stack == 0


@each_target
def test_a_multiply_add_is_formed_only_where_it_is_written(dtype, cc):
    three = "x, y, z = load_DTYPE(a), load_DTYPE(a + 8), load_DTYPE(a + 16)\nstore_DTYPE(a, {})"
    bits = DTYPES[dtype] * 8
    apart = ptx(kernel(three.format("add(multiply(x, y), z)"), dtype), cc=cc)
    assert f"mul.rn.f{bits}" in names(apart)
    assert not any(name.startswith(("fma", "mad")) for name in names(apart))
    less = ptx(kernel(three.format("subtract(square(x), divide(y, z))"), dtype), cc=cc)
    assert not any(name.startswith(("fma", "mad")) for name in names(less))
    merged = ptx(kernel(three.format("fma(x, y, z)"), dtype), cc=cc)
    assert f"fma.rn.f{bits}" in names(merged)


@each_target
def test_formulas_have_as_many_multiply_adds_as_they_write(dtype, cc):
    from llvmlite import ir

    from rnnkit.backends.formulas import exponential
    from rnnkit.backends.formulas.value import Value

    element = ir.FloatType() if dtype == "float32" else ir.DoubleType()
    for name in ("sigmoid", "tanh", "exp", "log", "softplus"):
        function = ir.Function(ir.Module(), ir.FunctionType(element, [element]), name)
        builder = ir.IRBuilder(function.append_basic_block())
        builder.ret(getattr(exponential, name)(Value(builder, function.args[0])).value)
        written = str(function).count('@"llvm.fma')
        code = ptx(of_operation(name, dtype), cc=cc)
        assert sum(line.startswith("fma.rn") for line in instructions(code)) == written


@each_target
def test_fixed_memory_is_read_through_the_read_only_cache(dtype, cc):
    bits = DTYPES[dtype] * 8
    code = ptx(kernel("store_DTYPE(a, fixed_DTYPE(b + word(c, 1)))", dtype, "a, b, c"), cc=cc)
    assert {f"ld.global.nc.f{bits}", "ld.global.nc.u64", f"st.global.f{bits}"} <= names(code)
    plain = names(ptx(kernel("store_DTYPE(a, load_DTYPE(b))", dtype, "a, b"), cc=cc))
    assert f"ld.global.f{bits}" in plain
    assert not any(".nc" in name for name in plain)


@each_target
def test_wide_words_move_sixteen_bytes(dtype, cc):
    wide = "v4.f32" if dtype == "float32" else "v2.f64"
    body = """
shared = shared_start(cuda.shared.array(0, dtype=np.float64, alignment=16))
shared_store_wide_DTYPE(shared + 16, fixed_wide_DTYPE(b))
shared_store_wide_DTYPE(shared + 32, load_wide_DTYPE(a))
cuda.syncthreads()
store_wide_DTYPE(a, shared_load_wide_DTYPE(shared + 16 * cuda.threadIdx.x))
"""
    code = ptx(kernel(body, dtype, "a, b"), cc=cc)
    moved = {f"ld.global.nc.{wide}", f"ld.global.{wide}", f"st.shared.{wide}", f"ld.shared.{wide}", f"st.global.{wide}"}
    assert moved <= names(code)
    assert taken(code, cc).stack == 0, "a tuple lives in memory"
    assert ".align 16 .b8 _cudapy_smem" in code


@each_target
def test_shared_loads_and_stores_stay_in_shared_memory(dtype, cc):
    bits = DTYPES[dtype] * 8
    body = """
shared = shared_start(cuda.shared.array(0, dtype=np.float64, alignment=16))
i = cuda.threadIdx.x
shared_store_DTYPE(shared + SIZE * i, fixed_DTYPE(b + SIZE * i))
cuda.syncthreads()
store_DTYPE(a + SIZE * i, shared_load_DTYPE(shared + SIZE * (n - 1 - i)))
"""
    code = ptx(kernel(body, dtype, "a, b, n"), cc=cc)
    assert {f"ld.shared.f{bits}", f"st.shared.f{bits}", "bar.sync"} <= names(code)
    assert not any(name.startswith(("ld.f", "st.f", "cvta")) for name in names(code)), "a generic address"


@each_cc
def test_a_spin_loop_asks_anew_each_time(cc):
    body = """
before = load_float32(a)
while seen(counter) < n:
    pass
store_float32(a + 4, add(before, load_float32(a)))
"""
    lines = instructions(ptx(kernel(body, "float32", "a, counter, n"), cc=cc))
    spin = [i for i, line in enumerate(lines) if line.startswith("ld.relaxed.gpu.global.u64")]
    loads = [i for i, line in enumerate(lines) if line.startswith("ld.global.f32")]
    last_branch = max(i for i, line in enumerate(lines) if line.startswith("bra"))
    assert spin
    assert max(spin) < last_branch, "the loop doesn't look again"
    assert len(loads) == 2 and loads[0] < min(spin) and loads[1] > last_branch, "what was read before is taken for new"


@each_cc
def test_a_number_takes_the_widest_float_type(cc):
    float32 = ptx(kernel("store_float32(a, multiply(load_float32(a), 2))", "float32"), cc=cc)
    assert "mul.rn.f32" in names(float32)
    wide = ptx(kernel("store_float64(a, multiply(load_float32(a), load_float64(b)))", "float64", "a, b"), cc=cc)
    assert {"cvt.f64.f32", "mul.rn.f64"} <= names(wide)


def test_resources_are_those_of_the_assembler():
    code = ptx(kernel("store_float32(a, load_float32(a))", "float32"), cc=(9, 0))
    found = taken(code, (9, 0))
    assert 0 < found.registers < 32
    assert found[1:] == (0, 0, 0, 0)
    static = "x = cuda.shared.array(64, dtype=np.float32)\nx[cuda.threadIdx.x] = 1.0\ncuda.syncthreads()\n"
    static += "store_float32(a, x[0])"
    assert taken(ptx(kernel(static, "float32"), cc=(8, 0)), (8, 0)).shared == 256
