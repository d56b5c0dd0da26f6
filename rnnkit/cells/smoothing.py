"""Exponential smoothing as recurrent cells: levels, trends and seasons are states, smoothing parameters are constants.

One row of the batch holds ``series`` series side by side, so that a step works on whole vectors of them. NaN in x is a
missing value: the states then move on along their own forecast.
"""

from __future__ import annotations

import numpy as np

from rnnkit.docstrings import described_as
from rnnkit.steps.declared import cell

_STATES = {"level": "series", "trend": "series", "season": ("period", "series")}


@cell(states=_STATES)
def additive_smoothing(x, states, constants, *, series=1, period=1):
    """Exponential smoothing with additive errors, trend and season (Hyndman et al. 2008, table 2.2).

    One step is::

        f_t = l + φ b + s_1                 e_t = y_t - f_t, 0 where y_t is missing
        l'  = l + φ b + α e_t
        b'  = φ b + β e_t
        s'  = (s_2, …, s_m, s_1 + γ e_t)

    The output is f, the forecast of a step from those before it. Hyndman, Koehler, Ord and Snyder (2008), "Forecasting
    with exponential smoothing".

    Parameters
    ----------
    series : int
        W, how many series a row holds; x is ``(B, T, W)``.
    period : int
        m, steps of a season.

    Notes
    -----
    States: level ``(B, W)``, trend ``(B, W)``, season ``(B, m, W)``, its next value first. One constant ``(B, 4, W)``:
    α, β, γ and φ. Without a trend β = φ = 0, undamped φ = 1, without a season γ = 0 and the season's states are 0.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.RNN(rk.cells.additive_smoothing(), return_sequences=True)
    >>> simple = np.array([[[0.5], [0.0], [0.0], [0.0]]])
    >>> layer(np.array([[[4.0], [8.0], [np.nan], [2.0]]]), constants=[simple]).ravel()
    array([0., 2., 5., 5.])
    """
    level, trend, season = states
    parameters = constants[0]
    alpha, beta, gamma, phi = parameters[:, 0], parameters[:, 1], parameters[:, 2], parameters[:, 3]
    slope = phi * trend
    base = level + slope
    forecast = base + season[:, 0]
    error = np.where(np.isnan(x), forecast, x) - forecast
    renewed = season[:, 0] + gamma * error
    turned = np.concatenate([season[:, 1:], renewed[:, None]], axis=1)
    return forecast, (base + alpha * error, slope + beta * error, turned)


@cell(states=_STATES)
@described_as(additive_smoothing)
def multiplicative_smoothing(x, states, constants, *, series=1, period=1, floor=1e-3):
    """Exponential smoothing with multiplicative errors and season, for positive values.

    One step is::

        v   = max(l + φ b, floor)
        f_t = v s_1                         e_t = (y_t - f_t) / f_t, 0 where y_t is missing
        l'  = v (1 + α e_t)
        b'  = φ b + β v e_t
        s'  = (s_2, …, s_m, s_1 (1 + γ e_t))

    The output is f. Hyndman et al. (2008), "Forecasting with exponential smoothing", table 2.3, of which it has the
    forms with an additive trend; the floor keeps a falling trend positive.

    Parameters
    ----------
    floor : float
        The least value of the level with its trend; values of a size about 1 are assumed.

    Notes
    -----
    States and constants as in `additive_smoothing`; without a season its states are 1.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.RNN(rk.cells.multiplicative_smoothing(), return_sequences=True)
    >>> simple = np.array([[[0.5], [0.0], [0.0], [0.0]]])
    >>> start = [np.full((1, 1), 2.0), np.zeros((1, 1)), np.ones((1, 1, 1))]
    >>> layer(np.array([[[4.0], [2.0], [np.nan], [2.0]]]), constants=[simple], initial_state=start).ravel()
    array([2. , 3. , 2.5, 2.5])
    """
    level, trend, season = states
    parameters = constants[0]
    alpha, beta, gamma, phi = parameters[:, 0], parameters[:, 1], parameters[:, 2], parameters[:, 3]
    slope = phi * trend
    base = np.maximum(level + slope, floor)
    forecast = base * season[:, 0]
    error = (np.where(np.isnan(x), forecast, x) - forecast) / forecast
    renewed = season[:, 0] * (1 + gamma * error)
    turned = np.concatenate([season[:, 1:], renewed[:, None]], axis=1)
    return forecast, (base * (1 + alpha * error), slope + beta * base * error, turned)


