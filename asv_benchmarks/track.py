"""Speed over commits: two of them beside each other, a history of many, and pages of what was measured.

    python asv_benchmarks/track.py run
    python asv_benchmarks/track.py spread
    python asv_benchmarks/track.py compare main
    python asv_benchmarks/track.py find main --bench 'forward.Cells.*LSTM'
    python asv_benchmarks/track.py history --every 20 --most 25
    python asv_benchmarks/track.py publish

Commits are measured in environments of asv's own, see asv.conf.json; what isn't committed is not measured. ``run`` and
``history`` keep the least of several runs of the suite: calls are steady inside a process, but where its memory and
code lie makes some processes slow, and so does what the machine did at that time. ``spread`` tells how far apart such
figures lie. ``compare`` ends with 1, and a list, where HEAD is slower than the base by more than `--factor`. Noise only
adds to a time: what looks slower, the worst of it, is measured again, both commits in turns, and their minima are
compared, until no more than what is slower is left; it has to be slower in two of three turns, too. What is much slower
in three turns of three leaves no doubt, and ends it. ``find`` halves the commits between two. ``history`` adds commits
to `results/reference`, which is kept in the repository.
"""

import argparse
import collections
import itertools
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator

import pages

HERE = pathlib.Path(__file__).parent
RESULTS, HTML = HERE / "results", HERE / "html"
OWN, REFERENCE = "here", "reference"  # machines: this one, and that whose results are kept in the repository
TRIED = "tried"  # this one too, of single runs that are no history
SMOKE = "# smoke: "  # before the case of a file that is run to see that it works
ASV = pathlib.Path(sys.executable).with_name("asv")
RUNS = 5  # of the suite, of which the least is kept
STEADY = 0.1  # what ``spread`` names lies further apart
FACTOR, ROUNDS, TRIES = 1.1, 5, 2
FEW, MOST = 4, 12  # of so few that are left, so many rounds: the memory that a process is given may be slow
WORST = 20  # that are measured again
DOUBTLESS, TURNS = 1.3, 3  # times as slow, and in so many turns
DIGITS = 4  # of a figure that is kept
Figures = dict[str, float]


def asv(*arguments, check=True) -> int:
    """Run asv in the folder of its configuration; threads of a linear algebra library would wait for each other."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}
    return subprocess.run([ASV, *map(str, arguments)], cwd=HERE, check=check, env=environment).returncode


def git(*arguments) -> str:
    """Return what git says of the repository."""
    done = subprocess.run(["git", *arguments], cwd=HERE, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip()


def places(content: dict) -> Iterator[tuple[str, list, int]]:
    """Return where the figures of a file of results stand, by benchmark and parameters as asv writes them."""
    for name, row in content["results"].items():
        record = dict(zip(content["result_columns"], row, strict=False))
        for place, chosen in enumerate(itertools.product(*record["params"]) if record["result"] else ()):
            yield f"{name}({', '.join(chosen)})" if chosen else name, record["result"], place


def figures(content: dict) -> Figures:
    """Return the figures of a file of results."""
    found = {name: values[place] for name, values, place in places(content)}
    return {name: value for name, value in found.items() if value is not None and not math.isnan(value)}


def written(commit: str, machine: str, since: float) -> list[pathlib.Path]:
    """Return the files of results of a commit that were written since: others are of other packages."""
    return [path for path in (RESULTS / machine).glob(f"{commit[:8]}-*.json") if path.stat().st_mtime >= since]


def measured(commit: str, machine: str, names: list[str] | None = None, bench: str = ".") -> Figures:
    """Measure a commit: the benchmarks whose names have a pattern, or these."""
    chosen = bench if names is None else "|".join(f"^{re.escape(name)}$" for name in names)
    started = time.time()
    asv("run", "--machine", machine, "--bench", chosen, f"{commit}^!", check=False)  # 2 where a benchmark failed
    found: Figures = {}
    for path in written(commit, machine, started):
        found |= figures(json.loads(path.read_text(encoding="utf-8")))
    wanted = re.compile(chosen)
    return {name: value for name, value in found.items() if wanted.search(name)}


def run(commit: str, machine: str, bench: str, runs: int) -> tuple[Figures, bool]:
    """Measure a commit so often; keep the least in its file of results; return it, and whether all have a figure."""
    started, found = time.time(), {}
    for _ in range(runs):
        found = least(found, measured(commit, machine, bench=bench))
    paths = written(commit, machine, started)
    whole = bool(paths)
    for path in paths:
        content = json.loads(path.read_text(encoding="utf-8"))
        for name, values, place in places(content):
            values[place] = found.get(name, values[place])
        whole = whole and not any(row[0] is None or None in row[0] for row in content["results"].values())
        path.write_text(json.dumps(content), encoding="utf-8")
    return found, whole


def spread(commit: str, times: int, bench: str, runs: int) -> int:
    """Print how far figures of a commit lie apart that were measured so many times."""
    found = []
    for turn in range(times):
        started = time.time()
        found.append(run(commit, OWN, bench, runs)[0])
        print(f"{turn + 1} of {times}: {time.time() - started:.0f} s", flush=True)
    names = set.intersection(*map(set, found))
    apart = sorted((max(one[name] for one in found) / min(one[name] for one in found) - 1, name) for name in names)
    for share, name in apart:
        if share > STEADY:
            print(f"{share:.0%} apart: {name}: {', '.join(f'{one[name]:.3g}' for one in found)}")
    middle, most = (apart[math.ceil(part * len(apart)) - 1][0] for part in (0.5, 0.95))
    print(f"{len(apart)} benchmarks, {times} times the least of {runs} runs.")
    print(f"{middle:.1%} apart in the median, 95 % of them at most {most:.1%}.")
    return 0


def slower(base: Figures, head: Figures, factor: float) -> list[str]:
    """Return what both have and the head takes longer for, or more of, the worst first."""
    found = [name for name in base if name in head and head[name] > factor * base[name]]
    return sorted(found, key=lambda name: -head[name] / max(base[name], sys.float_info.min))


def least(one: Figures, other: Figures) -> Figures:
    """Return the smaller figure of each benchmark."""
    return one | {name: min(value, one.get(name, value)) for name, value in other.items()}


def beside(
    base: str, head: str, factor: float, bench: str, most: int = ROUNDS
) -> tuple[Figures, Figures, list[str], list[str]]:
    """Measure two commits; return the figures of both, what is slower, and what the second doesn't have."""
    found: list[Figures] = [{}, {}]
    names: list[str] | None = None
    beaten: collections.Counter[str] = collections.Counter()
    doubtless: collections.Counter[str] = collections.Counter()
    for turn in range(most):
        if turn >= ROUNDS and names is not None and len(names) > FEW:
            break
        now: list[Figures] = [{}, {}]
        for side in (0, 1) if turn % 2 == 0 else (1, 0):  # what is installed is measured first
            now[side] = measured((base, head)[side], TRIED, names, bench)
            found[side] = least(found[side], now[side])
        if turn == 0:
            missing = sorted(found[0].keys() - found[1].keys())
        beaten.update(slower(*now, factor))
        doubtless.update(slower(*now, DOUBTLESS))
        names = slower(*found, factor)[:WORST]
        if turn + 1 >= ROUNDS:  # one quick run among slow ones may be the machine's
            names = [name for name in names if 3 * beaten[name] >= 2 * (turn + 1)]
        if not names:
            break
        print(f"after round {turn + 1}: {len(names)} slower", flush=True)
        if turn + 1 >= TURNS and (sure := [name for name in names if doubtless[name] == turn + 1]):
            names = sure
            break
    return *found, names, missing


