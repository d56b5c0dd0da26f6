"""Files that are whole or not there."""

import os
import threading

import pytest

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
