"""State dicts of NumPy arrays, without PyTorch: its formulas, written out, are what the layers compute."""

import numpy as np
import pytest
from matrix import close, same_bits

import rnnkit as rk
from rnnkit.interop.torch_import import from_torch_arrays, to_torch_arrays

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
FEATURES, UNITS = 3, 4


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def step(kind, x, states, w, nonlinearity=np.tanh):
    """One step of PyTorch's documentation, with its names."""
    h = states[0]
    from_x = x @ w["weight_ih"].T + w.get("bias_ih", 0)
    from_h = h @ w["weight_hh"].T + w.get("bias_hh", 0)
    if kind == "rnn":
        return [nonlinearity(from_x + from_h)]
    if kind == "gru":
        (xr, xz, xn), (hr, hz, hn) = (np.split(one, 3, axis=-1) for one in (from_x, from_h))
        r, z = sigmoid(xr + hr), sigmoid(xz + hz)
        n = np.tanh(xn + r * hn)
        return [(1 - z) * n + z * h]
    i, f, g, o = np.split(from_x + from_h, 4, axis=-1)
    c = sigmoid(f) * states[1] + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(c), c]


def run(kind, x, w, start, lengths, reverse=False, **options):
    """Outputs and final states of one layer in one direction; steps behind a row's length are 0."""
    outputs = np.zeros((*x.shape[:2], UNITS))
    final = [state.copy() for state in start]
    for row, length in enumerate(lengths):
        states = [state[row : row + 1] for state in start]
        for t in range(length)[:: -1 if reverse else 1]:
            states = step(kind, x[row : row + 1, t], states, w, **options)
            outputs[row, t] = states[0][0]
        for whole, state in zip(final, states, strict=True):
            whole[row] = state[0]
    return outputs, final


def state_dict(kind, rng, layers=1, both=False, bias=True, dtype="float64"):
    rows, state = GATES[kind] * UNITS, {}
    for i in range(layers):
        features = UNITS * (1 + both) if i else FEATURES
        for suffix in ("", "_reverse")[: 1 + both]:
            shapes = {"weight_ih": (rows, features), "weight_hh": (rows, UNITS)}
            shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)} if bias else {}
            for name, shape in shapes.items():
                state[f"{name}_l{i}{suffix}"] = rng.normal(0, 0.6, shape).astype(dtype)
    return state


def expected(kind, x, state, lengths, layers, both, **options):
    """What PyTorch's module gives for a packed sequence: outputs, and states layer by layer."""
    zeros = [np.zeros((len(x), UNITS))] * (2 if kind == "lstm" else 1)
    final = []
    for i in range(layers):
        halves = []
        for suffix in ("", "_reverse")[: 1 + both]:
            w = {name.partition("_l")[0]: a for name, a in state.items() if name.partition("_l")[2] == f"{i}{suffix}"}
            outputs, states = run(kind, x, w, zeros, lengths, bool(suffix), **options)
            halves.append(outputs)
            final += states
        x = np.concatenate(halves, axis=-1)
    return x, final


def flat(nested):
    return [nested] if isinstance(nested, np.ndarray) else [one for part in nested for one in flat(part)]


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("bias", [True, False])
def test_X17_a_state_dict_computes_what_its_formulas_say(kind, layers, both, bias, rng):
    state = state_dict(kind, rng, layers, both, bias)
    x, lengths = rng.normal(size=(3, 5, FEATURES)), [5, 2, 4]
    layer = rk.interop.from_torch(state, return_state=True)
    found = layer(x, mask=np.arange(5) < np.array(lengths)[:, None])
    outputs, states = expected(kind, x, state, lengths, layers, both)
    close(flat(found), [outputs, *states])
    last = rk.interop.from_torch(state, return_sequences=False)(x)
    whole, states = expected(kind, x, state, [5] * 3, layers, both)
    ends = [whole[:, -1, :UNITS], whole[:, 0, UNITS:]] if both else [whole[:, -1]]
    close(last, np.concatenate(ends, axis=-1))


@pytest.mark.parametrize("kind", GATES)
def test_the_dtype_is_followed(kind, rng):
    state = state_dict(kind, rng, dtype="float32")
    layer = rk.interop.from_torch(state, name="encoder")
    assert layer.dtype == np.float32 and layer.name == "encoder"
    x = rng.normal(size=(2, 6, FEATURES)).astype("float32")
    close(layer(x), expected(kind, x, state, [6, 6], 1, False)[0].astype("float32"), "float32")


def test_nonlinearity_and_dropout_are_said(rng):
    state = state_dict("rnn", rng, layers=2)
    x = rng.normal(size=(2, 3, FEATURES))
    layer = rk.interop.from_torch(state, nonlinearity="relu", dropout=0.5)
    assert [type(one).__name__ for one in layer.layers] == ["SimpleRNN", "Dropout", "SimpleRNN"]
    close(layer(x), expected("rnn", x, state, [3, 3], 2, False, nonlinearity=lambda z: np.maximum(z, 0))[0])
    assert not np.array_equal(layer(x, training=True), layer(x))


