"""Scores of forecasts in tables, against the formulas one series and one model at a time."""

import numpy as np
import pytest

from rnnkit.forecast.scoring import metrics

pd = pytest.importorskip("pandas")
pl = pytest.importorskip("polars")
pa = pytest.importorskip("pyarrow")
nw = pytest.importorskip("narwhals")

from rnnkit.forecast.data.frames import read  # noqa: E402
from rnnkit.forecast.scoring.evaluation import evaluate  # noqa: E402

KINDS = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "pyarrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
}


@pytest.fixture
def tables(rng):
    """Forecasts from two cutoffs, with gaps, and the values before."""
    forecasts = pd.DataFrame(
        {
            "unique_id": np.repeat(["b", "a", "c"], 8),
            "ds": np.tile([11, 12, 13, 14, 12, 13, 14, 15], 3),
            "cutoff": np.tile(np.repeat([10, 11], 4), 3),
            "y": rng.normal(size=24),
            "One": rng.normal(size=24),
            "Two": rng.normal(size=24),
        }
    )
    forecasts.loc[[2, 9], "y"] = np.nan
    for level, half in ((50, 0.7), (95.5, 2.0)):
        forecasts[f"One-lo-{level}"], forecasts[f"One-hi-{level}"] = forecasts.One - half, forecasts.One + half
    train = pd.DataFrame({"unique_id": np.repeat(["c", "a", "b"], 10), "ds": np.tile(np.arange(1, 11), 3)})
    train["y"] = rng.normal(size=30)
    train.loc[4, "y"] = np.nan
    return forecasts, train


