"""Functions of arrays that follow each other in a model: as one function they give what they give one by one."""

import numpy as np
import pytest
from matrix import flat, same_bits

import rnnkit as rk
from rnnkit.compiler.ir import operations
from rnnkit.execution.array_functions import TracedFunction
from rnnkit.layers.array_function import ArrayFunction
from rnnkit.models.fusion import Fused
from rnnkit.models.subclassed_layer import SubclassedLayer

RNG = np.random.default_rng(5)
WANTED = {"checkpoint": None, "truncate": None}


def sequences(features=3, dtype="float64"):
    return rk.Input((None, features), dtype=dtype)


def arrays(*shapes):
    return [RNG.normal(size=shape) for shape in shapes]


def standardized():
    x = sequences()
    centred = x - np.mean(x, axis=1, keepdims=True)
    return rk.Model(x, centred / np.sqrt(np.mean(np.square(centred), axis=1, keepdims=True) + 1e-3))


def of_several():
    a, b = sequences(), sequences()
    both = np.maximum(a, b) + a * b
    return rk.Model([a, b], [both[:, -1], np.concatenate([both, np.tanh(a)], axis=-1), np.exp(-np.abs(both))])


def with_conditions():
    x = sequences()
    inside = np.logical_and(x > -0.5, x < 0.5)
    return rk.Model(x, np.where(inside, x, 0.1 * x) * 2.0)


def of_layers():
    x = sequences()
    pooled = rk.MaxPooling1D(2)(rk.ZeroPadding1D(1)(x))
    merged = rk.Concatenate()([pooled, rk.Average()([pooled, pooled * pooled])])
    return rk.Model(x, rk.Dense(2, seed=0)(rk.GlobalAveragePooling1D()(merged)))


def around_recurrences():
    x = sequences()
    h = rk.GRU(3, return_sequences=True, seed=1)(np.tanh(x) * 0.5 + x)
    mixed = rk.Subtract()([h, x])
    return rk.Model(x, rk.Dense(1, seed=2)(rk.LSTM(2, seed=3)(mixed / (1.0 + np.abs(mixed)))))


def of_a_function():
    x = sequences()
    scaled = ArrayFunction(lambda x, training: x * 2.0 if training else x / 2.0)(x)
    return rk.Model(x, np.cumsum(scaled, axis=1) - x)


def test_masks_that_are_found_and_draws_stay_layers():
    """Between functions that are one, and their masks and draws come as they do without them."""
    x = sequences()
    masked = rk.Masking()(x * 2.0 + 0.0)
    noisy = rk.Dropout(0.5, seed=1)(masked)
    model = rk.Model(x, rk.LSTM(2, seed=2)(np.tanh(noisy) + noisy * 0.5))
    kinds = [
        type(layer).__name__ for layer in (model._graph.fused.layers[call.layer] for call in model._graph.fused.calls)
    ]
    assert kinds == ["Fused", "Masking", "Dropout", "Fused", "LSTM"]
    (given,) = arrays((4, 5, 3))
    given[:, 3:] = 0.0
    np.testing.assert_array_equal(model(given), model(given[:, :3]))
    found = [model(given, training=True) for _ in range(2)]
    assert not np.array_equal(*found) and not np.array_equal(found[0], model(given))


MODELS = {  # the model, the shapes of its inputs, and how many functions are one
    "standardized": (standardized, [(2, 5, 3)], [7]),
    "of_several": (of_several, [(2, 4, 3), (2, 4, 3)], [9]),
    "with_conditions": (with_conditions, [(3, 4, 3)], [6]),
    "of_layers": (of_layers, [(2, 5, 3)], [6]),
    "around_recurrences": (around_recurrences, [(2, 5, 3)], [3, 4]),
    "of_a_function": (of_a_function, [(2, 5, 3)], [3]),
}


