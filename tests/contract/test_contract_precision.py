"""Row P1 of docs/contract.md: all layers, built or not, refuse what is neither float32 nor float64, everywhere."""

import numpy as np
import pytest
from layers_under_test import LAYERS
from matrix import flat, same_bits
from refusals import refused

import rnnkit as rk
from rnnkit.layers.stream import Stream
from rnnkit.layers.support.layer_tree import all_layers

OTHERS = [
    pytest.param(name, marks=pytest.mark.skipif(np.dtype(name) == np.float64, reason="longdouble is float64 here"))
    for name in ("float16", "longdouble")
]
each_precision = pytest.mark.parametrize("precision", OTHERS)
each_layer = pytest.mark.parametrize("name", LAYERS)


def cast(x, precision):
    return [one.astype(precision) for one in x] if isinstance(x, list) else x.astype(precision)


@each_layer
@each_precision
def test_P1_other_precisions_are_refused_by_layers_built_or_not(name, precision):
    case = LAYERS[name]
    layer, x = case.make(), case.inputs()
    given = case.given(cast(x, precision))
    refused(lambda: case.make()(*given), "got float", "astype", kinds=TypeError)
    before = flat(layer(*case.given(x)))
    for call in (layer, *(getattr(layer, name) for name in ("vjp", "trajectory") if hasattr(layer, name))):
        refused(lambda call=call: call(*given), "got float", "astype", kinds=TypeError)
    same_bits(flat(layer(*case.given(x))), before)


@each_layer
def test_P1_other_precisions_are_refused_in_training(name):
    case = LAYERS[name]
    x = case.inputs(4)
    symbols = [rk.Input(one.shape[1:], dtype=one.dtype) for one in (x if isinstance(x, list) else [x])]
    model = rk.Model(symbols, case.make()(*case.given(symbols if isinstance(x, list) else symbols[0])))
    model.compile("sgd", "mse")
    y, wrong, before = [np.zeros_like(one) for one in flat(model(x))], cast(x, "float16"), model.get_weights()
    for call in (model.fit, model.evaluate, model.train_on_batch, model.test_on_batch):
        refused(lambda call=call: call(wrong, y), "float16", "astype", kinds=TypeError)
    refused(lambda: model.predict(wrong), "float16", "astype", kinds=TypeError)
    same_bits(model.get_weights(), before)


@each_layer
def test_P1_other_precisions_are_refused_by_streams(name):
    case = LAYERS[name]
    layer = case.make()
    x = case.inputs()
    layer(*case.given(x))
    if isinstance(x, list) or x.ndim < 3 or any(one._stream_refusal for one in all_layers(layer)):
        return
    if getattr(layer, "device", "cpu") != "cpu":
        return
    stream = layer.stream(len(x)) if hasattr(type(layer), "stream") else Stream(layer, len(x))
    refused(lambda: stream.step(x[:, 0].astype("float16")), "float16", "astype", kinds=TypeError)


@rk.cell(states={"h": 3})
def reading(x, states, weights, constants):
    h = 0.5 * states[0] + x * constants[0]
    return h, h


@each_precision
def test_P1_other_precisions_are_refused_as_states_and_constants(precision):
    layer, x, rows = rk.RNN(reading(), stateful=True), np.ones((2, 5, 3)), np.ones((2, 3))
    layer(x, constants=[rows])
    kept = layer.states
    for more in (
        {"initial_state": [rows.astype(precision)], "constants": [rows]},
        {"constants": [rows.astype(precision)]},
    ):
        for call in (layer, layer.vjp, layer.trajectory):
            refused(lambda call=call, more=more: call(x, **more), "got float", "astype", kinds=TypeError)
    refused(lambda: layer.reset_states([rows.astype(precision)]), "got float", "astype", kinds=TypeError)
    if layer.device == "cpu":
        refused(lambda: layer.stream(2, constants=[rows.astype(precision)]), "got float", "astype", kinds=TypeError)
    same_bits(layer.states, kept)


def test_P1_masks_may_be_of_any_precision():
    layer, x, mask = rk.GRU(3, return_sequences=True), np.ones((2, 5, 3)), np.array([[1, 0, 1, 1, 0]] * 2)
    for precision in ("float16", "longdouble", "bool"):
        same_bits([layer(x, mask=mask.astype(precision))], [layer(x, mask=mask)])
