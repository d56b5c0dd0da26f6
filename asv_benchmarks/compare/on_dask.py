"""Predict from one zarr array to another on a cluster of Dask, with little memory, and say what it took.

    python asv_benchmarks/compare/on_dask.py --gigabytes 20 --workers 2 --memory 1GB
    python asv_benchmarks/compare/on_dask.py --gigabytes 2 --workers 1          # against --workers 2: the speed-up

It takes ``rnnkit[dask]``. The input compresses well, so that 20 GB of it take a few hundred MB on disk. The first rows
of the output are compared with a call on these rows alone, bit for bit.
"""

import argparse
import resource
import tempfile
import time
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import zarr
from distributed import Client, LocalCluster

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


def peak(client):
    """The most memory that each worker has held, in MB, and the CPU seconds that it has used."""
    used = client.run(lambda: resource.getrusage(resource.RUSAGE_SELF))
    return [(one.ru_maxrss / 1024, one.ru_utime + one.ru_stime) for one in used.values()]


def main():
    """Make the input, and a cluster to run it on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=20.0, help="of input; the output has as many")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", default="1GB", help="limit of each worker")
    parser.add_argument("--units", type=int, default=16)
    parser.add_argument("--chunk", type=int, nargs=2, default=(64, 4096), help="rows and steps")
    parser.add_argument("--folder", default=None)
    given = parser.parse_args()
    rows, steps = given.chunk
    count = max(given.workers, round(given.gigabytes * 1e9 / (4 * FEATURES * rows * steps * 8)))
    shape = count * rows, 8 * steps
    layers = [rk.LSTM(given.units, return_sequences=True), rk.Dense(FEATURES)]
    model = rk.Sequential(layers, seed=0)
    model.build((None, None, FEATURES))
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        source, target = Path(folder, "x.zarr"), Path(folder, "y.zarr")
        write_input(source, *shape, given.chunk)
        options = {"threads_per_worker": 1, "memory_limit": given.memory, "dashboard_address": None}
        with LocalCluster(n_workers=given.workers, host="127.0.0.1", **options) as cluster, Client(cluster) as client:
            measure(client, model, source, target)


def measure(client, model, source, target):
    """Predict, and print a line for each figure."""
    x = da.from_zarr(str(source))
    before, wall, cpu = peak(client), time.perf_counter(), time.process_time()
    da.to_zarr(model.predict(x), str(target))
    wall, cpu, after = time.perf_counter() - wall, time.process_time() - cpu, peak(client)
    y = zarr.open(str(target), mode="r")
    with dask.config.set(scheduler="sync"):
        same = np.array_equal(y[:4], model(np.asarray(zarr.open(str(source), mode="r")[:4])))
    chunks = x.npartitions
    print(f"input: {x.shape} float32, {x.nbytes / 1e9:.2f} GB, {chunks} chunks of {x.nbytes / chunks / 1e6:.1f} MB")
    print(f"wall: {wall:.1f} s; client and scheduler: {cpu:.1f} s of CPU, {1e3 * cpu / chunks:.1f} ms for each chunk")
    for i, ((least, used), (most, used_after)) in enumerate(zip(before, after, strict=True)):
        print(f"worker {i}: at most {most:.0f} MB ({least:.0f} MB before), {used_after - used:.1f} s of CPU")
    print(f"the first rows have the bits of one call: {same}")


if __name__ == "__main__":
    main()
