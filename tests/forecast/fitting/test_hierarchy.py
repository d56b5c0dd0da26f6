"""Forecasts that add up: against the formula of the paper, and against sums."""

import numpy as np
import pytest
from scipy.special import ndtri

from rnnkit.forecast import reconcile
from rnnkit.forecast.fitting.hierarchy import METHODS, shrunk_covariance

S = np.array([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 0], [0, 0, 0, 1.0]])


@pytest.fixture
def given(rng):
    """Forecasts with symmetric bands, and past errors that go together."""
    said, width = 10 + rng.normal(size=(7, 3)), rng.uniform(1, 2, (7, 3))
    errors = rng.normal(size=(7, 30)) + rng.normal(size=30)
    bands = {f"M-{end}-{one}": said + sign * ndtri(0.5 + one / 200) * width for one in (80, 95) for end, sign in EDGES}
    return {"M": said, **bands}, width, errors


EDGES = (("lo", -1), ("hi", 1))


def slow(method, errors):
    """``S (S' W⁻¹ S)⁻¹ S' W⁻¹`` and the correlations of W."""
    W = np.eye(7)
    if method == "wls":
        W = np.diag(S.sum(axis=1) if errors is None else (errors**2).mean(axis=1))
    if method == "mint_shrink":
        W, r = np.cov(errors), np.corrcoef(errors)
        scaled = (errors - errors.mean(axis=1, keepdims=True)) / errors.std(axis=1, ddof=1, keepdims=True)
        variance, n = 0.0, errors.shape[1]
        for i in range(7):
            for j in range(7):
                w = scaled[i] * scaled[j]
                variance += (i != j) * n / (n - 1) ** 3 * ((w - w.mean()) ** 2).sum()
        taken = variance / ((r**2).sum() - 7)
        W = taken * np.diag(np.diag(W)) + (1 - taken) * W
    if method == "bottom_up":
        bottom = np.zeros((4, 7))
        bottom[range(4), [1, 3, 5, 6]] = 1
        return S @ bottom, np.eye(7)
    inverse = np.linalg.inv(W)
    return S @ np.linalg.inv(S.T @ inverse @ S) @ S.T @ inverse, W / np.sqrt(np.outer(np.diag(W), np.diag(W)))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("with_errors", [True, False])
def test_F14_forecasts_and_bands_are_those_of_the_paper(given, method, with_errors):
    columns, width, errors = given
    past = errors if with_errors else None
    if method == "mint_shrink" and not with_errors:
        with pytest.raises(ValueError, match="expected past=, errors of 7 series, for mint_shrink; got"):
            reconcile(columns, S, method=method)
        return
    found = reconcile(columns, S, method=method, past=past)
    projection, correlation = slow(method, past)
    np.testing.assert_allclose(found["M"], projection @ columns["M"], rtol=1e-9)
    np.testing.assert_allclose(S @ found["M"][[1, 3, 5, 6]], found["M"], rtol=1e-12)
    for lead in range(3):
        spread = projection * width[:, lead]
        deviation = np.sqrt(np.diag(spread @ correlation @ spread.T))
        for level in (80, 95):
            for end, sign in EDGES:
                expected = found["M"][:, lead] + sign * ndtri(0.5 + level / 200) * deviation
                np.testing.assert_allclose(found[f"M-{end}-{level}"][:, lead], expected, rtol=1e-9)
    again = reconcile(found, S, method=method, past=past)
    np.testing.assert_allclose(again["M"], found["M"], rtol=1e-9)  # what adds up stays
    order = np.random.default_rng(0).permutation(7)
    other = reconcile(columns["M"][order], S[order], method=method, past=None if past is None else past[order])
    np.testing.assert_allclose(other, found["M"][order], rtol=1e-9)


def test_F14_what_is_negative_becomes_0(given):
    said = given[0]["M"] - 10
    found = reconcile({"M": said, "M-lo-80": said - 1, "M-hi-80": said + 1}, S, method="ols", nonnegative=True)
    assert all((values >= 0).all() for values in found.values()) and (found["M"][[1, 3, 5, 6]] == 0).any()
    np.testing.assert_allclose(S @ found["M"][[1, 3, 5, 6]], found["M"])


