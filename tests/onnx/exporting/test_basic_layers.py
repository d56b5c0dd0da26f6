"""All public layers go to ONNX, with their options and masks."""

import numpy as np
import pytest
from layers_under_test import LAYERS, public_layers
from onnx_runs import Exported, near

import rnnkit as rk

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", public_layers())
def test_X15_every_public_layer(name, dtype):
    """There are no exceptions; lengths that are open in the layer are open in the file."""
    case = LAYERS[name]
    with rk.eager():
        layer = case.make()
        dtype = "float32" if isinstance(layer, rk.Model) else dtype  # as its Input says
        layer(*case.given(case.inputs(dtype=dtype)))
        x = case.inputs(rows=3, seed=1, dtype=dtype)
        y = layer(*case.given(x))
        exported = Exported(layer)
        near(exported(*(x if isinstance(x, list) else [x])), y)
        if not isinstance(x, list) and layer._input_shape[1:2] == (None,):
            x = np.concatenate([x, x[:, :3]], 1)
            near(exported(x), layer(x))


@pytest.mark.parametrize(
    "kind", [rk.Dropout, rk.SpatialDropout1D, rk.GaussianDropout, rk.AlphaDropout, rk.GaussianNoise]
)
def test_a_model_that_begins_with_noise_has_any_length(kind):
    rng = np.random.default_rng(0)
    model = rk.Sequential([kind(0.2), rk.GRU(3, return_sequences=True)], seed=0)
    model(rng.normal(size=(2, 6, 4)))
    exported = Exported(model)
    for length in (6, 9):
        x = rng.normal(size=(3, length, 4))
        near(exported(x), model(x))


# Other options of layers that are functions of arrays, and the length of x where it can't be open.
WINDOWS = {
    "Conv1D": lambda **o: rk.Conv1D(4, 3, seed=1, bias_initializer="normal", **o),
    "MaxPooling1D": lambda **o: rk.MaxPooling1D(3, **o),
    "AveragePooling1D": lambda **o: rk.AveragePooling1D(3, **o),
}
OPTIONS = {
    f"{name} {padding} {strides}": (
        lambda name=name, p=padding, s=strides: WINDOWS[name](padding=p, strides=s),
        strides,
    )
    for name in WINDOWS
    for padding in ("valid", "same", *(["causal"] if name == "Conv1D" else []))
    for strides in (1, 2)
} | {
    "Conv1D in groups": (
        lambda: rk.Conv1D(4, 2, groups=2, dilation_rate=2, use_bias=False, activation="relu", seed=1),
        1,
    ),
    "GlobalMaxPooling1D kept": (lambda: rk.GlobalMaxPooling1D(keepdims=True), 1),
    "LayerNormalization along time": (lambda: rk.LayerNormalization(axis=1, beta_initializer="normal"), 0),
    "LayerNormalization of all": (lambda: rk.LayerNormalization(axis=(1, 2), gamma_initializer="normal"), 0),
    "Softmax along all": (lambda: rk.Softmax((1, 2)), 0),
    "UnitNormalization along time": (lambda: rk.UnitNormalization(axis=1), 0),
    "BatchNormalization along time": (lambda: rk.BatchNormalization(axis=1, moving_mean_initializer="normal"), 0),
    "BatchNormalization plain": (lambda: rk.BatchNormalization(center=False, scale=False), 1),
    "PReLU of each place": (lambda: rk.PReLU("normal"), 0),
    "Permute": (lambda: rk.Permute((2, 1)), 1),
    "UpSampling1D": (lambda: rk.UpSampling1D(3), 1),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_at_open_lengths(name):
    make, strides = OPTIONS[name]
    fixed = strides == 0 or (strides > 1 and "same" in name)
    x = rk.Input((9 if fixed else None, 4), dtype="float64")
    with rk.eager():
        model = rk.Model(x, make()(x))
        exported = Exported(model)
        for length in (9,) if fixed else (9, 5, 40):
            given = np.random.default_rng(length).normal(size=(2, length, 4))
            near(exported(given), model(given))


# Attention: query and value have lengths and masks of their own.
ATTENTION = {
    "Attention": lambda **o: rk.Attention(**o),
    "Attention scaled": lambda **o: rk.Attention(use_scale=True, score_mode="concat", seed=1, **o),
    "AdditiveAttention": lambda **o: rk.AdditiveAttention(seed=1, **o),
    "MultiHeadAttention": lambda **o: rk.MultiHeadAttention(2, 3, value_dim=2, use_gate=True, seed=1, **o),
    "MultiHeadAttention plain": lambda **o: rk.MultiHeadAttention(2, 3, use_bias=False, sliding_window=2, **o),
}


@pytest.mark.parametrize("scores", [False, True])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("name", ATTENTION)
def test_attention(name, masked, causal, scores):
    a, b = rk.Input((None, 4), dtype="float64"), rk.Input((None, 4), dtype="float64")
    given = [rk.Masking()(one) for one in (a, b)] if masked else [a, b]
    layer = ATTENTION[name]()
    x = given if isinstance(layer, rk.Attention) else given[:1]
    more = {} if isinstance(layer, rk.Attention) else {"value": given[1]}
    with rk.eager():
        found = layer(
            *([x] if isinstance(layer, rk.Attention) else x),
            use_causal_mask=causal,
            return_attention_scores=scores,
            **more,
        )
        model = rk.Model([a, b], found)
        exported = Exported(model)
        for lengths in ((3, 5), (6, 6), (5, 2)):
            arrays = [np.random.default_rng(n).normal(size=(3, n, 4)) for n in lengths]
            arrays[0][0, -1] = arrays[1][0, :1] = arrays[1][1] = 0.0
            result = model(arrays)
            near(exported(*arrays), result if scores else [result])


@pytest.mark.parametrize("name", ["Attention", "MultiHeadAttention plain"])
def test_nan_at_steps_that_are_left_out_reaches_nothing(name):
    x = rk.Input((None, 4), dtype="float64")
    layer = ATTENTION[name]()
    with rk.eager():
        found = layer([x, x], use_causal_mask=True) if name == "Attention" else layer(x, x, use_causal_mask=True)
        model = rk.Model(x, found)
        given = np.random.default_rng(0).normal(size=(2, 6, 4))
        given[0, 4] = np.nan
        result = model(given)
        assert np.isnan(result[0, 4:]).all() and np.isfinite(result[0, :4]).all() and np.isfinite(result[1]).all()
        near(Exported(model)(given), [result])


def test_masks_of_pairs():
    a, pairs = rk.Input((None, 4), dtype="float64"), rk.Input((None, None), dtype="float64")
    with rk.eager():
        model = rk.Model([a, pairs], rk.MultiHeadAttention(2, 3, seed=1)(a, a, attention_mask=pairs))
        x, mask = np.random.default_rng(0).normal(size=(3, 5, 4)), np.tile(np.tri(5), (3, 1, 1))
        near(Exported(model)(x, mask), [model([x, mask])])


def test_what_training_changes_is_refused(tmp_path):
    for layer, told in ((rk.BatchNormalization(), "its batch"), (rk.GaussianNoise(0.5), "draws at random")):
        x = rk.Input((5, 3))
        with pytest.raises(ValueError, match=f"called with training=True, and so .*{told}"):
            rk.onnx.export(rk.Model(x, layer(x, training=True)), tmp_path / "model.onnx")
