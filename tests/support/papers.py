"""Recurrences of papers, as a user writes them: `PAPERS` has a line each in the table of docs/papers.md."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import paper_loops as loops
from complex_cells import LockedLoop
from corpus_runs import CORPUS, drawn, layer_of
from paper_cells import PAPER_CELLS
from paper_memories import hopfield
from paper_steps import WIDE

import rnnkit as rk

ROWS, STEPS = 2, 8


@dataclass(frozen=True)
class Paper:
    """A recurrence: how its layer is made, with what it is called, and of what its derivatives are taken."""

    name: str
    source: str
    layer: Callable  # () → layer, built, float64, all outputs
    data: Callable  # rng → (x, constants)
    fixed: tuple = ()  # places of states that are whole numbers
    own_rule: bool = False  # its gradient is meant to be another than the derivative


def layer_around(cell, features, complex_x=False):
    layer = rk.RNN(cell, return_sequences=True, dtype="complex128" if complex_x else "float64", seed=1)
    layer.build((None, None, *features))
    return layer


def normals(features, constants=(), complex_x=False):
    def data(rng):
        x = rng.normal(size=(ROWS, STEPS, *features))
        x = x + 1j * rng.normal(size=x.shape) if complex_x else x
        return x, [rng.normal(size=(ROWS, *shape)) for shape in constants]

    return data


def wide(name):
    one = WIDE[name]
    cell = lambda: layer_around(one.cell(**one.sizes), (4,), one.complex_x)
    return Paper(name, one.source, cell, normals((4,), (), one.complex_x), own_rule="LIF" in name)


def typed_in(name, shown):
    one = next(case for case in PAPER_CELLS if case.name == name)
    make = lambda: layer_around(one.make(), one.features)
    return Paper(shown, one.paper, make, normals(one.features, one.constants))


def of_corpus(name, shown):
    one = next(recurrence for recurrence in CORPUS if recurrence.name == name)
    source = one.description.rstrip(").").rsplit("(", 1)[1].rsplit("; ", 1)[-1].split(", ")[0]
    fixed = tuple(i for i, state in enumerate(one.states) if state in one.fixed)
    return Paper(shown, source, lambda: layer_of(one, "float64"), lambda rng: drawn(one, ROWS, STEPS), fixed)


def around(make, shown, source, features=(1,), data=None, complex_x=False, fixed=()):
    layer = lambda: layer_around(make(), features, complex_x)
    return Paper(shown, source, layer, data or normals(features, (), complex_x), fixed)


def positive(rng):
    return rng.uniform(0.01, 0.02, (ROWS, STEPS, 1)), []


PENDULUM = {"q": 0.1, "r": 0.2}
HESTON = {"kappa": 1.5, "theta": 0.04, "xi": 0.3, "rho": -0.7}
PAPERS = (
    *map(wide, ("LRU", "S5", "unitary RNN", "minGRU", "SSD (Mamba-2)", "RWKV-7", "DeltaNet")),
    typed_in("MatrixLSTMCell", "mLSTM"),
    typed_in("RetentionCell", "retention"),
    typed_in("selective_state_space", "Mamba"),
    typed_in("LegendreMemoryCell", "Legendre memory unit"),
    typed_in("fast_weights", "fast weights"),
    typed_in("TuringMachineCell", "neural Turing machine"),
    typed_in("CayleyRNNCell", "orthogonal RNN (scoRNN)"),
    typed_in("LiquidTimeConstantCell", "liquid time constants"),
    typed_in("OdeRNNCell", "neural ODE by RK4"),
    around(lambda: hopfield(6, slots=4), "modern Hopfield network", "Ramsauer et al. 2021", (4,)),
    around(lambda: rk.ESNCell(8, leak=0.3), "echo state network with leak", "Jaeger et al. 2007", (2,)),
    *map(wide, ("LIF", "ALIF")),
    of_corpus("izhikevich", "Izhikevich's neuron"),
    of_corpus("hodgkin_huxley", "Hodgkin and Huxley's axon"),
    around(LockedLoop, "phase-locked loop", "Gardner 1966", complex_x=True),
    around(lambda: loops.ces.cell(a=1.1 + 0.9j), "complex exponential smoothing", "Svetunkov et al. 2022"),
    typed_in("holt_winters", "Holt-Winters"),
    of_corpus("garch", "GARCH likelihood"),
    of_corpus("kalman_gaps", "Kalman filter with gaps"),
    around(lambda: loops.extended_kalman.cell(**PENDULUM), "extended Kalman filter", "Smith, Schmidt and McGee 1962"),
    around(lambda: loops.unscented_kalman.cell(**PENDULUM), "unscented Kalman filter", "Julier and Uhlmann 1997"),
    of_corpus("particles", "particle filter"),
    of_corpus("hmm_forward", "HMM, forward algorithm"),
    of_corpus("crf_forward", "CRF, partition function"),
    of_corpus("dtw", "dynamic time warping"),
    around(
        lambda: loops.soft_dtw.cell(template=np.linspace(-1, 1, 5)),
        "soft dynamic time warping",
        "Cuturi and Blondel 2017",
    ),
    around(lambda: loops.heston.cell(**HESTON), "Heston's paths", "Heston 1993", data=positive, fixed=(2,)),
    around(lambda: loops.gibbs.cell(squares=19.0), "Gibbs sampler", "Gelfand and Smith 1990", fixed=(2,)),
)
