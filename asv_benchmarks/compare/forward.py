"""Set rnnkit's forward pass beside other libraries, all in one run, and print a table in Markdown.

    python -m pip install -r asv_benchmarks/compare/requirements.txt
    python asv_benchmarks/compare/forward.py [--rounds 9] [--cells LSTM gated] [--quick] [--output docs/performance.md]

Every library gets the same weights and input, float32, two threads, and gives all outputs, which have to agree. They
take turns: each round times each library once, so that a machine that changes its pace changes it for all.
"""

import argparse
import datetime
import importlib.metadata
import math
import os
import pathlib
import platform
import statistics
import sys
import time

THREADS = 2
if hasattr(os, "sched_setaffinity"):  # before anything makes its threads: some libraries take all CPUs they see
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:THREADS])

import numpy as np  # noqa: E402
import peers  # noqa: E402
import problems  # noqa: E402

import rnnkit as rk  # noqa: E402


def seconds(run, at_least: float = 0.02) -> float:
    """Time one call, over as many calls as fill `at_least` seconds."""
    calls, start = 0, time.perf_counter()
    while True:
        run()
        calls += 1
        passed = time.perf_counter() - start
        if passed >= at_least:
            return passed / calls


def runners(problem: problems.Problem, notes: list[str]) -> dict:
    """Give every library's runner for this problem, rnnkit first, each checked against rnnkit's outputs."""
    expected = problem.layer(problem.x).swapaxes(0, 1)
    found = {"rnnkit": lambda: problem.layer(problem.x)}
    for peer in peers.ALL:
        try:
            theirs = peer(problem, THREADS)
        except ImportError as missing:
            note = f"{peer.__name__} was left out: {missing}"
            if note not in notes:
                notes.append(note)
            continue
        for label, run in theirs.items():
            np.testing.assert_allclose(
                np.asarray(run()), expected, rtol=0, atol=2e-4, err_msg=f"{label} {problem.cell}"
            )
            found[label] = run
    return found


def measure(cell: str, size: tuple, rounds: int, notes: list[str]) -> dict[str, list[float]]:
    """Time every library in turn, `rounds` times."""
    found = runners(problems.make(cell, size), notes)
    times: dict[str, list[float]] = {label: [] for label in found}
    for _ in range(rounds):
        for label, run in found.items():
            time.sleep(0.03)  # threads of the one before may still be spinning
            run()
            times[label].append(seconds(run))
    return times


def row(size: tuple, times: dict[str, list[float]], labels: list[str]) -> tuple[str, float]:
    """One line of the table, in milliseconds, and the ratio of the best peer's median to rnnkit's."""
    best = {label: min(t) for label, t in times.items()}
    middle = {label: statistics.median(t) for label, t in times.items()}
    others = [label for label in times if label != "rnnkit"]
    ratios = [min((kind[label] for label in others), default=math.nan) / kind["rnnkit"] for kind in (best, middle)]
    cells = [f"{1e3 * best[label]:.3g} / {1e3 * middle[label]:.3g}" if label in times else "" for label in labels]
    return f"| {', '.join(map(str, size))} | {' | '.join(cells)} | {ratios[0]:.2f} / {ratios[1]:.2f} |", ratios[1]


def machine() -> str:
    """The processor's name and the versions of all that took part."""
    name = platform.processor() or platform.machine()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    versions = [f"Python {platform.python_version()}", f"rnnkit {rk.__version__}"]
    for package in ("numba", "numpy", "onnxruntime", "torch", "jax", "keras"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{name}, {THREADS} threads; {', '.join(versions)}; {datetime.date.today().isoformat()}."


def main() -> None:
    """Measure what the command line asks for and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cells", nargs="+", choices=list(problems.CELLS), default=list(problems.CELLS))
    parser.add_argument("--quick", action="store_true", help="the two smallest batches of sizes only")
    parser.add_argument("--output", type=pathlib.Path, help="write the page here as well as to standard output")
    options = parser.parse_args()
    rk.set_num_threads(THREADS)
    notes: list[str] = []
    page = [
        "# Performance",
        "",
        "The forward pass with all outputs, float32, in milliseconds per call: minimum / median over",
        f"{options.rounds} rounds in which the libraries took turns. Each had the same weights and input, and gave the",
        "same outputs. The last column is the fastest other library's time over rnnkit's: above 1, rnnkit is ahead.",
        "Sizes are batch, time, features, units; *gated* is a cell of one's own, with one gate.",
        "",
        machine(),
        "",
        "Written by `python asv_benchmarks/compare/forward.py --output docs/performance.md`.",
    ]
    for cell in options.cells:
        measured = {}
        for size in problems.SIZES[:4] if options.quick else problems.SIZES:
            print(f"{cell} {size}", file=sys.stderr, flush=True)
            measured[size] = measure(cell, size, options.rounds, notes)
        labels = list(dict.fromkeys(label for times in measured.values() for label in times))
        lines, ratios = zip(*(row(size, times, labels) for size, times in measured.items()), strict=True)
        page += [
            "",
            f"## {cell}",
            "",
            f"| size | {' | '.join(labels)} | ratio |",
            "|---|" + "---:|" * (len(labels) + 1),
        ]
        page += [*lines, "", f"Geometric mean of the ratios of medians: {statistics.geometric_mean(ratios):.2f}."]
    if notes:
        page += ["", *notes]
    text = "\n".join(page) + "\n"
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
