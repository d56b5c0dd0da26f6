"""A run of the command: reads files, and gives reports as text, tables, pictures and models."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rnnkit.callbacks.stages import progress_bar
from rnnkit.console import printable
from rnnkit.datasets import FOLDER
from rnnkit.forecast import registry, saving
from rnnkit.forecast.command import HORIZON, WINDOWS
from rnnkit.forecast.command import report as reports_of
from rnnkit.forecast.command.picture import check_drawing, draw
from rnnkit.forecast.command.report import ORIGINS, Report, check, check_panel, series_name
from rnnkit.forecast.command.table import check_writable, forecast_table, heading, scores_table, write_forecasts
from rnnkit.forecast.data.csv_files import InputError, parsed
from rnnkit.forecast.data.files import PARQUET, Series, check_suffix, column_names, read_series, read_table
from rnnkit.forecast.data.frames import SeriesFrame
from rnnkit.forecast.models.forecaster import Forecaster
from rnnkit.forecast.registry import TITLES, TRAINED, WITH_COVARIATES, WITH_UNITS

# Names of arguments in errors of `read_table`, and of the command's options: "(time=)" becomes "(--time)".
_OPTIONS = {
    "dayfirst=True or dayfirst=False": "--day-first or --month-first",
    'decimal="," or decimal="."': "--decimal , or --decimal .",
    "expected freq ": "expected --freq ",
}
BUNDLED = (("sunspots.csv", 3), ("co2.csv", 12))  # file, horizon


def forecast(options) -> str:
    """Forecast a file's series, and test the models on its past; an InputError for invalid input before any work."""
    models, levels = _models(options), _levels(options)
    _check_together(options, models)
    for path in filter(None, (options.output, options.plot, options.save)):
        check_writable(path)
    if options.output:
        check_suffix(options.output)
    if options.plot:
        check_drawing(options.plot)
    if options.file is None:
        chosen = [(read_series(FOLDER / name), options.horizon or h) for name, h in BUNDLED]
        return _told(options, _tested_and_forecast(options, models, levels, chosen))
    kept = read_kept(options.load) if options.load else None
    if kept is not None and options.future and not kept[0].future_covariates:
        raise InputError(f"the model in {options.load} reads nothing of --future")
    data = _read(options, levels, kept)
    if kept is None:
        return _told(options, _tested_and_forecast(options, models, levels, [(data, options.horizon or HORIZON)]))
    forecaster, saved = kept
    read = partial(_future, options, data, forecaster.future_covariates) if options.future else None
    return _told(
        options, [reports_of.forecast_kept(data, options.load, forecaster, saved, options.horizon, levels, read)]
    )


def _read(options, levels, kept):
    """Read one series, or a frame: of several series, for a cross-validation, or for a model saved from a frame."""
    if kept is None:
        framed = options.cross_validate is not None or options.future is not None or len(levels or ()) > 1
    else:
        framed = kept[0]._fitted_history().frame is not None
    data = _input(options, framed)
    if isinstance(data, SeriesFrame):
        if kept is not None and not framed:
            raise InputError(
                f"the model in {options.load} takes one series; {options.file} has {len(data)}: choose one with "
                "--column"
            )
    elif kept is None and options.origins is None:
        try:
            check(data, options.horizon or HORIZON, options.season)
        except InputError as error:  # too short for a back-test
            try:
                frame: Any = _input(options, framed=True)
                check_panel(frame, options.file, options.horizon or HORIZON, WINDOWS)
            except InputError:
                raise error from None
            return frame
    return data


def _input(options, framed: bool) -> Series | SeriesFrame:
    """Return a `Series` if the file has one or `column` chooses one; otherwise, or if `framed`, a `SeriesFrame`.

    Without --freq, --day-first and --decimal, unequal steps of a single series count as one step each.
    """
    path, column, id, time, target = options.file, options.column, options.id, options.time, options.target
    freq = int(options.freq) if options.freq and options.freq.isdecimal() else options.freq
    notation = freq, options.dayfirst, options.decimal
    plain = not framed and notation == (None, None, None) and Path(path).suffix not in PARQUET
    if column is not None and plain:
        return read_series(path, column, time)
    try:
        frame = read_table(path, id, time, target, *notation)
    except InputError as error:
        if plain and id is None:
            with contextlib.suppress(InputError):
                return read_series(path, target, time)
        said = str(error)
        for argument, option in _OPTIONS.items():
            said = said.replace(argument, option)
        raise InputError(re.sub(r"\((\w+)=\)", r"(--\1)", said)) from None
    if column is not None:
        names = [series_name(frame, place) for place in range(len(frame))]
        if column not in names:
            raise InputError(f"{path} has no column {column!r}; its series are {', '.join(names[:10])}")
        frame = frame.alone(names.index(column))
    if framed or len(frame) > 1:
        return frame
    return Series(series_name(frame, 0), frame.series[0], frame.timelines[0])


def _future(options, frame: SeriesFrame, needed: Sequence[str] | None, horizon: int) -> dict[str, np.ndarray]:
    """Read covariates of the `horizon` steps after the series' ends: columns ``(B, H)`` by name, by default all."""
    path = options.future
    header = column_names(path)
    if needed is not None and (lacking := [name for name in needed if name not in header]):
        raise InputError(
            f"{path} has the columns {', '.join(header)}; expected {lacking[0]!r} too, which the model reads"
        )
    names = [name for name in frame.covariates if name in header] if needed is None else list(needed)
    if not names:
        others = ", ".join(frame.covariates) or "none besides the values"
        raise InputError(f"{path} has the columns {', '.join(header)}; expected some that the series have: {others}")
    id, time = (name if name in header else None for name in frame.names[:2])
    freq = frame.timelines.frequency
    known = read_table(path, id, time, names[0], freq, options.dayfirst, options.decimal)
    try:
        return frame.future(known, horizon, names)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def read_kept(path) -> tuple[Forecaster, saving.Saved]:
    """Read a fitted forecaster and the contents of its file; an InputError if it can't be used."""
    try:
        saved = saving.read(path)
        return registry.restored(path, saved), saved
    except (ValueError, ImportError) as error:
        raise InputError(f"{error}") from error