def runs(model, given, training=False, masks=None):
    """Results, masks and gradients of a run of the calls one by one, and of those that are one together."""
    masks = masks or [None] * len(given)
    for graph in (model._graph, model._graph.fused):
        ways = (lambda *found: found), set
        outputs, behind, _ = graph.run(given, masks, training, None, *ways)
        again, _, pullback = graph.run(given, masks, training, WANTED, *ways)
        rng = np.random.default_rng(6)
        d, weights, _ = pullback.pull([rng.normal(size=one.shape) for one in flat(outputs)])
        yield flat(outputs), flat(again), behind, [*d[: len(given)], *(weights[name] for name in sorted(weights))]


def fused_in(model):
    return [one for one in model._graph.fused.layers if isinstance(one, Fused)]


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_the_same_bits_as_one_by_one(name, training):
    make, shapes, counts = MODELS[name]
    model, given = make(), arrays(*shapes)
    assert [len(one.graph.calls) for one in fused_in(model)] == counts
    (y, again, masks, d), (fused, fused_again, fused_masks, fused_d) = runs(model, given, training)
    same_bits(y, fused)
    same_bits(again, fused_again)
    assert masks == fused_masks
    for one, other in zip(d, fused_d, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-12)
    assert all(one._traces for one in fused_in(model))
    model.compile("sgd", "mse")
    assert rk.gradcheck(model, given if len(given) > 1 else given[0])


def test_a_mask_lets_them_be_called_one_by_one():
    model, (x,) = around_recurrences(), arrays((2, 5, 3))
    (y, _, _, d), (fused, _, _, fused_d) = runs(model, [x], masks=[np.arange(5) < [[5], [3]]])
    same_bits(y, fused)
    for one, other in zip(d, fused_d, strict=True):  # cotangents add up in another order
        np.testing.assert_allclose(other, one, rtol=1e-12, atol=1e-12)
    assert not any(one._traces for one in fused_in(model))


def test_numbers_that_are_whole_are_read_as_each_layer_reads_them():
    x = sequences()
    model = rk.Model(x, rk.Average()([x, x]) / 2.0 + x)
    given = RNG.integers(0, 9, (2, 3, 3))
    (y, *_), (fused, *_) = runs(model, [given])
    same_bits(y, fused)


def test_errors_are_those_of_the_layer():
    a, b = sequences(), sequences()
    model = rk.Model([a, b], rk.Add()([np.tanh(a), b]) * 2.0)
    model(arrays((2, 4, 3), (2, 4, 3)))
    for shapes, told in (
        (((2, 4, 3), (2, 5, 3)), "expected arrays of the same shape or of size 1"),
        (((2, 4, 3), (1, 4, 3)), "expected inputs of one batch size"),
    ):
        with pytest.raises(ValueError, match=told):
            model(arrays(*shapes))


def test_what_an_attribute_says_later_counts():
    a, b = sequences(), sequences()
    joined = rk.Concatenate(axis=-1)
    model = rk.Model([a, b], joined([np.tanh(a), b]) * 2.0)
    given = arrays((2, 4, 3), (2, 4, 3))
    assert model(given).shape == (2, 4, 6)
    joined.axis = 1
    assert model(given).shape == (2, 8, 3)


def test_a_class_with_a_call_computes_with_its_weights_in_one_function():
    class Scaled(SubclassedLayer):
        def build(self, shape):
            self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

        def call(self, x):
            return np.tanh(x * np.exp(self.scale)) + self.scale

    layer, (x,) = Scaled(dtype="float64"), arrays((2, 4, 3))
    y = layer(x)
    np.testing.assert_allclose(y, np.tanh(x * np.e) + 1.0, rtol=1e-14)
    (trace,) = [one for one in layer._graphs.values() if one.graph.fused is not one.graph]
    assert [type(one).__name__ for one in trace.graph.fused.layers].count("Fused") == 1
    assert rk.gradcheck(layer, x)


