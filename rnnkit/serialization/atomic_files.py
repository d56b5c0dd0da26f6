"""Files that are there whole or not at all."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path) -> Iterator[Path]:
    """A file to write beside `path`, which it replaces once it is complete.

    Whatever goes wrong leaves `path` as it was, and nothing beside it. What is there and no file, such as a pipe or the
    null device, is not replaced: it is `path` itself that is written to.

    Raises
    ------
    FileNotFoundError
        If the folder doesn't exist.
    IsADirectoryError
        If `path` is a directory.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a directory; expected the name of a file to write")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.parent} to write {path.name} in")
    if path.exists() and not path.is_file():
        yield path
        return
    # Not by tempfile, whose files are for the owner alone; to ask for the umask is to change it for other threads too.
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}{path.suffix}")
    beside.touch(exist_ok=False)
    try:
        yield beside
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
