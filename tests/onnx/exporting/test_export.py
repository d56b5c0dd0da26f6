"""The file that is written, and the errors for what can't be."""

import os
import pickle
import sys

import numpy as np
import pytest
from cells_under_test import NAMED
from matrix import fresh
from onnx_runs import Exported, near

import rnnkit as rk
from rnnkit.layers.base import Layer
from rnnkit.onnx.exporting import export as exporting
from rnnkit.onnx.exporting.expression import POINTWISE

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def built(layer, shape=(None, None, 5)):
    with rk.eager():
        layer.build(shape)
    return layer


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.onnx"


def refused(layer, path, error=ValueError, **options):
    """The message of an export that fails and leaves nothing behind."""
    with pytest.raises(error) as caught:
        rk.onnx.export(layer, path, **options)
    assert not os.listdir(path.parent)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# The file


def test_the_same_model_gives_the_same_bytes(path):
    model = built(rk.Sequential([rk.Bidirectional(rk.GRU(4, return_sequences=True)), rk.LSTM(3), rk.Dense(1)], seed=1))
    first = Exported(model, mask=True, states=True).bytes
    assert Exported(model, mask=True, states=True).bytes == first
    assert Exported(pickle.loads(pickle.dumps(model)), mask=True, states=True).bytes == first


def test_who_made_it_and_what_it_is():
    model = Exported(built(rk.GRU(4, name="ears", seed=1))).model
    assert (model.producer_name, model.producer_version) == ("rnnkit", rk.__version__)
    assert model.graph.name == "ears" and "GRU" in model.graph.doc_string
    assert model.ir_version <= 10


@pytest.mark.parametrize("opset", [18, 21, onnx.defs.onnx_opset_version()])
def test_versions_of_operators(opset):
    layer = built(rk.RNN(NAMED["layer_norm_lstm"].make(4), seed=1))
    x = np.random.default_rng(0).normal(size=(3, 9, 5)).astype("float32")
    mask = np.arange(9) < [[4], [9], [0]]
    exported = Exported(layer, mask=True, opset=opset)
    assert [one.version for one in exported.model.opset_import] == [opset]
    with rk.eager():
        near(exported(x, mask), layer(x, mask=mask))


def test_a_file_is_replaced_whole_or_not_at_all(path):
    layer = built(rk.GRU(4, seed=1))
    rk.onnx.export(layer, str(path))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="opset"):
        rk.onnx.export(layer, path, opset=3)
    assert path.read_bytes() == before
    rk.onnx.export(layer, path, states=True)
    assert path.read_bytes() != before and os.listdir(path.parent) == ["model.onnx"]


def test_an_export_changes_nothing_of_the_layer(path):
    layer = fresh("gru_after", dtype="float32", stateful=True)
    x = np.ones((2, 3, 5), "float32")
    layer(x)
    states = [state.copy() for state in layer.states]
    rk.onnx.export(layer, path)
    assert all(np.array_equal(a, b) for a, b in zip(states, layer.states, strict=True))


# Errors


def test_a_step_that_is_jitted(path):
    layer = built(rk.RNN(NAMED["folded"].make(4), seed=1))
    message = refused(layer, path)
    assert message.startswith("'folded' can't be exported to ONNX, since the tracer can't read its step: ")
    assert "for row in range(drive.shape[0]):" in message and "line" in message


def test_a_step_that_draws_when_it_does_not_train(path):
    @rk.cell(states={"h": 3}, draws={"noise": rk.Draw((3,), lambda rng, shape: rng.normal(size=shape))})
    def noisy(x, states, weights, draws):
        (h,) = states
        h = 0.5 * h + draws.noise
        return h, h

    message = refused(built(rk.RNN(noisy())), path)
    assert message == (
        "'noisy' can't be exported to ONNX: add reads 'noise', which is drawn at random for each call, in the line "
        "'h = 0.5 * h + draws.noise'"
    )


def test_a_step_that_returns_what_it_draws(path):
    @rk.cell(states={"h": 3}, draws={"noise": rk.Draw((3,), lambda rng, shape: rng.normal(size=shape))})
    def noise_itself(x, states, weights, draws):
        return draws.noise, states[0]

    assert "it returns 'noise', which is drawn at random" in refused(built(rk.RNN(noise_itself())), path)


def test_dropout_is_left_out_but_where_a_model_says_that_it_trains(path):
    layer = built(rk.GRU(4, dropout=0.5, recurrent_dropout=0.2, seed=1))
    x = np.ones((2, 3, 5), "float32")
    with rk.eager():
        near(Exported(layer)(x), layer(x))
        given = rk.Input((None, 5))
        always = rk.Model(given, layer(given, training=True))
        dropped = rk.Model(given, rk.Dropout(0.5)(given, training=True))
    assert "'dropout', which is drawn at random" in refused(always, path)
    assert "is called with training=True" in refused(dropped, path)


