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
import datetime
import importlib.metadata
import pathlib
import platform
import sys

HERE = pathlib.Path(__file__).parent
sys.path.append(str(HERE.parent))  # where the cells lie that the asv benchmarks use too

import gradient_peers  # noqa: E402
import numpy as np  # noqa: E402
import peers  # noqa: E402
import predicted  # noqa: E402
import problems  # noqa: E402
from benchmarks import recurrences, sizes  # noqa: E402
from gradients import cotangents  # noqa: E402
from timing import Figures, Settings, in_turns  # noqa: E402
from writing import beside_others, both, table  # noqa: E402

import rnnkit as rk  # noqa: E402
from rnnkit.backends.cuda.memory.array import upload  # noqa: E402
from rnnkit.backends.cuda.memory.availability import simulated  # noqa: E402
from rnnkit.backends.cuda.runtime.cost_model import current_gpu  # noqa: E402

TINY = [(1, 3, 2, 4), (3, 4, 2, 3)]
BOUNDS = {"float32": 1e-5, "float64": 1e-12}  # of the CPU's results, over as many steps
STEPS = 200
LOOPS = [(1, 2000), (1000, 500), (50_000, 200)]  # rows and steps of steps of one row
PACKAGES = ("numba", "numba-cuda", "numpy", "torch", "jax")


# What is right


def far(found, expected) -> float:
    """The largest difference, over the largest number that is expected where that is above 1."""
    return float(np.abs(found - expected).max() / max(1.0, np.abs(expected).max()))


def used_steps(problem: problems.Problem) -> np.ndarray:
    """A mask with gaps."""
    return np.random.default_rng(1).random(problem.x.shape[:2]) < 0.7


def beside_the_cpu(problem: problems.Problem) -> dict[str, float]:
    """How far results and gradients are from those of the CPU."""
    there, g = copy.deepcopy(problem.layer).to("cuda"), cotangents(problem.size).astype(problem.x.dtype)
    (y, pullback), (y_there, pullback_there) = problem.layer.vjp(problem.x), there.vjp(problem.x)
    expected, found = pullback(g), pullback_there(g)
    mask = used_steps(problem)
    masked = far(there(problem.x, mask=mask), problem.layer(problem.x, mask=mask))
    gradients = [far(found.x, expected.x), *(far(found.weights[name], w) for name, w in expected.weights.items())]
    return {"forward": max(far(there(problem.x), y), far(y_there, y), masked), "gradient": max(gradients)}


