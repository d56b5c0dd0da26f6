"""Hold rnnkit on a GPU against its own CPU programs, then set it beside torch and jax there; Markdown comes out.

    python asv_benchmarks/compare/on_cuda.py --output GPU.md
    python asv_benchmarks/compare/on_cuda.py --predict    # what the cost model says, without a GPU
    NUMBA_ENABLE_CUDASIM=1 python asv_benchmarks/compare/on_cuda.py --tiny

Everything has the same weights and input, float32, in the GPU's memory, and gives its results there. Libraries take
turns; a time is that of the wall clock from before a call until the GPU has done it. Products are in float32 for all:
TF32 is off. Without a GPU this ends with a sentence and the code 2, with 1 if a result is wrong.
"""

import argparse
import copy
import dataclasses
import datetime
import itertools
import pathlib
import sys

sys.path.append(str(pathlib.Path(__file__).parents[1]))  # where the cells lie that the asv benchmarks use too

import numpy as np
import peers
import predicted
from benchmarks import recurrences, sizes
from measuring import SECTIONS, TEXTS, Settings, available, conditions, in_turns
from writing import beside_others, both, of_section, table

import rnnkit as rk
from rnnkit.backends.cuda.memory.array import upload
from rnnkit.backends.cuda.memory.availability import simulated
from rnnkit.backends.cuda.runtime.cost_model import current_gpu

TINY = [(1, 3, 2, 4), (3, 4, 2, 3)]
BOUNDS = {"float32": 1e-5, "float64": 1e-12}  # of the CPU's results, over as many steps
STEPS = 200
LOOPS = [(1, 2000), (1000, 500), (50_000, 200)]  # rows and steps of steps of one row
gaps = lambda x: np.random.default_rng(1).random(x.shape[:2]) < 0.7  # a mask
PACKAGES = ("numba", "numba-cuda", "numpy", "torch", "jax")


def far(found, expected) -> float:
    """Return the largest difference, over the largest number that is expected where that is above 1."""
    return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))


def beside_the_cpu(problem: peers.Problem) -> dict[str, float]:
    """Return how far results and gradients are from those of the CPU."""
    here, x, g = problem.layer, problem.x, peers.cotangents(problem).astype(problem.x.dtype)
    there, mask = copy.deepcopy(here).to("cuda"), gaps(x)
    (y, pullback), (y_there, pullback_there) = here.vjp(x), there.vjp(x)
    expected, found = pullback(g), pullback_there(g)
    forward = far(there(x), y), far(y_there, y), far(there(x, mask=mask), here(x, mask=mask))
    gradients = [far(found.x, expected.x), *(far(found.weights[name], w) for name, w in expected.weights.items())]
    return {"forward": max(forward), "gradient": max(gradients)}


def broken_laws(problem: peers.Problem) -> list[str]:
    """Return which of the laws don't hold bit for bit on the GPU."""
    x, mask, half = problem.x, gaps(problem.x), problem.x.shape[1] // 2
    options = {"return_sequences": True, "return_state": True, "dtype": problem.layer.dtype, "device": "cuda"}
    layer, back = (rk.RNN(problem.layer.cell, go_backwards=backwards, **options) for backwards in (False, True))
    whole, *states = layer(x)
    early, *between = layer(x[:, :half])
    late, *ends = layer(x[:, half:], initial_state=between)
    padded = np.where(mask[..., None], x, x.dtype.type(np.nan))
    ones = [np.ones_like(whole), *[None] * len(states)]
    found, again, last = layer.vjp(x)[1](ones), layer.vjp(x)[1](ones), layer.vjp(x[-1:])[1]([ones[0][-1:], *ones[1:]])
    pairs = {
        "split": [(whole, np.concatenate([early, late], axis=1)), *zip(states, ends, strict=True)],
        "batch": [(whole[-1:], layer(x[-1:])[0]), (found.x[-1:], last.x)],
        "padding": zip(layer(x, mask=mask), layer(padded, mask=mask), strict=True),
        "mirror": zip(back(x), layer(x[:, ::-1]), strict=True),
        "twice": [(found.weights[name], again.weights[name]) for name in found.weights],
    }
    return [law for law, both in pairs.items() if not all(np.array_equal(a, b) for a, b in both)]


