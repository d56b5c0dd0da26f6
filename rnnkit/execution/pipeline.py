"""From a step to a program: traced and planned where it can be read, else compiled as it stands."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import numpy as np

from rnnkit.backends.cpu.compile import CPU
from rnnkit.backends.shared.call import Executor
from rnnkit.backends.shared.notice import telling
from rnnkit.backends.shared.program_cache import cache_info, clear_cache
from rnnkit.compiler.autodiff.forward import Tangent, tangent_name
from rnnkit.compiler.autodiff.numpy_vjp import Pull
from rnnkit.compiler.autodiff.weight_gradients import WeightGradients
from rnnkit.compiler.ir.matrix_functions import Kernel
from rnnkit.compiler.ir.simplify import without_rules
from rnnkit.compiler.tracing.batch_axis import MixesRows, ReadsValues, Untraceable
from rnnkit.compiler.tracing.trace import example, trace
from rnnkit.execution import dump, passes
from rnnkit.execution.tangents import row_tangent
from rnnkit.steps.step import leaves

__all__ = ["cache_info", "choose", "choose_cuda", "clear_cache", "compile_loss", "custom_vjp", "has_vjp", "tangent"]


def choose(step, dtype, weights, constant_shapes=(), training=False) -> Executor:
    """Return the executor of a step: a traced program, or the generic driver where the tracer can't read it.

    A ValueError refuses a step whose rows depend on each other, and one that can be neither traced nor jitted, with the
    line and the construct that stopped each.
    """
    try:
        return compile_step(step, dtype, weights, constant_shapes, training)
    except Untraceable as error:
        reason = error
    except RecursionError:
        reason = Untraceable("the step is too long to be read as a whole; write its inner loop shorter")
    return _jitted(step, dtype, weights, constant_shapes, training, reason)


def tangent(step, dtype, weights, constant_shapes=(), training=False) -> Tangent:
    """Return the `Tangent` of a step, which evaluates the step with its tangent; a ValueError if it can't be traced."""
    with readable(step, no_gradient(step)):
        return Tangent(passes.read(step, dtype, weights, constant_shapes, training, rules=True), dtype)


def target_on(device: str):
    """Return the target of traced steps on a device."""
    if device == "cpu":
        return CPU
    from rnnkit.backends.cuda.compile import CUDA

    return CUDA


def compile_dual(step, dtype, weights, constant_shapes, training, moved, wanted, target=CPU) -> Executor:
    """Return the program of a step's dual, see `rnnkit.compiler.autodiff.forward.dual`.

    `moved` are those of "x", "constants" and the weights that have a tangent; `wanted` are the weights by which there
    are gradients, None where there are none at all. A ValueError names a function without a known derivative.
    """
    with readable(step, no_gradient(step)):
        graph = passes.read(step, dtype, weights, constant_shapes, training, rules=True, by_vjp=has_vjp(step))
    long = [node for node in graph.nodes if node.op == "ruled" and isinstance(node.attr[1][0], Kernel)]
    if long and wanted is not None:
        raise ValueError(
            f"second derivatives of eigenvalues of so many rows aren't known, in the line {long[0].line!r}"
        )
    own = weights.keys() & moved
    count = len(constant_shapes) if "constants" in moved else 0
    shapes = (*constant_shapes, *constant_shapes) if count else constant_shapes
    rows = sorted(name for name in weights if row_tangent(name) in moved)
    graph = passes.run(
        "dual", graph, np.dtype(dtype), "x" in moved, count, own, dict(zip(rows, itertools.count(len(shapes))))
    )
    graph.still = frozenset((*weights, *map(tangent_name, own))) - (wanted or frozenset())
    features = (2, *step.feature_shape) if "x" in moved else step.feature_shape
    shapes = (*shapes, *(weights[name].shape for name in rows))
    return _compiled(graph, SimpleNamespace(name=step.name, feature_shape=features), np.dtype(dtype), shapes, target)


