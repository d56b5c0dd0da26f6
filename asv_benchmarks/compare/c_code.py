"""A step of exported C, by compiler's flags, beside keras2c's; and how large it is.

Where ``KERAS2C`` names a checkout of its repository, its LSTM is compiled and timed with the weights of ours.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np
from measuring import Figures, Settings, in_turns, section
from writing import both, columns, rows_of

import rnnkit as rk

FEATURES, UNITS, STEPS = 32, 32, 20_000
FLAGS = {"-O3 -march=native": ["-O3", "-march=native"], "-O3": ["-O3"], "-Os": ["-Os"]}
KINDS = {
    "LSTM(32)": (rk.LSTM, {}),
    "LSTM(32), float64": (rk.LSTM, {"dtype": "float64"}),
    "GRU(32)": (rk.GRU, {}),
}
MAIN = str(pathlib.Path(__file__).with_name("step.c"))


def built(kind):
    layer = kind(UNITS, return_sequences=True, seed=0)
    layer.build((None, None, FEATURES))
    return layer


def compiler(folder, *arguments) -> None:
    command = [os.environ.get("CC", "cc"), "-std=c99", "-D_POSIX_C_SOURCE=199309L", "-I."]
    subprocess.run([*command, *arguments], cwd=folder, check=True)


def compiled(folder, *arguments) -> dict:
    """Return by flags a call of a program that gives the seconds of a step, and a number of its output."""
    calls = {}
    for i, (told, flags) in enumerate(FLAGS.items()):
        compiler(folder, *flags, f"-DSTEPS={STEPS}", "-o", f"run_{i}", MAIN, *arguments, "-lm")
        calls[told] = lambda path=folder / f"run_{i}": [*map(float, printed(path).split())]
    return calls


def printed(*command) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def ours(folder, kind, keywords) -> tuple[dict, dict]:
    rk.export_c(built(kind), folder, "layer", **keywords)
    real = "double" if keywords.get("dtype") == "float64" else "float"
    sizes = {}
    for name, file in (("code, bytes at -Os", "layer"), ("weights, bytes", "layer_weights")):
        compiler(folder, "-Os", "-c", f"{file}.c")
        text, data = printed("size", folder / f"{file}.o").splitlines()[1].split()[:2]
        sizes[name] = [float(text) + float(data)]
    return compiled(folder, f"-DREAL={real}", "layer.c", "layer_weights.c"), sizes


def keras2c(folder, checkout) -> dict:
    """Return the programs of keras2c's LSTM with our weights, which it has gate by gate."""
    kernel, recurrent, bias = built(rk.LSTM).get_weights()
    lines = []
    for name, array in {"kernel": kernel, "recurrent_kernel": recurrent, "bias": bias[None]}.items():
        gates = np.concatenate(np.split(array, 4, axis=1)).reshape(-1)
        lines.append(f"static float {name}[] = {{{', '.join(f'{value:.8e}f' for value in gates)}}};")
    (folder / "weights.h").write_text("\n".join(lines), encoding="utf-8")
    include = pathlib.Path(checkout).resolve() / "include"
    sizes = ["-DKERAS2C", f"-I{include}", f"-DFEATURES={FEATURES}", f"-DUNITS={UNITS}"]
    return compiled(folder, *sizes, *map(str, sorted(include.glob("*.c"))))


def _write(figures: Figures) -> list[str]:
    shown = lambda label, numbers: f"{numbers[0]:,.0f}" if "bytes" in label else both(numbers, 1e9)
    cells = {one: lambda _, found, one=one: shown(one, found[one]) if one in found else "" for one in columns(figures)}
    return rows_of("step", cells)(figures)


@section("c", _write, features=FEATURES, units=UNITS)
def measure(settings: Settings) -> Figures:
    if shutil.which(os.environ.get("CC", "cc")) is None:
        settings.note("Nothing was measured: there is no C compiler.")
        return {}
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as place:
        for i, (told, (kind, keywords)) in enumerate(KINDS.items()):
            runs, sizes = ours(pathlib.Path(place, str(i)), kind, keywords)
            figures[told] = in_turns(runs, settings.rounds, lambda run: run()[0]) | sizes
            if told == "LSTM(32)":
                value = runs["-O3"]()[1]
        if checkout := os.environ.get("KERAS2C"):
            runs = keras2c(pathlib.Path(place), checkout)
            assert abs(runs["-O3"]()[1] - value) < 1e-5, "keras2c computes something else"
            figures["LSTM(32), keras2c's C"] = in_turns(runs, settings.rounds, lambda run: run()[0])
        else:
            settings.note("keras2c was not measured: `KERAS2C` names no checkout of it.")
    return figures