@cell(states={"level": "series", "season": ("period", "series")})
@described_as(additive_smoothing)
def level_and_season(x, states, constants, *, series=1, period=1):
    """The level of a series and its season, by exponential smoothing.

    One step is::

        e_t = y_t - l - s_1, 0 where y_t is missing
        l'  = l + α e_t
        s'  = (s_2, …, s_m, s_1 + γ e_t)

    This is `additive_smoothing` without a trend, with another output: the level after each step, and the season that
    the step leaves for the step m later. They give the series without its level and season, as used for
    logarithms by Smyl (2020), "A hybrid method of exponential smoothing and recurrent neural networks for time series
    forecasting" (equations 1 and 2).

    Notes
    -----
    States: level ``(B, W)``, season ``(B, m, W)``, its next value first. One constant ``(B, 2, W)``: α and γ. The
    output ``(B, T, 2 W)`` holds the levels of all series, then the seasons.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.RNN(rk.cells.level_and_season(), return_sequences=True)
    >>> layer(np.array([[[4.0], [8.0], [np.nan], [2.0]]]), constants=[np.array([[[0.5], [0.0]]])])[..., 0]
    array([[2. , 5. , 5. , 3.5]])
    """
    level, season = states
    alpha, gamma = constants[0][:, 0], constants[0][:, 1]
    forecast = level + season[:, 0]
    error = np.where(np.isnan(x), forecast, x) - forecast
    renewed = season[:, 0] + gamma * error
    level = level + alpha * error
    turned = np.concatenate([season[:, 1:], renewed[:, None]], axis=1)
    return np.concatenate([level, renewed], axis=-1), (level, turned)


@cell(states=dict.fromkeys(("level", "mean", "slope", "intercept", "count", "decay"), "series"), initial={"decay": 1.0})
@described_as(additive_smoothing)
def dynamic_theta(x, states, constants, *, series=1):
    """The dynamic optimized Theta model (Fiorucci et al. 2016).

    One step is::

        f_t = l + w (q a + (1 - (1 - α) q) / α b)         w = 1 - 1 / θ
        l'  = l + α (y_t - l)                             y_t = f_t where it is missing
        ȳ'  = ȳ + (y_t - ȳ) / t
        b'  = ((t - 2) b + 6 (y_t - ȳ) / t) / (t + 1)     0 for t = 1
        a'  = ȳ' - b' (t + 1) / 2                         q' = (1 - α) q

    a and b are intercept and slope of the line that least squares puts through the values so far. The output is f.
    Fiorucci, Pellegrini, Louzada, Petropoulos and Koehler (2016), "Models for optimising the theta method and their
    relationship to state space models", equations 17 to 22. θ = 2 is the Theta method of Assimakopoulos and
    Nikolopoulos (2000), w = 0 simple exponential smoothing.

    Notes
    -----
    States ``(B, W)`` each: level, mean of the values, slope, intercept, their count, and ``q = (1 - α)^count``, which
    starts at 1. One constant ``(B, 2, W)``: α and w.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.RNN(rk.cells.dynamic_theta(), return_sequences=True)
    >>> line = np.array([[[1.0], [2.0], [3.0], [np.nan]]])
    >>> layer(line, constants=[np.array([[[0.5], [0.5]]])]).ravel().round(3)
    array([0.   , 0.75 , 2.125, 3.062])
    """
    level, mean, slope, intercept, count, decay = states
    alpha, weight = constants[0][:, 0], constants[0][:, 1]
    left = (1 - alpha) * decay
    forecast = level + weight * (decay * intercept + (1 - left) / alpha * slope)
    value = np.where(np.isnan(x), forecast, x)
    time = count + 1
    off = (value - mean) / time
    new_mean = mean + off
    new_slope = np.where(time < 1.5, 0.0, ((time - 2) * slope + 6 * off) / (time + 1))
    new_intercept = new_mean - new_slope * (time + 1) / 2
    return forecast, (level + alpha * (value - level), new_mean, new_slope, new_intercept, time, left)


