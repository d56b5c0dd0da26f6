"""What is measured, section by section, and times of calls that are taken in turns."""

import contextlib
import datetime
import functools
import importlib.metadata
import pathlib
import platform
import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from benchmarks import sizes

import rnnkit as rk

THREADS = 2
EPOCH = {"units": 64, "steps": 100, "features": 8, "batch": 64}  # of training
TEXTS, SCRIPTS = (
    tomllib.loads(pathlib.Path(__file__).with_name(name).read_text(encoding="utf-8"))
    for name in ("sections.toml", "scripts.toml")
)

Figures = dict[str, dict[str, list[float]]]  # row → column → one number per round


@dataclass
class Settings:
    """What the command line asks for."""

    rounds: int
    quick: bool = False
    row: str = ""  # a part of the names of the rows that are measured
    notes: list[str] = field(default_factory=list)  # what a reader has to know about a run, such as who was missing

    def rows(self, every: Iterable, few: int, text: Callable = sizes.text) -> list:
        """Return those of these rows, a few small ones if it is to be quick, whose text has `row` in it."""
        every = list(every)
        return [one for one in (every[:few] if self.quick else every) if self.row in text(one)]

    def note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)


@dataclass(frozen=True)
class Section:
    """How figures are taken, and how a reader sees them."""

    measure: Callable[[Settings], Figures]
    write: Callable[[Figures], list[str]]
    title: str
    text: str


SECTIONS: dict[str, Section] = {}


def section(name: str, write: Callable[[Figures], list[str]], **told) -> Callable:
    """Return a decorator: a function measures this section of `sections.toml`, whose text names what is `told`."""

    def register(measure):
        shown = TEXTS[name]
        SECTIONS[name] = Section(measure, write, shown["title"], shown.get("text", "").format(**told))
        return measure

    return register


def available(makers: Iterable[Callable], settings: Settings, *arguments) -> dict:
    """Return what all `makers` give that have their library; who hasn't is noted."""
    found: dict = {}
    for maker in makers:
        try:
            found |= maker(*arguments)
        except ImportError as missing:
            settings.note(f"{maker.__name__} was left out: {missing}.")
    return found


def seconds(run: Callable, at_least: float = 0.02) -> float:
    """Return the time of one call, over as many calls as fill `at_least` seconds."""
    calls, start = 0, time.perf_counter()
    while True:
        run()
        calls += 1
        passed = time.perf_counter() - start
        if passed >= at_least:
            return passed / calls


def in_turns(runners: dict[str, Callable], rounds: int, measure: Callable = seconds) -> dict[str, list[float]]:
    """Measure every runner once in each round, so that a machine that changes its pace changes it for all."""
    times: dict[str, list[float]] = {label: [] for label in runners}
    for _ in range(rounds):
        for label, run in runners.items():
            time.sleep(0.03)  # threads of the one before may still be spinning
            run()
            times[label].append(measure(run))
    return times


def timed(name: str, write: Callable, every: Iterable, text=sizes.text, few=4, most=1000, threads=THREADS, **told):
    """Return a decorator as `section` does, of a function that gives the runners of a row, which take turns."""

    def measure(runners_of, settings):
        rk.set_num_threads(threads)
        rounds, rows = min(most, settings.rounds), settings.rows(every, few, text)
        figures = {text(row): in_turns(runners_of(row, settings), rounds) for row in rows}
        rk.set_num_threads(THREADS)
        return figures

    return lambda runners_of: section(name, write, **told)(functools.partial(measure, runners_of))


def conditions(machine: str, packages: Iterable[str], settings: Settings, more: Iterable[str] = ()) -> str:
    versions = [f"Python {platform.python_version()}", f"rnnkit {rk.__version__}"]
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions.append(f"{package} {importlib.metadata.version(package)}")
    day = f"{datetime.date.today().isoformat()}, {settings.rounds} rounds"
    return f"{machine}; {', '.join([*versions, *more])}; {day}{', small sizes only' if settings.quick else ''}."
