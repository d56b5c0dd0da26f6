"""``RNNKIT_DUMP``: the compiler's results for each step, printed or written to files while they are made.

``RNNKIT_DUMP=graph,plan`` prints the graphs and the plans on stderr; ``RNNKIT_DUMP=source:folder`` writes each source
text to a file in a folder, which is made if it is not there.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from functools import lru_cache
from pathlib import Path

from rnnkit.serialization.atomic_files import replacing

KINDS = {"graph": ".graph.txt", "plan": ".plan.txt", "source": ".source.py"}

_digests: dict[Path, str] = {}  # of the files that this process has written


def wanted() -> frozenset[str]:
    """Return the kinds that ``RNNKIT_DUMP`` names.

    Raises
    ------
    ValueError
        If it names anything else.
    """
    return _read(os.environ.get("RNNKIT_DUMP", ""))[0]


def dump(kind: str, title: str, text: str) -> None:
    """Print a text, or write it to a file named by its title, if ``RNNKIT_DUMP`` names its kind.

    A file that another process has written is replaced. Of texts that differ under the same title, the second and
    later ones of a process have a number in their name.
    """
    kinds, folder = _read(os.environ.get("RNNKIT_DUMP", ""))
    if kind not in kinds:
        return
    if folder is None:
        print(text, end="\n\n", file=sys.stderr)
        return
    folder.mkdir(parents=True, exist_ok=True)
    stem, digest, number = re.sub(r"[^\w.=]+", "-", title).strip("-"), hashlib.sha256(text.encode()).hexdigest(), 1
    while True:
        path = folder / f"{stem}{f'-{number}' if number > 1 else ''}{KINDS[kind]}"
        if _digests.setdefault(path.absolute(), digest) == digest:
            break
        number += 1
    with replacing(path) as beside:
        beside.write_text(text if text.endswith("\n") else f"{text}\n", encoding="utf-8")


@lru_cache
def _read(given: str) -> tuple[frozenset[str], Path | None]:
    if not given.strip():
        return frozenset(), None
    names, colon, folder = given.partition(":")
    kinds = frozenset(name.strip() for name in names.split(","))
    if not kinds <= KINDS.keys() or (colon and not folder.strip()):
        raise ValueError(
            f"expected RNNKIT_DUMP to name {', '.join(KINDS)} or some of them, with commas between, and behind a colon "
            f"the folder for files, if they are wanted; got {given!r}"
        )
    return kinds, Path(folder.strip()) if colon else None
