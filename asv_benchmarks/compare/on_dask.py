"""What layers cost and give on Dask: from zarr to zarr in little memory, the speed-up of workers, overhead of chunks.

    python asv_benchmarks/compare/on_dask.py zarr --gigabytes 20 --workers 2 --memory 1GB
    python asv_benchmarks/compare/on_dask.py workers
    python asv_benchmarks/compare/on_dask.py chunks

They take ``rnnkit[dask]``. ``zarr`` (``make demo-cluster`` with little data) predicts from one zarr array to another on
a cluster. The input compresses well: 20 GB of it take a few hundred MB on disk. The checksum of the output is compared
with that of one process without Dask. ``workers`` times one prediction on one and on two workers in turns. ``chunks``
sends tiny chunks through layers, through the same tasks without layers (of the same keys, dependencies and sizes), and
through one function for each chunk. The overhead is the difference to the same tasks, with what it takes to make them.
"""

import argparse
import hashlib
import importlib.util
import pathlib
import resource
import sys
import tempfile
import time

sys.path.append(str(pathlib.Path(__file__).parents[1]))

import chunks
import dask
import dask.array as da
import numpy as np
import zarr

import rnnkit as rk

FEATURES = 8


def made(block_info=None):
    """Waves in steps of 1/16, which compress well."""
    (first, after), (start, end) = block_info[None]["array-location"][:2]
    waves = np.sin(np.arange(first, after)[:, None] + 0.05 * np.arange(start, end))
    return np.broadcast_to(np.round(16 * waves[..., None]) / 16, (*waves.shape, FEATURES)).astype("float32")


def write_input(path, rows, steps, chunk):
    """An array (rows, steps, features) in zarr, made chunk by chunk."""
    sizes = da.core.normalize_chunks((*chunk, FEATURES), (rows, steps, FEATURES))
    waves = da.map_blocks(made, chunks=sizes, dtype="float32", meta=np.empty((0, 0, 0), "float32"))
    with dask.config.set(scheduler="threads", num_workers=2):
        da.to_zarr(waves, str(path))


def used(client):
    """The most memory that each worker has held, in MB, and the CPU seconds that it has used."""
    found = client.run(lambda: resource.getrusage(resource.RUSAGE_SELF))
    return [(one.ru_maxrss / 1024, one.ru_utime + one.ru_stime) for one in found.values()]


def checksum(blocks) -> str:
    """Of the bytes of blocks of rows."""
    found = hashlib.sha256()
    for block in blocks:
        found.update(np.ascontiguousarray(block))
    return found.hexdigest()[:16]


def from_zarr_to_zarr(given):
    """Make the input, and a cluster to run it on."""
    rows, steps = given.chunk
    count = max(given.workers, round(given.gigabytes * 1e9 / (4 * FEATURES * rows * steps * 8)))
    model = rk.Sequential([rk.LSTM(given.units, return_sequences=True), rk.Dense(FEATURES)], seed=0)
    model.build((None, None, FEATURES))
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        source, target = pathlib.Path(folder, "x.zarr"), pathlib.Path(folder, "y.zarr")
        write_input(source, count * rows, 8 * steps, given.chunk)
        with chunks.computing("cluster", given.workers, memory_limit=given.memory) as client:
            seen = "" if importlib.util.find_spec("bokeh") else " (pip install bokeh to see it)"
            print(f"dashboard: {client.dashboard_link}{seen}", flush=True)
            predict(client, model, source, target)
        x, y = zarr.open(str(source), mode="r"), zarr.open(str(target), mode="r")
        starts = range(0, y.shape[0], rows)
        begun = time.perf_counter()
        alone = checksum(model.predict(x[i : i + rows]) for i in starts)
        print(f"one process without Dask: {time.perf_counter() - begun:.1f} s, {rk.get_num_threads()} threads")
        together = checksum(y[i : i + rows] for i in starts)
    print(f"checksum of the workers' output: {together}, of one process's: {alone}")
    if together != alone:
        sys.exit("they differ")


def predict(client, model, source, target):
    """Predict, and print a line for each figure."""
    x = da.from_zarr(str(source))
    count = x.npartitions
    print(f"input: {x.shape} float32, {x.nbytes / 1e9:.2f} GB, {count} chunks of {x.nbytes / count / 1e6:.1f} MB")
    before, wall, cpu = used(client), time.perf_counter(), time.process_time()
    da.to_zarr(model.predict(x), str(target))
    wall, cpu, after = time.perf_counter() - wall, time.process_time() - cpu, used(client)
    print(f"wall: {wall:.1f} s; client and scheduler: {cpu:.1f} s of CPU, {1e3 * cpu / count:.1f} ms for each chunk")
    for i, ((least, begun), (most, ended)) in enumerate(zip(before, after, strict=True)):
        print(f"worker {i}: at most {most:.0f} MB ({least:.0f} MB before), {ended - begun:.1f} s of CPU")


def workers(given):
    """The same prediction on one worker and on two, each of one thread, in turns."""
    least = {1: float("inf"), 2: float("inf")}
    for _ in range(given.rounds):
        for count in least:
            with chunks.computing("cluster", count) as client:
                before = used(client)
                y = chunks.prediction(given.batch)
                times = chunks.seconds(y, 3)
                least[count] = min(least[count], *times)
                cpu = [after - start for (_, start), (_, after) in zip(before, used(client), strict=True)]
                shown = [", ".join(f"{one:.2f}" for one in several) for several in (times, cpu)]
                print(f"{count} workers: {shown[0]} s; CPU of each: {shown[1]} s", flush=True)
    print(f"batch {given.batch}, {chunks.TIME} steps, {chunks.FEATURES} features, {chunks.UNITS} units: ", end="")
    print(f"{least[1]:.2f} s and {least[2]:.2f} s, a speed-up of {least[1] / least[2]:.2f}")


def overhead(given):
    """Milliseconds of each chunk, and what of them is beyond Dask's own."""
    for where in ("threads", "cluster"):
        with chunks.computing(where) as client:
            for what, used in {"wall": time.perf_counter, "CPU": lambda: _all_cpu(client)}.items():
                found = chunks.milliseconds(given.rounds, used)
                for name, one in found.items():
                    print(f"{where}, {what}: {name}: {one:.2f} ms")
                for name, one in chunks.overheads(found).items():
                    print(f"{where}, {what}: {name} beyond its tasks: {one:.2f} ms", flush=True)


def _all_cpu(client):
    """Of client, scheduler and workers together."""
    if client is None:
        return time.process_time()
    return time.process_time() + sum(cpu for _, cpu in used(client))


def main():
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("zarr")
    one.add_argument("--gigabytes", type=float, default=20.0, help="of input; the output has as many")
    one.add_argument("--workers", type=int, default=2)
    one.add_argument("--memory", default="1GB", help="limit of each worker")
    one.add_argument("--units", type=int, default=16)
    one.add_argument("--chunk", type=int, nargs=2, default=(64, 4096), help="rows and steps")
    one.add_argument("--folder", default=None)
    one.set_defaults(run=from_zarr_to_zarr)
    one = commands.add_parser("workers")
    one.add_argument("--rounds", type=int, default=3)
    one.add_argument("--batch", type=int, default=chunks.BATCH)
    one.set_defaults(run=workers)
    one = commands.add_parser("chunks")
    one.add_argument("--rounds", type=int, default=3)
    one.set_defaults(run=overhead)
    given = parser.parse_args()
    given.run(given)


if __name__ == "__main__":
    main()