def check(wanted: list[sizes.Size]) -> tuple[list[str], bool]:
    rows, right = [], True
    for cell, (batch, steps, *rest), dtype in itertools.product(predicted.CELLS, wanted, BOUNDS):
        problem = peers.make(cell, (batch, min(steps, STEPS), *rest), dtype)
        apart, broken, bound = beside_the_cpu(problem), broken_laws(problem), BOUNDS[dtype]
        right = right and max(apart.values()) <= bound and not broken
        shown = [f"{number:.1e}" for number in apart.values()]
        told = f"{cell}: {sizes.text(problem.size)}"
        rows.append([told, dtype, f"{bound:.0e}", *shown, ", ".join(broken) or "hold"])
    header = ["cell: size", "dtype", "bound", "forward", "gradient", "split, batch, padding, mirror, twice the same"]
    return table(header, rows), right


def torch(problem: peers.Problem, g: np.ndarray | None) -> dict[str, peers.Peer]:
    import torch

    if not torch.cuda.is_available():
        raise ImportError("torch sees no GPU")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return peers.torch(problem, g, device="cuda")


def jax(problem: peers.Problem, g: np.ndarray | None) -> dict[str, peers.Peer]:
    import jax

    if jax.default_backend() != "gpu":
        raise ImportError("jax sees no GPU")
    jax.config.update("jax_default_matmul_precision", "highest")
    return peers.jax(problem, g)


def waited(run):
    from numba import cuda

    def both():
        found = run()
        cuda.synchronize()
        return found

    return both


def on_card(problem: peers.Problem, g: np.ndarray | None) -> peers.Peer:
    """Return the call, or the call with its gradient, on arrays in the GPU's memory."""
    layer, x = copy.deepcopy(problem.layer).to("cuda"), upload(problem.x)
    own = peers.ours(dataclasses.replace(problem, layer=layer, x=x), None if g is None else upload(g))
    if g is None:
        return peers.Peer(waited(own.run), lambda y: own.read(y.copy_to_host()))
    return peers.Peer(waited(own.run), lambda found: own.read((found[0].copy_to_host(), found[1])))


def measured(cell: str, size: sizes.Size, gradient: bool, settings: Settings) -> dict[str, list[float]]:
    """Return times of the forward pass, or of the gradient, with what the model predicts for this GPU."""
    problem = peers.make(cell, size)
    g = peers.cotangents(problem) if gradient else None
    here = peers.ours(problem, g)
    expected = here.read(here.run())
    calls = {"rnnkit": on_card(problem, g)} | available([torch, jax], settings, problem, g)
    for label, peer in calls.items():
        found = peer.read(peer.run())
        for name, array in expected.items():
            bound = 1e-4 if name == "y" else 1e-3
            assert far(found[name], array) < bound, f"{label} gives another {name} for {cell} {size}"
    times = in_turns({label: peer.run for label, peer in calls.items()}, settings.rounds)
    model = [predicted.seconds(cell, size, current_gpu(), gradient)]
    return {"rnnkit": times.pop("rnnkit"), "rnnkit, predicted": model} | times


