"""Fits on a real cluster of processes on this machine: prints what came of them as JSON.

The argument is how many more times a worker is to be killed in the middle of a fit; with one, a worker of other vectors
comes, too.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import dask
import dask.array as da
import numpy as np
from distributed import Client, Nanny, Scheduler, SpecCluster

import rnnkit as rk

SHAPE, CHUNKS = (64, 30, 3), (20, 7, 37)
OPTIONS = {"nthreads": 1, "memory_limit": 0, "host": "127.0.0.1", "dashboard": False}
SETTINGS = {"batch_size": 32, "epochs": 2, "parts": 4, "verbose": 0, "validation_split": 0.2}


def cluster():
    """A scheduler and one worker of one thread, which only this machine can reach; `scale` adds others."""
    scheduler = {"cls": Scheduler, "options": {"dashboard": False, "host": "127.0.0.1", "port": 0}}
    worker = {"cls": Nanny, "options": OPTIONS}
    return SpecCluster(scheduler=scheduler, worker=worker, workers={0: worker}, silence_logs=50)


def arrays():
    x = np.random.default_rng(0).normal(size=SHAPE).astype("float32")
    return x, x[:, :, :1].sum(axis=1)


def chunks(x):
    return da.from_array(x, chunks=(CHUNKS, *x.shape[1:]))


def network():
    layers = [rk.LSTM(16, dropout=0.3, return_sequences=True), rk.BatchNormalization(), rk.GRU(8)]
    model = rk.Sequential([*layers, rk.Dense(1, kernel_regularizer="l2")], seed=0)
    model.compile("adam", "mse", metrics=["mae"])
    return model


class After(rk.callbacks.Callback):
    """Does something after some batch."""

    def __init__(self, batch, does):
        self.batch, self.does = batch, does

    def on_train_batch_end(self, batch, logs=None):
        self.batch -= 1
        if self.batch == 0:
            self.does()


def result(x, y, *callbacks, **more):
    """The losses and the bits of the weights after a fit."""
    model = network()
    history = model.fit(x, y, callbacks=list(callbacks), **(SETTINGS | more))
    return history.history, [one.tobytes() for one in model.get_weights()]


def here():
    """The same fit on one machine, without Dask."""
    x, y = arrays()
    return result(x, y, shuffle=CHUNKS)


def late(client, found, expected):
    """Another worker comes in the middle: whether the bits are the same, and how many workers there are then."""
    x, y = arrays()

    def join():
        found.scale(2)
        client.wait_for_workers(2)

    same = result(chunks(x), y, After(2, join)) == expected
    return [same, len(client.nthreads())]


def sent(client):
    """How often a worker was sent weights by another, and how many there were to send."""
    names = lambda dask_worker: [
        str(key)
        for entry in dask_worker.transfer_incoming_log
        for key in entry["keys"]
        if str(key).startswith("weights-")
    ]
    found = [key for keys in client.run(names).values() for key in keys]
    return len(found), len(set(found))


def of_batches():
    """Whether a list of delayed batches gives the bits of the batches."""
    x, y = arrays()
    batches = [(x[i : i + 20], y[i : i + 20]) for i in range(0, len(x), 20)]
    own = {"validation_split": 0.0}
    return result([dask.delayed(one) for one in batches], None, **own) == result(batches, None, **own)


def killed_inside(expected):
    """Loading a chunk kills its worker, the first time."""
    x, y = arrays()
    with tempfile.TemporaryDirectory() as folder:
        flag = Path(folder, "killed")

        def load(block, block_info=None):
            if block_info[0]["chunk-location"][0] == 1 and not flag.exists():
                flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return block

        lazy = chunks(x).map_blocks(load, meta=np.empty((0, 0, 0), x.dtype))
        return [result(lazy, y) == expected, flag.exists()]


def processes(client):
    """The numbers of both workers' processes, once both are there."""
    while True:
        client.wait_for_workers(2)
        found = [one for one in client.run(os.getpid, on_error="ignore").values() if isinstance(one, int)]
        if len(found) == 2:
            return found


