"""Every cell that the laws run over, written as a user would write it: a cell is under test by standing in ``CELLS``.

A step has no docstring where its equation says it all.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import reference

import rnnkit as rk

STEPS = {}  # name → the step's own plain function, which rk.cell takes the place of


def plain(function):
    """Keep a step's function as written, to be called in a Python loop."""
    STEPS[function.__name__] = function
    return function


def spread(shape, rng):
    """Biases that differ from each other, so that a lost or swapped one shows."""
    return rng.normal(0.0, 0.4, shape)


def halved(shape, rng):
    """Recurrent weights of norm about one half: a contraction whatever the activation."""
    values = rng.normal(size=shape)
    return 0.5 * values / np.linalg.norm(values, 2)


KERNEL = rk.Weight(("features", "units"), "glorot_uniform")
RECURRENT = rk.Weight(("units", "units"), "orthogonal")
BIAS = rk.Weight(("units",), spread)
DENSE = {"kernel": KERNEL, "recurrent_kernel": RECURRENT, "bias": BIAS}


@rk.cell(states={"h": "units"}, weights=DENSE)
@plain
def simple(x, states, weights):
    (h,) = states
    h = np.tanh(x @ weights.kernel + h @ weights.recurrent_kernel + weights.bias)
    return h, (h,)


@rk.cell(states={"h": "units"}, weights=DENSE)
@plain
def leaky(x, states, weights, *, leak=0.3):
    (h,) = states
    h = (1 - leak) * h + leak * np.tanh(x @ weights.kernel + h @ weights.recurrent_kernel + weights.bias)
    return h, (h,)


THIN = {
    "kernel": rk.Weight(("features", "units"), "glorot_uniform", density=0.5),
    "recurrent_kernel": rk.Weight(("units", "units"), halved, density=0.2),
    "bias": BIAS,
}


@rk.cell(states={"h": "units"}, weights=THIN)
@plain
def sparse(x, states, weights, *, leak=0.3):
    (h,) = states
    z = np.matmul(x, weights.kernel) + h @ (1.5 * weights.recurrent_kernel) + weights.bias
    h = (1 - leak) * h + leak * np.tanh(z)
    return h, (h,)


GATES = {
    "kernel": rk.Weight(("features", "4*units"), "glorot_uniform"),
    "recurrent_kernel": rk.Weight(("units", "4*units"), "orthogonal"),
    "bias": rk.Weight(("4*units",), spread),
}


@rk.cell(states={"h": "units", "c": "units"}, weights=GATES)
@plain
def lstm(x, states, weights):
    h, c = states
    z = x @ weights.kernel + h @ weights.recurrent_kernel + weights.bias
    i, f, g, o = np.split(z, 4, axis=-1)
    c = rk.sigmoid(f) * c + rk.sigmoid(i) * np.tanh(g)
    h = rk.sigmoid(o) * np.tanh(c)
    return h, [h, c]


