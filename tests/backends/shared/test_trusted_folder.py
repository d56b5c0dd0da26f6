"""Row X5 of docs/contract.md: compiled programs are read only where nobody else can have written."""

import hashlib
import os
import shutil
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import processes
import pytest
from cached_programs import PROGRAM, start

import rnnkit as rk
from rnnkit.backends.cpu.language import programs
from rnnkit.backends.cpu.language.function import read
from rnnkit.backends.cpu.language.machine_code import object_code
from rnnkit.backends.cpu.language.translate import translate
from rnnkit.backends.shared import program_cache, trusted_folder
from rnnkit.backends.shared.trusted_folder import fault
from rnnkit.information import information

grp, pwd = pytest.importorskip("grp"), pytest.importorskip("pwd")  # Windows has neither, nor modes to check

TEXT = """
from rnnkit.backends.cpu.language.function import compiled

@compiled
def run(x):
    return x + {number}
"""
OTHER = 54321  # the number of no user


@pytest.fixture(autouse=True)
def same_for_all(monkeypatch):
    """Whoever runs the tests, folders are made 0755 and others count as being in this user's group."""
    monkeypatch.setattr(trusted_folder, "_private_group", lambda *given: False)
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache folder that is trusted, in use."""
    folder = tmp_path / "cache"
    folder.mkdir(0o700)
    monkeypatch.setenv("RNNKIT_CACHE_DIR", str(folder))
    return folder


@pytest.fixture
def give_away(monkeypatch):
    """Let a path belong to another user; where only root can, as far as Python's calls tell."""
    given = set()

    def told(call):
        def telling(*arguments, **named):
            found = call(*arguments, **named)
            return os.stat_result([*found[:4], OTHER, *found[5:]]) if (found.st_dev, found.st_ino) in given else found

        return telling

    def give(path):
        if os.getuid() == 0:
            os.chown(path, OTHER, -1, follow_symlinks=False)
            return
        found = os.lstat(path)
        given.add((found.st_dev, found.st_ino))

    if os.getuid() != 0:
        for name in ("stat", "lstat", "fstat"):
            monkeypatch.setattr(os, name, told(getattr(os, name)))
    return give


def plant(file):
    """Put in an entry's place one that is sound by its digest, whose program adds 97."""
    payload = object_code(translate(read(TEXT.format(number=97)), f"rnnkit_{file.stem}", 1))
    file.write_bytes(hashlib.sha256(file.stem.encode() + payload).digest() + payload)


def load(number, monkeypatch):
    """The program as a new process would load it."""
    monkeypatch.setattr(program_cache, "_programs", {})
    return programs.load(TEXT.format(number=number), 1).function


def entries(folder):
    return sorted(Path(folder).glob("*.rnnkit"))


def test_X5_a_planted_entry_runs_only_where_nobody_else_can_write(folder, monkeypatch):
    assert load(2, monkeypatch)(3) == 5
    (entry,) = entries(folder)
    plant(entry)
    assert load(2, monkeypatch)(3) == 100, "the trap itself doesn't work"
    before = entry.read_bytes()
    folder.chmod(0o777)
    with pytest.warns(RuntimeWarning, match="mode 0777; chmod 700 it"):
        assert load(2, monkeypatch)(3) == 5
    assert load(2, monkeypatch)(3) == 5  # and no second warning
    assert entry.read_bytes() == before  # nor is anything written
    folder.chmod(0o700)  # seen at once
    assert load(2, monkeypatch)(3) == 100


def test_X5_a_process_warns_once_and_goes_on(tmp_path):
    folder = tmp_path / "cache"
    folder.mkdir()
    folder.chmod(0o777)
    again = "print(rk.RNN(cached(), seed=1)(x[:, :, :2]).shape)\nprint(rk.cache_info()['verdict'])\n"
    code = PROGRAM.replace('warnings.simplefilter("error")', "") + again
    done = processes.finish(start(folder, code))
    errors = done.stderr
    _, shape, verdict = done.stdout.splitlines()
    assert shape == "(2, 2)"
    said = f"{folder}, which has the mode 0777; chmod 700 it and run rnnkit.clear_cache(), or set RNNKIT_CACHE_DIR to a"
    assert errors.count("RuntimeWarning: programs are compiled without disk") == errors.count("Warning") == 1
    assert f"expected a cache folder that only you can write to, got {said} folder of your own" in errors
    assert verdict.startswith(f"not used: {said}")
    assert not list(folder.iterdir())


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077, 0o777], ids="{:03o}".format)
def test_X5_folders_are_made_for_their_user_alone(umask, tmp_path, monkeypatch):
    def chmod(place, mode, call=Path.chmod):
        assert not place.stat().st_mode & 0o077, "open to others for a moment"
        call(place, mode)

    monkeypatch.setattr(Path, "chmod", chmod)
    monkeypatch.setenv("RNNKIT_CACHE_DIR", str(tmp_path / "of" / "all" / "programs"))
    before = os.umask(umask)
    try:
        program_cache.write_entry("key", b"program")
    finally:
        os.umask(before)
    made = [tmp_path / "of", tmp_path / "of" / "all", tmp_path / "of" / "all" / "programs"]
    assert [place.stat().st_mode & 0o7777 & ~0o2000 for place in made] == [0o700] * 3
    (entry,) = entries(made[-1])
    assert not entry.stat().st_mode & 0o077
    os.chmod(entry, 0o600)
    assert program_cache.read_entry("key") == b"program"


