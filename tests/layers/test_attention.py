"""Attention layers: equations in plain NumPy, slopes, masks, NaN, models, configurations and files."""

import copy
import json
import pickle

import numpy as np
import pytest
from matrix import label, pairwise, same_bits
from recorded_runs import check_repeated

import rnnkit as rk
from rnnkit.layers.support import symbolic
from rnnkit.layers.support.bound_calls import call_on, vjp_on
from rnnkit.layers.support.layer_tree import build_with, options_by_name
from rnnkit.layers.support.runner import Runner

B, T, S = 3, 4, 5
FACTORS = {
    "kind": ("dot", "dot scaled", "concat", "concat scaled", "additive", "additive plain", "heads", "heads gated"),
    "key": (False, True),
    "query_mask": (False, True),
    "value_mask": (False, True),
    "causal": (False, True),
    "scores": (False, True),
    "pairs": (None, "TS", "BTS", "heads"),
}
ROWS = pairwise(FACTORS)
MAKERS = {
    "dot": lambda **o: rk.Attention(**o),
    "dot scaled": lambda **o: rk.Attention(use_scale=True, **o),
    "concat": lambda **o: rk.Attention(score_mode="concat", **o),
    "concat scaled": lambda **o: rk.Attention(use_scale=True, score_mode="concat", **o),
    "additive": lambda **o: rk.AdditiveAttention(**o),
    "additive plain": lambda **o: rk.AdditiveAttention(use_scale=False, **o),
    "heads": lambda **o: rk.MultiHeadAttention(2, 3, value_dim=2, bias_initializer="normal", **o),
    "heads gated": lambda **o: rk.MultiHeadAttention(2, 3, use_gate=True, output_shape=(2, 3), sliding_window=3, **o),
}


def many_heads(kind):
    return kind.startswith("heads")


MASKED = [row for row in ROWS if row["value_mask"] or (row["pairs"] == "BTS" and many_heads(row["kind"]))]


def made(row, rng, **options):
    """A layer of a row, its inputs, and the other arguments of a call."""
    layer = MAKERS[row["kind"]](seed=1, dtype="float64", **options)
    value_size = 6 if row["key"] or many_heads(row["kind"]) else 3
    inputs = [rng.normal(size=(B, T, 3)), rng.normal(size=(B, S, value_size))]
    if row["key"]:
        inputs.append(rng.normal(size=(B, S, 3)))
    masks = [rng.random((B, n)) < 0.6 if row[name] else None for n, name in ((T, "query_mask"), (S, "value_mask"))]
    more = {"return_attention_scores": row["scores"], "use_causal_mask": row["causal"]}
    if many_heads(row["kind"]):
        shape = {"TS": (T, S), "BTS": (B, T, S), "heads": (B, 2, T, S), None: None}[row["pairs"]]
        more |= {"query_mask": masks[0], "value_mask": masks[1]}
        more["attention_mask"] = None if shape is None else rng.random(shape) < 0.7
    else:
        if masks[1] is not None:
            masks[1][:, 0] = True  # a query without keys keeps its scores less 1e9, to 1e-7
        more["mask"] = None if all(one is None for one in masks) else masks
    build_with(layer, [one.shape for one in inputs], np.dtype("float64"))
    layer.set_weights([rng.normal(size=one.shape) for one in layer.get_weights()])
    return layer, inputs, more


def weights_of(scores, used, base):
    """Softmax of the scores of used pairs; `base` says what masked ones are."""
    moved = np.where(used, scores, base(scores))
    shares = np.exp(moved - moved.max())
    return shares / shares.sum()


