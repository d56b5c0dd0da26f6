"""The tracer: what it reads of a step and what it refuses. Plans of what it read are carried out in NumPy."""

import inspect
from types import SimpleNamespace

import numpy as np
import pytest
from reading import Read
from scipy import special

import rnnkit as rk
from rnnkit.compiler.ir.operations import COMPOSED, OPERATIONS
from rnnkit.compiler.ir.plan import STEP, Loop
from rnnkit.compiler.tracing.numpy_functions import FUNCTIONS, METHODS
from rnnkit.compiler.tracing.symbol import MixesRows, ReadsValues, Untraceable

# Where weights are kept


class Gate:
    def __init__(self, cell):
        self.cell = cell
        self.matrix = cell.add_weight((4, 4), name="matrix")

    def __call__(self, h):
        return h @ self.matrix


class KeepsItsWeight(rk.Cell):
    """Its weight in one of the places where people keep weights; ``use`` gets at it."""

    def __init__(self, keep, use):
        super().__init__()
        self.keep, self.use, self.state_size = keep, use, 4

    def build(self, input_shape):
        self.kept = self.keep(self)

    def call(self, inputs, states):
        h = np.tanh(inputs + self.use(self.kept, states[0]))
        return h, [h]


def matrix(cell):
    return cell.add_weight((4, 4), name="matrix")


@pytest.mark.parametrize("keep, use", [
    (matrix, lambda kept, h: h @ kept),
    (lambda cell: [{"gate": (matrix(cell),)}], lambda kept, h: h @ kept[0]["gate"][0]),
    (lambda cell: SimpleNamespace(matrix=matrix(cell)), lambda kept, h: h @ kept.matrix),
    (Gate, lambda kept, h: kept(h)),
])  # fmt: skip
def test_a_weight_is_found_wherever_its_cell_keeps_it(keep, use):
    read = Read(KeepsItsWeight(keep, use))
    assert "weight" in read.operations and "literal" not in read.operations
    old = read.cell.weights["matrix"]
    read.cell._replace_weights({"matrix": 2 * old})
    h = np.ones((1, 4))
    np.testing.assert_allclose(read.cell.call(0 * h, [h])[0], np.tanh(h @ (2 * old)))


@pytest.mark.parametrize("keep, use", [
    (lambda cell: matrix(cell)[:, :4], lambda kept, h: h @ kept),
    (lambda cell: matrix(cell).T, lambda kept, h: np.einsum("ij,bj->bi", kept, h)),
    (lambda cell: (lambda kept: lambda h: h @ kept)(matrix(cell)), lambda kept, h: kept(h)),
])  # fmt: skip
def test_a_weight_that_no_change_would_reach_is_an_error(keep, use):
    with pytest.raises(ValueError, match="'matrix' by a part cut in build or from inside a function"):
        Read(KeepsItsWeight(keep, use))


def test_an_array_that_stands_where_a_replaced_weight_stood_is_taken_for_no_weight():
    """A gradient is derived later, from numbers that may stand at any address."""
    assert not Read(KeepsItsWeight(matrix, lambda kept, h: h @ kept)).graph.weights


# What NumPy does with what is rare


SORTED = {
    "nan stands last, however many": lambda x: np.sort(x, axis=-1),
    "their order is that in which they stand": lambda x: np.argsort(x, axis=-1, kind="stable") + 0.0,
    "places from the end": lambda x: np.take_along_axis(x, np.argsort(x, axis=-1, kind="stable") - 5, axis=-1),
    "a correction of the freedom": lambda x: x + np.var(x, axis=-1, keepdims=True, correction=1),
}


@pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.0.0", reason="var has had a correction since 2.0")
@pytest.mark.parametrize("what", SORTED)
def test_sorting_and_spread_are_numpys(what):
    @rk.cell(states={"h": 5}, weights={})
    def sorting(x, states, weights):
        return SORTED[what](x), states

    layer = rk.RNN(sorting(), return_sequences=True, dtype="float64")
    x = np.random.default_rng(0).integers(0, 3, (3, 4, 5)).astype(float)
    if "correction" not in what:
        x[0, :, 1:3], x[1, 0] = np.nan, np.nan
    found = layer(x)
    assert "traced" in layer.explain()
    with rk.eager():
        np.testing.assert_allclose(found, layer(x), rtol=1e-15)


