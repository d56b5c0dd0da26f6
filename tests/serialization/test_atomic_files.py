"""Files that are whole or not there."""

import itertools
import os
import sys
import threading

import processes
import pytest

from rnnkit.serialization import atomic_files
from rnnkit.serialization.atomic_files import replacing


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "out.csv"
    path.write_text("before")

    def interrupted(fault):
        with replacing(path) as beside:
            beside.write_text("half of")
            raise fault

    for fault in (ValueError, KeyboardInterrupt):
        with pytest.raises(fault):
            interrupted(fault)
        assert path.read_text() == "before"
    with replacing(path) as beside:
        beside.write_text("after")
    assert path.read_text() == "after"
    assert [one.name for one in tmp_path.iterdir()] == ["out.csv"]


KILLED = """
import sys, time
from rnnkit.serialization.atomic_files import replacing
with replacing(sys.argv[1]) as beside:
    beside.write_text("half of")
    print(beside.name, flush=True)
    time.sleep(1000)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="a day passes there")
def test_T12_what_a_killed_process_left_goes_with_the_next_write(tmp_path):
    """But not what another one writes now."""
    path, environment = tmp_path / "out.csv", os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", KILLED, path]
    killed, alive = (processes.start(command, env=environment) for _ in range(2))
    left, kept = (process.stdout.readline().strip() for process in (killed, alive))
    similar = [".out.csv.txt", ".out.csv.0123.csv", "out.csv.0123456789abcdef.csv", ".other.csv.0123456789abcdef.csv"]
    for name in similar:
        (tmp_path / name).touch()
    processes.end(killed)
    assert (tmp_path / left).exists()
    with replacing(path) as beside:
        beside.write_text("after")
    assert {one.name for one in tmp_path.iterdir()} == {"out.csv", kept, *similar}
    processes.end(alive)


@pytest.mark.filterwarnings("ignore:unclosed scandir:ResourceWarning")  # Python 3.13, of a listing that it interrupts
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_T12_ctrl_c_leaves_nothing_wherever_it_comes(tmp_path):
    """At every line of the writing of a file."""
    path = tmp_path / "out.csv"

    def write(at):
        lines = itertools.count()

        def trace(frame, event, argument):
            if frame.f_code.co_filename != atomic_files.__file__:
                return None
            if event == "line" and next(lines) == at:
                sys.settrace(None)
                raise KeyboardInterrupt
            return trace

        path.write_text("before")
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            with replacing(path) as beside:
                beside.write_text("after")
        finally:
            sys.settrace(before)

    for at in itertools.count():
        try:
            write(at)
        except KeyboardInterrupt:
            assert path.read_text() in ("before", "after")
            assert [one.name for one in tmp_path.iterdir()] == ["out.csv"], at
        else:
            break
    assert at > 15


def test_a_new_file_has_the_permissions_of_any_other(tmp_path, monkeypatch):
    """The process's mask, which other threads share, is never touched."""
    (tmp_path / "plain").touch()

    def refuse(mask):
        raise AssertionError("the umask was changed")

    monkeypatch.setattr(os, "umask", refuse)
    with replacing(tmp_path / "ours") as beside:
        beside.write_text("x")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are of POSIX")
def test_what_is_no_file_is_written_to_and_not_replaced(tmp_path):
    path, found = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: found.append(path.read_text()))
    reader.start()
    with replacing(path) as itself:
        itself.write_text("said")
    reader.join()
    assert found == ["said"]
    assert path.is_fifo() and [one.name for one in tmp_path.iterdir()] == ["pipe"]