def test_gaps_of_past_errors_are_left_out(rng):
    errors = rng.normal(size=(5, 400)) + rng.normal(size=400)
    whole = shrunk_covariance(errors)
    np.testing.assert_allclose(np.diag(whole), errors.var(axis=1, ddof=1))
    gaps = np.where(rng.random(errors.shape) < 0.3, np.nan, errors)
    np.testing.assert_allclose(shrunk_covariance(gaps), whole, atol=0.3)
    shorter = shrunk_covariance(np.where(np.arange(400) < 300, errors, np.nan))
    np.testing.assert_allclose(shorter, shrunk_covariance(errors[:, :300]), rtol=1e-12)
    with pytest.raises(ValueError, match="two past errors or more of each series; got 1"):
        shrunk_covariance(np.array([[1.0, 2.0], [np.nan, 1.0]]))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_F14_tables_are_those_of_their_arrays(given, library):
    pd, frame = pytest.importorskip("pandas"), pytest.importorskip(library).DataFrame
    pytest.importorskip("narwhals")
    columns, _, errors = given
    ids = ["total", "a", "A", "b", "B", "c", "d"]
    times = pd.date_range("2024-01-01", periods=33, freq="D")
    table = pd.DataFrame({"shop": np.repeat(ids, 3), "ds": np.tile(times[30:], 7)})
    for name, values in columns.items():
        table[name] = values.ravel()
    table = table.sample(frac=1, random_state=0).reset_index(drop=True)
    past = pd.DataFrame({"shop": np.repeat(ids, 30), "ds": np.tile(times[:30], 7), "y": 5.0})
    past["M"] = 5.0 - errors.ravel()
    past["cutoff"] = past["ds"] - pd.Timedelta("1D")
    summing = pd.DataFrame(S, columns=["a", "b", "c", "d"]).assign(shop=ids)
    levels = pd.DataFrame({"all": "total", "group": ["A", "A", "B", "B"], "one": ["a", "b", "c", "d"]})
    expected = reconcile(columns, S, past=errors)
    for given_S in (summing, levels):
        found = reconcile(frame(table), frame(given_S), past=frame(past), id="shop")
        assert isinstance(found, frame) and list(found.columns) == list(table.columns)
        assert list(found["shop"]) == list(table["shop"])
        places = [3 * ids.index(one) for one in table["shop"]] + (table["ds"] - times[30]).dt.days.to_numpy()
        for name, values in expected.items():
            np.testing.assert_allclose(np.asarray(found[name]), values.ravel()[places], rtol=1e-9)


def test_what_does_not_fit_is_said(given):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("narwhals")
    said = given[0]["M"]
    for wrong, match in (
        ({"method": "mean"}, "expected method to be one of bottom_up, ols, wls, mint_shrink; got 'mean'"),
        ({"S": S[[0, 2, 4]], "forecasts": said[:3]}, "expected a row of S with a single 1 for each series"),
        ({"forecasts": said[:3]}, r"expected finite forecasts \(N, H\) and S \(N, M\); got \(3, 3\), \(7, 4\)"),
        ({"forecasts": {"M": said, "M-q0.5": said}}, "quantiles don't add up; got 'M-q0.5'"),
        ({"past": np.ones((3, 4))}, "errors of 7 series, for ols; got"),
    ):
        with pytest.raises(ValueError, match=match):
            reconcile(**{"forecasts": said, "S": S, "method": "ols"} | wrong)
    table = pd.DataFrame({"unique_id": ["t", "a", "b"], "ds": 1, "M": 1.0})
    levels = pd.DataFrame({"all": ["t", "t"], "one": ["a", "b"]})
    for wrong, match in (
        (table[:2], "the same ones in the table of forecasts; got 'b'"),
        (pd.concat([table, table[:1]]), "expected one forecast of each series at each time"),
        (table.assign(unique_id=["t", "a", "c"]), "got 'b'"),
    ):
        with pytest.raises(ValueError, match=match):
            reconcile(wrong, levels, method="ols")
