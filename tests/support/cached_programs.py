"""A program whose compiled code is kept in a folder, run in processes of its own."""

import os
import sys
from pathlib import Path

import processes

PROGRAM = """
import warnings
warnings.simplefilter("error")
import numpy as np
import rnnkit as rk

@rk.cell(states={"h": "features"}, weights={"gain": rk.Weight(("features",), "glorot_uniform")})
def cached(x, states, weights):
    h = 0.5 * states[0] + x * weights.gain
    return h, (h,)

x = np.arange(24.0).reshape(2, 4, 3)
print(rk.RNN(cached(), seed=1)(x).tobytes().hex())
"""
ROOT = Path(__file__).parents[2]


def start(folder, code=PROGRAM, **environment):
    environment = {"RNNKIT_CACHE_DIR": str(folder), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    return processes.start([sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(ROOT), **environment})


def finish(process):
    done = processes.finish(process, check=True)
    assert not done.stderr, done.stderr
    return done.stdout.strip()


def files(folder):
    """All but the file that processes lock while they compile, which is empty."""
    return sorted(path for path in Path(folder).rglob("*") if path.is_file() and path.name != ".lock")
