"""Compiled programs on disk: row X5 (and C10 across processes) of docs/contract.md."""

import contextlib
import gc
import itertools
import os
import shutil
import signal
import stat
import sys
import time
from importlib.metadata import version

import llvmlite
import numpy as np
import processes
import pytest
from cached_programs import PROGRAM, ROOT, files, finish, start

import rnnkit as rk
from rnnkit.backends.cuda import kernel_cache
from rnnkit.backends.shared import program_cache
from rnnkit.backends.shared.program_cache import digest_of_kernels, read_entry


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """A cache folder that holds the program, and what the program printed when it was compiled."""
    folder = tmp_path_factory.mktemp("cache") / "of" / "programs"  # parents are made too
    return folder, finish(start(folder))


@pytest.fixture
def copied(filled, tmp_path):
    shutil.copytree(filled[0], tmp_path / "cache")
    return tmp_path / "cache", filled[1]


def test_X5_programs_are_kept_and_found_again(copied):
    folder, printed = copied
    before = {path: path.stat().st_mtime_ns for path in files(folder)}
    assert before
    assert finish(start(folder)) == printed
    assert {path: path.stat().st_mtime_ns for path in files(folder)} == before  # nothing compiled, nothing left behind


def test_X5_four_processes_at_once_on_an_empty_cache(filled, tmp_path):
    processes = [start(tmp_path / "cache") for _ in range(4)]
    assert [finish(process) for process in processes] == [filled[1]] * 4
    kept = files(tmp_path / "cache")
    assert kept and not [path for path in kept if "tmp" in path.suffix]
    assert finish(start(tmp_path / "cache")) == filled[1]
    assert files(tmp_path / "cache") == kept