def compile_loss(step, dtype, gradient=True):
    """Return the program of a step, without weights and constants, whose only new state is its rows' loss.

    With `gradient`, it puts out the derivative of the state's sum by x, computed in the same pass, in place of the
    step's own output. A ValueError as of `choose_stored`.
    """
    dtype = np.dtype(dtype)
    try:
        with readable(step, f"the gradient of {step.name!r} isn't known: {{}}"):
            graph = passes.read(step, dtype, {}, rules=True)
    except MixesRows as error:
        mixed = ValueError(f"{error}; reduce with axis=-1, so that each row keeps a loss of its own")
        raise mixed.with_traceback(error.__traceback__) from None
    if gradient:
        graph = passes.run("differentiate_loss", graph, dtype, step.feature_shape)
    return passes.program(graph, CPU, step.name, dtype, "gradient" if gradient else "forward")


def has_vjp(step) -> bool:
    """Return whether a cell of the step has a vjp of its own, by which cotangents then go back."""
    return any(cell._has_vjp() for _, cell in leaves(step.cell))


def decides_by_values(step, dtype, constant_shapes=(), training=False) -> bool:
    """Return whether the step decides by its arrays' values, and so takes one row; chosen programs show it, too."""
    try:
        trace(step, dtype, step.cell._all_weights(), constant_shapes, training)
    except Untraceable as error:
        return isinstance(error, ReadsValues)
    return False


def chain(step, dtype, constant_shapes=(), training=False):
    """Return the `Chain` of a step's cells, at least one of which has a vjp of its own."""
    from rnnkit.backends.python.custom_vjp import Chain

    def traced(step):
        shapes = constant_shapes if step.takes_constants else ()
        with readable(step, no_gradient(step)):
            graph = passes.read(step, dtype, step.cell._all_weights(), shapes, training, rules=True)
        return Pull(graph, dtype, shapes, step.feature_shape)

    return Chain(step, constant_shapes, training, traced)


def custom_vjp(step, run, dtype, constant_shapes=(), training=False, executor=None):
    """Return the gradient executor of such a step: compiled where its vjps can be read, else a loop in Python."""
    from rnnkit.backends.python.custom_vjp import CustomVJP

    cells = chain(step, dtype, constant_shapes, training)
    compiled = None if executor is None else _by_read_vjps(step, dtype, constant_shapes, training, executor, cells)
    return compiled or CustomVJP(step, run, dtype, cells, constant_shapes, training)


def _by_read_vjps(step, dtype, constant_shapes, training, executor, cells):
    """Return a step's gradient compiled with its cells' vjps; None if one can't be read, or differs on numbers."""
    weights = step.cell._all_weights()
    try:
        graph = passes.read(step, dtype, weights, constant_shapes, training, rules=True, by_vjp=True)
        pull = Pull(graph, np.float64, constant_shapes, step.feature_shape)
        for seed in range(3):
            if not _agree(step, graph, pull, cells, example(step, weights, constant_shapes, seed == 0, seed), training):
                return None
        target = CPU.of_step(without_rules(graph)) or CPU
        found = _gradient(target.adapt(graph), step, np.dtype(dtype), constant_shapes, target, executor)
        found.rules = "by vjps of cells, read as their steps are; else one rule per operation"
        return found
    except Exception:  # from the user's code, which was not written for symbols
        return None


def _agree(step, graph, pull, cells, given, training) -> bool:
    """Return whether vjps as read give the same cotangents as the vjps themselves, of two rows."""
    x, states, weights, constants, draws = given
    rng = np.random.default_rng(1)
    d_output, *d_states = (rng.standard_normal((2, *node.shape)) for node in (graph.output, *graph.states))
    with np.errstate(all="ignore"):
        found = pull(x, states, weights, constants, draws, d_output, d_states)
        wanted = cells.bind(weights)(x, states, constants, draws, training, d_output, tuple(d_states))

    def flat(d_x, d_states, d_weights, d_constants):
        sums = [np.broadcast_to(d_weights.get(name, 0.0), array.shape) for name, array in weights.items()]
        return [d_x, *d_states, *sums, *d_constants]

    pairs = zip(flat(*found), flat(*wanted), strict=True)
    return all(np.allclose(a, b, rtol=1e-6, atol=1e-9 * max(1.0, np.abs(b).max(initial=0.0))) for a, b in pairs)