def test_precisions_apart_and_arrays_that_the_caller_changes():
    model, (x,) = standardized(), arrays((2, 5, 3))
    y, pullback = model.vjp(x)
    expected = pullback(np.ones_like(y)).x
    kept, x[...] = y.copy(), 0.0
    same_bits([y], [kept])
    y[...] = 0.0
    same_bits([pullback(np.ones_like(y)).x], [expected])
    single = sequences(dtype="float32")
    assert rk.Model(single, np.tanh(single) * 0.5 + single)(np.ones((1, 2, 3), "float32")).dtype == np.float32


def test_explain_shows_what_is_one_function():
    model = around_recurrences()
    model(*arrays((2, 5, 3)))
    told = model.explain(graph=True)
    assert "graph of the model" in told.splitlines()[0] and " → " in told.splitlines()[2]
    assert "tanh" in told and "Fused" in told
    assert "a function of whole arrays, which NumPy computes by" in model.explain()


def test_functions_alone_stay_as_they_are():
    x = sequences()
    model = rk.Model(x, rk.Dense(1, seed=0)(np.tanh(rk.GRU(2, seed=0)(x))))
    assert model._graph.fused is model._graph


def test_one_trace_for_all(monkeypatch):
    made = []
    before = TracedFunction.__init__
    monkeypatch.setattr(
        TracedFunction, "__init__", lambda self, *more, **given: (made.append(1), before(self, *more, **given))[1]
    )
    model, (x,) = standardized(), arrays((2, 7, 3))
    made.clear()
    model(x)
    assert len(made) == 1


def test_views_are_laid_out_as_results_are():
    x = rk.Input((33, 17))
    turned = np.swapaxes(x, 1, 2)
    model = rk.Model(x, [np.matmul(turned, x), np.mean(turned, axis=1)])
    (y, *_), (fused, *_) = runs(model, [RNG.normal(size=(3, 33, 17)).astype("float32")])
    same_bits(y, fused)


def test_a_wrong_rule_is_named_in_a_model(monkeypatch):
    known = operations.OPERATIONS["tanh"]
    wrong = operations.Operation(known.evaluate, known.text, lambda g, y, x: (2.0 * g,), expensive=True)
    monkeypatch.setitem(operations.OPERATIONS, "tanh", wrong)
    x = sequences()
    checked = rk.gradcheck(rk.Model(x, np.tanh(x) * 0.5 + x), (2, 3, 3))
    assert not checked and "tanh" in str(checked)


CHAINS = [np.tanh, np.square, np.abs, np.cbrt, rk.sigmoid, rk.softmax, lambda x: x * 2.0, lambda x: 0.1 - x]
CHAINS += [lambda x: x / 3.0, lambda x: np.where(x > 0.5, x, x * 0.3), lambda x: np.swapaxes(x, 1, 2)]
CHAINS += [lambda x: x[:, ::-1], lambda x: x[:, :, 1:], lambda x: x - np.mean(x, axis=1, keepdims=True)]
CHAINS += [lambda x: np.cumsum(x, axis=1), lambda x: np.maximum(x, np.max(x, axis=2, keepdims=True) * 0.5)]


@pytest.mark.parametrize("seed", range(12))
def test_chains_drawn_at_random_give_the_bits_of_the_calls(seed):
    rng = np.random.default_rng(seed)
    dtype = ("float32", "float64")[seed % 2]
    x = y = rk.Input((13, 9), dtype=dtype)
    for k in rng.integers(0, len(CHAINS), 6):
        y = CHAINS[k](y)
    model = rk.Model(x, [y, np.matmul(np.swapaxes(y, 1, 2), y), np.sum(y, axis=1)])
    (one_by_one, *_), (fused, *_) = runs(model, [rng.normal(size=(2, 13, 9)).astype(dtype)])
    same_bits(one_by_one, fused)
    assert all(one._traces for one in fused_in(model))
