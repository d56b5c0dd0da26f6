"""The command `rnnkit`: forecasts, and what a report of a fault needs to say."""

from __future__ import annotations

import argparse
import os
import sys

from rnnkit.forecast.titles import TITLES

BUNDLED = (("sunspots.csv", 3), ("co2.csv", 12))  # file, horizon
HORIZON = 12
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
    from rnnkit.forecast.series import InputError

    try:
        return _run(_parser().parse_args(arguments))
    except InputError as error:
        print(f"rnnkit: {error}", file=sys.stderr)
        return BAD_INPUT
    except KeyboardInterrupt:
        print("rnnkit: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # What is still buffered has nowhere to go either; Python would complain about it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except OSError as error:
        print(f"rnnkit: {error}", file=sys.stderr)
        return BAD_INPUT


def _parser() -> argparse.ArgumentParser:
    import rnnkit

    parser = argparse.ArgumentParser(prog="rnnkit", description="Recurrent networks from a step in NumPy.")
    parser.add_argument("--version", action="version", version=f"rnnkit {rnnkit.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    forecast = commands.add_parser(
        "forecast",
        help="back-test models on a series, and forecast beyond its end",
        description="Back-test an echo state network, or models that are trained, on a series against naive forecasts, "
        "from origins in its last 30 %%, and forecast beyond its end. Without a file: yearly sunspot numbers and "
        "weekly carbon dioxide.",
    )
    forecast.add_argument("file", nargs="?", metavar="FILE.csv", help="a CSV file; its first line names the columns")
    forecast.add_argument("--column", metavar="NAME", help="the column to forecast")
    forecast.add_argument("--time", metavar="NAME", help="the column of times: numbers or ISO dates, going up")
    forecast.add_argument(
        "--model",
        nargs="+",
        metavar="MODEL",
        help=f"one or several of {', '.join(TITLES)}; the first one is drawn and its forecast shown (default: esn)",
    )
    forecast.add_argument("--horizon", type=_positive, metavar="N", help=f"steps to forecast (default: {HORIZON})")
    forecast.add_argument("--season", type=_season, metavar="N", help="steps of a season (default: found)")
    forecast.add_argument("--origins", type=_positive, metavar="N", help="origins of the back-test (default: up to 40)")
    forecast.add_argument("--units", type=_positive, metavar="N", help="of the recurrent layer (default: the model's)")
    forecast.add_argument(
        "--epochs", type=_positive, metavar="N", help="of training before the first origin (default: 100)"
    )
    forecast.add_argument("--seed", type=_natural, metavar="N", help="of the models' weights (default: 0)")
    forecast.add_argument("--output", metavar="FILE.csv", help="write the forecasts and their bands to a file")
    forecast.add_argument("--plot", metavar="FILE.png", help="draw history, back-test and forecast (needs matplotlib)")
    forecast.add_argument("--save", metavar="FILE.npz", help="keep the model, fitted to the whole series")
    forecast.add_argument("--load", metavar="FILE.npz", help="forecast with a model that was kept, without a back-test")
    commands.add_parser("info", help="versions, threads, cache and extras, for a report of a fault")
    return parser


def _run(options) -> int:
    if options.command == "info":
        from rnnkit.forecast.information import information

        print(information(), flush=True)
        return 0
    print(_forecast(options), flush=True)
    return 0


def _forecast(options) -> str:
    from rnnkit.datasets import FOLDER
    from rnnkit.forecast.picture import check_drawing, draw
    from rnnkit.forecast.series import InputError, read_series
    from rnnkit.forecast.table import forecast_table, heading
    from rnnkit.forecast.writing import check_writable, write_forecasts

    # Whatever can be wrong is looked for before the work, not after it.
    models = _models(options)
    _check_together(options, models)
    for path in filter(None, (options.output, options.plot, options.save)):
        check_writable(path)
    if options.plot:
        check_drawing(options.plot)
    if options.file is None:
        chosen = [(read_series(FOLDER / name), options.horizon or horizon) for name, horizon in BUNDLED]
    else:
        series = read_series(options.file, options.column, options.time)
        chosen = [(series, options.horizon or HORIZON)]
    if options.load:
        from rnnkit.forecast.report import forecast_from_file

        reports, tables = [forecast_from_file(chosen[0][0], options.load)], []
        if options.horizon not in (None, leads := len(reports[0].forecast)):
            raise InputError(f"the model in {options.load} has a horizon of {leads}; got --horizon {options.horizon}")
    else:
        reports, tables = _tested(options, models, chosen)
    if options.output:
        write_forecasts(options.output, reports)
    if options.plot:
        draw(options.plot, reports)
    if options.save:
        from rnnkit.forecast.report import save

        save(options.save, reports[0])
    written = [f"wrote {path}" for path in (options.output, options.plot, options.save) if path]
    return "\n\n".join(["\n".join(map(heading, reports)), *tables, *map(forecast_table, reports), *written])


def _tested(options, models, chosen):
    """An report for each series, from a back-test, and what there is to say of that."""
    from rnnkit.forecast.progress import progress_bar
    from rnnkit.forecast.report import ORIGINS, backtest_and_forecast, check
    from rnnkit.forecast.table import notes, scores_table

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
                    progress=progress,
                    tell=progress.tell,
                )
            )
    return reports, [scores_table(reports), notes(reports)]


def _models(options) -> list[str]:
    """The models asked for, each once; the file's name too may have come behind ``--model``."""
    from rnnkit.forecast.series import InputError

    if options.model is None:
        return ["esn"]
    *first, last = options.model
    if options.file is None and first and last not in TITLES and ("." in last or os.path.exists(last)):
        options.file, options.model = last, first
    names = [name for word in options.model for name in word.split(",") if name]
    if unknown := [name for name in names if name not in TITLES]:
        raise InputError(f"there is no model {unknown[0]!r}; expected one or several of {', '.join(TITLES)}")
    if not names:
        raise InputError(f"--model names none; expected one or several of {', '.join(TITLES)}")
    return list(dict.fromkeys(names))


def _check_together(options, models) -> None:
    """See that options fit together."""
    from rnnkit.forecast.series import InputError

    if options.file is None:
        for name in ("column", "time"):
            if getattr(options, name):
                raise InputError("--column and --time need a file")
        for name in ("save", "load"):
            if getattr(options, name):
                raise InputError(f"--{name} needs a file with a series: a model is kept for one")
    if options.load:
        for name in ("model", "season", "origins", "units", "epochs", "seed", "save"):
            if getattr(options, name) is not None:
                raise InputError(f"--{name} doesn't go with --load, whose model is fitted already")
    if options.save and len(models) > 1:
        raise InputError(f"--save keeps one model; got {', '.join(models)}")
    if options.epochs and models == ["esn"]:
        raise InputError("--epochs needs a model that is trained: --model gru, lstm, rnn or linear")
    if options.units and models == ["linear"]:
        raise InputError("--units needs a model with a recurrent layer: --model esn, gru, lstm or rnn")


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
