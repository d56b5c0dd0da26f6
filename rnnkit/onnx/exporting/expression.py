"""Values of an ONNX graph with Python's operators, so that formulas read as in NumPy."""

from __future__ import annotations

import numpy as np

from rnnkit.onnx.exporting.block import Block
from rnnkit.onnx.format.package import element_type


class Expression:
    """A value of the graph `block`, of numbers of a dtype or conditions; nodes get the step's `line`."""

    def __init__(self, block: Block, name: str, dtype: np.dtype, line: str = ""):
        self.block, self.name, self.dtype, self.line = block, name, dtype, line

    def call(self, operator: str, *others, **attributes) -> Expression:
        """Add an operator on this value and others."""
        operands = [self.name, *(self.like(other).name for other in others)]
        return self.like_named(self.block.add(operator, *operands, line=self.line, **attributes))

    def like(self, other) -> Expression:
        """Convert a number to a value of this dtype; return a value unchanged."""
        if isinstance(other, Expression):
            return other
        return self.like_named(self.block.number(other, self.dtype))

    def like_named(self, name: str) -> Expression:
        """Return another value of the same graph."""
        return Expression(self.block, name, self.dtype, self.line)

    def to_float(self) -> Expression:
        """Convert a condition to 1 and 0."""
        return self.call("Cast", to=element_type(self.dtype))

    @property
    def in_single(self) -> bool:
        """Whether the numbers are float32."""
        return self.dtype == np.float32

    def __add__(self, other):
        return self.call("Add", other)

    def __sub__(self, other):
        return self.call("Sub", other)

    def __mul__(self, other):
        return self.call("Mul", other)

    def __truediv__(self, other):
        return self.call("Div", other)

    def __radd__(self, other):
        return self.like(other) + self

    def __rsub__(self, other):
        return self.like(other) - self

    def __rmul__(self, other):
        return self.like(other) * self

    def __rtruediv__(self, other):
        return self.like(other) / self

    def __neg__(self):
        return self.call("Neg")

    def __abs__(self):
        return self.call("Abs")

    def __lt__(self, other):
        return self.call("Less", other)

    def __le__(self, other):
        return self.call("LessOrEqual", other)

    def __gt__(self, other):
        return self.call("Greater", other)

    def __ge__(self, other):
        return self.call("GreaterOrEqual", other)

    def __and__(self, other):
        return self.call("And", other)

    def __or__(self, other):
        return self.call("Or", other)

    def __xor__(self, other):
        return self.call("Xor", other)

    def __invert__(self):
        return self.call("Not")

    def equals(self, other) -> Expression:
        """Return the condition that both are equal."""
        return self.call("Equal", other)


def where(condition: Expression, a, b) -> Expression:
    """Return `a` where a condition holds, `b` elsewhere."""
    return condition.call("Where", a, b)
