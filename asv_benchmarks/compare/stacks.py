"""Several layers in one: both directions, and three LSTMs one upon the other."""

import functools

import numpy as np
import peers
from benchmarks import sizes
from benchmarks.layers import MAKERS
from section import Section
from timing import THREADS, Figures, Settings, in_turns
from writing import beside_others

ORDER = "ifco"  # of our gates

Parts = list[tuple[np.ndarray, np.ndarray, np.ndarray]]  # kernel, recurrent kernel and bias of each LSTM inside


def torch(x: np.ndarray, units: int, parts: Parts, bidirectional: bool) -> peers.Runners:
    """One layer of the library does either."""
    import torch

    torch.set_num_threads(THREADS)
    layer = torch.nn.LSTM(
        x.shape[2], units, num_layers=1 if bidirectional else len(parts), bidirectional=bidirectional
    ).eval()
    names = ["l0", "l0_reverse"] if bidirectional else [f"l{k}" for k in range(len(parts))]
    arrays = {}
    for name, (kernel, recurrent, bias) in zip(names, parts, strict=True):
        arrays |= {f"weight_ih_{name}": kernel.T, f"weight_hh_{name}": recurrent.T}
        arrays |= {f"bias_ih_{name}": bias, f"bias_hh_{name}": np.zeros_like(bias)}
    layer.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()})
    x = torch.from_numpy(np.ascontiguousarray(x.swapaxes(0, 1)))

    def run():
        with torch.inference_mode():
            return layer(x)[0]

    return {"torch": run}


def onnxruntime(x: np.ndarray, units: int, parts: Parts, bidirectional: bool) -> peers.Runners:
    """One LSTM node for both directions; for a stack a node per layer."""
    batch, time = x.shape[:2]
    groups = [parts] if bidirectional else [[part] for part in parts]  # the LSTMs of each node
    width = len(groups[0]) * units
    nodes, constants, before = [], {"shape": np.array([time, batch, width])}, "X"
    for k, group in enumerate(groups):
        kernels, recurrents, biases = (
            [peers.gates(a, ORDER, "iofc") for a in kind] for kind in zip(*group, strict=True)
        )
        constants |= {
            f"W{k}": np.stack([kernel.T for kernel in kernels]),
            f"R{k}": np.stack([recurrent.T for recurrent in recurrents]),
            f"B{k}": np.stack([np.concatenate([bias, np.zeros_like(bias)]) for bias in biases]),
        }
        options = {"hidden_size": units, "direction": "bidirectional" if bidirectional else "forward"}
        last = "Y" if k == len(groups) - 1 else f"Y{k}"
        nodes += [
            ("LSTM", [before, f"W{k}", f"R{k}", f"B{k}"], [f"split{k}"], options),
            ("Transpose", [f"split{k}"], [f"joined{k}"], {"perm": [0, 2, 1, 3]}),
            ("Reshape", [f"joined{k}", "shape"], [last], {}),
        ]
        before = last
    return {"ONNX Runtime": peers.onnx_runner(nodes, constants, x, (time, batch, width), THREADS)}


def measure(makers: dict[str, str], settings: Settings) -> Figures:
    """Time every way, by label and name, and library at every size; all have to agree."""
    bidirectional = makers["rnnkit"] == "bidirectional"
    figures = {}
    for size in settings.rows(sizes.LAYERS, 2):
        *shape, units = size
        rng = np.random.default_rng(0)
        x = rng.standard_normal(shape, dtype=np.float32)
        layers = {label: MAKERS[name](units) for label, name in makers.items()}
        for layer in layers.values():
            layer.build(x.shape)
        arrays = layers["rnnkit"].get_weights()
        arrays = [a + rng.normal(0, 0.1, a.shape).astype(a.dtype) if a.ndim == 1 else a for a in arrays]
        for layer in layers.values():
            layer.set_weights(arrays)
        parts = [tuple(arrays[k : k + 3]) for k in range(0, len(arrays), 3)]
        expected = layers["rnnkit"](x).swapaxes(0, 1)
        runners = {label: functools.partial(layer, x) for label, layer in layers.items()}
        for layer in layers.values():
            np.testing.assert_array_equal(layer(x).swapaxes(0, 1), expected)
        theirs = peers.available([onnxruntime, torch], settings, x, units, parts, bidirectional)
        for label, run in theirs.items():
            np.testing.assert_allclose(np.asarray(run()), expected, rtol=0, atol=2e-4, err_msg=label)
        figures[sizes.text(size)] = in_turns(runners | theirs, settings.rounds)
    return figures


SECTIONS = {
    "directions": Section(
        "Bidirectional LSTM",
        "`rk.Bidirectional(rk.LSTM(units, return_sequences=True))`.",
        functools.partial(measure, {"rnnkit": "bidirectional"}),
        beside_others(),
    ),
    "stack": Section(
        "Three stacked LSTMs",
        "`rk.Sequential` of three `rk.LSTM`, and `rk.RNN` of a list of three cells. The ratio is for the first of "
        "the two.",
        functools.partial(measure, {"rnnkit": "sequential", "rnnkit, RNN of cells": "cells"}),
        beside_others(),
    ),
}
