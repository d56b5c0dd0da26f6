"""The kernels of steps by rows, compiled without a GPU: every text becomes code, and spills few registers."""

import os
import re

import pytest
from corpus_runs import CORPUS, layer_of
from row_steps import ROW_STEPS

pytest.importorskip("numba_cuda", reason="numba-cuda isn't installed")
if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") != "0":
    pytest.skip("the simulator compiles nothing", allow_module_level=True)

import cuda_ptx

from rnnkit.backends.cuda import kernel_cache
from rnnkit.backends.cuda.codegen.section import KernelVariant
from rnnkit.compiler.ir.operations import BY_LANE
from rnnkit.compiler.ir.plan import STEP
from rnnkit.execution import pipeline

if cuda_ptx.ptxas() is None:
    pytest.skip("no ptxas: numba-cuda's extra cu12 or cu13 brings it", allow_module_level=True)


SPILLS = 400  # bytes of a thread's registers, where more numbers live at once than there is room for
FAR = re.compile(rf"\b({'|'.join(BY_LANE)})\(")  # by libdevice


def check(layer, constant_shapes, differentiable):
    """The step's own kernel, and those of its gradient."""
    step = layer._execution.step
    own = pipeline.choose_cuda(step, layer.dtype, step.cell._all_weights(), constant_shapes)
    gradient = own.differentiate() if differentiable else None
    for program in (own, gradient.forward, gradient.adjoint) if gradient else (own,):
        text = program.write(STEP, KernelVariant()).text
        code = kernel_cache.ptx_of(text, (8, 0))
        for arch in cuda_ptx.ARCHITECTURES.values():
            found = cuda_ptx.resources(code, arch)
            assert found.spill_stores <= SPILLS, f"{arch}: {found}"
            assert found.shared == 0
        names = cuda_ptx.names(code)
        assert not [n for n in names if n.startswith(("atom", "red"))]
        assert FAR.search(text) or not [n for n in names if n.startswith("mul.f")], "a product that may be contracted"


def rotating(n):
    """Each recurrence in a dtype; of n, one is compiled in the ordinary run."""
    marks = lambda i: () if i % n == 4 else pytest.mark.sweep
    cases = [
        pytest.param(one, dtype, id=f"{one.name}-{dtype}", marks=marks(i) if (i // n + j) % 2 else pytest.mark.sweep)
        for i, one in enumerate(CORPUS)
        for j, dtype in enumerate(("float32", "float64"))
    ]
    return pytest.mark.parametrize("recurrence, dtype", cases)


@rotating(30)
def test_the_kernels_of_a_recurrence(recurrence, dtype):
    constants = tuple(recurrence.constants.values())
    check(layer_of(recurrence, dtype), constants, recurrence.differentiable)


@pytest.mark.parametrize("one", [
    pytest.param(one, id=one.name, marks=() if i % 12 == 1 else pytest.mark.sweep) for i, one in enumerate(ROW_STEPS)
])  # fmt: skip
def test_the_kernels_of_a_corner_of_steps_of_one_row(one):
    check(one.layer("float32"), one.constants, True)
