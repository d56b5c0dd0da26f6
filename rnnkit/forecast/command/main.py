"""The command `rnnkit`: forecasts, and information for reports of faults."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial

from rnnkit.console import printable
from rnnkit.forecast.command import HORIZON, WINDOWS
from rnnkit.forecast.registry import TITLES, WITH_COVARIATES

BAD_INPUT, INTERRUPTED, CLOSED_PIPE = 2, 130, 141  # 128 + the signal's number, as shells say


def main(arguments: list[str] | None = None) -> int:
    """Run the command with these arguments, by default those of the process, and return its exit status.

    The status is 0; 2 for invalid input; 130 after Ctrl-C; 141 if the output's reader has closed it.
    """
    # The matrices here are small, and BLAS threads waiting for busy cores cost more than they save.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from rnnkit.forecast.data.csv_files import InputError

    try:
        options = _parser().parse_args(arguments)
        if options.command == "info":
            from rnnkit.information import information

            print(information(), flush=True)
        else:
            from rnnkit.forecast.command.run import forecast

            print(printable(forecast(options), kept="\n"), flush=True)
        return 0
    except KeyboardInterrupt:
        print("rnnkit: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Discard the buffered output too; otherwise Python reports an error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return CLOSED_PIPE
    except (InputError, OSError) as error:
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

    group = forecast.add_argument_group("data", "By default found out from the file.")
    data = group.add_argument
    data("--id", metavar="NAME", help="the column that says of which series a row is")
    data("--time", metavar="NAME", help="the column of times: numbers or dates")
    data("--target", metavar="NAME", help="the column of values")
    data("--column", metavar="NAME", help="take one series of a file with a column for each")
    data("--freq", metavar="F", help="from one step to the next, as pandas or polars says it: D, W, MS, 1mo")
    order = group.add_mutually_exclusive_group().add_argument
    order("--day-first", dest="dayfirst", action="store_const", const=True, help="1/2/2001 is a day of February")
    order("--month-first", dest="dayfirst", action="store_const", const=False, help="1/2/2001 is a day of January")
    data(
        "--future",
        metavar="FILE",
        help="what is known ahead: the columns of ids and times, and some of the other columns of the series' file, at "
        f"each step to forecast; for {', '.join(WITH_COVARIATES)}",
    )
    data("--decimal", choices=[".", ","], metavar="MARK", help="of decimals in numbers: . or ,")

    models = forecast.add_argument_group("models").add_argument
    models(
        "--model",
        nargs="+",
        metavar="MODEL",
        help=f"one or several of {', '.join(TITLES)}; the first one is drawn and its forecast shown (default: auto)",
    )
    models("--horizon", type=_positive, metavar="N", help=f"steps to forecast (default: {HORIZON})")
    models("--season", type=_seasons, metavar="N[,N]", help="steps of a season, or of several (default: found)")
    models(
        "--level",
        nargs="+",
        metavar="P",
        help="percentages of the bands (default: 80); with several of them, one series has the cross-validation of "
        "several",
    )
    models(
        "--cross-validate",
        type=_natural,
        metavar="N",
        help="windows of one horizon at the ends of the series to test the models on; 0 for none (default: "
        f"{WINDOWS} for several series, and for one that is too short for the back-test). One series then has these in "
        "place of the back-test",
    )
    models("--origins", type=_positive, metavar="N", help="origins of the back-test of one series (default: up to 40)")
    models("--units", type=_positive, metavar="N", help="of the recurrent layer (default: the model's)")
    models("--epochs", type=_positive, metavar="N", help="of training before the first origin (default: the model's)")
    models("--seed", type=_natural, metavar="N", help="of the models' weights (default: 0)")

    output = forecast.add_argument_group("output").add_argument
    output("--output", metavar="FILE", help="write the forecasts and their bands: .csv, .csv.gz or .parquet")
    output("--plot", metavar="FILE.png", help="draw history, test and forecast (needs matplotlib)")
    output(
        "--plot-series",
        type=_positive,
        metavar="N",
        help="of several series draw so many, from the best to the worst (default: 9)",
    )
    output("--save", metavar="FILE.npz", help="keep the first model as it was fitted")
    output("--load", metavar="FILE.npz", help="forecast with a model that was kept, without a fit or a test")
    commands.add_parser("info", help="versions, threads, cache and extras, for a report of a fault")
    return parser


def _at_least(least, text) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}; got {text!r}")
    return number


_natural, _positive = (partial(_at_least, least) for least in (0, 1))


def _seasons(text) -> list[int]:
    return sorted({_at_least(2, one) for one in text.split(",")})


if __name__ == "__main__":
    sys.exit(main())
