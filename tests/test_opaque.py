"""Functions that are left to arrays with an answer of their own."""

import numpy as np

from rnnkit.opaque import opaque


class Answering(np.ndarray):
    """An array that answers with what it is asked."""

    @staticmethod
    def __rnnkit_opaque__(function, arguments, draws, writes):
        return function, arguments, draws, writes


def test_a_function_of_plain_arrays_is_called():
    x = np.ones(2)
    assert opaque(np.add, x, 1).tolist() == opaque(np.add, x, 1, draws=True, like=x).tolist() == [2, 2]
    opaque(np.copyto, x, 5.0, writes=[x])
    assert x.tolist() == [5, 5]


def test_an_array_answers_wherever_it_is():
    plain = np.ones(2)
    own = plain.view(Answering)
    for arguments in ((own,), (plain, own), ([plain, (own,)],), ({"a": {"b": own}}, 3)):
        found = opaque(max, *arguments, writes=[plain])
        assert found[0] is max and found[1] is not None and found[2] is False and found[3][0] is plain
    assert opaque(max, like=[None, own], draws=True) == (max, (), True, ())
    assert opaque(np.sum, own, like=plain) == 2  # which decides alone
