"""Panels, reservoirs and a search on a real cluster of two processes of this machine: prints what came as JSON.

python tests/support/cluster_panels.py
python tests/support/cluster_panels.py kills 20
"""

import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import dask
import dask.array as da
import numpy as np
import pandas as pd
from cluster_faults import cluster as nannies
from cluster_faults import processes
from cluster_run import cluster
from distributed import Client
from panel_runs import cut, panel

import rnnkit as rk

MODEL = rk.forecast.Theta(season=12)
NETWORK = rk.forecast.GlobalRNN(12, units=3, networks=1, epochs=3, batch_size=64)


def in_order(lazy, by=("unique_id", "ds")):
    return lazy.compute().sort_values(list(by)).reset_index(drop=True)


def same_bits(tables):
    """Forecasts and a cross-validation, on partitions of whole series and on others."""
    whole = pd.concat(tables, ignore_index=True)
    parts = cut(tables, np.random.default_rng(1))
    expected = MODEL.copy().fit(whole).predict(4).sort_values(["unique_id", "ds"]).reset_index(drop=True)
    said = in_order(MODEL.copy().fit(parts).predict(4))
    past = MODEL.cross_validation(whole, h=3, n_windows=2)
    by = ("unique_id", "cutoff", "ds")
    windows = in_order(MODEL.cross_validation(parts, h=3, n_windows=2), by)
    past = past.sort_values(list(by)).reset_index(drop=True)
    return bool(expected.equals(said)), bool(past.equals(windows))


