"""The command `rnnkit`: forecasts, and what a report of a fault needs to say."""

from __future__ import annotations

import argparse
import os
import sys

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
        help="back-test an echo state network on a series, and forecast beyond its end",
        description="Back-test an echo state network on a series against naive forecasts, from origins in its last "
        "30 %%, and forecast beyond its end. Without a file: yearly sunspot numbers and weekly carbon dioxide.",
    )
    forecast.add_argument("file", nargs="?", metavar="FILE.csv", help="a CSV file; its first line names the columns")
    forecast.add_argument("--column", metavar="NAME", help="the column to forecast")
    forecast.add_argument("--time", metavar="NAME", help="the column of times: numbers or ISO dates, going up")
    forecast.add_argument("--horizon", type=_positive, metavar="N", help=f"steps to forecast (default: {HORIZON})")
    forecast.add_argument("--season", type=_season, metavar="N", help="steps of a season (default: found)")
    forecast.add_argument("--origins", type=_positive, metavar="N", help="origins of the back-test (default: up to 40)")
    forecast.add_argument("--seed", type=_natural, default=0, metavar="N", help="of the network's weights (default: 0)")
    forecast.add_argument("--output", metavar="FILE.csv", help="write the forecasts and their bands to a file")
    forecast.add_argument("--plot", metavar="FILE.png", help="draw history, back-test and forecast (needs matplotlib)")
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
    from rnnkit.forecast.outlook import ORIGINS, check, look_ahead
    from rnnkit.forecast.picture import check_drawing, draw
    from rnnkit.forecast.progress import progress_bar
    from rnnkit.forecast.series import InputError, read_series
    from rnnkit.forecast.table import NOTES, forecast_table, heading, scores_table
    from rnnkit.forecast.writing import check_writable, write_forecasts

    # Whatever can be wrong is looked for before the work, not after it.
    for path in filter(None, (options.output, options.plot)):
        check_writable(path)
    if options.plot:
        check_drawing(options.plot)
    if options.file is None:
        if options.column or options.time:
            raise InputError("--column and --time need a file")
        chosen = [(read_series(FOLDER / name), options.horizon or horizon) for name, horizon in BUNDLED]
    else:
        series = read_series(options.file, options.column, options.time)
        chosen = [(series, options.horizon or HORIZON)]
    for series, horizon in chosen:
        check(series, horizon, options.season, options.origins)

    outlooks = []
    with progress_bar(len(chosen) * (options.origins or ORIGINS), "back-test") as progress:
        for series, horizon in chosen:
            outlooks.append(
                look_ahead(
                    series,
                    horizon,
                    season=options.season,
                    origins=options.origins,
                    seed=options.seed,
                    progress=progress,
                )
            )
    if options.output:
        write_forecasts(options.output, outlooks)
    if options.plot:
        draw(options.plot, outlooks)
    tables = [scores_table(outlooks), *map(forecast_table, outlooks)]
    written = [f"wrote {path}" for path in (options.output, options.plot) if path]
    return "\n\n".join(["\n".join(map(heading, outlooks)), tables[0], NOTES, *tables[1:], *written])


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
