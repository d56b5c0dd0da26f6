"""Forecast a panel in partitions on a cluster of Dask, and fit a reservoir in chunks, and say what it took.

    python asv_benchmarks/compare/panels_on_dask.py panel --series 100000 --workers 2   # against --workers 1
    python asv_benchmarks/compare/panels_on_dask.py reservoir --steps 10000000 --chunk 1000000

It takes ``rnnkit[dask]`` and pandas. Series are made on the workers, partition by partition. ``panel`` prints the
seconds, the series for each second and the most memory of each worker, and compares the first partition with a call on
it alone, bit for bit. ``reservoir`` runs on one thread of this process; it prints the rate, and what that makes of 10⁸
steps.
"""

import argparse
import resource
import time

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
from distributed import Client, LocalCluster

import rnnkit as rk


def made(number, size, steps):
    """The series of a partition: months of a season and a walk."""
    rng = np.random.default_rng(number)
    y = 100 + 10 * np.sin(np.arange(steps) * np.pi / 6) + rng.normal(size=(size, steps)).cumsum(axis=1)
    months = pd.date_range("2015-01-01", periods=steps, freq="MS").to_numpy()
    ids = np.arange(number * size, (number + 1) * size)
    return pd.DataFrame({"unique_id": np.repeat(ids, steps), "ds": np.tile(months, size), "y": y.ravel()})


def peak(client):
    """The most memory that each worker has held, in MB, and the CPU seconds that it has used."""
    used = client.run(lambda: resource.getrusage(resource.RUSAGE_SELF))
    return [(one.ru_maxrss / 1024, one.ru_utime + one.ru_stime) for one in used.values()]


def measured(given):
    """Seconds of a fit and the mean of its forecasts on workers, and what else `panel` prints."""
    count = max(1, round(given.series / given.partition))
    head = made(0, 1, given.steps).iloc[:0]
    sizes = {"size": given.partition, "steps": given.steps}
    models = {"theta": rk.forecast.Theta(12), "smoothing": rk.forecast.ExponentialSmoothing(12)}
    options = {"threads_per_worker": 1, "memory_limit": given.memory, "dashboard_address": None, "host": "127.0.0.1"}
    with LocalCluster(n_workers=given.workers, **options) as cluster, Client(cluster) as client:
        table = dd.from_map(made, range(count), meta=head, enforce_metadata=False, **sizes)
        few = dd.from_map(made, range(given.workers), meta=head, enforce_metadata=False, **sizes)
        model = models[given.model]
        model.copy().fit(few).predict(12).compute()  # programs are compiled
        before, wall = peak(client), time.perf_counter()
        said = model.copy().fit(table)
        read = time.perf_counter() - wall
        lazy = said.predict(12)
        mean = lazy[model.name].mean().compute()
        wall, after = time.perf_counter() - wall, peak(client)
        first = lazy.partitions[0].compute()
    alone = model.copy().fit(made(0, **sizes)).predict(12)
    rate = count * given.partition / wall
    lines = [
        f"{model!r}: {count * given.partition:,} series of {given.steps} steps in {count} partitions; {mean=:.4f}",
        f"{given.workers} workers: {wall:.1f} s, {read:.1f} s of it to check; {rate:.0f} series/s",
    ]
    for i, ((least, used), (most, used_after)) in enumerate(zip(before, after, strict=True)):
        lines.append(f"worker {i}: at most {most:.0f} MB ({least:.0f} MB before), {used_after - used:.1f} s of CPU")
    lines.append(f"the first partition has the bits of one call: {first.reset_index(drop=True).equals(alone)}")
    return wall, lines


def panel(given):
    """Fit and forecast on workers."""
    print("\n".join(measured(given)[1]))


def reservoir(given):
    """Fit readouts to one long series, in this process."""
    waves = lambda start, stop: np.sin(0.1 * np.arange(start, stop)) + 0.1 * np.sin(np.arange(start, stop) ** 2 % 97)

    def block(block_info=None):
        return waves(*block_info[None]["array-location"][0])

    chunks = da.core.normalize_chunks(given.chunk, (given.steps,), dtype="float64")
    series = da.map_blocks(block, chunks=chunks, dtype="float64", meta=np.empty(0))
    network = rk.ESN(given.horizon, units=given.units, seed=0)
    rk.set_num_threads(1)
    with dask.config.set(scheduler="sync"):
        network.fit(series[: 2 * 8192])  # programs are compiled
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        cpu = time.process_time()
        network.fit(series)
        cpu = time.process_time() - cpu
    memory, rate = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory, cpu / given.steps
    print(f"{given.steps:,} steps, {given.units} units, {given.horizon} leads, chunks of {given.chunk:,}")
    print(
        f"{cpu:.1f} s of CPU, {1e6 * rate:.1f} µs for each step; {memory / 1024:.0f} MB more than for two small chunks"
    )
    matrices = 8 * (given.units + 2) ** 2 / 1e6
    print(
        f"10⁸ steps: {1e8 * rate / 3600:.2f} h on one thread; each chunk's sums are {matrices:.1f} MB for each quarter"
    )


def options():
    """What the command line may say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("panel")
    one.set_defaults(run=panel)
    one.add_argument("--series", type=int, default=100_000)
    one.add_argument("--steps", type=int, default=60)
    one.add_argument("--partition", type=int, default=2000, help="series in a partition")
    one.add_argument("--workers", type=int, default=2)
    one.add_argument("--memory", default="1GB", help="limit of each worker")
    one.add_argument("--model", choices=("theta", "smoothing"), default="theta")
    one = commands.add_parser("reservoir")
    one.set_defaults(run=reservoir)
    one.add_argument("--steps", type=int, default=10_000_000)
    one.add_argument("--chunk", type=int, default=1_000_000)
    one.add_argument("--units", type=int, default=300)
    one.add_argument("--horizon", type=int, default=1)
    return parser


def main():
    """What the command line asks for."""
    given = options().parse_args()
    given.run(given)


if __name__ == "__main__":
    main()
