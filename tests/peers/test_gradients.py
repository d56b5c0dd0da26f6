"""Other people's gradients as witnesses, where they are installed: PyTorch's and jax's, in float64."""

from functools import cache

import numpy as np
import pytest
from cells_under_test import spread
from matrix import MASKS, make_mask

import rnnkit as rk

BATCH, TIME, FEATURES, UNITS = 5, 20, 9, 17
OPTIONS = {"return_state": True, "bias_initializer": spread, "seed": 2, "dtype": "float64"}
LAYERS = {
    "SimpleRNN": rk.SimpleRNN,
    "GRU": rk.GRU,
    "GRU, reset before": lambda units, **options: rk.GRU(units, reset_after=False, **options),
    "LSTM": rk.LSTM,
}


def layer_of(name, **options):
    layer = LAYERS[name](UNITS, **OPTIONS, **options)
    layer.build((None, None, FEATURES))
    return layer


def arrays(layer, rng):
    """An input, states to start from, and cotangents of what the layer returns."""
    states = layer.get_initial_state(BATCH)
    x = rng.normal(size=(BATCH, TIME, FEATURES))
    d_outputs = rng.normal(size=(BATCH, TIME, UNITS) if layer.return_sequences else (BATCH, UNITS))
    starts, ends = ([rng.normal(size=state.shape) for state in states] for _ in range(2))
    return x, starts, d_outputs, ends


def gradients_of(layer, x, starts, d_outputs, ends, **call):
    """What the layer returns, and all gradients by name."""
    outputs, pullback = layer.vjp(x, initial_state=starts, **call)
    found = pullback((d_outputs, *ends))
    return outputs, {"x": found.x, "states": list(found.initial_state), **found.weights}


def agree(got, expected, told=""):
    """Within 1e-10 of each array's norm."""
    assert got.keys() == expected.keys()
    for name, theirs in expected.items():
        ours = got[name] if isinstance(theirs, list) else [got[name]]
        for a, b in zip(ours, theirs if isinstance(theirs, list) else [theirs], strict=True):
            assert a.shape == b.shape, (name, told)
            assert np.linalg.norm(a - b) <= 1e-10 * np.linalg.norm(b), (name, told)