def slow(row, layer, inputs, more):
    """The layer in loops over rows, heads and queries."""
    w, scored = layer.weights, row["scores"]
    query, value, key = inputs[0], inputs[1], inputs[-1]
    heads = 2 if many_heads(row["kind"]) else 1
    masks = (more.get("query_mask"), more.get("value_mask")) if heads == 2 else more["mask"] or (None, None)
    outputs, scores = [], np.zeros((B, heads, T, S))
    for b in range(B):
        for t in range(T):
            parts = []
            for n in range(heads):
                used = np.ones(S, bool) if masks[1] is None else masks[1][b].copy()
                if row["causal"]:
                    used &= np.arange(S) <= t
                if heads == 2:
                    if "gated" in row["kind"]:
                        used &= np.abs(np.arange(S) - t) < 3
                    if masks[0] is not None:
                        used &= masks[0][b, t]
                    if more["attention_mask"] is not None:
                        used &= np.broadcast_to(_four(more["attention_mask"]), (B, 2, T, S))[b, n, t]
                    project = lambda name, x, n=n: x @ w[f"{name}/kernel"][:, n] + w[f"{name}/bias"][n]
                    q, k, v = project("query", query[b, t]), project("key", key[b]), project("value", value[b])
                    shares = weights_of(k @ q / np.sqrt(3), used, lambda s: np.full_like(s, -1e9))
                    if scored:
                        shares = np.where(used, shares, 0)
                    part = shares @ v
                    if "gated" in row["kind"]:
                        part = part / (1 + np.exp(-project("gate", query[b, t])))
                    parts.append(part)
                else:
                    shares = weights_of(one_score(row["kind"], w, query[b, t], key[b]), used, lambda s: s - 1e9)
                    parts.append(shares @ value[b])
                scores[b, n, t] = shares
            if heads == 2:
                joined = sum(np.tensordot(p, w["attention_output/kernel"][n], 1) for n, p in enumerate(parts))
                outputs.append(joined + w["attention_output/bias"])
            else:
                outputs.append(parts[0] * (1 if masks[0] is None else masks[0][b, t]))
    outputs = np.stack(outputs).reshape(B, T, *outputs[0].shape)
    return (outputs, scores if heads == 2 else scores[:, 0]) if scored else outputs


def _four(mask):
    return mask if mask.ndim == 4 else mask.reshape(-1, 1, T, S)


def one_score(kind, w, query, key):
    scale = w.get("scale", 1.0)
    if kind.startswith("additive"):
        return (scale * np.tanh(query + key)).sum(axis=-1)
    if kind.startswith("concat"):
        return w["concat_score_weight"] * np.tanh(scale * (query + key)).sum(axis=-1)
    return scale * (key @ query)


