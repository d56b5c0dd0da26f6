"""Recurrences of papers as layers: the same step in rnnkit and in a scan of jax, spikes in snntorch, loops in numba."""

import collections
import functools
import pathlib
import runpy
from types import SimpleNamespace

import numba
import numpy as np
from benchmarks import sizes
from measuring import available, timed
from peers import time_first
from writing import beside_others

import rnnkit as rk

FILE = pathlib.Path(__file__).parents[1] / "corpus" / "papers.py"
papers = lambda np, nn: runpy.run_path(str(FILE), {"np": np, "nn": nn})["PAPERS"]
PAPERS = papers(np, rk)
ROWS = [(name, size) for name, paper in PAPERS.items() for size in paper.measured]
told = lambda row: f"{row[0]}: {sizes.text(row[1])}"


def jax(name, layer, x, d) -> dict:
    import jax

    def custom_gradient(function):
        called = jax.custom_vjp(lambda v: function(v)[0])
        called.defvjp(lambda v: (function(v)[0], v), lambda v, d: (function(v)[1](d),))
        return called

    nn = {name: getattr(jax.nn, name) for name in ("sigmoid", "softplus", "silu")}
    nn |= {"stop_gradient": jax.lax.stop_gradient, "custom_gradient": custom_gradient}
    paper, named = papers(jax.numpy, SimpleNamespace(**nn))[name], collections.namedtuple("weights", layer.weights)
    states = collections.namedtuple("states", paper.states)
    start = states(*(jax.numpy.asarray(one) for one in layer.get_initial_state(x.shape[1])))

    def outputs(x, *weights):
        def step(before, x):
            y, new = paper.step(x, before, named(*weights))
            return states(*new), y

        return jax.lax.scan(step, start, x)[1]

    def both(d, *given):
        y, pull = jax.vjp(outputs, *given)
        return y, [one.conj() for one in pull(d.conj())]  # its gradients by complex numbers are the conjugate ones

    run = jax.jit(outputs) if d is None else functools.partial(jax.jit(both), jax.numpy.asarray(d))
    given = [jax.numpy.asarray(one) for one in (x, *layer.weights.values())]
    return {"jax": lambda: jax.block_until_ready(run(*given))}


def snntorch(name, layer, x, d) -> dict:
    """Return the library's own neuron; of ALIF, which it hasn't, a loop with its surrogate gradient."""
    if "LIF" not in name:
        return {}
    import torch
    from snntorch import Leaky, surrogate

    torch.set_num_threads(rk.get_num_threads())
    slope = surrogate.fast_sigmoid(slope=25)
    nn = SimpleNamespace(stop_gradient=torch.Tensor.detach, custom_gradient=lambda function: slope)
    paper, neuron = papers(torch, nn)[name], Leaky(beta=0.9, spike_grad=slope)
    states = collections.namedtuple("states", paper.states)
    given = [torch.tensor(np.array(one), requires_grad=d is not None) for one in (x, *layer.weights.values())]
    weights = SimpleNamespace(**dict(zip(layer.weights, given[1:], strict=True)))

    def outputs():
        found, last = [], states(*[torch.zeros(x.shape[1], layer.cell.units)] * len(paper.states))
        for x_t in given[0] @ weights.kernel if name == "LIF" else given[0]:  # of all steps at once
            y, new = neuron(x_t, last.v) if name == "LIF" else paper.step(x_t, last, weights)
            last = states(new, y) if name == "LIF" else states(*new)
            found.append(y)
        return torch.stack(found)

    both = lambda: ((y := outputs()).detach(), torch.autograd.grad(y, given, torch.from_numpy(d)))
    return {"snntorch": torch.no_grad()(outputs) if d is None else both}


def by_hand(name, layer, x, d) -> dict:
    loop, given = PAPERS[name].loop and numba.njit(PAPERS[name].loop), (time_first(x), *layer.get_weights())
    return {"numba": lambda: loop(*given).swapaxes(0, 1)} if loop and d is None else {}


def normal(rng, shape, dtype) -> np.ndarray:
    parts = rng.normal(size=(*shape, 2))
    return (parts.view(complex) if np.dtype(dtype).kind == "c" else parts)[..., 0].astype(dtype)


def runners(gradient, row, settings) -> dict:
    """Return every library's call; that outputs and gradients are apart is noted, as rounding decides on spikes."""
    (name, size), rng = row, np.random.default_rng(0)
    paper, dtype = PAPERS[name], "complex64" if PAPERS[name].complex_x else "float32"
    cell = paper.cell(**dict(zip(paper.sizes, size[3:], strict=True)))
    layer, x = rk.RNN(cell, return_sequences=True, dtype=dtype, seed=0), normal(rng, size[:3], dtype)
    y = layer(x)
    d = normal(rng, y.shape, y.dtype) if gradient else None

    def both():
        outputs, pull = layer.vjp(x)
        found = pull(d)
        return outputs, [found.x, *(found.weights[name] for name in layer.weights)]

    others = available([jax, snntorch, by_hand], settings, name, layer, time_first(x), time_first(d) if gradient else d)
    pulled = both()[1] if gradient else []
    own = [*(one.swapaxes(0, 1) for one in (y, *pulled[:1])), *pulled[1:]]
    for label, run in others.items():
        found = run()
        found = [np.asarray(one) for one in ((found[0], *found[1]) if gradient else (found,))]
        alike = np.isclose(found[0], own[0], rtol=2e-3, atol=2e-3).mean()
        off = max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in zip(found, own, strict=True))
        if alike < 1 or off > 1e-3:
            settings.note(f"{label}, {told(row)}: {alike:.2%} of the outputs agree; off by {off:.1%} of a norm.")
        assert alike > 0.99, label
    return {"rnnkit": both if gradient else functools.partial(layer, x)} | others


for _name, _gradient in (("papers", False), ("papers-gradients", True)):
    timed(_name, beside_others("recurrence"), ROWS, told, threads=1)(functools.partial(runners, _gradient))
