"""What a new process costs: import, and the first result with compiled programs on disk and without."""

# smoke: start.Process.track_import

import os
import shutil
import subprocess
import sys
import tempfile
import time

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
CELLS = {
    "LSTM": "rk.LSTMCell(32)",
    "GRU": "rk.GRUCell(32)",
    "SimpleRNN": "rk.SimpleRNNCell(32)",
}


def seconds(code: str, folder: str) -> float:
    """Time a new Python process that runs `code` with its compiled programs in `folder`."""
    environment = os.environ | {"RNNKIT_CACHE_DIR": folder}
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    return time.perf_counter() - start


class _Folder:
    """A folder of compiled programs of its own; figures are of whole processes, the interpreter's start included."""

    unit = "s"

    def setup(self, *params):
        self.folder = tempfile.mkdtemp()

    def teardown(self, *params):
        shutil.rmtree(self.folder, ignore_errors=True)


class Process(_Folder):
    """The interpreter alone, and importing rnnkit."""

    def track_interpreter(self):
        return min(seconds("pass", self.folder) for _ in range(3))

    def track_import(self):
        return min(seconds("import rnnkit", self.folder) for _ in range(3))


class FirstResult(_Folder):
    """From nothing to the first outputs of a layer."""

    params = tuple(CELLS)
    param_names = ("cell",)

    def track_cold(self, cell):
        return seconds(FIRST_RESULT.format(cell=CELLS[cell]), self.folder)

    def track_cold_gradient(self, cell):
        return seconds(FIRST_GRADIENT.format(cell=CELLS[cell]), self.folder)

    def track_warm(self, cell):
        code = FIRST_RESULT.format(cell=CELLS[cell])
        seconds(code, self.folder)
        return min(seconds(code, self.folder) for _ in range(3))
