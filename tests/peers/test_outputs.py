"""Other people's implementations as witnesses, where they are installed: PyTorch and ONNX Runtime."""

import numpy as np
import pytest
from cells_under_test import spread
from matrix import close

import rnnkit as rk

# PyTorch keeps one block of rows per gate, in its own order, and two biases.
ORDERS = {"SimpleRNN": [0], "GRU": [1, 0, 2], "LSTM": [0, 1, 2, 3]}
OPTIONS = {"return_sequences": True, "return_state": True, "bias_initializer": spread, "seed": 2}


def blocks(array, order):
    """Gates, side by side in Keras, one above the other in PyTorch's order."""
    gates = np.split(array, len(order), axis=-1)
    return np.concatenate([gates[n].T for n in order])


@pytest.mark.parametrize("name", list(ORDERS))
@pytest.mark.parametrize("backwards", [False, True])
def test_torch(name, backwards, rng):
    torch = pytest.importorskip("torch")
    layer = getattr(rk, name)(17, go_backwards=backwards, **OPTIONS)
    x = rng.normal(size=(5, 40, 9))
    output, *states = layer(x)
    kernel, recurrent, bias = layer.get_weights()
    input_bias, hidden_bias = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    peer = getattr(torch.nn, {"SimpleRNN": "RNN"}.get(name, name))(9, 17, batch_first=True, dtype=torch.float64)
    order = ORDERS[name]
    values = {
        "weight_ih_l0": blocks(kernel, order),
        "weight_hh_l0": blocks(recurrent, order),
        "bias_ih_l0": blocks(input_bias[None], order)[:, 0],
        "bias_hh_l0": blocks(hidden_bias[None], order)[:, 0],
    }
    peer.load_state_dict({key: torch.from_numpy(np.ascontiguousarray(value)) for key, value in values.items()})
    with torch.no_grad():
        expected, final = peer(torch.from_numpy(x[:, ::-1].copy() if backwards else x))
    close(output, expected.numpy())
    close(states, [s[0].numpy() for s in (final if name == "LSTM" else [final])])


def test_torch_bidirectional_with_lengths(rng):
    """A packed sequence there is a mask here, and its padding is zeros in both halves."""
    torch = pytest.importorskip("torch")
    lengths = np.array([7, 3, 1, 5])
    x, mask = rng.normal(size=(4, 7, 6)), np.arange(7) < lengths[:, None]
    layer = rk.Bidirectional(rk.LSTM(5, return_sequences=True, bias_initializer=spread), seed=1)
    y = layer(x, mask=mask)
    peer = torch.nn.LSTM(6, 5, batch_first=True, bidirectional=True, dtype=torch.float64)
    values = {}
    for direction, suffix in (("forward", ""), ("backward", "_reverse")):
        w = {n: layer.weights[f"{direction}/{n}"] for n in ("kernel", "recurrent_kernel", "bias")}
        values[f"weight_ih_l0{suffix}"], values[f"weight_hh_l0{suffix}"] = w["kernel"].T, w["recurrent_kernel"].T
        values[f"bias_ih_l0{suffix}"], values[f"bias_hh_l0{suffix}"] = w["bias"], 0 * w["bias"]
    peer.load_state_dict({key: torch.from_numpy(value.copy()) for key, value in values.items()})
    with torch.no_grad():
        packed = torch.nn.utils.rnn.pack_padded_sequence(
            torch.from_numpy(x), torch.from_numpy(lengths), batch_first=True, enforce_sorted=False
        )
        expected = torch.nn.utils.rnn.pad_packed_sequence(peer(packed)[0], batch_first=True)[0].numpy()
    close(y, expected)


def test_onnxruntime_lstm(rng):
    onnxruntime, onnx = pytest.importorskip("onnxruntime"), pytest.importorskip("onnx")
    layer = rk.LSTM(17, dtype="float32", **OPTIONS)
    x = rng.normal(size=(5, 40, 9)).astype("float32")
    output, h, c = layer(x)
    kernel, recurrent, bias = layer.get_weights()
    order = [0, 3, 1, 2]  # i o f c
    arrays = {
        "W": blocks(kernel, order)[None],
        "R": blocks(recurrent, order)[None],
        "B": np.concatenate([blocks(bias[None], order)[:, 0], np.zeros(68, "float32")])[None],
    }
    helper = onnx.helper
    node = helper.make_node("LSTM", ["X", "W", "R", "B"], ["Y", "H", "C"], hidden_size=17)
    graph = helper.make_graph(
        [node],
        "lstm",
        [helper.make_tensor_value_info("X", 1, [40, 5, 9])],
        [helper.make_tensor_value_info(name, 1, None) for name in "YHC"],
        [onnx.numpy_helper.from_array(np.ascontiguousarray(a), name) for name, a in arrays.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    ys, hs, cs = session.run(None, {"X": np.ascontiguousarray(x.swapaxes(0, 1))})
    close([output, h, c], [ys[:, 0].swapaxes(0, 1), hs[0], cs[0]], "float32")
