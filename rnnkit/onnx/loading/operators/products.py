"""Matrix products."""

from __future__ import annotations

import string

import numpy as np

from rnnkit.onnx.loading.axes import Array, Constant, Value
from rnnkit.onnx.loading.graph import Node, operator
from rnnkit.onnx.loading.operators.arranging import viewed
from rnnkit.onnx.loading.operators.elementwise import combined, dense
from rnnkit.onnx.loading.step_target import features_of, weight_name


@operator("MatMul")
def matmul(node: Node, a: Value, b: Value):
    """Multiply matrices; a dense layer if the second one is a trained matrix."""
    if not a.axes or not b.axes:
        raise ValueError("expected arrays with axes, got a number")
    a_axes, b_axes = list(a.axes), list(b.axes)
    a_axes[-1].join(b_axes[-2] if len(b_axes) > 1 else b_axes[-1])
    lead = node.axes.broadcast(a_axes[:-2], b_axes[:-2]) if max(len(a_axes), len(b_axes)) > 2 else ()
    axes = (*lead, *a_axes[-2:-1], *(b_axes[-1:] if len(b_axes) > 1 else ()))
    letters = iter(string.ascii_lowercase)
    of_lead, row, inner, column = [next(letters) for _ in lead], *(next(letters) for _ in range(3))
    left = (*of_lead[len(lead) - len(a_axes) + 2 :], row, inner) if len(a_axes) > 1 else (inner,)
    right = (*of_lead[len(lead) - len(b_axes) + 2 :], inner, column) if len(b_axes) > 1 else (inner,)
    result = (*of_lead, *([row] if len(a_axes) > 1 else ()), *([column] if len(b_axes) > 1 else ()))
    emit = lambda steps, refs: _emitted(steps, [a, b], refs, [left, right], result, axes)
    if isinstance(a, Array) and isinstance(b, Constant) and b.trainable and len(b_axes) == 2:
        return dense(node, axes, (a, b, None, None), emit, [a, b])
    return node.array(axes, "float", [a, b], emit)


@operator("Gemm")
def gemm(node: Node, a: Value, b: Value, c: Value | None = None):
    """Compute ``alpha * a @ b + beta * c``, of matrices that may be transposed."""
    alpha, beta = float(node.attribute("alpha", 1.0)), float(node.attribute("beta", 1.0))
    turn_a, turn_b = node.attribute("transA", 0), node.attribute("transB", 0)
    if len(a.axes) != 2 or len(b.axes) != 2:
        raise ValueError("expected two matrices")
    a = viewed(node, a, (1, 0)) if turn_a else a
    b = viewed(node, b, (1, 0)) if turn_b else b
    if isinstance(b, Constant):
        b = _times(node, b, alpha)
    else:
        a = _times(node, a, alpha)
    product = matmul(node, a, b)
    return product if c is None or beta == 0 else combined(node, "Add", [product, _times(node, c, beta)])


def _times(node, value: Value, factor: float) -> Value:
    if factor == 1:
        return value
    if isinstance(value, Constant):
        return Constant(value.array * value.array.dtype.type(factor), value.axes, value.name, value.trainable)
    return combined(node, "Mul", [value, Constant(np.array(factor), ())])


@operator("Einsum")
def einsum(node: Node, *inputs):
    """Compute a sum of products over named axes; the batch keeps its letter."""
    text = node.attribute("equation", "").replace(" ", "")
    if "..." in text or not text:
        raise ValueError(f"expected an equation without dots, got {text!r}")
    left, _, right = text.partition("->")
    terms = left.split(",")
    if "->" not in text:
        letters = left.replace(",", "")
        right = "".join(sorted(c for c in set(letters) if letters.count(c) == 1))
    named: dict = {}
    if len(terms) != len(inputs):
        raise ValueError(f"expected {len(terms)} operands, got {len(inputs)}")
    for term, one in zip(terms, inputs, strict=True):
        if len(term) != len(one.axes):
            raise ValueError(f"expected an operand with {len(term)} axes, got {len(one.axes)}")
        for letter, axis in zip(term, one.axes, strict=True):
            named.setdefault(letter, axis).join(axis)
    axes = [named[letter] for letter in right]
    emit = lambda steps, refs: _emitted(steps, inputs, refs, terms, right, axes)
    return node.array(axes, "float", inputs, emit)


def _emitted(steps, inputs, refs, terms, right, axes):
    """Return a sum of products as one instruction; `terms` name the axes of the inputs, `right` those of the result."""
    forms, rows = steps.forms, "Z"
    of_terms = [list(zip(term, one.axes, strict=True)) for term, one in zip(terms, inputs, strict=True)]
    if any(letter not in right and forms.is_row(axis) for term in of_terms for letter, axis in term):
        raise ValueError("expected a sum over features, got one over the batch or time")
    equation, given = [], []
    for term, one, ref in zip(of_terms, inputs, refs, strict=True):
        own = "".join(term[i][0] for i, _ in forms.placed(one.axes))
        if isinstance(one, Constant):
            array = np.atleast_1d(features_of(one.array, one.axes, forms))
            ref = steps.weight(array, weight_name(one, "kernel"), one.is_weight)
            own = own or "Y"
        else:
            own = rows + own
        equation.append(own)
        given.append(ref)
    result = rows + "".join(right[i] for i, _ in forms.placed(axes))
    first, *others = equation
    if isinstance(inputs[-1], Constant) and others == [first[-1:] + result[-1:]] and result[:-1] == first[:-1]:
        return steps.add("Product", given)
    return steps.add("Einsum", given, equation=f"{','.join(equation)}->{result}")
