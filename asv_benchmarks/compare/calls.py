"""Forward passes and gradients by cell and size beside other libraries, and what calls cost that differ in some way."""

import functools
import itertools
import math

import numpy as np
import peers
from benchmarks import sizes
from benchmarks.call import Calls, ways
from benchmarks.cells import TypedLSTMCell, typed_lstm
from benchmarks.forward import padding
from benchmarks.layers import MAKERS
from benchmarks.recurrences import BY_NAME, CORPUS, SIZES, data_of, layer_of
from benchmarks.reservoir import DENSITY, LEAK, reservoir
from measuring import Figures, Settings, available, timed
from writing import Pair, beside_others, both, mean, of, ratios, table, with_ratios

import rnnkit as rk


def beside(name: str, cell: str, wanted: list[sizes.Size], write=None, gradient=False, **told) -> None:
    """Set a cell beside other libraries at every size."""
    of_size = lambda size, settings: peers.runners(peers.make(cell, size), settings, gradient)
    timed(name, write or beside_others(), wanted, **told)(of_size)


with_picture = lambda found: ["![Time of an LSTM against its units](performance.png)", "", *beside_others()(found)]
beside("picture", "LSTM", sizes.UNITS, with_picture, steps=sizes.UNITS[0][1], features=sizes.UNITS[0][2])
beside("normalized", "normalized LSTM", sizes.NORMALIZED)
for _cell in ("LSTM", "GRU", "SimpleRNN", "gated"):
    beside(_cell, _cell, sizes.CELLS)
    beside(f"gradients-{_cell}", _cell, sizes.CELLS, gradient=True)

# A user's LSTM: how it is made, the order of its gates
TYPED = {"as a function": (lambda units: typed_lstm(units=units), "oifc"), "as a class": (TypedLSTMCell, "cfio")}
TO_BUILT_IN = {name: ratio for label in TYPED for name, ratio in of(label, "rk.LSTM").items()}


@timed("typed", with_ratios("size", 1e3, TO_BUILT_IN), sizes.CELLS)
def typed(size, settings) -> dict:
    """Return the three, each with the same weights: no cell is privileged."""
    problem = peers.make("LSTM", size)
    runners = {"rk.LSTM": functools.partial(problem.layer, problem.x)}
    for label, (make, order) in TYPED.items():
        layer = rk.RNN(make(size[3]), return_sequences=True)
        layer.build(problem.x.shape)
        for name, array in zip(("inward", "back", "shift"), problem.weights, strict=True):
            layer.weights[name] = peers.gates(array, "ifco", order)
        runners[label] = functools.partial(layer, problem.x)
        np.testing.assert_allclose(runners[label](), problem.layer(problem.x), rtol=0, atol=1e-5)
    return runners


OVERHEAD = {"size": sizes.text(sizes.CALL), "step": sizes.text(sizes.STEP)}


@timed("overhead", beside_others("call", 1e6), Calls.params, str, 99, **OVERHEAD)
def overhead(way, settings) -> dict:
    """Return the plain call and a step beside other libraries, and ours with what a call may be given."""
    size = {"layer(x)": sizes.CALL, "stream.step": sizes.STEP}.get(way)
    runners = peers.runners(peers.make("LSTM", size), settings) if size else {}
    runners.pop("jax, hoisted", None)
    return runners | {"rnnkit": ways()[way]}


LIKE = {"rtol": 2e-3, "atol": 2e-3}  # float32, over thousands of steps
NUMBERS = 64_000  # rows and steps of the inputs that take turns: a processor learns decisions that come again


