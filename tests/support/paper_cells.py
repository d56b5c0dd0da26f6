"""Cells of the literature that the tracer wasn't built around: one is under test by standing in ``PAPER_CELLS``."""

from collections.abc import Callable
from typing import NamedTuple

import paper_dynamics as dynamics
import paper_gates as gated
import paper_memories as memories
import paper_statistics as statistics
from paper_steps import WIDE


class PaperCell(NamedTuple):
    """One cell: where it comes from, how it is made, what it takes."""

    name: str
    paper: str
    make: Callable  # () → cell
    constants: tuple = ()  # shapes without the batch
    contracting: bool = True  # and continuous: rounding doesn't grow along a sequence
    features: tuple = (3,)
    how: str = "traced"


def paper(kind, source, *sizes, constants=(), contracting=True, features=(3,), how="traced", **keywords):
    return PaperCell(kind.__name__, source, lambda: kind(*sizes, **keywords), constants, contracting, features, how)


PAPER_CELLS = (
    paper(gated.indrnn, "Li et al. 2018", units=17),
    paper(gated.AntisymmetricRNNCell, "Chang et al. 2019", 5),
    paper(gated.janet, "van der Westhuizen and Lasenby 2018", units=17),
    paper(gated.scrn, "Mikolov et al. 2014", units=17, context=5),
    paper(gated.sru, "Lei et al. 2018", units=17),
    paper(gated.QRNNCell, "Bradbury et al. 2016", 17, 3),
    paper(gated.OrderedNeuronsLSTMCell, "Shen et al. 2019", 5),
    paper(gated.mogrifier, "Melis, Kočiský and Blunsom 2020", units=5),
    paper(gated.phased_lstm, "Neil, Pfeiffer and Liu 2016", units=17),
    paper(gated.ClockworkRNNCell, "Koutník et al. 2014", 17, contracting=False),
    paper(gated.star, "Turkoglu et al. 2019", units=5),
    paper(gated.recurrent_highway, "Zilly et al. 2017", units=17, depth=3),
    paper(gated.nbrc, "Vecoven, Ernst and Drion 2021", units=17, contracting=False),
    paper(gated.multiplicative_lstm, "Krause et al. 2016", units=5),
    paper(gated.multiplicative_integration, "Wu et al. 2016", units=17, contracting=False),
    paper(gated.FastGRNNCell, "Kusupati et al. 2018", 17),
    paper(gated.tensor_rnn, "Sutskever, Martens and Hinton 2011", units=5),
    paper(gated.ConvLSTMCell, "Shi et al. 2015", 7, 5, features=(7, 2)),
    paper(gated.independent_mechanisms, "Goyal et al. 2021", units=5, heads=3, contracting=False),
    paper(gated.quantised, "Hubara et al. 2016", units=17, contracting=False),
    paper(dynamics.KWinnersCell, "Ahmad and Scheinkman 2019", 17, contracting=False),
    paper(dynamics.cornn, "Rusch and Mishra 2021", units=17),
    paper(dynamics.unicornn, "Rusch and Mishra 2021", units=5),
    paper(dynamics.lem, "Rusch et al. 2022", units=17),
    paper(dynamics.LiquidTimeConstantCell, "Hasani et al. 2021", 5),
    paper(dynamics.OdeRNNCell, "Rubanova, Chen and Duvenaud 2019", 5),
    paper(dynamics.CayleyRNNCell, "Helfrich, Willmott and Ye 2018", 17),
    paper(dynamics.householder, "Mhammedi et al. 2017", units=17, reflections=2),
    paper(dynamics.rotations, "Jing et al. 2017", units=17, layers=4),
    paper(dynamics.LegendreMemoryCell, "Voelker, Kajić and Eliasmith 2019", 5),
    paper(dynamics.fourier, "Zhang et al. 2018", units=5),
    paper(dynamics.linear_recurrent_unit, "Orvieto et al. 2023", units=17),
    paper(dynamics.selective_state_space, "Gu and Dao 2023", order=4),
    paper(dynamics.izhikevich, "Izhikevich 2003", units=17, contracting=False),
    paper(dynamics.AdaptiveSpikingCell, "Bellec et al. 2018", 17, contracting=False),
    paper(memories.fast_weights, "Ba et al. 2016", units=5),
    paper(memories.TuringMachineCell, "Graves, Wayne and Danihelka 2014", 5),
    paper(WIDE["DeltaNet"].cell, WIDE["DeltaNet"].source, units=5),
    paper(memories.MatrixLSTMCell, "Beck et al. 2024", 5),
    paper(memories.scalar_lstm, "Beck et al. 2024", units=17),
    paper(memories.min_lstm, "Feng et al. 2024", units=17),
    paper(memories.rwkv, "Peng et al. 2023", units=17),
    paper(memories.RetentionCell, "Sun et al. 2023", 5),
    paper(memories.location_attention, "Chorowski et al. 2015", units=5, length=7, constants=((7, 4),)),
    paper(memories.entity_network, "Henaff et al. 2017", units=5, slots=4),
    paper(memories.RelationalMemoryCell, "Santoro et al. 2018", 5),
    paper(memories.StackRNNCell, "Joulin and Mikolov 2015", 17),
    paper(statistics.narx, "Lin et al. 1996", units=5, lags=3),
    paper(statistics.DilatedBufferCell, "Bai, Kolter and Koltun 2018", 17, 3),
    paper(statistics.kalman, "Kalman 1960"),
    paper(statistics.kalman_filter, "Kalman 1960", units=4),
    paper(statistics.garch, "Bollerslev 1986"),
    paper(statistics.hidden_markov, "Rabiner 1989", units=5),
    paper(statistics.discrete_markov, "Baum and Petrie 1966", units=5),
    paper(statistics.viterbi, "Viterbi 1967", units=5, contracting=False),
    paper(statistics.holt_winters, "Winters 1960", period=4),
    paper(statistics.RunningMomentsCell, "Welford 1962", 3),
    paper(statistics.cumulative_sums, "Page 1954", contracting=False),
    paper(statistics.least_squares, "Plackett 1950"),
    paper(statistics.hysteresis, "Schmitt 1938", units=17, contracting=False),
)
