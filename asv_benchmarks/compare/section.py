"""One part of the page."""

import pathlib
from collections.abc import Callable
from dataclasses import dataclass

from timing import Figures, Settings


@dataclass(frozen=True)
class Section:
    """How figures are taken, and how a reader sees them."""

    title: str
    text: str
    measure: Callable[[Settings], Figures]
    write: Callable[[Figures], list[str]]
    draw: Callable[[Figures, pathlib.Path], None] | None = None  # beside the page, under the path given
