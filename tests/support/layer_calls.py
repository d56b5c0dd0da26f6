"""Every kind of layer with the arguments of a call, for what its ``vjp`` promises: ``CASES`` lists them."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from matrix import flat, like, same_bits

import rnnkit as rk

PADDING = 7.0  # what stands under a mask that Masking finds


@rk.cell(
    states={"h": "units", "m": (2, "units")},
    weights={"kernel": rk.Weight(("features", "units")), "gain": rk.Weight((2, 1), "ones")},
)
def told(x, states, weights, constants):
    """Two states of different ranks, a constant, and an output unlike any of them."""
    h, m = states
    (c,) = constants
    h = np.tanh(x @ weights.kernel + m.sum(axis=1) + 0.5 * h)
    m = 0.5 * m * c + weights.gain * h[:, None, :]
    return np.concatenate([m[:, 0] * c[:, 0], x], axis=-1), (h, m)


@rk.cell(states={"h": "features"})
def decaying(x, states, weights):
    """No weights."""
    h = 0.5 * states[0] + np.sin(x)
    return h * states[0], h


@rk.cell(states={"h": "features"})
def forgetful(x, states, weights):
    """Its state reaches the output, and no state after it."""
    return 3.0 * x * states[0], np.sin(x)


def decaying_back(x, states, d_output, d_states, *, decay):
    d = d_output + d_states[0]
    return d * np.cos(x), 2 * decay * states[0] * d, {}


@rk.cell(states={"h": "features"}, vjp=decaying_back)
def told_by_hand(x, states, *, decay=0.2):
    """With a vjp of its own."""
    h = np.sin(x) + decay * states[0] ** 2
    return h, h


@dataclass
class Case:
    """A layer under test: how it is made, and what one of its rows is called with."""

    make: Callable
    x: tuple = (5, 2)  # of one row; ids for ()
    states: tuple = ()
    constants: tuple = ()
    training: bool = False
    masks: bool = False
    on_pattern: tuple = ()  # weights of which only the entries that aren't zero are weights


def gru(**options):
    return rk.GRU(3, **({"seed": 1} | options))


def branched(dtype):
    """Two branches, one layer in both of them, whose states start another; two outputs."""
    x = rk.Input((None, 2), dtype=dtype)
    shared = gru(return_sequences=True, return_state=True)
    steps, state = shared(rk.Masking(PADDING)(x))
    dropped, other = shared(rk.Dropout(0.4, seed=2)(x))
    last = gru()(x, initial_state=rk.Average()([state, other]))
    pooled = rk.GlobalAveragePooling1D()(rk.Multiply()([steps, dropped]))
    return rk.Model(x, [rk.Dense(2, "tanh", seed=1)(rk.Concatenate()([last, pooled])), dropped])


CASES = {
    "rnn": Case(lambda **o: gru(return_sequences=True, **o), states=((3,),), masks=True),
    "rnn_last": Case(gru, states=((3,),), masks=True),
    "rnn_state": Case(
        lambda **o: rk.RNN(told(3), return_sequences=True, return_state=True, seed=1, **o),
        states=((3,), (2, 3)),
        constants=((2, 3),),
        masks=True,
    ),
    "rnn_zeros": Case(
        lambda **o: gru(return_sequences=True, zero_output_for_mask=True, go_backwards=True, return_state=True, **o),
        states=((3,),),
        masks=True,
    ),
    "rnn_dropout": Case(
        lambda **o: gru(return_state=True, dropout=0.4, recurrent_dropout=0.3, **o), training=True, masks=True
    ),
    "no_weights": Case(lambda **o: rk.RNN(decaying(), return_state=True, **o), states=((2,),), masks=True),
    "forgetful": Case(
        lambda **o: rk.RNN(forgetful(), return_sequences=True, return_state=True, **o), states=((2,),), masks=True
    ),
    "stack": Case(
        lambda **o: rk.RNN([rk.LSTMCell(3), rk.GRUCell(2)], return_state=True, return_sequences=True, seed=1, **o),
        states=((3,), (3,), (2,)),
        masks=True,
    ),
    "reservoir": Case(
        lambda **o: rk.RNN(rk.ESNCell(12, bias_scaling=0.3, leak=0.6), return_sequences=True, seed=1, **o),
        states=((12,),),
        masks=True,
        on_pattern=("recurrent_kernel",),
    ),
    **{
        f"bidirectional_{mode}{'' if last else '_sequences'}": Case(
            lambda mode=mode, last=last, **o: rk.Bidirectional(
                gru(return_sequences=not last, return_state=True), mode, **o
            ),
            states=((3,), (3,)),
            masks=True,
        )
        for mode in ("concat", "sum", "mul", "ave", None)
        for last in (False, True)
    },
    "bidirectional_constants": Case(
        lambda **o: rk.Bidirectional(rk.RNN(told(3), return_sequences=True, seed=1), **o),
        states=((3,), (2, 3), (3,), (2, 3)),
        constants=((2, 3),),
        masks=True,
    ),
    "bidirectional_by_hand": Case(
        lambda **o: rk.Bidirectional(
            rk.RNN(told_by_hand(), return_sequences=True, return_state=True, zero_output_for_mask=True), "mul", **o
        ),
        states=((2,), (2,)),
        masks=True,
    ),
    "time_distributed": Case(lambda **o: rk.TimeDistributed(rk.Dense(2, "tanh"), seed=1, **o), (5, 3)),
    "time_distributed_rnn": Case(lambda **o: rk.TimeDistributed(gru(return_state=True), **o), (2, 3, 2)),
    "embedding": Case(lambda **o: rk.Embedding(6, 2, mask_zero=True, seed=1, **o), ()),
    "masking": Case(lambda **o: rk.Masking(PADDING, **o)),
    "dense": Case(lambda **o: rk.Dense(2, "tanh", seed=1, **o), (3,)),
    "dense_wide": Case(lambda **o: rk.Dense(2, "tanh", seed=1, use_bias=False, **o), (2, 4, 3)),
    "activation": Case(lambda **o: rk.Activation("softmax", **o), (2, 4, 3)),
    "reshape": Case(lambda **o: rk.Reshape((-1,), **o), (3,)),
    "pooling": Case(lambda **o: rk.GlobalAveragePooling1D(**o), masks=True),
    "dropout": Case(lambda **o: rk.Dropout(0.4, seed=1, **o), training=True),
    "dropout_resting": Case(lambda **o: rk.Dropout(0.4, seed=1, **o)),
    "sequential": Case(
        lambda **o: rk.Sequential(
            [
                rk.Masking(PADDING),
                rk.Bidirectional(gru(return_sequences=True), "ave"),
                rk.Dropout(0.4),
                rk.TimeDistributed(rk.Dense(2, "tanh")),
                gru(),
                rk.Dense(2, "tanh"),
            ],
            seed=1,
            **o,
        ),
        training=True,
        masks=True,
    ),
    "model": Case(branched, training=True, masks=True),
    "sequential_ids": Case(
        lambda **o: rk.Sequential(
            [rk.Embedding(6, 2, mask_zero=True), rk.Sequential([gru(return_sequences=True), gru(return_state=True)])],
            seed=1,
            **o,
        ),
        (),
    ),
}
each_case = pytest.mark.parametrize("name", CASES)
SINGLE = "rnn rnn_zeros bidirectional_mul_sequences bidirectional_None dense masking dropout sequential".split()
RECURRENT = [name for name, case in CASES.items() if case.states]


@dataclass
class Call:
    """The arguments of a call."""

    x: np.ndarray
    options: dict

    def of(self, layer):
        return layer(self.x, **self.options)

    def vjp(self, layer, **more):
        return layer.vjp(self.x, **self.options, **more)

    def inputs(self):
        """What has a gradient, by name."""
        found = {} if self.x.dtype.kind == "i" else {"x": self.x}
        for what in ("initial_state", "constants"):
            found |= {f"{what} {i}": array for i, array in enumerate(flat(self.options.get(what, [])))}
        return found

    def moved(self, name, array):
        """The same with another array in place of one."""
        if name == "x":
            return replace(self, x=array)
        what, i = name.split()
        arrays = flat(self.options[what])
        arrays[int(i)] = array
        return replace(self, options=self.options | {what: like(self.options[what], arrays)})


def layer_of(name, dtype="float64", **options):
    """A built layer of its own for each test, with the same weights and draws."""
    case = CASES[name]
    layer = case.make(dtype=dtype, **options)
    layer.build((None, None) if case.x == () else (None, *case.x) if len(case.x) < 2 else (None, None, *case.x[1:]))
    return layer


def call_of(name, layer, batch=3, dtype="float64", length=None, masked=None):
    """Arguments for it, with all that the case can be given."""
    case, rng = CASES[name], np.random.default_rng(0)
    masked = case.masks if masked is None else masked
    shape = case.x if length is None or len(case.x) < 2 else (length, *case.x[1:])
    options = {"training": case.training} if case.training else {}
    if case.x == ():
        return Call(rng.integers(0, 6, (batch, 5 if length is None else length)), options)
    x = rng.normal(size=(batch, *shape)).astype(dtype)
    if masked:
        options["mask"] = rng.random(x.shape[:2]) < 0.6
    if masked or name == "masking":
        x[rng.random(x.shape[:2]) < 0.3] = PADDING
    if case.states:
        given = [rng.normal(size=(batch, *s)).astype(dtype) for s in case.states]
        options["initial_state"] = like(layer.get_initial_state(batch), given)
    if case.constants:
        options["constants"] = [rng.normal(size=(batch, *s)).astype(dtype) for s in case.constants]
    return Call(x, options)


def cotangents(outputs, seed=5, dtype=None):
    rng = np.random.default_rng(seed)
    return like(outputs, [rng.normal(size=a.shape).astype(dtype or a.dtype) for a in flat(outputs)])


def arrays_of(gradient):
    """All arrays of a gradient by name."""
    found = {name: np.asarray(array) for name, array in gradient.weights.items()}
    if gradient.x is not None:
        found["x"] = gradient.x
    for what in ("initial_state", "constants"):
        entries = [entry for entry in getattr(gradient, what) or [] if entry is not None]
        found |= {f"{what} {i}": array for i, array in enumerate(flat(entries))}
    return found


def same_gradient(got, expected):
    got, expected = arrays_of(got), arrays_of(expected)
    assert list(got) == list(expected)
    same_bits(list(got.values()), list(expected.values()))


def close_gradient(got, expected, bound=1e-12):
    got, expected = arrays_of(got), arrays_of(expected)
    assert list(got) == list(expected)
    for name in got:
        assert np.linalg.norm(got[name] - expected[name]) <= bound * (1 + np.linalg.norm(expected[name])), name
