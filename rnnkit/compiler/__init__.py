"""From a step to a program: traced and planned where it can be read, else compiled as it stands."""

from __future__ import annotations

from functools import cache

import numpy as np

from rnnkit.compiler.batch import ReadsValues, Untraceable
from rnnkit.compiler.explain import describe
from rnnkit.compiler.graph import evaluate
from rnnkit.compiler.numba_source import PRODUCT, PRODUCT_SIGNATURE, SIGNATURE, SPARSE_PRODUCT, SourceWriter
from rnnkit.compiler.planner import Planner
from rnnkit.compiler.store import address, cache_info, clear_cache, load, number_functions_apart
from rnnkit.compiler.trace import trace

__all__ = ["cache_info", "choose", "clear_cache"]


def choose(step, dtype, weights, constant_shapes=(), training=False):
    """The executor of a step: a traced program, or the generic driver where the tracer can't read it.

    Raises
    ------
    ValueError
        If neither road takes the step, with the line and the construct that stopped each; or if its rows depend on
        each other.
    """
    number_functions_apart()
    try:
        return compile_step(step, dtype, weights, constant_shapes, training)
    except Untraceable as error:
        reason = error
    except RecursionError:
        reason = Untraceable("the step is too long to be read as a whole; write its inner loop shorter")
    return _second_road(step, dtype, weights, constant_shapes, training, reason)


def compile_step(step, dtype, weights, constant_shapes=(), training=False):
    """The first road: trace, plan, text, program."""
    from rnnkit.engine.checking import CHECKED, GAP
    from rnnkit.engine.program import LANES, PANEL_VECTORS, Program, compute_once, packed_width

    dtype = np.dtype(dtype)
    graph = trace(step, dtype, weights, constant_shapes, training)
    plan = Planner(graph, lambda columns: packed_width(columns, dtype)).run()
    source = SourceWriter(plan, step.name, dtype, LANES[dtype.name], PANEL_VECTORS, GAP if CHECKED else 0).run()
    products = {
        name: address(load(text.format(dtype=dtype.name), PRODUCT_SIGNATURE))
        for name, text in (("product", PRODUCT), ("sparse_product", SPARSE_PRODUCT))
        if f"call_product({name}," in source.text
    }
    once, words = compute_once(plan, evaluate, dtype), describe(plan, dtype)
    function = load(source.text, SIGNATURE)
    return Program(function, address(function), source, plan, once, dtype, crew(), products, words)


@cache
def crew():
    """What all programs of this process share."""
    from rnnkit.engine import kit
    from rnnkit.engine.crew import Crew

    def gang_kit():
        function = load(kit.kit_text(kit.GANG), kit.SIGNATURE)
        return function, address(function)

    return Crew(address(load(kit.kit_text(kit.ROWS), kit.SIGNATURE)), gang_kit)


def _second_road(step, dtype, weights, constant_shapes, training, error):
    from rnnkit.engine.driver import CannotCompile, Driver

    reason = " ".join([str(error), *(f"({note})" for note in getattr(error, "__notes__", []) if note)])
    try:
        driver = Driver(step, dtype, weights, constant_shapes, training, by_row=isinstance(error, ReadsValues))
    except CannotCompile as refusal:
        raise ValueError(f"{step.name!r} can be compiled on neither road: {reason}; and numba: {refusal}") from None
    driver.reason = f"the tracer can't read the step: {reason}"
    return driver
