"""PyTorch's modules and rnnkit's layers give the same, packed sequences and states included."""

import io
import pickle
import sys

import numpy as np
import pytest
from matrix import close, flat, label, pairwise, same_bits

import rnnkit as rk

torch = pytest.importorskip("torch")

FACTORS = {
    "kind": ("RNN", "GRU", "LSTM"),
    "layers": (1, 2, 3),
    "both": (False, True),
    "bias": (True, False),
    "dropout": (0.0, 0.5),
    "dtype": ("float64", "float32"),
    "packed": (True, False),
    "start": (True, False),
    "nonlinearity": ("tanh", "relu"),
    "batch_first": (True, False),
}
ROWS = pairwise(FACTORS)
LENGTHS = [6, 2, 4]


def module_of(row):
    options = {"nonlinearity": row["nonlinearity"]} if row["kind"] == "RNN" else {}
    return getattr(torch.nn, row["kind"])(
        4,
        5,
        row["layers"],
        bias=row["bias"],
        bidirectional=row["both"],
        dropout=row["dropout"] if row["layers"] > 1 else 0.0,
        batch_first=row["batch_first"],
        dtype=getattr(torch, row["dtype"]),
        **options,
    ).eval()


def run(module, row, x, start):
    """Outputs, batch first, and states as rnnkit orders them: each layer's, and each direction's."""
    x, first = torch.from_numpy(x), row["batch_first"]
    given = x if first else x.transpose(0, 1)
    if row["packed"]:
        lengths = torch.tensor(LENGTHS)
        given = torch.nn.utils.rnn.pack_padded_sequence(given, lengths, batch_first=first, enforce_sorted=False)
    with torch.no_grad():
        outputs, states = module(given, start)
    if row["packed"]:
        outputs, _ = torch.nn.utils.rnn.pad_packed_sequence(outputs, batch_first=first)
    outputs = outputs if first else outputs.transpose(0, 1)
    states = states if isinstance(states, tuple) else (states,)
    return [outputs.numpy(), *(state[i].numpy() for i in range(len(states[0])) for state in states)]


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_X17_a_module_gives_what_torch_gives_and_goes_back(row):
    torch.manual_seed(0)
    rng, module = np.random.default_rng(1), module_of(row)
    x = rng.normal(size=(3, 6, 4)).astype(row["dtype"])
    count, parts = row["layers"] * (1 + row["both"]), 2 if row["kind"] == "LSTM" else 1
    start = rng.normal(size=(parts, count, 3, 5)).astype(row["dtype"])
    as_model = row["layers"] > 1 and (row["both"] or row["dropout"])
    layer = rk.interop.from_torch(module, return_state=True, initial_state=bool(row["start"] and as_model))
    mask = np.arange(6) < np.array(LENGTHS)[:, None] if row["packed"] else None
    states = [start[j, i] for i in range(count) for j in range(parts)]
    if not row["start"]:
        found = layer(x, mask=mask)
    elif as_model:
        found = layer([x, *states], mask=[mask, *[None] * len(states)])
    elif row["layers"] > 1:
        nested = [states[i * parts : (i + 1) * parts] for i in range(count)]
        found = layer(x, initial_state=nested if parts == 2 else states, mask=mask)
    else:
        found = layer(x, initial_state=states, mask=mask)
    given = [torch.from_numpy(one) for one in start]
    given = None if not row["start"] else tuple(given) if parts == 2 else given[0]
    expected = run(module, row, x, given)
    assert flat(found)[0].dtype == row["dtype"]
    close(flat(list(found)), expected, row["dtype"])

    plain = rk.interop.from_torch(module)
    back = rk.interop.to_torch(plain)
    assert type(back) is type(module) and back.num_layers == module.num_layers and back.dropout == module.dropout
    close(run(back.eval(), {**row, "batch_first": True}, x, given), expected, row["dtype"])
    again = rk.interop.from_torch(back)
    assert again.get_config() == plain.get_config()
    same_bits(again.get_weights(), plain.get_weights())


