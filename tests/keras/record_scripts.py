"""Run the scripts on Keras, and record what they give and the table of docs/from-keras.md.

``python tests/keras/record_scripts.py`` runs the scripts that changed since the last recording, ``--all`` all of them,
``--times`` times the epochs of all, in turn with Keras's. Keras is needed for any of them; ``--table`` only writes the
table again.
"""

import argparse
import contextlib
import io
import os
import sys
import time
import warnings
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "tests" / "support")]
os.environ.setdefault("KERAS_BACKEND", "jax")

import keras_scripts as scripts  # noqa: E402

BATCHES, TURNS = 20, 5


def ran(name: str, library: str):
    """Run a script without what it prints."""
    with contextlib.redirect_stdout(io.StringIO()):
        return scripts.run(name, library)


def ratio(name: str, clock) -> float:
    """The time of an epoch of rnnkit's over that of Keras's: the median over several turns."""
    runs = [ran(name, library) for library in ("rnnkit", "keras")]
    found = []
    for turn in range(TURNS + 1):
        times = []
        for one in runs:
            start = clock()
            one.epoch(BATCHES)
            times.append(clock() - start)
        if turn:  # in the first turn programs are compiled
            found.append(times[0] / times[1])
    return float(np.median(found))


def main() -> None:
    """Record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--times", choices=("wall", "cpu"))
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    records, outputs = scripts.recorded()
    records = {name: one for name, one in records.items() if name in scripts.NAMES}
    for name in [] if given.table else given.names or scripts.NAMES:
        if given.all or given.names or records.get(name, {}).get("crc") != scripts.crc(name):
            outputs[name] = ran(name, "keras").arrays
            records[name] = {"crc": scripts.crc(name)}
        records[name] = {key: one for key, one in records[name].items() if key not in ("difference", "stopped")}
        try:
            difference = scripts.difference(ran(name, "rnnkit").arrays, outputs[name])
            ours = {"difference": float(f"{difference:.1e}")}
        except Exception as error:  # which the table shows
            ours = {"stopped": f"{type(error).__name__}: {error}"}
        records[name] |= ours
        if given.times and "difference" in ours:
            clock = time.perf_counter if given.times == "wall" else time.process_time
            records[name] |= {"ratio": float(f"{ratio(name, clock):.2g}"), "clock": given.times}
        print(name, records[name], flush=True)
        scripts.write(records, outputs)
    scripts.write_table(records)


if __name__ == "__main__":
    main()
