"""Gradients through cells with a vjp of their own: a Python loop from the last step to the first.

It is the loop below, for every row and used step; the states before each step are those of the forward run::

    for t in reversed(range(T)):
        d_x[t], d_states, d_weights = vjp(x[t], states[t], weights, d_outputs[t], d_states)
        total += d_weights
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from types import SimpleNamespace

import numpy as np

from rnnkit.backends.cpu import gradient
from rnnkit.backends.shared.call import Record, Result
from rnnkit.steps.cell import Under
from rnnkit.steps.step import Step, leaves


@dataclass
class Link:
    """One cell of a stack, or the only one."""

    path: str  # in the names of weights and draws
    step: Step
    first: int  # its states among those of the stack: from here
    after: int  # up to here
    traced: Callable | None  # takes cotangents back through a step without a vjp, see `compiler.autodiff.numpy_vjp`

    def bind(self, weights):
        """Return ``(advance, pull)`` with these weights of the stack, see `Step`."""
        own, traced = dict(self._under(weights)), self.traced
        if traced is None:
            return self.step.bind(own), self.step.bind_vjp(own)

        def pull(x, states, constants, draws, training, d_output, d_states):
            return traced(x, states, own, constants, draws, d_output, d_states)

        return self.step.bind(own), pull

    def _under(self, arrays):
        return Under(arrays, self.path) if self.path else arrays

    def given(self, states, draws):
        """Return the cell's own part of the stack's states and draws."""
        return states[self.first : self.after], self._under(draws)

    def named(self, weights) -> dict:
        return {f"{self.path}/{name}" if self.path else name: array for name, array in weights.items()}


class Chain:
    """The cells of a step, one through the other, and the way of cotangents back through them; ``traced(step)`` gives
    the way back through a cell that has no vjp of its own.
    """

    def __init__(self, step: Step, constant_shapes, training, traced):
        zeros = tuple(np.zeros((1, *shape)) for shape in constant_shapes)
        self.links: list[Link] = []
        features, first = step.feature_shape, 0
        for path, cell in leaves(step.cell):
            own = step if not path else Step(cell, features)
            own.by_row = step.by_row
            after = first + len(own.state_shapes)
            self.links.append(Link(path, own, first, after, None if cell._has_vjp() else traced(own)))
            first, features = after, own.output_shape(zeros if own.takes_constants else (), training)

    def bind(self, weights):
        """Return ``pull(x, states, constants, draws, training, d_output, d_states)``, as `Step.bind_vjp`."""
        bound = [(link, *link.bind(weights)) for link in self.links]

        def pull(x, states, constants, draws, training, d_output, d_states):
            seen = []
            for link, advance, _ in bound:
                own, drawn = link.given(states, draws)
                seen.append((x, own, constants, drawn, training))
                if link is not self.links[-1]:
                    x, _ = advance(x.copy(), tuple(s.copy() for s in own), constants, drawn, training)
            found: list = [None] * len(d_states)
            d_weights: dict = {}
            d_constants = tuple(np.zeros_like(constant) for constant in constants)
            for (link, _, back), given in zip(reversed(bound), reversed(seen), strict=True):
                d_output, own, named, more = back(*given, d_output, d_states[link.first : link.after])
                found[link.first : link.after] = own
                d_weights |= link.named(named)
                d_constants = tuple(a + b for a, b in zip(d_constants, more, strict=True)) if more else d_constants
            return d_output, tuple(found), d_weights, d_constants

        return pull


class CustomVJP:
    """Gradients of one step over records in a Python loop, as `Backward` of the CPU computes them by programs."""

    programs = 0

    def __init__(self, step: Step, run, dtype, chain: Chain, constant_shapes=(), training=False):
        self.step, self.chain = step, chain
        zeros = tuple(np.zeros((1, *shape)) for shape in constant_shapes)
        shapes = SimpleNamespace(state_shapes=step.state_shapes, output_shape=step.output_shape(zeros, training))
        self.plain = SimpleNamespace(run=run, dtype=np.dtype(dtype), plan=shapes, members=lambda weights: 0)
        self.outer_products = None
        self.sums: list = []  # the weights' gradients are sums already
        self.adjoint = SimpleNamespace(plan=SimpleNamespace(state_shapes=(*step.state_shapes, *constant_shapes)))

    def vjp(self, record: Record, checkpoint=None, truncate=None) -> Result:
        """Return the results of a call, with `pull`; arguments as `Backward.vjp`."""
        arranged = record.in_order()
        states, constants = (tuple(map(np.array, some)) for some in (record.states, record.constants))
        arranged = replace(arranged, x=np.array(arranged.x, order="C"), states=states, constants=constants)
        run = _Run(self, arranged, None, record.reverse, checkpoint, truncate)  # type: ignore[arg-type]  # see `_Run`
        return replace(run.result(), pull=run.pull)

    def explain(self, source: bool = False, graph: bool = False) -> str:
        """Return in words whether each cell takes cotangents back by its own vjp or by rules."""
        told = [
            link.step.name + (" by its own vjp" if link.traced is None else " by rules") for link in self.chain.links
        ]
        without = "; there is no graph" if graph else ""
        return f"{'# ' * source}gradient: a Python loop from the last step to the first, {', '.join(told)}{without}"

    def row_bytes(self) -> int:
        return sum(map(math.prod, self.step.state_shapes)) * self.plain.dtype.itemsize

    def finish(self, weights, sums) -> dict:
        """Return the weights' gradients, of sparse weights where they aren't 0."""
        for name in self.step.cell._sparse_weights():
            sums[name] = np.where(weights[name] != 0, sums[name], 0.0)
        return {name: array.astype(self.plain.dtype) for name, array in sums.items()}


class _Run(gradient._Run):
    """One call and its gradient; a `CustomVJP` has all that the base reads of a `Backward`."""

    def _keep(self, record, lent=None):
        result = self.backward.plain.run(replace(record, trajectory=True))
        before = [
            np.concatenate([first[:, None], after[:, :-1]], axis=1)
            for first, after in zip(record.states, result.trajectory or (), strict=True)
        ]
        return replace(result, trajectory=None), before

    def _way_back(self, states):
        return _Pull(self, states)


class _Pull(gradient._Pull):
    """The way back through one call, step by step."""

    backward: CustomVJP  # type: ignore[assignment]  # see `_Run`

    def __init__(self, run, states):
        super().__init__(run, states)
        self.step = self.backward.chain.bind(self.record.weights)
        self.d_weights = {name: np.zeros(shape) for name, shape in self.backward.step.weight_shapes.items()}
        self.d_x[...] = 0

    def segment(self, first, end, before, d_outputs) -> None:
        record, count = self.record, self.count
        for t in reversed(range(first, end)):
            if self.run.truncate and (t + 1) % self.run.truncate == 0 and t + 1 < self.run.steps:
                for c in self.cotangents[:count]:
                    c[...] = 0
            # Only used rows: values of masked ones have no effect.
            rows = np.arange(self.run.rows) if record.mask is None else np.flatnonzero(record.mask[:, t])
            if not rows.size:
                continue
            at, of_outputs = next((at, array) for at, array in reversed(d_outputs) if at <= t)
            with np.errstate(all="ignore"):
                d_x, d_states, d_weights, d_constants = self.step(
                    record.x[rows, t],
                    tuple(states[rows, t - first] for states in before),
                    tuple(constant[rows] for constant in record.constants),
                    {name: draw[rows] for name, draw in record.draws.items()},
                    record.training,
                    of_outputs[rows, t - at],
                    tuple(c[rows] for c in self.cotangents[:count]),
                )
            self.d_x[rows, t] = d_x
            for c, d in zip(self.cotangents, d_states, strict=False):
                c[rows] = d
            for c, d in zip(self.cotangents[count:], d_constants, strict=True):
                c[rows] += d
            for name, d in d_weights.items():
                self.d_weights[name] += d

    def _of_weights(self, by_row) -> dict[str, np.ndarray]:
        return self.backward.finish(self.record.weights, self.d_weights)
