"""Time against units, drawn."""

import pathlib

import forward
from section import Section
from timing import Figures, Settings
from writing import beside_others

NAME = "performance.png"
BATCHES, STEPS, FEATURES = (1, 32), 100, 16
UNITS = [16, 32, 64, 128, 256, 512, 1024]
COLOURS = {"rnnkit": "C3", "ONNX Runtime": "C0", "torch": "C1", "jax": "C2", "jax, hoisted": "C4"}


def measure(settings: Settings) -> Figures:
    """LSTMs of all sizes."""
    units = UNITS[:2] if settings.quick else UNITS
    sizes = [(batch, STEPS, FEATURES, u) for batch in BATCHES for u in units]
    return forward.measure("LSTM", sizes, settings)


def draw(figures: Figures, path: pathlib.Path) -> None:
    """One panel per batch size, minima."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(BATCHES), sharey=True)
    for batch, panel in zip(BATCHES, panels, strict=True):
        sizes = {row: tuple(map(int, row.split(","))) for row in figures}
        rows = {size[3]: figures[row] for row, size in sizes.items() if size[0] == batch}
        for label, colour in COLOURS.items():
            points = [(units, 1e3 * min(times[label])) for units, times in rows.items() if label in times]
            if points:
                ours = label == "rnnkit"
                style = {"linewidth": 2.2, "zorder": 3} if ours else {"linewidth": 1.2}
                panel.loglog(*zip(*points, strict=True), marker="o", markersize=4, color=colour, label=label, **style)
        panel.set_title(f"batch of {batch}", fontsize=11)
        panel.set_xlabel("units")
        panel.set_xticks(list(rows), list(map(str, rows)))
        panel.xaxis.set_minor_locator(NullLocator())
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel(f"LSTM over {STEPS} steps, ms")
    panels[0].yaxis.set_major_formatter(lambda ms, _: f"{ms:g}")
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=130)


def write(figures: Figures) -> list[str]:
    """The picture, and the table it is drawn from."""
    return [f"![Time of an LSTM against its units]({NAME})", "", *beside_others()(figures)]


SECTIONS = {
    "picture": Section(
        "Time against units",
        f"LSTM over {STEPS} steps of {FEATURES} features, milliseconds; the lines join the minima.",
        measure,
        write,
        draw,
    )
}
