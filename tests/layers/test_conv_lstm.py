"""ConvLSTM layers: convolutions in loops, slopes, masks, dropout, configurations, files and errors."""

import copy
import json
import pickle
import re
from itertools import product

import numpy as np
import pytest
from matrix import MASKS, every, label, make_mask, pairwise, same_bits

import rnnkit as rk
from rnnkit.cells.conv_lstm import Windows
from rnnkit.layers.support.runner import Runner
from rnnkit.layers.support.seeds import draw_generator

B, T, CHANNELS = 3, 4, 2
SIZES = {1: (7,), 2: (5, 6), 3: (4, 3, 3)}
LAYERS = {1: rk.ConvLSTM1D, 2: rk.ConvLSTM2D, 3: rk.ConvLSTM3D}
FACTORS = {
    "rank": (1, 2),
    "kernel": (3, 2, 1, "two sizes"),
    "padding": ("valid", "same"),
    "apart": ("none", "strides", "dilation"),
    "bias": (True, False),
    "mask": MASKS,
    "backwards": (False, True),
    "sequences": (True, False),
    "activation": ("tanh", "relu"),
    "dtype": ("float64", "float32"),
}
ROWS = pairwise(FACTORS)


def made(row, **more):
    kernel = {"two sizes": (2, 3)[: row["rank"]]}.get(row["kernel"], row["kernel"])
    options = (
        {"strides": 2} if row["apart"] == "strides" else {"dilation_rate": 2} if row["apart"] == "dilation" else {}
    )
    if row["padding"] == "valid" and row["apart"] == "dilation":
        kernel = 2
    flags = {"return_sequences": row["sequences"], "return_state": True, "go_backwards": row["backwards"]}
    return LAYERS[row["rank"]](
        3,
        kernel,
        padding=row["padding"],
        use_bias=row["bias"],
        activation=row["activation"],
        bias_initializer="normal",
        dtype=row["dtype"],
        seed=1,
        **options | flags | more,
    )


PLAIN = {
    "rank": 2,
    "kernel": 3,
    "padding": "same",
    "apart": "none",
    "bias": True,
    "mask": "none",
    "backwards": False,
    "sequences": True,
    "activation": "tanh",
    "dtype": "float64",
}


