"""Detection of a series' season by its autocorrelation."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.arrays import with_gaps
from rnnkit.forecast.fitting.profiles import BETTER, LEAST_GAIN, Profiles, predicted
from rnnkit.forecast.fitting.scale import Scale

LEAST = 0.35  # calibrated on random walks, where the highest peak stays below it in 19 of 20 series
_MANY = 24  # steps of a season, above which a fifth of the series may choose it
_USUAL = (7, 12, 24, 52)  # seasons that are tried in any case
_SHOWN = 0.85  # most error by the profile of the cycles before, for a series of a panel to show a season
_SHARES = {4: 1 / 3, 7: 1 / 7, 12: 1 / 7, 24: 1 / 7, 48: 1 / 7, 52: 1 / 7}  # least of a panel; years show 4 too
_FEW = 10  # least series for that
_LONGER = {7: 365, 24: 168, 48: 336, 96: 672}  # a year of days, and weeks of hours and of parts of them


def find_season(values: Any) -> int | None:
    """Find the period of a series' season, or None.

    A straight line is subtracted first. Candidates are the peaks of the autocorrelation, up to a third of the length,
    that reach 0.35 and exceed the valley before them by as much. The season is the first one of at least 0.8 times the
    height of the highest, as later ones are its multiples; the mean over the period and its double then decides between
    neighbouring periods. A season of 7, 12, 24 or 52 steps takes its place if its profile predicts the next cycles
    better, or as well where it is one step off. Without such a peak, which slow changes hide, the season is that of
    these whose profile predicts the next cycles best, if one does.

    Parameters
    ----------
    values : array_like (T,)
        NaN in gaps.

    Returns
    -------
    int or None
        2 steps or more.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> month = np.arange(120)
    >>> find_season(10 * np.sin(2 * np.pi * month / 12) + 0.5 * month + rng.standard_normal(120))
    12
    >>> find_season(rng.standard_normal(120).cumsum()) is None
    True
    """
    values = with_gaps(values, "values")
    if values.ndim != 1:
        raise ValueError(f"expected values of shape (time,), got {values.shape}")
    values = values[None]
    if (~np.isnan(values)).sum() < 8:
        return None
    z = Scale.of(values).standardise(values, np.arange(values.shape[1])[None])[0]
    if np.nanmax(np.abs(z)) < 1:  # a straight line: the residuals are rounding errors
        return None
    echo = autocorrelation(z)[: len(z) // 3 + 1]
    lags = np.arange(2, len(echo) - 1)
    valleys = np.minimum.accumulate(echo)
    peak = (echo[lags] > echo[lags - 1]) & (echo[lags] >= echo[lags + 1])
    lags = lags[peak & (echo[lags] >= LEAST) & (echo[lags] - valleys[lags] >= LEAST)]
    errors = {period: predicted(z[None], period)[0] for period in _USUAL}
    usual = next(period for period, error in errors.items() if error <= min(errors.values()) + 0.03)
    if not len(lags):
        return usual if errors[usual] <= LEAST_GAIN else None
    first = int(lags[echo[lags] >= 0.8 * echo[lags].max()][0])
    near = range(first - first // 8, min(first + first // 8, len(echo) - 1) + 1)
    found = max(near, key=lambda lag: echo[lag::lag][:2].mean())
    most = predicted(z[None], found)[0] * (1.0 if abs(usual - found) == 1 else BETTER)
    return usual if errors[usual] <= min(most, LEAST_GAIN) else found


def find_seasons(values: Any) -> tuple[int, ...]:
    """Return the periods of a series' seasons in rising order; see `find_season`.

    A second season is the usual one beside the first (365 beside 7 steps, 168 beside 24, 336 beside 48, 672 beside 96),
    or one that `find_season` finds once the first is taken out, if its profile predicts the next cycles.
    """
    first, values = find_season(values), with_gaps(values, "values")
    if first is None:
        return ()
    if shorter := [short for short, long in _LONGER.items() if long == first]:
        return (shorter[0], first)
    length = np.array([len(values)])
    rest = Profiles.of(values[None], length, (first,), np.ones((1, 1), bool)).rest[0]
    for second in (_LONGER.get(first), find_season(rest)):
        if second and second >= 2 * first and Profiles.of(values[None], length, (first, second)).found[0, :-1].all():
            return (first, second)
    return (first,)


def autocorrelation(values) -> np.ndarray:
    """Return the autocorrelation ``(T,)`` at lags 0, 1, …, over the pairs with both values known.

    Values ``(T,)`` are of mean zero, NaN in gaps; a series without any spread gives zeros.
    """
    known = ~np.isnan(values)
    pairs = np.maximum(np.round(_lagged_sums(known.astype(np.float64))), 1)
    covariance = _lagged_sums(np.where(known, values, 0.0)) / pairs
    return covariance / covariance[0] if covariance[0] > 0 else np.zeros_like(covariance)


def _lagged_sums(values) -> np.ndarray:
    """Return ``sum_t values[t] values[t + lag]`` for each lag, by the Fourier transform."""
    size = 2 * len(values)  # padding avoids a cyclic overlap
    return np.fft.irfft(np.abs(np.fft.rfft(values, size)) ** 2, size)[: len(values)]


def refined_period(values, season: int, each: bool = False) -> Any:
    """Return the non-integer period within half a step of `season`, such as 52.18 for weeks of a year.

    The first two harmonics are shifted to frequency zero and summed over each season; the rate of change of their phase
    from season to season, by the Fourier transform, gives the correction of the period. Values ``(B, T)`` are of mean
    zero, NaN in gaps; the rows share the period, or `each` has its own ``(B,)``. It is `season` itself for fewer than
    three seasons.
    """
    seasons = values.shape[1] // season
    if seasons < 3:
        return np.full(len(values), float(season)) if each else float(season)
    power = season_power(turnings(values[:, : seasons * season], season), season)
    return period_of(power, season, seasons) if each else float(period_of(power.sum(axis=0), season, seasons))


def turnings(values, season: int, first: int = 0) -> np.ndarray:
    """Return the first two harmonics of a stretch of series, shifted to frequency zero and summed over each season.

    Values ``(B, T)``, NaN in gaps, begin at the time `first`. The result, complex ``(harmonics, B, seasons)``, has an
    entry for each season that overlaps the stretch, from ``first // season`` on.
    """
    before = first % season
    behind = -(before + values.shape[1]) % season
    filled = np.nan_to_num(values)
    if before or behind:
        filled = np.pad(filled, ((0, 0), (before, behind)))
    folded, steps = filled.reshape(len(filled), -1, season), np.arange(season)
    found = []
    for harmonic in range(1, 1 + min(2, season // 2)):
        carrier = np.exp(-2j * np.pi * harmonic * steps / season)
        found.append(folded @ carrier)
    return np.array(found)


def season_power(turned, season: int) -> np.ndarray:
    """Return each series' power at frequencies around a season's, summed over harmonics, from `turnings`."""
    size = 64 * turned.shape[2]
    bins = _bins(season, size)
    power = np.zeros((turned.shape[1], len(bins)))
    for harmonic, turning in enumerate(turned, start=1):
        spectrum = np.fft.fft(turning, size, axis=1)
        power += np.abs(spectrum[:, harmonic * bins]) ** 2
    return power


def period_of(power, season: int, seasons: int) -> np.ndarray:
    """Return the period with the highest power ``(..., bins)`` over `seasons` seasons."""
    size = 64 * seasons
    return season / (1 + _bins(season, size)[np.argmax(power, axis=-1)] / size)


def _bins(season: int, size: int) -> np.ndarray:
    """Return the frequencies of a Fourier transform within half a step of the period."""
    most = int(size * 0.5 / (season + 0.5))
    return np.arange(-most, most + 1)


def harmonics(times, period: Any, count: int) -> np.ndarray:
    """Return sine and cosine of the first harmonics of a season: times ``(...)`` give ``(..., 2 * count)``."""
    angles = 2 * np.pi * np.arange(1, 1 + count) * np.asarray(times)[..., None] / period
    return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(*angles.shape[:-1], 2 * count)


def common_seasons(values, lengths, most: int = 100) -> tuple[int, ...]:
    """Return the common seasons of series ``(N, T)``, NaN in gaps, judged by `most` of them; see `elected`."""
    return elected([season_votes(values, lengths, most)], most)


def season_votes(values, lengths, most: int = 100) -> tuple[np.ndarray, list, np.ndarray]:
    """Return the lengths of series that are `_asked`, the seasons of each, and the errors by usual ones' profiles."""
    asked = _asked(lengths, most)
    errors = np.stack([predicted(values[asked], period) for period in _SHARES], axis=1)
    return lengths[asked], [find_seasons(values[row, : lengths[row]]) for row in asked], errors


