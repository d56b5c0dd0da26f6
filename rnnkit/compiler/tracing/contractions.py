"""Products of symbols: ``@``, dot, tensordot and einsum become one contraction of features."""

from __future__ import annotations

import itertools
import string

import numpy as np

from rnnkit.compiler.ir.graph import Node, View
from rnnkit.compiler.tracing.batch_axis import MixesRows, Untraceable
from rnnkit.compiler.tracing.broadcasting import first_symbol, lift, lifted
from rnnkit.compiler.tracing.symbol import Symbol

_LARGEST_LOOP = 64  # the most separate products for one weight per head


def contract(graph, a, letters_a, b, letters_b, letters_out):
    """Contract two nodes as ``einsum``, by letters of their feature axes, without shared axes of length 1."""
    a, letters_a = _summed(graph, a, letters_a, letters_b + letters_out)
    b, letters_b = _summed(graph, b, letters_b, letters_a + letters_out)
    exact = a.is_integer and b.is_integer
    if not exact and ((not a.batched and not b.batched) or (graph.whole and a.batched and b.batched)):
        return graph.einsum(f"{letters_a},{letters_b}->{letters_out}", a, b)
    common = [c for c in letters_a if c in letters_b]
    inner, shared = [c for c in common if c not in letters_out], [c for c in common if c in letters_out]
    if a.batched != b.batched and inner and not exact:
        if b.batched:
            a, letters_a, b, letters_b = b, letters_b, a, letters_a
        sizes = dict(zip(letters_a + letters_b, a.shape + b.shape, strict=True))
        if not shared:
            return _product(graph, a, letters_a, b, letters_b, inner, letters_out, sizes)
        if np.prod([sizes[c] for c in shared]) <= _LARGEST_LOOP:
            return _product_per_head(graph, a, letters_a, b, letters_b, shared, letters_out, sizes)
    order = letters_out + "".join(inner)
    product = graph.pointwise("multiply", _spread(graph, a, letters_a, order), _spread(graph, b, letters_b, order))
    return graph.reduce("sum", product, range(len(letters_out), len(order)))


def _summed(graph, node, letters, wanted):
    """Return a node without the axes that no other operand or result has, summed over them."""
    axes = [i for i, c in enumerate(letters) if c not in wanted]
    return graph.reduce("sum", node, axes), "".join(c for c in letters if c in wanted)


def _spread(graph, node, letters, order):
    node = graph.transpose(node, [letters.index(c) for c in order if c in letters])
    sizes = iter(node.shape)
    return graph.reshape(node, tuple(next(sizes) if c in letters else 1 for c in order))


def _product(graph, a, letters_a, b, letters_b, inner, letters_out, sizes):
    free_a, free_b = [c for c in letters_a if c not in inner], [c for c in letters_b if c not in inner]
    a = graph.transpose(a, [letters_a.index(c) for c in free_a + inner])
    b = graph.transpose(b, [letters_b.index(c) for c in inner + free_b])
    depth, width = (int(np.prod([sizes[c] for c in group])) for group in (inner, free_b))
    rows = tuple(sizes[c] for c in free_a)
    if len(inner) > 1:
        a = graph.reshape(a, (*rows, depth))
    result = graph.product(a, graph.reshape(b, (depth, width)))
    result = graph.reshape(result, (*rows, *(sizes[c] for c in free_b)))
    return graph.transpose(result, [(free_a + free_b).index(c) for c in letters_out])


def _product_per_head(graph, a, letters_a, b, letters_b, shared, letters_out, sizes):
    """Return one product for each index along the shared axes, side by side."""
    rest = "".join(c for c in letters_out if c not in shared)

    def at(node, letters, place) -> tuple[Node, str]:
        key = tuple(place[shared.index(c)] if c in shared else slice(None) for c in letters)
        return graph.view(node, View.item(key, tuple(map(repr, key)))), "".join(c for c in letters if c not in shared)

    parts = []
    for place in itertools.product(*(range(sizes[c]) for c in shared)):
        part = contract(graph, *at(a, letters_a, place), *at(b, letters_b, place), rest)
        parts.append(graph.reshape(part, (1, *part.shape)))
    result = graph.reshape(graph.concatenate(parts, 0), tuple(sizes[c] for c in (*shared, *rest)))
    return graph.transpose(result, [(*shared, *rest).index(c) for c in letters_out])