@pytest.mark.parametrize("mode", [0o700, 0o755, 0o500, 0o777, 0o770, 0o702, 0o775, 0o1777], ids="{:04o}".format)
def test_X5_a_folder_is_trusted_by_its_mode(mode, folder):
    folder.chmod(mode)
    said = fault(folder)
    assert (said is None) == (mode & 0o022 == 0)
    assert said is None or f"{mode:04o}; chmod 700 it and run rnnkit.clear_cache(), or set RNNKIT_CACHE_DIR" in said
    folder.chmod(0o700)


@pytest.mark.parametrize("below", ["cache", "of/all/programs"], ids=["there", "to_be_made"])
def test_X5_what_lies_above_is_asked_too(below, tmp_path):
    shared = tmp_path / "shared"
    (shared / "cache").mkdir(parents=True)
    for mode, safe in {0o777: False, 0o775: False, 0o1777: True, 0o755: True}.items():
        shared.chmod(mode)
        trusted_folder._held.cache_clear()  # held for a process: a folder above is not asked again
        said = fault(shared / below)
        assert (said is None) == safe
        assert safe or f"{shared / below} below {shared}, which has the mode {mode:04o}; chmod go-w {shared}" in said


def test_X5_nothing_is_made_where_others_can_write(tmp_path, monkeypatch):
    tmp_path.chmod(0o777)
    monkeypatch.setenv("RNNKIT_CACHE_DIR", str(tmp_path / "cache"))
    with pytest.warns(RuntimeWarning, match="chmod go-w"):
        program_cache.write_entry("key", b"program")
    tmp_path.chmod(0o700)
    assert not (tmp_path / "cache").exists()


def test_X5_a_folder_of_another_user_is_not_used(folder, give_away):
    (folder / "below").mkdir()
    assert fault(folder) is None
    give_away(folder)
    said = f"{folder} belongs to another user (uid {OTHER}); set RNNKIT_CACHE_DIR to a folder of your own"
    assert said in fault(folder)
    assert said in fault(folder / "below")
    with pytest.warns(RuntimeWarning, match=f"uid {OTHER}"):
        assert program_cache.read_entry("key") is None
    program_cache.write_entry("key", b"program")
    assert not entries(folder)


@pytest.mark.skipif("os.getuid() != 0", reason="only root can leave a folder to root and go on as another user")
def test_X5_a_folder_of_root_is_read_by_all(folder, monkeypatch):
    folder.chmod(0o755)
    program_cache.write_entry("key", b"program")
    monkeypatch.setattr(os, "getuid", lambda: OTHER)
    assert fault(folder) is None
    assert program_cache.read_entry("key") == b"program"


def test_X5_a_verdict_holds_for_the_folder_as_it_was(tmp_path, folder, give_away, monkeypatch):
    """In a sticky folder another user may make what was deleted."""
    tmp_path.chmod(0o1777)
    program_cache.write_entry("key", b"program")
    assert program_cache.read_entry("key") == b"program"
    shutil.rmtree(folder)
    program_cache.write_entry("key", b"program")
    assert folder.stat().st_mode & 0o777 == 0o700
    shutil.rmtree(folder)

    def overtaken(place):
        place.mkdir()
        give_away(place)

    monkeypatch.setattr(program_cache, "make", overtaken)
    with pytest.warns(RuntimeWarning, match=f"uid {OTHER}"):
        program_cache.write_entry("key", b"program")
    assert not entries(folder)


def test_X5_links_lead_only_where_their_owner_says(tmp_path, give_away):
    real = tmp_path / "real" / "cache"
    real.mkdir(parents=True)
    (tmp_path / "links").mkdir()
    ways = [tmp_path / "links" / "absolute", tmp_path / "links" / "relative", tmp_path / "links" / "twice"]
    ways[0].symlink_to(real.parent)
    ways[1].symlink_to("../links/./absolute/")
    ways[2].symlink_to(ways[1] / ".." / "real")
    for way in ways:
        assert (way / "cache").samefile(real)
        assert fault(way / "cache") is None

    def faults():
        trusted_folder._held.cache_clear()
        return [fault(way / "cache") for way in ways]

    real.chmod(0o777)  # the folder that they lead to
    assert all("mode 0777; chmod 700 it" in said for said in faults())
    real.chmod(0o700)
    ways[0].parent.chmod(0o777)  # where they lie
    assert all(f"chmod go-w {ways[0].parent}" in said for said in faults())
    ways[0].parent.chmod(0o1777)
    assert faults() == [None] * 3
    give_away(ways[1])  # in a sticky folder, a link of another user
    first, *others = faults()
    assert first is None
    assert all(f"{ways[1]} belongs to another user" in said for said in others)


def test_X5_links_in_a_ring_end(tmp_path):
    (tmp_path / "ring").symlink_to("ring")
    assert fault(tmp_path / "ring" / "cache") is None
    program_cache.write_entry("key", b"program")


