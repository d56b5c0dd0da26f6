"""The same outputs and gradients in other libraries.

Each function takes a `Problem` and the outputs' cotangents, (B, T, U), and gives a dict of label → `Peer`. As in
`peers`, input, cotangents and weights are laid out beforehand as the library likes them best.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import peers
from problems import Problem


@dataclass(frozen=True)
class Peer:
    """One way to all outputs and the gradients to all weights."""

    run: Callable[[], tuple]  # outputs and gradients, the library's own arrays
    read: Callable[[tuple], dict[str, np.ndarray]]  # what `run` gives, as the outputs "y" (T, B, U) and our weights


def torch(problem: Problem, cotangents: np.ndarray, threads: int, device: str = "cpu") -> dict[str, Peer]:
    """Autograd through the library's own layers; for a cell of one's own through the loops over time."""
    import torch

    torch.set_num_threads(threads)
    x, g = (torch.from_numpy(np.ascontiguousarray(a.swapaxes(0, 1))).to(device) for a in (problem.x, cotangents))

    def peer(function, weights, read):
        def run():
            y = function()
            return y, torch.autograd.grad(y, weights, g)

        def arrays(found):
            y, gradients = found
            return {"y": y.detach().cpu().numpy()} | read(*(a.cpu().numpy() for a in gradients))

        return Peer(run, arrays)

    if problem.cell == "gated":
        weights = [
            torch.tensor(array, device=device, requires_grad=True)
            for array in (problem.kernel, problem.recurrent_kernel, problem.bias)
        ]
        return {
            label: peer(lambda loop=loop: loop(x, *weights), weights, _as_weights)
            for label, loop in peers.torch_gated().items()
        }
    if problem.cell not in peers.TORCH_LAYERS:
        return {}
    layer = peers.torch_layer(problem).to(device).train()
    _, order, wanted = peers.TORCH_LAYERS[problem.cell]

    def read(*arrays):  # the parameters' order is the one of `torch_layer`: both kernels, both biases
        kernel, recurrent, *biases = (peers.gates(array.T, wanted, order) for array in arrays)
        return _as_weights(kernel, recurrent, np.stack(biases) if problem.bias.ndim == 2 else biases[0])

    return {"torch": peer(lambda: layer(x)[0], list(layer.parameters()), read)}


def _as_weights(kernel, recurrent, bias) -> dict[str, np.ndarray]:
    return {"kernel": np.asarray(kernel), "recurrent_kernel": np.asarray(recurrent), "bias": np.asarray(bias)}


def jax(problem: Problem, cotangents: np.ndarray, threads: int) -> dict[str, Peer]:
    """`jit(value_and_grad)` of the scans in `peers`; the loss is the sum of outputs times cotangents."""
    import jax
    import jax.numpy as jnp

    passes, x, weights = peers.jax_passes(problem)
    g = jnp.asarray(cotangents.swapaxes(0, 1))

    def peer(forward):
        def loss(weights, x, g):
            y = forward(x, *weights)
            return (y * g).sum(), y

        compiled = jax.jit(jax.value_and_grad(loss, has_aux=True))

        def run():
            (_, y), gradients = jax.block_until_ready(compiled(weights, x, g))
            return y, gradients

        return Peer(run, lambda found: {"y": np.asarray(found[0])} | _as_weights(*found[1]))

    return {label: peer(forward) for label, forward in passes.items()}


ALL = [torch, jax]
