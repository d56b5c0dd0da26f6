"""What layers, fits and panels cost and give on clusters of Dask, whose workers have one thread each.

    python asv_benchmarks/compare/on_dask.py zarr --gigabytes 20 --workers 2 --memory 1GB
    python asv_benchmarks/compare/on_dask.py fit --batch 512 --steps 200 --units 128
    python asv_benchmarks/compare/on_dask.py panel --series 100000 --workers 2   # against --workers 1
    python asv_benchmarks/compare/on_dask.py reservoir --steps 10000000 --chunk 1000000

They take ``rnnkit[dask]``. ``zarr`` (``make demo-cluster`` with little data) predicts from one zarr array to another.
The input compresses well: 20 GB of it take a few hundred MB on disk. The checksum of the output is compared with that
of one process without Dask. ``fit`` trains with one worker and with two, and says what the second one gave, and whether
the weights have the same bits. ``panel``, which takes pandas, forecasts series that are made on the workers, partition
by partition, and compares the first partition with a call on it alone, bit for bit. ``reservoir`` fits one to a long
series in chunks, on one thread of this process. `--only dask-workers dask-chunks` of the page measures the rest.
"""

import argparse
import contextlib
import hashlib
import importlib.util
import pathlib
import resource
import sys
import tempfile
import time
import unittest.mock as mock
from collections.abc import Iterator

import numpy as np

sys.path.append(str(pathlib.Path(__file__).parents[1]))
from benchmarks import sizes
from measuring import Figures, Settings, seconds, section
from writing import Pair, both, ratios, rows_of

import rnnkit as rk

try:
    import dask
    import dask.array as da

    from rnnkit.distributed import blocks
except ImportError:  # the page can be written without
    pass

FEATURES = 8  # of what is stored
CHUNKS = (10, 50)  # of rows and of steps, each of so little that nothing but overhead is left
ROWS = 512  # in a chunk of a prediction, which takes some 0.2 s


@contextlib.contextmanager
def computing(where: str, workers: int = 1, **options) -> Iterator:
    """Compute on Dask's threads, or on a cluster of processes of one thread each, whose client this gives."""
    from distributed import Client, LocalCluster

    if where == "threads":
        with dask.config.set(scheduler="threads", num_workers=workers):
            yield None
        return
    usual = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "silence_logs": 40}
    with LocalCluster(n_workers=workers, **(usual | options)) as cluster, Client(cluster) as client:
        client.wait_for_workers(workers)
        yield client


def used(client) -> list[tuple[float, float]]:
    """Return the most memory that each worker has held, in MB, and the CPU seconds that it has used."""
    found = client.run(lambda: resource.getrusage(resource.RUSAGE_SELF))
    return [(one.ru_maxrss / 1024, one.ru_utime + one.ru_stime) for one in found.values()]


def of_workers(before, after) -> list[str]:
    return [
        f"worker {i}: at most {most:.0f} MB ({least:.0f} MB before), {ended - begun:.1f} s of CPU"
        for i, ((least, begun), (most, ended)) in enumerate(zip(before, after, strict=True))
    ]


def waves(shape, chunk, grain: float | None = None):
    """Return an array (rows, steps, features) that is made chunk by chunk, in steps of a grain to compress well."""

    def block(block_info=None):
        (first, after), (start, end), (_, features) = block_info[None]["array-location"]
        y = np.sin(np.arange(first, after)[:, None] + 0.05 * np.arange(start, end))
        y = y if grain is None else np.round(y / grain) * grain
        return np.repeat(y.astype("float32")[..., None], features, axis=2)

    chunks = da.core.normalize_chunks((*chunk, shape[2]), shape)
    return da.map_blocks(block, chunks=chunks, dtype="float32", meta=np.empty((0, 0, 0), "float32"))


def model_of(units: int, features: int, outputs: int):
    model = rk.Sequential([rk.LSTM(units, return_sequences=True, seed=0), rk.Dense(outputs, seed=1)], seed=0)
    model.build((None, None, features))
    return model


def checksum(blocks) -> str:
    each = (hashlib.sha256(np.ascontiguousarray(block)).digest() for block in blocks)
    return hashlib.sha256(b"".join(each)).hexdigest()[:16]


