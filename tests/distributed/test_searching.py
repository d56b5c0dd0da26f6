"""A search without a cluster: the loop that it equals. `test_cluster_panels.py` has it on workers."""

import doctest

import pytest

from rnnkit.distributed import search, searching


def test_it_is_the_loop_over_the_grid():
    trials = search(lambda base, a, b: base + 10 * a + b, {"a": [1, 2], "b": [3, 4]}, 100)
    assert len(trials) == 4 and trials.trials == []
    first = next(trials)
    assert (first.number, first.parameters, first.result, first.error) == (0, {"a": 1, "b": 3}, 113, None)
    assert [one.result for one in trials] == [114, 123, 124]
    assert trials.best().number == 0 and trials.best(lambda result: -result).number == 3


def test_candidates_one_by_one_and_a_tie():
    trials = search(lambda a=0, b=0: abs(a + b), [{"a": 1}, {"b": -1}, {"a": 3, "b": 3}])
    assert trials.best().number == 0
    assert [one.parameters for one in trials.trials] == [{"a": 1}, {"b": -1}, {"a": 3, "b": 3}]


def test_one_that_raises_leaves_the_others():
    trials = search(lambda a: 1 / a, {"a": [0, 2]})
    assert [type(one.error).__name__ for one in trials] == ["ZeroDivisionError", "NoneType"]
    assert trials.best().parameters == {"a": 2}
    with pytest.raises(ValueError, match=r"got none; the first raised ZeroDivisionError"):
        search(lambda a: 1 / a, {"a": [0]}).best()


def test_a_search_that_is_given_up_runs_no_more():
    ran = []
    with search(lambda a: ran.append(a), {"a": range(5)}) as trials:
        next(trials)
    assert ran == [0] and list(trials) == []


@pytest.mark.parametrize("grid", [{}, {"a": []}, [], {"a": "word"}, {"a": 3}])
def test_a_grid_has_candidates(grid):
    with pytest.raises(ValueError, match="expected"):
        search(print, grid)


def test_its_example():
    assert doctest.testmod(searching).failed == 0