def broken_laws(problem: problems.Problem) -> list[str]:
    """Which of the laws don't hold bit for bit on the GPU."""
    x, steps = problem.x, problem.x.shape[1]
    cell, dtype = problem.layer.cell, problem.layer.dtype
    layer, back = (
        rk.RNN(cell, return_sequences=True, return_state=True, go_backwards=backwards, dtype=dtype, device="cuda")
        for backwards in (False, True)
    )
    whole, *states = layer(x)
    early, *between = layer(x[:, : steps // 2])
    late, *ends = layer(x[:, steps // 2 :], initial_state=between)
    mask = used_steps(problem)
    padded = np.where(mask[..., None], x, x.dtype.type(np.nan))
    d_x, again = (layer.vjp(x)[1]([np.ones_like(whole), *[None] * len(states)]) for _ in range(2))
    last = layer.vjp(x[-1:])[1]([np.ones_like(whole[-1:]), *[None] * len(states)])
    pairs = {
        "split": [(whole, np.concatenate([early, late], axis=1)), *zip(states, ends, strict=True)],
        "batch": [(whole[-1:], layer(x[-1:])[0]), (d_x.x[-1:], last.x)],
        "padding": zip(layer(x, mask=mask), layer(padded, mask=mask), strict=True),
        "mirror": zip(back(x), layer(x[:, ::-1]), strict=True),
        "twice": [(d_x.weights[name], again.weights[name]) for name in d_x.weights],
    }
    return [law for law, both in pairs.items() if not all(np.array_equal(a, b) for a, b in both)]


def check(wanted: list[sizes.Size]) -> tuple[list[str], bool]:
    """A table of how far the GPU is from the CPU and of the laws, and whether all is right."""
    rows, right = [], True
    for cell in predicted.CELLS:
        for size in wanted:
            size = (size[0], min(size[1], STEPS), *size[2:])
            for dtype, bound in BOUNDS.items():
                problem = problems.make(cell, size, dtype)
                apart, broken = beside_the_cpu(problem), broken_laws(problem)
                right = right and max(apart.values()) <= bound and not broken
                shown = [f"{number:.1e}" for number in apart.values()]
                rows.append([f"{cell}: {sizes.text(size)}", dtype, f"{bound:.0e}", *shown, ", ".join(broken) or "hold"])
    header = ["cell: size", "dtype", "bound", "forward", "gradient", "split, batch, padding, mirror, twice the same"]
    return table(header, rows), right


# What it takes


def torch(problem: problems.Problem, *arguments):
    """Its layers by cuDNN, or its loops, for the forward pass, or for the gradient where there are cotangents."""
    import torch

    if not torch.cuda.is_available():
        raise ImportError("torch sees no GPU")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    module = gradient_peers if arguments else peers
    found = module.torch(problem, *arguments, threads=torch.get_num_threads(), device="cuda")

    def waited(run):
        def both():
            result = run()
            torch.cuda.synchronize()
            return result

        return both

    if arguments:
        return {label: gradient_peers.Peer(waited(peer.run), peer.read) for label, peer in found.items()}
    return {label: waited(run) for label, run in found.items()}


def jax(problem: problems.Problem, *arguments):
    """`lax.scan`, jitted, both ways."""
    import jax

    if jax.default_backend() != "gpu":
        raise ImportError("jax sees no GPU")
    jax.config.update("jax_default_matmul_precision", "highest")
    return (gradient_peers if arguments else peers).jax(problem, *arguments, threads=1)


def ours(problem: problems.Problem):
    """The call, and the call with its gradient, on arrays in the GPU's memory."""
    from numba import cuda

    layer = copy.deepcopy(problem.layer).to("cuda")
    x, g = upload(problem.x), upload(cotangents(problem.size))

    def forward():
        y = layer(x)
        cuda.synchronize()
        return y

    def gradient():
        y, pullback = layer.vjp(x)
        found = pullback(g)
        cuda.synchronize()
        return y, found

    return forward, gradient


def measured(cell: str, size: sizes.Size, settings: Settings) -> tuple[dict, dict]:
    """Times of the forward pass and of the gradient, with what the model predicts for this GPU in each."""
    problem = problems.make(cell, size)
    forward, gradient = ours(problem)
    g = cotangents(size)
    expected, pullback = problem.layer.vjp(problem.x)
    weights = pullback(g).weights
    own, own_gradient = forward().copy_to_host(), gradient()[1].weights
    assert far(own, expected) < 1e-4, f"arrays in the GPU's memory give other outputs for {cell} {size}"
    assert all(far(own_gradient[name], array) < 1e-3 for name, array in weights.items()), f"{cell} {size}"
    runners, peers_of_gradient = (peers.available([torch, jax], settings, problem, *more) for more in ((), (g,)))
    for label, run in runners.items():
        y = run()
        y = np.asarray(y.cpu() if hasattr(y, "cpu") else y)
        assert far(y.swapaxes(0, 1), expected) < 1e-4, f"{label} gives other outputs for {cell} {size}"
    for label, peer in peers_of_gradient.items():
        found = peer.read(peer.run())
        for name, array in weights.items():
            assert far(found[name], array) < 1e-3, f"{label} gives another gradient of {name} for {cell} {size}"
    runners_of_gradient = {label: peer.run for label, peer in peers_of_gradient.items()}
    gpu = current_gpu()
    times = []
    for own, others, model in (
        (forward, runners, predicted.forward),
        (gradient, runners_of_gradient, predicted.gradient),
    ):
        found = in_turns({"rnnkit": own} | others, settings.rounds)
        times.append({"rnnkit": found.pop("rnnkit"), "rnnkit, predicted": [model(cell, size, gpu)]} | found)
    return times[0], times[1]


# Steps of one row


def of_a_loop(recurrence, size, rounds: int) -> tuple[float, list[str]]:
    """The share of outputs that are the CPU's, and times of the call and of its gradient there and here."""
    from numba import cuda

    here, there = recurrences.layer_of(recurrence), recurrences.layer_of(recurrence)
    x, more = recurrences.data_of(recurrence, size)
    expected, there = here(x, **more), there.to("cuda")
    x_there, more_there = upload(x), {name: [upload(one) for one in several] for name, several in more.items()}
    found = there(x_there, **more_there).copy_to_host()

    def waited(run):
        def both():
            run()
            cuda.synchronize()

        return both

    def with_gradient(layer, x, more, ones):
        layer.vjp(x, **more)[1](ones)

    ones = np.ones_like(expected)
    ones_there = upload(ones)
    calls = [(lambda: here(x, **more), waited(lambda: there(x_there, **more_there)))]
    if recurrence.differentiable:
        on_card = waited(lambda: with_gradient(there, x_there, more_there, ones_there))
        calls.append((lambda: with_gradient(here, x, more, ones), on_card))
    shown = []
    for on_host, on_card in calls:
        times = in_turns({"cpu": on_host, "gpu": on_card}, rounds)
        shown += [both(times["gpu"], 1e3), both(times["cpu"], 1e3)]
    share = np.isclose(found, expected, rtol=1e-4, atol=1e-4, equal_nan=True).mean()
    return float(share), shown + [""] * (4 - len(shown))


def loops(wanted, settings: Settings) -> tuple[list[str], bool]:
    """A table of the recurrences of one row, and whether their results are the CPU's."""
    rows, right = [], True
    for recurrence in recurrences.CORPUS[::20] if simulated() else recurrences.CORPUS:
        for size in wanted:
            share, shown = of_a_loop(recurrence, size, settings.rounds)
            right = right and share > 0.99  # what decides by rounded values may decide otherwise
            rows.append([f"{recurrence.name}: {', '.join(map(str, size))}", f"{share:.2%}", *shown])
    header = ["recurrence: rows, steps", "as on the CPU", "GPU", "CPU", "with gradient: GPU", "CPU"]
    return table(header, rows), right


def conditions(settings: Settings) -> str:
    """The GPU, the versions of all that took part, the day and the rounds."""
    device = rk.cuda.devices()[0]
    versions = [f"Python {platform.python_version()}", f"rnnkit {rk.__version__}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        versions.append(f"CUDA {torch.version.cuda} and cuDNN {torch.backends.cudnn.version()} with torch")
    kind = ".".join(map(str, device.compute_capability))
    gpu = f"{device.name}, compute capability {kind}, {device.multiprocessors} multiprocessors"
    return f"{gpu}; {', '.join(versions)}; {datetime.date.today().isoformat()}, {settings.rounds} rounds."


def page(checks: list[str], figures: dict[str, Figures], of_rows: list[str], settings: Settings) -> str:
    """Everything that was found, in Markdown."""
    lines = ["# On a GPU", "", conditions(settings), ""]
    if simulated():
        lines += [
            "These are times of numba's simulator at tiny sizes: they say that everything runs, and nothing else.",
            "",
        ]
    lines += ["Largest differences from the CPU's results, and the laws, bit for bit:", "", *checks, ""]
    lines += [
        "Milliseconds per call, float32, TF32 off, arrays in the GPU's memory: minimum / median over rounds in which "
        "the libraries took turns. Predicted is what the cost model says the GPU takes, without Python. The ratio is "
        "the fastest other library's time over rnnkit's: above 1, rnnkit is ahead."
    ]
    for title, found in figures.items():
        lines += ["", f"## {title}", "", *beside_others()(found)]
    told = "A thread computes a row. Milliseconds per call, minimum / median; the CPU's beside them is this machine's."
    lines += ["", "## Steps of one row", "", told, "", *of_rows] if of_rows else []
    lines += [line for note in settings.notes for line in ("", note)]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--tiny", action="store_true", help="tiny sizes: to see that everything runs")
    parser.add_argument("--predict", action="store_true", help="what the cost model says, without a GPU")
    parser.add_argument("--output", type=pathlib.Path, help="write the page here too")
    options = parser.parse_args()
    if options.predict:
        text, code = "\n".join(predicted.section()) + "\n", 0
    else:
        try:
            rk.cuda.require()
        except RuntimeError as error:
            print(f"nothing was measured: {error}", file=sys.stderr)
            return 2
        if simulated() and not options.tiny:
            print("nothing was measured: expected a GPU, got numba's simulator, which takes --tiny", file=sys.stderr)
            return 2
        wanted, settings = (TINY if options.tiny else sizes.CELLS), Settings(options.rounds)
        checks, right = check(wanted)
        of_rows, as_here = loops([(3, 4)] if options.tiny else LOOPS, settings)
        right = right and as_here
        figures: dict[str, Figures] = {}
        for cell in predicted.CELLS if right else ():
            for size in wanted:
                print(f"{datetime.datetime.now():%H:%M:%S} {cell} {sizes.text(size)}", file=sys.stderr, flush=True)
                forward, gradient = measured(cell, size, settings)
                figures.setdefault(cell, {})[sizes.text(size)] = forward
                figures.setdefault(f"{cell}, with its gradient", {})[sizes.text(size)] = gradient
        if not right:
            settings.note("Nothing was measured, since a result is wrong.")
        text, code = page(checks, figures, of_rows, settings), 0 if right else 1
    print(text, end="")
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
