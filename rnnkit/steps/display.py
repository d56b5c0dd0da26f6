"""The card that ``print`` and a notebook show of a cell."""

from __future__ import annotations

from rnnkit.cards import DECLARED, Card, Table, parts_of, table_of, text_or_empty


def cell_card(cell, kind: str, depth: int = 0) -> Card:
    """Return the card of a cell: how it was made, its states, weights, and the cells inside.

    Nothing is built, compiled or copied for it. `kind` is its title; `depth` says how many cells it is inside.
    """
    parts = cell._parts()
    count = sum(array.size for array in cell._all_weights().values())
    facts = {
        "states": text_or_empty(cell._states_line),
        "output": text_or_empty(lambda: "" if (size := cell._output_size()) is None else str(size)),
        "parameters": f"{count:,}" if cell.built else "not built",
        "reads": text_or_empty(lambda: ", ".join(name for name in ("constants", "training") if cell._takes(name))),
    }
    code = text_or_empty(lambda: repr(cell))
    code = "" if code.startswith("<") else code  # a cell without code that makes it
    table = _weights(cell) if cell.built else table_of(DECLARED, cell._declared_weights())
    inside = parts_of(parts, lambda path, below: parts[path]._card(below), depth)
    return Card(kind, cell.__dict__.get("name") or "", code, facts, table, inside)


def _weights(cell) -> Table | None:
    """Return a table of a cell's own weights; those of cells inside are on their cards."""
    weight_options, sparse = cell._weight_options(), cell._sparse_weights()
    rows = []
    inside = tuple(f"{path}/" for path in cell._parts())
    for name, array in {**cell._all_weights(), **cell._complex_weights()}.items():
        if name.startswith(inside):
            continue
        traits = ["sparse"] * (name in sparse) + ["not trained"] * (not weight_options[name].trainable)
        rows.append((name, str(array.shape), str(array.dtype), ", ".join(traits)))
    return table_of(("weight", "shape", "dtype", ""), rows)
