"""From a step to its kernels for a GPU: the same graph and plan as on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from rnnkit.backends.cuda.codegen.kernel_source import states_of, write_kernel
from rnnkit.backends.cuda.kernel_cache import load
from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.compiler.ir.graph import Graph
from rnnkit.compiler.ir.plan import Loop, Plan
from rnnkit.compiler.ir.strides import Walk
from rnnkit.compiler.planning.describe import describe
from rnnkit.compiler.planning.planner import Planner

if TYPE_CHECKING:
    from rnnkit.backends.cuda.codegen.section import Kernel, KernelVariant
    from rnnkit.backends.cuda.runtime.program import CudaProgram


def cuda_program(graph: Graph, name: str, dtype) -> CudaProgram:
    """The kernels of a graph, written when a call wants them."""
    from rnnkit.backends.cuda.runtime.program import LAYOUT, CudaProgram
    from rnnkit.backends.shared.prepack import prepacker

    dtype = np.dtype(dtype)
    plan = plan_for_gpu(graph)
    states = states_of(plan)

    def write(section: int, variant: KernelVariant) -> Kernel:
        return write_kernel(plan, states, name, dtype, section, variant)

    return CudaProgram(
        plan, write, load, prepacker(plan, evaluate, dtype, LAYOUT), states, dtype, describe(plan, dtype)
    )


def plan_for_gpu(graph: Graph) -> Plan:
    """The plan of a graph, where products have their columns gate after gate: a thread has all gates of a unit."""
    plan = Planner(graph, lambda columns: columns).run()
    units = {product.result: product.units for product in plan.products() if product.gates}
    for part in plan.parts():
        for read in part.loads if isinstance(part, Loop) else ():
            if read.buffer in units:
                read.walk = Walk(read.walk.offset * units[read.buffer], (1,))
    return plan