def loop(recurrence, size, rounds: int) -> list:
    """Return the share of outputs that are the CPU's, and times of the call and of its gradient there and here."""
    here, there = recurrences.layer_of(recurrence), recurrences.layer_of(recurrence).to("cuda")
    x, more = recurrences.data_of(recurrence, size)
    x_there, more_there = upload(x), {name: [upload(one) for one in several] for name, several in more.items()}
    expected, found = here(x, **more), there(x_there, **more_there).copy_to_host()
    row, ones = [np.isclose(found, expected, rtol=1e-4, atol=1e-4, equal_nan=True).mean()], np.ones_like(expected)
    ones_there = upload(ones)
    calls = [(lambda: there(x_there, **more_there), lambda: here(x, **more))]
    if recurrence.differentiable:
        calls.append((lambda: there.vjp(x_there, **more_there)[1](ones_there), lambda: here.vjp(x, **more)[1](ones)))
    for on_card, on_host in calls:
        row += [both(numbers, 1e3) for numbers in in_turns({"gpu": waited(on_card), "cpu": on_host}, rounds).values()]
    return row + [""] * (5 - len(row))


def loops(wanted, settings: Settings) -> tuple[list[str], bool]:
    rows, right = [], True
    for recurrence, size in itertools.product(recurrences.CORPUS[:: 20 if simulated() else 1], wanted):
        share, *shown = loop(recurrence, size, settings.rounds)
        right = right and share > 0.99  # what decides by rounded values may decide otherwise
        rows.append([f"{recurrence.name}: {sizes.text(size)}", f"{share:.2%}", *shown])
    header = ["recurrence: rows, steps", "as on the CPU", "GPU", "CPU", "with gradient: GPU", "CPU"]
    return table(header, rows), right


def conditions_of(settings: Settings) -> str:
    device, torch = rk.cuda.devices()[0], sys.modules.get("torch")
    more = []
    if torch is not None and torch.cuda.is_available():
        more.append(f"CUDA {torch.version.cuda} and cuDNN {torch.backends.cudnn.version()} with torch")
    kind = ".".join(map(str, device.compute_capability))
    gpu = f"{device.name}, compute capability {kind}, {device.multiprocessors} multiprocessors"
    return conditions(gpu, PACKAGES, settings, more)


def measure(tiny: bool, settings: Settings) -> tuple[str, bool]:
    """Return everything that was found, in Markdown, and whether all is right."""
    wanted, figures = TINY if tiny else sizes.CELLS, {}
    checks, right = check(wanted)
    of_rows, as_here = loops([(3, 4)] if tiny else LOOPS, settings)
    right = right and as_here
    for cell, size, gradient in itertools.product(predicted.CELLS if right else (), wanted, (False, True)):
        print(f"{datetime.datetime.now():%H:%M:%S} {cell} {sizes.text(size)}", file=sys.stderr, flush=True)
        row = measured(cell, size, gradient, settings)
        figures.setdefault(cell + ", with its gradient" * gradient, {})[sizes.text(size)] = row
    if not right:
        settings.note("Nothing was measured, since a result is wrong.")
    texts, told = TEXTS["cuda"], TEXTS["cuda"]["simulated"] if simulated() else ""
    lines = [texts["page"].format(conditions=conditions_of(settings), simulated=told, checks="\n".join(checks))]
    for title, found in figures.items():
        lines += ["", f"## {title}", "", *beside_others()(found)]
    lines += ["", texts["rows"], "", *of_rows, *(line for note in settings.notes for line in ("", note))]
    return "\n".join(lines) + "\n", right


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tiny", action="store_true", help="tiny sizes: to see that everything runs")
    parser.add_argument("--predict", action="store_true", help="what the cost model says, without a GPU")
    parser.add_argument("--output", type=pathlib.Path, help="write the page here too")
    options = parser.parse_args()
    if options.predict:
        text, right = "\n".join(of_section(SECTIONS["predicted"], predicted.record())) + "\n", True
    else:
        try:
            rk.cuda.require()
            if simulated() and not options.tiny:
                raise RuntimeError("expected a GPU, got numba's simulator, which takes --tiny")
        except RuntimeError as error:
            print(f"nothing was measured: {error}", file=sys.stderr)
            return 2
        text, right = measure(options.tiny, Settings(options.rounds))
    print(text, end="")
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(main())
