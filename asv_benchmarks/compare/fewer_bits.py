"""Weights in fewer bits beside float32: how long a call takes, and what it costs of what was learned."""

import functools

import numpy as np
import problems
from benchmarks import sizes, tasks
from section import Section
from timing import Figures, Settings, in_turns
from writing import of, table, with_ratios

import rnnkit as rk

KINDS = ("float32", "bfloat16", "int8")
SEEDS = (0, 1, 2)
TASKS = {
    "digits, row by row": ("accuracy", lambda seed: _scores(*tasks.digits_trained(seed), 1)),
    "adding problem, T = 100": ("share within 0.04", lambda seed: _shares(*tasks.adding_trained(seed))),
}


def measure(settings: Settings) -> Figures:
    """Time an LSTM with its weights in each way at every size."""
    figures = {}
    for size in settings.rows(sizes.CELLS):
        problem = problems.make("LSTM", size)
        runners = {}
        for kind in KINDS:
            layer = rk.LSTM(size[3], return_sequences=True, seed=0)
            layer.build(problem.x.shape)
            layer.set_weights(problem.layer.get_weights())
            layer.quantize(None if kind == "float32" else kind)
            runners[kind] = functools.partial(layer, problem.x)
        figures[sizes.text(size)] = in_turns(runners, settings.rounds)
    return figures


def _by_kind(model, score) -> list[float]:
    found = []
    for kind in KINDS:
        model.quantize(None if kind == "float32" else kind)
        found.append(score())
        if kind == "float32":
            weights = model.get_weights()
        model.quantize(None).set_weights(weights)
    return found


def _scores(model, x, y, place) -> list[float]:
    return _by_kind(model, lambda: model.evaluate(x, y)[place])


def _shares(model, x, y) -> list[float]:
    return _by_kind(model, lambda: float(np.mean(np.abs(model.predict(x) - y) < 0.04)))


def measure_scores(settings: Settings) -> Figures:
    """Train for every seed, then look at the same unseen data with the weights in each way."""
    figures: Figures = {}
    for name, (_, task) in TASKS.items():
        try:
            scores = [task(seed) for seed in (SEEDS[:1] if settings.quick else SEEDS)]
        except ImportError as missing:
            settings.note(f"{name} was left out: {missing}.")
            continue
        figures[name] = dict(zip(KINDS, map(list, zip(*scores, strict=True)), strict=True))
    return figures


def write_scores(figures: Figures) -> list[str]:
    """A row per task, in percent, of all seeds."""
    rows = [
        [name, TASKS[name][0], *(", ".join(f"{100 * one:.2f}" for one in found[kind]) for kind in KINDS)]
        for name, found in figures.items()
    ]
    return table(["task", "percent", *KINDS], rows)


SECTIONS = {
    "fewer-bits": Section(
        "Weights in fewer bits",
        "The LSTM of the first table with its weights as they are, and after `layer.quantize`. The ratios are the time "
        "with float32 divided by the time with fewer bits.",
        measure,
        lambda figures: with_ratios(
            figures, "size", 1e3, {f"float32 / {kind}": of("float32", kind) for kind in KINDS[1:]}
        ),
    ),
    "fewer-bits-learned": Section(
        "What fewer bits cost",
        f"Models trained with float32, on unseen data for seeds {', '.join(map(str, SEEDS))}, before and after "
        "`model.quantize`: the digits and the adding problem of the learning tasks.",
        measure_scores,
        write_scores,
    ),
}