def test_states_of_several_layers_are_inputs(rng):
    state = state_dict("lstm", rng, layers=2, both=True)
    model = rk.interop.from_torch(state, return_state=True, initial_state=True)
    x = rng.normal(size=(2, 6, FEATURES))
    zeros = [np.zeros((2, UNITS))] * 8
    y, *states = model([x, *zeros])
    same_bits([y, *states], rk.interop.from_torch(state, return_state=True)(x))
    assert not np.allclose(model([x, *states])[0], y)


@pytest.mark.parametrize("kind", GATES)
def test_a_cell_is_a_layer_that_can_be_run_step_by_step(kind, rng):
    state = {name.removesuffix("_l0"): array for name, array in state_dict(kind, rng).items()}
    layer = rk.interop.from_torch(state)
    x = rng.normal(size=(2, 4, FEATURES))
    stream = layer.stream(batch=2)
    same_bits(np.stack([stream.step(x[:, t]) for t in range(4)], axis=1), layer(x))


def test_linear_and_embedding(rng):
    weight, bias = rng.normal(size=(5, 3)), rng.normal(size=5)
    dense = rk.interop.from_torch({"weight": weight, "bias": bias})
    x = rng.normal(size=(2, 3))
    close(dense(x), x @ weight.T + bias)
    close(rk.interop.from_torch({"weight": weight}, kind="linear")(x), x @ weight.T)
    table = rk.interop.from_torch({"weight": weight}, kind="embedding", mask_zero=True)
    same_bits(table([[4, 0]]), weight[[[4, 0]]])
    assert table.compute_mask([[4, 0]]).tolist() == [[True, False]]


def test_a_prefix_chooses_the_module(rng):
    whole = {f"encoder.{name}": array for name, array in state_dict("gru", rng).items()}
    whole |= {"head.weight": np.ones((1, UNITS)), "head.bias": np.zeros(1)}
    assert isinstance(rk.interop.from_torch(whole, prefix="encoder."), rk.GRU)
    assert isinstance(rk.interop.from_torch(whole, prefix="head."), rk.Dense)
    with pytest.raises(ValueError, match=r"prefixes are \['encoder.', 'head.'\]"):
        rk.interop.from_torch(whole)
    with pytest.raises(ValueError, match="prefixes are"):
        rk.interop.from_torch(whole, prefix="decoder.")


def without(name):
    return lambda state: state.pop(name)


def put(name, array):
    return lambda state: state.update({name: array})


WRONG = {
    "projections": (put("weight_hr_l0", np.zeros((2, 4))), "proj_size"),
    "unknown": (put("gamma", np.zeros(3)), "gamma"),
    "no recurrent kernel": (without("weight_hh_l0"), "weight_hh"),
    "no kernel": (without("weight_ih_l0"), "layer 0"),
    "one bias": (without("bias_hh_l0"), "layer 0"),
    "shape": (put("bias_hh_l0", np.zeros(3)), "layer 0"),
    "ratio": (put("weight_hh_l0", np.zeros((8, 4))), r"\(8, 4\)"),
    "rank": (put("weight_hh_l0", np.zeros(16)), r"\(16,\)"),
    "a layer left out": (put("weight_ih_l2", np.zeros((16, 4))), "layer 1"),
    "a layer far away": (put("weight_ih_l1000000000", np.zeros((16, 4))), "layer 1"),
    "gates cut": (put("weight_hh_l0", np.zeros((15, 4))), "layer 0"),
    "one direction only": (put("weight_ih_l0_reverse", np.zeros((16, 3))), "layer 0"),
    "half": (lambda state: state.update({k: v.astype("float16") for k, v in state.items()}), "float16"),
    "integers": (lambda state: state.update({k: v.astype(int) for k, v in state.items()}), "int64"),
    "dtypes": (put("bias_hh_l0", np.zeros(16, "float32")), "one dtype"),
    "nothing": (lambda state: state.clear(), "prefix"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_arrays_that_do_not_go_together_are_refused(kind, rng):
    change, words = WRONG[kind]
    state = state_dict("lstm", rng)
    change(state)
    with pytest.raises(ValueError, match=words):
        rk.interop.from_torch(state)


def test_a_wrong_kind_is_refused(rng):
    state = state_dict("lstm", rng)
    for kind in ("gru", "rnn"):
        with pytest.raises(ValueError, match="weight_hh"):
            rk.interop.from_torch(state, kind=kind)
    with pytest.raises(ValueError, match="one of rnn, gru, lstm, linear, embedding"):
        rk.interop.from_torch(state, kind="conv")
    with pytest.raises(ValueError, match="kind='linear' or kind='embedding'"):
        rk.interop.from_torch({"weight": np.zeros((2, 2))})
    with pytest.raises(ValueError, match="embedding"):
        rk.interop.from_torch({"weight": np.zeros((2, 2)), "bias": np.zeros(2)}, kind="embedding")
    with pytest.raises(TypeError, match="state dict"):
        rk.interop.from_torch(rk.LSTM(2))


@pytest.mark.parametrize("kind", GATES)
@pytest.mark.parametrize("bias", [True, False])
def test_arrays_go_there_and_back(kind, bias, rng):
    state = {name.removesuffix("_l0"): array for name, array in state_dict(kind, rng, bias=bias).items()}
    there = from_torch_arrays(kind, state)
    same_bits(from_torch_arrays(kind, to_torch_arrays(kind, there)), there)
    if kind == "gru" or not bias:
        same_bits(list(to_torch_arrays(kind, there).values()), list(state.values()))