def compare(base: str, head: str, factor: float, bench: str = ".") -> int:
    """Print what is slower, and return the exit code."""
    base, head = hashes(base, head)
    before, after, names, missing = beside(base, head, factor, bench, MOST)
    for name in names:
        print(f"slower: {before[name]:.4g} -> {after[name]:.4g}, {after[name] / before[name]:.2f} times: {name}")
    for name in missing:
        print(f"fails: {name}")
    print(f"{len(before)} benchmarks of {base[:8]} and {head[:8]}: {len(names)} are slower.")
    return int(bool(names or missing))


def find(base: str, head: str, factor: float, bench: str) -> int:
    """Print the commit after a base that made the benchmark slower that differs most; 1 where none did."""
    base, head = hashes(base, head)
    before, after, names, _ = beside(base, head, factor, bench)
    if not names:
        print("nothing is slower.")
        return 1
    name = names[0]
    between = math.sqrt(before[name] * after[name])
    commits = git("rev-list", "--first-parent", "--reverse", f"{base}..{head}").split()
    fast, slow = -1, len(commits) - 1
    while slow - fast > 1:
        middle = (fast + slow) // 2
        # A time that is short once isn't noise.
        if any(measured(commits[middle], TRIED, [name]).get(name, math.inf) < between for _ in range(TRIES)):
            fast = middle
        else:
            slow = middle
        print(f"{slow - fast} commits are left", flush=True)
    print(f"{before[name]:.4g} -> {after[name]:.4g}: {name}")
    print("slower since: " + git("log", "-1", "--format=%h %cs %s", commits[slow]))
    return 0


def hashes(*names: str) -> list[str]:
    """Return the commits that these name."""
    return [git("rev-parse", f"{name}^{{commit}}") for name in names]


def commits_of(every: int, most: int) -> list[str]:
    """Return the newest commits of the history that are releases, the last of a day, or an n-th one, oldest first."""
    lines = [line.split() for line in git("log", "--first-parent", "--format=%H %cs").splitlines()]
    tagged = set(git("rev-list", "--no-walk", "--tags=v*").split())
    found, days = [], set()
    for place, (commit, day) in enumerate(lines):
        if commit in tagged or (every and place % every == 0) or (not every and day not in days):
            found.append(commit)
        days.add(day)
    return found[:most][::-1]


def smoke() -> int:
    """Run one case of each file once, with what is installed here."""
    lines = [line for path in (HERE / "benchmarks").glob("*.py") for line in path.read_text().splitlines()]
    chosen = "|".join(line.removeprefix(SMOKE) for line in lines if line.startswith(SMOKE))
    return asv("run", "--machine", OWN, "--quick", "--show-stderr", "--python=same", "--bench", chosen)


