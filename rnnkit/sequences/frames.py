"""Sequences from tables with a row per sequence and step."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.sequences import tables


def sequences_from_frame(frame: Any, id: Any, *, time: Any = None, columns: Any = None) -> dict[Any, np.ndarray]:
    """Take a table with a row per sequence and step apart into one array for each sequence.

    Parameters
    ----------
    frame : DataFrame
        Of pandas, polars, pyarrow and the like; takes narwhals (extra "tables").
    id : str
        The column that says to which sequence a row belongs.
    time : str, optional
        The column of integers, dates or timestamps that orders the rows of a sequence; by default they stay in the
        order of the table.
    columns : str or list of str, optional
        The features; by default all other columns. A single name gives arrays without an axis of features, as ids for
        `Embedding` and targets by step are.

    Returns
    -------
    dict of id to ndarray (T_i, F) or (T_i,)
        In the order in which ids appear first. Columns of integers alone stay integers; all others are float64, NaN
        where a value is missing.

    Raises
    ------
    ValueError
        For missing or non-numeric columns, missing ids or times, and repeated times.
    TypeError
        If `frame` is no table in memory.
    ImportError
        Without narwhals.

    Examples
    --------
    >>> import pandas as pd, rnnkit as rk
    >>> frame = pd.DataFrame({"who": ["b", "a", "b"], "day": [2, 1, 1], "value": [3.0, 1.0, 2.0]})
    >>> rk.sequences_from_frame(frame, "who", time="day")
    {'b': array([[2.], [3.]]), 'a': array([[1.]])}
    >>> x = list(rk.sequences_from_frame(frame, "who", time="day").values())
    >>> rk.GRU(4, seed=0)(x).shape
    (2, 4)
    """
    what = "the frame"
    table = tables.indexed(tables.opened(frame, what), [id, time])
    taken = [columns] if isinstance(columns, str) else columns
    if taken is None:
        taken = [name for name in table.columns if name not in (id, time)]
    tables.check_columns(table, [id, *([] if time is None else [time]), *taken], what)
    if not taken:
        raise ValueError(f"expected at least one column besides {id!r}, for features; got none")
    codes, ids = tables.codes(table, id)
    order = np.argsort(codes, kind="stable")
    if time is not None:
        times = tables.TimeColumn.of(table, time).values if len(table) else np.zeros(0)
        order = np.lexsort((times, codes))
        of, at = codes[order], times[order]
        if (twice := (of[1:] == of[:-1]) & (at[1:] == at[:-1])).any():
            row = int(np.argmax(twice))
            raise ValueError(
                f"expected one row for each time of {ids[int(of[row])]!r} in {time!r}; got {at[row]} twice"
            )
    features = [_column(table, name, codes, ids.to_list())[order] for name in taken]
    values = features[0] if isinstance(columns, str) else np.stack(features, axis=1)
    ends = np.cumsum(np.bincount(codes, minlength=len(ids)))
    return dict(zip(ids.to_list(), (one.copy() for one in np.split(values, ends[:-1])), strict=True))


def _column(table, name, codes, ids) -> np.ndarray:
    column = table[name]
    if column.dtype.is_integer() and not column.null_count():
        return column.to_numpy().astype(np.int64)
    return tables.numbers(table, name, codes, ids)
