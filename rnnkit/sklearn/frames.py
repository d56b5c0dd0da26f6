"""A DataFrame with a row for each step of each sequence, as sequences."""

from __future__ import annotations

import numpy as np
from sklearn.utils.validation import validate_data

from rnnkit.forecast.data.native_tables import check_columns, codes, opened
from rnnkit.sklearn.sequences import Sequences


def of_frame(estimator, X, id: str, time: str | None, reset: bool) -> Sequences:
    """The sequences of a table, in the order in which their ids first appear.

    Parameters
    ----------
    estimator : estimator
        Its ``feature_names_in_`` and ``n_features_in_`` are set, or X is held to them.
    X : DataFrame of pandas, polars or the like
    id : str
        The column that says of which sequence a row is.
    time : str, optional
        The column that steps are in the order of; by default they are in the order of the rows.
    reset : bool
        Whether this is the X of `fit`.
    """
    table = opened(X, "X")
    keys = [id] if time is None else [id, time]
    check_columns(table, keys, "X")
    numbers = validate_data(estimator, table.drop(keys).to_native(), reset=reset, dtype=np.float64)
    group, ids = codes(table, id)
    order = np.lexsort((group,) if time is None else (table[time].to_numpy(), group))
    return Sequences(numbers[order], np.bincount(group, minlength=len(ids)))
