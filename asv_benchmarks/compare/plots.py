"""Times as pictures: a section's minima and medians, and an LSTM's time against its units."""

import pathlib

from benchmarks import sizes
from measuring import Figures

COLOURS = ["C3", "C0", "C1", "C2", "C4", "C5", "C6", "C7"]
LIBRARIES = {"rnnkit": "C3", "ONNX Runtime": "C0", "torch": "C1", "jax": "C2", "jax, hoisted": "C4"}


def draw(rows: dict[str, dict], path: pathlib.Path) -> bool:
    """Draw for every row and library of a table the minimum, and the way to the median, if it has several columns."""
    found: dict[str, dict[str, list[float]]] = {}
    for row, cells in rows.items():
        for name, value in cells.items():
            if isinstance(value, list) and "/" not in name and not name.startswith(("ratio", "share", "MB", "next")):
                found.setdefault(name, {})[row] = value
    if len(found) < 2:
        return False
    from matplotlib import rc_context
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    labels = [row for row in rows if any(row in series for series in found.values())]
    height = 0.7 + len(labels) * (0.16 + 0.09 * len(found))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "rnnkit", "font.size": 9}):
        figure = Figure(figsize=(7.5, height), layout="constrained")
        panel = figure.subplots()
        for k, (name, series) in enumerate(found.items()):
            offset, colour = 0.7 * ((k + 0.5) / len(found) - 0.5), COLOURS[k % len(COLOURS)]
            places = [labels.index(row) + offset for row in series]
            least, middle = zip(*series.values(), strict=True)
            panel.hlines(places, least, middle, linewidth=1.2, color=colour)
            panel.scatter(least, places, s=26, label=name, zorder=3, color=colour)
            panel.scatter(middle, places, s=26, marker="|", zorder=3, color=colour)
        panel.set_xscale("log")
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5), numticks=12))
        panel.xaxis.set_minor_formatter(NullFormatter())
        panel.xaxis.set_major_formatter(lambda x, _: f"{x:g}")
        panel.set_yticks(range(len(labels)), labels)
        panel.set_ylim(len(labels) - 0.5, -0.5)
        panel.set_xlabel("dot: minimum; line: to the median (logarithmic; unit as in the table)")
        for edge in range(1, len(labels)):
            panel.axhline(edge - 0.5, color="0.9", linewidth=0.6)
        panel.grid(axis="x", alpha=0.3)
        panel.spines[["top", "right", "left"]].set_visible(False)
        panel.tick_params(axis="y", length=0)
        figure.legend(loc="outside upper left", ncols=len(found), frameon=False)
        path.parent.mkdir(exist_ok=True)
        figure.savefig(path, metadata={"Date": None})
    return True


def against_units(figures: Figures, path: pathlib.Path) -> None:
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    figure = Figure(figsize=(9, 4), layout="constrained")
    batches: dict[int, Figures] = {}  # batch → units → times
    for row, times in figures.items():
        batch, _, _, units = sizes.numbers(row)
        batches.setdefault(batch, {})[units] = times
    panels = figure.subplots(1, len(batches), sharey=True, squeeze=False)[0]
    for (batch, rows), panel in zip(batches.items(), panels, strict=True):
        for label, colour in LIBRARIES.items():
            points = [(units, 1e3 * min(times[label])) for units, times in rows.items() if label in times]
            if points:
                style = {"linewidth": 2.2, "zorder": 3} if label == "rnnkit" else {"linewidth": 1.2}
                panel.loglog(*zip(*points, strict=True), marker="o", markersize=4, color=colour, label=label, **style)
        panel.set_title(f"batch of {batch}", fontsize=11)
        panel.set_xlabel("units")
        panel.set_xticks(list(rows), list(map(str, rows)))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(f"LSTM over {sizes.UNITS[0][1]} steps, ms")
    panels[0].yaxis.set_major_formatter(lambda ms, _: f"{ms:g}")
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=130)
