"""The tables of docs/from-keras.md, from those of the names.

``python tests/support/keras_tables.py`` writes them.
"""

from pathlib import Path

from rnnkit.interop.keras_kinds import IGNORED
from rnnkit.keras.arguments import TAKEN
from rnnkit.keras.left_out import WHY
from rnnkit.keras.ops import WHY as WHY_OPS
from rnnkit.keras.training import COMPILE, FIT

PAGE = Path(__file__).parents[2] / "docs" / "from-keras.md"


def arguments() -> str:
    """Arguments that are taken, ignored and refused."""
    rows = [("| argument | what happens |"), "|---|---|"]
    shapes: dict[str, list] = {}
    for name, told in TAKEN.items():
        shapes.setdefault(told, []).append(f"`{name}`")
    rows += [f"| {', '.join(names)} | taken: {told} |" for told, names in shapes.items()]
    for where, table in (("a layer", IGNORED), ("`compile`", COMPILE), ("`fit`, `evaluate`, `predict`", FIT)):
        for name, argument in sorted(table.items()):
            if argument.harmless is None:
                rows.append(f"| `{name}` of {where} | ignored: {argument.why} |")
            else:
                values = " or ".join(f"`{value!r}`" for value in argument.harmless)
                rows.append(f"| `{name}` of {where} | an error unless it is {values}: {argument.why} |")
    return "\n".join(rows)


def left_out() -> str:
    """Names that are left out, with what to do instead."""
    rows = ["| in | left out | instead |", "|---|---|---|"]
    for module, reasons in sorted({**WHY, "ops": WHY_OPS}.items()):
        for names, why in reasons.items():
            shown = sorted(names.split())
            several = ", ".join(f"`{one}`" for one in shown[:12]) + (
                f" and {len(shown) - 12} more" if shown[12:] else ""
            )
            rows.append(f"| `keras{'.' * bool(module)}{module}` | {several} | {why} |")
    return "\n".join(rows)


TABLES = {"arguments": arguments, "left out": left_out}


def parts(name: str) -> tuple[str, str, str]:
    """The page before a table, the table, and the page after it."""
    text = PAGE.read_text(encoding="utf-8")
    begin, end = f"<!-- {name}: begin -->\n", f"\n<!-- {name}: end -->"
    before, rest = text.split(begin)
    table, after = rest.split(end)
    return before + begin, table, end + after


def main() -> None:
    """Write the tables into the page."""
    for name, table in TABLES.items():
        before, _, after = parts(name)
        PAGE.write_text(before + table() + after, encoding="utf-8")


if __name__ == "__main__":
    main()