def killed(client, expected, seconds):
    """A worker is killed some time after an update has begun."""
    x, y = arrays()
    victim = random.choice(processes(client))
    kill = threading.Timer(seconds, os.kill, (victim, signal.SIGKILL))
    same = result(chunks(x), y, After(random.randint(1, 2), kill.start)) == expected
    kill.join()
    return same


def failing():
    x, y = arrays()
    x[37, 3, 1] = np.nan
    model = network()
    try:
        model.fit(chunks(x), y, shuffle=False, **SETTINGS)
    except FloatingPointError as error:
        return str(error), model.optimizer.iterations


def interrupted(client):
    """Ctrl-C: whether it is in the history, how many updates there were, and the tasks that it leaves.

    Those from before belong to an error, whose frames Dask's client may keep, with what they hold.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    x, y = arrays()
    model, before = network(), tasks_of(client)
    press = After(3, lambda: os.kill(os.getpid(), signal.SIGINT))
    history = model.fit(chunks(x), y, callbacks=[press], **SETTINGS)
    for _ in range(200):
        if not (left := tasks_of(client) - before):
            break
        time.sleep(0.05)
    return history.interrupted, model.optimizer.iterations, len(left)


def tasks_of(client):
    return set(client.run_on_scheduler(lambda dask_scheduler: [str(key) for key in dask_scheduler.tasks]))


def other_vectors(client, found):
    """A worker with narrower vectors comes."""
    x, y = arrays()
    command = [sys.executable, "-m", "distributed.cli.dask_worker", found.scheduler_address, "--nthreads", "1"]
    command += ["--no-nanny", "--no-dashboard", "--host", "127.0.0.1", "--lifetime", "60s"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    worker = subprocess.Popen(command, env={**os.environ, "RNNKIT_VECTOR": "generic"}, **quiet)
    try:
        client.wait_for_workers(3, timeout=60)
        network().fit(chunks(x), y, **(SETTINGS | {"parts": 16}))
    except RuntimeError as error:
        return str(error)
    finally:
        worker.kill()
        worker.wait()


def disconnected(client):
    """The connection to the scheduler breaks: the error, and whether the weights are those of the update before."""
    x, y = arrays()
    model, reference = network(), network()
    reference.fit(x, y, shuffle=CHUNKS, steps_per_epoch=2, **(SETTINGS | {"epochs": 1, "validation_split": 0.0}))
    lose = After(2, client.scheduler_comm.comm.abort)
    try:
        model.fit(chunks(x), y, callbacks=[lose], **(SETTINGS | {"validation_split": 0.0, "batch_size": 32}))
    except RuntimeError as error:
        same = all(np.array_equal(a, b) for a, b in zip(model.get_weights(), reference.get_weights(), strict=True))
        return str(error), error.__notes__, same


def main(kills):
    expected, (x, y) = here(), arrays()
    with cluster() as found, Client(found) as client:
        client.wait_for_workers(1)
        told = {"one": result(chunks(x), y) == expected, "late": late(client, found, expected)}
        told |= {"two": result(chunks(x), y) == expected, "sent": sent(client), "batches": of_batches()}
        told |= {"failing": failing(), "interrupted": interrupted(client)}
        told |= {"killed": killed_inside(expected), "kills": [killed(client, expected, 0.02 * (i % 8)) for i in kills]}
        told |= {"vectors": other_vectors(client, found) if kills else None, "disconnected": disconnected(client)}
    return told


if __name__ == "__main__":
    # A cluster gives up a worker that is missing after this time, also one that was killed once more meanwhile.
    dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"})
    begun = time.perf_counter()
    told = main(range(int(sys.argv[1])))
    told["seconds"] = time.perf_counter() - begun
    json.dump(told, sys.stdout)
