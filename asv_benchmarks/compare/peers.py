"""The same forward pass in other libraries.

Each function takes a `Problem` and gives a dict of label → callable without arguments; calling it runs all steps and
returns the outputs, time first: (T, B, U). Input and weights are laid out beforehand as the library likes them best.
A library that has no such cell gives an empty dict; one that is not installed raises ImportError.
"""

from collections.abc import Callable

import numpy as np
from problems import Problem
from timing import Settings

Runners = dict[str, Callable[[], object]]


def available(makers: list[Callable], settings: Settings, *arguments) -> Runners:
    """What all `makers` give that have their library; who hasn't is noted."""
    found: Runners = {}
    for maker in makers:
        try:
            found |= maker(*arguments)
        except ImportError as missing:
            settings.note(f"{maker.__name__} was left out: {missing}.")
    return found


def gates(array: np.ndarray, order: str, wanted: str) -> np.ndarray:
    """Reorder the gates, one letter each, that stand side by side along the last axis."""
    parts = dict(zip(order, np.split(array, len(order), axis=-1), strict=True))
    return np.ascontiguousarray(np.concatenate([parts[letter] for letter in wanted], axis=-1))


def onnxruntime(problem: Problem, threads: int) -> Runners:
    """One LSTM, GRU or RNN node."""
    operator, order, wanted = {
        "LSTM": ("LSTM", "ifco", "iofc"),
        "GRU": ("GRU", "zrh", "zrh"),
        "SimpleRNN": ("RNN", "h", "h"),
    }.get(problem.cell, (None, "", ""))
    if operator is None:
        return {}
    batch, time, features, units = problem.size
    bias = gates(np.atleast_2d(problem.bias), order, wanted)
    input_bias, recurrent_bias = bias if len(bias) == 2 else (bias[0], np.zeros_like(bias[0]))
    constants = {
        "W": gates(problem.kernel, order, wanted).T[None],
        "R": gates(problem.recurrent_kernel, order, wanted).T[None],
        "B": np.concatenate([input_bias, recurrent_bias])[None],
    }
    options = {"hidden_size": units} | ({"linear_before_reset": 1} if operator == "GRU" else {})
    node = (operator, ["X", *constants], ["Y"], options)
    run = onnx_runner([node], constants, problem.x, (time, 1, batch, units), threads)
    return {"ONNX Runtime": lambda: run()[:, 0]}


