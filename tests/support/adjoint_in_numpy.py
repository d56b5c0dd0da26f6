"""A layer's gradient in slow, plain NumPy: the graph of a step and of its adjoint, evaluated in a loop over time.

Everything is float64, rows are held by the contract's rule, and every sum over steps and rows is written as it is said.
"""

from types import SimpleNamespace

import numpy as np

from rnnkit.compiler.autodiff.adjoint import differentiate
from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.execution import passes


class Reference:
    """The step of a built layer and its adjoint; arrays and their cotangents stand in processing order along time.

    Arguments of a call are a namespace of ``x``, ``start``, ``weights``, ``mask``, ``constants``, ``draws``, ``zero``.
    """

    def __init__(self, layer, constants=(), training=False):
        step, dtype = layer._execution.step, layer._execution.dtype
        shapes = tuple(c.shape[1:] for c in constants or ())
        self.graph = passes.read(step, dtype, dict(layer.weights), shapes, training)
        self.adjoint = differentiate(self.graph, dtype, shapes, step.feature_shape)

    def run(self, call):
        """``(outputs (B, T, O), last (B, O), states, tape)``; the tape holds what each step read and kept."""
        forward, tape = self.adjoint.forward, []
        batch, time = call.x.shape[:2]
        used = np.ones((batch, time), bool) if call.mask is None else call.mask
        states, last = tuple(map(double, call.start)), np.zeros((batch, *forward.output.shape))
        outputs = np.zeros((batch, time, *forward.output.shape))
        targets = [forward.output, *forward.states, *forward.residuals.values()]
        for t in range(time):
            read = inputs(call, t, states)
            output, *values = computed(targets, read, batch)
            after, kept = values[: len(states)], dict(zip(forward.residuals, values[len(states) :], strict=True))
            tape.append(SimpleNamespace(read=read, states=states, after=after, residuals=kept, used=used[:, t]))
            states = tuple(select(used[:, t], n, s) for n, s in zip(after, states, strict=True))
            last = select(used[:, t], output, last)
            outputs[:, t] = select(used[:, t], output, np.zeros_like(last) if call.zero else last)
        return outputs, last, states, tape

    def gradient(self, call, d_outputs=None, d_last=None, d_states=None):
        """A namespace of ``x``, ``states``, ``constants`` and ``weights``."""
        backward, tape = self.adjoint.backward, self.run(call)[3]
        batch, time = call.x.shape[:2]
        shapes = [node.shape for node in backward.states]
        cotangents = [np.zeros((batch, *shape)) for shape in shapes]
        for i, given in enumerate(d_states or ()):
            cotangents[i] = cotangents[i] if given is None else double(given)
        held = np.zeros((batch, *self.graph.output.shape))  # of the output that the last used step so far has put out
        held += 0 if d_last is None else d_last
        d_x = np.zeros(call.x.shape)
        sums = [np.zeros(s.shape) for s in self.adjoint.sums]
        targets = [backward.output, *backward.states, *backward.residuals.values()]
        for t in reversed(range(time)):
            step, used = tape[t], tape[t].used
            of_output = np.zeros_like(held) if d_outputs is None else double(d_outputs[:, t])
            held = held + (select(used, of_output, np.zeros_like(held)) if call.zero else of_output)
            read = {key: array for key, array in step.read.items() if key[0] != "state"}
            read |= {("state", i): cotangent for i, cotangent in enumerate(cotangents)}
            read["sequence", "output"] = held
            read |= {("residual", ("state", i)): state for i, state in enumerate(step.states)}
            read |= {("residual", key): array for key, array in step.residuals.items()}
            x, *values = computed(targets, read, batch)
            news, operands = values[: len(shapes)], dict(zip(backward.residuals, values[len(shapes) :], strict=True))
            for i, s in enumerate(self.adjoint.sums):
                b = rows(s.b, step, operands, read)[used].reshape(used.sum() * s.b.rows, s.b.depth)
                a = None if s.a is None else rows(s.a, step, operands, read)[used].reshape(len(b), s.a.depth)
                sums[i] += (b.sum(axis=0) if a is None else a.T @ b).reshape(s.shape)
            d_x[:, t] = select(used, x, np.zeros_like(x))
            cotangents = [select(used, n, c) for n, c in zip(news, cotangents, strict=True)]
            held = select(used, np.zeros_like(held), held)
        count = len(self.graph.states)
        return SimpleNamespace(
            x=d_x, states=cotangents[:count], constants=cotangents[count:], weights=self.finished(call, sums)
        )

    def finished(self, call, sums):
        given = {("weight", name): double(array) for name, array in call.weights.items()}
        given |= {("weight", ("sum", i)): array for i, array in enumerate(sums)}
        values = evaluate(self.adjoint.weights.values(), given, np.float64)
        found = {name: np.zeros(array.shape) for name, array in call.weights.items()}
        for name, node in self.adjoint.weights.items():
            found[name] = found[name] + values[node.id]
        return {n: np.where(call.weights[n] != 0, g, 0.0) if n in self.graph.sparse else g for n, g in found.items()}


def double(array):
    return np.asarray(array, np.float64)


def inputs(call, t, states):
    found = {("x", None): double(call.x[:, t])}
    found |= {("state", i): state for i, state in enumerate(states)}
    found |= {("constant", i): double(constant) for i, constant in enumerate(call.constants or ())}
    found |= {("draw", name): double(draw) for name, draw in (call.draws or {}).items()}
    return found | {("weight", name): double(weight) for name, weight in call.weights.items()}


def computed(nodes, read, batch):
    with np.errstate(all="ignore"):
        values = evaluate(nodes, read, np.float64)
    return [np.broadcast_to(values[n.id], (batch, *n.shape)) if not n.batched else values[n.id] for n in nodes]


def select(used, new, old):
    return np.where(used.reshape(-1, *[1] * (old.ndim - 1)), new, old)


def rows(place, step, operands, read):
    """``(B, rows, depth)``: what a sum over rows takes of one step."""
    array = {
        "x": lambda: read["x", None],
        "state": lambda: step.states[place.key],
        "after": lambda: step.after[place.key],
        "residual": lambda: step.residuals["residual", place.key],
        "operand": lambda: operands["operand", place.key],
    }[place.source]()
    flat = array.reshape(len(array), -1)
    at = place.offset + place.stride * np.arange(place.rows)[:, None] + np.arange(place.depth)
    return flat[:, at]


def slope(function, at, steps=(1e-2, 1e-3, 1e-4, 1e-5, 1e-6)):
    """How fast a function of a number moves at 0, by central differences of fourth order: that nearest to `at`."""
    found = []
    for h in steps:
        near, far = function(h) - function(-h), function(2 * h) - function(-2 * h)
        found.append((8 * near - far) / (12 * h))
    return min(found, key=lambda value: abs(value - at))


def has_corner(function, h=1e-6):
    """Whether the slopes of a function of a number to both sides of 0 differ, or the function jumps there."""
    left, middle, right = function(-h), function(0.0), function(h)
    return abs((right - middle) - (middle - left)) > 1e-3 * h