@cell(states=dict.fromkeys(("size", "interval", "elapsed"), "series"), initial={"size": 1.0, "interval": 1.0})
@described_as(additive_smoothing)
def croston(x, states, constants, *, series=1):
    """Croston's method for intermittent demand: the size of demands and the interval between them.

    One step is::

        f_t = z / p                         q' = q + 1
        z'  = z + α (y_t - z)               where y_t > 0, otherwise z and p stay
        p'  = p + α (q' - p)                and q' is 0 after a demand

    The output is f. Croston (1972), "Forecasting and stock control for intermittent demands".

    Notes
    -----
    States ``(B, W)`` each: size z, interval p, and q, the steps since the last demand. One constant ``(B, 1, W)``: α. A
    missing value changes nothing.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.RNN(rk.cells.croston(), return_sequences=True)
    >>> start = [np.full((1, 1), 4.0), np.full((1, 1), 2.0), np.zeros((1, 1))]
    >>> demand = np.array([[[0.0], [4.0], [0.0], [0.0], [0.0], [6.0], [np.nan]]])
    >>> layer(demand, constants=[np.full((1, 1, 1), 0.5)], initial_state=start).ravel().round(3)
    array([2.   , 2.   , 2.   , 2.   , 2.   , 2.   , 1.667])
    """
    size, interval, elapsed = states
    alpha = constants[0][:, 0]
    came = x > 0
    elapsed = elapsed + np.where(np.isnan(x), 0.0, 1.0)
    new_size = np.where(came, size + alpha * (x - size), size)
    new_interval = np.where(came, interval + alpha * (elapsed - interval), interval)
    return size / interval, (new_size, new_interval, np.where(came, 0.0, elapsed))


@cell(states=dict.fromkeys(("chance", "size"), "series"))
@described_as(additive_smoothing)
def tsb(x, states, constants, *, series=1):
    """The method of Teunter, Syntetos and Babai for intermittent demand: the chance of a demand, and its size.

    One step is::

        f_t = p z
        p'  = p + β ([y_t > 0] - p)         z'  = z + α (y_t - z) where y_t > 0, otherwise z

    The output is f. The chance falls while there is no demand, so that forecasts of obsolete items go to 0. Teunter,
    Syntetos and Babai (2011), "Intermittent demand: linking forecasting to inventory obsolescence".

    Notes
    -----
    States ``(B, W)`` each: chance p and size z. One constant ``(B, 2, W)``: α and β. A missing value changes nothing.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> layer = rk.RNN(rk.cells.tsb(), return_sequences=True)
    >>> start = [np.full((1, 1), 0.5), np.full((1, 1), 4.0)]
    >>> demand = np.array([[[0.0], [8.0], [np.nan], [0.0]]])
    >>> layer(demand, constants=[np.full((1, 2, 1), 0.5)], initial_state=start).ravel()
    array([2.  , 1.  , 3.75, 3.75])
    """
    chance, size = states
    alpha, beta = constants[0][:, 0], constants[0][:, 1]
    came = x > 0
    new_chance = chance + beta * (np.where(np.isnan(x), chance, np.where(came, 1.0, 0.0)) - chance)
    return chance * size, (new_chance, np.where(came, size + alpha * (x - size), size))
