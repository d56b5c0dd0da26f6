"""What is compared: cells as rnnkit's layers, and the same passes in other libraries.

A library's function takes a `Problem`, and for gradients the cotangents (B, T, U). It gives label → `Peer`, nothing for
a cell that it hasn't, and ImportError if it is not installed. All arrays are laid out beforehand as it likes them best.
"""

import functools
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from benchmarks.cells import gated, normalised_lstm, sequences
from measuring import THREADS, Settings, available

import rnnkit as rk

CELLS = {
    **{name: getattr(rk, f"{name}Cell") for name in ("LSTM", "GRU", "SimpleRNN")},
    "gated": lambda units: gated(units=units),
    "normalized LSTM": lambda units: normalised_lstm(units=units),
}
# The operator, the order of our gates, and of its own.
ONNX = {"LSTM": ("LSTM", "ifco", "iofc"), "GRU": ("GRU", "zrh", "zrh"), "SimpleRNN": ("RNN", "h", "h")}
TORCH = {"LSTM": ("LSTM", "ifco", "ifco"), "GRU": ("GRU", "zrh", "rzh"), "SimpleRNN": ("RNN", "h", "h")}
WEIGHTS = ("kernel", "recurrent_kernel", "bias")
APART, FAR = 1e-3, 2e-4  # of the norm of a gradient, and in outputs alone

Weights = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass
class Problem:
    cell: str
    size: tuple[int, int, int, int]
    layer: rk.RNN
    x: np.ndarray  # (B, T, F)
    weights: Weights
    scale: np.ndarray | float = 1.0  # of normalized sums


def make(cell: str, size: tuple[int, int, int, int], dtype: str = "float32") -> Problem:
    """Build the layer, with weights that are not zero anywhere, and draw its input."""
    *shape, units = size
    rng = np.random.default_rng(0)
    x = rng.standard_normal(shape, dtype=dtype)
    layer = rk.RNN(CELLS[cell](units), return_sequences=True, dtype=dtype, seed=0)
    layer.build(x.shape)
    for name, array in layer.weights.items():
        if array.ndim == 1:
            layer.weights[name] = array + rng.normal(0, 0.1, array.shape)
    weights = dict(layer.weights)
    return Problem(cell, size, layer, x, tuple(weights.pop(name) for name in WEIGHTS), **weights)


def cotangents(problem: Problem) -> np.ndarray:
    """Return what the outputs are multiplied by before they are summed to a loss, (B, T, U)."""
    batch, time, _, units = problem.size
    return sequences(batch, time, units)


@dataclass(frozen=True)
class Peer:
    """One way to all outputs, and with cotangents to the gradients of all weights."""

    run: Callable[[], object]  # gives the library's own arrays
    read: Callable[[object], dict[str, np.ndarray]]  # those as the outputs "y" (T, B, U) and our weights


def read(found) -> dict[str, np.ndarray]:
    """Return the outputs, or outputs and gradients, by their names."""
    y, gradients = found if isinstance(found, tuple) else (found, ())
    return dict(zip(("y", *WEIGHTS), map(np.asarray, (y, *gradients)), strict=False))


def ours(problem: Problem, g: np.ndarray | None = None) -> Peer:
    """Return the layer's outputs, or outputs and gradients, with which that of x comes along."""
    layer, x = problem.layer, problem.x
    if g is None:
        return Peer(lambda: layer(x), lambda y: {"y": y.swapaxes(0, 1)})

    def run():
        outputs, pullback = layer.vjp(x)
        return outputs, pullback(g)

    return Peer(run, lambda found: {"y": found[0].swapaxes(0, 1)} | found[1].weights)


def runners(problem: Problem, settings: Settings, gradient: bool = False, makers: list | None = None) -> dict:
    """Return every library's call, rnnkit's first, after its results were compared with rnnkit's."""
    g = cotangents(problem) if gradient else None
    own = ours(problem, g)
    theirs = available(makers or (GRADIENT if gradient else FORWARD), settings, problem, g)
    expected = own.read(own.run())
    for label, peer in theirs.items():
        found = peer.read(peer.run())
        for name, array in expected.items():
            told = f"{label} {problem.cell} {problem.size}: {name}"
            assert found[name].shape == array.shape, told
            far = found[name] - array
            far = np.linalg.norm(far) / np.linalg.norm(array) / APART if gradient else np.abs(far).max() / FAR
            assert far < 1, f"{told} differs by {far:.1e} of what may be"
    return {"rnnkit": own.run} | {label: peer.run for label, peer in theirs.items()}


def time_first(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array.swapaxes(0, 1))


def gates(array: np.ndarray, order: str, wanted: str) -> np.ndarray:
    """Reorder the gates, one letter each, that stand side by side along the last axis."""
    parts = dict(zip(order, np.split(array, len(order), axis=-1), strict=True))
    return np.ascontiguousarray(np.concatenate([parts[letter] for letter in wanted], axis=-1))


