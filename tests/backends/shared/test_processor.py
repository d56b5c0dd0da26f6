"""What the system says of the processor."""

from types import SimpleNamespace

import pytest

from rnnkit.backends.cpu import program
from rnnkit.backends.shared import processor


@pytest.fixture
def caches(tmp_path, monkeypatch):
    """Write what Linux would say, by file of each cache, and give the bytes that are read from it."""
    monkeypatch.setattr(processor, "CACHES", tmp_path)

    def read(*given):
        for number, files in enumerate(given):
            (tmp_path / f"index{number}").mkdir()
            for name, text in files.items():
                (tmp_path / f"index{number}" / name).write_text(f"{text}\n")
        return processor.second_level_cache.__wrapped__()

    return read


FIRST = {"level": 1, "size": "32K", "shared_cpu_map": "1"}


def test_the_second_level_cache_is_found_among_others(caches):
    third = {"level": 3, "size": "32768K", "shared_cpu_map": "ff"}
    assert caches(FIRST, {"level": 2, "size": "512K", "shared_cpu_map": "1"}, third) == 512 * 1024


def test_processors_share_a_cache(caches):
    assert caches({"level": 2, "size": "2048K", "shared_cpu_map": "00000000,00000300"}) == 1024 * 1024


@pytest.mark.parametrize("files", [{}, {"level": 2}, {"level": 2, "size": "a lot", "shared_cpu_map": "1"}, FIRST])
def test_a_system_that_does_not_say_has_the_usual_one(caches, files):
    assert caches(files) == processor.USUAL_CACHE


@pytest.mark.parametrize("size, units", [(1 << 19, True), (1 << 21, False)])
def test_units_are_split_for_more_rows_where_the_cache_is_small(size, units, monkeypatch):
    """Eight rows of an LSTM(256): its weights fill the caches of two threads, or a quarter of one."""
    monkeypatch.setattr(program, "second_level_cache", lambda: size)
    one = program.Program.__new__(program.Program)
    one._step_work, one.plan = 4 * 256 * 320, SimpleNamespace(unshared=False)
    assert one._splits_units(8, 2) == units
