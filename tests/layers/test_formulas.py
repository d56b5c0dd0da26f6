"""Functions of arrays with kernels: they are their formula, and so are their gradients and tangents."""

from __future__ import annotations

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.compiler.ir.evaluate import Evaluation
from rnnkit.compiler.ir.graph import Graph
from rnnkit.execution.array_functions import TracedFunction
from rnnkit.layers.pooling import mean_over_time, window_largest, window_means
from rnnkit.layers.support.attending import softmax, where_used
from rnnkit.layers.support.windows import Windows

USED = np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1]], bool)
PAIRS = USED[:, None] & np.tri(4, 5, dtype=bool)
FUNCTIONS = {
    "largest": (window_largest, (3, 5, 2), (), {"windows": Windows(2)}),
    "largest same": (window_largest, (3, 5, 2), (), {"windows": Windows(3, 2, "same")}),
    "means": (window_means, (3, 5, 2), (), {"windows": Windows(3, 1)}),
    "means same": (window_means, (3, 5, 2), (), {"windows": Windows(3, 2, "same")}),
    "mean": (mean_over_time, (3, 5, 2), (), {}),
    "mean of used": (mean_over_time, (3, 5, 2), (USED,), {}),
    "where used": (where_used, (3, 5, 2), (USED[..., None],), {}),
    "softmax": (softmax, (3, 4, 5), (), {}),
    "softmax of heads": (softmax, (3, 2, 4, 5), (PAIRS[:, None],), {}),
    "softmax of pairs": (softmax, (3, 4, 5), (PAIRS,), {"empty": True}),
    "softmax relative": (softmax, (3, 4, 5), (PAIRS,), {"relative": True}),
}


def traced(function, arrays, options):
    kinds = ["float", *["bool"] * (len(arrays) - 1)]
    shapes = [one.shape[1:] for one in arrays]
    called = lambda given: function(*given, **options)
    return TracedFunction(called, shapes, [True] * len(arrays), kinds, np.float64, "function", (), False)


@pytest.mark.parametrize("case", FUNCTIONS)
def test_a_kernel_its_cotangent_and_its_tangent_are_those_of_its_formula(case, rng):
    function, shape, others, options = FUNCTIONS[case]
    arrays = [rng.normal(size=shape), *others]
    arrays[0].flat[:4] = 1.0  # ties
    ours = traced(function, arrays, options)
    theirs = traced(function.__wrapped__, arrays, options)
    assert any(node.op == "ruled" for node in ours._graph.live())
    (found, pull), (expected, pull_formula) = ours.with_pull(arrays), theirs.with_pull(arrays)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(found[0], function(*arrays, **options))
    d = rng.normal(size=found[0].shape)
    np.testing.assert_allclose(pull([d])[0], pull_formula([d])[0], rtol=1e-11, atol=1e-13)
    np.testing.assert_array_equal(pull([d])[0], ours.pull(arrays, [d])[0])
    moved = [rng.normal(size=shape), *(np.zeros(one.shape) for one in others)]
    np.testing.assert_allclose(ours.along(arrays, moved)[0], theirs.along(arrays, moved)[0], rtol=1e-12, atol=1e-14)


