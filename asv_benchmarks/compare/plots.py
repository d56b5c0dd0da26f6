"""A section's times as a picture: for every row and library the minimum, and the way from it to the median."""

import pathlib

COLOURS = ["C3", "C0", "C1", "C2", "C4", "C5", "C6", "C7"]
LEAST = 2  # libraries, and rows or more than one library


def times(rows: dict[str, dict]) -> dict[str, dict[str, list[float]]]:
    """By library and row the minimum and the median; ratios and shares are left out."""
    found: dict[str, dict[str, list[float]]] = {}
    for row, cells in rows.items():
        for name, value in cells.items():
            if isinstance(value, list) and "/" not in name and not name.startswith(("ratio", "share", "MB", "next")):
                found.setdefault(name, {})[row] = value
    return found


def draw(rows: dict[str, dict], path: pathlib.Path) -> bool:
    """Draw a table's times, if there are several columns of them."""
    found = times(rows)
    if len(found) < LEAST:
        return False
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullFormatter

    labels = [row for row in rows if any(row in series for series in found.values())]
    height = 0.7 + len(labels) * (0.16 + 0.09 * len(found))
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "rnnkit", "font.size": 9}):
        figure = Figure(figsize=(7.5, height), layout="constrained")
        FigureCanvasSVG(figure)
        panel = figure.subplots()
        for k, (name, series) in enumerate(found.items()):
            offset = 0.7 * ((k + 0.5) / len(found) - 0.5)
            style = {"color": COLOURS[k % len(COLOURS)]}
            places = [labels.index(row) + offset for row in series]
            least, middle = zip(*series.values(), strict=True)
            panel.hlines(places, least, middle, linewidth=1.2, **style)
            panel.scatter(least, places, s=26, label=name, zorder=3, **style)
            panel.scatter(middle, places, s=26, marker="|", zorder=3, **style)
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
