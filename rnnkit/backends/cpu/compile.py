"""From a plan to a compiled program of the CPU, and what all programs of a process share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from rnnkit.backends.cpu.codegen.program_source import OUTER_SUM, PRODUCT, SPARSE_PRODUCT, SourceWriter
from rnnkit.backends.cpu.codegen.tables import ARGUMENTS, PRODUCT_ARGUMENTS, Source
from rnnkit.backends.cpu.gradient import Backward
from rnnkit.backends.cpu.kernels.matmul import PANEL_VECTORS, packed_width
from rnnkit.backends.cpu.language.programs import load
from rnnkit.backends.cpu.program import LAYOUT, Program, ProgramCode
from rnnkit.backends.cpu.simd.bounds_check import CHECKED, GAP
from rnnkit.backends.cpu.simd.registers import LANES
from rnnkit.backends.cpu.threads import shared_functions
from rnnkit.backends.cpu.threads.team import ThreadTeam
from rnnkit.backends.cpu.weight_sums import OuterProducts
from rnnkit.backends.shared.prepack import prepacker
from rnnkit.backends.shared.target import Target
from rnnkit.compiler.ir.plan import Plan
from rnnkit.compiler.planning.describe import describe
from rnnkit.compiler.planning.fusion import fuse


def write(plan: Plan, name: str, dtype: np.dtype) -> Source:
    """The text of a plan's program."""
    return SourceWriter(plan, name, dtype, LANES[dtype.name], PANEL_VECTORS, GAP if CHECKED else 0).run()


def compile_source(
    plan: Plan,
    source: Source,
    dtype: np.dtype,
    show: Callable[[], str],
    gradient: Callable[[Program], Backward] | None = None,
) -> Program:
    """The program of a text, which is compiled at the first call."""

    def code():
        products = {
            name: load(text.format(dtype=dtype.name), PRODUCT_ARGUMENTS).address
            for name, text in (("product", PRODUCT), ("sparse_product", SPARSE_PRODUCT))
            if f"call_matmul({name}," in source.text
        }
        return ProgramCode(*load(source.text, ARGUMENTS, source.title), products)

    prepack, words = prepacker(plan, dtype, LAYOUT), describe(plan, dtype)
    return Program(code, source, plan, prepack, dtype, team(), show, words, gradient=gradient)


def gradient(program: Program, forward: Program, adjoint: Program, residuals, operands, sums, finish) -> Backward:
    """What computes a step's gradients by the programs of its adjoint."""
    outer = outer_products(program.dtype.name)
    return Backward(program, forward, adjoint, residuals, operands, sums, finish, outer)


@cache
def team() -> ThreadTeam:
    """What all programs of this process share."""

    def shared(functions):
        return lambda: load(shared_functions.module_text(functions), shared_functions.ARGUMENTS)

    return ThreadTeam(shared(shared_functions.ROW_FUNCTIONS), shared(shared_functions.TEAM_FUNCTIONS))


@cache
def outer_products(name) -> OuterProducts:
    """What sums outer products in a dtype, for every `rnnkit.backends.cpu.weight_sums.OuterSum` of this process."""
    return OuterProducts(*load(OUTER_SUM.format(dtype=name), ARGUMENTS), np.dtype(name), team())


CPU = Target("cpu", packed_width, fuse, write, compile_source, gradient)