def cells(table):
    rows = nw.from_native(table).rows(named=True)
    return {(row["unique_id"], row["metric"], model): row[model] for row in rows for model in ("One", "Two")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("season", [1, 3])
def test_scores_are_those_of_the_formulas(tables, kind, season):
    forecasts, train = tables
    given = KINDS[kind](forecasts)
    found = evaluate(given, KINDS[kind](train), season=season)
    assert type(found) is type(given)
    assert nw.from_native(found).columns == ["unique_id", "metric", "One", "Two"]
    names = ["mae", "rmse", "smape", "mase", "rmsse", "coverage-50", "coverage-95.5", "pinball"]
    assert nw.from_native(found)["metric"].to_list() == names * 3
    assert nw.from_native(found)["unique_id"].to_list() == [one for one in "bac" for _ in names]
    scores = cells(found)
    for one in "abc":
        rows, before = forecasts[forecasts.unique_id == one], train[train.unique_id == one].y
        for model in ("One", "Two"):
            y, f = rows.y, rows[model]
            expected = {
                "mae": metrics.mean_absolute_error(y, f),
                "rmse": metrics.root_mean_squared_error(y, f),
                "smape": metrics.symmetric_percentage_error(y, f),
                "mase": metrics.mean_absolute_scaled_error(y, f, before, season),
                "rmsse": metrics.root_mean_squared_scaled_error(y, f, before, season),
            }
            for name, score in expected.items():
                assert scores[one, name, model] == pytest.approx(score, rel=1e-12)
        for level in (50, 95.5):
            low, high = rows[f"One-lo-{level}"], rows[f"One-hi-{level}"]
            assert scores[one, f"coverage-{level}", "One"] == pytest.approx(metrics.coverage(rows.y, low, high))
        losses = [
            metrics.pinball_loss(rows.y, rows[f"One-{edge}-{level}"], quantile)
            for edge, level, quantile in (
                ("lo", 50, 0.25),
                ("hi", 50, 0.75),
                ("lo", 95.5, 0.0225),
                ("hi", 95.5, 0.9775),
            )
        ]
        assert scores[one, "pinball", "One"] == pytest.approx(np.mean(losses))
        assert np.isnan(scores[one, "pinball", "Two"])


def test_the_order_of_rows_is_irrelevant(tables, rng):
    forecasts, train = tables
    expected = cells(evaluate(forecasts, train))
    found = cells(evaluate(forecasts.iloc[rng.permutation(24)], read(train.iloc[rng.permutation(30)])))
    assert found.keys() == expected.keys()
    for key, score in expected.items():
        assert found[key] == pytest.approx(score, nan_ok=True)


def test_models_and_levels_are_chosen(tables):
    found = evaluate(tables[0], models=["One"], level=[50])
    assert list(found.columns) == ["unique_id", "metric", "One"]
    assert list(found.metric[:5]) == ["mae", "rmse", "smape", "coverage-50", "pinball"]
    assert "pinball" not in set(evaluate(tables[0], models=["Two"]).metric)


def test_a_single_series_has_no_ids():
    table = pd.DataFrame({"t": [1, 2], "v": [1.0, 3.0], "M": [2.0, 5.0]})
    found = evaluate(table, time="t", target="v")
    assert list(found.columns) == ["metric", "M"]
    assert found.M[:2].tolist() == pytest.approx([1.5, np.sqrt(2.5)])


def test_nothing_is_made_up():
    table = pd.DataFrame({"unique_id": [*"aab"], "ds": [3, 4, 3], "y": [1.0, 2.0, np.nan], "M": [1.0, np.nan, 2.0]})
    train = pd.DataFrame({"unique_id": [*"aabb"], "ds": [1, 2, 1, 2], "y": [1.0, 1.0, 1.0, 2.0]})
    assert evaluate(table, train).M.isna().all(), "a forecast that is missing, and a value that is"
    constant = evaluate(table.iloc[:1], train)
    assert constant.M.isna().tolist() == [False, False, False, True, True], "a naive forecast that was never off"


@pytest.mark.parametrize(
    ("change", "arguments", "said"),
    [
        (lambda f: f.drop(columns="y"), {}, "expected the forecasts with the columns y, One, Two"),
        (lambda f: f[["unique_id", "ds", "y"]], {}, "expected a column of forecasts at least; got unique_id, ds, y"),
        (lambda f: f, {"models": ["Three"]}, "expected the forecasts with the columns y, Three"),
        (lambda f: f, {"level": [90]}, "expected bands of 90 % in columns such as One-lo-90"),
        (lambda f: f.assign(Two="x"), {}, "expected numbers in column 'Two'; got 'x' in row 0, of series 'b'"),
        (
            lambda f: f.rename(columns={"ds": "day"}),
            {},
            "expected the forecasts with the columns ds; got unique_id, day, cutoff, y, One, ",
        ),
        (lambda f: f.iloc[:0], {}, "expected forecasts with rows; got an empty table"),
        (lambda f: f.assign(unique_id="z"), {"train": True}, "expected all series in train; got none for 'z'"),
        (lambda f: f, {"season": 0}, "expected season to be a positive integer"),
    ],
)
def test_what_is_wrong_is_said(tables, change, arguments, said):
    forecasts, train = tables
    arguments = {**arguments, "train": train} if "train" in arguments else arguments
    with pytest.raises(ValueError) as caught:
        evaluate(change(forecasts), **arguments)
    assert said in str(caught.value)
    with pytest.raises(TypeError, match="expected the forecasts to be a DataFrame; got list"):
        evaluate([1.0])
    with pytest.raises(TypeError, match=r"got dict: pandas.DataFrame\(columns\) makes one"):
        evaluate(dict(forecasts))
    with pytest.raises(TypeError, match="expected train to be a DataFrame; got list"):
        evaluate(forecasts, [1.0])


def test_metrics_of_arrays():
    y, f = np.array([0.0, 1.0, np.nan, -2.0]), np.array([0.0, 3.0, 1.0, -2.0])
    assert metrics.symmetric_percentage_error(y, f) == pytest.approx(100 / 3)
    assert metrics.pinball_loss(y, f, 0.5) == pytest.approx(metrics.mean_absolute_error(y, f) / 2)
    assert np.isnan(metrics.mean_absolute_scaled_error([1.0], [2.0], [3.0, 3.0]))
    assert metrics.coverage([1.0, 2.0], [1.0, 2.5], [1.0, 3.0]) == 50


def test_without_any_pair_there_is_no_mean():
    assert np.isnan(metrics.mean_absolute_error([np.nan, 1.0], [2.0, np.nan]))
    assert np.isnan(metrics.mean_absolute_scaled_error([1.0], [1.0], [1.0, np.nan, 2.0, np.nan]))
