"""Functions of `Value`s as intrinsics of one of numba's targets, the CPU or CUDA."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from rnnkit.backends.formulas.value import Value


def itself(kind):
    """Return the type itself: the result has the type in which it is computed."""
    return kind


class NumbaTarget(NamedTuple):
    """The parts of one of numba's targets that differ from the others'."""

    intrinsic: Callable  # numba's, of the target
    signature: Callable  # numba's
    types: Any  # numba's types, a module
    value: type[Value] = Value  # whose functions the target has

    def common(self, arguments):
        """Return the float type in which numbers are computed together, None if they are something else."""
        types = self.types
        if not all(isinstance(t, (types.Number, types.Boolean)) for t in arguments):
            return None
        floats = [t for t in arguments if isinstance(t, types.Float)]
        return max(floats, key=lambda t: t.bitwidth, default=types.float64)

    def convert(self, context, builder, number, given, kind):
        return self.value(builder, context.cast(builder, number, given, kind))

    def typed(self, function, arguments, common=None, result=itself):
        """Return (signature, code generator) of `function` of Values for argument types; None where they don't fit."""
        kind = (common or self.common)(arguments)
        if kind is None:
            return None

        def generate(context, builder, signature, numbers):
            given = zip(numbers, signature.args, strict=True)
            return function(*[self.convert(context, builder, number, one, kind) for number, one in given]).value

        return self.signature(result(kind), *arguments), generate

    def function(self, arity, common=None, result=itself):
        """Decorator: make a Python function of `arity` Values a function for jitted code; `common` replaces the
        target's, and `result` gives the result's type by that in which it is computed.
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