# Patterns


@pytest.mark.parametrize(
    "logistic",
    [
        lambda z: 1 / (1 + np.exp(-z)),
        lambda z: 1.0 / (np.exp(-z) + 1.0),
        lambda z: np.reciprocal(1 + np.exp(-z)),
        lambda z: (1 + np.exp(-z)) ** -1,
    ],
)
def test_the_naive_logistic_function_is_the_stable_one(logistic):
    def step(x, states, w):
        h = logistic(states[0] + x)
        return h, [h]

    read = Read(step)
    assert "sigmoid" in read.operations and "exp" not in read.operations
    assert read.agrees()


def test_what_only_looks_like_the_logistic_function_is_left_alone():
    def step(x, states, w):
        return x / (1 + np.exp(-x)), [1 / (2 + np.exp(-states[0]))]

    read = Read(step)
    assert "sigmoid" not in read.operations
    assert read.agrees()


# Assignment


def assign_part(x, h):
    h[:, 0] = x[:, 1]
    return h


def assign_parts_of_parts(x, h):
    h[:, 1:3] += x[:, 2:]
    h[:, ::2] *= 2.0
    h[..., -1] = 3
    return h


def assign_under_a_condition(x, h):
    h[h > 0.5] = 0.5
    h[x < 0] += 1
    return h


def assign_rows_under_a_condition(x, h):
    chosen = x.sum(axis=1) > 0
    h[chosen] = 0.25
    u = 2 * h
    u[chosen] = h[chosen] * 3
    return u


def assign_through_a_view(x, h):
    left, right = np.split(h, 2, axis=1)
    left += right
    right[:] = x[:, :2]
    return h


def read_a_view_after_an_assignment(x, h):
    view = h[:, :2]
    h[:, 0] = 7.0
    return np.concatenate([view, x[:, :2]], axis=1)


def keep_a_copy_before_an_assignment(x, h):
    copy, taken = h.copy(), h[:, [0, 1]]
    h[:, 0] = 7.0
    return copy + np.concatenate([taken, h[:, 2:]], axis=1)


def assign_into_a_reshaped_array(x, h):
    pairs = h.reshape(-1, 2, 2)
    pairs[:, 0, 1] = x[:, 0]
    pairs[:, :, 0] = x[:, 1:3]
    return h


def assign_into_a_transpose(x, h):
    h.reshape(h.shape[0], 2, 2).transpose(0, 2, 1)[:, 0] = x[:, :2]
    return h


def assign_by_index_array(x, h):
    h[:, [3, 0]] = x[:, :2]
    return h


def fill_an_empty_array(x, h):
    new = np.empty_like(h)
    new[:, 1:] = h[:, :-1]
    new[:, :1] = x[:, -1:]
    return new


def assign_into_results_that_are_equal(x, h):
    whole = h.astype(int)
    found = h**1, np.power(h, 1), whole**1, ((h + 1j * x) ** 1).real, np.tile(h, 1), np.pad(h, 0), np.pad(h, 0, "edge")
    for one in found:
        one[:, 0] = 7
    return h + whole + sum(found)


def add_in_place(x, h):
    before = h
    h += x
    h **= 2
    return before - x


@pytest.mark.parametrize("change", [
    assign_part, assign_parts_of_parts, assign_under_a_condition, assign_rows_under_a_condition, assign_through_a_view,
    read_a_view_after_an_assignment, keep_a_copy_before_an_assignment, assign_into_a_reshaped_array,
    assign_into_a_transpose, assign_by_index_array, assign_into_results_that_are_equal, fill_an_empty_array,
    add_in_place,
])  # fmt: skip
def test_assignment_does_what_it_does_to_arrays(change):
    def step(x, states, w):
        h = change(x, states[0])
        return h, [np.tanh(h)]

    assert Read(step).agrees()


