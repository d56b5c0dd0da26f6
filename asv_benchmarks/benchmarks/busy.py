"""Another process that keeps a core busy."""

import contextlib
import os
import subprocess
import sys
import time

CPUS = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@contextlib.contextmanager
def busy_process(cpu: int | None = None):
    """Run one in the meantime, on this CPU or wherever the system puts it."""
    stay = "" if cpu is None else f"import os; os.sched_setaffinity(0, [{cpu}])\n"
    process = subprocess.Popen([sys.executable, "-c", f"{stay}while True: pass"])
    try:
        time.sleep(0.2)  # it has started by then
        yield
    finally:
        process.kill()
        process.wait()