def gates_first(weights: Weights, order: str, wanted: str) -> list[np.ndarray]:
    """Return both kernels, transposed, and both biases, that of the input and that of the state."""
    kernel, recurrent, bias = (gates(array, order, wanted) for array in weights)
    biases = bias if bias.ndim == 2 else (bias, np.zeros_like(bias))
    return [np.ascontiguousarray(array) for array in (kernel.T, recurrent.T, *biases)]


def onnxruntime(problem: Problem, g=None) -> dict[str, Peer]:
    if problem.cell not in ONNX:
        return {}
    run = onnx_runner(problem.cell, problem.x, problem.size[3], [[problem.weights]])
    return {"ONNX Runtime": Peer(lambda: run()[:, 0], read)}


def onnx_runner(cell: str, x: np.ndarray, units: int, groups: list[list[Weights]]) -> Callable:
    """Return what gives a node's outputs for each group, (T, directions, B, U), of several (T, B, directions * U)."""
    import onnxruntime
    from onnx import checker, numpy_helper, parser

    operator, order, wanted = ONNX[cell]
    directions, single = len(groups[0]), len(groups) == len(groups[0]) == 1
    options = f'hidden_size = {units}, direction = "{"bidirectional" if directions > 1 else "forward"}"'
    options += ", linear_before_reset = 1" if operator == "GRU" else ""
    x = time_first(x)
    (time, batch), before, nodes = x.shape[:2], "X", []
    shape = [time, directions, batch, units] if single else [time, batch, directions * units]
    constants = {} if single else {"shape": np.array(shape)}
    for k, group in enumerate(groups):
        kernels, recurrents, *biases = zip(*(gates_first(part, order, wanted) for part in group), strict=True)
        constants |= {f"W{k}": np.stack(kernels), f"R{k}": np.stack(recurrents), f"B{k}": np.hstack(biases)}
        nodes.append(f"{'Y' if single else 'S'}{k} = {operator} <{options}> ({before}, W{k}, R{k}, B{k})")
        if not single:
            nodes.append(f"J{k} = Transpose <perm = [0, 2, 1, 3]> (S{k}) Y{k} = Reshape (J{k}, shape)")
        before = f"Y{k}"
    graph = f"forward (float{list(x.shape)} X) => (float{shape} {before}) {{ {' '.join(nodes)} }}"
    model = parser.parse_model(f'<ir_version: 8, opset_import: ["": 14]> {graph}')
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    checker.check_model(model)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = THREADS, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"X": x})[0]


def torch(problem: Problem, g=None, device: str = "cpu") -> dict[str, Peer]:
    """Return the library's own layers; for a cell of one's own a loop over time, and the same through TorchScript."""
    import torch

    torch.set_num_threads(THREADS)
    x, *g = (torch.from_numpy(time_first(array)).to(device) for array in (problem.x, g) if array is not None)
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    if problem.cell == "gated":
        weights = [torch.tensor(array, device=device, requires_grad=bool(g)) for array in problem.weights]
        passes = {label: functools.partial(loop, x, *weights) for label, loop in torch_gated().items()}
    elif problem.cell in TORCH:
        layer = torch_layer(problem.cell, problem.size[2:], [problem.weights]).to(device).train(bool(g))
        weights, passes = list(layer.parameters()), {"torch": lambda: layer(x)[0]}
    else:
        return {}

    def run(outputs):
        if g:
            y = outputs()
            found = y, torch.autograd.grad(y, weights, g)
        else:
            with torch.inference_mode():
                found = outputs()
        wait()
        return found

    def as_ours(found):
        y, *gradients = (a.detach().cpu().numpy() for a in ((found[0], *found[1]) if g else (found,)))
        if g and problem.cell in TORCH:
            _, order, wanted = TORCH[problem.cell]
            kernel, recurrent, *biases = (gates(array.T, wanted, order) for array in gradients)
            gradients = kernel, recurrent, np.stack(biases) if problem.weights[2].ndim == 2 else biases[0]
        return read((y, gradients))

    return {label: Peer(functools.partial(run, outputs), as_ours) for label, outputs in passes.items()}


def torch_layer(cell: str, size: tuple[int, int], parts: list[Weights], both: bool = False, **options):
    """Return the layer of `torch.nn`, of so many features and units, with these weights of all layers or directions."""
    import torch

    torch.set_num_threads(THREADS)
    name, order, wanted = TORCH[cell]
    layer = getattr(torch.nn, name)(*size, num_layers=1 if both else len(parts), bidirectional=both, **options)
    arrays = (array for part in parts for array in gates_first(part, order, wanted))
    with torch.no_grad():
        for parameter, array in zip(layer.parameters(), arrays, strict=True):
            parameter.copy_(torch.from_numpy(array))
    return layer.eval()


def torch_outputs(layer, x) -> Callable:
    import torch

    def run():
        with torch.inference_mode():
            return layer(x)[0]

    return run