def convolution(x, kernel, strides, dilation, padding):
    """Of one array ``(*sizes, channels)``, an entry of the output at a time."""
    sizes, spans, rank = x.shape[:-1], kernel.shape[:-2], x.ndim - 1
    reaches = [(n - 1) * d + 1 for n, d in zip(spans, dilation, strict=True)]
    if padding == "same":
        counts = [int(np.ceil(n / s)) for n, s in zip(sizes, strides, strict=True)]
        zeros = [max((c - 1) * s + r - n, 0) for c, s, r, n in zip(counts, strides, reaches, sizes, strict=True)]
    else:
        counts, zeros = [(n - r) // s + 1 for n, r, s in zip(sizes, reaches, strides, strict=True)], [0] * rank
    padded = np.zeros((*(n + z for n, z in zip(sizes, zeros, strict=True)), x.shape[-1]))
    padded[tuple(slice(z // 2, z // 2 + n) for n, z in zip(sizes, zeros, strict=True))] = x
    found = np.zeros((*counts, kernel.shape[-1]))
    for place in product(*map(range, counts)):
        for entry in product(*map(range, spans)):
            at = tuple(p * s + e * d for p, s, e, d in zip(place, strides, entry, dilation, strict=True))
            found[place] += padded[at] @ kernel[entry]
    return found


def slow(layer, x, mask):
    """The layer's outputs in a loop over rows and steps."""
    cell, w, ones = layer.cell, layer.weights, (1,) * layer.cell.rank
    act = {"tanh": np.tanh, "relu": lambda z: np.maximum(z, 0)}[layer.get_config()["activation"]]
    sigmoid = lambda z: 1 / (1 + np.exp(-z))
    outputs = []
    for b in range(len(x)):
        h = c = held = None
        steps = []
        for t in range(x.shape[1])[:: -1 if layer.go_backwards else 1]:
            z = convolution(x[b, t], w["kernel"], cell.strides, cell.dilation_rate, cell.padding)
            if h is None:
                h = c = held = np.zeros((*z.shape[:-1], cell.filters))
            z = z + convolution(h, w["recurrent_kernel"], ones, ones, "same") + w.get("bias", 0)
            i, f, g, o = np.split(z, 4, axis=-1)
            if mask is None or mask[b, t]:
                c = sigmoid(f) * c + sigmoid(i) * act(g)
                h = held = sigmoid(o) * act(c)
            steps.append(held)
        outputs.append([np.stack(steps) if layer.return_sequences else held, h, c])
    return [np.stack(one) for one in zip(*outputs, strict=True)]


def inputs(rank, dtype, rng, rows=B):
    return rng.normal(size=(rows, T, *SIZES[rank], CHANNELS)).astype(dtype)


@pytest.mark.parametrize("row", every(3, ROWS), ids=label)
def test_the_equations_and_slopes(row, rng):
    layer, x = made(row), inputs(row["rank"], row["dtype"], rng)
    mask = make_mask(row["mask"], B, T, rng)
    unbuilt = layer.compute_output_shape((None, None, *x.shape[2:]))
    found = layer(x, mask=mask)
    assert [one[1:] for one in unbuilt] == [
        (None, *one.shape[2:]) if i == 0 and row["sequences"] else one.shape[1:] for i, one in enumerate(found)
    ]
    tolerance = 1e-11 if row["dtype"] == "float64" else 2e-5
    for one, other in zip(found, slow(layer, x, mask), strict=True):
        assert one.dtype == row["dtype"]
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
    if row["activation"] == "tanh" and row["dtype"] == "float64":
        checked = rk.gradcheck(layer, x, mask=mask)
        assert checked, checked


def test_three_axes(rng):
    layer = rk.ConvLSTM3D(2, (2, 1, 3), padding="same", return_state=True, seed=0)
    x = inputs(3, "float64", rng)
    for one, other in zip(layer(x), slow(layer, x, None), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)
    checked = rk.gradcheck(layer, x)
    assert checked, checked


def test_C8_the_step_is_traced(rng):
    layer = made(PLAIN)
    layer(inputs(2, "float64", rng))
    assert layer.explain().startswith("traced")


def test_B4_weights_and_their_order(rng):
    layer = made({**PLAIN, "kernel": "two sizes"})
    layer.build((None, None, 5, 6, CHANNELS))
    shapes = {name: one.shape for name, one in layer.weights.items()}
    assert shapes == {"kernel": (2, 3, 2, 12), "recurrent_kernel": (2, 3, 3, 12), "bias": (12,)}
    layer = rk.ConvLSTM1D(3, 2, seed=0)
    layer.build((None, None, 5, CHANNELS))
    np.testing.assert_array_equal(layer.weights["bias"], np.repeat([0, 1, 0, 0], 3))


def test_B7_each_gate_has_masks_of_its_own(rng):
    layer, x = made(PLAIN, dropout=0.5, recurrent_dropout=0.25), inputs(2, "float64", rng)
    assert layer(x)[0].tobytes() == layer(x)[0].tobytes()
    assert layer(x, training=True)[0].tobytes() != layer(x, training=True)[0].tobytes()
    checked = rk.gradcheck(layer, x, training=True)
    assert checked, checked
    draw, draws = layer._execution.step.draw, ("dropout", "recurrent_dropout")
    drawn = {name: draw(name, B, draw_generator(layer), layer.dtype) for name in draws}
    assert drawn["dropout"].shape == (B, 4, 5, 6, CHANNELS) and drawn["recurrent_dropout"].shape == (B, 4, 5, 6, 3)
    assert set(np.unique(drawn["dropout"])) == {0.0, 2.0}


def test_laws(rng):
    layer, x = made(PLAIN, stateful=True), inputs(2, "float64", rng)
    whole = made(PLAIN)(x)
    parts = [layer(x[:, :1])[0], layer(x[:, 1:])[0]]
    same_bits([np.concatenate(parts, axis=1)], [whole[0]])  # L1
    same_bits([made(PLAIN)(x[1:2])[0]], [whole[0][1:2]])  # L2
    mask = np.arange(T) < 2
    mask = np.broadcast_to(mask, (B, T))
    spoiled = np.where(mask[..., None, None, None], x, np.nan)
    same_bits(list(made(PLAIN)(spoiled, mask=mask)), list(made(PLAIN)(x, mask=mask)))  # L4
    with rk.eager():
        again = made(PLAIN)(x)
    np.testing.assert_allclose(again[0], whole[0], rtol=1e-12, atol=1e-12)  # X2


def network():
    x = rk.Input((T, 5, 6, CHANNELS))
    steps = rk.ConvLSTM2D(3, 3, padding="same", return_sequences=True, dropout=0.1, seed=1)(x)
    last = rk.ConvLSTM2D(2, 2, strides=2, seed=2)(steps)
    return rk.Model(x, rk.Dense(1, seed=3)(rk.Flatten()(last)), seed=0)


def test_a_model_is_trained_with_the_same_bits_and_comes_back_from_a_file(rng, tmp_path, monkeypatch):
    x = inputs(2, "float32", rng, rows=12)
    y = x.mean(axis=(1, 2, 3))[:, :1]

    def fitted():
        model = network()
        model.compile(rk.optimizers.Adam(0.01), "mse")
        return model, model.fit(x, y, batch_size=4, epochs=4, verbose=0).history["loss"]

    model, losses = fitted()
    assert losses[-1] < losses[0]
    expected = model.predict(x)
    model.save(tmp_path / "model.npz")
    for again in (rk.load_model(tmp_path / "model.npz"), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        same_bits([again.predict(x)], [expected])
    monkeypatch.setattr(Runner, "serve", lambda *_: None)
    same_bits([np.array(losses), *model.get_weights()], [np.array((other := fitted())[1]), *other[0].get_weights()])


@pytest.mark.parametrize("rank", LAYERS)
def test_X3_configurations(rank):
    layer = LAYERS[rank](
        4, 2, padding="same", dilation_rate=2, activation="relu", kernel_regularizer="l2", dropout=0.5, stateful=True
    )
    config = json.loads(json.dumps(layer.get_config()))
    again = type(layer).from_config(config)
    assert again.get_config() == layer.get_config()
    assert repr(again) == repr(layer)
    assert list(config)[:6] == ["filters", "kernel_size", "strides", "padding", "data_format", "dilation_rate"]


REFUSED = {
    "E8 filters": (lambda: rk.ConvLSTM2D(0, 3), "filters to be a positive integer"),
    "sizes": (lambda: rk.ConvLSTM2D(2, (3, 3, 3)), "kernel_size as an integer or 2 of them"),
    "padding": (lambda: rk.ConvLSTM2D(2, 3, padding="causal"), "padding 'valid' or 'same'"),
    "channels first": (lambda: rk.ConvLSTM2D(2, 3, data_format="channels_first"), "channels_last"),
    "both": (lambda: rk.ConvLSTM2D(2, 3, strides=2, dilation_rate=2), "strides or dilation_rate"),
    "E1 rank": (lambda: rk.ConvLSTM2D(2, 3)(np.ones((2, 3, 4, 5))), "batch, time, sizes, sizes, channels"),
    "small": (lambda: rk.ConvLSTM2D(2, 3)(np.ones((2, 3, 2, 5, 1))), "at least one window"),
    "open": (lambda: rk.ConvLSTM2D(2, 3).compute_output_shape((2, 3, None, 5, 1)), "known sizes"),
    "E7 keyword": (lambda: rk.ConvLSTM2D(2, 3, colour=1), "colour"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_errors(what):
    call, told = REFUSED[what]
    with pytest.raises((ValueError, TypeError), match=told):
        call()


def test_windows(rng):
    x, kernel = rng.normal(size=(2, 5, 4, 3)), rng.normal(size=(3, 2, 3, 6))
    for strides, dilation, padding in product(((1, 1), (2, 3)), ((1, 1), (2, 1)), ("valid", "same")):
        windows = Windows((5, 4), (3, 2), strides, dilation, 3, padding)
        expected = np.stack([convolution(one, kernel, strides, dilation, padding) for one in x])
        np.testing.assert_allclose(windows.convolved(x, kernel), expected, rtol=1e-12, atol=1e-12)
        assert windows.sizes == expected.shape[1:3]


def test_functions_of_a_program_have_names_of_their_own():
    layer = rk.ConvLSTM2D(3, 3, strides=2, padding="same", seed=0, dtype="float64")
    layer.build((None, None, 5, 6, CHANNELS))  # its buffers concatenate and concatenate_4 are filled in two places each
    names = re.findall(r"^def (\w+)", layer.explain(source=True), re.MULTILINE)
    assert "make_concatenate_4" in names and len(names) == len(set(names))
