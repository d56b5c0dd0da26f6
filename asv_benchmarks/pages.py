"""Pages of what was measured over commits: pictures and tables that need no scripts, no servers and no network.

A page shows the history of a machine, its commits in the order of their dates. Hashes and dates stand in the results,
so a commit that this clone lacks is shown too. Steps upwards are found as asv finds them.
"""

import collections
import datetime
import html
import pathlib
import re
import statistics

from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure

LINES = 20  # of a picture, which as many colours tell apart
STYLE = """<style>
body { font-family: sans-serif; max-width: 70em; margin: auto; padding: 0 1em } img { max-width: 100% }
td, th { padding: 0 0.6em; text-align: right } td:first-child, th:first-child { text-align: left }
:target { background: #fe9 } summary { cursor: pointer }
</style>"""

Point = tuple[str, float, dict[str, float]]  # a commit, its date in seconds, and figures by benchmark and parameters


def steps(values: list[float | None], threshold: float) -> list[tuple[int, float, float]]:
    """Return where a series went up for good, by more than a threshold and than its noise: place, before and after."""
    from asv.step_detect import detect_regressions, detect_steps

    _, _, found = detect_regressions(detect_steps(values), threshold)
    return [(after, before_value, least) for _, after, before_value, least in found or []]


def drawn(series: dict[str, list[float | None]], days: list[str], path: pathlib.Path) -> None:
    """Draw each case over the commits, relative to its median."""
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "rnnkit", "font.size": 9}):
        figure = Figure(figsize=(9, 1.6 + 0.19 * max(8, len(series))), layout="constrained")
        panel = figure.subplots()
        for k, (case, values) in enumerate(series.items()):
            middle = statistics.median(value for value in values if value is not None)
            points = [(place, value / middle) for place, value in enumerate(values) if value is not None]
            colour = colormaps["tab20"](k % LINES)
            panel.plot(*zip(*points, strict=True), marker="o", markersize=3, linewidth=1, color=colour, label=case)
        panel.set_ylabel("relative to the median")
        panel.set_xticks(range(len(days)), days, rotation=90)
        panel.grid(alpha=0.3)
        panel.spines[["top", "right"]].set_visible(False)
        figure.legend(loc="outside right upper", frameon=False)
        figure.savefig(path, metadata={"Date": None})


def table(header: list[str], rows: list[list[str]]) -> str:
    """Return a table of cells that are written as HTML."""
    lines = ["".join(f"<th>{cell}</th>" for cell in header)]
    lines += ["".join(f"<td>{cell}</td>" for cell in row) for row in rows]
    return "<table>\n" + "\n".join(f"<tr>{line}</tr>" for line in lines) + "\n</table>"


def cases(points: list[Point]) -> dict[str, dict[str, list[float | None]]]:
    """Return by benchmark and case the figures at each commit."""
    groups: dict[str, dict[str, list[float | None]]] = collections.defaultdict(dict)
    for name in sorted({name for _, _, figures in points for name in figures}):
        group, _, case = name.partition("(")
        groups[group][case.removesuffix(")") or group] = [figures.get(name) for _, _, figures in points]
    return groups


def page(points: list[Point], titles: dict[str, str], thresholds: dict[str, float], path: pathlib.Path) -> list[str]:
    """Return the lines of a machine's page, whose pictures are drawn beside the path."""
    points = sorted(points, key=lambda point: point[1])
    dates = [datetime.datetime.fromtimestamp(seconds, datetime.UTC) for _, seconds, _ in points]
    days, commits = [f"{date:%Y-%m-%d}" for date in dates], [commit for commit, _, _ in points]
    slower, parts = [], []
    for group, series in cases(points).items():
        threshold = [value for pattern, value in thresholds.items() if re.search(pattern, group)][-1]
        picture, rows = path.with_name(f"{path.stem}-{group}.svg"), []
        drawn(series, days, picture)
        for case, values in series.items():
            known = [value for value in values if value is not None]
            last, least = known[-1], min(known)
            rows.append([html.escape(case), f"{last:.4g}", f"{least:.4g}", f"{last / least:.2f}"])
            for place, before, after in steps(values, threshold):
                link = f'<a href="#{commits[place]}"><code>{commits[place][:8]}</code></a>'
                told = f"{before:.4g} → {after:.4g}, {after / before:.2f} times"
                slower.append([f'<a href="#{group}">{html.escape(f"{group}: {case}")}</a>', link, told])
        shown = table(["case", "last", "least", "last / least"], rows)
        parts += [f'<h2 id="{group}">{group}</h2>', f'<img src="{picture.name}" alt="{group}">']
        parts += [f"<details><summary>figures</summary>\n{shown}\n</details>"]
    listed = []
    for commit, day in zip(commits, days, strict=True):
        title = html.escape(titles.get(commit, "(not in this clone)"))
        listed.append(f'<li id="{commit}"><code>{commit[:8]}</code> {day} {title}</li>')
    found = ["<h2>Slower since</h2>", table(["benchmark", "commit", "figures"], slower)] if slower else []
    return [*found, *parts, "<h2>Commits</h2>", "<ul>", *listed, "</ul>"]


def write(folder: pathlib.Path, machines: dict[str, list[Point]], titles: dict[str, str], thresholds: dict) -> None:
    """Write `index.html` of the first machine, and a page of each other; `titles` are those of known commits."""
    paths = {machine: folder / f"{machine if k else 'index'}.html" for k, machine in enumerate(machines)}
    links = " · ".join(f'<a href="{path.name}">{machine}</a>' for machine, path in paths.items())
    for machine, points in machines.items():
        lines = [
            f"<!DOCTYPE html><html lang='en'><meta charset='utf-8'><title>rnnkit: speed over commits</title>{STYLE}",
            f"<h1>Speed over commits: {machine}</h1>",
            f"<p>Measured on: {links}. Smaller is better.</p>",
            *page(points, titles, thresholds, paths[machine]),
            "</html>",
        ]
        paths[machine].write_text("\n".join(lines) + "\n", encoding="utf-8")