def test_an_assigned_slice_is_a_concatenation():
    def step(x, states, w):
        h = states[0] * 0.5
        h[:, 1:3] = x[:, :2]
        return h, [h]

    read = Read(step)
    assert "concatenate" in read.operations
    assert all(load.walk.table is None for loop in read.stages(STEP, Loop) for load in loop.loads)
    assert read.agrees()


# Arrays made by the number of rows


@pytest.mark.parametrize(
    "made",
    [
        lambda x, h: np.zeros((h.shape[0], 4)) + h,
        lambda x, h: np.concatenate([np.ones((len(h), 1)), h], axis=1),
        lambda x, h: np.where(h > 0, h, np.full(h.shape, 0.5)),
        lambda x, h: np.broadcast_to(np.arange(4.0), (len(x), 4)) * h,
        lambda x, h: np.tile(np.arange(4.0), (x.shape[0], 1)) * h,
        lambda x, h: np.zeros((h.shape[0], 2)),
        lambda x, h: h.reshape(len(h), 2, 2).reshape(len(h), -1),
    ],
)
def test_arrays_made_by_the_number_of_rows(made):
    assert Read(lambda x, states, w: (made(x, states[0]), [np.tanh(states[0] + x)])).agrees()


def test_a_state_made_by_the_number_of_rows():
    assert Read(lambda x, states, w: (x, [np.ones((x.shape[0], 4))])).agrees()


# Rows


@pytest.mark.parametrize(
    "mix",
    [
        lambda x, h: h - h.mean(axis=0),
        lambda x, h: h / h.shape[0],
        lambda x, h: h if h.shape[0] == 1 else 2 * h,
        lambda x, h: h * np.arange(h.shape[0])[:, None],
        lambda x, h: h + np.eye(h.shape[0])[:, :4],
        lambda x, h: h.sum() * h,
        lambda x, h: h @ h.T @ h,
        lambda x, h: h + h[0],
        lambda x, h: h[::-1],
        lambda x, h: np.cumsum(h, axis=0),
        lambda x, h: np.roll(h, 1, axis=0),
        lambda x, h: np.concatenate([h, x], axis=0)[: h.shape[0]],
        lambda x, h: np.einsum("bi,bj->ij", h, x)[:1] + h,
        lambda x, h: np.einsum("bi,cj->bj", h, x),
        lambda x, h: h * np.ones((3, 1)),
        lambda x, h: rk.softmax(h, axis=0),
        lambda x, h: np.linalg.norm(h) * h,
    ],
)
def test_rows_have_nothing_to_do_with_each_other(mix):
    def step(x, states, w):
        h = mix(x, states[0])
        return h, [h]

    with pytest.raises((MixesRows, Untraceable)):
        Read(step)


def test_an_error_about_rows_says_where():
    def step(x, states, w):
        h = states[0] - states[0].mean(axis=0)
        return h, [h]

    with pytest.raises(MixesRows, match=r"mixes rows at .*test_trace\.py:\d+.*mean|along the batch axis"):
        Read(step)


@pytest.mark.parametrize(
    "decide", [lambda h: h if h.max() > 0 else -h, lambda h: h * float(h[0, 0]), lambda h: max(h, -h)]
)
def test_a_decision_by_values_is_told_from_the_rest(decide):
    with pytest.raises(ReadsValues):
        Read(lambda x, states, w: (x, [decide(states[0])]))


