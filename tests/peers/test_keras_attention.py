"""Keras's attention layers give the same outputs and gradients, over their options and masks."""

import keras_witness as witness
import numpy as np
import pytest
from matrix import label, pairwise

import rnnkit as rk
from rnnkit.layers.support.bound_calls import vjp_on
from rnnkit.layers.support.layer_tree import build_with

pytestmark = pytest.mark.filterwarnings("ignore")  # what Keras and its backends warn about is theirs

B, T, S = 3, 4, 5
FACTORS = {
    "kind": ("dot", "dot scaled", "concat", "concat scaled", "additive", "additive plain", "heads", "heads others"),
    "key": (False, True),
    "query_mask": (False, True),
    "value_mask": (False, True),
    "causal": (False, True),
    "pairs": (None, "TS", "BTS", "heads"),
    "bias": (True, False),
    "training": (False, True),
}
ROWS = pairwise(FACTORS)
OTHERS = {"value_dim": 2, "use_gate": True, "output_shape": (2, 3), "sliding_window": 3}


@pytest.fixture(scope="module")
def keras():
    keras = witness.imported()
    if keras.config.backend() != "jax":
        pytest.skip("gradients are jax's")
    yield keras
    witness.use(keras, "float32")


def made(module, row):
    kind = row["kind"]
    if kind.startswith("heads"):
        others = OTHERS if "others" in kind else {}
        if row["pairs"] == "heads":  # Keras joins a window to masks of three axes only
            others = {**others, "sliding_window": None}
        return module.MultiHeadAttention(2, 3, use_bias=row["bias"], **others)
    if kind.startswith("additive"):
        return module.AdditiveAttention(use_scale=kind == "additive")
    return module.Attention(use_scale="scaled" in kind, score_mode=kind.split()[0])


def arguments(row, rng):
    """Inputs, and the other arguments of rnnkit's call and of Keras's."""
    inputs = [rng.normal(size=(B, T, 3)), rng.normal(size=(B, S, 6 if row["key"] else 3))]
    if row["key"]:
        inputs.append(rng.normal(size=(B, S, 3)))
    masks = [rng.random((B, n)) < 0.6 if row[name] else None for n, name in ((T, "query_mask"), (S, "value_mask"))]
    more = {"return_attention_scores": True, "use_causal_mask": row["causal"]}
    if not row["kind"].startswith("heads"):
        if masks[1] is not None:
            masks[1][:, 0] = True  # Keras wants a key for every query, and is exact to 1e-7 without
        more |= {} if all(one is None for one in masks) else {"mask": masks}
        return inputs, more, more
    if row["pairs"] == "heads":  # so here
        return inputs, *[more | {"use_causal_mask": False, "attention_mask": rng.random((B, 2, T, S)) < 0.7}] * 2
    pairs = None if row["pairs"] is None else rng.random({"TS": (T, S), "BTS": (B, T, S)}[row["pairs"]]) < 0.7
    ours, theirs = ({**more, "value_mask": masks[1], "attention_mask": pairs} for _ in range(2))
    ours["query_mask"] = masks[0]
    if masks[0] is not None:  # Keras looks for it at the array alone
        theirs["attention_mask"] = masks[0][:, :, None] & (np.ones((T, S), bool) if pairs is None else pairs)
    return inputs, ours, theirs


def run_of(keras, theirs, row, more):
    """Keras's outputs as a function of lists of weights and of inputs."""
    tensor = lambda one: one if one is None or isinstance(one, bool) else keras.ops.convert_to_tensor(one, dtype="bool")
    given = {n: [tensor(m) for m in one] if isinstance(one, list) else tensor(one) for n, one in more.items()}
    listed = not row["kind"].startswith("heads")
    return lambda weights, xs: theirs.stateless_call(weights, [], *([list(xs)] if listed else xs), **given)[0]


def check(keras, row):
    import jax

    witness.use(keras, "float64")
    rng = np.random.default_rng(3)
    theirs, layer = made(keras.layers, row), made(rk, row)
    inputs, ours, given = arguments(row, rng)
    shapes = [one.shape for one in inputs]
    build_with(layer, shapes, np.dtype("float64"))
    theirs.build(*(shapes if row["kind"].startswith("heads") else [shapes]))
    assert [one.path.partition("/")[2] for one in theirs.weights] == list(layer.weights)
    assert [tuple(one.shape) for one in theirs.weights] == [one.shape for one in layer.get_weights()]
    weights = [rng.normal(size=one.shape) for one in layer.get_weights()]
    layer.set_weights(weights)
    expected, back = jax.vjp(run_of(keras, theirs, row, given), weights, inputs)
    outputs, pullback = vjp_on(layer, inputs, training=row["training"], **ours)
    for one, other in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)
    d = [rng.normal(size=one.shape) for one in outputs]
    gradient, (d_weights, d_inputs) = pullback(d), back(tuple(d))
    found = [*gradient.weights.values(), *gradient.x]
    for one, other in zip(found, [*d_weights, *d_inputs], strict=True):
        assert np.linalg.norm(one - other) <= 1e-10 * max(1, np.linalg.norm(other))


@pytest.mark.parametrize("row", ROWS[::3], ids=label)
def test_attention_gives_what_keras_gives(row, keras):
    check(keras, row)


@pytest.mark.sweep
@pytest.mark.parametrize("row", ROWS, ids=label)
def test_attention_gives_what_keras_gives_for_every_row(row, keras):
    check(keras, row)


@pytest.mark.parametrize("mask", ["random", "no keys"])
def test_keras_s_fused_attention_agrees_in_its_precision(mask, keras, rng):
    witness.use(keras, "float32")
    theirs, layer = keras.layers.MultiHeadAttention(2, 3), rk.MultiHeadAttention(2, 3, seed=0)
    query, value = rng.normal(size=(B, T, 3)).astype("float32"), rng.normal(size=(B, S, 4)).astype("float32")
    pairs = rng.random((B, T, S)) < 0.6
    if mask == "no keys":
        pairs[:, 1] = False
    layer(query, value)
    theirs.build(query.shape, value.shape)
    theirs.set_weights(layer.get_weights())
    expected = np.asarray(theirs(query, value, attention_mask=pairs))
    np.testing.assert_allclose(layer(query, value, attention_mask=pairs), expected, rtol=1e-5, atol=1e-5)


def test_a_model_hands_masks_on_as_keras_does(keras, rng):
    witness.use(keras, "float32")

    def model(module, inputs):
        ids = inputs(shape=(None,), dtype="int32")
        steps = module.Embedding(9, 4, mask_zero=True)(ids)
        attended = module.MultiHeadAttention(2, 3)(steps, steps, use_causal_mask=True)
        other = module.AdditiveAttention()([attended, attended])  # Keras's steps have lost their mask by now
        return module.GRU(3)(other), ids

    y, ids = model(keras.layers, keras.Input)
    theirs = keras.Model(ids, y)
    y, ids = model(rk, rk.Input)
    ours = rk.Model(ids, y)
    ours.set_weights([rng.normal(size=one.shape) for one in ours.get_weights()])
    theirs.set_weights(ours.get_weights())
    x = rng.integers(1, 9, (6, 7))
    x[1, 4:] = x[3, 2:] = 0
    np.testing.assert_allclose(ours(x), np.asarray(theirs(x)), rtol=1e-4, atol=1e-5)
