"""From a built step to its results: the choice of an executor, once per kind of call."""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from rnnkit.backends.python.eager import Eager
from rnnkit.backends.shared import program_cache
from rnnkit.backends.shared.call import Executor, GradientExecutor, Record, Result, recording_of
from rnnkit.circumstances import circumstances, within
from rnnkit.execution.host_fallback import on_host
from rnnkit.opaque import opaque
from rnnkit.steps.step import READING, Step, declared_output_shape

# Held while layers are built and executors chosen: a lock per layer would prevent copies and pickles.
build_lock = program_cache.lock
_alike: weakref.WeakValueDictionary[tuple, Executor] = (
    weakref.WeakValueDictionary()
)  # executors of steps with known content
_EAGER, _UNREAD = "eager", "unread"  # modes of steps: they run in Python, or are built without being read


def _output_shape(*given) -> tuple[int, ...]:
    from rnnkit.compiler.tracing.trace import output_shape

    return output_shape(*given)


READING["output_shape"] = _output_shape  # asked for by every layer, also while it builds its cell


@contextlib.contextmanager
def eager() -> Iterator[None]:
    """Run steps in a Python loop on NumPy arrays, so that ``print`` and breakpoints work in them.

    Layers called inside this context, by this thread, keep the whole contract and lose their speed. ``layer.vjp`` of a
    step that was traced runs the compiled programs all the same; a ``vjp`` of the cell's own runs here and elsewhere as
    Python.

    Returns
    -------
    context manager

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> @rk.cell(states={"count": 1})
    ... def talking(x, states, weights):
    ...     print("count", states[0].tolist())
    ...     return states[0], states[0] + 1
    >>> with rk.eager():
    ...     y = rk.RNN(talking())(np.zeros((1, 2, 1)))
    count [[0.0]]
    count [[1.0]]
    """
    with within(mode=_EAGER):
        yield


def initial_states(step: Step, batch_size: int, dtype, like: Any = None) -> tuple[np.ndarray, ...]:
    """Return the states ``(B, *shape)`` that a call on arrays like these starts from, if it is given none."""
    if not (step.starts_alike or step.starts_by_own_code) and (recording := recording_of(like)) is not None:
        recording.refuse("code of the user's gives the states that it starts from")
    return opaque(step.initial_states, batch_size, dtype, draws=not step.starts_alike, like=like)


def unread() -> contextlib.AbstractContextManager:
    """Return a context in which layers are built whose steps are not read: they will share another one's executors."""
    return within(mode=_UNREAD)


def is_eager() -> bool:
    """Return whether steps run as `eager` says."""
    return circumstances().mode is _EAGER


def _only(found: dict[tuple, Any], key: tuple, make: Callable[[], Any]) -> Any:
    """Return the one entry of a key, which one thread makes."""
    chosen = found.get(key)
    if chosen is None:
        with build_lock:
            chosen = found.get(key)
            if chosen is None:
                chosen = found[key] = make()
    return chosen