@pytest.mark.parametrize(
    "function, words",
    [
        (lambda x, h: [np.tanh(h[row]) for row in range(h.shape[0])], "np.zeros_like"),
        (lambda x, h: np.sum(h, axis=1, out=np.zeros(3)), "out="),
        (lambda x, h: np.std(h, axis=1, mean=0.0), "these arguments"),
        (lambda x, h: np.asarray(h), "asks for the array's values"),
        (lambda x, h: np.unique(h), "np.unique can't be traced"),
        (lambda x, h: special.rgamma(h), "scipy.special.rgamma can't be traced"),
        (lambda x, h: special.jv(1, h), "scipy.special.jv can't be traced"),
        (lambda x, h: np.frompyfunc(abs, 1, 1)(h), "the ufunc abs \\(vectorized\\) can't be traced"),
        (lambda x, h: np.logaddexp.at(h, 0, 1), "np.logaddexp.at can't be traced"),
        (lambda x, h: np.take(h, [0, 9], axis=1, mode="wrap"), "these arguments"),
        (lambda x, h: np.zeros_like(h, shape=(2, 3)), "these arguments"),
        (lambda x, h: np.linalg.pinv(h.reshape(-1, 2, 2))[:, 0] * h, "linalg.pinv can't be traced"),
        (lambda x, h: h[:, np.argmax(h, axis=1)], "np.where"),
        (lambda x, h: h[:, :3].reshape(-1, 3, 1).__setitem__((slice(None), 0), 1), "may be a copy"),
        (lambda x, h: h * len(h[h > 0]), "TypeError while the step was read"),
        (lambda x, h: np.eye(4)[np.argmax(h, axis=1)], "asks for the array's values|computed"),
    ],
)
def test_what_cannot_be_read_is_named(function, words):
    with pytest.raises(Untraceable, match=words):
        Read(lambda x, states, w: (x, [function(x, states[0])]))


def test_a_state_that_becomes_complex_has_to_be_declared_so():
    with pytest.raises(ValueError, match=r"state 0 of 'Made' of real numbers.*rk.State\(shape, \"complex\"\)"):
        Read(lambda x, states, w: (x, [states[0] * (1 + 2j)]))


def test_no_rule_takes_keywords_that_it_does_not_know():
    """Else they would be left out of the result, rather than refused or left to numba."""
    kinds = {
        name: [p.kind for p in inspect.signature(rule).parameters.values()]
        for name, rule in (FUNCTIONS | METHODS).items()
    }
    assert {name for name, found in kinds.items() if inspect.Parameter.VAR_KEYWORD in found} <= {*OPERATIONS, *COMPOSED}


@pytest.mark.parametrize(
    "form",
    [
        lambda h, x: np.diff(h, prepend=0),
        lambda h, x: np.diff(h, prepend=x[:, :1], append=2.0)[:, :4],
        lambda h, x: np.diff(h, 2, append=x)[:, :4],
        lambda h, x: np.diff(h.reshape(-1, 2, 2), axis=1, prepend=x[:, None, :2]).reshape(-1, 4),
    ],
)
def test_differences_of_an_array_with_others_at_its_ends(form):
    assert Read(lambda x, states, w: (form(states[0], x), states)).agrees()


def test_a_mistake_of_the_steps_own_is_shown_as_it_is():
    with pytest.raises(KeyError, match="forgotten"):
        Read(lambda x, states, w: (x, [states[0] * {}["forgotten"]]))
    with pytest.raises(ValueError, match="to return 1 states, got 2"):
        Read(lambda x, states, w: (x, [x, x]))


# Products and sums of every sort, batch axis first or not