@pytest.mark.parametrize("kind", ["RNNCell", "GRUCell", "LSTMCell"])
def test_cells(kind, rng):
    cell = getattr(torch.nn, kind)(3, 4, dtype=torch.float64)
    x = rng.normal(size=(2, 5, 3))
    states, outputs = None, []
    with torch.no_grad():
        for t in range(5):
            states = cell(torch.from_numpy(x[:, t]), states)
            outputs.append(states[0] if kind == "LSTMCell" else states)
    close([rk.interop.from_torch(cell)(x)], [torch.stack(outputs, dim=1).numpy()])


def memoryless():
    nn = torch.nn
    yield nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Linear(20, 2, bias=False))
    for name in "Tanh Sigmoid ReLU ReLU6 SELU GELU SiLU Mish Hardsigmoid Hardswish Softsign LogSigmoid".split():
        yield nn.Sequential(nn.Linear(3, 4), getattr(nn, name)())
    yield nn.Sequential(nn.Linear(3, 4), nn.ELU(), nn.LeakyReLU(0.2), nn.Softplus(threshold=40), nn.Identity())
    yield nn.Sequential(nn.Linear(3, 4), nn.Softmax(-1), nn.Linear(4, 4), nn.LogSoftmax(dim=-1))


@pytest.mark.parametrize("module", list(memoryless()), ids=str)
def test_sequences_of_modules_go_there_and_back(module, rng):
    module, x = module.double().eval(), rng.normal(size=(4, 5, 3))
    model = rk.interop.from_torch(module)
    with torch.no_grad():
        close([model(x)], [module(torch.from_numpy(x)).numpy()])
        close([model(x)], [rk.interop.to_torch(model).eval()(torch.from_numpy(x)).numpy()])


def test_an_encoder_goes_out_as_a_sequence(rng):
    model = rk.Sequential(
        [
            rk.Embedding(9, 3),
            rk.Bidirectional(rk.GRU(4, return_sequences=True), merge_mode="sum"),
            rk.RNN([rk.LSTMCell(3), rk.LSTMCell(3)], return_sequences=True),
            rk.TimeDistributed(rk.Dense(4, activation="softplus")),
            rk.Bidirectional(rk.SimpleRNN(2, activation="relu")),
            rk.Dense(2, activation="softmax"),
        ],
        dtype="float64",
        seed=0,
    )
    ids = rng.integers(0, 9, (2, 5))
    expected = model(ids)
    model.layers[2].trainable = False
    module = rk.interop.to_torch(model)
    assert {name.split(".")[0] for name, one in module.named_parameters() if not one.requires_grad} == {"2"}
    with torch.no_grad():
        close([module(torch.from_numpy(ids)).numpy()], [expected])
        again = pickle.loads(pickle.dumps(module))
        same_bits(again(torch.from_numpy(ids)).numpy(), module(torch.from_numpy(ids)).numpy())
        content = io.BytesIO()
        torch.save(module.state_dict(), content)


@pytest.mark.parametrize("merge_mode", ["concat", "sum", "mul", "ave"])
@pytest.mark.parametrize("sequences", [True, False])
def test_lengths_take_the_place_of_masks(merge_mode, sequences, rng):
    layer = rk.Bidirectional(rk.LSTM(3, return_sequences=sequences), merge_mode=merge_mode, seed=0, dtype="float64")
    x = rng.normal(size=(3, 6, 2))
    expected = layer(x, mask=np.arange(6) < np.array(LENGTHS)[:, None])
    model = rk.Sequential([layer, rk.Activation("linear", dtype="float64")])
    model(x)
    module = rk.interop.to_torch(model)[0]
    with torch.no_grad():
        close([module(torch.from_numpy(x), torch.tensor(LENGTHS)).numpy()], [expected])


