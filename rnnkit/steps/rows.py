"""A step of one row, ``per_row=True``, as the step of a batch that all code around a cell sees."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rnnkit.complex_pairs import is_complex
from rnnkit.steps.nesting import leaves_of, mapped


def advance_rows(advance, x, states, constants, training, draws):
    """Return ``(output, states)`` of one step of a batch: x ``(B, *features)`` or nested, other arrays ``(B, *shape)``.

    ``advance(x, states, constants, training, draws, read)`` of one row returns ``(output, flat states)``. It calls the
    result of ``read`` for the user's function: for numbers the function, for symbols a reader of its syntax tree.
    """
    if not isinstance(states[0], np.ndarray):
        graph = states[0].graph
        x, states, constants = mapped((x, states, constants), _of_a_row)
        output, new = advance(x, states, constants, training, _Row(draws, _of_a_row), graph.read)
        return mapped(output, graph.read.whole), tuple(map(graph.read.whole, new))
    count = len(states[0])
    if not count:
        x, states, constants = mapped((x, states, constants), _one)
        draws = {name: _one(draw) for name, draw in draws.items()}
    results = []
    for r in range(max(count, 1)):

        def row(array, r=r):
            return array[r]

        results.append(advance(*mapped((x, states, constants), row), training, _Row(draws, row), None))
    outputs, new = zip(*results, strict=True)
    leaves = iter([np.stack(each)[:count] for each in zip(*map(leaves_of, outputs), strict=True)])
    return mapped(outputs[0], lambda _: next(leaves)), tuple(np.stack(each)[:count] for each in zip(*new, strict=True))


def _of_a_row(symbol):
    return symbol.mapped(_of_a_row) if is_complex(symbol) else symbol.made(symbol.node)


def _one(array):
    return np.zeros((1, *array.shape[1:]), array.dtype)


class _Row(Mapping):
    """The draws of a row, looked up when asked for."""

    def __init__(self, draws, row):
        self._draws, self._row = draws, row

    def __getitem__(self, name):
        return self._row(self._draws[name])

    def __iter__(self):
        return iter(self._draws)

    def __len__(self):
        return len(self._draws)
