"""From a graph to a compiled program of the CPU, and what all programs of a process share."""

from __future__ import annotations

from functools import cache

import numpy as np

from rnnkit.backends.cpu.codegen.program_source import (
    GRAM,
    PRODUCT,
    PRODUCT_SIGNATURE,
    SIGNATURE,
    SPARSE_PRODUCT,
    SourceWriter,
)
from rnnkit.backends.cpu.kernels.matmul import PANEL_VECTORS, packed_width
from rnnkit.backends.cpu.program import LAYOUT, Program
from rnnkit.backends.cpu.simd.bounds_check import CHECKED, GAP
from rnnkit.backends.cpu.simd.registers import FEATURES, LANES
from rnnkit.backends.cpu.threads import shared_functions
from rnnkit.backends.cpu.threads.team import Crew
from rnnkit.backends.cpu.weight_sums import OuterProducts
from rnnkit.backends.shared import program_cache
from rnnkit.backends.shared.prepack import compute_once
from rnnkit.backends.shared.program_cache import address
from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.compiler.ir.graph import Graph
from rnnkit.compiler.planning.describe import describe
from rnnkit.compiler.planning.planner import Planner


def load(text: str, signature: str):
    """The function ``run`` of a program for this processor's vectors."""
    return program_cache.load(text, signature, FEATURES)


def compile_graph(graph: Graph, name: str, dtype: np.dtype) -> Program:
    """The compiled program of a graph."""
    plan = Planner(graph, lambda columns: packed_width(columns, dtype)).run()
    source = SourceWriter(plan, name, dtype, LANES[dtype.name], PANEL_VECTORS, GAP if CHECKED else 0).run()
    products = {
        name: address(load(text.format(dtype=dtype.name), PRODUCT_SIGNATURE))
        for name, text in (("product", PRODUCT), ("sparse_product", SPARSE_PRODUCT))
        if f"call_product({name}," in source.text
    }
    once, words = compute_once(plan, evaluate, dtype, LAYOUT), describe(plan, dtype)
    function = load(source.text, SIGNATURE)
    return Program(function, address(function), source, plan, once, dtype, crew(), products, words)


@cache
def crew() -> Crew:
    """What all programs of this process share."""

    def gang_kit():
        function = load(shared_functions.kit_text(shared_functions.GANG), shared_functions.SIGNATURE)
        return function, address(function)

    return Crew(address(load(shared_functions.kit_text(shared_functions.ROWS), shared_functions.SIGNATURE)), gang_kit)


@cache
def outer_products(name) -> OuterProducts:
    """What sums outer products in a dtype, for every `rnnkit.backends.cpu.weight_sums.Gram` of this process."""
    function = load(GRAM.format(dtype=name), SIGNATURE)
    return OuterProducts(function, address(function), np.dtype(name), crew())
