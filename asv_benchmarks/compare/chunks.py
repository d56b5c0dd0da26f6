"""Layers on dask arrays: what a chunk costs beyond Dask's own tasks, and the rows that one and two workers predict."""

import contextlib
import time
import unittest.mock as mock
from collections.abc import Callable, Iterator

import dask
import dask.array as da
import numpy as np
from benchmarks import sizes

import rnnkit as rk
from rnnkit.distributed import blocks

CHUNKS = (10, 50)  # of rows and of steps, each of so little that nothing but overhead is left
BATCH, TIME, FEATURES, UNITS = sizes.WORKERS
ROWS = 512  # in a chunk, which takes some 0.2 s


@contextlib.contextmanager
def computing(where: str, workers: int = 1, **options) -> Iterator:
    """Dask's threads, or a cluster of processes of one thread each, whose client this gives."""
    if where == "threads":
        with dask.config.set(scheduler="threads", num_workers=workers):
            yield None
        return
    from distributed import Client, LocalCluster

    usual = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "silence_logs": 40}
    with LocalCluster(n_workers=workers, **(usual | options)) as cluster, Client(cluster) as client:
        client.wait_for_workers(workers)
        yield client


def recurrent(shipped, wishes, place, before, x, mask, states, *more):
    """What `rnnkit.distributed.blocks.recurrent` returns of an LSTM with four units, without a layer."""
    states = np.zeros((2, len(x), 4), x.dtype)
    return blocks.Carry(tuple(states), states[0]), np.zeros((*x.shape[:2], 4), x.dtype)


def several(shipped, place, before, x, mask):
    """What `rnnkit.distributed.blocks.several` returns of two LSTMs with four units and a Dense(2), without these."""
    carry, _ = recurrent(shipped, None, place, None, x, mask, 0)
    return (carry, carry), np.zeros((*x.shape[:2], 2), x.dtype), None


def layers(seed: int) -> dict:
    """One layer, and several that are one task for each chunk; of another seed, tasks have other keys."""
    lstm = rk.LSTM(4, return_sequences=True, seed=seed)
    stack = rk.Sequential(
        [rk.LSTM(4, return_sequences=True), rk.LSTM(4, return_sequences=True), rk.Dense(2)], seed=seed
    )
    stack(np.ones((4, 5, 3), "float32"))
    return {"LSTM": lstm, "LSTM, LSTM, Dense": stack}


def calls() -> dict[str, Callable]:
    """Ways to a number that takes every chunk.

    Through one function for each chunk, by `map_blocks`; through layers; and through the tasks of these layers, of the
    same dependencies and sizes, with functions that do nothing. Only the layers' graphs are made in the call.
    """
    rows, steps = CHUNKS
    x = da.ones((rows * 4, steps * 5, 3), chunks=(4, 5, 3), dtype="float32")
    alike = x.map_blocks(np.positive, dtype="float32", meta=np.empty((0, 0, 0), "float32"))
    found = {"map_blocks": alike.sum().compute}
    with mock.patch.multiple(blocks, recurrent=recurrent, several=several):
        found |= {f"the tasks of {name}": layer(x).sum().compute for name, layer in layers(1).items()}
    return found | {name: lambda layer=layer: layer(x).sum().compute() for name, layer in layers(0).items()}


def milliseconds(rounds: int, used: Callable[[], float] = time.perf_counter) -> dict[str, float]:
    """What a chunk takes in each of `calls`, the least of some rounds."""
    least: dict[str, float] = {}
    for _ in range(rounds):
        for name, call in calls().items():
            start = used()
            call()
            least[name] = min(least.get(name, float("inf")), used() - start)
    return {name: 1e3 * one / (CHUNKS[0] * CHUNKS[1]) for name, one in least.items()}


def overheads(found: dict[str, float]) -> dict[str, float]:
    """What of `milliseconds` is the layers', beyond Dask's own for the same tasks."""
    return {name: one - found[own] for name, one in found.items() if (own := f"the tasks of {name}") in found}


def prediction(batch: int = BATCH):
    """A prediction whose input is made chunk by chunk, so that reading takes no time."""

    def made(block_info=None):
        (first, after), (start, end), *_ = block_info[None]["array-location"]
        waves = np.sin(np.arange(first, after)[:, None] + 0.05 * np.arange(start, end)).astype("float32")
        return np.repeat(waves[..., None], FEATURES, axis=2)

    sizes = da.core.normalize_chunks((ROWS, TIME, FEATURES), (batch, TIME, FEATURES))
    x = da.map_blocks(made, chunks=sizes, dtype="float32", meta=np.empty((0, 0, 0), "float32"))
    model = rk.Sequential([rk.LSTM(UNITS, return_sequences=True, seed=0), rk.Dense(1, seed=1)])
    model.build((None, None, FEATURES))
    return model.predict(x)


def seconds(y, rounds: int) -> list[float]:
    """Times of a prediction on the workers that there are, after one that loads the programs into each."""
    found = []
    for _ in range(1 + rounds):
        start = time.perf_counter()
        y.compute()
        found.append(time.perf_counter() - start)
    return found[1:]