def test_an_embedding_says_what_becomes_of_its_padding(rng):
    module = torch.nn.Embedding(5, 2, padding_idx=0)
    with pytest.raises(ValueError, match="mask_zero"):
        rk.interop.from_torch(module)
    table = rk.interop.from_torch(module, mask_zero=True)
    assert table.mask_zero and not rk.interop.from_torch(module, mask_zero=False).mask_zero
    same_bits(table([[1, 2]]), module.weight.detach().numpy()[[[1, 2]]])
    with pytest.raises(ValueError, match="padding_idx=0"):
        rk.interop.from_torch(torch.nn.Embedding(5, 2, padding_idx=3), mask_zero=True)
    with pytest.raises(ValueError, match="pack sequences"):
        rk.interop.to_torch(table)


def test_frozen_modules_stay_frozen():
    module = torch.nn.GRU(2, 3).requires_grad_(False)
    layer = rk.interop.from_torch(module)
    assert not layer.trainable
    assert not any(one.requires_grad for one in rk.interop.to_torch(layer).parameters())
    module.weight_hh_l0.requires_grad_(True)
    with pytest.raises(ValueError, match="or none"):
        rk.interop.from_torch(module)


def test_what_rnnkit_has_not_is_named():
    nn = torch.nn
    for module, words in (
        (nn.LSTM(2, 3, proj_size=2), "proj_size=2"),
        (nn.Conv1d(2, 3, 1), "Conv1d"),
        (nn.Embedding(3, 2, max_norm=1.0), "max_norm"),
        (nn.GELU(approximate="tanh"), "approximate"),
        (nn.Softmax(dim=1), "dim"),
        (nn.Flatten(0), "Flatten"),
        (nn.Sequential(nn.LSTM(2, 3), nn.Linear(3, 1)), "at the end"),
        (nn.LSTM(2, 3).half(), "float16"),
        (nn.LSTM(2, 3, dtype=torch.bfloat16), "bfloat16"),
    ):
        with pytest.raises(ValueError, match=words):
            rk.interop.from_torch(module)
    with pytest.raises(ValueError, match="state dict only"):
        rk.interop.from_torch(nn.LSTM(2, 3), kind="lstm")


def built(layer):
    layer.build((None, None, 3))
    return layer


def test_what_torch_has_not_is_named():
    running = rk.cell(states={"h": "units"})(lambda x, states, weights: (states[0], states[0]))
    for layer, words in (
        (rk.GRU(2, reset_after=False), "reset_after"),
        (rk.LSTM(2, activation="relu"), "activation='relu'"),
        (rk.LSTM(2, recurrent_activation="hard_sigmoid"), "recurrent_activation"),
        (rk.SimpleRNN(2, activation="selu"), "selu"),
        (rk.LSTM(2, dropout=0.5), "dropout inside"),
        (rk.LSTM(2, go_backwards=True), "flip"),
        (rk.LSTM(2, stateful=True), "stateful"),
        (rk.RNN(running(units=2)), r"rk\.export_c"),
        (rk.RNN([rk.LSTMCell(2), rk.GRUCell(2)]), "differ"),
        (rk.Bidirectional(rk.RNN([rk.GRUCell(2), rk.GRUCell(2)])), "stack"),
        (rk.Bidirectional(rk.LSTM(2), merge_mode=None), "merge_mode=None"),
        (rk.Masking(), "Masking"),
        (rk.Dense(2, activation="exponential"), "exponential"),
    ):
        with pytest.raises(ValueError, match=words):
            rk.interop.to_torch(built(layer))
    x = rk.Input((None, 3))
    for layer, words in ((rk.LSTM(2), "built"), (rk.Model(x, rk.LSTM(2)(x)), r"rk\.onnx\.export")):
        with pytest.raises(ValueError, match=words):
            rk.interop.to_torch(layer)
    with pytest.raises(TypeError, match="layer or a model of rnnkit"):
        rk.interop.to_torch(torch.nn.LSTM(2, 3))


def test_without_torch_one_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError, match="pip install torch"):
        rk.interop.to_torch(built(rk.LSTM(2)))
