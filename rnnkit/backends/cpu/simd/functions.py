"""Every formula as a function of jitted code: on vectors and on numbers, float32 and float64, by NumPy's names.

A vector's lane and a number give the same bits. Nearly all are vectorized; `compiler/ir/operations.py` says of a few
where they go lane by lane.
"""

import functools

from llvmlite import ir

from rnnkit.backends.cpu.simd.vector import function_of_values
from rnnkit.backends.formulas import special
from rnnkit.backends.formulas.table import FORMULAS, arity
from rnnkit.backends.formulas.value import type_name


def _outlined(formula):
    """Return a long formula as a function of the program, which is compiled once for each type."""

    @functools.wraps(formula)
    def called(*given):
        first = given[-1].like(given[0])
        values = [first.like(value).value for value in (first, *given[1:])]
        builder, kind = first.builder, first.type
        name = f"{formula.__name__}.{type_name(kind)}"
        function = builder.module.globals.get(name)
        if function is None:
            function = ir.Function(builder.module, ir.FunctionType(kind, [kind] * len(values)), name)
            function.linkage = "internal"
            function.attributes.add("noinline")
            own = ir.IRBuilder(function.append_basic_block())
            own.ret(formula(*(type(first)(own, argument) for argument in function.args)).value)
        return first.of(builder.call(function, values))

    return called


for _name, _formula in FORMULAS.items():
    _writer = _outlined(_formula) if _name in special.NAMES else _formula
    globals()[_name] = function_of_values(arity(_formula))(_writer)