class Execution:
    """A built step with its executors, one per `training` and shapes of constants.

    A step is read when an executor is chosen for it, so later edits of the step have no effect.
    """

    def __init__(self, cell, feature_shape, dtype: np.dtype, device: str = "cpu"):
        self.step = Step(cell, feature_shape)
        self.dtype, self.device = dtype, device
        self.executors: dict[tuple, Executor] = {}
        self.gradients: dict[tuple, GradientExecutor] = {}
        self.duals: dict[tuple, Any] = {}  # executors of the step's dual, and of its gradient
        self._eager = Eager(self.step)

    def read(self) -> None:
        """Choose the executor for plain calls now, unless the step takes constants, whose shapes come with a call."""
        if not self.step.takes_constants and circumstances().mode is None:
            self.executor((), False)

    def share(self, other: Execution) -> None:
        """Run from here on what another one runs, of a step that differs in the numbers of its weights alone."""
        self.executors, self.gradients, self.duals = other.executors, other.gradients, other.duals
        self.step.share(other.step)

    def takes_members(self, constants, training: bool) -> bool:
        """Return whether a call may have weights ``(n, *shape)``: n sets, each for as many rows in turn."""
        if self.step.used_draws(constants, training) or self.device != "cpu" or is_eager():
            return False
        return getattr(self.executor(constants, training), "takes_members", False)

    def executor(self, constants, training: bool):
        """Return the executor of a call with such constants."""
        if is_eager():
            return self._eager
        key = (training, tuple(constant.shape[1:] for constant in constants))
        return self.executors.get(key) or _only(self.executors, key, lambda: self._choose(constants, *key))

    def _choose(self, constants, training, constant_shapes):
        step, content = self.step, self.step.cell._content()
        if step.takes_constants or step.per_row:  # may share another step's compiled program
            step.output_shape(constants, training)
        if content is None:
            return self._chosen(training, constant_shapes)
        kind = type(step.cell), step.name, content, step.feature_shape, self.dtype, self.device
        found = _alike.get((*kind, training, constant_shapes))
        if found is None:
            found = _alike[(*kind, training, constant_shapes)] = self._chosen(training, constant_shapes)
        return found

    def _chosen(self, training, constant_shapes):
        from rnnkit.execution import (
            pipeline,  # imports the compiler, a tenth of a second that an import of rnnkit doesn't need
        )

        choose = pipeline.choose_cuda if self.device == "cuda" else pipeline.choose
        return choose(
            self.step,
            dtype=self.dtype,
            weights=self.step.cell._all_weights(),
            constant_shapes=constant_shapes,
            training=training,
        )

    def make_sparse(self, names) -> None:
        """Make these weights sparse from here on; executors are chosen anew when they are wanted."""
        if not names <= self.step.cell._sparse_weights():
            self.step.cell._make_sparse(names)
            self.executors, self.gradients, self.duals = {}, {}, {}

    def move(self, device: str) -> None:
        """Run on another device from here on; executors are chosen anew when they are wanted."""
        if device != self.device:
            self.device, self.executors, self.gradients, self.duals = device, {}, {}, {}

    def run(self, record: Record) -> Result:
        """Return the results of one call."""
        executor = self.executor(record.constants, record.training)
        if executor is not self._eager:
            return executor.run(record)
        return on_host(executor.run, record)

    def vjp(self, record: Record, checkpoint=None, truncate=None) -> Result:
        """Return the results of one call with its pullback, see `Backward.vjp`; a ValueError if none is known."""
        from rnnkit.execution import pipeline

        in_python = is_eager() and pipeline.has_vjp(self.step)
        key = (record.training, tuple(constant.shape[1:] for constant in record.constants), in_python)
        chosen = _only(self.gradients, key, lambda: self._differentiated(record, in_python))
        if pipeline.has_vjp(self.step):
            record.runs_each_time("a cell's own vjp in Python may do anything, and so runs each time")
            if self.device == "cuda":
                return on_host(chosen.vjp, record, checkpoint, truncate)
        return chosen.vjp(record, checkpoint, truncate)

    def along(self, record: Record, tangents, wanted: frozenset[str] | None = None) -> Result:
        """Return the results of the dual's call along a direction; with `pull` if gradients by `wanted` are due.

        A ValueError refuses a step whose tangent isn't known.
        """
        if not isinstance(record.x, np.ndarray):
            raise ValueError(f"expected x of {self.step.name!r} on the host, for a derivative along a direction")
        shapes = tuple(constant.shape[1:] for constant in record.constants)
        for name in self.step.cell._sparse_weights() & tangents.weights.keys():  # whose zeros have no tangent
            tangents.weights[name] = np.where(record.weights[name] != 0, tangents.weights[name], 0)
        both, dual = tangents.of(record), self.dual(shapes, record.training, tangents.moved, wanted)
        return dual.run(both) if wanted is None else dual.vjp(both)

    def dual(self, shapes, training: bool, moved: frozenset[str], wanted: frozenset[str] | None = None) -> Any:
        """Return the executor of the step's dual for constants of these shapes, or of its gradient, see `along`."""
        from rnnkit.execution import pipeline

        def make():
            weights, target = self.step.cell._all_weights(), pipeline.target_on(self.device)
            made = pipeline.compile_dual(self.step, self.dtype, weights, shapes, training, moved, wanted, target)
            return made if wanted is None else made.differentiate()

        return _only(self.duals, (training, shapes, moved, wanted), make)

    def _differentiated(self, record, in_python):
        from rnnkit.execution import pipeline

        with within(mode=None):
            executor = self.executor(record.constants, record.training)
        shapes = tuple(constant.shape[1:] for constant in record.constants)
        if pipeline.has_vjp(self.step):
            program = executor if self.device == "cpu" and not in_python else None
            return pipeline.custom_vjp(self.step, self.run, self.dtype, shapes, record.training, program)
        return executor.differentiate()

    def output_shape(self) -> tuple[int, ...]:
        """Return the output's shape without batch and time; before constants are known, the cell's declared one."""
        if not self.step.takes_constants:
            return self.step.output_shape()
        found = self.step.last_output_shape()
        return declared_output_shape(self.step.cell) if found is None else found

    def explain(self, source: bool = False, graph: bool = False) -> str:
        """Return how every executor chosen so far was compiled: in words, node by node, or as the compiled text.

        There is one for each of training or not and shapes of constants, and two more once there was a gradient; all
        else is data.
        """
        if not self.executors:
            self.read()
        if not self.executors:
            wait = " with its constants" if self.step.takes_constants else ""
            return f"{self.step.name}: not compiled yet; it is at the first call{wait}"
        executors: list[Executor | GradientExecutor] = [*self.executors.values(), *self.gradients.values()]
        told = "\n\n".join(executor.explain(source=source, graph=graph) for executor in executors)
        if source or graph:
            return told
        count = len(self.executors) + sum(gradient.programs for gradient in self.gradients.values())
        return f"{told}\n\nprograms of this layer: {count}"
