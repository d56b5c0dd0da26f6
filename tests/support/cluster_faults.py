"""What goes wrong on a real cluster of two processes on this machine: prints what came of it as JSON.

python tests/support/cluster_faults.py faults
python tests/support/cluster_faults.py kills 20
"""

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import dask
import dask.array as da
import numpy as np
from cluster_run import network
from distributed import Client, LocalCluster, wait

import rnnkit as rk

ROWS, STEPS, CHUNKS = 12, 60, (2, 10)
TASKS = 36  # chunks of the input


def cluster(workers=2):
    """Workers of one thread, each with a nanny, which only this machine can reach.

    A cluster gives up a worker that isn't back within 15 seconds; a busy machine takes longer to start one.
    """
    dask.config.set({"distributed.deploy.lost-worker-timeout": "10 minutes"})
    options = {"threads_per_worker": 1, "host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "memory_limit": 0}
    return LocalCluster(n_workers=workers, silence_logs=50, **options)


def sequences(pause=0.0, seed=0):
    """Sequences, and the same in chunks, each of which takes so many seconds to come."""
    x = np.random.default_rng(seed).normal(size=(ROWS, STEPS, 3)).astype("float32")
    x[2], x[3, :20] = 0, 0

    def slow(block):
        time.sleep(pause)
        return block

    lazy = da.from_array(x, chunks=(*CHUNKS, 3))
    return x, lazy.map_blocks(slow, meta=np.empty((0, 0, 0), "float32")) if pause else lazy


def same(result, expected) -> bool:
    return np.asarray(result).tobytes() == expected.tobytes()


def processes(client) -> dict:
    """Those of the workers that answer, by address."""
    return client.run(os.getpid, on_error="ignore")


def tasks_of(client) -> dict:
    """How many tasks each worker has run."""
    return client.run(lambda dask_worker: dask_worker.state.executed_count)


def kills(times: int) -> dict:
    """Kill a worker, now and then both, at random moments of so many predictions."""
    found: dict[str, list] = {"same": [], "part": []}
    draw, model = random.Random(0), network()
    with cluster() as workers, Client(workers) as client:
        _, lazy = sequences(0.02)
        model.predict(lazy).compute()  # which loads the programs
        begun, _ = time.perf_counter(), model.predict(lazy).compute()
        length = time.perf_counter() - begun
        while len(found["same"]) < times:
            client.wait_for_workers(2)
            x, lazy = sequences(0.02, seed=len(found["part"]))
            future = client.compute(model.predict(lazy))
            moment = draw.random() * length
            time.sleep(moment)
            victims = list(processes(client).values())
            both = len(found["same"]) % 5 == 4
            if future.done():  # too late: another go, a little earlier
                print("late", round(length, 2), file=sys.stderr, flush=True)
                length *= 0.9
                continue
            for victim in victims if both else [draw.choice(victims)]:
                os.kill(victim, signal.SIGKILL)
            found["part"].append(round(moment / length, 2))
            found["same"].append(same(future.result(), model(x)))
            print(len(found["same"]), found["part"][-1], found["same"][-1], file=sys.stderr, flush=True)
    return found


def restarted(client) -> dict:
    """What the worker does that its nanny starts in place of a killed one."""
    model, (x, lazy) = network(), sequences()
    before = processes(client)
    os.kill(next(iter(before.values())), signal.SIGKILL)
    while not (new := [one for one, process in processes(client).items() if process not in before.values()]):
        time.sleep(0.05)
    future = client.compute(model.predict(lazy), workers=new, allow_other_workers=False)
    return {"same": same(future.result(), model(x)), "new": len(new)}


def joined_late() -> dict:
    """A worker that comes to a prediction that has begun takes part in it."""
    with cluster(1) as workers, Client(workers) as client:
        model, (x, lazy) = network(), sequences(0.1)
        model.predict(sequences()[1]).compute()
        first = set(client.scheduler_info()["workers"])
        future = client.compute(model.predict(lazy))
        workers.scale(2)
        result = future.result()
        late = [count for one, count in tasks_of(client).items() if one not in first]
        return {"same": same(result, model(x)), "tasks": late[0] if late else 0}


def unfinished(dask_scheduler) -> int:
    """How many tasks are still to be run for anyone."""
    return sum(task.state in ("waiting", "queued", "processing") for task in dask_scheduler.tasks.values())


LEAVING = """
import sys
from cluster_faults import network, sequences
from distributed import Client
client = Client(sys.argv[1])
future = client.compute(network().predict(sequences(0.1)[1]))
print("begun", flush=True)
future.result()
"""


def left_alone(client) -> dict:
    """What a client leaves that is killed in the middle of a prediction, and what another one gets then."""
    command = [sys.executable, "-c", LEAVING, client.scheduler.address]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([os.path.dirname(__file__), *filter(None, sys.path)])}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as other:
        other.stdout.readline()
        while (wanted := client.run_on_scheduler(unfinished)) < TASKS:
            time.sleep(0.05)
        other.kill()
    while client.run_on_scheduler(unfinished):
        time.sleep(0.05)
    model, (x, lazy) = network(), sequences()
    return {"wanted": wanted, "same": same(model.predict(lazy).compute(), model(x))}