def einsum(subscripts, *operands, out=None, optimize=False) -> Symbol:
    """Compute ``np.einsum`` on symbols and arrays; the batch axis keeps one letter that stays in the result."""
    if not isinstance(subscripts, str) or out is not None:
        raise Untraceable("np.einsum with subscripts as a string, without out=")
    like = first_symbol(*operands)
    symbols = [lift(like, o) for o in operands]
    inputs, output = _read_subscripts(subscripts, symbols)
    batch = {letters[s.axis] for letters, s in zip(inputs, symbols, strict=True) if s.axis is not None}
    if len(batch) > 1:
        raise MixesRows(f"np.einsum({subscripts!r}) gives the batch axis different letters")
    if batch and output.count(next(iter(batch))) != 1:
        raise MixesRows(f"np.einsum({subscripts!r}) sums over the batch axis")
    terms = []
    for letters, s in zip(inputs, symbols, strict=True):
        while twice := [c for c in letters if letters.count(c) > 1]:
            first, second = (i for i, c in enumerate(letters) if c == twice[0])
            s = np.diagonal(s, 0, first, second)  # type: ignore[assignment]  # a symbol
            letters = "".join(c for c in letters if c != twice[0]) + twice[0]
        if s.axis is None and set(letters) & batch:
            raise MixesRows(f"np.einsum({subscripts!r}) gives a weight the letter of the batch axis")
        terms.append((s.node, "".join(c for c in letters if c not in batch)))
    target = "".join(c for c in output if c not in batch)
    node, letters = terms[0]
    for i, (other, other_letters) in enumerate(terms[1:], 1):
        later = target + "".join(l for _, l in terms[i + 1 :])
        every = "".join(dict.fromkeys(c for c in letters + other_letters if c in later))
        keep = every if i < len(terms) - 1 else target
        node, letters = contract(like.graph, node, letters, other, other_letters, keep), keep
    if len(terms) == 1:
        node, letters = _summed(like.graph, node, letters, target)
        node = like.graph.transpose(node, [letters.index(c) for c in target])
    return like.made(node, output.index(next(iter(batch))) if batch else None)


def _read_subscripts(subscripts, symbols):
    text = subscripts.replace(" ", "")
    left, _, right = text.partition("->")
    inputs = left.split(",")
    if len(inputs) != len(symbols):
        raise ValueError(f"np.einsum({subscripts!r}) names {len(inputs)} operands, got {len(symbols)}")
    spare = [c for c in string.ascii_letters if c not in text]
    ranks = [s.ndim - len(i.replace("...", "")) for i, s in zip(inputs, symbols, strict=True) if "..." in i]
    dots = "".join(spare[: max(ranks, default=0)])
    inputs = [
        i.replace("...", dots[len(dots) - (s.ndim - len(i.replace("...", ""))) :] if "..." in i else "")
        for i, s in zip(inputs, symbols, strict=True)
    ]
    for letters, s in zip(inputs, symbols, strict=True):
        if len(letters) != s.ndim:
            raise ValueError(f"np.einsum({subscripts!r}) names {len(letters)} axes of an array with {s.ndim}")
    if "->" in text:
        return inputs, right.replace("...", dots)
    every = "".join(inputs)
    return inputs, dots + "".join(sorted(c for c in set(every) if every.count(c) == 1 and c not in dots))


def matmul(a, b) -> Symbol:
    a, b = lifted(a, b)
    if not a.ndim or not b.ndim:
        raise ValueError("matmul of a number; write *")
    # Leading axes align from the right.
    lead = string.ascii_letters[: max(a.ndim, b.ndim, 2) - 2]
    letters_a = lead[len(lead) - max(a.ndim - 2, 0) :] + "YZ"[-min(a.ndim, 2) :]
    letters_b = lead[len(lead) - max(b.ndim - 2, 0) :] + "ZX"[: min(b.ndim, 2)]
    out = lead + ("Y" if a.ndim > 1 else "") + ("X" if b.ndim > 1 else "")
    across = -min(b.ndim, 2)
    if not _features(a, -1) or not _features(b, across):
        raise MixesRows("a matrix product sums over the batch axis: rows have nothing to do with each other")
    if a.shape[-1] != b.shape[across]:
        shapes = f"{a.shape} and {b.shape}"
        raise ValueError(f"matmul of shapes {shapes}: {a.shape[-1]} columns against {b.shape[across]} rows")
    a, letters_a = _without_ones(a, letters_a, lead)
    b, letters_b = _without_ones(b, letters_b, lead)
    missing = [c for c in out if c not in letters_a + letters_b]
    result = einsum(f"{letters_a},{letters_b}->{''.join(c for c in out if c not in missing)}", a, b)
    for i, c in enumerate(out):
        if c in missing:
            result = np.expand_dims(result, i)  # type: ignore[assignment]  # NumPy gives a symbol
    return result


def _features(s, axis) -> bool:
    return s.axis is None or axis % s.ndim != s.axis


def _without_ones(s, letters, lead):
    """Return a symbol and its letters without leading axes of length 1, which broadcast."""
    drop = [i for i, c in enumerate(letters) if c in lead and i != s.axis and s.shape[i] == 1]
    s = s[tuple(0 if i in drop else slice(None) for i in range(s.ndim))] if drop else s
    return s, "".join(c for i, c in enumerate(letters) if i not in drop)


def dot(a, b, out=None) -> Symbol:
    """Compute ``np.dot``: a product of numbers, or over the last axis of a and the second-last of b."""
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return np.multiply(a, b)
    return matmul(a, b) if np.ndim(b) <= 2 else tensordot(a, b, (-1, -2))


def tensordot(a, b, axes=2) -> Symbol:
    a, b = lifted(a, b)
    first, second = (range(a.ndim - axes, a.ndim), range(axes)) if isinstance(axes, int) else axes
    first, second = ([first], [second]) if isinstance(first, int) else (list(first), list(second))
    every = string.ascii_letters
    letters_a, letters_b = list(every[: a.ndim]), list(every[a.ndim : a.ndim + b.ndim])
    for i, j in zip(first, second, strict=True):
        letters_b[j] = letters_a[i]
    out = [c for c in letters_a if c not in letters_b] + [c for c in letters_b if c not in letters_a]
    return einsum(f"{''.join(letters_a)},{''.join(letters_b)}->{''.join(out)}", a, b)