def test_an_operation_that_nothing_is_known_for(path, monkeypatch):
    monkeypatch.delitem(POINTWISE, "tanh")
    message = refused(built(rk.RNN(NAMED["leaky"].make(4), seed=1)), path)
    assert message == (
        "'leaky' can't be exported to ONNX: no operator is known for tanh, in the line "
        "'h = (1 - leak) * h + leak * np.tanh(x @ weights.kernel + h @ weights.recurrent_kernel + weights.bias)'"
    )


def test_first_states_that_differ_from_row_to_row(path):
    @rk.cell(states={"h": 2}, initial={"h": lambda rows: np.arange(2.0 * rows).reshape(rows, 2)})
    def numbered(x, states, weights):
        return states[0], states[0]

    layer = built(rk.RNN(numbered(), dtype="float32"))
    assert "export with states=True" in refused(layer, path)
    x, start = np.ones((2, 3, 5), "float32"), np.ones((2, 2), "float32")
    with rk.eager():
        near(Exported(layer, states=True)(x, start)[:1], layer(x, [start]))


@pytest.mark.parametrize("base", [Layer, rk.Dense])
def test_a_layer_of_somebody_elses(base, path):
    """Also one that is made of rnnkit's: what it does is not known."""

    class Doubled(base):
        def __init__(self):
            super().__init__(*[2] * (base is rk.Dense))

        def __call__(self, inputs, mask=None, training=False):
            return 2 * inputs

    model = rk.Sequential([Doubled(), rk.Dense(1)])
    assert "Doubled is not one of rnnkit's layers" in refused(built(model), path)


def test_a_layer_that_has_another_name_only(path):
    class Ears(rk.GRU, cell=rk.GRUCell):
        pass

    assert "GRU" in Exported(built(Ears(4, seed=1))).operators()


@pytest.mark.parametrize(
    "options, told",
    [
        ({"opset": 17}, "expected opset from 18 to"),
        ({"opset": 1000}, "expected opset from 18 to"),
        ({"opset": "18"}, "expected opset from 18 to"),
        ({"mask": ["y"]}, "expected mask as True, False or a list of names among x, got ['y']"),
        ({"mask": "x"}, "expected mask as True, False or a list of names among x, got 'x'"),
        ({"mask": 3}, "expected mask as True, False or a list of names among x, got 3"),
        ({"states": "all"}, "expected states as True, False or None, got 'all'"),
        ({"constants": [(3,)]}, "expected no constants: 'gru' is no layer whose cell takes them"),
    ],
)
def test_options_that_do_not_fit(options, told, path):
    assert refused(built(rk.GRU(4, seed=1)), path, **options).startswith(told)


def test_constants_that_are_not_known(path):
    layer = built(rk.RNN(NAMED["attention"].make(4), seed=1))
    assert refused(layer, path).startswith(
        "expected constants=[…]: the shapes, without the batch axis, of what the cell"
    )
    assert "got 6" in refused(layer, path, constants=6)
    assert "got (6, 'a')" in refused(layer, path, constants=[(6, "a")])


def test_constants_of_open_size_in_a_model(path):
    @rk.cell(states={"h": 3})
    def attending(x, states, weights, constants):
        h = states[0] + x + constants[0].sum(axis=1)
        return h, h

    with rk.eager():
        a, memory = rk.Input((None, 3), name="a"), rk.Input((None, 3), name="memory")
        model = rk.Model([a, memory], rk.RNN(attending(), name="attending")(a, constants=[memory]))
    assert "its constants have axes of open size, (('memory_time', 3),)" in refused(model, path)


def test_masks_of_several_inputs_are_named(path):
    with rk.eager():
        a, b = rk.Input((None, 3), name="a"), rk.Input((None, 3), name="b")
        model = rk.Model([a, b], rk.Concatenate(axis=1)([a, b]))
    assert "names of inputs among a, b" in refused(model, path, mask=True)


def test_an_input_without_time_has_no_mask(path):
    embedding = built(rk.Embedding(4, 2), (None,))
    assert "to be masked" in refused(embedding, path, mask=True)


def test_what_is_no_layer_or_not_built(path):
    refused(rk.GRUCell(3), path, TypeError)
    assert "call build(input_shape) or the layer first" in refused(rk.GRU(3), path)


def test_weights_beyond_what_a_file_holds(path, monkeypatch):
    monkeypatch.setattr(exporting, "MOST_BYTES", 1000)
    assert "a file holds less than 2 GiB" in refused(built(rk.Dense(100), (None, 5)), path)


def test_the_package_is_named_where_it_is_missing(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    message = refused(built(rk.GRU(3)), path, ImportError)
    assert message == "rk.onnx needs onnx; install it with: pip install 'rnnkit[onnx]'"


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        rk.onnx.export(built(rk.GRU(3)), tmp_path / "nowhere" / "model.onnx")
