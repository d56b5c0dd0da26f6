"""What a new process costs: import, and the first result with compiled programs on disk and without."""

# smoke: start.Process.track_seconds\('import rnnkit'\)

import os
import subprocess
import sys
import tempfile
import time

from .measure import resource

FIRST_RESULT = """
import numpy as np
import rnnkit as rk
rk.RNN({cell}, return_sequences=True)(np.zeros((2, 10, 8), "float32"))
"""
FIRST_GRADIENT = """
import numpy as np
import rnnkit as rk
y, pullback = rk.RNN({cell}, return_sequences=True).vjp(np.zeros((2, 10, 8), "float32"))
pullback(y)
"""
USERS = """
import numpy as np
import rnnkit as rk
weights = {"kernel": rk.Weight(("features", "units"), "glorot_uniform")}
@rk.cell(states={"h": "units"}, weights=weights)
def users(x, states, weights):
    h = 0.9 * states[0] + np.tanh(x @ weights.kernel)
    return h, (h,)
rk.RNN(users(32), return_sequences=True)(np.zeros((2, 10, 8), "float32"))
"""
LSTM = {"cell": "rk.LSTMCell(32)"}


def seconds(code: str, folder: str) -> float:
    """Return what a new Python process takes that runs `code` with its compiled programs in `folder`."""
    environment = os.environ | {"RNNKIT_CACHE_DIR": folder}
    start = _taken()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    return _taken() - start


def _taken() -> float:
    """Return the seconds that the processes of this one have had of the processors, which others don't add to."""
    if resource is None:
        return time.perf_counter()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Process:
    """Whole processes whose programs are on disk, the interpreter's start included: the least of some."""

    params = ["pass", "import rnnkit", "a first LSTM"]
    param_names = ("code",)
    unit, version = "seconds", 2  # of the processor, not of the clock

    def track_seconds(self, name):
        code = FIRST_RESULT.format(**LSTM) if name == "a first LSTM" else name
        with tempfile.TemporaryDirectory() as folder:
            return min(seconds(code, folder) for _ in range(5))


class Compiling:
    """The same with nothing on disk."""

    params = ["LSTM", "LSTM and its gradients", "a user's cell"]
    param_names = ("first result",)
    unit, version = "seconds", 2  # of the processor, not of the clock

    def track_seconds(self, name):
        code = {"LSTM": FIRST_RESULT.format(**LSTM), "a user's cell": USERS}.get(name, FIRST_GRADIENT.format(**LSTM))

        def once():
            with tempfile.TemporaryDirectory() as folder:
                return seconds(code, folder)

        return min(once() for _ in range(2))
