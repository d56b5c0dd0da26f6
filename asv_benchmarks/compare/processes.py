"""What whole processes cost: until the first result, compiled programs or not, and in memory."""

import functools
import importlib.util
import itertools
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
from benchmarks import sizes
from corpus.explored import EXPLORED
from measuring import EPOCH, SCRIPTS, THREADS, Figures, Settings, section
from writing import beside_others, both, ratios, table, with_ratios

import rnnkit as rk

PACKAGES = {"torch": ("torch",), "jax": ("jax",), "Keras on jax": ("keras", "jax")}  # that others need
PROCESSES = 3


def output(folder: str, *command: str) -> str:
    """Return what a new Python process prints, with compiled programs in `folder`."""
    environment = os.environ | {"RNNKIT_CACHE_DIR": folder, "KERAS_BACKEND": "jax", "OMP_NUM_THREADS": str(THREADS)}
    done = subprocess.run([sys.executable, *command], check=True, env=environment, stdout=subprocess.PIPE, text=True)
    return done.stdout


def present(codes: dict[str, str], settings: Settings) -> dict[str, str]:
    missing = [label for label in codes if not all(map(importlib.util.find_spec, PACKAGES.get(label, ())))]
    for label in missing:
        settings.note(f"{label} was left out: it is not installed.")
    return {label: code for label, code in codes.items() if label not in missing}


def first_results(scripts: str, row: str, settings: Settings) -> Figures:
    """Measure whole processes in turns; what they keep on disk was put there by one run before."""
    with tempfile.TemporaryDirectory() as folder:
        codes = present(SCRIPTS[scripts], settings)
        times: dict[str, list[float]] = {label: [] for label in codes}
        for turn in range(1 + settings.rounds):
            for label, code in codes.items():
                start = time.perf_counter()
                output(folder, "-c", code.format(**EPOCH))
                if turn:
                    times[label].append(time.perf_counter() - start)
    return {row: times}


section("start", beside_others("process", 1))(functools.partial(first_results, "first", "first LSTM"))
section("training-start", beside_others("process", 1))(functools.partial(first_results, "update", "first step"))


@section("compiling", with_ratios("LSTM", 1, {}), processes=PROCESSES)
def compiling(settings: Settings) -> Figures:
    """Measure processes in pairs: the first has to compile, the second finds the program on disk."""
    figures: Figures = {f"{what} on disk": {"first call": [], "whole process": []} for what in ("nothing", "program")}
    for _ in range(min(PROCESSES, settings.rounds)):
        with tempfile.TemporaryDirectory() as folder:
            for times in figures.values():
                start = time.perf_counter()
                times["first call"].append(float(output(folder, "-c", SCRIPTS["compiling"]["rnnkit"])))
                times["whole process"].append(time.perf_counter() - start)
    return figures


KINDS = ("forward", "gradient")
SCRIPT = pathlib.Path(__file__).with_name("first_calls.py")


BESIDE_JAX = {"ratio": lambda times: ratios([times["jax"]] if "jax" in times else [], times["rnnkit"])}


def _write_first(figures: Figures) -> list[str]:
    lines = []
    for kind in KINDS:
        rows = {row.removesuffix(f", {kind}"): times for row, times in figures.items() if row.endswith(kind)}
        lines += ["", *with_ratios(kind, 1, BESIDE_JAX)(rows)]
    return lines[1:]


@section("first", _write_first)
def first_calls(settings: Settings) -> Figures:
    """Measure new processes in turns; libraries have to agree."""
    libraries = present({"rnnkit": "", "jax": ""}, settings)
    figures: Figures = {}
    for name, kind in itertools.product(EXPLORED, KINDS):
        row = figures[f"{name}, {kind}"] = {}
        for _ in range(1 if settings.quick else min(3, settings.rounds)):
            norms = []
            for library in libraries:
                with tempfile.TemporaryDirectory() as folder:
                    found = json.loads(output(folder, str(SCRIPT), name, library, kind))
                row.setdefault(library, []).append(found["seconds"])
                row.setdefault(f"{library}, CPU", []).append(found["cpu"])
                norms.append(found["norms"])
            for other in norms[1:]:
                np.testing.assert_allclose(other, norms[0], rtol=2e-4, atol=1e-5, err_msg=f"{name}, {kind}")
    return figures


LIMIT = 1 << 24  # bytes that "auto" may keep
OURS = {"all saved": ("", None), "checkpoint=1000": ("", 1000), f'"auto", {LIMIT >> 20} MiB': (LIMIT, "'auto'")}
WAYS = {label: SCRIPTS["gradient"]["rnnkit"].format(limit=a, checkpoint=b) for label, (a, b) in OURS.items()}
WAYS["torch"] = SCRIPTS["gradient"]["torch"]


def peaks(ways: dict[str, str], settings: Settings, folder: str, processes: int, **told) -> Figures:
    """Return peaks of new processes, and times of the calls after the first; the ways take turns."""
    if not os.path.exists("/proc/self/clear_refs"):
        settings.note("Memory was left out: this system doesn't tell the peak.")
        return {}
    found: Figures = {label: {"bytes": [], "seconds": []} for label in present(ways, settings)}
    for _ in range(processes):
        for label, numbers in found.items():
            code = SCRIPTS["peak"]["measure"].format(make=ways[label], **told)
            peak, *times = map(float, output(folder, "-c", code).split())
            numbers["bytes"].append(peak)
            numbers["seconds"] += times
    return found


@section("memory", with_ratios("size", 1e-6, {}), processes=PROCESSES)
def memory(settings: Settings) -> Figures:
    rows, steps, *rest = sizes.LONG
    size = (rows, 50_000 if settings.quick else steps, *rest)
    with tempfile.TemporaryDirectory() as folder:
        found = peaks(SCRIPTS["last-output"], settings, folder, PROCESSES, size=size, g=1, few=100, rounds=0)
    return {sizes.text(size): {label: numbers["bytes"] for label, numbers in found.items()}} if found else {}


def _write_checkpoints(figures: Figures) -> list[str]:
    first, scales = next(iter(figures.values())), {"bytes": 1e-6, "seconds": 1e3}
    lines = []
    for way, found in figures.items():
        shown = (both(found[what], scale) for what, scale in scales.items())
        shares = (statistics.median(found[what]) / statistics.median(first[what]) for what in scales)
        lines.append([way, *shown, *(f"{share:.2f}" for share in shares)])
    return table(["saved", "MB", "ms", "memory / all saved", "time / all saved"], lines)


@section("checkpoints", _write_checkpoints, size=sizes.text(sizes.CHECKPOINTS), processes=PROCESSES)
def checkpoints(settings: Settings) -> Figures:
    batch, steps, *rest = sizes.CHECKPOINTS
    told = {"size": (batch, 2000 if settings.quick else steps, *rest), "g": "units", "few": 400}
    folder, processes = str(rk.cache_info()["folder"]), 1 if settings.quick else PROCESSES
    return peaks(WAYS, settings, folder, processes, rounds=min(5, settings.rounds), **told)
