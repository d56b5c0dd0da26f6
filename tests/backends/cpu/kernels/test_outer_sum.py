"""Sums of outer products of rows: right, and the same bits in whatever tile, on whatever thread, cut however."""

import ctypes
import os
import sys

import numpy as np
import processes
import pytest
from matrix import same_bits

from rnnkit.backends.cpu import tuning
from rnnkit.backends.cpu.compile import outer_products, team
from rnnkit.backends.cpu.kernels import outer_sum
from rnnkit.backends.cpu.kernels.matmul import packed_width
from rnnkit.backends.cpu.threads import team as teams
from rnnkit.backends.cpu.tuning import CHUNK
from rnnkit.backends.cpu.weight_sums import OuterSum

DTYPES = ("float32", "float64")
WIDTHS = ("avx512", "avx2", "generic")
SIZES = [(1, 1), (6, 64), (7, 65), (2, 200), (1, 128), (13, 100), (5, 20), (40, 33), (0, 9), (3, 0), (128, 16)]


@pytest.fixture
def shared(monkeypatch, threads):
    """Every call is worth sharing, however small; a thread that was stopped is no reason to rest."""
    monkeypatch.setattr(tuning, "SMALL_SUM", 0)
    monkeypatch.setattr(tuning, "REST", 0.0)
    monkeypatch.setattr(tuning, "LONGEST_REST", 0.0)
    return threads


def operands(rows, columns, count, dtype, seed=0):
    """A (any, rows) and B (any, columns + what vectors reach beyond), and pairs of their rows in any order."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(count + 3, rows + 2)).astype(dtype)
    b = np.full((count + 5, packed_width(columns, dtype)), np.nan, dtype)
    b[:, :columns] = rng.normal(size=(count + 5, columns))
    places = np.stack([rng.integers(0, len(a), count), rng.integers(0, len(b), count)], axis=1)
    return a[:, 1 : 1 + rows], b, places


def pairs_of(a, b, places):
    return places * [a.strides[0], b.strides[0]]


def summed(a, b, places, columns, sums=True, cuts=()):
    """The sum of outer products, in as many calls as there are cuts, and one more."""
    result = OuterSum(outer_products(b.dtype.name), a.shape[1], columns, sums)
    for part in np.split(pairs_of(a, b, places), cuts):
        result.add(a, b, part)
    return result.total.copy()


def exact(a, b, places, columns):
    a, b = a[places[:, 0]].astype("float64"), b[places[:, 1], :columns].astype("float64")
    return np.concatenate([a.T @ b, b.sum(axis=0, keepdims=True)])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows, columns", SIZES)
def test_sums_of_outer_products(rows, columns, dtype, threads):
    threads(1)
    for count in (0, 1, 17, CHUNK, 3 * CHUNK + 5):
        a, b, places = operands(rows, columns, count, dtype)
        got, expected = summed(a, b, places, columns), exact(a, b, places, columns)
        assert got.shape == expected.shape and got.dtype == dtype
        np.testing.assert_allclose(got, expected, rtol=0, atol=1000 * np.finfo(dtype).eps)
        same_bits(summed(a, b, places, columns, sums=False), got[:-1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_height_and_width_of_a_tile_gives_the_same_bits(dtype, threads):
    threads(1)
    columns = 3 * outer_sum.PANEL_VECTORS * packed_width(1, dtype)
    a, b, places = operands(30, columns, 2 * CHUNK + 1, dtype)
    whole = summed(a, b, places, columns)
    for rows in range(31):
        same_bits(summed(a[:, :rows], b, places, columns), whole[[*range(rows), -1]])
    for width in range(0, columns, 3):
        same_bits(summed(a[:, :3], b, places, width), whole[[0, 1, 2, -1], :width])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows, columns", SIZES)
def test_threads_and_cuts_leave_no_trace(rows, columns, dtype, shared):
    a, b, places = operands(rows, columns, 5 * CHUNK + 17, dtype)
    shared(1)
    whole = summed(a, b, places, columns)
    for threads in (1, 2, 3, 7):
        shared(threads)
        for cuts in ((), (CHUNK, 4 * CHUNK), (0, 2 * CHUNK, 2 * CHUNK, 5 * CHUNK)):
            same_bits(summed(a, b, places, columns, cuts=cuts), whole)


def test_threads_share_the_work(shared):
    """The law above would hold as well if nobody ever came."""
    shared(2)
    a, b, places = operands(64, 256, 8 * CHUNK, "float32")
    done, keep = [], teams.ThreadTeam._run_rows
    teams.ThreadTeam._run_rows = lambda *arguments: done.append(keep(*arguments)) or done[-1]
    try:
        for _ in range(20):
            summed(a, b, places, 256)
    finally:
        teams.ThreadTeam._run_rows = keep
    assert any(done)


class Unlucky:
    """A team that now does a call, now doesn't begin it, and now leaves it to a thread that writes on and on."""

    def __init__(self, compiled, answers):
        self.compiled, self.answers, self.left = compiled, iter(answers), []

    def prepare(self):
        for address, size, _ in self.left:
            ctypes.memset(address, 255, size)  # NaN

    def run(self, address, p, n, units, *others):
        answer = next(self.answers)
        if answer is True:
            self.compiled.function(p.ctypes.data, n.ctypes.data, 0, units, 0, 0, 1, 0)
        elif answer is False:
            self.left.append((int(p[4]), int(n[0] + n[3]) * int(n[6]), others[-1]))
            self.prepare()
        return answer


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_thread_that_is_stopped_spoils_nothing(dtype, shared, monkeypatch):
    """It may write long after the call is over: into an array that is nobody's."""
    a, b, places = operands(20, 70, 10 * CHUNK, dtype)
    shared(1)
    whole = summed(a, b, places, 70)
    compiled = outer_products(dtype)
    shared(2)
    for seed in range(20):
        answers = np.random.default_rng(seed).choice([True, None, False], 10).tolist()
        team = Unlucky(compiled, answers)
        with monkeypatch.context() as patched:
            patched.setattr(compiled, "team", team)
            result = OuterSum(compiled, 20, 70, sums=True)
            for part in np.split(pairs_of(a, b, places), 10):
                result.add(a, b, part)
            team.prepare()
        same_bits(result.total, whole)


