"""Docstrings that are completed by those of others."""

import inspect

import pytest

from rnnkit import docstrings


def source(a, b, c=1):
    """Compute a source.

    Parameters
    ----------
    a, b : ndarray
        Both.
    c : int

    Returns
    -------
    ndarray

    Raises
    ------
    ValueError
        Always.
    """


class Base:
    """A base.

    Parameters
    ----------
    size : int
        So many.
    **settings
        All others.

    Raises
    ------
    TypeError
    """

    def __init__(self, size, **settings):
        pass


def completed(thing, *sources) -> dict[str, str]:
    return docstrings.sections(docstrings.described_as(*sources)(thing))


def test_what_a_function_leaves_out_is_its_sources():
    def other(c, a):
        """Compute another.

        Examples
        --------
        >>> 1
        1
        """

    found = completed(other, source)
    assert list(found) == ["", "Parameters", "Returns", "Raises", "Examples"]
    assert found["Parameters"] == "c : int\na : ndarray\n    Both."  # in its own order, and without b
    assert found["Returns"] == "ndarray" and found["Raises"] == "ValueError\n    Always."


def test_what_a_function_says_itself_stays():
    def other(a, b, d=2):
        """Compute another.

        Parameters
        ----------
        b : float
            Its own.
        d : int

        Returns
        -------
        float

        Notes
        -----
        Some.
        """

    found = completed(other, source)
    assert found["Parameters"] == "a : ndarray\n    Both.\nb : float\n    Its own.\nd : int"
    assert found["Returns"] == "float" and list(found)[-1] == "Notes"


def test_a_class_takes_parameters_alone_from_the_first_source_that_has_them():
    class Sized:
        """A sized one."""

        def __init__(self, size, c=1, **settings):
            pass

    found = completed(Sized, Base, source)
    assert found == {"": "A sized one.", "Parameters": "size : int\n    So many.\nc : int\n**settings\n    All others."}


def test_nothing_is_added_where_docstrings_are_stripped():
    def other(a):
        pass

    assert docstrings.described_as(source)(other).__doc__ is None


@pytest.mark.parametrize("thing", [source, Base])
def test_a_whole_docstring_stays_as_it_is(thing):
    before = inspect.getdoc(thing)
    assert docstrings.text_of(docstrings.sections(thing)) == before
    assert docstrings.described_as(source, Base)(thing).__doc__ == before
