"""Objects by their import path."""

import json

import numpy as np
import pytest

from rnnkit.serialization.registry import from_path, path_of


class Outer:
    class Inner:
        pass

    def method(self):
        """A function of a class."""


@pytest.mark.parametrize("thing", [json.dumps, np.tanh, Outer, Outer.Inner, Outer.method])
def test_round_trip(thing):
    assert from_path(path_of(thing)) is thing


def test_what_has_no_path():
    def inside():
        pass

    for thing in (inside, lambda: 0, 3, Outer()):
        with pytest.raises(ValueError, match="by name"):
            path_of(thing)


@pytest.mark.parametrize("path", ["json", "json:nothing", "no.such.module:name", ":", "json:", "json:dumps.nothing"])
def test_bad_paths(path):
    with pytest.raises(ValueError, match="module:name"):
        from_path(path)