def killed(client, tables):
    """Kill a worker in the middle of a panel."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")

        def slow(table, wait):
            with open(log, "a") as file:
                file.write("x")
            time.sleep(wait)
            return table

        parts = [dask.delayed(slow)(table, 0.15) for table in tables]
        lazy = MODEL.copy().fit(parts).predict(4)
        begun = log.stat().st_size
        future = client.compute(lazy)
        while log.stat().st_size < begun + 4:
            time.sleep(0.01)
        done = log.stat().st_size - begun
        os.kill(next(iter(client.run(os.getpid).values())), signal.SIGKILL)
        found = future.result().reset_index(drop=True)
    expected = MODEL.copy().fit(pd.concat(tables)).predict(4)
    return {"done": done, "all": len(tables), "same": bool(found.equals(expected))}


def refused(tables):
    """What is said of a series that can't be read, and of one that can't be fitted."""
    faults = []
    for name, value in (("y", np.inf), ("y", -1.0)):
        wrong = [table.copy() for table in tables]
        for table in wrong:
            table["y"] = np.abs(table["y"].fillna(1.0)) + 1.0
        wrong[2].loc[3, name] = value
        try:
            rk.forecast.ExponentialSmoothing(form="MNN").fit(wrong).predict(2).compute()
        except ValueError as error:
            faults.append(str(error))
    return faults


def learned(tables):
    """Whether models that learn from all series have the bits of this process."""
    parts = cut(tables, np.random.default_rng(1))
    there = [one.copy().fit(parts).predict(4).compute() for one in (NETWORK, rk.forecast.Auto(season=12))]
    with dask.config.set(scheduler="sync"):
        here = [one.copy().fit(parts).predict(4).compute() for one in (NETWORK, rk.forecast.Auto(season=12))]
    return [bool(a.equals(b)) for a, b in zip(there, here, strict=True)]


def killed_in_training(tables):
    """Kill a worker as soon as the first epoch is told, and once more."""
    parts, told, victims = [pd.concat(tables[:6]), pd.concat(tables[6:])], [], []
    with dask.config.set(scheduler="sync"):
        expected = NETWORK.copy().fit(parts).predict(4).compute()
    with nannies() as found, Client(found) as client:
        client.wait_for_workers(2)

        def kill(text):
            told.append(text)
            if len(told) in (1, 4):
                victims.append(next(iter(processes(client).values())))
                os.kill(victims[-1], signal.SIGKILL)

        model = NETWORK.copy().fit(parts, progress=kill)
        return {"same": bool(model.predict(4).compute().equals(expected)), "killed": len(set(victims))}


def kills(times):
    """Kill a worker, now and then both, at random moments of so many panels, in turn of Theta and of a network."""
    tables, draw = panel(24, np.random.default_rng(0)), random.Random(0)
    models = [MODEL, NETWORK]

    def slow(table):
        time.sleep(0.05)
        return table

    parts = [dask.delayed(slow)(pd.concat(tables[i : i + 2])) for i in range(0, 24, 2)]
    work = lambda model: model.copy().fit(parts).predict(4).compute()
    with dask.config.set(scheduler="sync"):
        expected = [work(model) for model in models]
    same: list[bool] = []
    with nannies() as found, Client(found) as client:
        length = []
        for model in models:
            client.wait_for_workers(2)
            work(model)
            begun = time.perf_counter()
            work(model)
            length.append(time.perf_counter() - begun)
        while len(same) < times:
            client.wait_for_workers(2)
            which, victims = len(same) % 2, list(processes(client).values())
            if len(same) % 5 < 4:
                victims = [draw.choice(victims)]
            hits: list[bool] = []

            def kill(victims=victims, hits=hits):
                hits.append(True)
                for victim in victims:
                    os.kill(victim, signal.SIGKILL)

            timer = threading.Timer(draw.random() * length[which], kill)
            timer.start()
            result = work(models[which])
            timer.cancel()
            timer.join()
            if hits:  # otherwise it was too late
                same.append(bool(result.equals(expected[which])))
                print(len(same), same[-1], file=sys.stderr, flush=True)
    return {"same": same}


def reservoir():
    y = np.random.default_rng(0).normal(size=(4, 300)).cumsum(axis=1)
    y[1, 250:], y[2, 100:110] = np.nan, np.nan
    lazy = da.from_array(y, chunks=(2, 70))
    fit = lambda: rk.ESN(horizon=3, units=30, season=12, seed=0).fit(lazy)
    there = fit()
    with dask.config.set(scheduler="sync"):
        here = fit()
    return bool(np.array_equal(there.readout, here.readout) and np.array_equal(there.predict(9), here.predict(9)))


def tried(y, units):
    if units == 7:
        raise ValueError("seven")
    network = rk.ESN(horizon=3, units=units, seed=0).fit(y[:-3])
    return float(np.abs(network.predict() - y[-3:]).mean())


def search():
    y = np.sin(np.arange(200) * 0.3)
    grid = {"units": [20, 7, 10]}
    found = rk.distributed.search(tried, grid, y)
    trials = sorted(found, key=lambda trial: trial.number)
    here = [tried(y, units) for units in (20, 10)]
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder, "log")

        def noted(number):
            with open(log, "a") as file:
                file.write("x")
            time.sleep(0.1)

        with rk.distributed.search(noted, {"number": range(60)}) as many:
            next(many)
        time.sleep(0.3)  # those that run end
        ran = log.stat().st_size
        time.sleep(0.5)
        cancelled = ran == log.stat().st_size < 60 and len(many.trials) == 1 and not list(many)
    return {
        "numbers": [one.number for one in trials],
        "same": [trials[0].result, trials[2].result] == here,
        "error": str(trials[1].error),
        "best": found.best().number == int(np.argmin([here[0], np.inf, here[1]])),
        "cancelled": cancelled,
    }


def all_told():
    tables = panel(12, np.random.default_rng(0))
    with cluster() as found, Client(found) as client:
        client.wait_for_workers(2)
        told = {"same": same_bits(tables), "reservoir": reservoir(), "search": search()}
        told |= {"learned": learned(tables), "refused": refused(tables), "killed": killed(client, tables)}
    return told | {"killed_in_training": killed_in_training(tables)}


if __name__ == "__main__":
    begun = time.perf_counter()
    told = kills(int(sys.argv[2])) if sys.argv[1:2] == ["kills"] else all_told()
    told["seconds"] = time.perf_counter() - begun
    json.dump(told, sys.stdout)
