"""Times of calls, taken in turns: `Figures` are row → column → one number per round."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from benchmarks import sizes

THREADS = 2

Figures = dict[str, dict[str, list[float]]]


@dataclass
class Settings:
    """What the command line asks for."""

    rounds: int
    quick: bool = False
    row: str = ""  # a part of the names of the rows that are measured
    notes: list[str] = field(default_factory=list)  # what a reader has to know about a run, such as who was missing

    def rows(self, every: Iterable, few: int = 4, text: Callable = sizes.text) -> list:
        """Those of these rows, a few small ones if it is to be quick, whose text has `row` in it."""
        every = list(every)
        return [one for one in (every[:few] if self.quick else every) if self.row in text(one)]

    def note(self, text: str) -> None:
        """Add a note that isn't there yet."""
        if text not in self.notes:
            self.notes.append(text)


def seconds(run: Callable, at_least: float = 0.02) -> float:
    """Time one call, over as many calls as fill `at_least` seconds."""
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