def test_nobody_ever_comes(shared, monkeypatch):
    class Nobody:
        def submit(self, *arguments):
            pass

    a, b, places = operands(40, 100, 3 * CHUNK, "float32")
    shared(1)
    whole = summed(a, b, places, 100)
    monkeypatch.setattr(teams, "pool", lambda n: Nobody())
    monkeypatch.setattr(teams, "_teams", [])
    monkeypatch.setattr(outer_products("float32"), "team", teams.ThreadTeam(team().row_functions, team()._load))
    shared(3)
    same_bits(summed(a, b, places, 100, cuts=[CHUNK]), whole)


def test_an_element_is_chains_of_multiply_adds_added_one_after_the_other():
    rng = np.random.default_rng(8)
    # Few bits, so that every product and sum in float64 is exact and rounding to float32 happens once.
    count = 3 * CHUNK + 40
    a = rng.integers(-(2**11), 2**11, (count, 5)).astype("float32")
    b = np.zeros((count, packed_width(33, "float32")), "float32")
    b[:, :33] = rng.integers(-(2**11), 2**11, (count, 33)) * 2.0 ** rng.integers(0, 9, (count, 33))
    expected = np.zeros((6, 33), np.float32)
    for start in range(0, count, CHUNK):
        chain = np.zeros((6, 33), np.float32)
        for k in range(start, min(start + CHUNK, count)):
            product = np.append(a[k], 1)[:, None].astype("float64") * b[k, :33].astype("float64")
            chain = (product + chain.astype("float64")).astype("float32")
        expected += chain
    same_bits(summed(a, b, np.arange(count)[:, None].repeat(2, 1), 33), expected)


def test_column_sums_are_those_of_an_A_of_ones():
    a, b, places = operands(3, 70, 2 * CHUNK + 9, "float32")
    ones = np.ones_like(a)
    for rows in (0, 1, 2, 3):
        same_bits(summed(a[:, :rows], b, places, 70)[-1], summed(ones, b, places, 70)[0])


