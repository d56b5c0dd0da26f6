"""The description of an object for people, a `Card`: shown as text by ``print`` and as HTML by a notebook."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

MOST = (20, 6, 3)  # parts shown of an object, of one of its parts, and of a part of that; none below
_LONGEST = 240  # letters of code
DECLARED = ("weight", "shape", "initializer", "")  # the heads of a table of weights before a build


@dataclass(frozen=True)
class Table:
    """Rows of text under their heads; the columns named by `numbers` are flush right."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Card:
    """An object's description, to be shown as text or HTML."""

    kind: str  # with the name, what its user calls it, the title
    name: str = ""
    code: str = ""  # that makes the object
    facts: Mapping[str, str] = field(default_factory=dict)  # by name; empty ones are left out
    table: Table | None = None
    parts: Sequence[tuple[str, Card | None]] = ()  # by their paths; None for left out ones, which the path counts
    lines: str = ""  # text whose line breaks and spaces stay
    picture: str = ""  # an SVG, which repeats the other facts; not in text

    def __str__(self) -> str:
        return "\n".join(_text(self))

    @property
    def shown_code(self) -> str:
        """The code, cut where it is long; empty where it only repeats the title."""
        if self.code in ("", self.kind, f"{self.kind}()"):
            return ""
        return self.code if len(self.code) <= _LONGEST else f"{self.code[: _LONGEST - 1]}…"

    @property
    def shown_facts(self) -> dict[str, str]:
        """The facts that aren't empty."""
        return {name: text for name, text in self.facts.items() if text}


def text_or_empty(tell: Callable[[], str]) -> str:
    """Return the text of `tell`, or "" if a user's code in it fails: showing an object never raises."""
    with contextlib.suppress(Exception):
        return tell()
    return ""


def arguments(kind: type, config: Mapping[str, object], hidden=frozenset({"name"})) -> str:
    """Return the arguments that tell an object from the default one, as its constructor would read them."""
    shown = []
    for parameter in inspect.signature(kind).parameters.values():
        value = config.get(parameter.name)
        if parameter.default is parameter.empty and parameter.name in config:
            shown.append(repr(value))
        elif parameter.name in config and value != parameter.default and parameter.name not in hidden:
            shown.append(f"{parameter.name}={_as_code(value)}")
    return ", ".join(shown)


def _as_code(value) -> str:
    """Return a value of a configuration as code; an object by its class."""
    if isinstance(value, dict) and set(value) == {"class_name", "config"}:
        inside = ", ".join(f"{name}={_as_code(one)}" for name, one in value["config"].items())
        return f"{value['class_name']}({inside})"
    return repr(value)


def ends(entries: Iterable, count: int, most: int) -> tuple[list, int, list]:
    """Return the first entries, how many are left out, and the last ones, of `count` that may be more than `most`."""
    if count <= most:
        return list(entries), 0, []
    last = most // 4
    taken = iter(entries)
    first = list(islice(taken, most - last))
    left_out = count - most
    return first, left_out, list(islice(taken, left_out, None))


def table_of(
    heads: Sequence[str], rows: Sequence[tuple[str, ...]], numbers: Iterable[str] = (), most: int = 24
) -> Table | None:
    """Return a table of rows, cut in the middle; None of none. Columns without a word are left out."""
    if not rows:
        return None
    kept = [i for i in range(len(heads)) if i == 0 or any(row[i] for row in rows)]
    first, left_out, last = ends(rows, len(rows), most)
    gap = [(f"… {left_out:,} more", *("" for _ in heads[1:]))] if left_out else []
    shown = tuple(tuple(row[i] for i in kept) for row in [*first, *gap, *last])
    return Table(tuple(heads[i] for i in kept), shown, frozenset(numbers))


def parts_of(
    parts: Mapping[str, object], card: Callable[[str, int], Card], depth: int
) -> list[tuple[str, Card | None]]:
    """Return the cards of parts by path, each made by ``card(path, depth + 1)``; as many as `MOST` says."""
    most = MOST[depth] if depth < len(MOST) else 0
    first, left_out, last = ends(parts, len(parts), most)

    def made(paths):
        cards = ((path, card(path, depth + 1)) for path in paths)
        return [(path, replace(one, name="") if one.name == path else one) for path, one in cards]

    return [*made(first), *([(f"… {left_out:,} more", None)] if left_out else []), *made(last)]


def columns(rows, right: Iterable[str], rule: bool = True) -> str:
    """Return lines of text in columns under their heads and a rule; the columns named by `right` are flush right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            f"{text:>{width}}" if head in right else f"{text:<{width}}"
            for text, width, head in zip(row, widths, rows[0], strict=True)
        ).rstrip()
        for row in rows
    ]
    lines[1:1] = ["─" * max(map(len, lines))] if rule else []
    return "\n".join(lines)


def _text(card: Card) -> list[str]:
    """Return the lines of a card: title, facts, table, and the parts, indented."""
    title = " ".join(filter(None, (card.kind, card.name and repr(card.name))))
    lines = [title] if title else []
    facts = ({"code": card.shown_code} if card.shown_code else {}) | card.shown_facts
    width = max(map(len, facts), default=0)
    lines += [f"  {name:<{width}}  {text}" for name, text in facts.items()]
    if card.table is not None:
        lines += [f"  {line}" for line in columns([card.table.heads, *card.table.rows], card.table.numbers).split("\n")]
    lines += card.lines.split("\n") if card.lines else []
    for path, part in card.parts:
        if part is None:
            lines.append(f"  {path}")
            continue
        first, *rest = _text(part)
        lines += [f"  {path}: {first}", *(f"  {line}" for line in rest)]
    return lines
