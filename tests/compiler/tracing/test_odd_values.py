"""Functions of a row's numbers, where one of them is infinite, NaN or so large that products with it overflow."""

import warnings

import numpy as np
import pytest

import rnnkit as rk

USUAL = np.array([0.5, -1.25, 2.0, 1.5])
ROWS = np.stack([USUAL] * 20)
for i, value in enumerate([np.inf, -np.inf, np.nan, 1e300, -1e300]):
    ROWS[4 * i + np.arange(4), np.arange(4)] = value
ROWS = np.stack([*ROWS, USUAL, [np.inf, -np.inf, 0.0, 1.0], [0.0, np.nan, np.inf, 1.0]])
KNOTS = np.array([-1.0, 0.0, 1.0, 2.0])


def assigned(v):
    w = np.zeros_like(v)
    w[:, 1:3] = v[:, :2]
    w[:, 0] += 1
    return w


def added(v):
    w = np.zeros_like(v)
    np.add.at(w, (slice(None), [0, 2, 2, 1]), v)
    return w


def put(v):
    w = np.zeros_like(v)
    np.put_along_axis(w, np.argsort(v, -1), v, -1)
    return w


def squares(v):
    return v[:, :, None] * np.ones(4)


GROUPS = {
    "running": [
        *(lambda v, of=of: of(v, -1) for of in (np.cumsum, np.nancumsum, np.cumprod, np.nancumprod)),
        *(lambda v, of=of: of.accumulate(v, -1) for of in (np.add, np.multiply, np.maximum, np.minimum)),
        lambda v: np.cumsum(np.concatenate([v] * 20, -1), -1),
        lambda v: np.cumsum(np.concatenate([0 * v[:, ::-1]] * 20 + [v], -1), -1),
        lambda v: np.unwrap(v, axis=-1),
        lambda v: np.diff(v, 2, axis=-1),
        lambda v: np.diff(v, axis=-1, prepend=0.0),
        lambda v: np.trapezoid(v, axis=-1)[:, None] if hasattr(np, "trapezoid") else v,
    ],
    "reduced": [
        *(
            lambda v, name=name: getattr(np, name)(v, -1, keepdims=True) + 0.0
            for name in "sum prod mean var std max min ptp argmax argmin nansum nanprod nanmean nanvar nanstd nanmax "
            "nanmin nanmedian median".split()
        ),
        lambda v: np.average(v, -1, weights=[1.0, 2.0, 0.0, 3.0])[:, None],
        lambda v: np.quantile(v, 0.3, -1, keepdims=True),
        lambda v: np.nanpercentile(v, 30, -1, keepdims=True),
        lambda v: np.logaddexp.reduce(v, -1)[:, None],
        lambda v: np.linalg.norm(v, axis=-1, keepdims=True),
        lambda v: np.linalg.norm(v, 1, axis=-1, keepdims=True),
        lambda v: np.count_nonzero(v, axis=-1, keepdims=True) + 0.0,
    ],
    "ordered": [
        lambda v: np.sort(v, -1),
        lambda v: np.argsort(v, -1) + 0.0,
        lambda v: np.take_along_axis(v, np.argsort(v, -1), -1),
        lambda v: np.searchsorted(KNOTS, v) + 0.0,
        lambda v: np.interp(v, KNOTS, KNOTS**2),
        lambda v: np.interp(v, KNOTS, KNOTS**2, left=7.0, right=8.0),
        put,
    ],
    "moved": [
        lambda v: np.roll(v, 1, -1),
        lambda v: np.repeat(v[:, ::-1], 2, -1),
        lambda v: np.pad(v, ((0, 0), (1, 2)), "reflect"),
        lambda v: v[:, [3, 1, 1]],
        lambda v: np.tril(squares(v)).reshape(-1, 16),
        lambda v: np.triu(squares(v), 1).reshape(-1, 16),
        lambda v: np.diagonal(squares(v), 0, 1, 2),
        lambda v: np.trace(squares(v), 0, 1, 2)[:, None],
        lambda v: np.einsum("bi,i->bi", v, np.ones(4)),
        lambda v: np.select([v > 1, v > 0], [v, 2 * v], 3.0),
        lambda v: np.cross(v[:, :3], np.array([1.0, 2.0, 0.0])),
        assigned,
        added,
    ],
}


@pytest.mark.parametrize("group", GROUPS)
def test_a_value_reaches_what_it_reaches_in_NumPy(group):
    """The same places are NaN and infinite, and the others have the same numbers."""
    functions = GROUPS[group]

    @rk.cell(states={"h": 1})
    def step(x, states):
        return np.concatenate([of(x) for of in functions], -1), states

    found = rk.RNN(step(), dtype="float64")(ROWS[:, None])
    with np.errstate(all="ignore"), warnings.catch_warnings(action="ignore"):
        expected = [of(ROWS) for of in functions]
    ends = np.cumsum([one.shape[1] for one in expected])[:-1]
    for i, (got, wanted) in enumerate(zip(np.split(found, ends, axis=1), expected, strict=True)):
        np.testing.assert_allclose(got, wanted, rtol=1e-9, err_msg=f"{group} {i}")
