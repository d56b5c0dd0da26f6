"""Tests whether the files of a folder may be run: only this user, or root, can have put them there.

The rule is the one by which ssh takes its keys. Every folder and link on the way to the files belongs to this user or
to root, who can do anything anyway; and nobody else can write to it. Where a folder is sticky, as ``/tmp`` is, others
cannot move or remove files of other owners, so there the owner and the mode of each entry decide.
"""

from __future__ import annotations

import os
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

_warned: set[str] = set()
_LINKS = 40  # Linux follows no more either
_OWN = "set RNNKIT_CACHE_DIR to a folder of your own"


def fault(folder: Path) -> str | None:
    """Return a folder's fault, or that of the place where it would be made, and the remedy; None if it is trusted.

    On Windows, where a mode says nothing, the user's own folder and the one that the user names are trusted.
    """
    if sys.platform == "win32":
        return None
    try:
        path = str(folder.absolute())  # not normalized: ``..`` after a link leads elsewhere
    except OSError:  # the working folder is gone, so a path from there leads nowhere
        return None
    try:
        found = os.stat(path)
    except OSError:  # missing or invisible: it may be made later, so the verdict is not cached
        return _fault(path, os.getuid())
    return _held(path, os.getuid(), found.st_dev, found.st_ino, found.st_mode, found.st_uid, found.st_gid)


def trusted(folder: Path) -> bool:
    """Return whether a folder has no fault; the first time that it has one, a warning tells it."""
    why = fault(folder)
    if why is not None and str(folder) not in _warned:
        _warned.add(str(folder))
        warnings.warn(
            f"programs are compiled without disk: expected a cache folder that only you can write to, got {why}",
            RuntimeWarning,
            stacklevel=2,
        )
    return why is None


def only_ours(found: os.stat_result) -> bool:
    """Return whether an opened entry is a file of this user or root that nobody else can write to."""
    if sys.platform == "win32":
        return True
    return stat.S_ISREG(found.st_mode) and found.st_uid in (0, os.getuid()) and not found.st_mode & 0o022


def make(folder: Path) -> None:
    """Make a folder and the missing ones above it, each for this user alone."""
    missing = [place for place in (folder, *folder.parents) if not place.exists()]
    for place in reversed(missing):
        with suppress(FileExistsError):  # another process was faster
            place.mkdir(0o700)
            place.chmod(0o700)  # regardless of the umask


@cache
def _held(path, user, *identity) -> str | None:
    """Return the cached verdict on a folder; a folder that is made anew, or given other rights, is checked anew."""
    return _fault(path, user)


def _fault(path, user) -> str | None:
    real = Path(os.path.realpath(path))
    above_home = _above_home(real)
    for place, found in _passed(path):
        if place in above_home or not (stat.S_ISLNK(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            continue  # a file leads nowhere
        if found.st_uid not in (0, user):
            return f"{path}, where {place} belongs to another user (uid {found.st_uid}); {_OWN}"
        if stat.S_ISLNK(found.st_mode) or not found.st_mode & 0o022:
            continue  # nobody else can write there
        if not found.st_mode & 0o002 and _private_group(place, found.st_gid, user):
            continue
        mode = f"{stat.S_IMODE(found.st_mode):04o}"
        if place == real:
            # not repaired here: others may have put files there already
            return f"{path}, which has the mode {mode}; chmod 700 it and run rnnkit.clear_cache(), or {_OWN}"
        if not found.st_mode & stat.S_ISVTX:
            return f"{path} below {place}, which has the mode {mode}; chmod go-w {place}, or {_OWN}"
    return None


def _above_home(real) -> frozenset[Path]:
    """Return the folders above the user's home, which ssh doesn't check either, for a folder in the home."""
    try:
        home = Path(os.path.realpath(Path.home()))
    except (OSError, RuntimeError):  # a user without a home
        return frozenset()
    return frozenset(home.parents) if home in (real, *real.parents) else frozenset()


def _passed(path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield each folder and link on the way to a path, as far as visible; others may replace links, so they count."""
    here, links = "/", 0
    names = ["/", *path.split("/")][::-1]
    with suppress(OSError):
        while names and links < _LINKS:
            name = names.pop()
            if name in ("", "."):
                continue
            if name == "..":
                here = os.path.dirname(here)
                continue
            place = os.path.join(here, name)
            found = os.lstat(place)
            yield Path(place), found
            if stat.S_ISLNK(found.st_mode):
                target = os.readlink(place)
                here = "/" if target.startswith("/") else here
                names += target.split("/")[::-1]
                links += 1
            else:
                here = place


def _private_group(place, group, user) -> bool:
    """Return whether a group is the user's own, with nobody else in it.

    On Linux a umask of 002 is usual where each user has such a group. Plain ssh refuses folders of mode 0775, Debian's
    takes them by this rule: else many users would have no cache.
    """
    if sys.platform != "linux":
        return False
    import grp
    import pwd

    try:
        own, entry = pwd.getpwuid(user), grp.getgrgid(group)
        return (
            own.pw_gid == group
            and own.pw_name == entry.gr_name  # pam_umask's test of such a group
            and set(entry.gr_mem) <= {own.pw_name}
            and all(other.pw_uid == user for other in pwd.getpwall() if other.pw_gid == group)
            and not any("acl" in name for name in os.listxattr(place))  # the bits may stand for another user's rights
        )
    except (KeyError, OSError):
        return False