class PeepholeLSTMCell(rk.Cell):
    """Gers and Schmidhuber 2000, on the concatenation of input and output."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = [units, units]

    def build(self, input_shape):
        n = self.units
        self.kernel = self.add_weight((input_shape[-1] + n, 4 * n), "glorot_uniform", name="kernel")
        self.bias = self.add_weight((4 * n,), spread, name="bias")
        self.peephole = self.add_weight((3, n), spread, name="peephole")

    def call(self, inputs, states):
        n = self.units
        h, c = states
        z = np.concatenate([inputs, h], axis=-1) @ self.kernel + self.bias
        i = rk.sigmoid(z[:, :n] + self.peephole[0] * c)
        f = rk.sigmoid(z[:, n : 2 * n] + self.peephole[1] * c)
        c = f * c + i * np.tanh(z[:, 2 * n : 3 * n])
        o = rk.sigmoid(z[:, 3 * n :] + self.peephole[2] * c)
        h = o * np.tanh(c)
        return h, [h, c]


def normalise(z, gain):
    return gain * (z - z.mean(axis=-1, keepdims=True)) / np.sqrt(z.var(axis=-1, keepdims=True) + 1e-2)


@rk.cell(
    states={"h": "units", "c": "units"},
    weights={**GATES, "gain": rk.Weight(("4*units",), "ones"), "cell_gain": rk.Weight(("units",), "ones")},
)
@plain
def layer_norm_lstm(x, states, weights):
    """Ba, Kiros and Hinton 2016."""
    h, c = states
    z = normalise(x @ weights.kernel + h @ weights.recurrent_kernel, weights.gain) + weights.bias
    i, f, g, o = np.split(z, 4, axis=-1)
    c = rk.sigmoid(f) * c + rk.sigmoid(i) * np.tanh(g)
    h = rk.sigmoid(o) * np.tanh(normalise(c, weights.cell_gain))
    return h, (h, c)


THIRDS = {
    "kernel": rk.Weight(("features", "3*units"), "glorot_uniform"),
    "recurrent_kernel": rk.Weight(("units", "3*units"), "orthogonal"),
    "bias": rk.Weight(("3*units",), spread),
}


@rk.cell(states={"h": "units"}, weights=THIRDS)
@plain
def gru_before(x, states, weights):
    (h,) = states
    n = h.shape[-1]
    from_x = x @ weights.kernel + weights.bias
    gates = rk.sigmoid(from_x[:, : 2 * n] + h @ weights.recurrent_kernel[:, : 2 * n])
    z, r = gates[:, :n], gates[:, n:]
    new = np.tanh(from_x[:, 2 * n :] + (r * h) @ weights.recurrent_kernel[:, 2 * n :])
    h = z * h + (1 - z) * new
    return h, (h,)


@rk.cell(states={"h": "units"}, weights={**THIRDS, "bias": rk.Weight((2, "3*units"), spread)})
@plain
def gru_after(x, states, weights):
    (h,) = states
    xz, xr, xn = np.split(x @ weights.kernel + weights.bias[0], 3, axis=-1)
    hz, hr, hn = np.split(h @ weights.recurrent_kernel + weights.bias[1], 3, axis=-1)
    z, r = 1 / (1 + np.exp(-(xz + hz))), 1 / (1 + np.exp(-(xr + hr)))
    h = z * h + (1 - z) * np.tanh(xn + r * hn)
    return h, h


@rk.cell(
    states={"h": "units"},
    weights={
        "forget_kernel": KERNEL,
        "forget_recurrent": RECURRENT,
        "forget_bias": BIAS,
        **DENSE,
    },
)
@plain
def minimal_gated(x, states, weights):
    """Zhou et al. 2016."""
    (h,) = states
    f = rk.sigmoid(x @ weights.forget_kernel + h @ weights.forget_recurrent + weights.forget_bias)
    new = np.tanh(x @ weights.kernel + (f * h) @ weights.recurrent_kernel + weights.bias)
    h = (1 - f) * h + f * new
    return h, (h,)


@rk.cell(
    states={"m": (3, 4)},
    weights={"rows": rk.Weight(("features", 3), spread), "columns": rk.Weight(("features", 4), spread)},
)
@plain
def outer_memory(x, states, weights, *, keep=0.8):
    (m,) = states
    write = np.tanh(x @ weights.rows)[:, :, None] * np.tanh(x @ weights.columns)[:, None, :]
    m = keep * m + (1 - keep) * write * np.cos(m.max(axis=1, keepdims=True))
    return m.sum(axis=1), (m,)


@rk.cell(
    states={"h": "units"},
    weights={**DENSE, "query": rk.Weight(("units", 5), spread), "read": rk.Weight((5, "units"), "glorot_uniform")},
)
@plain
def attention(x, states, weights, constants):
    """Bahdanau, Cho and Bengio 2015, with a product as the score; constants: memory (B, 6, 5)."""
    (h,) = states
    (memory,) = constants
    scores = (memory * (h @ weights.query)[:, None, :]).sum(axis=-1)
    context = np.einsum("bs,bsd->bd", rk.softmax(scores), memory)
    h = np.tanh(x @ weights.kernel + h @ weights.recurrent_kernel + context @ weights.read + weights.bias)
    return h, (h,)


@rk.cell(states={"h": "units", "count": 1}, weights=DENSE)
@plain
def clockwork(x, states, weights):
    """Koutník et al. 2014, fully connected: unit i moves every 1, 2, 4 or 8 steps."""
    h, count = states
    period = 2.0 ** (np.arange(h.shape[-1]) % 4)
    moves = count % period == 0
    h = np.where(moves, np.tanh(x @ weights.kernel + h @ weights.recurrent_kernel + weights.bias), h)
    return h, (h, count + 1)


@rk.cell(states={"mean": "features"})
@plain
def moving_average(x, states, weights, *, alpha=0.2):
    (mean,) = states
    mean = mean + alpha * (x - mean)
    return mean, (mean,)


@rk.cell(
    states={"re": "units", "im": "units"},
    weights={
        **dict.fromkeys(("in_re", "in_im"), KERNEL),
        **{name: rk.Weight(("units", 5), spread) for name in ("out_re", "out_im")},
        **dict.fromkeys(("a", "b"), BIAS),
        "skip": rk.Weight(("features", 5), spread),
    },
)
@plain
def linear_recurrent_unit(x, states, weights):
    """Orvieto et al. 2023, in pairs of reals; the output, an activation of a product, is needed by no state."""
    re, im = states
    a, b = 0.7 * np.tanh(weights.a), 0.7 * np.tanh(weights.b)
    re, im = a * re - b * im + x @ weights.in_re, a * im + b * re + x @ weights.in_im
    return np.tanh(re @ weights.out_re - im @ weights.out_im) + x @ weights.skip, (re, im)


@rk.cell(states={"h": "units"}, weights={"gate": KERNEL, "kernel": KERNEL, "bias": BIAS})
@plain
def min_gru(x, states, weights):
    """Feng et al. 2024."""
    (h,) = states
    z = rk.sigmoid(x @ weights.gate + weights.bias)
    h = (1 - z) * h + z * (x @ weights.kernel)
    return h, (h,)


@rk.cell(
    states={"m": (32, 40)},
    weights={"values": rk.Weight(("features", 32), spread), "keys": rk.Weight(("features", 40), spread)},
)
@plain
def delta_rule(x, states, weights):
    """Schlag, Irie and Schmidhuber 2021: a state whose passes are joined."""
    (m,) = states
    k = x @ weights.keys
    k = k / np.sqrt(1 + (k * k).sum(axis=1, keepdims=True))
    m = m + (0.5 * (x @ weights.values - (m * k[:, None]).sum(axis=2)))[:, :, None] * k[:, None]
    return (m * np.tanh(k)[:, None]).sum(axis=2), (m,)


@rk.cell(
    states={"fast": 3, "slow": "units"},
    weights={"kernel": KERNEL, "mix": rk.Weight((3, "units"), spread), "back": rk.Weight(("units", 3), halved)},
    initial={"slow": 0.5},
)
@plain
def two_speeds(x, states, weights):
    """Two states of different sizes, the output (5,) unlike either, a start other than zero."""
    fast, slow = states
    fast = np.tanh(slow @ weights.back) * 0.5 + 0.1 * fast
    slow = 0.9 * slow + 0.1 * np.tanh(x @ weights.kernel + fast @ weights.mix)
    top = slow.max(axis=-1, keepdims=True)
    output = np.concatenate([np.exp(-(fast**2)), top, np.log1p(np.abs(top))], axis=-1)
    return output, (fast, slow)


class MinimalRNNCell(rk.Cell):
    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = units

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], self.units), initializer="uniform", name="kernel")
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, self.units), initializer="uniform", name="recurrent_kernel"
        )
        self.built = True

    def call(self, inputs, states):
        prev_output = states[0]
        h = np.matmul(inputs, self.kernel)
        output = h + np.matmul(prev_output, self.recurrent_kernel)
        return output, [output]


class SignatureCell(rk.Cell):
    """A multi-dimensional state beside a flat one, given by the class form, with an output of one number."""

    output_size = 1

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.state_size = [(2, units), 3]

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], 2 * self.units), "glorot_uniform", name="kernel")

    def call(self, inputs, states):
        path, sums = states
        path = 0.7 * path + np.sin(np.matmul(inputs, self.kernel)).reshape(-1, 2, self.units)
        sums = 0.5 * sums + np.stack([path.min(axis=(1, 2)), path.mean(axis=(1, 2)), path[:, 0, 0]], axis=-1)
        return np.sum(sums, axis=-1, keepdims=True), [path, sums]


class OldStyle:
    """No rnnkit in sight: an object with ``call`` and ``state_size``, its matrix an attribute."""

    def __init__(self, units):
        self.state_size = [units, 2]
        self.matrix = np.linspace(-0.4, 0.4, 2 * units).reshape(2, units)

    def call(self, inputs, states):
        h, pair = states
        pair = 0.5 * pair + np.clip(inputs[:, :1], -1.0, 1.0)
        h = 0.6 * h + np.arctan(np.dot(pair, self.matrix))
        return h, (h, pair)


@rk.cell(states={"h": "units"}, weights={**DENSE, "recurrent_kernel": rk.Weight(("units", "units"), halved)})
@plain
def folded(x, states, weights, *, limit=0.7):
    """A loop that ends where its data say: each unit folds back at the limit until it lies inside."""
    (h,) = states
    drive = x @ weights.kernel + h @ weights.recurrent_kernel + weights.bias
    h = np.zeros_like(drive)
    for row in range(drive.shape[0]):
        for unit in range(drive.shape[1]):
            value = drive[row, unit]
            while abs(value) > limit:
                value = 2 * limit - value if value > 0 else -2 * limit - value
            h[row, unit] = value
    return h, (h,)


class FoldedCell(rk.Cell):
    """The same in the class form, with two states: attributes become arguments of the compiled loop."""

    def __init__(self, units, limit=1.5, **kwargs):
        super().__init__(**kwargs)
        self.units, self.limit = units, limit
        self.state_size = [units, 1]

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], self.units), "glorot_uniform", name="kernel")

    def call(self, inputs, states):
        h, turns = states
        h = 0.5 * h + np.dot(inputs, self.kernel)
        turns = turns * 0.5
        for row in range(h.shape[0]):
            while np.abs(h[row]).sum() > self.limit:
                h[row] *= 0.9375
                turns[row, 0] += 1
        return h, [h, turns]


@rk.cell(states={"v": "units"}, weights={"kernel": KERNEL, "bias": BIAS})
@plain
def spiking(x, states, weights, *, threshold=0.5):
    """Integrate and fire: neither continuous nor contracting."""
    (v,) = states
    v = 0.95 * v + x @ weights.kernel + weights.bias
    spike = np.where(v > threshold, 1.0, 0.0)
    return spike, (v * (1 - spike),)


@dataclass(frozen=True)
class Case:
    """One cell under test."""

    name: str
    make: Callable  # units → cell
    states: Callable  # (units, features) → the shapes of its states, flat
    step: Callable  # (cell, layer, constants) → the plain step(x, states) with this layer's weights
    listed: bool = True  # has to be traced as a whole
    steady: bool = True  # contracting and continuous: rounding doesn't grow along a sequence
    how: str = "traced"
    constants: tuple = ()  # the shapes of its constants, without the batch
    fixed_start: bool = False  # starts elsewhere than at zero

    def __str__(self):
        return self.name


def declared(cell, layer, constants=(), **fixed):
    """The plain step of a declared cell, on the weights of a layer."""
    function, weights = STEPS[cell], SimpleNamespace(**layer.weights)
    handed = (list(constants),) if constants else ()
    return lambda x, states: normal(function(x, states, weights, *handed, **fixed))


def called(cell, layer, constants=()):
    """The plain step of a cell that is an object, on its own weights."""
    return lambda x, states: normal(cell.call(x, states))


def normal(returned):
    output, states = returned
    return output, tuple(states) if isinstance(states, list | tuple) else (states,)


def case(kind, states, **more):
    name = kind.__name__
    if name in STEPS:
        return Case(name, lambda units: kind(**sizes(name, units)), states, lambda c, *a: declared(name, *a), **more)
    return Case(name, kind, states, called, **more)


def sizes(name, units):
    return {} if name in ("outer_memory", "moving_average", "delta_rule") else {"units": units}


def built_in(name, make, states, equations):
    return Case(name, make, states, lambda cell, layer, constants=(): equations(*layer.get_weights()))


def one(units, features):
    return ((units,),)


def two(units, features):
    return ((units,), (units,))


def stacked_steps(cell, layer, constants=()):
    weights = layer.get_weights()
    return reference.stack([reference.lstm(*weights[:3]), reference.gru_reset_after(*weights[3:])], [2, 1])


CELLS = (
    case(simple, one),
    case(leaky, one),
    case(sparse, one),
    case(lstm, two),
    case(PeepholeLSTMCell, two),
    case(layer_norm_lstm, two),
    case(gru_before, one),
    case(gru_after, one),
    case(minimal_gated, one),
    case(outer_memory, lambda units, features: ((3, 4),)),
    case(attention, one, constants=((6, 5),)),
    case(clockwork, lambda units, features: ((units,), (1,))),
    case(moving_average, lambda units, features: ((features,),)),
    case(linear_recurrent_unit, two),
    case(min_gru, one),
    case(delta_rule, lambda units, features: ((32, 40),)),
    case(two_speeds, lambda units, features: ((3,), (units,)), fixed_start=True),
    case(MinimalRNNCell, one),
    case(SignatureCell, lambda units, features: ((2, units), (3,)), listed=False),
    case(OldStyle, lambda units, features: ((units,), (2,)), listed=False),
    case(spiking, one, listed=False, steady=False),
    case(folded, one, listed=False, how="jitted"),
    case(FoldedCell, lambda units, features: ((units,), (1,)), listed=False, steady=False, how="jitted"),
    built_in("SimpleRNNCell", lambda u: rk.SimpleRNNCell(u, bias_initializer=spread), one, reference.simple_rnn),
    built_in("GRUCell", lambda u: rk.GRUCell(u, bias_initializer=spread), one, reference.gru_reset_after),
    built_in(
        "GRUCell_reset_before",
        lambda u: rk.GRUCell(u, reset_after=False, bias_initializer=spread),
        one,
        reference.gru_reset_before,
    ),
    built_in("LSTMCell", lambda u: rk.LSTMCell(u, bias_initializer=spread), two, reference.lstm),
    Case(
        "StackedRNNCells",
        lambda u: rk.StackedRNNCells([rk.LSTMCell(u), rk.GRUCell(u + 1, bias_initializer=spread)]),
        lambda units, features: ((units,), (units,), (units + 1,)),
        stacked_steps,
    ),
)

NAMED = {c.name: c for c in CELLS}