def test_rows_stand_at_any_strides(rng):
    steps = rng.normal(size=(7, 20, 12))
    dz = rng.normal(size=(20, 7, 16))
    expected = np.einsum("trm,rtn->mn", steps, dz)
    for a, b in ((steps, dz), (steps[::-1], dz[:, ::-1]), (steps[:, ::-1], dz[::-1])):
        t, r = (index.ravel() for index in np.indices((7, 20)))
        pairs = np.stack([t * a.strides[0] + r * a.strides[1], r * b.strides[0] + t * b.strides[1]], axis=1)
        result = OuterSum(outer_products("float64"), 12, 16)
        result.add(a, b, pairs)
        np.testing.assert_allclose(result.total, expected, atol=1e-12)
        result.add(a.ctypes.data, b.ctypes.data, pairs, (a, b))
        np.testing.assert_allclose(result.total, 2 * expected, atol=1e-12)


def test_what_is_not_finite_stays_where_its_pairs_are():
    a, b = np.ones((200, 9), "float32"), np.ones((200, 48), "float32")
    a[170, 2], b[3, 5], b[199] = np.nan, np.inf, np.nan
    places = np.arange(199)[:, None].repeat(2, 1)  # but the last
    got = summed(a, b, places, 40)
    assert np.isnan(got[2]).all()
    assert np.isinf(np.delete(got, 2, axis=0)[:, 5]).all()
    assert (np.delete(np.delete(got, 2, axis=0), 5, axis=1) == 199).all()


def test_rounding_errors_do_not_grow_as_those_of_one_chain():
    count = 2**17
    a, b = np.full((1, 1), 0.1, "float32"), np.zeros((1, 16), "float32")
    b[:] = 0.1
    exact = count * float(a[0, 0]) * float(b[0, 0])
    got = summed(a, b, np.zeros((count, 2), np.int64), 1)[0, 0]
    chain = np.cumsum(np.full(count, a[0, 0] * b[0, 0], "float32"))[-1]
    assert abs(got - exact) < 2e-5 * exact < abs(chain - exact)


CHECKED = """
import numpy as np
import rnnkit as rk
from rnnkit.backends.cpu.simd import bounds_check as checking
from rnnkit.backends.cpu import tuning
from test_outer_sum import CHUNK, DTYPES, SIZES, operands, same_bits, summed

assert checking.CHECKED
tuning.SMALL_SUM = 0
for dtype in DTYPES:
    for rows, columns in SIZES:
        a, b, places = operands(rows, columns, CHUNK + 5, dtype)
        a, b = a.copy(), b.copy()
        for threads in (1, 2):
            rk.set_num_threads(threads)
            summed(a, b, places, columns, cuts=[CHUNK])
print("touched nothing else")
places[70] = len(a), 0
try:
    summed(a, b, places, columns)
except AssertionError as error:
    print("accesses outside all arrays" in str(error))
"""


def run(code, **environment):
    path = os.pathsep.join([os.path.dirname(__file__), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, **environment}
    return processes.run([sys.executable, "-c", code], env=environment)


def test_sums_stay_within_their_arrays():
    done = run(CHECKED, RNNKIT_CHECK="1")
    assert done.stdout.split("\n")[:2] == ["touched nothing else", "True"], done.stderr[-3000:]


OTHER = """
import numpy as np
from rnnkit.backends.cpu.simd.registers import FEATURE_SET
from test_outer_sum import CHUNK, DTYPES, SIZES, exact, operands, summed

print(FEATURE_SET)
for dtype in DTYPES:
    for rows, columns in SIZES:
        a, b, places = operands(rows, columns, CHUNK + 5, dtype)
        got, expected = summed(a, b, places, columns), exact(a, b, places, columns)
        np.testing.assert_allclose(got, expected, rtol=0, atol=1000 * np.finfo(dtype).eps)
        print(got.tobytes().hex())
"""


def test_the_width_of_a_vector_changes_no_bit():
    printed = [run(OTHER, RNNKIT_VECTOR=features) for features in WIDTHS]
    assert [done.returncode for done in printed] == [0] * 3, printed[0].stderr[-3000:]
    assert [done.stdout.split("\n", 1)[0] for done in printed] == list(WIDTHS)
    assert len({done.stdout.split("\n", 1)[1] for done in printed}) == 1
