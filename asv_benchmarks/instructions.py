"""Instructions of some calls, counted by valgrind and held to a table: what slows them is found on any busy machine.

    python asv_benchmarks/instructions.py           # 1 where a count is off by more than 5 %, either way
    python asv_benchmarks/instructions.py --renew   # writes instructions.json

A process of one thread, with its compiled programs on disk, makes each call until it has settled, and then counts what
the next ones take, less what counting nothing takes. Programs are compiled for one processor, `TARGET`, on every
machine, and valgrind shows NumPy a processor of that kind too. What else counts depend on stands in the table:
the versions of Python, NumPy, llvmlite, valgrind and the C library. Where any of these differ, the table says nothing:
then the commit that wrote the table is counted here, and takes its place. Where that can't be, or without valgrind,
nothing is judged, which is no failure.
"""

import argparse
import ctypes
import gc
import json
import mmap
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent
TABLE = HERE / "instructions.json"
ALLOWED = 0.05  # of a count, either way
TARGET = "haswell"
FEATURES = set(
    "64bit aes avx avx2 bmi bmi2 cmov crc32 cx16 cx8 f16c fma fxsr invpcid lzcnt mmx movbe pclmul popcnt rdrnd rdseed "
    "sahf sse sse2 sse3 sse4.1 sse4.2 ssse3 xsave".split()
)
WARM, COUNTED = 80, 10


