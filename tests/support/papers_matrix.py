"""The table of docs/papers.md: recurrences of papers, and what works of each.

``python tests/support/papers_matrix.py`` writes it.
"""

import pathlib
import tempfile

import numpy as np
from c_code_runs import Library
from matrix import flat
from onnx_runs import Exported, near
from papers import PAPERS, ROWS
from reference import run

import rnnkit as rk

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "papers.md"
BEGIN, END = "| recurrence | from | traced | forward | gradient | Hessian | ONNX | C |\n", "\n\n"


class Case:
    """A layer of a paper, all that a call of it reads, and a direction for each of these arrays."""

    def __init__(self, paper):
        rng = np.random.default_rng(3)
        self.paper, self.layer = paper, paper.layer()
        x, constants = paper.data(rng)
        start = [self._keyed(state) for state in flat(list(self.layer.get_initial_state(ROWS)))]
        weights = [np.array(array) for array in self.layer.get_weights()]
        self.at = {"x": [x], "start": start, "constants": list(constants), "weights": weights}
        self.along = {name: [_normal(array, rng) for array in arrays] for name, arrays in self.at.items()}
        for place in paper.fixed:
            self.along["start"][place] *= 0
        for array, along in zip(weights, self.along["weights"], strict=True):
            along *= (array != 0) | ~array.any()  # what a sparse weight doesn't store isn't one
        self.outputs = self.plain(self.at)
        self.d = _normal(self.outputs, rng)

    def _keyed(self, state):
        """The state; of a generator one with keys, so that each run draws the same numbers."""
        drawing = self.layer.cell._draws_each_step() and state.shape == (ROWS, 4)
        return np.arange(1.0, 1 + 2 * ROWS).reshape(ROWS, 2) @ np.eye(2, 4) if drawing else np.array(state)

    def moved(self, step):
        """All arrays, gone so far along their directions."""
        return {
            name: [a + step * d for a, d in zip(arrays, self.along[name], strict=True)]
            for name, arrays in self.at.items()
        }

    def plain(self, at):
        """The outputs of the cell's own function in a loop over NumPy arrays."""
        constants, draws = tuple(at["constants"]), {"random": np.zeros((ROWS, 2))}
        self.layer.set_weights(at["weights"])
        step = lambda x, states: self.layer.cell._advance(x, states, constants, False, draws)
        try:
            with np.errstate(all="ignore"):
                return run(step, at["x"][0], at["start"]).outputs
        finally:
            self.layer.set_weights(self.at["weights"])

    def called(self):
        return self.layer(self.at["x"][0], **self.given(self.at))

    def given(self, at):
        """The arguments of a call of the layer, but for the weights."""
        return {"initial_state": at["start"], "constants": at["constants"] or None}

    def pulled(self, at, d):
        """The gradient by each array of the outputs times `d`."""
        self.layer.set_weights(at["weights"])
        _, pull = self.layer.vjp(at["x"][0], **self.given(at))
        found = pull(d)
        self.layer.set_weights(self.at["weights"])
        named = {"x": [found.x], "start": flat(list(found.initial_state)), "constants": list(found.constants or [])}
        return named | {"weights": [found.weights[name] for name in self.layer.weights]}


def _normal(array, rng):
    found = rng.normal(size=array.shape)
    return found + 1j * rng.normal(size=array.shape) if array.dtype.kind == "c" else found


def _off(got, expected):
    """The largest difference, relative to the largest number."""
    return np.abs(np.asarray(got) - expected).max() / max(np.abs(expected).max(), 1e-3)


def traced(case):
    case.called()
    said = case.layer.explain()
    return "yes" if said.startswith("traced") else f"no: {said.splitlines()[0]}"


def forward(case):
    off = _off(case.called(), case.outputs)
    return "yes" if off < 1e-9 else f"no: off by {off:.0e}"


def gradient(case, step=1e-6):
    """Central differences of the plain loop, along the directions."""
    ends = [case.plain(case.moved(sign * step)) for sign in (1, -1)]
    slope = np.vdot(case.d, (ends[0] - ends[1]) / (2 * step)).real
    found = case.pulled(case.at, case.d)
    total = sum(np.vdot(g, a).real for name in found for g, a in zip(found[name], case.along[name], strict=True))
    off = _off(total, slope)
    return "yes" if off < 1e-6 else "by its own rule" if case.paper.own_rule else f"no: off by {off:.0e}"


def hessian(case, step=1e-5):
    """Its product with the directions of x and the weights, beside central differences of the gradient."""
    names, ones = list(case.layer.weights), np.ones_like(case.outputs)
    along = dict(zip(["x", *names], case.along["x"] + case.along["weights"], strict=True))
    found = rk.hvp(case.layer, case.at["x"][0], along, by=list(along), **case.given(case.at))
    at = {name: [*arrays] for name, arrays in case.at.items()}
    slope = 0
    for times, factor in ((1, 8), (-1, -8), (2, -1), (-2, 1)):  # of the fourth order, for cells that amplify
        moved = at | {name: case.moved(times * step)[name] for name in ("x", "weights")}
        pulled = case.pulled(moved, ones)
        slope += factor / (12 * step) * np.concatenate([one.ravel() for one in pulled["x"] + pulled["weights"]])
    off = _off(np.concatenate([found[name].ravel() for name in along]), slope)
    return "yes" if off < 1e-5 else "by its own rule" if case.paper.own_rule else f"no: off by {off:.0e}"


def onnx(case):
    shapes = [one.shape[1:] for one in case.at["constants"]]
    exported = Exported(case.layer, constants=shapes or None)
    near(exported(*map(_paired, (case.at["x"][0], *case.at["constants"]))), [_paired(case.outputs)])
    return "yes"


def _paired(array):
    """As ONNX has complex numbers, with an axis of both parts behind that of time."""
    return np.stack([array.real, array.imag], 2) if array.dtype.kind == "c" else array


def in_c(case):
    constants, outputs = case.at["constants"], case.outputs
    with tempfile.TemporaryDirectory() as folder:
        library = Library({"cell": (case.layer, {"constants": constants or None, "data": case.at["x"][0]})}, folder)
        sequence = library.sequence("cell", "float64", [(outputs.shape[2:], True)], [c[0] for c in constants])
        off = _off(sequence.run(case.at["x"][0][0]), outputs[0])
    return "yes" if off < 1e-9 else f"no: off by {off:.0e}"


SHORT = {"complex": "no: complex numbers", "random": "no: random numbers"}


def short(error):
    """What a cell of the table says of an error."""
    told = " ".join(str(error).split())
    return next((said for word, said in SHORT.items() if word in told), f"no: {told}")


def line(paper, columns=(traced, forward, gradient, hessian, onnx, in_c)):
    """The line of a paper: of each column "yes", or why not."""
    case, found = Case(paper), []
    for column in columns:
        try:
            found.append(column(case))
        except (ValueError, TypeError, AssertionError) as error:
            found.append(short(error))
    return f"| {' | '.join([paper.name, paper.source, *found])} |"


def shown() -> list[str]:
    """The lines of the table on the page, without its header."""
    page = PAGE.read_text(encoding="utf-8")
    return page[page.index(BEGIN) + len(BEGIN) :].split(END)[0].splitlines()[1:]


if __name__ == "__main__":
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    found = ["|---|---|---|---|---|---|---|---|", *map(line, PAPERS)]
    PAGE.write_text(before + BEGIN + "\n".join(found) + END + rest.partition(END)[2], encoding="utf-8")
