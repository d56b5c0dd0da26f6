"""From a plan to a compiled program of the CPU, and what all programs of a process share."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from rnnkit.backends.cpu.codegen.program_source import (
    OUTER_SUM,
    PRODUCT,
    PRODUCT_SIGNATURE,
    SIGNATURE,
    SPARSE_PRODUCT,
    Source,
    SourceWriter,
)
from rnnkit.backends.cpu.gradient import Backward
from rnnkit.backends.cpu.kernels.matmul import PANEL_VECTORS, packed_width
from rnnkit.backends.cpu.program import LAYOUT, Program
from rnnkit.backends.cpu.simd.bounds_check import CHECKED, GAP
from rnnkit.backends.cpu.simd.registers import FEATURES, LANES
from rnnkit.backends.cpu.threads import shared_functions
from rnnkit.backends.cpu.threads.team import ThreadTeam
from rnnkit.backends.cpu.weight_sums import OuterProducts
from rnnkit.backends.shared import program_cache
from rnnkit.backends.shared.prepack import prepacker
from rnnkit.backends.shared.program_cache import address
from rnnkit.backends.shared.target import Target
from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.compiler.ir.plan import Plan
from rnnkit.compiler.planning.describe import describe
from rnnkit.compiler.planning.fusion import fuse


def load(text: str, signature: str):
    """The function ``run`` of a program for this processor's vectors."""
    return program_cache.load(text, signature, FEATURES)


def write(plan: Plan, name: str, dtype: np.dtype) -> Source:
    """The text of a plan's program."""
    return SourceWriter(plan, name, dtype, LANES[dtype.name], PANEL_VECTORS, GAP if CHECKED else 0).run()


def compile_source(plan: Plan, source: Source, dtype: np.dtype, show: Callable[[], str]) -> Program:
    """The compiled program of a text."""
    products = {
        name: address(load(text.format(dtype=dtype.name), PRODUCT_SIGNATURE))
        for name, text in (("product", PRODUCT), ("sparse_product", SPARSE_PRODUCT))
        if f"call_matmul({name}," in source.text
    }
    prepack, words = prepacker(plan, evaluate, dtype, LAYOUT), describe(plan, dtype)
    function = load(source.text, SIGNATURE)
    return Program(function, address(function), source, plan, prepack, dtype, team(), show, products, words)


def gradient(program: Program, forward: Program, adjoint: Program, residuals, operands, sums, finish) -> Backward:
    """What computes a step's gradients by the programs of its adjoint."""
    outer = outer_products(program.dtype.name)
    return Backward(program, forward, adjoint, residuals, operands, sums, finish, outer)


@cache
def team() -> ThreadTeam:
    """What all programs of this process share."""

    def team_functions():
        function = load(shared_functions.module_text(shared_functions.TEAM_FUNCTIONS), shared_functions.SIGNATURE)
        return function, address(function)

    return ThreadTeam(
        address(load(shared_functions.module_text(shared_functions.ROW_FUNCTIONS), shared_functions.SIGNATURE)),
        team_functions,
    )


@cache
def outer_products(name) -> OuterProducts:
    """What sums outer products in a dtype, for every `rnnkit.backends.cpu.weight_sums.OuterSum` of this process."""
    function = load(OUTER_SUM.format(dtype=name), SIGNATURE)
    return OuterProducts(function, address(function), np.dtype(name), team())


CPU = Target("cpu", packed_width, fuse, write, compile_source, gradient)
