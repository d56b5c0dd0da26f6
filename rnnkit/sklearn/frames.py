"""Sequences of a DataFrame with a row for each sequence and step."""

from __future__ import annotations

from sklearn.utils.validation import validate_data

from rnnkit.forecast.data.sequences import sequences_from_frame
from rnnkit.sklearn.sequences import Sequences, of_list


def of_frame(estimator, X, id: str, time: str | None, reset: bool) -> Sequences:
    """Return the sequences of a table, in the order of first appearance; columns are as of `sequences_from_frame`.

    In `fit` (`reset`), the estimator's ``feature_names_in_`` and ``n_features_in_`` are set; otherwise X is checked
    against them.
    """
    found = sequences_from_frame(X, id, time=time)
    import narwhals as nw  # installed, as the table was read

    features = nw.from_native(X).drop([id] if time is None else [id, time])
    validate_data(estimator, features.to_native(), reset=reset, skip_check_array=True)
    return of_list(list(found.values()), estimator)
