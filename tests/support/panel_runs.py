"""Panels of random series as tables, in memory and in partitions."""

import numpy as np
import pandas as pd
import pytest

dask, dataframe = pytest.importorskip("dask"), pytest.importorskip("dask.dataframe")


def series(name, steps, rng, start="2015-01-01"):
    """Months of a season and a walk, positive or not, with gaps."""
    y = 10 * np.sin(np.arange(steps) * np.pi / 6) + rng.normal(size=steps).cumsum() + 100 * (rng.random() < 0.6)
    y[1:-1][rng.random(steps - 2) < 0.05] = np.nan
    return pd.DataFrame({"unique_id": name, "ds": pd.date_range(start, periods=steps, freq="MS"), "y": y})


def panel(count, rng, shortest=20, longest=60):
    """A table for each series."""
    return [series(f"s{i}", int(rng.integers(shortest, longest)), rng) for i in range(count)]


def cut(tables, rng, most=5):
    """Lists of whole series put together as partitions, some of them empty."""
    ends = np.sort(rng.integers(0, len(tables) + 1, rng.integers(1, most)))
    parts = np.split(np.arange(len(tables)), ends)
    return [pd.concat([tables[i] for i in part]) if len(part) else tables[0].iloc[:0] for part in parts]


def same_table(lazy, whole, scheduler="sync"):
    """A dask DataFrame has the columns, the dtypes, the rows and the bits of a table, its text as dask holds text."""
    assert isinstance(lazy, dataframe.DataFrame)
    whole = dataframe.from_delayed([dask.delayed(whole)], meta=whole.iloc[:0]).compute(scheduler="sync")
    found = lazy.compute(scheduler=scheduler).reset_index(drop=True)
    assert list(lazy.columns) == list(whole.columns)
    assert lazy.dtypes.tolist() == found.dtypes.tolist() == whole.dtypes.tolist()
    pd.testing.assert_frame_equal(found, whole, check_exact=True)