@contextmanager
def readable(step, told: str, aim: str = ""):
    """Refuse by a ValueError a step that the tracer can't read: `told`, with the reason in it; `aim` is what it is for.

    In `told`, braces stand for the reason.
    """
    try:
        yield
    except RecursionError:
        raise ValueError(f"expected {step.name!r} short enough to be read as a whole{aim}") from None
    except Untraceable as error:
        raise ValueError(told.replace("{}", in_words(error))).with_traceback(error.__traceback__) from None


def choose_cuda(step, dtype, weights, constant_shapes=(), training=False) -> Executor:
    """Return the executor of a step on a GPU.

    A ValueError has the line and the construct that stopped the tracer, or says that rows depend on each other.
    """
    told = (
        f"{step.name!r} can't run on a GPU, since the tracer can't read its step: {{}}; write the step so that it can "
        'be traced, or keep the layer on device="cpu"'
    )
    with readable(step, told, " for a GPU"):
        return compile_step(step, dtype, weights, constant_shapes, training, target_on("cuda"))


def compile_step(step, dtype, weights, constant_shapes=(), training=False, target=CPU):
    """Return the program of a step that can be traced, with its gradient."""
    graph = passes.read(step, dtype, weights, constant_shapes, training, rules=True)
    return _compiled(graph, step, np.dtype(dtype), constant_shapes, target)


def _compiled(graph, step, dtype, constant_shapes, target):
    target = target.of_step(without_rules(graph)) or target
    graph = target.adapt(graph)
    gradient = partial(_gradient, graph, step, dtype, constant_shapes, target)
    return passes.program(graph, target, step.name, dtype, gradient=gradient)


def _gradient(graph, step, dtype, constant_shapes, target, program):
    arguments = constant_shapes, step.feature_shape, target.sums_by_row
    adjoint = passes.run("differentiate", graph, dtype, *arguments)
    forward = passes.program(adjoint.forward, target, step.name, dtype, "forward with residuals")
    backward = passes.program(adjoint.backward, target, step.name, dtype, "adjoint")
    finish = WeightGradients(adjoint.weights, frozenset(graph.sparse), dtype)
    residuals = {key: node.size for key, node in adjoint.forward.residuals.items()}
    operands = {key: node.size for key, node in adjoint.backward.residuals.items()}
    return target.gradient(program, forward, backward, residuals, operands, adjoint.sums, finish)


def _jitted(step, dtype, weights, constant_shapes, training, error):
    from rnnkit.backends.jit.executor import CannotCompile, JitExecutor

    by_row, reason = isinstance(error, ReadsValues), in_words(error)
    if step.per_row:
        raise ValueError(f"{step.name!r} can't be read, as a step of one row has to be: {reason}") from None
    if any(cell._draws_each_step() for _, cell in leaves(step.cell)):
        raise ValueError(f"{step.name!r} can't be traced, as a step that draws at each step has to be: {reason}")
    if step.inputs or step.outputs or step.has_complex:
        kind = "complex numbers" if step.has_complex else "nested inputs or outputs"
        told = f"{step.name!r} can't be traced, as a step with {kind} has to be: {reason}"
        raise ValueError(told).with_traceback(error.__traceback__)
    try:
        with telling(step.name):
            executor = JitExecutor(
                step, dtype, weights, constant_shapes, training, by_row, reason, no_gradient(step).replace("{}", reason)
            )
    except CannotCompile as refusal:
        told = f"{step.name!r} can be neither traced: {reason}; nor jitted, numba: {refusal}"
        raise ValueError(told).with_traceback(error.__traceback__) from None
    except Exception as mistake:
        mistake.add_note(f"the tracer can't read the step: {reason}")
        raise
    dump.dump("source", f"{step.name}, {np.dtype(dtype).name}, jitted", executor.explain(source=True))
    return executor


def no_gradient(step) -> str:
    """Return why a step that can't be read has no gradient, and the remedy; braces stand for why it can't be read."""
    return (
        f"the gradient of {step.name!r} isn't known, since the tracer can't read its step: {{}}; write the step so "
        "that it can be traced, or how cotangents go back through it: rk.cell(…, vjp=function), or a method vjp of a "
        "cell"
    )


def in_words(error) -> str:
    """Return why a step can't be traced, with the line."""
    return " ".join([str(error), *(f"({note})" for note in getattr(error, "__notes__", []) if note)])