def _tested_and_forecast(options, models, levels, chosen) -> list[Report]:
    """Return reports on series, or on several in a frame, with their horizons; Ctrl-C prints the finished windows."""
    given = {one: getattr(options, one) for one in ("season", "units", "epochs")} | {"seed": options.seed or 0}
    given |= {"levels": levels or [reports_of.LEVEL]}
    reports = []
    for data, horizon in chosen:
        if isinstance(data, SeriesFrame):
            if options.origins:
                raise InputError("--origins is for the back-test of one series; several series have --cross-validate")
            check_panel(data, options.file, horizon, options.cross_validate)
            count = WINDOWS if options.cross_validate is None else options.cross_validate
            given["future"] = _future(options, data, None, horizon) if options.future else None
        else:
            check(data, horizon, options.season, options.origins)
            count = options.origins or ORIGINS
        reports.append(reports_of.begun(data, models, horizon, count, **given))
    total = sum(1 if one.origins is None else 1 + len(one.origins.ends) for one in reports) * len(models)
    with progress_bar(total, "forecast") as progress:
        for report in reports:
            try:
                reports_of.back_test(report, progress)
                reports_of.forecast(report, progress)
            except KeyboardInterrupt:
                if report.tested and report.frame is not None:
                    print(printable(_scores(options, [report]), kept="\n"), flush=True)
                raise
            except (ValueError, FloatingPointError) as error:
                raise InputError(f"{options.file if report.frame else report.named(0).name}: {error}") from error
    return reports


def _told(options, reports: Sequence[Report]) -> str:
    """Write the files asked for, and return the reports as text."""
    if options.output:
        write_forecasts(options.output, reports)
    if options.plot:
        draw(options.plot, reports, options.plot_series or 9)
    if options.save:
        reports_of.keep(options.save, reports[0])
    written = [f"wrote {path}" for path in (options.output, options.plot, options.save) if path]
    return "\n\n".join([_scores(options, reports), *map(forecast_table, reports), *written])


def _scores(options, reports: Sequence[Report]) -> str:
    """Return the headings of reports, and the scores if there are some."""
    name = os.path.basename(options.file or "")
    headings = "\n".join(heading(report, name) for report in reports)
    return f"{headings}\n\n{scores_table(reports)}" if reports[0].tested else headings


def _models(options) -> list[str]:
    """Return the models asked for, without duplicates."""
    if options.model is None:
        return ["auto"]
    options.model = _without_file(options, options.model, lambda word: word in TITLES)
    names = [name for word in options.model for name in word.split(",") if name]
    if unknown := [name for name in names if name not in TITLES]:
        raise InputError(f"there is no model {unknown[0]!r}; expected one or several of {', '.join(TITLES)}")
    if not names:
        raise InputError(f"--model names none; expected one or several of {', '.join(TITLES)}")
    return list(dict.fromkeys(names))


def _levels(options) -> list[float] | None:
    """Return the percentages asked for, in ascending order."""
    if options.level is None:
        return None
    options.level = _without_file(options, options.level, lambda word: parsed(word) is not None)
    found = []
    for word in options.level:
        number = parsed(word)
        if number is None or not 1 <= number < 100:
            raise InputError(f"expected --level as percentages from 1 to below 100, such as 80 95; got {word!r}")
        found.append(number)
    return sorted(set(found))


def _without_file(options, words, is_one) -> list[str]:
    """Return the values of an option that takes several, without the file's name, which may come last."""
    *first, last = words
    if options.file is None and first and not is_one(last) and ("." in last or os.path.exists(last)):
        options.file = last
        return first
    return words


def _check_together(options, models) -> None:
    def given(*names):
        return [f"--{name.replace('_', '-')}" for name in names if getattr(options, name) is not None]

    if options.file is None:
        if any(given("column", "time")):
            raise InputError("--column and --time need a file")
        if first := given("id", "target", "freq", "decimal", "future", "cross_validate", "plot_series"):
            raise InputError(f"{first[0]} needs a file")
        if options.dayfirst is not None:
            raise InputError(f"--{'day' if options.dayfirst else 'month'}-first needs a file")
        for name in given("save", "load"):
            raise InputError(f"{name} needs a file with a series: a model is kept for one")
    if options.column and (other := given("id", "target")):
        raise InputError(f"--column takes one series of a file with a column for each, without {other[0]}")
    if options.load:
        for name in given("model", "season", "origins", "units", "epochs", "seed", "cross_validate", "save"):
            raise InputError(f"{name} doesn't go with --load, whose model is fitted already")
    if options.save and len(models) > 1:
        raise InputError(f"--save keeps one model; got {', '.join(models)}")
    if options.future and not options.load and not set(models) & set(WITH_COVARIATES):
        raise InputError(f"--future needs a model that reads it: --model {', '.join(WITH_COVARIATES)}")
    if options.epochs and not set(models) & set(TRAINED):
        raise InputError(f"--epochs needs a model that is trained: --model {_either(TRAINED)}")
    if options.units and not set(models) & set(WITH_UNITS):
        raise InputError(f"--units needs a model with a recurrent layer: --model {_either(WITH_UNITS)}")


def _either(names) -> str:
    """Join names by commas, with "or" before the last one."""
    *first, last = names
    return f"{', '.join(first)} or {last}"