def beside_the_other(figures: Figures) -> list[str]:
    """Return a line a recurrence: for each size rnnkit's microseconds, and the ratio of the other's time to it."""
    wanted = [size for size in map(sizes.text, SIZES) if any(f"{size} rnnkit" in row for row in figures.values())]
    lines: list[list] = [[name] for name in figures]
    means = []
    for size in wanted:
        own, pairs = f"{size} rnnkit", []
        for line, row in zip(lines, figures.values(), strict=True):
            others = [times for label, times in row.items() if label.startswith(size) and label != own]
            pairs += [ratios(others, row[own])] if others else []
            line += [both(row[own], 1e6), Pair(pairs[-1], ".2f") if others else ""]
        means += [f"{mean(pairs)} at {size}"] if pairs else []
    header = ["recurrence", *(word for size in wanted for word in (f"{size}: µs", "ratio"))]
    return [*table(header, lines), "", f"Geometric means of the ratios: {', '.join(means)}."]


def loops(other, run, recurrence, settings) -> dict:
    """Return what runs a recurrence at each size, and what runs another's: ``other(recurrence, x, constants)``."""
    layer, runners = layer_of(recurrence), {}
    for size in SIZES[:2] if settings.quick else SIZES:
        inputs = [data_of(recurrence, size, seed) for seed in range(max(1, NUMBERS // math.prod(size)))]
        each = [
            {"rnnkit": run(layer, x, more)} | available([other], settings, recurrence, x, more.get("constants", []))
            for x, more in inputs
        ]
        for label in each[0]:
            calls = itertools.cycle([found[label] for found in each])
            runners[f"{sizes.text(size)} {label}"] = lambda calls=calls: next(calls)()
        outputs = [first_of(call()).reshape(-1) for call in each[0].values()]
        same = np.isclose(outputs[0], outputs[-1], equal_nan=True, **LIKE).mean()
        if same < 1:  # what decides by rounded values may decide otherwise
            settings.note(f"{recurrence.name} at {size}: {same:.2%} of the outputs agree within {LIKE['rtol']}.")
    return runners


def first_of(result) -> np.ndarray:
    """Return the outputs alone of what gives them with their gradients."""
    return np.asarray(result[0] if isinstance(result, tuple) else result)


def numba_loop(recurrence, x, constants) -> dict:
    return {"numba": functools.partial(recurrence.by_hand, x, *constants)}


@functools.cache
def jax_vjp(name):
    import jax

    @jax.jit
    def both(arrays):
        y, pull = jax.vjp(BY_NAME[name].in_jax, arrays)
        return y, pull(jax.numpy.ones_like(y))

    return lambda arrays: jax.block_until_ready(both(arrays))


def jax_gradient(recurrence, x, constants) -> dict:
    return {"jax": functools.partial(jax_vjp(recurrence.name), [x, *recurrence.start(x.dtype), *constants])}


def gradient(layer, x, more):
    """Return what gives outputs and gradients of a layer."""
    ones = np.ones_like(layer(x, **more))

    def run():
        y, pull = layer.vjp(x, **more)
        return y, pull(ones)

    return run


IN_JAX, of_name = [one for one in CORPUS if one.jax_step and one.differentiable], lambda one: one.name
call = lambda layer, x, more: functools.partial(layer, x, **more)
timed("by-hand", beside_the_other, CORPUS, of_name, 3, threads=1)(functools.partial(loops, numba_loop, call))
timed("by-hand-gradients", beside_the_other, IN_JAX, of_name, 3, threads=1)(
    functools.partial(loops, jax_gradient, gradient)
)


def torch_stack(x: np.ndarray, units: int, parts: list[peers.Weights], both: bool) -> dict:
    import torch

    layer = peers.torch_layer("LSTM", (x.shape[2], units), parts, both)
    return {"torch": peers.torch_outputs(layer, torch.from_numpy(peers.time_first(x)))}


def onnx_stack(x: np.ndarray, units: int, parts: list[peers.Weights], both: bool) -> dict:
    """Return one LSTM node for both directions; for a stack a node per layer."""
    return {"ONNX Runtime": peers.onnx_runner("LSTM", x, units, [parts] if both else [[part] for part in parts])}


def stacks(makers: dict[str, str], size, settings: Settings) -> dict:
    """Return every way, by label and name, and other libraries; all have to agree."""
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
    theirs = available([onnx_stack, torch_stack], settings, x, units, parts, "bidirectional" in makers.values())
    expected = layers["rnnkit"](x)
    for label, layer in layers.items():
        np.testing.assert_allclose(layer(x), expected, rtol=0, atol=2e-4, err_msg=label)
    for label, run in theirs.items():
        np.testing.assert_allclose(np.asarray(run()), expected.swapaxes(0, 1), rtol=0, atol=2e-4, err_msg=label)
    return {label: functools.partial(layer, x) for label, layer in layers.items()} | theirs


THREE = {"rnnkit": "sequential", "rnnkit, RNN of cells": "cells"}
timed("directions", beside_others(), sizes.LAYERS, few=2)(functools.partial(stacks, {"rnnkit": "bidirectional"}))
timed("stack", beside_others(), sizes.LAYERS, few=2)(functools.partial(stacks, THREE))


def torch_packed(problem: peers.Problem, lengths: np.ndarray) -> dict:
    """Return the library's packed sequences, packed beforehand."""
    import torch
    from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

    layer = peers.torch_layer("LSTM", problem.size[2:], [problem.weights])
    x = pack_padded_sequence(torch.from_numpy(problem.x), torch.from_numpy(lengths), True, enforce_sorted=False)
    packed = peers.torch_outputs(layer, x)
    return {"torch, packed": lambda: pad_packed_sequence(packed())[0]}


PADDING, MASK = with_ratios("padding", 1e3, of("dense", "masked")), padding(*sizes.PADDED[:2])
SIDES = {f"{side}, {MASK.mean():.0%} used": side for side in ("right", "left")}


@timed("masks", PADDING, SIDES, str, 1, size=sizes.text(sizes.PADDED), steps=sizes.PADDED[1])
def masks(row, settings) -> dict:
    """Return an LSTM over a padded batch: with every step used, and with the padding masked."""
    problem, right = peers.make("LSTM", sizes.PADDED), SIDES[row] == "right"
    call = functools.partial(problem.layer, problem.x)
    runners = {"dense": call, "masked": functools.partial(call, mask=MASK if right else MASK[:, ::-1].copy())}
    return runners | available([torch_packed] * right, settings, problem, MASK.sum(axis=1))


RESERVOIR_ROUNDS = 3  # one call of the largest takes seconds


def reservoirpy(layer: rk.RNN, x: np.ndarray) -> dict:
    """Return its reservoir with our weights, the recurrent ones as the sparse matrix that it makes itself."""
    from reservoirpy.nodes import Reservoir
    from scipy.sparse import csr_array

    w_in, w, bias = (layer.weights[name] for name in peers.WEIGHTS)
    node = Reservoir(lr=LEAK, Win=w_in.T.copy(), W=csr_array(w.T), bias=bias, dtype=np.float32)
    node.initialize(x[0])

    def run():
        node.state = {"out": np.zeros(node.units, np.float32)}  # its own zeros are float64, and all that follows too
        return node.run(x[0])

    return {"reservoirpy": run}


RESERVOIR = {"steps": sizes.RESERVOIR_STEPS, "density": DENSITY, "rounds": RESERVOIR_ROUNDS}


@timed("reservoir", beside_others("units"), sizes.RESERVOIR_UNITS, str, 2, RESERVOIR_ROUNDS, **RESERVOIR)
def reservoirs(units, settings) -> dict:
    steps = 200 if settings.quick else sizes.RESERVOIR_STEPS
    x, layer = np.random.default_rng(0).standard_normal((1, steps, 1), dtype=np.float32), reservoir(units)
    expected = layer(x)[0]
    theirs = available([reservoirpy], settings, layer, x)
    for run in theirs.values():
        np.testing.assert_allclose(run(), expected, rtol=0, atol=2e-3)
    return {"rnnkit": functools.partial(layer, x)} | theirs