@pytest.mark.parametrize(
    "form",
    [
        lambda m, x, w: np.einsum("bij,jk->bik", m, w.square),
        lambda m, x, w: np.einsum("bij,bj->bi", m, x),
        lambda m, x, w: np.einsum("bij,bkj->bik", m, m),
        lambda m, x, w: np.einsum("bij,ijk->bk", m, w.cube),
        lambda m, x, w: np.einsum("bij,ijk->bik", m, w.heads),
        lambda m, x, w: np.einsum("bij,ijk->bki", m, w.heads),
        lambda m, x, w: np.einsum("bi,ij,bj->b", x, w.square, x)[:, None],
        lambda m, x, w: np.einsum("...j,jk", m, w.square),
        lambda m, x, w: np.einsum("bij->bj", m),
        lambda m, x, w: np.einsum("bij->bji", m),
        lambda m, x, w: np.einsum("bi,bj->bij", x, x),
        lambda m, x, w: np.einsum("ij,bj->ib", w.square, x).T,
        lambda m, x, w: np.einsum("bij,j,i->b", m, w.vector, w.three)[:, None],
        lambda m, x, w: m @ w.square,
        lambda m, x, w: m @ w.vector,
        lambda m, x, w: x @ w.vector[:, None],
        lambda m, x, w: (x @ w.vector)[:, None] * x,
        lambda m, x, w: (w.square @ x.T).T,
        lambda m, x, w: w.square.T @ m.transpose(0, 2, 1),
        lambda m, x, w: m @ m.transpose(0, 2, 1),
        lambda m, x, w: (x[:, None, :] @ m.swapaxes(1, 2))[:, 0],
        lambda m, x, w: np.matmul(m[:, None], w.stack)[:, 1],
        lambda m, x, w: np.dot(x, w.square),
        lambda m, x, w: np.dot(w.square, x.T).T,
        lambda m, x, w: np.dot(m, w.square),
        lambda m, x, w: np.tensordot(m, w.cube, axes=([1, 2], [0, 1])),
        lambda m, x, w: np.tensordot(m, w.square, axes=1),
        lambda m, x, w: np.inner(x, w.square),
        lambda m, x, w: np.moveaxis(m, 0, -1).sum(axis=0).T,
        lambda m, x, w: np.stack(np.split(m.transpose(1, 2, 0), 3), axis=1)[0].max(axis=1).T,
        lambda m, x, w: np.linalg.norm(m, axis=(1, 2))[:, None] * x,
        lambda m, x, w: m.var(axis=2) + m.std(axis=-1) + m.prod(2),
        lambda m, x, w: np.argmax(m, axis=2) + np.argmin(m, axis=-1),
        lambda m, x, w: np.any(m > 1, axis=2) | np.all(m < 2, axis=2),
        lambda m, x, w: np.logaddexp.reduce(m, axis=1),
        lambda m, x, w: np.cumsum(m, axis=1) - np.diff(np.pad(m, ((0, 0), (0, 0), (1, 0))), axis=2),
        lambda m, x, w: np.sort(m) + np.argsort(x)[:, None] + np.median(m, axis=1)[:, None],
        lambda m, x, w: np.sort(np.where(m > 0.5, np.nan, np.round(m)), axis=1)[:, ::-1] == 0,
        lambda m, x, w: np.take_along_axis(m, np.argmax(m, axis=2, keepdims=True), axis=2),
        lambda m, x, w: np.maximum.accumulate(m, axis=1) + np.cumprod(m, axis=2),
        lambda m, x, w: np.sum(m, axis=2, where=m > 0) + np.max(m, axis=2, initial=0.3) + np.ptp(m, axis=2),
        lambda m, x, w: np.average(m, axis=2, weights=np.abs(w.vector)) - np.average(m, axis=2, weights=m**2 + 1),
        lambda m, x, w: np.nanmean(np.where(m > 0, np.nan, m), axis=2) + np.nansum(np.where(m > 1, np.nan, m), axis=2),
        lambda m, x, w: np.column_stack([x[:, 0], x, m[:, 1]]) + np.vstack([x.T, x.T[:1], x.T]).T,
        lambda m, x, w: np.trace(m[:, :, :3], axis1=1, axis2=2)[:, None] + np.diagonal(m, 1, 1, 2),
        lambda m, x, w: np.delete(np.append(m, m, axis=2), [0, 3], axis=2) + divmod(m[..., :1], 0.3)[1],
        lambda m, x, w: np.tanh(m, out=m) + np.add(m, 1.0, out=np.empty_like(m)),
        lambda m, x, w: m[:, :, np.array([[0, 3], [2, 2]])] + m[:, 1:2, None, np.array([True, False, False, True])],
        lambda m, x, w: w.square[np.argmax(x, axis=1)] + w.vector[(x[:, 0] > 0).astype(int)][:, None],
        lambda m, x, w: w.cube[:, np.argmin(m, axis=2)].transpose(1, 0, 2, 3),
        lambda m, x, w: np.where(w.square > 0, w.square, -np.inf)[np.argmax(x, axis=1)],
        lambda m, x, w: np.take(w.square, (x[:, 1] > 0).astype(int) - 2, axis=1).T,
        lambda m, x, w: np.linalg.multi_dot([x, w.square, w.square]) + np.polyval([0.5, 1.0, 2.0], x),
        lambda m, x, w: np.tile(x, (1, 2)) + np.repeat(x, 2, axis=1),
        lambda m, x, w: np.where(m > 0, m, w.vector) * w.three[:, None],
        lambda m, x, w: np.triu(m) + np.flip(m, axis=1) + np.roll(m, -1, axis=2),
    ],
)  # fmt: skip
def test_products_and_sums(form):
    shapes = {
        "square": (4, 4),
        "cube": (3, 4, 5),
        "heads": (3, 4, 2),
        "vector": (4,),
        "three": (3,),
        "stack": (2, 4, 4),
    }

    def step(x, states, w):
        (m,) = states
        return form(m, x, w), [np.tanh(m)]

    assert Read(step, states=((3, 4),), weights=shapes).agrees()