def elected(votes, most: int = 100) -> tuple[int, ...]:
    """Return the common seasons from the results of `season_votes` for blocks of series.

    The first is that of half of the series asked, or of a fifth if it is long; so is a second one. Otherwise it is the
    usual one that most series show by themselves, whatever they chose, if these are enough.
    """
    lengths, found, errors = zip(*votes, strict=True)
    asked = _asked(np.concatenate(lengths), most)
    every = [seasons for part in found for seasons in part]
    chosen = [every[place] for place in asked]
    first = _most_common([seasons[0] for seasons in chosen if seasons], len(asked))
    second = [seasons[1] for seasons in chosen if seasons[:1] == first and len(seasons) > 1]
    return first + _most_common(second, len(asked)) if first else _shown(np.concatenate(errors)[asked])


def _shown(errors) -> tuple[int, ...]:
    """Return the usual season that most series show, from their errors ``(N, seasons)``, if enough do."""
    able = np.isfinite(errors).sum(axis=0)
    shares = (errors < _SHOWN).sum(axis=0) / np.maximum(able, 1)
    enough = (able >= max(_FEW, len(errors) // 3)) & (shares >= list(_SHARES.values()))
    return (list(_SHARES)[int(np.argmax(np.where(enough, shares, 0.0)))],) if enough.any() else ()


def _asked(lengths, most: int) -> np.ndarray:
    """Return `most` series at even distances among those at least half as long as the longest, by length."""
    order = np.argsort(-lengths, kind="stable")
    order = order[2 * lengths[order] >= lengths.max(initial=0)]
    return order if len(order) <= most else order[np.linspace(0, len(order) - 1, most).astype(int)]


def _most_common(found, count: int) -> tuple[int, ...]:
    seasons, counts = np.unique(np.array(found, int), return_counts=True)
    if not len(found):
        return ()
    season = int(seasons[np.argmax(counts)])
    return (season,) if counts.max() * (5 if season > _MANY else 2) >= count else ()