DAMAGE = {
    "empty": lambda content: b"",
    "truncated": lambda content: content[: len(content) // 2],
    "garbage": lambda content: b"\x80\x05garbage\xff\x00" * 20,
    "one_bit": lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
}


@pytest.mark.parametrize("damage", list(DAMAGE))
def test_X5_damaged_entries_are_a_miss(damage, copied, monkeypatch):
    folder, _ = copied
    monkeypatch.setenv("RNNKIT_CACHE_DIR", str(folder))
    for path in files(folder):
        assert read_entry(path.stem)
        path.write_bytes(DAMAGE[damage](path.read_bytes()))
        assert read_entry(path.stem) is None


def test_X5_damaged_entries_are_replaced(copied, monkeypatch):
    folder, printed = copied
    monkeypatch.setenv("RNNKIT_CACHE_DIR", str(folder))
    for path, damage in zip(files(folder), itertools.cycle(DAMAGE.values()), strict=False):
        path.write_bytes(damage(path.read_bytes()))
    assert finish(start(folder)) == printed
    assert all(read_entry(path.stem) for path in files(folder))


def test_X5_each_damaged_kind_of_file_alone_is_a_miss(copied, filled):
    folder, printed = copied
    processes = []
    for suffix in sorted({path.suffix for path in files(folder)}):
        other = folder.parent / f"only{suffix}"
        shutil.copytree(folder, other)
        for path in files(other):
            if path.suffix == suffix:
                path.write_bytes(path.read_bytes()[:-20])
        processes.append(start(other))
    assert [finish(process) for process in processes] == [printed] * len(processes)


def test_X5_an_entry_under_the_name_of_another_is_a_miss(copied, monkeypatch):
    """Sound as it is, it is another program."""
    folder, printed = copied
    monkeypatch.setenv("RNNKIT_CACHE_DIR", str(folder))
    entries = files(folder)
    contents = [path.read_bytes() for path in entries]
    assert len(entries) > 2
    for shift in range(1, len(entries)):
        for path, content in zip(entries, contents[shift:] + contents[:shift], strict=True):
            path.write_bytes(content)
        assert not any(read_entry(path.stem) for path in entries)
    assert finish(start(folder)) == printed
    assert all(read_entry(path.stem) for path in entries)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_X5_nobody_waits_for_an_entry_that_is_no_file(tmp_path, monkeypatch):
    """A pipe that nobody writes to, a device without an end."""
    monkeypatch.setenv("RNNKIT_CACHE_DIR", str(tmp_path))
    tmp_path.chmod(0o700)
    pipe, zeros = (f"{digit}" * 32 for digit in range(2))
    os.mkfifo(tmp_path / f"{pipe}.rnnkit", 0o600)
    with contextlib.suppress(OSError):  # only root may make devices
        os.mknod(tmp_path / f"{zeros}.rnnkit", stat.S_IFCHR | 0o600, os.makedev(1, 5))
    for key in (pipe, zeros):
        assert read_entry(key) is None
        assert program_cache.entry(key, lambda: b"anew") == b"anew"
        assert read_entry(key) == b"anew"


def test_X5_a_folder_that_cannot_be_written(filled, tmp_path):
    folder = tmp_path / "read-only"
    folder.mkdir()
    folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    taken = tmp_path / "a-file"
    taken.write_text("not a folder")
    try:
        processes = [start(folder), start(taken), start(taken / "below"), start("/proc/nowhere")]
        assert [finish(process) for process in processes] == [filled[1]] * 4
    finally:
        folder.chmod(stat.S_IRWXU)
    assert taken.read_text() == "not a folder"


def test_X5_a_read_only_cache_is_used(copied):
    folder, printed = copied
    for path in [*folder.rglob("*"), folder]:
        path.chmod(path.stat().st_mode & ~0o222)
    try:
        assert finish(start(folder)) == printed
    finally:
        for path in [folder, *folder.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)


def test_X5_a_folder_removed_while_running(filled, tmp_path):
    code = PROGRAM.replace("x = np", f"import shutil; shutil.rmtree({str(tmp_path)!r}, ignore_errors=True)\nx = np")
    assert finish(start(tmp_path, code)) == filled[1]


def test_X5_the_folder_has_a_limit(tmp_path, monkeypatch):
    """What was used least recently goes first, and with it what a killed process left behind."""
    monkeypatch.setenv("RNNKIT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(program_cache, "_OFTEN", 1)
    tmp_path.chmod(0o700)
    keys = [f"{digit}" * 32 for digit in range(6)]
    long_ago = time.time() - 10 * 86_400
    for i, key in enumerate(keys[:5]):
        program_cache.write_entry(key, bytes(1000))
        os.utime(tmp_path / f"{key}.rnnkit", (long_ago + i, long_ago + i))
    for name in ("notes.txt", ".old.tmp", ".new.tmp"):
        (tmp_path / name).write_text("mine")
    os.utime(tmp_path / ".old.tmp", (long_ago, long_ago))
    assert read_entry(keys[0])  # used again
    monkeypatch.setenv("RNNKIT_CACHE_LIMIT", "4200")
    program_cache.write_entry(keys[5], bytes(1000))
    assert [key for key in keys if read_entry(key)] == [keys[0], *keys[3:]]
    assert {path.name for path in tmp_path.glob("*.t*")} == {"notes.txt", ".new.tmp"}
    assert rk.cache_info()["limit"] == 4200 >= rk.cache_info()["bytes"]
    for wrong in ("1 GB", "-1", "²"):
        monkeypatch.setenv("RNNKIT_CACHE_LIMIT", wrong)
        with pytest.raises(ValueError, match=f"expected RNNKIT_CACHE_LIMIT to be a number of bytes, got '{wrong}'"):
            rk.cache_info()


def test_X5_the_limit_holds_beside_a_process_that_deletes(tmp_path, monkeypatch):
    """What has gone meanwhile is passed over, at a look and at its deletion, and no listing of a folder stays open."""
    monkeypatch.setenv("RNNKIT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(program_cache, "_OFTEN", 1)
    tmp_path.chmod(0o700)
    keys = [f"{digit}" * 32 for digit in range(4)]
    for i, key in enumerate(keys[:3]):
        program_cache.write_entry(key, bytes(1000))
        os.utime(tmp_path / f"{key}.rnnkit", (i, i))
    (tmp_path / ".old.tmp").touch()
    os.utime(tmp_path / ".old.tmp", (0, 0))
    unlink, gone = os.unlink, []

    def deleted_before(path):
        unlink(path)
        if len(gone) < 2:  # the temporary file and the oldest entry
            gone.append(path)
            unlink(path)

    monkeypatch.setattr(os, "unlink", deleted_before)
    monkeypatch.setenv("RNNKIT_CACHE_LIMIT", "2200")
    program_cache.write_entry(keys[3], bytes(1000))
    gc.collect()  # a listing that is open warns here
    assert len(gone) == 2 and [key for key in keys if read_entry(key)] == keys[2:]


def test_X5_information_and_clearing(copied):
    folder, printed = copied
    code = "import rnnkit as rk; before = rk.cache_info(); print(before); rk.clear_cache(); print(rk.cache_info())"
    before, after = finish(start(folder, code)).splitlines()
    assert str(folder) in before and str(folder) in after and before != after
    assert not files(folder)
    assert finish(start(folder)) == printed


def test_X5_clearing_leaves_what_is_not_ours(copied):
    folder, _ = copied
    (folder / "notes.txt").write_text("mine")
    (folder / "photos").mkdir()
    (folder / "photos" / "cat.png").write_bytes(b"png")
    finish(start(folder, "import rnnkit as rk; rk.clear_cache()"))
    assert files(folder) == [folder / "notes.txt", folder / "photos" / "cat.png"]


def test_X5_clearing_a_folder_that_is_not_there(tmp_path):
    finish(start(tmp_path / "nowhere", "import rnnkit as rk; rk.clear_cache(); rk.cache_info()"))
    assert not (tmp_path / "nowhere").exists()


def test_X5_a_layer_goes_on_after_its_cache_is_cleared(tmp_path):
    code = PROGRAM + "layer = rk.RNN(cached(), seed=1)\na = layer(x)\nrk.clear_cache()\n"
    code += "assert (layer(x) == a).all()\nassert (rk.RNN(cached(), seed=1)(x) == a).all()\n"
    finish(start(tmp_path, code))


def test_X5_this_session_uses_its_own_folder():
    assert os.environ["RNNKIT_CACHE_DIR"] in str(rk.cache_info())


# An edit never meets an old program


STEP = """
import numpy as np
import rnnkit as rk
from edited_helper import double
SCALE = {scale}
TABLE = np.array([{table}, 0.0])

@rk.cell(states={{"h": 2}})
def edited(x, states, weights):
    h = states[0] {sign} double(x) * SCALE + TABLE
    {loop}
    return h, (h,)
"""
LOOP = """for row in range(h.shape[0]):
        while abs(h[row, 0]) > 1000.0:
            h[row, 0] *= 0.5"""
USE = """
import edited_step, numpy as np, rnnkit as rk
print(rk.RNN(edited_step.edited())(np.ones((1, 3, 2)))[0].tolist())
"""


@pytest.mark.parametrize("loop", ["", LOOP], ids=["traced", "jitted"])
def test_C10_an_edit_never_meets_an_old_program(loop, tmp_path):
    """The step, a helper in another module, a number and an array, each edited to a text of the same length."""

    def run(sign="+", scale=3, table=1, factor=2):
        (tmp_path / "edited_helper.py").write_text(f"def double(x):\n    return x * {factor}\n")
        (tmp_path / "edited_step.py").write_text(STEP.format(sign=sign, scale=scale, table=table, loop=loop))
        path = f"{tmp_path}{os.pathsep}{ROOT}"
        return eval(finish(start(tmp_path / "cache", USE, PYTHONPATH=path)))

    assert run() == [21, 18]
    assert run(table=7) == [39, 18]
    if loop:  # which takes seconds to compile, each time
        return
    assert run(factor=4) == [39, 36]
    assert run(scale=5) == [33, 30]
    assert run(sign="-") == [-15, -18]
    assert run() == [21, 18]


def test_C10_an_edited_kernel_never_meets_an_old_program(tmp_path):
    """However deep a kernel stands in the package, what it says and where it stands are in every program's key."""
    package = tmp_path / "rnnkit"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "rnnkit" / "backends", package / "backends", ignore=ignored)
    kernels = [path for path in package.rglob("*.py") if path.read_text()]
    assert len(kernels) > 40
    before = digest_of_kernels(package)
    assert before == digest_of_kernels(ROOT / "rnnkit")
    for kernel in (min(kernels), max(kernels), max(kernels, key=lambda path: len(path.parts))):
        text = kernel.read_bytes()
        kernel.write_bytes(text[:-1] + b"#")  # of the same length
        assert digest_of_kernels(package) != before
        kernel.write_bytes(text)
        nested = kernel.parent / "nested" / kernel.name
        nested.parent.mkdir()
        kernel.rename(nested)
        assert digest_of_kernels(package) != before
        nested.rename(kernel)
        nested.parent.rmdir()
        assert digest_of_kernels(package) == before


@pytest.mark.parametrize("owner, name", [(sys, "version"), (np, "__version__"), (llvmlite, "__version__")])
def test_C10_a_program_of_other_versions_is_another(owner, name, monkeypatch):
    before = program_cache.surroundings.__wrapped__()
    monkeypatch.setattr(owner, name, "0.1")
    assert program_cache.surroundings.__wrapped__() != before


def test_C10_a_program_of_another_numba_is_another(monkeypatch):
    before = program_cache.surroundings.__wrapped__()
    assert "0." in program_cache._numba()
    with monkeypatch.context() as patch:
        patch.setattr(program_cache, "_numba", lambda: "0.1")
        assert program_cache.surroundings.__wrapped__() != before
    monkeypatch.setattr(program_cache, "find_spec", lambda name: None)  # of a build without that file
    assert program_cache._numba() == version("numba")


@pytest.mark.parametrize("name", ["numba", "numba-cuda"])
def test_C10_a_kernel_of_other_versions_is_another(name, monkeypatch):
    versions = {"numba": "0.62", "numba-cuda": "0.30"}
    monkeypatch.setattr("importlib.metadata.version", versions.__getitem__)
    before = kernel_cache._surroundings.__wrapped__()
    versions[name] = "0.63"
    assert kernel_cache._surroundings.__wrapped__() != before


def test_X5_programs_of_several_processes_meet_in_one(tmp_path):
    """With a product, whose kernel is an inner function of one factory in both precisions."""
    wide = PROGRAM.replace("x * weights.gain", "(x @ np.ones((3, 3), x.dtype)) * weights.gain")
    narrow = wide.replace("reshape(2, 4, 3)", "reshape(2, 4, 3).astype('float32')")
    apart = [finish(start(tmp_path, code)) for code in (narrow, wide)]
    compiled = files(tmp_path)
    assert finish(start(tmp_path, narrow + wide)).split() == apart
    assert files(tmp_path) == compiled


def test_X5_a_user_without_a_home_keeps_nothing(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    for name in ("RNNKIT_CACHE_DIR", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pathlib.Path.home", homeless)
    assert rk.cache_info()["programs"] == 0
    assert rk.clear_cache() == 0
    monkeypatch.setattr("rnnkit.backends.shared.program_cache._programs", {})
    assert rk.RNN(rk.SimpleRNNCell(3), seed=0)(np.zeros((2, 3, 4))).shape == (2, 3)
    assert rk.cache_info()["programs"] == 0


def test_X5_ctrl_c_waits_for_a_program(ctrl_c):
    """LLVM calls Python while it compiles, and an exception from there would reach nobody."""
    from rnnkit.backends.shared.interrupts import behind_it

    def press(times):
        with behind_it():
            for _ in range(times):
                signal.raise_signal(signal.SIGINT)
                passed.append(times)

    passed = []
    for times in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            press(times)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert passed == [1, 2]


WANTED = """
import sys, time
from rnnkit.backends.shared import program_cache

def make():
    with open(sys.argv[1], "a") as log:
        log.write("made\\n")
    print("making", flush=True)
    time.sleep(float(sys.argv[2]))
    return b"program"

print("waiting", flush=True)
print(program_cache.entry("0" * 32, make))
"""


def wanting(folder, log, seconds):
    environment = {**os.environ, "RNNKIT_CACHE_DIR": str(folder), "PYTHONPATH": str(ROOT)}
    return processes.start([sys.executable, "-c", WANTED, log, seconds], env=environment)


def test_X5_of_processes_that_miss_at_once_one_compiles(tmp_path):
    several = [wanting(tmp_path / "cache", tmp_path / "log", 1.0) for _ in range(4)]
    assert all("b'program'" in processes.finish(one, check=True).stdout for one in several)
    assert (tmp_path / "log").read_text() == "made\n"


def test_X5_who_waits_goes_on_if_the_one_that_compiles_is_killed(tmp_path):
    first = wanting(tmp_path / "cache", tmp_path / "log", 1000)
    assert [first.stdout.readline() for _ in range(2)] == ["waiting\n", "making\n"]
    second = wanting(tmp_path / "cache", tmp_path / "log", 0)
    assert second.stdout.readline() == "waiting\n"
    first.kill()
    assert "b'program'" in processes.finish(second, check=True).stdout
    assert (tmp_path / "log").read_text() == "made\nmade\n"


def test_X5_nobody_waits_for_ever_for_another_process(tmp_path, monkeypatch):
    first = wanting(tmp_path / "cache", tmp_path / "log", 1000)
    assert [first.stdout.readline() for _ in range(2)] == ["waiting\n", "making\n"]
    monkeypatch.setenv("RNNKIT_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(program_cache, "_PATIENCE", 0.1)
    assert program_cache.entry("0" * 32, lambda: b"own") == b"own"
    assert first.poll() is None
    processes.end(first)
