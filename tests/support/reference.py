"""The whole contract in slow, plain NumPy: the truth of every test. Imports nothing of rnnkit.

A step here is ``step(x, states) -> (output, states)`` on one row-batch, with its weights bound; states are a flat
tuple of arrays ``(B, ...)``.
"""

from typing import NamedTuple

import numpy as np


class Ran(NamedTuple):
    """What a run gives: sequences and trajectory in processing order."""

    outputs: np.ndarray  # (B, T, O)
    last: np.ndarray  # (B, O)
    states: tuple  # of (B, ...)
    trajectory: tuple  # of (B, T, ...)


def run(step, x, states, mask=None, reverse=False, zero_output_for_mask=False):
    """Apply ``step`` along the time of ``x`` (B, T, ...), row by row holding what is masked."""
    batch, time = x.shape[:2]
    used = np.ones((batch, time), bool) if mask is None else np.asarray(mask).reshape(batch, time) != 0
    states = tuple(np.array(s) for s in states)
    order = range(time - 1, -1, -1) if reverse else range(time)
    with np.errstate(all="ignore"):
        width = step(np.zeros((batch, *x.shape[2:]), x.dtype), states)[0].shape[1:]
        held = np.zeros((batch, *width), x.dtype)
        outputs = np.zeros((batch, time, *width), x.dtype)
        trajectory = tuple(np.zeros((batch, time, *s.shape[1:]), s.dtype) for s in states)
        for position, t in enumerate(order):
            output, new = step(x[:, t], states)
            states = tuple(select(used[:, t], n, s) for n, s in zip(new, states, strict=True))
            held = select(used[:, t], output, held)
            outputs[:, position] = held
            if zero_output_for_mask:
                outputs[~used[:, t], position] = 0
            for kept, state in zip(trajectory, states, strict=True):
                kept[:, position] = state
    return Ran(outputs, held, states, trajectory)


def select(used, new, old):
    """Per row ``new`` where used, else ``old``; never a product, so NaN under a mask reaches nothing."""
    return np.where(used.reshape(-1, *[1] * (old.ndim - 1)), new, old).astype(old.dtype)


def stack(steps, counts):
    """One step that goes through several cells, bottom first; ``counts`` are their numbers of states."""

    def step(x, states):
        left, new = list(states), []
        for one, count in zip(steps, counts, strict=True):
            x, out = one(x, tuple(left[:count]))
            left, new = left[count:], [*new, *out]
        return x, tuple(new)

    return step


MERGES = {
    "concat": lambda f, b: np.concatenate([f, b], axis=-1),
    "sum": lambda f, b: f + b,
    "mul": lambda f, b: f * b,
    "ave": lambda f, b: (f + b) / 2,
    None: lambda f, b: (f, b),
}


def bidirectional(forward, backward, x, forward_states, backward_states, merge_mode="concat", mask=None):
    """``(sequences, last, states)``; sequences are zero where masked, the backward half in input time."""
    there = run(forward, x, forward_states, mask, False, True)
    back = run(backward, x, backward_states, mask, True, True)
    merge = MERGES[merge_mode]
    return (
        merge(there.outputs, back.outputs[:, ::-1]),
        merge(there.last, back.last),
        (*there.states, *back.states),
    )


def sigmoid(z):
    """1 / (1 + exp(-z)) that keeps its lower tail and never overflows."""
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1 / (1 + e), e / (1 + e)).astype(z.dtype)


def hard_sigmoid(z):
    return np.clip(z / 6 + 0.5, 0, 1)


def simple_rnn(kernel, recurrent, bias=0, activation=np.tanh):
    def step(x, states):
        (h,) = states
        h = activation(x @ kernel + bias + h @ recurrent)
        return h, (h,)

    return step


def gru_reset_after(kernel, recurrent, bias=None, activation=np.tanh, gate=sigmoid):
    units = recurrent.shape[0]
    input_bias, hidden_bias = (0, 0) if bias is None else bias

    def step(x, states):
        (h,) = states
        from_x, from_h = x @ kernel + input_bias, h @ recurrent + hidden_bias
        z = gate(from_x[:, :units] + from_h[:, :units])
        r = gate(from_x[:, units : 2 * units] + from_h[:, units : 2 * units])
        new = activation(from_x[:, 2 * units :] + r * from_h[:, 2 * units :])
        h = z * h + (1 - z) * new
        return h, (h,)

    return step


def gru_reset_before(kernel, recurrent, bias=0, activation=np.tanh, gate=sigmoid):
    units = recurrent.shape[0]

    def step(x, states):
        (h,) = states
        from_x = x @ kernel + bias
        z = gate(from_x[:, :units] + h @ recurrent[:, :units])
        r = gate(from_x[:, units : 2 * units] + h @ recurrent[:, units : 2 * units])
        new = activation(from_x[:, 2 * units :] + (r * h) @ recurrent[:, 2 * units :])
        h = z * h + (1 - z) * new
        return h, (h,)

    return step


def lstm(kernel, recurrent, bias=0, activation=np.tanh, gate=sigmoid):
    def step(x, states):
        h, c = states
        i, f, g, o = np.split(x @ kernel + bias + h @ recurrent, 4, axis=-1)
        c = gate(f) * c + gate(i) * activation(g)
        h = gate(o) * activation(c)
        return h, (h, c)

    return step
