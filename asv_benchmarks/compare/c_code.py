"""A step of exported C, by compiler's flags, beside keras2c's; and how large it is.

keras2c itself takes TensorFlow. What its generated code calls is plain C: where ``KERAS2C`` names a checkout of its
repository, its LSTM is compiled and timed with the weights of ours.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

import numpy as np
from section import Section
from timing import Figures, Settings, in_turns
from writing import both, columns, table

import rnnkit as rk

FEATURES, UNITS, STEPS = 32, 32, 20_000
FLAGS = {"-O3 -march=native": ["-O3", "-march=native"], "-O3": ["-O3"], "-Os": ["-Os"]}
KINDS = {
    "LSTM(32)": (rk.LSTM, {}),
    "LSTM(32), int8 weights": (rk.LSTM, {"weights": "int8"}),
    "LSTM(32), float64": (rk.LSTM, {"dtype": "float64"}),
    "GRU(32)": (rk.GRU, {}),
}
CLOCK = """#include <stdio.h>
#include <time.h>
static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
"""
OURS = """
#include "layer.h"
static layer_state state;
static REAL x[LAYER_X], y[LAYER_Y];
int main(void)
{
    layer_reset(&state);
    for (int i = 0; i < LAYER_X; ++i) { x[i] = (REAL)0.01 * i; }
    const double start = now();
    for (int i = 0; i < STEPS; ++i) { layer_step(&state, x, y); x[0] = y[3]; }
    printf("%.9g %.7g\\n", (now() - start) / STEPS, (double)y[0]);
    return 0;
}
"""
KERAS2C = """
#include "k2c_include.h"
#include "weights.h"
static float x[FEATURES], state[2 * UNITS], work[8 * UNITS];
static k2c_tensor made(float *array, size_t rows, size_t columns)
{
    k2c_tensor t = {array, 2, rows * columns, {rows, columns, 1, 1, 1}};
    return t;
}
int main(void)
{
    k2c_tensor w = made(kernel, 4 * FEATURES, UNITS), u = made(recurrent_kernel, 4 * UNITS, UNITS);
    k2c_tensor b = made(bias, 4 * UNITS, 1);
    for (int i = 0; i < FEATURES; ++i) { x[i] = 0.01f * (float)i; }
    const double start = now();
    for (int i = 0; i < STEPS; ++i) {
        k2c_lstmcell(state, x, &w, &u, &b, work, k2c_sigmoid, k2c_tanh);
        x[0] = state[3];
    }
    printf("%.9g %.7g\\n", (now() - start) / STEPS, (double)state[0]);
    return 0;
}
"""


def built(kind):
    """A layer with weights that are always the same."""
    layer = kind(UNITS, return_sequences=True, seed=0)
    layer.build((None, None, FEATURES))
    return layer


def compiled(folder, flags, sources, name, defines=()):
    """A program that prints the seconds of a step, and a number of its output."""
    command = [os.environ.get("CC", "cc"), "-std=c99", "-D_POSIX_C_SOURCE=199309L", f"-DSTEPS={STEPS}", *defines]
    subprocess.run([*command, *flags, "-o", name, *sources, "-lm"], cwd=folder, check=True)
    return [str(folder / name)]


def printed(command) -> list[float]:
    """What the program says."""
    return [float(word) for word in subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()]


def ours(folder, kind, keywords):
    """Programs by their flags, and the sizes of code and weights at -Os."""
    rk.export_c(built(kind), folder, "layer", **keywords)
    (folder / "main.c").write_text(CLOCK + OURS, encoding="utf-8")
    real = "-DREAL=double" if keywords.get("dtype") == "float64" else "-DREAL=float"
    sources = ["main.c", "layer.c", "layer_weights.c"]
    programs = {
        told: compiled(folder, flags, sources, f"run_{i}", [real]) for i, (told, flags) in enumerate(FLAGS.items())
    }
    sizes = {}
    for name, file in (("code, bytes at -Os", "layer"), ("weights, bytes", "layer_weights")):
        subprocess.run([os.environ.get("CC", "cc"), "-std=c99", "-Os", "-c", f"{file}.c"], cwd=folder, check=True)
        text, data = size_of(folder / f"{file}.o")
        sizes[name] = [float(text + data)]
    return programs, sizes


def size_of(path) -> tuple[int, int]:
    """Bytes of code and constants, and of other data, in an object file."""
    found = subprocess.run(["size", path], check=True, capture_output=True, text=True).stdout.splitlines()[1].split()
    return int(found[0]), int(found[1])


def keras2c(folder, checkout):
    """The program of keras2c's LSTM with our weights, which it has gate by gate."""
    kernel, recurrent, bias = built(rk.LSTM).get_weights()
    arrays = {"kernel": kernel, "recurrent_kernel": recurrent, "bias": bias[None]}
    lines = []
    for name, array in arrays.items():
        gates = np.concatenate(np.split(array, 4, axis=1)).reshape(-1)
        lines.append(f"static float {name}[] = {{{', '.join(f'{value:.8e}f' for value in gates)}}};")
    (folder / "weights.h").write_text("\n".join(lines), encoding="utf-8")
    (folder / "keras2c.c").write_text(CLOCK + KERAS2C, encoding="utf-8")
    include = pathlib.Path(checkout) / "include"
    sources = ["keras2c.c", *map(str, sorted(include.glob("*.c")))]
    sizes = [f"-I{include}", f"-DFEATURES={FEATURES}", f"-DUNITS={UNITS}"]
    return {
        told: compiled(folder, [*flags, *sizes], sources, f"keras2c_{i}")
        for i, (told, flags) in enumerate(FLAGS.items())
    }


def measure(settings: Settings) -> Figures:
    """Seconds of a step by kind and flags, and bytes."""
    if shutil.which(os.environ.get("CC", "cc")) is None:
        settings.note("Nothing was measured: there is no C compiler.")
        return {}
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as place:
        for i, (told, (kind, keywords)) in enumerate(KINDS.items()):
            folder = pathlib.Path(place) / str(i)
            programs, sizes = ours(folder, kind, keywords)
            runs = {flags: (lambda command=command: printed(command)) for flags, command in programs.items()}
            figures[told] = in_turns(runs, settings.rounds, lambda run: run()[0]) | sizes
            if told == "LSTM(32)":
                value = printed(programs["-O3 -march=native"])[1]
        if checkout := os.environ.get("KERAS2C"):
            programs = keras2c(pathlib.Path(place), checkout)
            assert abs(printed(programs["-O3"])[1] - value) < 1e-5, "keras2c computes something else"
            runs = {flags: (lambda command=command: printed(command)) for flags, command in programs.items()}
            figures["LSTM(32), keras2c's C"] = in_turns(runs, settings.rounds, lambda run: run()[0])
        else:
            settings.note("keras2c was not measured: `KERAS2C` names no checkout of it.")
    return figures


def write(figures: Figures) -> list[str]:
    """A table: nanoseconds, and bytes."""
    labels = columns(figures)
    rows = [
        [told, *("" if label not in found else shown(label, found[label]) for label in labels)]
        for told, found in figures.items()
    ]
    return table(["step", *labels], rows)


def shown(label, numbers) -> str:
    """Nanoseconds as minimum / median, or bytes."""
    return f"{numbers[0]:,.0f}" if "bytes" in label else both(numbers, 1e9)


SECTIONS = {
    "c": Section(
        "A step in C",
        f"Nanoseconds for one step of one sequence, {FEATURES} features and {UNITS} units, in the C that "
        "`rk.export_c` writes, float32 unless a row says otherwise; and bytes of code and weights.",
        measure,
        write,
    )
}