def from_zarr_to_zarr(given):
    import zarr

    rows, steps = given.chunk
    count = max(given.workers, round(given.gigabytes * 1e9 / (4 * FEATURES * rows * steps * 8)))
    model = model_of(given.units, FEATURES, FEATURES)
    with tempfile.TemporaryDirectory(dir=given.folder or None) as folder:
        source, target = f"{folder}/x.zarr", f"{folder}/y.zarr"
        with computing("threads", 2):
            da.to_zarr(waves((count * rows, 8 * steps, FEATURES), given.chunk, 1 / 16), source)
        with computing("cluster", given.workers, memory_limit=given.memory) as client:
            seen = "" if importlib.util.find_spec("bokeh") else " (pip install bokeh to see it)"
            print(f"dashboard: {client.dashboard_link}{seen}", flush=True)
            x = da.from_zarr(source)
            count, size = x.npartitions, x.nbytes / 1e9
            print(f"input: {x.shape} float32, {size:.2f} GB, {count} chunks of {1e3 * size / count:.1f} MB")
            before, wall, cpu = used(client), time.perf_counter(), time.process_time()
            da.to_zarr(model.predict(x), target)
            wall, cpu, after = time.perf_counter() - wall, time.process_time() - cpu, used(client)
        each = 1e3 * cpu / count
        print(f"wall: {wall:.1f} s; client and scheduler: {cpu:.1f} s of CPU, {each:.1f} ms for each chunk")
        print("\n".join(of_workers(before, after)))
        x, y = zarr.open(source, mode="r"), zarr.open(target, mode="r")
        starts, begun = range(0, y.shape[0], rows), time.perf_counter()
        alone = checksum(model.predict(x[i : i + rows]) for i in starts)
        print(f"one process without Dask: {time.perf_counter() - begun:.1f} s, {rk.get_num_threads()} threads")
        together = checksum(y[i : i + rows] for i in starts)
    print(f"checksum of the workers' output: {together}, of one process's: {alone}")
    if together != alone:
        sys.exit("they differ")


