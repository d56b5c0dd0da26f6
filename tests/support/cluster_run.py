"""A real cluster of two processes on this machine, one with narrower vectors: prints what came of it as JSON."""

import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import dask
import dask.array as da
import numpy as np
from distributed import Client, Nanny, Scheduler, SpecCluster

import rnnkit as rk
from rnnkit.distributed.shipping import share


def cluster():
    """A scheduler and two workers of one thread, which only this machine can reach."""
    options = {"nthreads": 1, "memory_limit": 0, "host": "127.0.0.1", "dashboard": False}
    environments = ({}, {"RNNKIT_VECTOR": "generic"})
    workers = {i: {"cls": Nanny, "options": {**options, "env": env}} for i, env in enumerate(environments)}
    scheduler = {"cls": Scheduler, "options": {"dashboard": False, "host": "127.0.0.1", "port": 0}}
    return SpecCluster(scheduler=scheduler, workers=workers, silence_logs=50)


def sequences(chunks):
    x = np.random.default_rng(0).normal(size=(6, 40, 3)).astype("float32")
    x[2], x[3, :20] = 0, 0
    return x, da.from_array(x, chunks=(*chunks, 3))


def network():
    layers = [rk.Masking(), rk.LSTM(64, return_sequences=True), rk.Bidirectional(rk.GRU(8, return_sequences=True))]
    return rk.Sequential([*layers, rk.Dense(2)], seed=0)


def same_bits():
    """Whether the bits are those of one call here, for several ways to cut."""
    model, found = network(), []
    for chunks in ((1, 10), (2, 40), (6, 7)):
        x, lazy = sequences(chunks)
        found.append(bool(np.array_equal(model.predict(lazy).compute(), model(x))))
    return found


def shipped(client):
    """How often each worker was sent the bytes of a layer by another for one prediction, at most; there are four."""
    model, (_, lazy) = network(), sequences((1, 10))
    model.predict(lazy).compute()
    names = lambda dask_worker: [
        str(key) for entry in dask_worker.transfer_incoming_log for key in entry["keys"] if "-layer-" in str(key)
    ]
    found = client.run(names)
    return [max([keys.count(key) for key in keys], default=0) for keys in found.values()]


def threads(client):
    """The threads of a task, and those that the process would use alone."""

    def inside():
        with share():
            return rk.get_num_threads()

    return [client.submit(inside, pure=False, workers=[one]).result() for one in client.scheduler_info()["workers"]]


def killed(client):
    """Kill a worker in the middle of a prediction."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")

        def slow(block):
            with open(log, "a") as file:
                file.write("x")
            time.sleep(0.05)
            return block

        model = network()
        x, lazy = sequences((1, 6))
        future = client.compute(model.predict(lazy.map_blocks(slow, meta=np.empty((0, 0, 0), "float32"))))
        while not log.exists() or log.stat().st_size < 10:
            time.sleep(0.01)
        done = log.stat().st_size
        victim = next(iter(client.run(os.getpid).values()))
        os.kill(victim, signal.SIGKILL)
        result = future.result()
        return {"done": done, "all": 42, "same": bool(np.array_equal(result, model(x)))}


def failing():
    ids = np.zeros((8, 10), int)
    ids[5, 3] = 9
    try:
        rk.Embedding(3, 2, name="words")(da.from_array(ids, chunks=(2, 5))).compute()
    except ValueError as error:
        return str(error)


def other_vectors(client):
    """What the worker with narrower vectors says of a sum over features."""
    layer = rk.Dense(40, activation="softmax", name="shares", seed=0)
    layer.build((None, None, 3))
    y = layer(da.ones((2, 4, 3), chunks=(1, 4, 3), dtype="float32"))
    expected = layer(np.ones((2, 4, 3), "float32"))

    def there():
        try:
            found = bool(np.array_equal(y.compute(scheduler="sync"), expected))
        except RuntimeError as error:
            found = str(error)
        return os.environ.get("RNNKIT_VECTOR", ""), found

    return dict(client.run(there).values())


def readout(client):
    f = np.random.default_rng(0).normal(size=(6, 50, 9))
    lazy = da.from_array(f, chunks=(1, 10, 9))
    on_workers = rk.distributed.fit_readout(lazy, f[:, :, :2] * 3).get_weights()
    with dask.config.set(scheduler="sync"):
        here = rk.distributed.fit_readout(lazy, f[:, :, :2] * 3).get_weights()
    return all(np.array_equal(a, b) for a, b in zip(on_workers, here, strict=True))


if __name__ == "__main__":
    begun = time.perf_counter()
    with cluster() as found, Client(found) as client:
        client.wait_for_workers(2)
        told = {"shipped": shipped(client), "same": same_bits(), "threads": threads(client), "readout": readout(client)}
        told |= {"error": failing(), "vectors": other_vectors(client), "killed": killed(client)}
    told["seconds"] = time.perf_counter() - begun
    json.dump(told, sys.stdout)
