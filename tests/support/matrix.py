"""Combinations of what a run can be (cell, mask, direction, dtype, sizes), and layers built once for all of them."""

from functools import cache
from itertools import combinations, product

import numpy as np
import pytest
from cells_under_test import CELLS, NAMED
from on_device import by_device

import rnnkit as rk

MASKS = ("none", "random", "left", "right", "empty_rows")
FACTORS = {
    "cell": tuple(c.name for c in CELLS),
    "mask": MASKS,
    "backwards": (False, True),
    "dtype": ("float64", "float32"),
    "zero": (False, True),
    "units": by_device((17, 1, 33), (5, 1, 6)),
    "features": by_device((1, 17, 33), (1, 3, 5)),
    "batch": (7, 1),
    "time": (9, 1),
}


def pairwise(factors):
    """Rows that hold every pair of values of every two factors at least once; greedy, the same at each call."""
    names = list(factors)
    missing = {
        frozenset({(a, u), (b, v)}) for a, b in combinations(names, 2) for u, v in product(factors[a], factors[b])
    }
    rows = []
    for first, second in product(factors[names[0]], factors[names[1]]):
        rows.append(fill({names[0]: first, names[1]: second}, factors, missing))
    while missing:
        rows.append(
            fill(dict(sorted(min(missing, key=lambda pair: sorted(map(str, pair))), key=str)), factors, missing)
        )
    return rows


def fill(row, factors, missing):
    for name, values in factors.items():
        if name not in row:
            news = [sum(frozenset({(name, v), item}) in missing for item in row.items()) for v in values]
            row[name] = values[int(np.argmax(news))]
    missing.difference_update(frozenset(pair) for pair in combinations(row.items(), 2))
    return row


def label(row):
    return "-".join(str(v) if not isinstance(v, bool) else f"{k}{int(v)}" for k, v in row.items())


ROWS = pairwise(FACTORS)


def every(n, cases):
    """Cases for a parametrized test, of which every n-th is always run and the others in the sweep."""
    return [case if i % n == 0 else pytest.param(case, marks=pytest.mark.sweep) for i, case in enumerate(cases)]


def make_mask(kind, batch, time, rng):
    if kind == "none":
        return None
    if kind == "random":
        return rng.random((batch, time)) < 0.6
    lengths = rng.integers(1, max(time, 1) + 1, (batch, 1))
    if kind == "empty_rows":
        lengths[::2] = 0
    used = np.arange(time) < lengths
    return used[:, ::-1] if kind == "left" else used


@cache
def layer_of(name, units=17, features=5, dtype="float64", **options):
    """A built layer around a cell under test, everything returned; the same weights whatever the options."""
    options = {"return_sequences": True, "return_state": True, "seed": 7, **options}
    layer = rk.RNN(NAMED[name].make(units), dtype=dtype, **options)
    layer.build((None, None, features))
    return layer


def fresh(name, units=17, features=5, dtype="float64", **options):
    """As ``layer_of``, but nobody else's: for a test that changes it."""
    return layer_of.__wrapped__(name, units, features, dtype, **options)


def inputs(name, batch, time, features=5, dtype="float64", seed=0):
    """``(x, constants)`` for a cell, the keyword's value ready to hand over."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, time, features)).astype(dtype)
    constants = [rng.normal(size=(batch, *shape)).astype(dtype) for shape in NAMED[name].constants]
    return x, constants or None


def flat(tree):
    """The arrays of nested lists or tuples, in order."""
    if isinstance(tree, np.ndarray):
        return [tree]
    return [leaf for entry in tree for leaf in flat(entry)]


def like(tree, leaves):
    """The same nesting with other arrays."""
    leaves = iter(leaves)

    def walk(node):
        return next(leaves) if isinstance(node, np.ndarray) else [walk(entry) for entry in node]

    return walk(tree)


def random_states(layer, batch, dtype="float64", seed=3):
    """Start states other than the layer's own, nested as the layer nests them."""
    rng = np.random.default_rng(seed)
    start = list(layer.get_initial_state(batch))
    return like(start, [rng.normal(0, 0.5, s.shape).astype(dtype) for s in flat(start)])


def part(tree, rows):
    """Some rows of each array in nested lists."""
    return tree[rows] if isinstance(tree, np.ndarray) else [part(entry, rows) for entry in tree]


def same_bits(got, expected):
    """Equal bit for bit: NaN equals itself, and 0.0 is not -0.0; nested alike."""
    got, expected = flat(got), flat(expected)
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype, f"{a.shape} {a.dtype} against {b.shape} {b.dtype}"
        if a.tobytes() != np.ascontiguousarray(b).tobytes():
            where = np.argwhere(~((a == b) | ((a != a) & (b != b))))
            raise AssertionError(f"{len(where)} of {a.size} differ, first at {where[:1].tolist()}")


def close(got, expected, dtype="float64", scale=1.0):
    bound = scale * {"float64": 1e-12, "float32": 1e-5}[str(np.empty(0, dtype).real.dtype)]
    got, expected = flat(got), flat(expected)
    assert len(got) == len(expected)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=bound, atol=bound)
