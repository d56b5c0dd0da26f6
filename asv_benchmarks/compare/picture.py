"""Time against units, drawn."""

import pathlib

import forward
from benchmarks import sizes
from section import Section
from timing import Figures, Settings
from writing import beside_others

NAME = "performance.png"
COLOURS = {"rnnkit": "C3", "ONNX Runtime": "C0", "torch": "C1", "jax": "C2", "jax, hoisted": "C4"}


def measure(settings: Settings) -> Figures:
    """LSTMs of all sizes."""
    return forward.measure("LSTM", sizes.UNITS, settings)


def draw(figures: Figures, path: pathlib.Path) -> None:
    """One panel per batch size, minima."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    batches: dict[int, Figures] = {}  # batch → units → times
    for row, times in figures.items():
        batch, _, _, units = sizes.numbers(row)
        batches.setdefault(batch, {})[units] = times
    panels = figure.subplots(1, len(batches), sharey=True, squeeze=False)[0]
    for (batch, rows), panel in zip(batches.items(), panels, strict=True):
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
    panels[0].set_ylabel(f"LSTM over {sizes.UNITS[0][1]} steps, ms")
    panels[0].yaxis.set_major_formatter(lambda ms, _: f"{ms:g}")
    panels[0].legend(frameon=False)
    figure.savefig(path, dpi=130)


def write(figures: Figures) -> list[str]:
    """The picture, and the table it is drawn from."""
    return [f"![Time of an LSTM against its units]({NAME})", "", *beside_others()(figures)]


SECTIONS = {
    "picture": Section(
        "Time against units",
        "LSTM over {} steps of {} features, in milliseconds. The lines join the minima.".format(*sizes.UNITS[0][1:3]),
        measure,
        write,
        draw,
    )
}