def known(commit: str, machine: str) -> bool:
    """Tell whether there are results of a commit, with the versions of packages that are pinned."""
    pinned = {name: one for name, (one,) in configuration()["matrix"]["req"].items()}
    contents = (json.loads(path.read_text(encoding="utf-8")) for path in written(commit, machine, 0.0))
    return any(content["requirements"] == pinned for content in contents)


def history(every: int, most: int, bench: str, runs: int) -> int:
    """Measure the commits that have no results yet; keep these in the repository."""
    for commit in commits_of(every, most):
        if not known(commit, REFERENCE):
            run(commit, REFERENCE, bench, runs)
    for path in (RESULTS / REFERENCE).glob("*.json"):
        path.write_text(shortened(path.read_text(encoding="utf-8")), encoding="utf-8")
    shutil.copy(RESULTS / "benchmarks.json", RESULTS / REFERENCE)
    return publish()


def shortened(text: str) -> str:
    """Return a file of results, or of the machine, with few digits and the system's name alone."""
    content = json.loads(text)
    for record in content.get("results", {}).values():
        record[0] = [value and float(f"{value:.{DIGITS}g}") for value in record[0] or []] or None
    for told in (content, content.get("params", {})):
        if "os" in told:
            told["os"] = told["os"].split()[0]
    return json.dumps(content, indent=None, separators=(",", ":")) + "\n"


def histories() -> dict[str, list[pages.Point]]:
    """Return what was measured, by machine: that of the repository first, and the newest versions of packages first."""
    kept = RESULTS if (RESULTS / "benchmarks.json").exists() else RESULTS / REFERENCE  # the latter in a new clone
    benchmarks = json.loads((kept / "benchmarks.json").read_text(encoding="utf-8"))
    named: dict[str, list[pages.Point]] = {}
    for machine in (REFERENCE, OWN):
        found: dict[str, list[pages.Point]] = {}
        for path in (RESULTS / machine).glob("*-*.json"):
            content = json.loads(path.read_text(encoding="utf-8"))
            place = content["result_columns"].index("version")
            current = {name: told for name, told in content["results"].items() if name in benchmarks}
            rows = {name: told for name, told in current.items() if told[place] == benchmarks[name]["version"]}
            point = content["commit_hash"], content["date"] / 1000, figures(content | {"results": rows})
            found.setdefault(content["env_name"], []).append(point)
        newest = sorted(found.values(), key=lambda points: -max(seconds for _, seconds, _ in points))
        named |= {f"{machine}-{k}" if k else machine: points for k, points in enumerate(newest)}
    return named


def configuration() -> dict:
    """Return that of asv."""
    from asv.util import load_json

    return load_json(HERE / "asv.conf.json", js_comments=True)


def publish() -> int:
    """Write the pages; commits that this clone doesn't have are shown by their hashes and days."""
    shutil.rmtree(HTML, ignore_errors=True)
    HTML.mkdir()
    titles = dict(line.split("\t", 1) for line in git("log", "--all", "--format=%H%x09%s").splitlines())
    thresholds = configuration()["regressions_thresholds"]
    pages.write(HTML, histories(), titles, thresholds)
    print(f"the pages are in {HTML / 'index.html'}")
    return 0


def main() -> int:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("smoke", help="run one case of each file")
    commands.add_parser("publish", help="write the pages")
    for name, told in {
        "run": "measure the last commit",
        "spread": "measure it several times, and tell how far the figures lie apart",
        "compare": "measure two commits; 1 where the second is slower",
        "find": "search the commits between two for the one that made a benchmark slower",
        "history": "measure releases and the last commit of each day, or every n-th one",
    }.items():
        one = commands.add_parser(name, help=told)
        one.add_argument("--bench", default=".", help="a pattern of names")
        if name in ("compare", "find"):
            one.add_argument("base")
            one.add_argument("head", nargs="?", default="HEAD")
            one.add_argument("--factor", type=float, default=FACTOR)
        else:
            one.add_argument("--runs", type=int, default=RUNS, help="of the suite, of which the least is kept")
        if name == "spread":
            one.add_argument("--times", type=int, default=5)
        if name == "history":
            one.add_argument("--every", type=int, default=0)
            one.add_argument("--most", type=int, default=25)
    given = parser.parse_args()
    machine = {"history": REFERENCE, "compare": TRIED, "find": TRIED}.get(given.command, OWN)
    asv("machine", "--yes", "--machine", machine)
    match given.command:
        case "run":
            return 0 if run(*hashes("HEAD"), OWN, given.bench, given.runs)[1] else 2
        case "spread":
            return spread(*hashes("HEAD"), given.times, given.bench, given.runs)
        case "compare":
            return compare(given.base, given.head, given.factor, given.bench)
        case "find":
            return find(given.base, given.head, given.factor, given.bench)
        case "history":
            return history(given.every, given.most, given.bench, given.runs)
        case "smoke":
            return smoke()
    return publish()


if __name__ == "__main__":
    sys.exit(main())
