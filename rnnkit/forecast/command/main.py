"""The command `rnnkit`: forecasts, and what a report of a fault needs to say."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial

from rnnkit.console import printable
from rnnkit.forecast.models.known import GLOBAL, PANEL, TITLES, TRAINED, WITH_COVARIATES, WITH_UNITS

BUNDLED = (("sunspots.csv", 3), ("co2.csv", 12))  # file, horizon
HORIZON = 12
WINDOWS = 1
BAD_INPUT, INTERRUPTED, CLOSED_PIPE = 2, 130, 141  # 128 + the signal's number, as shells say


def main(arguments: list[str] | None = None) -> int:
    """Run the command.

    Parameters
    ----------
    arguments : list of str, optional
        Those of the process by default.

    Returns
    -------
    int
        0; 2 where the input can't be used, after one line on standard error; 130 after Ctrl-C; 141 where nobody reads
        the output any more.
    """
    # The matrices here are small, and BLAS threads that wait for a busy core cost more than they bring.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from rnnkit.forecast.data.series import InputError

    try:
        return _run(_parser().parse_args(arguments))
    except InputError as error:
        print(f"rnnkit: {printable(str(error))}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("rnnkit: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # What is still buffered has nowhere to go either; Python would complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except OSError as error:
        print(f"rnnkit: {printable(str(error))}", file=sys.stderr)
        return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    from rnnkit.version import __version__

    parser = argparse.ArgumentParser(prog="rnnkit", description="Recurrent networks from a step in NumPy.")
    parser.add_argument("--version", action="version", version=f"rnnkit {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    forecast = commands.add_parser(
        "forecast",
        help="forecast the series of a file, and test how well that works",
        description="Forecast the series of a file, and test the models on their past. One series has a back-test "
        "against naive forecasts, from origins in its last 30 %. Several series, with a column of ids or a column for "
        "each, have a cross-validation on their last steps. Without a file: yearly sunspot numbers and weekly carbon "
        "dioxide.",
    )
    forecast.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        help="CSV, CSV in gzip (.gz) or Parquet; the first line of CSV names the columns",
    )

    data = forecast.add_argument_group("data", "By default found out from the file.")
    data.add_argument("--id", metavar="NAME", help="the column that says of which series a row is")
    data.add_argument("--time", metavar="NAME", help="the column of times: numbers or dates")
    data.add_argument("--target", metavar="NAME", help="the column of values")
    data.add_argument("--column", metavar="NAME", help="take one series of a file with a column for each")
    data.add_argument(
        "--freq", metavar="F", help="from one step to the next, as pandas or polars says it: D, W, MS, 1mo"
    )
    order = data.add_mutually_exclusive_group()
    order.add_argument(
        "--day-first", dest="dayfirst", action="store_const", const=True, help="1/2/2001 is a day of February"
    )
    order.add_argument(
        "--month-first", dest="dayfirst", action="store_const", const=False, help="1/2/2001 is a day of January"
    )
    data.add_argument(
        "--future",
        metavar="FILE",
        help="what is known ahead: the columns of ids and times, and some of the other columns of the series' file, at "
        f"each step to forecast; for {', '.join(WITH_COVARIATES)}",
    )
    data.add_argument("--decimal", choices=[".", ","], metavar="MARK", help="of decimals in numbers: . or ,")

    models = forecast.add_argument_group("models")
    models.add_argument(
        "--model",
        nargs="+",
        metavar="MODEL",
        help=f"one or several of {', '.join(TITLES)}; the first one is drawn and its forecast shown (default: auto). "
        f"Several series take {', '.join(PANEL)}; {', '.join(GLOBAL)} are one network for all of them",
    )
    models.add_argument("--horizon", type=_positive, metavar="N", help=f"steps to forecast (default: {HORIZON})")
    models.add_argument("--season", type=_season, metavar="N", help="steps of a season (default: found)")
    models.add_argument(
        "--level",
        nargs="+",
        metavar="P",
        help="percentages of the bands (default: 80); with several of them, one series has the cross-validation of "
        "several",
    )
    models.add_argument(
        "--cross-validate",
        type=_natural,
        metavar="N",
        help="windows of one horizon at the ends of the series to test the models on; 0 for none (default: "
        f"{WINDOWS} for several series). One series then has these in place of the back-test",
    )
    models.add_argument(
        "--origins", type=_positive, metavar="N", help="origins of the back-test of one series (default: up to 40)"
    )
    models.add_argument("--units", type=_positive, metavar="N", help="of the recurrent layer (default: the model's)")
    models.add_argument(
        "--epochs", type=_positive, metavar="N", help="of training before the first origin (default: the model's)"
    )
    models.add_argument("--seed", type=_natural, metavar="N", help="of the models' weights (default: 0)")

    output = forecast.add_argument_group("output")
    output.add_argument(
        "--output", metavar="FILE", help="write the forecasts and their bands: .csv, .csv.gz or .parquet"
    )
    output.add_argument("--plot", metavar="FILE.png", help="draw history, test and forecast (needs matplotlib)")
    output.add_argument(
        "--plot-series",
        type=_positive,
        metavar="N",
        help="of several series draw so many, from the best to the worst (default: 9)",
    )
    output.add_argument("--save", metavar="FILE.npz", help="keep the first model as it was fitted")
    output.add_argument(
        "--load", metavar="FILE.npz", help="forecast with a model that was kept, without a fit or a test"
    )
    commands.add_parser("info", help="versions, threads, cache and extras, for a report of a fault")
    return parser


def _run(options) -> int:
    if options.command == "info":
        from rnnkit.forecast.command.information import information

        print(information(), flush=True)
        return 0
    print(printable(_forecast(options), kept="\n"), flush=True)
    return 0


def _forecast(options) -> str:
    from rnnkit.datasets import FOLDER
    from rnnkit.forecast.command.picture import check_drawing
    from rnnkit.forecast.command.writing import check_table, check_writable
    from rnnkit.forecast.data.frames import SeriesFrame
    from rnnkit.forecast.data.series import InputError, read_series
    from rnnkit.forecast.models.registry import read_kept

    # Whatever can be wrong is looked for before the work, not after it.
    models, levels = _models(options), _levels(options)
    _check_together(options, models)
    if options.output:
        check_table(options.output)
    for path in filter(None, (options.plot, options.save)):
        check_writable(path)
    if options.plot:
        check_drawing(options.plot)
    if options.file is None:
        return _of_series(
            options, models, levels, [(read_series(FOLDER / name), options.horizon or h) for name, h in BUNDLED]
        )
    kept = read_kept(options.load) if options.load else None
    if kept is not None and options.future and not getattr(kept[0], "future_covariates", ()):
        raise InputError(f"the model in {options.load} reads nothing of --future")
    data = _read(options, models, levels, kept)
    if isinstance(data, SeriesFrame):
        return _of_panel(options, models, levels, data, kept)
    return _of_series(options, models, levels, [(data, options.horizon or HORIZON)])


def _read(options, models, levels, kept):
    """One series, or a frame: of several, for windows of a cross-validation, or for a model that was kept for one."""
    from rnnkit.forecast.command.inputs import read_input
    from rnnkit.forecast.data.frames import SeriesFrame
    from rnnkit.forecast.data.series import InputError
    from rnnkit.forecast.models.forecaster import Forecaster

    if kept is None:
        several = len(levels or ()) > 1 and set(models) <= set(PANEL)
        framed = options.cross_validate is not None or options.future is not None or several
    else:
        framed = isinstance(kept[0], Forecaster) and kept[0]._fitted_history().frame is not None
    freq = int(options.freq) if options.freq and options.freq.isdecimal() else options.freq
    data = read_input(
        options.file,
        options.column,
        options.id,
        options.time,
        options.target,
        freq,
        options.dayfirst,
        options.decimal,
        framed,
    )
    if kept is not None and not framed and isinstance(data, SeriesFrame):
        raise InputError(
            f"the model in {options.load} takes one series; {options.file} has {len(data)}: choose one with --column"
        )
    return data


def _of_series(options, models, levels, chosen) -> str:
    """Back-tests and forecasts of series one by one."""
    from rnnkit.forecast.command.picture import draw
    from rnnkit.forecast.command.report import forecast_from_file, save
    from rnnkit.forecast.command.table import forecast_table, heading
    from rnnkit.forecast.command.writing import write_forecasts
    from rnnkit.forecast.data.series import InputError

    if len(levels or ()) > 1:
        raise InputError("--level takes one percentage for the back-test of one series")
    if options.load:
        level = levels[0] if levels else None
        reports, tables = [forecast_from_file(chosen[0][0], options.load, options.horizon, level)], []
    else:
        reports, tables = _tested(options, models, levels, chosen)
    if options.output:
        write_forecasts(options.output, reports)
    if options.plot:
        draw(options.plot, reports)
    if options.save:
        save(options.save, reports[0])
    return "\n\n".join(["\n".join(map(heading, reports)), *tables, *map(forecast_table, reports), *_written(options)])


def _tested(options, models, levels, chosen):
    """An report for each series, from a back-test, and what there is to say of that."""
    from rnnkit.callbacks.stages import progress_bar
    from rnnkit.forecast.command.report import LEVEL, ORIGINS, backtest_and_forecast, check
    from rnnkit.forecast.command.table import notes, scores_table

    for series, horizon in chosen:
        check(series, horizon, options.season, options.origins)
    reports = []
    with progress_bar(len(chosen) * (options.origins or ORIGINS), "back-test") as progress:
        for series, horizon in chosen:
            reports.append(
                backtest_and_forecast(
                    series,
                    horizon,
                    models=models,
                    season=options.season,
                    origins=options.origins,
                    seed=options.seed or 0,
                    units=options.units,
                    epochs=options.epochs,
                    level=levels[0] if levels else LEVEL,
                    progress=progress,
                    tell=progress.tell,
                )
            )
    return reports, [scores_table(reports), notes(reports)]


def _of_panel(options, models, levels, frame, kept) -> str:
    """A cross-validation and forecasts of several series together."""
    from rnnkit.forecast.command.panel_table import panel_forecasts, panel_heading, panel_scores
    from rnnkit.forecast.command.panels import forecast_kept, keep
    from rnnkit.forecast.command.picture import draw_panel
    from rnnkit.forecast.command.writing import write_panel

    name = os.path.basename(options.file)
    if kept is None:
        report = _validated(options, models, levels, frame, name)
    else:
        forecaster, saved = kept
        read = partial(_future, options, frame, needed=forecaster.future_covariates) if options.future else None
        report = forecast_kept(frame, options.load, forecaster, saved, options.horizon, levels, read)
    if options.output:
        write_panel(options.output, report)
    if options.plot:
        draw_panel(options.plot, report, options.plot_series or 9)
    if options.save:
        keep(options.save, report)
    tested = [panel_scores(report)] if report.windows else []
    return "\n\n".join([panel_heading(report, name), *tested, panel_forecasts(report), *_written(options)])


def _validated(options, models, levels, frame, name):
    """A report on a panel. Ctrl-C prints the windows that are done."""
    from dataclasses import replace

    from rnnkit.callbacks.stages import progress_bar
    from rnnkit.forecast.command.panel_table import panel_heading, panel_scores
    from rnnkit.forecast.command.panels import begun, check_panel, cross_validated, forecast
    from rnnkit.forecast.data.series import InputError

    if single := [model for model in models if model not in PANEL]:
        raise InputError(
            f"--model {single[0]} takes one series for now (--column), and a back-test rather than --cross-validate; "
            f"several series take {', '.join(PANEL)}"
        )
    if options.origins:
        raise InputError("--origins is for the back-test of one series; several series have --cross-validate")
    horizon = options.horizon or HORIZON
    check_panel(frame, options.file, horizon, options.cross_validate)
    future = _future(options, frame, horizon) if options.future else {}
    windows = WINDOWS if options.cross_validate is None else options.cross_validate
    report = begun(
        frame,
        models,
        horizon,
        windows=windows,
        season=options.season,
        levels=levels or [80.0],
        seed=options.seed,
        units=options.units,
        epochs=options.epochs,
        future=future,
    )
    try:
        with progress_bar((windows + 1) * len(models), "forecast") as progress:
            for window in cross_validated(report, progress):
                report.windows.append(window)
            return replace(report, columns=forecast(report, progress))
    except KeyboardInterrupt:
        if report.windows:
            print(printable(f"{panel_heading(report, name)}\n\n{panel_scores(report)}", kept="\n"), flush=True)
        raise
    except (ValueError, FloatingPointError) as error:
        raise InputError(f"{options.file}: {error}") from error


def _future(options, frame, horizon, needed=None):
    """What is known of so many steps ahead."""
    from rnnkit.forecast.command.inputs import read_future

    return read_future(options.future, frame, horizon, options.dayfirst, options.decimal, needed)


def _written(options) -> list[str]:
    return [f"wrote {path}" for path in (options.output, options.plot, options.save) if path]


def _models(options) -> list[str]:
    """The models asked for, each once."""
    from rnnkit.forecast.data.series import InputError

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
    """The percentages asked for, in order."""
    from rnnkit.forecast.data.csv_files import parsed
    from rnnkit.forecast.data.series import InputError

    if options.level is None:
        return None
    options.level = _without_file(options, options.level, lambda word: parsed(word) is not None)
    found = []
    for word in options.level:
        number = parsed(word)
        if number is None or not 0 < number < 100:
            raise InputError(f"expected --level as percentages between 0 and 100, such as 80 95; got {word!r}")
        found.append(number)
    return sorted(set(found))


def _without_file(options, words, is_one) -> list[str]:
    """The words behind an option that takes several of them, without the file's name, which may have come last."""
    *first, last = words
    if options.file is None and first and not is_one(last) and ("." in last or os.path.exists(last)):
        options.file = last
        return first
    return words


def _check_together(options, models) -> None:
    """See that options fit together."""
    from rnnkit.forecast.data.series import InputError

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
    """Names with "or" before the last one."""
    *first, last = names
    return f"{', '.join(first)} or {last}"


def _positive(text) -> int:
    return _at_least(1, text)


def _season(text) -> int:
    return _at_least(2, text)


def _natural(text) -> int:
    return _at_least(0, text)


def _at_least(least, text) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}; got {text!r}")
    return number


if __name__ == "__main__":
    sys.exit(main())