def torch_gated() -> dict[str, Callable]:
    """Return the loops of the gated cell, functions of x, kernel, recurrent kernel and bias."""
    import torch

    def loop(x: torch.Tensor, kernel: torch.Tensor, recurrent: torch.Tensor, bias: torch.Tensor):
        projected = x @ kernel + bias
        h = torch.zeros((x.shape[1], recurrent.shape[0]), device=x.device)
        outputs = []
        for t in range(x.shape[0]):
            z, n = torch.chunk(projected[t] + h @ recurrent, 2, dim=1)
            z = torch.sigmoid(z)
            h = (1 - z) * h + z * torch.tanh(n)
            outputs.append(h)
        return torch.stack(outputs)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # TorchScript announces its retirement
        return {"torch loop": loop, "TorchScript": torch.jit.script(loop)}


def jax(problem: Problem, g=None) -> dict[str, Peer]:
    """Return `lax.scan`, jitted: with the product of x inside the step, and with it taken out by hand."""
    import jax
    import jax.numpy as jnp

    x, *g = (jnp.asarray(time_first(array)) for array in (problem.x, g) if array is not None)
    weights = tuple(map(jnp.asarray, problem.weights))
    normalized, sigmoid = problem.cell == "normalized LSTM", jax.nn.sigmoid

    def normal(z):
        if not normalized:
            return z
        z = z - z.mean(axis=-1, keepdims=True)
        return z / jnp.sqrt((z * z).mean(axis=-1, keepdims=True) + 1e-5)

    def lstm(a, recurrent, bias, h, c):
        z = a + h @ recurrent
        i, f, g, o = jnp.split(problem.scale * normal(z) + bias if normalized else z, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        return sigmoid(o) * jnp.tanh(normal(c)), c

    def gru(a, recurrent, bias, h):
        xz, xr, xn = jnp.split(a, 3, axis=1)
        hz, hr, hn = jnp.split(h @ recurrent + bias[1], 3, axis=1)
        z = sigmoid(xz + hz)
        return (z * h + (1 - z) * jnp.tanh(xn + sigmoid(xr + hr) * hn),)

    def simple(a, recurrent, bias, h):
        return (jnp.tanh(a + h @ recurrent),)

    def gated(a, recurrent, bias, h):
        z, n = jnp.split(a + h @ recurrent, 2, axis=1)
        z = sigmoid(z)
        return ((1 - z) * h + z * jnp.tanh(n),)

    step = {"GRU": gru, "SimpleRNN": simple, "gated": gated}.get(problem.cell, lstm)
    start = (jnp.zeros((problem.size[0], problem.size[3]), jnp.float32),) * (2 if step is lstm else 1)

    def first(bias):  # what is added before the step: not the bias of sums that are normalized first
        return 0 if normalized else jnp.atleast_2d(bias)[0]

    def inside(x, kernel, recurrent, bias):
        one = lambda s, x_t: (new := step(x_t @ kernel + first(bias), recurrent, bias, *s), new[0])
        return jax.lax.scan(one, start, x)[1]

    def hoisted(x, kernel, recurrent, bias):
        one = lambda s, a_t: (new := step(a_t, recurrent, bias, *s), new[0])
        return jax.lax.scan(one, start, x @ kernel + first(bias))[1]

    def peer(forward):
        def loss(weights, x, g):
            y = forward(x, *weights)
            return (y * g).sum(), y

        def run():
            (_, y), gradients = jax.block_until_ready(compiled(weights, x, *g))
            return y, gradients

        compiled = jax.jit(jax.value_and_grad(loss, has_aux=True) if g else forward)
        return Peer(run if g else lambda: compiled(x, *weights).block_until_ready(), read)

    return {"jax": peer(inside), "jax, hoisted": peer(hoisted)}


def keras(problem: Problem, g=None) -> dict[str, Peer]:
    """Return a cell of one's own in `keras.layers.RNN` on the jax backend, the forward pass jitted."""
    if problem.cell != "gated":
        return {}
    os.environ["KERAS_BACKEND"] = "jax"
    import jax
    import keras

    class Gated(keras.layers.Layer):
        state_size = output_size = problem.size[3]

        def build(self, input_shape):
            for name, array in zip(WEIGHTS, problem.weights, strict=True):
                setattr(self, name, self.add_weight(shape=array.shape, name=name))
            self.built = True

        def call(self, inputs, states):
            (h,) = states
            projected = keras.ops.matmul(inputs, self.kernel) + keras.ops.matmul(h, self.recurrent_kernel)
            z, n = keras.ops.split(projected + self.bias, 2, axis=1)
            z = keras.ops.sigmoid(z)
            h = (1 - z) * h + z * keras.ops.tanh(n)
            return h, [h]

    layer = keras.layers.RNN(Gated(), return_sequences=True)
    layer.build(problem.x.shape)
    layer.set_weights(list(problem.weights))
    variables = [v.value for v in layer.trainable_variables], [v.value for v in layer.non_trainable_variables]
    call = jax.jit(lambda trainable, other, x: layer.stateless_call(trainable, other, x)[0])
    x = jax.numpy.asarray(problem.x)
    return {"Keras on jax": Peer(lambda: call(*variables, x).block_until_ready().swapaxes(0, 1), read)}


FORWARD = [onnxruntime, torch, jax, keras]
GRADIENT = [torch, jax]
