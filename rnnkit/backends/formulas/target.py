"""Functions of `Value`s as intrinsics of one of numba's targets, the CPU or CUDA."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


def itself(kind):
    """The result has the type in which it is computed."""
    return kind


class Target(NamedTuple):
    """What a target has of its own.

    Attributes
    ----------
    intrinsic, signature : callable
        numba's, of the target.
    common : callable
        From the types of some arguments to the one in which they are computed together, None where there is none.
    convert : callable
        ``(context, builder, number, given, kind)``, an argument of the type `given` as a Value of the type `kind`.
    """

    intrinsic: Callable
    signature: Callable
    common: Callable
    convert: Callable

    def typed(self, function, arguments, common=None, result=itself):
        """(signature, code generator) of `function` of Values for these argument types; None where they don't fit."""
        kind = (common or self.common)(arguments)
        if kind is None:
            return None

        def generate(context, builder, signature, numbers):
            given = zip(numbers, signature.args, strict=True)
            return function(*[self.convert(context, builder, number, one, kind) for number, one in given]).value

        return self.signature(result(kind), *arguments), generate

    def function(self, arity, common=None, result=itself):
        """Decorator: a Python function of `arity` Values becomes a function for jitted code.

        `common` replaces the target's, and `result` says the result's type by that in which it is computed.
        """

        def decorate(function):
            if arity == 1:

                def definition(typingctx, a):
                    return self.typed(function, (a,), common, result)
            elif arity == 2:

                def definition(typingctx, a, b):  # type: ignore[misc]  # of another arity
                    return self.typed(function, (a, b), common, result)
            else:

                def definition(typingctx, a, b, c):  # type: ignore[misc]  # of another arity
                    return self.typed(function, (a, b, c), common, result)

            definition.__name__ = definition.__qualname__ = function.__name__
            definition.__doc__ = function.__doc__
            return self.intrinsic(definition)

        return decorate