def raising(client) -> dict:
    """An error in one row: what it says, and the blocks of other rows."""
    model = rk.Sequential([rk.Embedding(5, 3, name="words"), rk.LSTM(4, return_sequences=True)], seed=0)
    ids = np.random.default_rng(0).integers(0, 5, (ROWS, STEPS))
    expected = model(ids)
    ids[5, 33] = 9
    y = client.persist(model.predict(da.from_array(ids, chunks=CHUNKS)))
    wait(y)
    blocks, others = [y.blocks[i] for i in range(ROWS // CHUNKS[0])], []
    for i, block in enumerate(blocks):
        rows = slice(CHUNKS[0] * i, CHUNKS[0] * (i + 1))
        if i != 5 // CHUNKS[0]:
            others.append(same(block.compute(), expected[rows]))
    before = same(y[4:6, : CHUNKS[1]].compute(), expected[4:6, : CHUNKS[1]])
    try:
        y.compute()
    except ValueError as error:
        return {"error": str(error), "others": others, "before": before}
    return {}


@rk.cell(states={"h": "units"}, weights={"w": rk.Weight(("features", "units"), "ones")})
def never_compiled_before(x, states, weights, *, units=3):
    h = np.sin(x @ weights.w + 0.34567 * states[0])
    return h, (h,)


def full_disk(client) -> dict:
    """Programs can't be kept on one worker's disk: they are compiled in its memory."""

    class Full:
        """A file on a disk without space."""

        def __init__(self, handle):
            self.handle = handle

        def __enter__(self):
            return self

        def __exit__(self, *error):
            os.close(self.handle)

        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def fill(dask_worker):
        from rnnkit.backends.shared import program_cache

        tried = dask_worker.refused_writes = []

        def fdopen(handle, mode):
            tried.append(handle)
            return Full(handle)

        program_cache.os = SimpleNamespace(**{**vars(os), "fdopen": fdopen})

    address = next(iter(client.scheduler_info()["workers"]))
    client.run(fill, workers=[address])
    layer = rk.RNN(never_compiled_before(), return_sequences=True)
    x, lazy = sequences()
    layer.build((None, None, 3))
    future = client.compute(layer(lazy), workers=[address], allow_other_workers=False)
    result = future.result()
    refused = client.run(lambda dask_worker: len(dask_worker.refused_writes), workers=[address])[address]
    return {"same": same(result, layer(x)), "refused": refused}


def faults() -> dict:
    """All but the kills at random moments."""
    with cluster() as workers, Client(workers) as client:
        told: dict[str, dict] = {}
        for fault in (raising, full_disk, left_alone, restarted):
            told[fault.__name__] = fault(client)
            print(fault.__name__, told[fault.__name__], file=sys.stderr, flush=True)
    return told | {"late": joined_late()}


if __name__ == "__main__":
    begun = time.perf_counter()
    told = kills(int(sys.argv[2])) if sys.argv[1] == "kills" else faults()
    told["seconds"] = time.perf_counter() - begun
    json.dump(told, sys.stdout)
