"""Compilation of a plan to a program of the CPU, and the objects that all programs of a process share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np

from rnnkit.backends.cpu.codegen.program_source import SourceWriter
from rnnkit.backends.cpu.codegen.row_source import TRANSPOSES, Kind, RowSourceWriter
from rnnkit.backends.cpu.codegen.scan_source import ScanSourceWriter
from rnnkit.backends.cpu.codegen.single_row_source import SingleRowWriter
from rnnkit.backends.cpu.codegen.tables import ARGUMENTS, PRODUCT_ARGUMENTS, Source
from rnnkit.backends.cpu.gradient import Backward
from rnnkit.backends.cpu.kernels.matmul import PANEL_VECTORS, packed_width
from rnnkit.backends.cpu.language.programs import Wanted, kernel, load, load_all
from rnnkit.backends.cpu.program import LAYOUT, Program, ProgramCode
from rnnkit.backends.cpu.row_program import RowProgram, RowPrograms
from rnnkit.backends.cpu.simd.bounds_check import CHECKED, GAP
from rnnkit.backends.cpu.simd.registers import LANES
from rnnkit.backends.cpu.threads import shared_functions
from rnnkit.backends.cpu.threads.team import ThreadTeam
from rnnkit.backends.cpu.weight_sums import OuterProducts
from rnnkit.backends.shared.prepack import prepacker
from rnnkit.backends.shared.target import Target
from rnnkit.compiler.ir.plan import STEP, Plan, RowPlan
from rnnkit.compiler.planning.branches import branched
from rnnkit.compiler.planning.describe import describe
from rnnkit.compiler.planning.fusion import fuse_all
from rnnkit.compiler.planning.planner import plan_with_scans
from rnnkit.compiler.planning.rows import FEW, is_narrow, plan_rows


def _shared(functions) -> Wanted:
    return Wanted(shared_functions.module_text(functions), shared_functions.ARGUMENTS)


ROWS = _shared(shared_functions.ROW_FUNCTIONS)


def write(made: Plan, name: str, dtype: np.dtype) -> Source:
    """Return the text of a plan's program."""
    writer = ScanSourceWriter if made.scans else SourceWriter
    return writer(made, name, dtype, LANES[dtype.name], PANEL_VECTORS, GAP if CHECKED else 0).run()


def compile_source(
    plan: Plan,
    source: Source,
    dtype: np.dtype,
    show: Callable[[], str],
    gradient: Callable[[Program], Backward] | None = None,
) -> Program:
    """Return the program of a text, compiled at the first call."""

    products = {
        name: Wanted(kernel(of, dtype.name), PRODUCT_ARGUMENTS)
        for name, of in (("product", "matmul.matmul"), ("sparse_product", "sparse_matmul.sparse_matmul"))
        if f"call_matmul({name}," in source.text
    }
    wanted = [*products.values(), ROWS, Wanted(source.text, ARGUMENTS)]

    def code():
        *found, _, own = load_all(wanted, source.title)
        return ProgramCode(*own, dict(zip(products, found, strict=True)))

    prepack, words = prepacker(plan, dtype, LAYOUT), describe(plan, dtype)
    return Program(code, source, plan, prepack, dtype, team(), show, words, gradient=gradient, wanted=wanted)


def gradient(program: Program, forward: Program, adjoint: Program, residuals, operands, sums, finish) -> Backward:
    """Return the `Backward` of a step by the programs of its adjoint, all of which are compiled now."""
    load_all([_outer_sum(program.dtype.name), *forward.wanted, *adjoint.wanted], adjoint.source.title)
    outer = outer_products(program.dtype.name)
    return Backward(program, forward, adjoint, residuals, operands, sums, finish, outer)


@cache
def team() -> ThreadTeam:
    return ThreadTeam(partial(load, *ROWS), partial(load, *_shared(shared_functions.TEAM_FUNCTIONS)))


@cache
def outer_products(name) -> OuterProducts:
    """Return the sum of outer products in a dtype, shared by all `OuterSum` of this process."""
    return OuterProducts(*load(*_outer_sum(name)), np.dtype(name), team())


def _outer_sum(name) -> Wanted:
    return Wanted(kernel("outer_sum.outer_sum", name), ARGUMENTS)


class RowSources:
    """The texts of a plan by rows, each of which is written when a call wants it."""

    def __init__(self, plan: RowPlan, name: str, dtype: np.dtype):
        self.plan, self.name, self.dtype = plan, name, dtype
        self.plans: dict[tuple[int, bool, int, bool], RowPlan] = {(FEW, False, 0, False): plan}
        self.listener: Callable[[int, str, str], None] | None = None  # called with section, variant and text of each

    def of(self, kind: Kind) -> RowPlan:
        """Return the plan for a kind: for one row, arrays are in memory; states of whole numbers may be integers."""
        largest = 0 if kind.masked or kind.coded or kind.floats else 1 << np.finfo(self.dtype).nmant
        key = 0 if kind.lanes == 1 else FEW, kind.coded and bool(self.plan.messages), largest, kind.own
        if key not in self.plans:
            self.plans[key] = plan_rows(self.plan.graph, *key)
        return self.plans[key]

    def __call__(self, kind: Kind) -> Source:
        given = self.of(kind), self.name, self.dtype, kind, LANES[self.dtype.name], GAP * CHECKED
        source = (RowSourceWriter(*given) if kind.lanes > 1 else SingleRowWriter(*given, arrange=branched)).run()
        if self.listener is not None:
            words = [word for word in ("masked", "traced", "coded", "own") if getattr(kind, word)]
            self.listener(STEP, ", ".join([f"{kind.lanes} rows", *words]), source.text)
        return source


def compile_rows(
    plan: RowPlan,
    sources: RowSources,
    dtype: np.dtype,
    show: Callable[[], str],
    gradient: Callable[[RowPrograms], Backward] | None = None,
) -> RowPrograms:
    words = describe(plan, dtype)

    def make(kind: Kind) -> RowProgram:
        own, lanes = sources.of(kind), kind.lanes
        prepack = prepacker(own, dtype, LAYOUT)
        source = sources(kind)
        wanted = [Wanted(source.text, ARGUMENTS)]
        if lanes > 1:
            text = TRANSPOSES.format(dtype=dtype.name, lanes=lanes)
            wanted.insert(0, Wanted(text, shared_functions.ARGUMENTS))

        def code():
            *found, run = load_all(wanted, source.title)
            return ProgramCode(*run, dict(zip(["transposes"], found, strict=False)))

        return RowProgram(code, source, own, prepack, dtype, team(), show, words, wanted=wanted)

    return RowPrograms(make, plan, dtype, words, gradient)


def gradient_by_rows(
    program: RowPrograms, forward: RowPrograms, adjoint: RowPrograms, residuals, operands, sums, finish
) -> Backward:
    forward.most = adjoint.most = min(forward.most, adjoint.most)  # each reads the residuals of the other
    return Backward(program, forward, adjoint, residuals, operands, sums, finish, None, forward.sequence)  # type: ignore[arg-type]


BY_ROWS: Target = Target(
    "cpu", packed_width, lambda graph, columns: plan_rows(graph), lambda plan, columns: plan,
    RowSources, compile_rows, gradient_by_rows, sums_by_row="all",
)  # fmt: skip
CPU = Target(
    "cpu", packed_width, plan_with_scans, fuse_all, write, compile_source, gradient,
    lambda graph: BY_ROWS if is_narrow(graph) else None, sums_by_row="elementwise",
)  # fmt: skip
