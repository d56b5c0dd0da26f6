"""A GPU's formulas, run on the CPU with stand-ins for the functions of NVVM and libdevice: the CPU's bits."""

import ctypes
import operator

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir

pytest.importorskip("numba_cuda", reason="numba-cuda isn't installed")

from rnnkit.backends.cuda.device.value import FUNCTIONS, DeviceValue
from rnnkit.backends.formulas import integers, table
from rnnkit.backends.formulas.table import arity
from rnnkit.backends.formulas.value import Value

ARITHMETIC = {
    "add": operator.add,
    "subtract": operator.sub,
    "multiply": operator.mul,
    "divide": operator.truediv,
    "negative": operator.neg,
}
FORMULAS = ARITHMETIC | table.FORMULAS
FLOATS = {"float32": (ir.FloatType(), ctypes.c_float), "float64": (ir.DoubleType(), ctypes.c_double)}
INSTRUCTIONS = {"multiply": "fmul", "divide": "fdiv"}


def emit(module, kind, name, element):
    """The formula `name` as a function of the module, of Values or of DeviceValues."""
    formula = FORMULAS[name]
    function = ir.Function(module, ir.FunctionType(element, [element] * arity(formula)), f"{kind.__name__}_{name}")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(formula(*(kind(builder, argument) for argument in function.args)).value)


def stand_in(function, name):
    """A body for a function of the device: an instruction, or LLVM's intrinsic of that name."""
    builder = ir.IRBuilder(function.append_basic_block())
    first, *others = (Value(builder, argument) for argument in function.args)
    if name in INSTRUCTIONS:
        result = getattr(builder, INSTRUCTIONS[name])(*function.args)
    elif name == "fmod":
        result = builder.frem(*function.args)
    else:
        result = first.function(name, *others).value
    builder.ret(result)


def compiled(module):
    """A module as code of this machine."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten()
    )
    text = str(module).replace("llvm.nvvm.", "nvvm.")  # LLVM keeps the prefix llvm to itself
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(text), machine)
    engine.finalize_object()
    return engine


@pytest.fixture(scope="module", params=FLOATS)
def engine(request):
    """(dtype, the compiled module) with both variants of every formula."""
    element, _ = FLOATS[request.param]
    module = ir.Module("formulas")
    for kind in (Value, DeviceValue):
        for name in FORMULAS:
            emit(module, kind, name, element)
    names = {full: name for name, both in FUNCTIONS.items() for full in both if not full.startswith("llvm.fma")}
    for function in list(module.functions):
        if function.name in names:
            stand_in(function, names[function.name])
    return request.param, compiled(module)


def arguments(dtype, count, rng):
    """Numbers of all sizes, and the special ones with one another; none that the CPU takes to libm."""
    special = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, np.finfo(dtype).tiny / 4, 0.5, 2.5, -3.0]
    shape = (400, count)
    some = rng.normal(size=shape) * 10.0 ** rng.uniform(-6, 3, size=shape)
    pairs = np.stack(np.meshgrid(*[special] * count), axis=-1).reshape(-1, count)
    return np.concatenate([some, pairs]).astype(dtype)


@pytest.mark.parametrize("name", FORMULAS)
def test_a_formula_gives_the_bits_of_the_cpu(name, engine):
    dtype, code = engine
    _, number = FLOATS[dtype]
    count = arity(FORMULAS[name])
    results = []
    for kind in (Value, DeviceValue):
        address = code.get_function_address(f"{kind.__name__}_{name}")
        function = ctypes.CFUNCTYPE(number, *[number] * count)(address)
        results.append(np.array([function(*row) for row in arguments(dtype, count, np.random.default_rng(5)).tolist()]))
    cpu, device = (result.astype(dtype) for result in results)
    same = (cpu == device) & (np.signbit(cpu) == np.signbit(device)) | np.isnan(cpu) & np.isnan(device)
    assert same.all()


OF_INTEGERS = {
    np.fmod: integers.fmod, np.remainder: integers.remainder, np.floor_divide: integers.floor_divide,
    np.absolute: integers.absolute, np.left_shift: integers.left_shift, np.right_shift: integers.right_shift,
}  # fmt: skip


@pytest.mark.parametrize("kind", ["int32", "int64"])
def test_integers_are_numpys(kind):
    """Where one divides by 0, the result is 0."""
    element, number = ir.IntType(int(kind[3:])), np.ctypeslib.as_ctypes_type(kind)
    module, counts = ir.Module("integers"), {}
    for numpys, formula in OF_INTEGERS.items():
        count = counts[numpys] = arity(formula)
        function = ir.Function(module, ir.FunctionType(element, [element] * count), numpys.__name__)
        builder = ir.IRBuilder(function.append_basic_block())
        builder.ret(formula(*(DeviceValue(builder, argument) for argument in function.args)).value)
    engine = compiled(module)
    limits = np.iinfo(kind)
    special = np.array([0, 1, -1, 2, -3, 7, -8, 31, 63, 64, 12345, limits.max, limits.min], kind)
    for numpys, count in counts.items():
        function = ctypes.CFUNCTYPE(number, *[number] * count)(engine.get_function_address(numpys.__name__))
        given = [axis.reshape(-1) for axis in np.meshgrid(*[special] * count)]
        with np.errstate(all="ignore"):
            expected = numpys(*given)
        assert [function(*one) for one in zip(*(g.tolist() for g in given), strict=True)] == expected.tolist()


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("kind", ["int32", "int64"])
def test_a_float_that_no_integer_is_becomes_the_least(name, kind):
    element, number = FLOATS[name]
    module, bits = ir.Module("casts"), int(kind[3:])
    function = ir.Function(module, ir.FunctionType(ir.IntType(bits), [element]), "cast")
    builder = ir.IRBuilder(function.append_basic_block())
    builder.ret(integers.to_integer(DeviceValue(builder, function.args[0]), ir.IntType(bits)).value)
    engine = compiled(module)
    cast = ctypes.CFUNCTYPE(np.ctypeslib.as_ctypes_type(kind), number)(engine.get_function_address("cast"))
    least = -(2 ** (bits - 1))
    for given, expected in ((2.75, 2), (-2.75, -2), (1e5, 10**5), (1e30, least), (-np.inf, least), (np.nan, least)):
        assert cast(given) == expected
