"""How layers show themselves: repr, HTML, summary, explain."""

import sys

import numpy as np
import pytest
from layers_under_test import LAYERS, public_layers

import rnnkit as rk


@rk.cell(states={"h": "units"}, weights={"kernel": rk.Weight(("features", "units"))})
def plain(x, states, weights, *, leak=0.5):
    h = leak * states[0] + x @ weights.kernel
    return h, h


class Nameless(rk.Cell):
    state_size = 2

    def call(self, inputs, states):
        return states[0], states[0]


@pytest.fixture(autouse=True)
def without_compiling():
    with rk.eager():
        yield


@pytest.mark.parametrize(
    ("layer", "text"),
    [
        (rk.LSTM(8), "LSTM(8)"),
        (rk.GRU(units=8, reset_after=False, stateful=True), "GRU(8, reset_after=False, stateful=True)"),
        (rk.SimpleRNN(3, "relu", dtype="float64"), "SimpleRNN(3, activation='relu')"),
        (rk.LSTM(8, seed=3, name="below"), "LSTM(8, seed=3)"),
        (rk.RNN(plain(4, leak=0.1), return_sequences=True), "RNN(plain(units=4, leak=0.1), return_sequences=True)"),
        (rk.RNN(Nameless()), "RNN(<Nameless cell>)"),
        (rk.RNN([rk.LSTMCell(2), rk.GRUCell(3)]), "RNN(StackedRNNCells([LSTMCell(2), GRUCell(3)]))"),
        (rk.Bidirectional(rk.GRU(2, seed=1)), "Bidirectional(GRU(2))"),
        (rk.Bidirectional(rk.GRU(2), merge_mode=None), "Bidirectional(GRU(2), merge_mode=None)"),
        (
            rk.Bidirectional(rk.GRU(2), backward_layer=rk.LSTM(2, go_backwards=True)),
            "Bidirectional(GRU(2), backward_layer=LSTM(2, go_backwards=True))",
        ),
        (rk.TimeDistributed(rk.Dense(4, "relu")), "TimeDistributed(Dense(4, activation='relu'))"),
        (rk.Embedding(5, 2, mask_zero=True), "Embedding(5, 2, mask_zero=True)"),
        (rk.Masking(-1), "Masking(mask_value=-1.0)"),
        (rk.Sequential([rk.Masking(), rk.Dropout(0.5)]), "Sequential([Masking(), Dropout(0.5)])"),
    ],
    ids=repr,
)
def test_repr_shows_what_differs_from_the_defaults(layer, text):
    assert repr(layer) == text


@pytest.mark.parametrize("name", sorted(LAYERS.keys() - {"ArrayFunction", "Lambda", "Model", "Operation", "RNN"}))
def test_what_repr_shows_makes_the_layer(name):
    text = repr(LAYERS[name].make())
    names = {kind: getattr(rk, kind) for kind in public_layers()} | vars(rk.regularizers)
    assert repr(eval(text, names)) == text


@pytest.mark.parametrize(
    ("layer", "name"),
    [(rk.LSTM(1), "lstm"), (rk.SimpleRNN(1), "simple_rnn"), (rk.TimeDistributed(rk.Dense(1)), "time_distributed")],
)
def test_default_names(layer, name):
    assert layer.name == name


def test_html_names_shapes_parameters_and_every_weight():
    layer = rk.LSTM(4, name="<first>")
    assert "not built" in layer._repr_html_()
    layer.build((None, None, 3))
    html = layer._repr_html_()
    assert "&lt;first&gt;" in html
    assert "<first>" not in html
    assert "(–, –, 3) → (–, 4)" in html
    assert "128" in html
    for name, array in layer.weights.items():
        assert f"<td>{name}</td><td>{array.shape}</td><td>float32</td></tr>" in html


def test_html_shows_several_outputs():
    layer = rk.LSTM(4, return_sequences=True, return_state=True)
    layer.build((None, None, 3))
    assert "→ (–, –, 4), (–, 4), (–, 4)" in layer._repr_html_()


def test_summary_before_and_after_the_build():
    model = rk.Sequential([rk.Embedding(10, 4), rk.LSTM(4), rk.Dense(1)], name="little")
    assert "not built" in model.summary()
    model.build((None, None))
    assert str(model.summary()).splitlines() == [
        "Sequential 'little'",
        "   layer             output shape  parameters",
        "─────────────────────────────────────────────",
        "0  Embedding(10, 4)  (–, –, 4)             40",
        "1  LSTM(4)           (–, 4)               144",
        "2  Dense(1)          (–, 1)                 5",
        "   all                                    189",
    ]
    assert repr(model.summary()) == str(model.summary())  # a session shows lines, not quotes


@pytest.mark.parametrize("make", [lambda model: model, lambda model: model.ensemble(2)])
def test_a_summary_is_printed_once_wherever_it_stands(make, capsys, monkeypatch):
    """A script shows no values of its own; a session does, by the hook that it has for them."""
    model = make(rk.Sequential([rk.LSTM(4), rk.Dense(1)]))
    summary = model.summary()
    assert capsys.readouterr().out == f"{summary}\n"
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    sys.displayhook(model.summary())
    assert capsys.readouterr().out == f"{summary}\n"


def test_explain_says_what_is_not_known_yet():
    layer = rk.LSTM(4)
    assert "not built" in layer.explain()
    layer(np.zeros((1, 2, 3)))  # eager: nothing was compiled
    assert "first call" in layer.explain()


def test_explain_of_a_whole_names_its_parts():
    model = rk.Sequential([rk.Masking(), rk.Bidirectional(rk.LSTM(2))])
    assert [line.split(": ")[:2] for line in model.explain().splitlines() if line] == [
        ["0", "masking"],
        ["1", "forward"],
        ["backward", "lstm"],
    ]


def test_weights_show_names_dtypes_and_shapes():
    layer = rk.SimpleRNN(2)
    assert repr(layer.weights) == "{}"
    layer.build((None, None, 3))
    assert repr(layer.weights).startswith("{'kernel': float32 (3, 2), 'recurrent_kernel': float32 (2, 2)")