def leaves(found):
    return list(found) if isinstance(found, tuple) else [found]


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_equations_slopes_and_shapes(row, rng):
    layer, inputs, more = made(row, rng)
    found, expected = call_on(layer, inputs, **more), slow(row, layer, inputs, more)
    for a, b in zip(leaves(found), leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    same_bits(leaves(vjp_on(layer, inputs, **more)[0]), leaves(found))
    shapes = symbolic.shapes_given(layer, [one.shape for one in inputs], {"return_attention_scores": row["scores"]})
    assert shapes == (tuple(one.shape for one in found) if row["scores"] else found.shape)
    d = [rng.normal(size=one.shape) for one in leaves(found)]
    gradient = vjp_on(layer, inputs, **more)[1](d if row["scores"] else d[0])
    assert [one.shape for one in gradient.x] == [one.shape for one in inputs]
    assert list(gradient.weights) == list(layer.weights)
    check_slopes(layer, inputs, more, d, gradient, rng)


def check_slopes(layer, inputs, more, d, gradient, rng):
    """The gradient along random directions of everything is a central difference."""
    size = lambda xs: sum((a * b).sum() for a, b in zip(leaves(call_on(layer, xs, **more)), d, strict=True))
    slope = lambda up, down: (up - down) / 2e-5
    for i, own in enumerate(gradient.x):
        along = rng.normal(size=own.shape)
        moved = [[x + s * along if j == i else x for j, x in enumerate(inputs)] for s in (1e-5, -1e-5)]
        expected = slope(*map(size, moved))
        assert abs((own * along).sum() - expected) < 1e-6 * max(1, np.linalg.norm(own)), i
    for name, own in gradient.weights.items():
        before, along, values = layer.weights[name], rng.normal(size=own.shape), []
        for s in (1e-5, -1e-5):
            layer.weights[name] = before + s * along
            values.append(size(inputs))
        layer.weights[name] = before
        assert abs((own * along).sum() - slope(*values)) < 1e-6 * max(1, np.linalg.norm(own)), name


@pytest.mark.parametrize("row", ROWS[::3], ids=label)
def test_T13_calls_are_repeated(row, rng):
    layer, inputs, more = made(row, rng)
    names = ("query", "value", "key") if many_heads(row["kind"]) else None
    call = lambda xs: (dict(zip(names, xs, strict=False)) if names else {"inputs": xs}) | more
    calls = [call([rng.normal(size=one.shape) for one in inputs]) for _ in range(3)]
    outputs = leaves(call_on(layer, inputs, **more))
    check_repeated(layer, calls, [[rng.normal(size=one.shape) for one in outputs] for _ in range(3)])


@pytest.mark.parametrize("row", MASKED, ids=label)
def test_M3_X21_NaN_under_a_mask_reaches_nothing(row, rng):
    layer, inputs, more = made(row, rng)
    heads = many_heads(row["kind"])
    masks = [more.get("query_mask"), more.get("value_mask")] if heads else list(more["mask"] or (None, None))
    spoiled = [np.array(one) for one in inputs]
    if masks[1] is None:
        more["attention_mask"][:, :, 2] = False
        masks[1] = np.arange(S) != 2
    for one in spoiled[1:]:
        one[np.broadcast_to(~masks[1], (B, S))] = np.nan
    if masks[0] is not None:
        spoiled[0][~masks[0]] = np.inf
    clean = [np.where(np.isfinite(one), one, 0) for one in spoiled]
    (found, pull), (expected, pull_clean) = vjp_on(layer, spoiled, **more), vjp_on(layer, clean, **more)
    same_bits(leaves(found), leaves(expected))
    d = [rng.normal(size=one.shape) for one in leaves(found)]
    d = d if row["scores"] else d[0]
    same_bits(list(pull(d).weights.values()), list(pull_clean(d).weights.values()))
    same_bits(pull(d).x, pull_clean(d).x)


@pytest.mark.parametrize("size", [1e100, -1e100, 1e30])
@pytest.mark.parametrize("kind", MAKERS)
def test_X21_what_a_mask_leaves_out_has_no_weight_however_large_it_is(kind, size, rng):
    """Nor where what it leaves in scores far less than -1e9."""
    layer, inputs, _ = made({**dict.fromkeys(FACTORS), "kind": kind, "key": True}, rng)
    query, value, key = (1e12 * inputs[0], *inputs[1:]) if kind == "dot" else inputs
    mask = np.broadcast_to(np.arange(S) != 2, (B, S))
    more = {"value_mask": mask} if many_heads(kind) else {"mask": [None, mask]}
    expected = call_on(layer, [query, value, key], **more)
    value[:, 2], key[:, 2] = size, size
    same_bits([call_on(layer, [query, value, key], **more)], [expected])


@pytest.mark.parametrize("kind", MAKERS)
def test_L5_a_later_value_reaches_no_earlier_query_not_even_as_NaN(kind, rng):
    layer, inputs, _ = made({**dict.fromkeys(FACTORS), "kind": kind, "key": True}, rng)
    x = [inputs[0], inputs[1][:, :T], inputs[2][:, :T]]
    before = call_on(layer, x, use_causal_mask=True)
    x[1][:, 2], x[2][:, 2] = np.nan, np.nan
    after = call_on(layer, x, use_causal_mask=True)
    assert after[:, :2].tobytes() == before[:, :2].tobytes() and np.isnan(after[:, 2:]).all()


def test_E15_NaN_at_a_used_step_shows(rng):
    query, value = rng.normal(size=(2, B, T, 3))
    value[1, 2, 0] = np.nan
    mask = np.ones((B, T), bool)
    for given in (None, [mask, mask]):
        found = rk.Attention()([query, value], mask=given)
        assert np.isnan(found[1]).any() and np.isfinite(found[[0, 2]]).all()


@pytest.mark.parametrize("kind", MAKERS)
def test_L2_a_row_is_the_same_alone(kind, rng):
    layer, inputs, _ = made({**dict.fromkeys(FACTORS), "kind": kind}, rng)
    whole = call_on(layer, inputs)
    for b in range(B):
        assert call_on(layer, [one[b : b + 1] for one in inputs]).tobytes() == whole[b : b + 1].tobytes()


@pytest.mark.parametrize("kind", MAKERS)
def test_S5_empty_batches_and_sequences(kind, rng):
    layer, inputs, _ = made({**dict.fromkeys(FACTORS), "kind": kind}, rng)
    for b, t, s in ((0, T, S), (B, 0, S), (B, T, 0)):
        x = [inputs[0][:b, :t], inputs[1][:b, :s]]
        outputs, pullback = vjp_on(layer, x)
        assert outputs.shape[:2] == (b, t) and np.isfinite(outputs).all()
        assert [one.shape for one in pullback(np.ones_like(outputs)).x] == [one.shape for one in x]


def test_X21_queries_without_keys(rng):
    x = rng.normal(size=(1, 2, 3))
    none = np.zeros((1, 2), bool)
    np.testing.assert_allclose(rk.Attention()([x, x], mask=[None, none]), rk.Attention()([x, x]), rtol=1e-6)
    layer = rk.MultiHeadAttention(1, 3, bias_initializer="ones", seed=0, dtype="float64")
    mean = layer(x, x, value_mask=none)
    values = x @ layer.weights["value/kernel"][:, 0] + 1
    kernel = layer.weights["attention_output/kernel"][0]
    np.testing.assert_allclose(mean, np.broadcast_to(values.mean(axis=1) @ kernel + 1, mean.shape))
    zero, scores = layer(x, x, value_mask=none, return_attention_scores=True)
    assert (zero == 1).all() and (scores == 0).all()


@pytest.mark.parametrize("kind", ["dot", "additive", "heads"])
def test_B7_dropout_drops_weights_and_gradients_pass_where_they_were_kept(kind, rng):
    layer, inputs, _ = made({**dict.fromkeys(FACTORS), "kind": kind}, rng, dropout=0.5)
    assert call_on(layer, inputs).tobytes() == call_on(layer, inputs).tobytes()
    assert call_on(layer, inputs, training=True).tobytes() != call_on(layer, inputs, training=True).tobytes()
    check = rk.gradcheck(layer, inputs, training=True)
    assert check, check
    layer.dropout = 1.0
    empty = call_on(layer, [inputs[0], inputs[1]], training=True)
    expected = np.broadcast_to(layer.weights["attention_output/bias"] if kind == "heads" else 0, empty.shape)
    np.testing.assert_array_equal(empty, expected)


# Models


def transformer():
    """Self-attention over masked ids, then attention of a second input to it, with scores as an output."""
    ids, other = rk.Input((None,), dtype="int32", name="ids"), rk.Input((None, 4), name="other")
    steps = rk.Embedding(9, 4, mask_zero=True, seed=1)(ids)
    attended = rk.MultiHeadAttention(2, 3, seed=2)(steps, steps, use_causal_mask=True)
    steps = steps + attended
    mixed, scores = rk.Attention(use_scale=True)([other, steps], return_attention_scores=True)
    both = rk.AdditiveAttention(seed=3)([mixed, steps, steps])
    pooled = rk.GlobalAveragePooling1D()(both)
    return rk.Model([ids, other], [rk.Dense(1, seed=4, name="y")(pooled), scores], seed=0)


def data(rng, rows=24):
    ids = rng.integers(0, 9, (rows, 6))
    ids[:, 0] = 1
    return [ids, rng.normal(size=(rows, 5, 4)).astype("float32")]


def test_X12_a_model_gives_what_its_layers_give_with_the_arrays_own_masks(rng):
    model = transformer()
    ids, other = data(rng)
    embedding, heads, _, attention, additive, pool, dense = model.layers
    mask, steps = ids != 0, embedding(ids)
    attended = heads(steps, steps, query_mask=mask, value_mask=mask, use_causal_mask=True)
    steps = steps + attended
    mixed, scores = attention([other, steps], mask=[None, mask], return_attention_scores=True)
    both = additive([mixed, steps, steps], mask=[None, mask, mask])
    found = model([ids, other])
    same_bits(found, [dense(pool(both)), scores])
    assert model.compute_output_shape([(None, 6), (None, 5, 4)]) == [(None, 1), (None, 5, 6)]
    assert [one.shape for one in model.outputs] == [(None, 1), (None, None, None)]
    check = rk.gradcheck(model, [ids, other.astype("float64")])
    assert check, check


def test_masks_and_options_of_a_call_are_part_of_a_model(rng):
    x, mask = rk.Input((4, 3)), rk.Input((4, 4), dtype="bool", name="pairs")
    steps = rk.Masking()(x)
    y, scores = rk.MultiHeadAttention(2, 3, seed=0)(
        steps, value=steps, key=x, attention_mask=mask, return_attention_scores=True
    )
    model = rk.Model([x, mask], [y, scores])
    array = rng.normal(size=(2, 4, 3)).astype("float32")
    array[:, 3] = 0
    pairs = rng.random((2, 4, 4)) < 0.7
    own = (array != 0).any(axis=-1)
    expected = model.layers[1](
        array, array, array, query_mask=own, value_mask=own, attention_mask=pairs, return_attention_scores=True
    )
    same_bits(model([array, pairs]), list(expected))
    again = rk.Model.from_config(json.loads(json.dumps(model.get_config())))
    again.set_weights(model.get_weights())
    same_bits(again([array, pairs]), list(expected))
    gradient = model.vjp([array, pairs])[1]([np.ones_like(expected[0]), None])
    assert gradient.x[0].shape == array.shape and gradient.x[1] is None
    assert "attention_mask=pairs" in model.summary()


def test_a_mask_list_with_none_is_recorded():
    x, mask = rk.Input((4, 3)), rk.Input((4,), dtype="bool")
    y = rk.Attention()([x, x], mask=[None, mask])
    model = rk.Model.from_config(rk.Model([x, mask], y).get_config())
    array, used = np.arange(24.0, dtype="float32").reshape(2, 4, 3), np.arange(4) < [[2], [4]]
    same_bits([model([array, used])], [rk.Attention()([array, array], mask=[None, used])])


def test_T13_a_fit_is_repeated_with_the_same_bits(rng, monkeypatch):
    x = data(rng)
    y = [x[1].mean(axis=(1, 2)), None]

    def fitted():
        model = transformer()
        model.compile("adam", ["mse", None])
        history = model.fit(x, y, batch_size=6, epochs=3, verbose=0)
        return [np.array(history.history["loss"]), *model.get_weights(), *model.predict(x)]

    repeated = fitted()
    monkeypatch.setattr(Runner, "serve", lambda *_: None)
    same_bits(repeated, fitted())
    assert repeated[0][-1] < repeated[0][0]


@pytest.mark.parametrize("kind", ["Attention", "MultiHeadAttention"])
def test_T13_M3_NaN_under_a_mask_after_calls_that_were_repeated(kind, rng):
    """Other operations are done for it, so the ordinary way does such a call."""
    used = np.arange(5) < np.array([[2], [4], [5]])
    if kind == "Attention":
        layer = rk.Attention(dtype="float64")
        call = lambda q, v: layer([q, v], mask=[None, used])
    else:
        layer = rk.MultiHeadAttention(2, 3, dtype="float64", seed=0)
        call = lambda q, v: layer(q, v, value_mask=used)
    for _ in range(8):
        call(rng.normal(size=(3, 4, 6)), rng.normal(size=(3, 5, 6)))
    assert [recorded.agreed for recorded in layer._call_runner._kinds.values()] == [2]
    q, v = rng.normal(size=(3, 4, 6)), rng.normal(size=(3, 5, 6))
    hidden = np.where(used[..., None], v, np.nan)
    same_bits([call(q, hidden)], [call(q, np.where(used[..., None], v, 0))])


def test_X3_T14_configurations_copies_and_files(rng, tmp_path):
    model = transformer()
    x = data(rng)
    expected = model(x)
    model.save(tmp_path / "model.npz")
    for again in (rk.load_model(tmp_path / "model.npz"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        same_bits(again(x), expected)
    for kind, make in MAKERS.items():
        layer = make(name="mine", dropout=0.25)
        config = json.loads(json.dumps(layer.get_config()))
        again = type(layer).from_config(config)
        assert again.get_config() == layer.get_config(), kind
        assert repr(again) == repr(layer)


def test_T8_penalties_and_constraints_are_the_weights_own():
    layer = rk.MultiHeadAttention(
        2, 3, kernel_regularizer="l2", bias_regularizer="l1", kernel_constraint="non_neg", bias_constraint="max_norm"
    )
    layer.build((None, 4, 3), (None, 5, 3))
    kinds = options_by_name(layer)
    assert {type(one.regularizer).__name__ for name, one in kinds.items() if "kernel" in name} == {"L2"}
    assert {type(one.regularizer).__name__ for name, one in kinds.items() if "bias" in name} == {"L1"}
    assert all(one.constraint is not None for one in kinds.values())
    shapes = {name: one.shape for name, one in layer.weights.items()}
    assert shapes["attention_output/kernel"] == (2, 3, 3) and shapes["query/bias"] == (2, 3)


ARRAYS = np.zeros((2, 3, 4)), np.zeros((2, 5, 4))
REFUSED = {
    "E1 one array": (lambda: rk.Attention()(ARRAYS[0]), r"\[query, value\]"),
    "E1 four": (lambda: rk.Attention()([*ARRAYS, *ARRAYS]), "4 arrays"),
    "E1 rank": (lambda: rk.Attention()([ARRAYS[0][0], ARRAYS[1]]), "shape"),
    "E2 sizes": (lambda: rk.Attention()([ARRAYS[0], ARRAYS[1][..., :3]]), "as many features, got 4 and 3"),
    "E2 rows": (lambda: rk.Attention()([ARRAYS[0][:1], ARRAYS[1]]), "one batch size"),
    "E2 keys": (lambda: rk.MultiHeadAttention(2, 3)(*ARRAYS, ARRAYS[0]), "as many keys as values"),
    "E4 query": (lambda: rk.Attention()(list(ARRAYS), mask=[np.ones((2, 5)), None]), r"query_mask of shape \(2, 3\)"),
    "E4 value": (lambda: rk.MultiHeadAttention(2, 3)(*ARRAYS, value_mask=np.ones((2, 3))), r"value_mask .*\(2, 5\)"),
    "E4 key": (lambda: rk.MultiHeadAttention(2, 3)(*ARRAYS, key_mask=np.ones((2, 3))), r"key_mask .*\(2, 5\)"),
    "E4 pairs": (lambda: rk.MultiHeadAttention(2, 3)(*ARRAYS, attention_mask=np.ones((2, 5, 3))), r"\(2, 3, 5\)"),
    "E4 one mask": (lambda: rk.Attention()(list(ARRAYS), mask=np.ones((2, 3))), "list"),
    "mode": (lambda: rk.Attention(score_mode="cosine"), "score_mode"),
    "E8 heads": (lambda: rk.MultiHeadAttention(0, 3), "num_heads"),
    "axes": (lambda: rk.MultiHeadAttention(2, 3, attention_axes=(1, 2)), "attention_axes"),
    "output": (lambda: rk.MultiHeadAttention(2, 3, output_shape=()), "output_shape"),
    "symbolic mask": (
        lambda: rk.MultiHeadAttention(2, 3)(
            rk.Input((3, 4)), rk.Input((5, 4)), attention_mask=rk.Input((5, 3), dtype="bool")
        ),
        "attention_mask of shape",
    ),
    "symbolic query mask": (
        lambda: rk.Attention()([rk.Input((3, 4)), rk.Input((5, 4))], mask=[rk.Input((5,)), None]),
        "query_mask of shape",
    ),
    "symbolic sizes": (lambda: rk.Attention()([rk.Input((3, 4)), rk.Input((5, 3))]), "as many features"),
    "symbolic no value": (lambda: rk.MultiHeadAttention(2, 3)(rk.Input((3, 4))), "value"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_errors(what):
    call, told = REFUSED[what]
    with pytest.raises((ValueError, TypeError), match=told):
        call()


def test_a_failed_call_leaves_a_layer_unbuilt_and_a_built_one_refuses_other_features():
    layer = rk.MultiHeadAttention(2, 3)
    with pytest.raises(ValueError):
        layer(*ARRAYS, value_mask=np.ones((2, 3)))
    layer(*ARRAYS)
    with pytest.raises(ValueError, match=r"expected value of shape \(batch, steps, 4\), got \(2, 5, 3\)"):
        layer(ARRAYS[0], ARRAYS[1][..., :3])
