"""The corpus of recurrences, run one row and one step after the other in Python."""

import collections
import pathlib
import sys

import numpy as np
import pytest

sys.path.append(str(pathlib.Path(__file__).parents[2] / "asv_benchmarks"))
from corpus import CORPUS
from numba.core.dispatcher import Dispatcher

import rnnkit as rk


def each(recurrences=CORPUS):
    """A test for each of them."""
    return pytest.mark.parametrize("recurrence", recurrences, ids=lambda recurrence: recurrence.name)


_OF_EACH_KIND = ("gjr_garch", "kepler", "dtw", "running_median", "q_learning", "finite_automaton")
some = pytest.mark.parametrize(  # a few of each kind; in the sweep, all
    "recurrence",
    [pytest.param(one, id=one.name, marks=[pytest.mark.sweep] * (one.name not in _OF_EACH_KIND)) for one in CORPUS],
)


def drawn(recurrence, rows, steps, dtype=np.float64):
    return recurrence.data(np.random.default_rng(5), rows, steps, dtype)


def number_or_array(values):
    """An entry of a step's arguments: a scalar where there is no axis, else an array that the step may not write."""
    if values.ndim == 0:
        return values[()]
    values = values.copy()
    values.flags.writeable = False
    return values


def plain(recurrence, x, constants, start=None):
    """The outputs of all rows; shapes are checked on the way."""
    named = collections.namedtuple("states", recurrence.states)
    start = recurrence.start() if start is None else start
    shapes = [state.shape for state in start]
    outputs = np.full((*x.shape[:2], *recurrence.output), np.nan)
    for row in range(len(x)):
        states = start
        given = (tuple(number_or_array(constant[row]) for constant in constants),) if constants else ()
        for t in range(x.shape[1]):
            before = named(*map(number_or_array, states))
            output, states = recurrence.step(number_or_array(x[row, t]), before, *given)
            states = [np.asarray(state, float) for state in states]
            assert [state.shape for state in states] == shapes
            assert np.shape(output) == recurrence.output
            outputs[row, t] = output
    return outputs


def helpers_in_python(recurrence, monkeypatch):
    """Let the functions that a step calls, and that numba would compile, run as they are written."""
    inside = recurrence.step.__globals__
    for name in recurrence.step.__code__.co_names:
        if isinstance(inside.get(name), Dispatcher):
            monkeypatch.setitem(inside, name, inside[name].py_func)


def slopes(recurrence, arrays, weights, rng, epsilon=1e-6):
    """Central differences of the weighted outputs along a random direction, and that direction, for ever.

    `arrays` are x, the states of the start and the constants; those that are fixed stay.
    """
    names = ("x", *recurrence.states, *recurrence.constants)
    count = 1 + len(recurrence.states)
    while True:
        along = [
            np.zeros(array.shape) if name in recurrence.fixed else rng.standard_normal(array.shape)
            for name, array in zip(names, arrays, strict=True)
        ]
        ends = []
        for sign in (1, -1):
            moved = [array + sign * epsilon * d for array, d in zip(arrays, along, strict=True)]
            ends.append((plain(recurrence, moved[0], moved[count:], moved[1:count]) * weights).sum())
        yield (ends[0] - ends[1]) / (2 * epsilon), along


def layer_of(recurrence, dtype, **options):
    """A layer of a recurrence, which returns its outputs at all steps."""
    initial = {
        name: start if np.ndim(start) == 0 else lambda rows, start=start: np.stack([np.asarray(start, float)] * rows)
        for name, start in recurrence.initial.items()
    }
    cell = rk.cell(states=dict(recurrence.states), initial=initial, per_row=True)(recurrence.step)
    layer = rk.RNN(cell(), return_sequences=True, dtype=dtype, **options)
    with rk.eager():
        layer.build((None, None, recurrence.features))
    return layer
