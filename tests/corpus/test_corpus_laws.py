"""Layers of the corpus: what the steps give in Python row by row, and the laws of docs/contract.md in every bit."""

import os
import sys

import numpy as np
import processes
import pytest
from corpus_laws import call, check_all
from corpus_runs import CORPUS, helpers_in_python, layer_of, plain
from matrix import every

import rnnkit as rk


def rotating(n, start=0):
    """Each recurrence in both dtypes: of n recurrences one is run in the ordinary run, in one of them."""
    cases = [
        pytest.param(
            one, dtype, id=f"{one.name}-{dtype}",
            marks=() if i % n == start and i // n % 2 == j else pytest.mark.sweep,
        )
        for i, one in enumerate(CORPUS) for j, dtype in enumerate(("float64", "float32"))
    ]  # fmt: skip
    return pytest.mark.parametrize("recurrence, dtype", cases)


@rotating(4)
def test_L1_to_L6_of_a_recurrence(recurrence, dtype, monkeypatch, threads):
    threads(1)
    x, constants, whole = check_all(recurrence, dtype)
    if dtype == "float64":
        helpers_in_python(recurrence, monkeypatch)
        expected = plain(recurrence, x, constants)
        np.testing.assert_allclose(whole[0].reshape(expected.shape), expected, rtol=1e-8, atol=1e-9)
        with rk.eager():
            eager = call(layer_of(recurrence, dtype, return_state=True), x[:2], [c[:2] for c in constants])
        np.testing.assert_allclose(whole[0][:2], eager[0], rtol=1e-8, atol=1e-9)


RUN = """
import corpus_laws, corpus_runs
from rnnkit.backends.cpu.simd import bounds_check
for one in corpus_runs.CORPUS[{part}]:
    corpus_laws.check_all(one, "{dtype}")
    corpus_laws.run_gradient(one, "{dtype}")
    print(one.name, bounds_check.CHECKED)
"""


@pytest.mark.parametrize("part", every(20, [f"{i % 20}::20" for i in range(15, 35)]))
def test_programs_of_rows_touch_nothing_but_their_own(part):
    """Access by access, the gaps between parts of scratch memory, too."""
    text = RUN.format(part=part, dtype="float32" if part < "5" else "float64")
    environment = {**os.environ, "RNNKIT_CHECK": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = processes.run([sys.executable, "-c", text], env=environment)
    assert done.stdout.split()[1::2] == ["True"] * len(CORPUS[slice(int(part.split(":")[0]), None, 20)]), done.stderr


@pytest.mark.parametrize("features", ["avx2", "generic", pytest.param("neon", marks=pytest.mark.sweep)])
def test_laws_in_vectors_of_another_width(features):
    said, error = processes.with_vectors(RUN.format(part="3::23", dtype="float32"), features)
    assert said[::2] == [one.name for one in CORPUS[3::23]], error