# Linear systems

NUMPY_2 = pytest.mark.skipif(np.lib.NumpyVersion(np.__version__) < "2.0.0", reason="NumPy 1 has no such arguments")


@pytest.mark.parametrize("solved", [
    lambda a, b, w: np.linalg.inv(a),
    lambda a, b, w: np.linalg.solve(a, b),
    pytest.param(lambda a, b, w: np.linalg.solve(a, w.vector)[:, :, None], marks=NUMPY_2),
    lambda a, b, w: np.linalg.solve(w.square, b),
    lambda a, b, w: np.linalg.inv(w.square) @ b,
    lambda a, b, w: np.linalg.solve(np.round(a), b),  # ties and zeros among the pivots
])  # fmt: skip
def test_linear_systems(solved):
    def step(x, states, w):
        a = states[0] + np.array([[0, 0, 9], [0, 9, 0], [9, 0, 0]])
        return solved(a, x[:, :3, None] * np.array([1.0, 2.0]), w), [np.tanh(states[0])]

    assert Read(step, states=((3, 3),), weights={"square": (3, 3), "vector": (3,)}).agrees()


@pytest.mark.parametrize(
    "form",
    [
        lambda m: m.var(axis=2, ddof=1) + np.std(m, axis=1, ddof=2)[:, :1],
        lambda m: np.min(m, axis=2, where=m > 0.5, initial=np.inf) < np.inf,
        lambda m: np.max(m, axis=2, where=m < -0.5, initial=-np.inf) > -np.inf,
        lambda m: np.take_along_axis(m, np.argmax(m, axis=2, keepdims=True) - 4, axis=2),  # from the end
    ],
)  # fmt: skip
def test_reductions_by_their_keywords_and_places_from_the_end(form):
    assert Read(lambda x, states, w: (form(states[0]), [np.tanh(states[0])]), states=((3, 4),)).agrees()


@NUMPY_2
def test_variances_take_the_correction_of_numpy_2():
    def step(x, states, w):
        return np.var(states[0], axis=2, correction=1) + np.std(states[0], axis=2, correction=2), [np.tanh(states[0])]

    assert Read(step, states=((3, 4),)).agrees()


def test_a_step_that_draws_random_numbers_is_told_how_to_declare_them():
    @rk.cell(states={"h": 2})
    def noisy(x, states, weights):
        h = np.tanh(states[0] + np.random.default_rng().normal(size=2))
        return h, h

    with pytest.raises(ValueError, match=r"'noisy' differs from what its step computes .*declare draws\)"):
        rk.RNN(noisy())(np.zeros((1, 2, 2)))
