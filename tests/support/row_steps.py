"""Steps of one row with loops and computed places, each a corner of its own, for what is exported."""

from dataclasses import dataclass, field

import numpy as np
import scipy.linalg

import rnnkit as rk

FEATURES = 12
PRIMES = np.array([2.0, 3.0, 5.0, 7.0, 11.0, 13.0, 17.0, 19.0, 23.0, 29.0])


@dataclass(frozen=True)
class RowStep:
    """A step and its states by name, which start from zeros."""

    step: object
    states: dict
    constants: tuple = ()
    options: dict = field(default_factory=dict)

    @property
    def name(self):
        return self.step.__name__

    def layer(self, dtype, **options):
        cell = rk.cell(states=self.states, per_row=True, **self.options)(self.step)
        layer = rk.RNN(cell(), return_sequences=True, dtype=dtype, **options)
        with rk.eager():
            layer.build((None, None, FEATURES))
        return layer

    def inputs(self, rows, steps, dtype):
        rng = np.random.default_rng(3)
        x = rng.normal(size=(rows, steps, FEATURES)).astype(dtype)
        return x, [rng.normal(size=(rows, *shape)).astype(dtype) for shape in self.constants]


def what_is_carried_changes_places(x, states):
    a, b = states.a, 0.1 + abs(x[0])
    while a + b < 9.0:
        a, b = b, a + b
    return a, (0.1 * a, b)


def a_loop_in_a_loop(x, states):
    total, i = states.total, 0
    while i < 2.0 * abs(x[0]):
        for k in range(FEATURES):
            if k > i + abs(x[1]):
                break
            total += x[k] * k
        i += 1
    return total, (0.5 * total,)


def rounds_that_are_known(x, states):
    angle = states.angle
    if x[0] > 0:
        for k in range(100):
            angle = 0.5 * np.sin(angle + x[1] + 0.1 * k)
    for k in range(100):
        angle = 0.5 * np.cos(angle + k)
    return angle, (angle,)


def no_rounds(x, states):
    h = states.h
    while x[0] > 1e3:
        h += 1.0
    for k in range(int(h) % 5):
        h += k
    return h, (h + x[0],)


def conditions_are_carried(x, states):
    found, count, k = False, states.count, 0
    while k < FEATURES and not found:
        found = x[k] > 0.5 + 0.1 * count
        k += 1
    return k, (0.5 * count + found,)


def states_change_places(x, states):
    a, b = states.a.copy(), states.b.copy()
    k = int(3.0 * abs(x[0])) % 12
    a[k], b[11 - k] = x[1], x[2]
    return a[k] + b[3], (b, a)


def rows_of_an_array(x, states):
    m = states.m.copy()
    k = int(4.0 * abs(x[0])) % 10
    m[k] = x[1:4]
    m[9 - k, 1] += m[k, 2]
    return m[(7 * k) % 10], (m,)


def arrays_that_rows_share(x, states):
    k = int(4.0 * abs(x[0])) % 10
    steps = 0
    while PRIMES[k] < 10.0 * abs(x[1]):
        k, steps = (k + 1) % 10, steps + 1
        if steps > 9:
            break
    return PRIMES[k], (x[k] + 0.5 * states.h,)


def constants_at_places(x, states, constants):
    k = int(4.0 * abs(x[0])) % 10
    return constants[0][k] + states.h, (np.exp(-(constants[0][9 - k] ** 2)),)


def whole_numbers(x, states):
    seed, n = int(states.seed), 0
    while seed % 7 != 3 and n < 40:
        seed, n = (seed * 421 + 1663) % 7875, n + 1
    return n - 3 // (1 + n), ((seed + int(10.0 * x[0])) % 7875,)


def integers_from_the_start(x, states):
    """A state and an array that start as integers, and are indices."""
    queue = states.queue.copy()
    queue[states.k % 4] = (states.k * 5 + 1) % 12
    return x[queue[states.k % 2]], (queue, states.k + 3 if x[0] > 0 else max(states.k - 1, 0))


def nothing_of_x(x, states):
    n = 0
    while n * n < states.n:
        n += 1
    return n, (states.n + 1.0,)


def its_own_name_for_a_function(x, states):
    sqrt, fabs, exp = np.sqrt(abs(x[0])), abs(x[1] - x[2]), 0.0
    round = next_carried = double = 0.0
    while exp < fabs:
        exp += np.sqrt(sqrt + 0.1) + np.fabs(states.h)
        round, next_carried, double = next_carried + 1.0, double, round
    return round, (np.exp(-exp) + double + sqrt,)


def factors_of_a_matrix(x, states):
    m = 0.5 * states.m + np.outer(x[:3], x[:3]) + np.diag(np.array([1.0, 3.0, 5.0]))
    w, v = np.linalg.eigh(m)
    e = scipy.linalg.solve_triangular(np.linalg.cholesky(m), x[:3], lower=True)
    return np.sum(np.sqrt(w) * (v.T @ x[:3]) ** 2) + e @ np.linalg.solve(m, e), (m,)


ROW_STEPS = (
    RowStep(factors_of_a_matrix, {"m": (3, 3)}),
    RowStep(what_is_carried_changes_places, {"a": (), "b": ()}),
    RowStep(a_loop_in_a_loop, {"total": ()}),
    RowStep(rounds_that_are_known, {"angle": ()}),
    RowStep(no_rounds, {"h": ()}),
    RowStep(conditions_are_carried, {"count": ()}),
    RowStep(states_change_places, {"a": 12, "b": 12}),
    RowStep(rows_of_an_array, {"m": (10, 3)}),
    RowStep(arrays_that_rows_share, {"h": ()}),
    RowStep(constants_at_places, {"h": ()}, constants=((10,),)),
    RowStep(whole_numbers, {"seed": ()}),
    RowStep(
        integers_from_the_start, {"queue": 4, "k": ()}, options={"initial": {"queue": np.array([3, 0, 1, 2]), "k": 1}}
    ),
    RowStep(nothing_of_x, {"n": ()}),
    RowStep(its_own_name_for_a_function, {"h": ()}),
)


def an_index_out_of_range(x, states):
    h = states.h.copy()
    h[int(x[0])] = x[1]
    return h[1] + x[1], (h,)


def more_rounds_than_there_may_be(x, states):
    n = states.n
    while x[0] > 5.0:
        n += 1.0
    return n, (n,)


# At a step whose x begins with 12.
FAILING = (
    RowStep(an_index_out_of_range, {"h": 12}),
    RowStep(more_rounds_than_there_may_be, {"n": ()}, options={"loop_limit": 50}),
)


def one_fails(one):
    """A layer, three rows of x of which one fails, and whether the output is NaN then."""
    x = np.zeros((3, 5, FEATURES))
    x[1, 3, 0] = 12.0
    failed = np.zeros((3, 5), bool)
    failed[1, 3:] = True
    return one.layer("float64"), x, failed


def by_name(steps):
    """The parameters of a test that has one for each."""
    return {"argvalues": steps, "ids": [one.name for one in steps]}