# PyTorch keeps one block of rows per gate, in its own order, and two biases.
ORDERS = {"SimpleRNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 1, 2, 3]}


def torch_layer(name, weights):
    import torch

    kernel, recurrent, bias = weights.values()
    input_bias, hidden_bias = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    peer = getattr(torch.nn, {"SimpleRNN": "RNN"}.get(name, name))(
        FEATURES, UNITS, batch_first=True, dtype=torch.float64
    )
    values = {"weight_ih_l0": kernel, "weight_hh_l0": recurrent, "bias_ih_l0": input_bias, "bias_hh_l0": hidden_bias}
    with torch.no_grad():
        for key, value in values.items():
            gates = np.split(value, len(ORDERS[name]), axis=-1)
            getattr(peer, key).copy_(torch.tensor(np.concatenate([gates[k].T for k in ORDERS[name]])))
    return peer


def torch_gradients(name, peer, x, starts, differentiate):
    """Outputs and all gradients by our names; `differentiate` gives outputs and the scalar whose gradients they are."""
    import torch

    x, *starts = (torch.tensor(a, requires_grad=True) for a in (x, *starts))
    outputs, loss = differentiate(x, [state[None] for state in starts])
    loss.backward()

    def back(array):
        """Gates side by side and in Keras's order again."""
        blocks = np.split(array.numpy(), len(ORDERS[name]))
        return np.concatenate([blocks[ORDERS[name].index(k)].T for k in range(len(blocks))], axis=-1)

    biases = [back(peer.bias_ih_l0.grad), back(peer.bias_hh_l0.grad)]
    return outputs.detach().numpy(), {
        "x": x.grad.numpy(),
        "states": [state.grad.numpy() for state in starts],
        "kernel": back(peer.weight_ih_l0.grad),
        "recurrent_kernel": back(peer.weight_hh_l0.grad),
        "bias": np.stack(biases) if name == "GRU" else biases[0],
    }


@pytest.mark.parametrize("name", list(ORDERS))
@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("backwards", [False, True])
def test_torch(name, sequences, backwards, rng):
    torch = pytest.importorskip("torch")
    layer = layer_of(name, return_sequences=sequences, go_backwards=backwards)
    x, starts, d_outputs, ends = arrays(layer, rng)
    peer = torch_layer(name, layer.weights)

    def differentiate(x, starts):
        y, final = peer(x.flip(1) if backwards else x, tuple(starts) if name == "LSTM" else starts[0])
        y, final = y if sequences else y[:, -1], final if name == "LSTM" else [final]
        pairs = zip([y, *(state[0] for state in final)], [d_outputs, *ends], strict=True)
        return y, sum((array * torch.from_numpy(g)).sum() for array, g in pairs)

    (outputs, *_), found = gradients_of(layer, x, starts, d_outputs, ends)
    expected_outputs, expected = torch_gradients(name, peer, x, starts, differentiate)
    agree({"outputs": outputs} | found, {"outputs": expected_outputs} | expected)


def test_torch_with_lengths(rng):
    """A packed sequence there is a mask here; what stands under it has no gradient."""
    torch = pytest.importorskip("torch")
    pack, pad = torch.nn.utils.rnn.pack_padded_sequence, torch.nn.utils.rnn.pad_packed_sequence
    layer = layer_of("LSTM", return_sequences=True, zero_output_for_mask=True)
    x, starts, d_outputs, ends = arrays(layer, rng)
    lengths = np.array([TIME, 3, 1, 5, TIME - 1])
    mask = np.arange(TIME) < lengths[:, None]
    peer = torch_layer("LSTM", layer.weights)

    def differentiate(x, starts):
        y, final = peer(pack(x, torch.from_numpy(lengths), batch_first=True, enforce_sorted=False), tuple(starts))
        y = pad(y, batch_first=True)[0]
        pairs = zip([y, *(state[0] for state in final)], [d_outputs, *ends], strict=True)
        return y, sum((array * torch.from_numpy(g)).sum() for array, g in pairs)

    (outputs, *_), found = gradients_of(layer, x, starts, d_outputs, ends, mask=mask)
    expected_outputs, expected = torch_gradients("LSTM", peer, x, starts, differentiate)
    agree({"outputs": outputs} | found, {"outputs": expected_outputs} | expected)
    assert not found["x"][~mask].any()


@cache
def jax_function(name):
    """The jitted outputs and gradients of a cell over masked steps, by Keras's rules for them."""
    import jax
    import jax.numpy as jnp

    sigmoid = jax.nn.sigmoid

    def simple(x, states, w):
        h = jnp.tanh(x @ w["kernel"] + states[0] @ w["recurrent_kernel"] + w["bias"])
        return h, [h]

    def gru(x, states, w):
        (h,) = states
        xz, xr, xn = jnp.split(x @ w["kernel"] + w["bias"][0], 3, axis=1)
        hz, hr, hn = jnp.split(h @ w["recurrent_kernel"] + w["bias"][1], 3, axis=1)
        z, r = sigmoid(xz + hz), sigmoid(xr + hr)
        h = z * h + (1 - z) * jnp.tanh(xn + r * hn)
        return h, [h]

    def gru_reset_before(x, states, w):
        (h,) = states
        xz, xr, xn = jnp.split(x @ w["kernel"] + w["bias"], 3, axis=1)
        uz, ur, un = jnp.split(w["recurrent_kernel"], 3, axis=1)
        z, r = sigmoid(xz + h @ uz), sigmoid(xr + h @ ur)
        h = z * h + (1 - z) * jnp.tanh(xn + (r * h) @ un)
        return h, [h]

    def lstm(x, states, w):
        h, c = states
        i, f, g, o = jnp.split(x @ w["kernel"] + h @ w["recurrent_kernel"] + w["bias"], 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        h = sigmoid(o) * jnp.tanh(c)
        return h, [h, c]

    cell = {"SimpleRNN": simple, "GRU": gru, "GRU, reset before": gru_reset_before, "LSTM": lstm}[name]

    def loss(x, starts, weights, mask, zero, d_outputs, ends):
        def step(carry, at):
            held, states = carry
            x_t, used = at
            y, new = cell(x_t, states, weights)
            states = [jnp.where(used, a, b) for a, b in zip(new, states, strict=True)]
            held = jnp.where(used, y, held)
            return (held, states), jnp.where(zero & ~used, 0, held)

        along = x.swapaxes(0, 1), mask.swapaxes(0, 1)[..., None]
        (held, states), y = jax.lax.scan(step, (jnp.zeros_like(starts[0]), starts), along)
        y = y.swapaxes(0, 1) if d_outputs.ndim == 3 else held
        return (y * d_outputs).sum() + sum((s * g).sum() for s, g in zip(states, ends, strict=True)), y

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1, 2), has_aux=True))


@pytest.mark.parametrize("name", list(LAYERS))
@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("zero", [False, True])
def test_jax(name, sequences, backwards, zero, rng):
    jax = pytest.importorskip("jax")
    layer = layer_of(name, return_sequences=sequences, go_backwards=backwards, zero_output_for_mask=zero)
    turn = slice(None, None, -1 if backwards else 1)
    for kind in MASKS:
        x, starts, d_outputs, ends = arrays(layer, rng)
        mask = make_mask(kind, BATCH, TIME, rng)
        (outputs, *_), found = gradients_of(layer, x, starts, d_outputs, ends, mask=mask)
        used = np.ones((BATCH, TIME), bool) if mask is None else mask
        with jax.enable_x64(True):
            call = x[:, turn], starts, dict(layer.weights), used[:, turn], zero, d_outputs, ends
            (_, expected_outputs), (d_x, d_starts, d_weights) = jax_function(name)(*call)
            expected = {"outputs": expected_outputs, "x": d_x[:, turn], **d_weights}
            expected = {key: np.asarray(value) for key, value in expected.items()}
        agree({"outputs": outputs} | found, expected | {"states": [np.asarray(state) for state in d_starts]}, kind)