class Valgrind:
    """Requests to the valgrind that this process runs in; without one, they do nothing.

    A request is a sequence of instructions that do nothing elsewhere, see valgrind/valgrind.h.
    """

    CODE = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
    ZERO, DUMP, START, STOP = (0x43540000 + k for k in (1, 3, 4, 5))  # callgrind's

    def __init__(self):
        self._page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._page.write(self.CODE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        self._request = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(address)
        self._start, self._stop, self._zero = (self._arguments(kind) for kind in (self.START, self.STOP, self.ZERO))

    def _arguments(self, kind, text=None):
        self._kept = [*getattr(self, "_kept", []), ctypes.create_string_buffer(text.encode()) if text else None]
        words = (ctypes.c_uint64 * 6)(kind, ctypes.addressof(self._kept[-1]) if text else 0)
        self._kept.append(words)
        return ctypes.addressof(words)

    def count(self, name, call, times=1):
        """Count the instructions of so many calls."""
        dump, request = self._arguments(self.DUMP, f"{times} {name}"), self._request
        gc.collect()
        gc.disable()
        request(self._start)
        request(self._zero)
        for _ in range(times):
            call()
        request(dump)
        request(self._stop)
        gc.enable()


def calls() -> None:
    """Make the calls, and have them counted."""
    import llvmlite.binding as llvm

    features = {name: name in FEATURES for name in llvm.get_host_cpu_features()}
    llvm.get_host_cpu_name, llvm.get_host_cpu_features = lambda: TARGET, lambda: features
    valgrind = Valgrind()
    valgrind.count("nothing", lambda: None)
    valgrind.count("import rnnkit", lambda: __import__("rnnkit"))

    import numpy as np

    import rnnkit as rk

    rk.set_num_threads(1)
    rng = np.random.default_rng(0)

    def sequences(*shape):
        return rng.standard_normal(shape).astype("float32")

    def made(units, **options):
        return rk.LSTM(units, return_sequences=True, seed=0, **options)

    small, large, x, long = made(8), made(64), sequences(1, 1, 4), sequences(32, 20, 16)
    mask, stream = np.ones((1, 1), bool), made(64)
    stream(sequences(1, 1, 8))
    step, row = stream.stream().step, sequences(1, 8)

    @rk.cell(states={"h": "units"}, weights={"kernel": rk.Weight(("features", "units"), "glorot_uniform")})
    def leaky(x, states, weights):
        h = 0.9 * states[0] + np.tanh(x @ weights.kernel)
        return h, (h,)

    own = rk.RNN(leaky(8), return_sequences=True, seed=0)

    def gradient(layer, x):
        y, pullback = layer.vjp(x)
        pullback(y)

    model = rk.Sequential([rk.GRU(8), rk.Dense(1)], seed=0)
    model.compile("adam", "mse")
    batch, targets = sequences(32, 10, 1), sequences(32, 1)
    weights, gradients = ({str(k): sequences(4, 8) for k in range(20)} for _ in range(2))
    adam = rk.optimizers.get("adam")

    valgrind.count("first call of an LSTM", lambda: small(x))
    for name, call in {
        "LSTM, B=1 T=1 F=4 U=8": lambda: small(x),
        "LSTM, B=1 T=1 F=4 U=8, mask": lambda: small(x, mask=mask),
        "LSTM, B=32 T=20 F=16 U=64": lambda: large(long),
        "a user's cell, B=1 T=1 F=4 U=8": lambda: own(x),
        "step of a stream, F=8 U=64": lambda: step(row),
        "gradients of an LSTM, B=1 T=1 F=4 U=8": lambda: gradient(small, x),
        "gradients of an LSTM, B=32 T=20 F=16 U=64": lambda: gradient(large, long),
        "update by Adam, 20 arrays": lambda: adam.apply(weights, gradients),
        "train_on_batch, B=32 T=10 U=8": lambda: model.train_on_batch(batch, targets),
    }.items():
        for _ in range(WARM):
            call()
        valgrind.count(name, call, COUNTED)


def surroundings() -> dict[str, str]:
    """Return what counts depend on besides the code."""
    from importlib.metadata import version

    valgrind = subprocess.run(["valgrind", "--version"], check=True, stdout=subprocess.PIPE, text=True)
    versions = {name: version(name) for name in ("numpy", "llvmlite", "numba")}
    return {
        "machine": platform.machine(),
        "python": sys.version,
        "libc": " ".join(platform.libc_ver()),
        "valgrind": valgrind.stdout.strip(),
    } | versions


def counts(package: pathlib.Path) -> dict[str, int]:
    """Return the instructions of each call with rnnkit from this folder."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("RNNKIT", "PYTHON"))}
        environment |= {"PYTHONHASHSEED": "0", "PYTHONPATH": str(package), "RNNKIT_CACHE_DIR": f"{folder}/programs"}
        environment |= {"OPENBLAS_NUM_THREADS": "1"}
        child = [sys.executable, str(HERE / "instructions.py"), "--calls"]
        subprocess.run(child, check=True, env=environment)  # it compiles, Python's bytecode too
        tool = ["valgrind", "-q", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/counts"]
        done = subprocess.run([*tool, *child], env=environment, capture_output=True, text=True)
        if done.returncode:  # what ran without it a moment ago
            raise OSError(f"valgrind ended with {done.returncode}: {done.stderr.strip()[-500:]}")
        found = {}
        for path in pathlib.Path(folder).glob("counts.*"):
            text = path.read_text(encoding="utf-8")
            told = re.search(r"^desc: Trigger: Client Request: (\d+) (.*)$", text, re.MULTILINE)
            (total,) = re.findall(r"^totals: (\d+)$", text, re.MULTILINE)
            found[told[2]] = int(total), int(told[1])
    nothing, _ = found.pop("nothing")
    return {name: (total - nothing) // times for name, (total, times) in sorted(found.items())}


def off(table: dict[str, int], found: dict[str, int]) -> list[str]:
    """Return a line for each count that differs by more than is allowed, or that only one of them has."""
    lines = [f"{name}: only {'counted' if name in found else 'in the table'}" for name in sorted({*table} ^ {*found})]
    for name in sorted({*table} & {*found}):
        change = found[name] / table[name] - 1
        if abs(change) > ALLOWED:
            lines.append(f"{name}: {table[name]:,} -> {found[name]:,} instructions ({change:+.1%})")
    return lines


def of_table() -> dict[str, int] | None:
    """Return the counts, here, of the commit that wrote the table; None where git doesn't have it."""
    git = ["git", "-C", str(ROOT)]
    last = subprocess.run([*git, "log", "-1", "--format=%H", "--", str(TABLE)], capture_output=True, text=True)
    if last.returncode or not last.stdout.strip():
        return None
    with tempfile.TemporaryDirectory() as folder:
        archive = subprocess.run([*git, "archive", last.stdout.strip(), "rnnkit"], check=True, stdout=subprocess.PIPE)
        with tempfile.TemporaryFile() as file:
            file.write(archive.stdout)
            file.seek(0)
            with tarfile.open(fileobj=file) as members:
                members.extractall(folder, filter="data")
        return counts(pathlib.Path(folder))


def reason_not_to() -> str:
    """Return why nothing can be counted here, or nothing."""
    if shutil.which("valgrind") is None:
        return "valgrind is not installed"
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return "counts are of Linux on x86-64"
    flags = pathlib.Path("/proc/cpuinfo").read_text().split()
    return "" if {"avx2", "fma"} <= set(flags) else "this processor has no AVX2"


def main() -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--renew", action="store_true", help="write the table anew")
    parser.add_argument("--calls", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.calls:
        calls()
        return 0
    if reason := reason_not_to():
        print(f"no instructions were counted, and nothing is judged: {reason}.")
        return 0
    try:
        here, found = surroundings(), counts(ROOT)
    except OSError as error:
        print(f"no instructions were counted, and nothing is judged: {error}.")
        return int(given.renew)
    if given.renew:
        text = json.dumps({"surroundings": here, "instructions": found}, indent=1)
        TABLE.write_text(text + "\n", encoding="utf-8")
        return 0
    kept = json.loads(TABLE.read_text(encoding="utf-8"))
    table, there = kept["instructions"], kept["surroundings"]
    if here != there:
        unlike = ", ".join(name for name in here if here[name] != there.get(name))
        print(f"the table is of another {unlike}: the commit that wrote it is counted here.")
        if (table := of_table()) is None:
            print("git doesn't have that commit: nothing is judged.")
            return 0
    lines = off(table, found)
    for line in lines:
        print(line)
    if lines:
        print(
            f"{len(lines)} of {len(found)} counts have changed by more than {ALLOWED:.0%}. Where that is meant, write "
            "the table anew with `make instructions-renew`, and add a line to CHANGELOG.md that says what has changed."
        )
        return 1
    print(f"{len(found)} calls take as many instructions as in the table, within {ALLOWED:.0%}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
