"""A step of one row, ``per_row=True``, as the step of a batch that all code around a cell sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from rnnkit.complex_pairs import is_complex
from rnnkit.steps.nesting import leaves_of, mapped


@dataclass
class IntegerStarts:
    """The states that start as integers, by place with their names; `taken` are the places of those that stay some.

    A step is given floats. One that can't be run or read so, as it takes ``w[k]``, is given those states as integers
    that are integers after the step, too.
    """

    names: Mapping[int, str] = field(default_factory=dict)
    taken: frozenset[int] = frozenset()


def advance_rows(advance, x, states, constants, training, draws, integers):
    """Return ``(output, states)`` of one step of a batch: x ``(B, *features)`` or nested, other arrays ``(B, *shape)``.

    ``advance(x, states, constants, training, draws, read)`` of one row returns ``(output, flat states)``. It calls the
    result of ``read`` for the user's function: for numbers the function, for symbols a reader of its syntax tree.
    """
    if not isinstance(states[0], np.ndarray):
        graph = states[0].graph
        x, states, constants = mapped((x, states, constants), _of_a_row)

        def read(places):
            given = [graph.read.integer(s, integers.names[i]) if i in places else s for i, s in enumerate(states)]
            return advance(x, tuple(given), constants, training, _Row(draws, _of_a_row), graph.read)

        output, new = _read(read, graph.read, integers) if integers.names else read(())
        return mapped(output, graph.read.whole), tuple(map(graph.read.whole, new))
    count = len(states[0])
    if not count:
        x, states, constants = mapped((x, states, constants), _one)
        draws = {name: _one(draw) for name, draw in draws.items()}
    results = []
    for r in range(max(count, 1)):

        def row(array, r=r):
            return array[r]

        def run(places, row=row):
            x_r, own, constants_r = mapped((x, states, constants), row)
            own = [_integer(s) if i in places else s for i, s in enumerate(own)]
            return advance(x_r, tuple(own), constants_r, training, _Row(draws, row), None)

        try:
            results.append(run(integers.taken))
        except (IndexError, TypeError):
            if integers.taken or not integers.names:
                raise
            results.append(run(integers.names))
            integers.taken = frozenset(integers.names)
    outputs, new = zip(*results, strict=True)
    leaves = iter([np.stack(each)[:count] for each in zip(*map(leaves_of, outputs), strict=True)])
    return mapped(outputs[0], lambda _: next(leaves)), tuple(np.stack(each)[:count] for each in zip(*new, strict=True))


def _read(read, reader, integers):
    """Read a step of floats; if that fails, of all integers that are integers after it, too.

    The error is that of the reading that came furthest.
    """
    try:
        return reader.first_readable([partial(read, ())])[1]
    except Exception as error:
        failed = [(reader.place, error)]
    places: set[int] = set()
    left = set(integers.names)

    def closed():
        output, new = read(places)
        left.intersection_update(i for i in places if is_integer(new[i]))
        if left != places:
            raise _BecomesFloat
        return output, new

    while left and left != places:
        places, reader.place = set(left), None
        try:
            found = reader.first_readable([closed])[1]
            integers.taken = frozenset(places)
            return found
        except _BecomesFloat:
            continue
        except Exception as error:
            failed.append((reader.place, error))
    reader.place, reason = max(failed, key=lambda one: one[0][1] if one[0] else np.inf)
    raise reason


class _BecomesFloat(Exception):
    """Error of a reading in which a state that started as an integer isn't one after the step."""


def is_integer(value) -> bool:
    """Return whether a value, of numbers or symbols, is an integer or an array of these."""
    dtype = getattr(value, "dtype", None)
    return (np.asarray(value).dtype if dtype is None else dtype).kind in "iu"


def _integer(state):
    """Return a state as integers, as it starts; as it is if it has other numbers."""
    if not np.array_equal(state, np.rint(state)):
        return state
    return state.astype(np.int64) if np.ndim(state) else int(state)


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
