"""Train on clusters of Dask with one worker and with two, and say what the second one gave.

    python asv_benchmarks/compare/fit_on_dask.py --batch 512 --steps 200 --units 128

It takes ``rnnkit[dask]``. Workers have one thread each. The weights after all fits have the same bits, which it says.
"""

import argparse
import time

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

import rnnkit as rk


def network(units):
    """An LSTM with a dense layer on its last output."""
    model = rk.Sequential([rk.LSTM(units), rk.Dense(1)], seed=0)
    model.compile("adam", "mse")
    return model


def drawn(rows, steps, features, chunk):
    """Inputs that workers draw, and targets that take as many."""
    rng = da.random.default_rng(0)
    x = rng.normal(size=(rows, steps, features), chunks=(chunk, steps, features)).astype("float32")
    return x, x[:, :, :1].mean(axis=1)


def measured(workers, given):
    """Seconds of an update, what was moved, and the weights, with so many workers; programs are compiled before."""
    options = {"threads_per_worker": 1, "dashboard_address": None, "host": "127.0.0.1", "memory_limit": 0}
    x, y = drawn(given.batch * given.updates, given.steps, given.features, given.batch // 2)
    settings = {"batch_size": given.batch, "parts": given.parts, "verbose": 0}
    with LocalCluster(n_workers=workers, **options) as cluster, Client(cluster):
        network(given.units).fit(x, y, steps_per_epoch=2, **settings)
        model = network(given.units)
        begun = time.perf_counter()
        history = model.fit(x, y, **settings)
        return (time.perf_counter() - begun) / given.updates, history.traffic, model.get_weights()


def options():
    """What the command line may say."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--features", type=int, default=32)
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument("--parts", type=int, default=8)
    parser.add_argument("--updates", type=int, default=30)
    parser.add_argument("--workers", type=int, nargs="+", default=(1, 2))
    return parser


def main():
    """Print a line for each number of workers, and the speed-up."""
    given = options().parse_args()
    found = {workers: measured(workers, given) for workers in given.workers}
    for workers, (seconds, traffic, _) in found.items():
        print(f"{workers} workers: {1e3 * seconds:.0f} ms an update; {traffic}")
    (first, _, weights), *others = found.values()
    for workers, (seconds, *_) in list(found.items())[1:]:
        print(f"{workers} workers: {first / seconds:.2f} x {given.workers[0]}")
    same = all(np.array_equal(a, b) for _, _, own in others for a, b in zip(weights, own, strict=True))
    print(f"all have the same bits: {same}")


if __name__ == "__main__":
    main()