@pytest.mark.parametrize("home", ["home", "link"])
def test_X5_above_the_home_nothing_is_asked(home, tmp_path, monkeypatch):
    """As ssh does: who could replace the home could do more than fill a cache."""
    homes = tmp_path / "homes"
    (homes / "home" / "cache").mkdir(parents=True)
    (tmp_path / "link").symlink_to(homes / "home")
    monkeypatch.setattr("pathlib.Path.home", lambda: tmp_path / "link" if home == "link" else homes / "home")
    homes.chmod(0o777)
    assert fault(homes / "home" / "cache") is None
    assert fault(homes / "home" / "to" / "be" / "made") is None
    assert f"below {homes}" in fault(homes / "cache")
    (homes / "home").chmod(0o777)
    assert f"chmod go-w {homes / 'home'}" in fault(homes / "home" / "other")


@pytest.mark.parametrize("below", ["cache", "../cache"])
def test_X5_a_path_from_the_working_folder_is_checked_the_same(below, folder, monkeypatch):
    (folder.parent / "work").mkdir()
    monkeypatch.chdir(folder.parent / "work" if ".." in below else folder.parent)
    monkeypatch.setenv("RNNKIT_CACHE_DIR", below)
    assert rk.cache_info()["verdict"] == "trusted"
    program_cache.write_entry("key", b"program")
    assert program_cache.read_entry("key") == b"program"
    folder.parent.chmod(0o777)
    shutil.rmtree(folder)
    assert "mode 0777" in str(rk.cache_info()["verdict"])
    folder.parent.chmod(0o700)


def test_X5_entries_of_others_are_a_miss(folder, tmp_path, give_away):
    keys = ["ours", "group", "all", "other", "link", "folder"]
    for key in keys:
        program_cache.write_entry(key, b"program")
    assert [program_cache.read_entry(key) for key in keys] == [b"program"] * 6
    group, everyone, other, link, place = (folder / f"{key}.rnnkit" for key in keys[1:])
    group.chmod(0o620)
    everyone.chmod(0o602)
    give_away(other)
    link.rename(tmp_path / "elsewhere")
    link.symlink_to(tmp_path / "elsewhere")
    place.unlink()
    place.mkdir()
    assert [program_cache.read_entry(key) for key in keys] == [b"program", *[None] * 5]
    program_cache.write_entry("all", b"anew")
    assert program_cache.read_entry("all") == b"anew"


def test_X5_information_says_whether_the_folder_is_used(folder, monkeypatch):
    def line():
        return next(line for line in information().splitlines() if line.startswith("cache"))

    program_cache.write_entry("key", b"program")
    assert rk.cache_info()["verdict"] == "trusted"
    assert line().endswith("1 programs, 0.0 MB, trusted")
    folder.chmod(0o777)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # who asks is told by what comes back
        assert str(rk.cache_info()["verdict"]).startswith(f"not used: {folder}, which has the mode 0777; chmod 700 it")
        assert str(rk.cache_info()["verdict"]) in line()
        assert rk.clear_cache() == 1
    folder.chmod(0o700)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems don't make such groups together with a umask of 002")
def test_X5_a_group_of_this_user_alone_may_write(folder, monkeypatch):
    monkeypatch.undo()  # the true rule, and with it the session's own folder
    user = SimpleNamespace(pw_name="me", pw_uid=os.getuid(), pw_gid=folder.stat().st_gid)
    own = {"name": "me", "members": [], "users": [user], "attributes": ["security.selinux"], "gid": user.pw_gid}

    def said(mode=0o775, **other):
        case = own | other
        me = SimpleNamespace(pw_name="me", pw_uid=os.getuid(), pw_gid=case["gid"])
        with monkeypatch.context() as patch:
            patch.setattr(pwd, "getpwuid", {os.getuid(): me}.__getitem__)
            patch.setattr(pwd, "getpwall", lambda: case["users"])
            entry = SimpleNamespace(gr_name=case["name"], gr_mem=case["members"])
            patch.setattr(grp, "getgrgid", ({user.pw_gid: entry} if case["name"] else {}).__getitem__)
            patch.setattr(os, "listxattr", lambda place: case["attributes"])
            folder.chmod(mode)
            trusted_folder._held.cache_clear()
            return fault(folder)

    assert said() is None
    assert said(members=["me"]) is None
    for refused in [
        {"mode": 0o777},
        {"name": "users"},  # one that all have
        {"name": None},  # one that nobody knows
        {"members": ["me", "you"]},
        {"users": [user, SimpleNamespace(pw_name="you", pw_uid=OTHER, pw_gid=user.pw_gid)]},
        {"attributes": ["system.posix_acl_access"]},  # the group's bits then bound what single users may
        {"gid": user.pw_gid + 1},  # one that this user is in besides the own
    ]:
        assert "chmod 700 it" in said(**refused), refused


def test_X5_windows_has_no_modes(folder, monkeypatch):
    folder.chmod(0o777)
    monkeypatch.setattr(sys, "platform", "win32")
    assert fault(folder) is None
