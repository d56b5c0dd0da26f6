"""A forecaster for sktime: ``from rnnkit.sktime import Forecaster``. Nothing else of rnnkit imports this module."""

from __future__ import annotations

import numpy as np

try:
    import pandas as pd
    from sktime.forecasting.base import BaseForecaster, ForecastingHorizon
except ImportError:
    raise ImportError("rnnkit.sktime needs sktime; install it with: pip install 'rnnkit[sktime]'") from None

from rnnkit.forecast import registry
from rnnkit.forecast.models import forecaster
from rnnkit.forecast.models.auto import Auto
from rnnkit.forecast.models.theta import Theta


class Forecaster(BaseForecaster):
    """A panel forecaster of rnnkit in sktime's interface.

    One series and panels are fitted in one call; each series goes on from its own end. Several columns are fitted by
    one model each. The forecasts, quantiles and intervals are those of the model. NaN is a gap. Auto and GlobalRNN read
    exogenous data, all columns as known ahead unless the model names its covariates; a step without a row goes on as
    the one before it. The other models don't read it.

    `update` with ``update_params=True`` fits all values so far. With False it appends the values after each series'
    end, and the fitted parameters stay.

    Parameters
    ----------
    model : forecaster of rnnkit.forecast, optional
        Copied before it is fitted. By default ``Auto()``.

    Attributes
    ----------
    model_ : forecaster of rnnkit
        The fitted copy. Its series have the names of the panel's instances.

    Raises
    ------
    TypeError
        By `fit`, for another `model`.
    ValueError
        By `fit`, for data that the model refuses; by `update` with ``update_params=False`` for a series that is new.
    NotImplementedError
        By `predict` and the like, for steps that aren't after a series' end.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from rnnkit.forecast import Theta
    >>> from rnnkit.sktime import Forecaster
    >>> months = pd.period_range("2020-01", periods=24, freq="M")
    >>> line = pd.Series(10 + 2.0 * np.arange(24), months)
    >>> Forecaster(Theta()).fit(line, fh=[1, 3]).predict().round()
    2022-01    58.0
    2022-03    62.0
    Freq: M, dtype: float64
    """

    _tags = {  # noqa: RUF012  (sktime reads a class's own)
        "authors": "The rnnkit developers",
        "maintainers": "The rnnkit developers",
        "y_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
        "X_inner_mtype": ["pd.DataFrame", "pd-multiindex", "pd_multiindex_hier"],
        "capability:multivariate": False,
        "capability:exogenous": True,
        "capability:insample": False,
        "capability:pred_int": True,
        "capability:pred_int:insample": False,
        "capability:missing_values": True,
        "capability:update": True,
        "requires-fh-in-fit": False,
    }

    def __init__(self, model=None):
        self.model = model
        super().__init__()

    def _fit(self, y, X=None, fh=None):
        model = Auto() if self.model is None else self.model
        if not isinstance(model, forecaster.Forecaster):
            kinds = ", ".join(registry.MODULES)
            raise TypeError(f"expected model to be one of {kinds}, or None; got {type(model).__name__}")
        if X is not None and model.reads_covariates and not model._covariate_columns:
            model = type(model)(**model._settings() | {"future_covariates": list(map(str, X.columns))})
        self._cur_X = X if model._covariate_columns else None
        table = _table(y, self._cur_X)
        numbered = pd.api.types.is_integer_dtype(table["ds"].dtype)
        self.model_ = model.copy().fit(table, freq=1 if numbered else None)
        self._cur_y, self._ends = y, _ends(table)
        self._instances = y.index.droplevel(-1).unique() if y.index.nlevels > 1 else None
        self._find_frequency()
        return self

    def _update(self, y, X=None, update_params=True):
        y = y.set_axis(self._cur_y.columns, axis=1)
        if self._cur_X is None:
            X = None
        else:
            X = self._cur_X if X is None else X.combine_first(self._cur_X)
        if update_params:
            return self._fit(y.combine_first(self._cur_y), X)
        table = _table(y, X)
        known = table["unique_id"].map(self._ends)  # NaN of a new series, which the model refuses
        table = table[~(table["ds"] <= known)]
        self.model_.update(table)
        self._cur_y = self._cur_y.combine_first(y)
        self._cur_X = X
        self._ends.update(_ends(table))
        self._find_frequency()
        return self

    def _find_frequency(self):
        """Set sktime's frequency of dates, which it finds itself only in a single series without gaps."""
        if isinstance(self._cutoff, pd.DatetimeIndex) and self._cutoff.freq is None:
            ahead = self._ahead(10)["ds"].iloc[:10]  # of the first series
            self._cutoff.freq = pd.infer_freq(pd.DatetimeIndex(ahead))

    def _ahead(self, h) -> pd.DataFrame:
        """Return the ids and times of h steps after each series."""
        frame = self.model_._fitted_history().frame
        assert frame is not None
        return frame.ahead(h, {})

    def _future(self, h, X):
        """Return the model's covariates at these steps, or None without any."""
        names = self.model_.future_covariates
        if not names or self._cur_X is None:
            return None
        if X is None:
            raise ValueError(f"expected X, with {', '.join(names)}, of the steps ahead, as in fit")
        before = _beside(self._cur_X, self._cur_y)
        known = pd.concat([_beside(X, self._cur_y), before]).drop_duplicates(["unique_id", "ds"])
        found = self._ahead(h).merge(known, "left", ["unique_id", "ds"])
        found[names] = found.groupby("unique_id", sort=False)[names].ffill()
        last = before.groupby("unique_id")[names].last()
        found[names] = found[names].fillna(last.reindex(found["unique_id"]).set_axis(found.index))
        return found.fillna(dict(zip(names, last.mean(), strict=True)))

    def _predict(self, fh, X=None):
        columns = [self.model_.name]
        return self._rows(
            fh, lambda h: self.model_.predict(h, future=self._future(h, X))[columns], self._get_columns("predict")
        )

    def _predict_quantiles(self, fh, X, alpha):
        forecast = lambda h: self.model_.predict_quantiles(h, alpha, future=self._future(h, X)).iloc[:, 2:]
        return self._rows(fh, forecast, self._get_columns("predict_quantiles", alpha=alpha))

    def _predict_interval(self, fh, X, coverage):
        levels = [100 * one for one in coverage]
        columns = [f"{self.model_.name}-{end}-{one:g}" for one in levels for end in ("lo", "hi")]
        forecast = lambda h: self.model_.predict(h, future=self._future(h, X), level=levels)[columns]
        return self._rows(fh, forecast, self._get_columns("predict_interval", coverage=coverage))

    def _rows(self, fh, forecast, columns) -> pd.DataFrame:
        """Return rows for the steps of `fh` of each series, out of the table ``(B * h, K)`` of ``forecast(h)``."""
        if isinstance(self._cutoff, pd.DatetimeIndex):  # `fit` may have been given the horizon without a frequency
            fh = ForecastingHorizon(fh.to_pandas(), is_relative=fh.is_relative, freq=self._cutoff.freq)
        ends = list(self._ends.values())
        steps = {end: np.asarray(fh.to_relative(pd.Index([end])).to_pandas(), np.int64) for end in set(ends)}
        times = {end: fh.to_absolute_index(pd.Index([end])) for end in steps}
        leads = np.stack([steps[end] for end in ends])  # (B, H)
        if leads.min() < 1:
            raise NotImplementedError(f"expected steps after the end of each series; got {fh}")
        found = forecast(int(leads.max())).to_numpy().reshape(len(ends), leads.max(), -1)
        values = found[np.arange(len(ends))[:, None], leads - 1].reshape(leads.size, -1)
        if self._instances is None:
            index = times[ends[0]]
        else:
            heads = [one if isinstance(one, tuple) else (one,) for one in self._instances]
            rows = [(*head, time) for head, end in zip(heads, ends, strict=True) for time in times[end]]
            index = pd.MultiIndex.from_tuples(rows, names=self._cur_y.index.names)
        return pd.DataFrame(values, index, columns)

    @classmethod
    def get_test_params(cls, parameter_set="default"):
        """Return arguments for sktime's own tests."""
        return [{"model": Theta()}, {"model": Theta(theta=2.0)}]


def _table(y, X=None) -> pd.DataFrame:
    """Return DataFrames of sktime as a table with a row for each series and time."""
    table = _keys(y, y).assign(y=y.iloc[:, 0].to_numpy())
    return table if X is None else table.merge(_beside(X, y), "left", ["unique_id", "ds"])


def _beside(X, y) -> pd.DataFrame:
    """Return exogenous data with the ids and times of its rows."""
    columns = {str(name): X[name].to_numpy() for name in X.columns}
    return pd.concat([_keys(X, y), pd.DataFrame(columns)], axis=1)


def _keys(data, y) -> pd.DataFrame:
    panel = data.index.nlevels > 1
    ids = data.index.droplevel(-1).map(str) if panel else [str(y.columns[0])] * len(data)
    return pd.DataFrame({"unique_id": ids, "ds": data.index.get_level_values(-1)})


def _ends(table) -> dict:
    """Return the last time of each series, by id, in the order of their first appearance."""
    return table.groupby("unique_id", sort=False)["ds"].max().to_dict()
