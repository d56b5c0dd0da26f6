"""Objects that ``print`` and notebooks show by a card."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Shown:
    """Base of objects that are shown by the `rnnkit.cards.Card` that `_card` returns."""

    _card: Callable[..., Any]

    def __str__(self) -> str:
        return str(self._card())

    def _repr_html_(self) -> str:
        from rnnkit.cards_html import page

        return page(self._card())