LAYERS = {
    "largest": (lambda: rk.MaxPooling1D(2), 1),
    "of arrays": (lambda: rk.Maximum(), 2),
    "exponents": (lambda: rk.Lambda(np.exp), 1),
    "scores": (lambda: rk.Attention(), 2),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_results_that_are_changed_change_no_gradient(kind, rng):
    make, count = LAYERS[kind]
    layer, x = make(), [rng.normal(size=(2, 4, 3)) for _ in range(count)]
    more = {"return_attention_scores": True} if kind == "scores" else {}
    for _ in range(4):  # repeated ones, too
        outputs, pullback = layer.vjp(x if count > 1 else x[0], **more)
        d = [np.ones_like(one) for one in outputs] if more else np.ones_like(outputs)
        before = pullback(d).x
        outputs, pullback = layer.vjp(x if count > 1 else x[0], **more)
        for one in outputs if more else [outputs]:
            one[...] = 7
        np.testing.assert_array_equal(pullback(d).x, before)


def test_a_mask_that_is_changed_changes_no_gradient(rng):
    x, mask = rng.normal(size=(3, 5, 2)), USED.copy()
    layer = rk.GlobalAveragePooling1D()
    for _ in range(4):
        y, pullback = layer.vjp(x, mask=mask)
        before = pullback(np.ones_like(y)).x
        y, pullback = layer.vjp(x, mask=mask)
        mask[...] = ~mask
        np.testing.assert_array_equal(pullback(np.ones_like(y)).x, before)
        mask[...] = ~mask


@pytest.mark.parametrize(
    "make",
    [
        rk.Add,
        rk.Concatenate,
        lambda: rk.Dot(2),
        rk.Attention,
        rk.AdditiveAttention,
        lambda: rk.MultiHeadAttention(2, 3),
    ],
)
def test_batch_sizes_are_compared_at_every_call(make, rng):
    """The functions of arrays are traced by shapes without the batch axis, and arrays of one row would broadcast."""
    layer, x = make(), rng.normal(size=(4, 5, 6))
    several = isinstance(layer, rk.MultiHeadAttention)
    call = lambda function, other: function(x, other) if several else function([x, other])
    for _ in range(6):  # until it is repeated
        call(layer, x)
    for rows in (3, 1):
        for function in (layer, layer.vjp):
            with pytest.raises(ValueError, match="batch|same shape"):
                call(function, x[:rows])


@pytest.mark.parametrize("make", [rk.Dropout, rk.SpatialDropout1D, rk.GaussianDropout, rk.AlphaDropout])
def test_what_noise_draws_is_all_that_its_gradient_reads(make, rng):
    layer, x = make(0.4, seed=3), rng.normal(size=(4, 5, 6))
    for _ in range(4):  # repeated ones, too
        y, pullback = layer.vjp(x, training=True)
        d = rng.normal(size=y.shape)
        slope = (pullback(2 * d).x - pullback(d).x) / d
        if make is not rk.AlphaDropout:
            np.testing.assert_allclose(slope * x, y, rtol=1e-9)
        elsewhere = layer.vjp(x, training=True)[1](d).x
        assert (elsewhere != pullback(d).x).any()
    assert not any(traced.pull_reads_arrays for traced in layer._traces.values())


def test_masking_compares_before_numbers_are_rounded():
    layer, x = rk.Masking(dtype="float32"), np.array([[[1e-60, 0.0], [0.0, 0.0], [2.0, 0.0]]])
    for _ in range(4):
        y, pullback = layer.vjp(x)
        np.testing.assert_array_equal(y, x.astype("float32"))
        assert pullback(np.ones_like(y)).x.any(axis=-1).tolist() == [[True, False, True]]
        assert layer.compute_mask(x).tolist() == [[True, False, True]]


def test_groups_of_no_steps_are_empty():
    layer = rk.GroupNormalization(2)
    y, pullback = layer.vjp(np.zeros((3, 0, 4)))
    assert y.shape == (3, 0, 4) and not pullback(y).weights["gamma"].any()


def test_a_lean_evaluation_gives_what_it_is_asked_for(rng):
    graph, x = Graph(), rng.normal(size=(2, 3))
    given = graph.add("x", (), (3,))
    inner = graph.pointwise("exp", given)
    outer = graph.pointwise("multiply", inner, given)
    found = Evaluation([outer], np.float64, lean=True)({("x", None): x})
    assert found.keys() == {outer.id}
    np.testing.assert_array_equal(found[outer.id], np.exp(x) * x)
    again = Evaluation([outer], np.float64, known=frozenset({inner.id}))
    assert again.outside == [inner]
    np.testing.assert_array_equal(again({("x", None): x}, [np.ones_like(x)])[outer.id], x)