def onnx_runner(nodes: list[tuple], constants: dict, x: np.ndarray, shape: tuple, threads: int) -> Callable:
    """A graph from X, `x` with time first, to Y of this shape; nodes are (operator, inputs, outputs, options)."""
    import onnxruntime
    from onnx import TensorProto, checker, helper, numpy_helper

    x = np.ascontiguousarray(x.swapaxes(0, 1))
    graph = helper.make_graph(
        [helper.make_node(operator, inputs, outputs, **options) for operator, inputs, outputs, options in nodes],
        "forward",
        [helper.make_tensor_value_info("X", TensorProto.FLOAT, x.shape)],
        [helper.make_tensor_value_info("Y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.ascontiguousarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    checker.check_model(model)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), settings, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, {"X": x})[0]


def torch(problem: Problem, threads: int, device: str = "cpu") -> Runners:
    """The library's own layers; for a cell of one's own a loop over time, and the same loop through TorchScript."""
    import torch

    torch.set_num_threads(threads)
    x = torch.from_numpy(np.ascontiguousarray(problem.x.swapaxes(0, 1))).to(device)
    if problem.cell == "gated":
        return _torch_loop(problem, x)
    if problem.cell not in TORCH_LAYERS:
        return {}
    layer = torch_layer(problem).to(device)

    def run():
        with torch.inference_mode():
            return layer(x)[0]

    return {"torch": run}


TORCH_LAYERS = {"LSTM": ("LSTM", "ifco", "ifco"), "GRU": ("GRU", "zrh", "rzh"), "SimpleRNN": ("RNN", "h", "h")}


def torch_layer(problem: Problem):
    """The layer of `torch.nn` with the problem's weights."""
    import torch

    name, order, wanted = TORCH_LAYERS[problem.cell]
    bias = gates(np.atleast_2d(problem.bias), order, wanted)
    input_bias, recurrent_bias = bias if len(bias) == 2 else (bias[0], np.zeros_like(bias[0]))
    arrays = {
        "weight_ih_l0": gates(problem.kernel, order, wanted).T,
        "weight_hh_l0": gates(problem.recurrent_kernel, order, wanted).T,
        "bias_ih_l0": input_bias,
        "bias_hh_l0": recurrent_bias,
    }
    layer = getattr(torch.nn, name)(problem.size[2], problem.size[3])
    layer.load_state_dict({name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()})
    return layer.eval()


def _torch_loop(problem: Problem, x) -> Runners:
    import torch

    arrays = problem.kernel, problem.recurrent_kernel, problem.bias
    weights = tuple(torch.from_numpy(array).to(x.device) for array in arrays)

    def runner(function):
        def run():
            with torch.inference_mode():
                return function(x, *weights)

        return run

    return {label: runner(function) for label, function in torch_gated().items()}


def torch_gated() -> dict[str, Callable]:
    """The loops of the gated cell, functions of x, kernel, recurrent kernel and bias."""
    import warnings

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
        scripted = torch.jit.script(loop)
    return {"torch loop": loop, "TorchScript": scripted}


def jax(problem: Problem, threads: int) -> Runners:
    """`lax.scan`, jitted: with the product of x inside the step, and with it taken out by hand."""
    import jax

    passes, x, weights = jax_passes(problem)

    def runner(function):
        compiled = jax.jit(function)
        return lambda: compiled(x, *weights).block_until_ready()

    return {label: runner(function) for label, function in passes.items()}


def jax_passes(problem: Problem):
    """Two ways over all steps, functions of x, kernel, recurrent kernel and bias, not jitted; x; and the three."""
    import jax
    import jax.numpy as jnp

    x = jnp.asarray(problem.x.swapaxes(0, 1))
    weights = tuple(map(jnp.asarray, (problem.kernel, problem.recurrent_kernel, problem.bias)))
    step, states = _jax_steps(problem, jax, jnp)
    start = tuple(jnp.zeros((problem.size[0], problem.size[3]), jnp.float32) for _ in range(states))

    def first(bias):
        """What is added before the step: not the bias of sums that are normalized first."""
        if problem.cell == "normalized LSTM":
            return 0
        return bias if bias.ndim == 1 else bias[0]

    def inside(x, kernel, recurrent, bias):
        return jax.lax.scan(lambda s, x_t: step(s, x_t @ kernel + first(bias), recurrent, bias), start, x)[1]

    def hoisted(x, kernel, recurrent, bias):
        return jax.lax.scan(lambda s, a_t: step(s, a_t, recurrent, bias), start, x @ kernel + first(bias))[1]

    return {"jax": inside, "jax, hoisted": hoisted}, x, weights


def _jax_steps(problem: Problem, jax, jnp):
    """Give the step of this cell, `(states, projected x, recurrent kernel, bias)`, and how many states it has."""
    sigmoid, scale = jax.nn.sigmoid, problem.scale

    def lstm(states, a, recurrent, bias):
        h, c = states
        i, f, g, o = jnp.split(a + h @ recurrent, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        h = sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    def gru(states, a, recurrent, bias):
        (h,) = states
        xz, xr, xn = jnp.split(a, 3, axis=1)
        hz, hr, hn = jnp.split(h @ recurrent + bias[1], 3, axis=1)
        z = sigmoid(xz + hz)
        h = z * h + (1 - z) * jnp.tanh(xn + sigmoid(xr + hr) * hn)
        return (h,), h

    def simple(states, a, recurrent, bias):
        h = jnp.tanh(a + states[0] @ recurrent)
        return (h,), h

    def gated(states, a, recurrent, bias):
        (h,) = states
        z, n = jnp.split(a + h @ recurrent, 2, axis=1)
        z = sigmoid(z)
        h = (1 - z) * h + z * jnp.tanh(n)
        return (h,), h

    def normalise(z):
        z = z - z.mean(axis=-1, keepdims=True)
        return z / jnp.sqrt((z * z).mean(axis=-1, keepdims=True) + 1e-5)

    def normalized(states, a, recurrent, bias):
        h, c = states
        i, f, g, o = jnp.split(scale * normalise(a + h @ recurrent) + bias, 4, axis=1)
        c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
        h = sigmoid(o) * jnp.tanh(normalise(c))
        return (h, c), h

    return {
        "LSTM": (lstm, 2),
        "GRU": (gru, 1),
        "SimpleRNN": (simple, 1),
        "gated": (gated, 1),
        "normalized LSTM": (normalized, 2),
    }[problem.cell]


def keras(problem: Problem, threads: int) -> Runners:
    """A cell of one's own in `keras.layers.RNN` on the jax backend, the forward pass jitted."""
    if problem.cell != "gated":
        return {}
    import os

    os.environ["KERAS_BACKEND"] = "jax"
    import jax
    import keras

    units = problem.size[3]

    class Gated(keras.layers.Layer):
        state_size = output_size = units

        def build(self, input_shape):
            self.kernel = self.add_weight(shape=problem.kernel.shape, name="kernel")
            self.recurrent_kernel = self.add_weight(shape=problem.recurrent_kernel.shape, name="recurrent_kernel")
            self.bias = self.add_weight(shape=problem.bias.shape, name="bias")
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
    layer.set_weights([problem.kernel, problem.recurrent_kernel, problem.bias])
    variables = [v.value for v in layer.trainable_variables], [v.value for v in layer.non_trainable_variables]
    call = jax.jit(lambda trainable, other, x: layer.stateless_call(trainable, other, x)[0])
    x = jax.numpy.asarray(problem.x)
    return {"Keras on jax": lambda: call(*variables, x).block_until_ready().swapaxes(0, 1)}


ALL = [onnxruntime, torch, jax, keras]
