"""Every cell under test in C: what rnnkit puts out, over 10,000 steps."""

import numpy as np
import pytest
from c_code_runs import CELLS, IN_C, STEPS, Library, exported_to_c, needs_compiler, refused_by_c

DTYPES = ("float32", "float64")
TRACED = tuple(c.name for c in CELLS if c.how == "traced")
ON_PAPER = tuple(name for name, cell in IN_C.items() if name.startswith("paper_") and cell.how == "traced")
# What rounding does over so many steps, where C's functions round otherwise than rnnkit's.
GROWS = {
    "paper_fourier": "a sum of cosines with a slow leak; 2e-6 after 5,000 steps",
    "paper_least_squares": "its covariance grows without bound, in rnnkit as in C",
}


def apart(got, want):
    """The greatest difference, over the greatest number."""
    assert np.array_equal(np.isnan(got), np.isnan(want))
    return np.nanmax(np.abs(got - want), initial=0) / np.nanmax(np.abs(want), initial=0)


@pytest.fixture(scope="module", params=DTYPES)
def libraries(request, tmp_path_factory):
    """The cells that are asked for, compiled together in one dtype."""
    dtype, made = request.param, {}

    def library(names):
        if names not in made:
            layers = {}
            for name in names:
                _, constants = IN_C[name].inputs(1, dtype)
                layers[name] = IN_C[name].layer(dtype), {"constants": constants or None}
            made[names] = Library(layers, tmp_path_factory.mktemp("c")), {n: one[0] for n, one in layers.items()}
        return made[names]

    return dtype, library


def run(libraries, names, name, steps=STEPS):
    dtype, library = libraries
    compiled, layers = library(names)
    x, constants = IN_C[name].inputs(steps, dtype)
    want = layers[name](x, **({"constants": constants} if constants else {}))[0]
    sequence = compiled.sequence(name, dtype, [(want.shape[1:], True)], [c[0] for c in constants])
    return sequence, x[0], want


def is_near(libraries, names, name):
    sequence, x, want = run(libraries, names, name)
    if name in GROWS:
        sequence, x, want = run(libraries, names, name, 200)
    assert apart(sequence.run(x), want) <= (1e-6 if libraries[0] == "float32" else 1e-12)


@needs_compiler
@pytest.mark.parametrize("name", TRACED)
def test_ten_thousand_steps_of_a_cell_are_those_of_rnnkit(libraries, name):
    is_near(libraries, TRACED, name)


@needs_compiler
@pytest.mark.sweep
@pytest.mark.parametrize("name", ON_PAPER)
def test_ten_thousand_steps_of_a_cell_on_paper_are_those_of_rnnkit(libraries, name):
    is_near(libraries, ON_PAPER, name)


@needs_compiler
@pytest.mark.parametrize("name", TRACED)
def test_single_steps_are_those_of_a_run(libraries, name):
    sequence, x, want = run(libraries, TRACED, name, 40)
    whole = sequence.run(x)
    sequence.reset()
    assert np.array_equal([sequence.step(row) for row in x], whole)
    sequence.reset()
    assert np.array_equal(np.concatenate([sequence.run(x[:13]), sequence.run(x[13:])]), whole)


@needs_compiler
@pytest.mark.parametrize("name", TRACED)
def test_sequences_do_not_know_each_other(libraries, name):
    dtype, library = libraries
    first, x, want = run(libraries, TRACED, name, 30)
    second = library(TRACED)[0].sequence(name, dtype, first.outputs, first.constants)
    alone = first.run(x)
    first.reset()
    mixed = []
    for row, other in zip(x, x[::-1], strict=True):
        mixed.append(first.step(row))
        second.step(other)
    assert np.array_equal(mixed, alone)


@needs_compiler
@pytest.mark.parametrize("name", TRACED)
def test_skipped_steps_are_masked_ones(libraries, name):
    dtype, library = libraries
    sequence, x, _ = run(libraries, TRACED, name, 30)
    constants = {"constants": [c[None] for c in sequence.constants]} if sequence.constants else {}
    mask = np.random.default_rng(1).random(30) < 0.6
    mask[0] = False
    want = library(TRACED)[1][name](x[None], mask=mask[None], **constants)[0]
    got = [sequence.step(row) if used else sequence.skip() for row, used in zip(x, mask, strict=True)]
    assert apart(np.array(got), want) <= (1e-6 if dtype == "float32" else 1e-12)


@pytest.mark.parametrize("name", ["folded", *TRACED])
def test_only_cells_that_cannot_be_traced_are_refused(name):
    found = refused_by_c(name)
    assert found == "" if name in TRACED else "expected a step that can be traced to write it in C" in found


@needs_compiler
@pytest.mark.parametrize(
    "name", ["LSTMCell", *(pytest.param(name, marks=pytest.mark.sweep) for name in IN_C if name != "LSTMCell")]
)
def test_what_is_told_of_a_cell_is_what_c_does(name):
    expected = "equal" if IN_C[name].how == "traced" else "expected a step that can be traced"
    assert exported_to_c(name).startswith(expected)