def update(workers: int, given):
    """Return seconds of an update, what was moved, and the weights, with so many workers and compiled programs."""
    rng = da.random.default_rng(0)
    shape = given.batch * given.updates, given.steps, given.features
    x = rng.normal(size=shape, chunks=(given.batch // 2, *shape[1:])).astype("float32")
    y = x[:, :, :1].mean(axis=1)
    settings = {"batch_size": given.batch, "parts": given.parts, "verbose": 0}

    def network():
        model = rk.Sequential([rk.LSTM(given.units), rk.Dense(1)], seed=0)
        model.compile("adam", "mse")
        return model

    with computing("cluster", workers, memory_limit=0):
        network().fit(x, y, steps_per_epoch=2, **settings)
        model, begun = network(), time.perf_counter()
        history = model.fit(x, y, **settings)
        return (time.perf_counter() - begun) / given.updates, history.traffic, model.get_weights()


def fit(given):
    found = {workers: update(workers, given) for workers in given.workers}
    first, _, weights = found[given.workers[0]]
    for workers, (passed, traffic, _) in found.items():
        ratio = f"{first / passed:.2f} x {given.workers[0]}"
        print(f"{workers} workers: {1e3 * passed:.0f} ms an update, {ratio}; {traffic}")
    same = all(np.array_equal(a, b) for *_, own in found.values() for a, b in zip(weights, own, strict=True))
    print(f"all have the same bits: {same}")


def made(number: int, size: int, steps: int):
    """Return the series of a partition: months of a season and a walk."""
    import pandas as pd

    rng = np.random.default_rng(number)
    y = 100 + 10 * np.sin(np.arange(steps) * np.pi / 6) + rng.normal(size=(size, steps)).cumsum(axis=1)
    months = pd.date_range("2015-01-01", periods=steps, freq="MS").to_numpy()
    ids = np.arange(number * size, (number + 1) * size)
    return pd.DataFrame({"unique_id": np.repeat(ids, steps), "ds": np.tile(months, size), "y": y.ravel()})


def forecasts(given) -> tuple[float, list[str]]:
    """Return seconds of a fit and the mean of its forecasts on workers, and the lines that `panel` prints."""
    import dask.dataframe as dd

    count, told = max(1, round(given.series / given.partition)), {"size": given.partition, "steps": given.steps}
    model = getattr(rk.forecast, given.model)(12)
    with computing("cluster", given.workers, memory_limit=given.memory) as client:
        head = {"meta": made(0, 1, given.steps).iloc[:0], "enforce_metadata": False}
        model.copy().fit(dd.from_map(made, range(given.workers), **head, **told)).predict(12).compute()  # compiles
        before, wall = used(client), time.perf_counter()
        said = model.copy().fit(dd.from_map(made, range(count), **head, **told))
        read = time.perf_counter() - wall
        lazy = said.predict(12)
        mean = lazy[model.name].mean().compute()
        wall, after = time.perf_counter() - wall, used(client)
        first = lazy.partitions[0].compute().reset_index(drop=True)
    alone = model.copy().fit(made(0, **told)).predict(12)
    number = count * given.partition
    return wall, [
        f"{model!r}: {number:,} series of {given.steps} steps in {count} partitions; {mean=:.4f}",
        f"{given.workers} workers: {wall:.1f} s, {read:.1f} s of it to check; {number / wall:.0f} series/s",
        *of_workers(before, after),
        f"the first partition has the bits of one call: {first.equals(alone)}",
    ]


def reservoir(given):
    """Fit readouts to one long series, in this process, and print the rate, and what that makes of 10⁸ steps."""

    def block(block_info=None):
        steps = np.arange(*block_info[None]["array-location"][0])
        return np.sin(0.1 * steps) + 0.1 * np.sin(steps**2 % 97)

    chunks = da.core.normalize_chunks(given.chunk, (given.steps,), dtype="float64")
    long = da.map_blocks(block, chunks=chunks, dtype="float64", meta=np.empty(0))
    network = rk.ESN(given.horizon, units=given.units, seed=0)
    held = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rk.set_num_threads(1)
    with dask.config.set(scheduler="sync"):
        network.fit(long[: 2 * 8192])  # programs are compiled
        memory, cpu = held(), time.process_time()
        network.fit(long)
        cpu, memory = time.process_time() - cpu, held() - memory
    rate, sums = cpu / given.steps, 8 * (given.units + 2) ** 2 / 1e6
    print(f"{given.steps:,} steps, {given.units} units, {given.horizon} leads, chunks of {given.chunk:,}")
    print(f"{cpu:.1f} s of CPU, {1e6 * rate:.1f} µs for each step; {memory:.0f} MB more than for two small chunks")
    print(f"10⁸ steps: {1e8 * rate / 3600:.2f} h on one thread; each chunk's sums are {sums:.1f} MB for each quarter")


def recurrent(shipped, wishes, place, before, x, mask, states, *more):
    """Return what `rnnkit.distributed.blocks.recurrent` does of an LSTM with four units, without a layer."""
    states = np.zeros((2, len(x), 4), x.dtype)
    return blocks.Carry(tuple(states), states[0]), np.zeros((*x.shape[:2], 4), x.dtype)


def several(shipped, place, before, x, mask):
    """Return what `several` of the same module does of two such LSTMs and a Dense(2)."""
    carry, _ = recurrent(shipped, None, place, None, x, mask, 0)
    return (carry, carry), np.zeros((*x.shape[:2], 2), x.dtype), None


def layers(seed: int) -> dict:
    """Return one layer, and several that are one task for each chunk; of another seed, tasks have other keys."""
    one, first, second = (rk.LSTM(4, return_sequences=True, seed=seed + k) for k in range(3))
    stack = rk.Sequential([first, second, rk.Dense(2)], seed=seed)
    stack(np.ones((4, 5, 3), "float32"))
    return {"LSTM": one, "LSTM, LSTM, Dense": stack}


def overheads(rounds: int) -> dict[str, float]:
    """Return milliseconds of a chunk, its graph too, beyond the same tasks of functions that do nothing: the least."""
    rows, steps = CHUNKS
    x = da.ones((rows * 4, steps * 5, 3), chunks=(4, 5, 3), dtype="float32")
    times: dict[str, tuple[list, list]] = {}
    for _ in range(rounds):
        with mock.patch.multiple(blocks, recurrent=recurrent, several=several):
            empty = {name: layer(x).sum() for name, layer in layers(10).items()}
        for name, layer in layers(0).items():
            alone, ours = times.setdefault(name, ([], []))
            alone.append(seconds(empty[name].compute, 0))
            ours.append(seconds(lambda layer=layer: layer(x).sum().compute(), 0))
    return {name: 1e3 * (min(ours) - min(alone)) / (rows * steps) for name, (alone, ours) in times.items()}


def predictions(batch: int, rounds: int) -> list[float]:
    """Return times of a prediction on the workers that there are, after one that loads the programs into each."""
    _, steps, features, units = sizes.WORKERS
    y = model_of(units, features, 1).predict(waves((batch, steps, features), (ROWS, steps)))
    return [seconds(y.compute, 0) for _ in range(1 + rounds)][1:]


SPEED_UP = {
    "one worker, s": lambda _, times: both(times["1"], 1),
    "two workers, s": lambda _, times: both(times["2"], 1),
    "speed-up": lambda _, times: Pair(ratios([times["1"]], times["2"]), ".2f"),
}


@section("dask-workers", rows_of("what", SPEED_UP))
def of_workers_in_turns(settings: Settings) -> Figures:
    """Measure seconds of a prediction, of an update of a fit and of a panel, on one worker and on two in turns."""
    given = options("fit", *(["--updates", "3"] if settings.quick else []))
    batch, number = (256, 4_000) if settings.quick else (sizes.WORKERS[0], 100_000)
    predict, series = f"predict, {sizes.text(sizes.WORKERS)}", f"Theta on {number:,} series of 60 values"
    fit = f"an update of fit, {sizes.text((given.batch, given.steps, given.features, given.units))}"
    figures: Figures = {row: {"1": [], "2": []} for row in (predict, fit, series)}
    for turn in range(max(1, settings.rounds // 3)):
        for count in ("1", "2"):
            with computing("cluster", int(count)):
                figures[predict][count] += predictions(batch, min(3, settings.rounds))
            figures[fit][count].append(update(int(count), given)[0])
            if not turn:
                words = "panel", "--series", str(number), "--workers", count
                figures[series][count].append(forecasts(options(*words))[0])
    return figures


WHERE = {"one thread, ms": "threads", "one worker, ms": "cluster"}
OVERHEAD = {title: lambda _, found, where=where: f"{found[where][0]:.2f}" for title, where in WHERE.items()}


@section("dask-chunks", rows_of("layers", OVERHEAD))
def of_chunks(settings: Settings) -> Figures:
    """Measure milliseconds of a chunk beyond the same tasks without layers, on Dask's threads and on a worker."""
    figures: Figures = {}
    for where in ("threads", "cluster"):
        with computing(where):
            for name, one in overheads(1 if settings.quick else 3).items():
                figures.setdefault(name, {})[where] = [one]
    return figures


CLUSTER, FIT = {"workers": 2, "memory": "1GB"}, {"workers": (1, 2), "batch": 512, "parts": 8, "updates": 30}
COMMANDS = {  # what runs, and its options with their defaults
    "zarr": (from_zarr_to_zarr, CLUSTER | {"gigabytes": 20.0, "units": 16, "chunk": (64, 4096), "folder": ""}),
    "fit": (fit, FIT | {"steps": 200, "features": 32, "units": 128}),
    "panel": (
        lambda given: print(*forecasts(given)[1], sep="\n"),
        CLUSTER | {"series": 100_000, "steps": 60, "partition": 2000, "model": "Theta"},
    ),
    "reservoir": (reservoir, {"steps": 10_000_000, "chunk": 1_000_000, "units": 300, "horizon": 1}),
}


def options(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, (run, defaults) in COMMANDS.items():
        one = commands.add_parser(name, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        one.set_defaults(run=run)
        for option, default in defaults.items():
            many = isinstance(default, tuple)
            kind = type(default[0] if many else default)
            one.add_argument(f"--{option}", type=kind, nargs="+" if many else None, default=default, help=" ")
    return parser.parse_args(words)


if __name__ == "__main__":
    chosen = options(*sys.argv[1:])
    chosen.run(chosen)
