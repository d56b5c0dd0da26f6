"""What is no integer and no number: row E19 of docs/contract.md."""

import numpy as np
import pytest
from cells_under_test import leaky
from matrix import same_bits
from refusals import X, built, refused, trained

import rnnkit as rk


@pytest.fixture(autouse=True)
def nothing_is_compiled():
    """What is refused never gets to a program, and what isn't runs as plain Python."""
    with rk.eager():
        yield


def test_the_digits_of_a_size_are_plain_ones():
    with pytest.raises(ValueError, match=r"^expected a size: .*got '²\*units'$"):
        rk.cell(states={"h": "²*units"})(lambda x, states: (x, states))


BAD = [np.inf, -np.inf, np.nan, 2.5, "3", None, True, 10**30, 10**400, 1j, np.array([1, 2]), object()]
COUNTS = {
    "units": lambda n: rk.LSTM(n),
    "n": lambda n: rk.RepeatVector(n),
    "axis": lambda n: rk.Concatenate(axis=n),
    "target_shape": lambda n: rk.Reshape((n, 2)),
    "input_dim": lambda n: rk.Embedding(n, 2),
    "output_dim": lambda n: rk.Embedding(2, n),
    "build": lambda n: rk.LSTM(2).build((None, None, 3 if n is None else n, n)),
    "Input": lambda n: rk.Input((3, 2.5 if n is None else n)),
    "batch_shape": lambda n: rk.Input(batch_shape=(2.5 if n is None else n, 3)),
    "get_initial_state": lambda n: rk.LSTM(2).get_initial_state(n),
    "state size": lambda n: rk.cell(states={"h": (2, n)})(lambda x, states: (x, states)),
    "weight": lambda n: rk.cell(states={"h": 2}, weights={"w": rk.Weight((2, n))})(lambda x, states: (x, states)),
    "constraint": lambda n: rk.constraints.UnitNorm(axis=n),
    "patience": lambda n: rk.callbacks.EarlyStopping(patience=n),
    "cooldown": lambda n: rk.callbacks.ReduceLROnPlateau(cooldown=n),
    "k": lambda n: rk.metrics.TopKCategoricalAccuracy(k=n),
    "history": lambda n: rk.optimizers.LBFGS(history=n),
    "decay_steps": lambda n: rk.optimizers.schedules.CosineDecay(0.1, n),
    "threads": lambda n: rk.set_num_threads(n),
    "memory_limit": lambda n: rk.set_memory_limit(n),
    "horizon": lambda n: rk.forecast.ESN(n),
    "directions": lambda n: rk.gradcheck(leaky(units=2), directions=n),
    "rows": lambda n: built("LSTM")[0].reset_states(rows=[n]),
}


MORE = {"rows": np.ndarray, "state size": str, "weight": str}  # what these take besides integers


@pytest.mark.parametrize("name", COUNTS)
def test_E19_what_is_no_integer(name):
    for bad in BAD:
        if name not in MORE or not isinstance(bad, MORE[name]):
            refused(lambda bad=bad: COUNTS[name](bad))


@pytest.mark.parametrize("name", ["epochs", "initial_epoch", "batch_size", "steps_per_epoch", "validation_freq"])
def test_E19_what_is_no_integer_in_fit(name):
    net = trained()
    before = net.get_weights()
    for bad in BAD:
        if bad is not None or name in ("epochs", "initial_epoch"):  # else None is the default
            refused(lambda bad=bad: net.fit(X, np.ones((3, 5, 1)), verbose=0, **{name: bad}))
    same_bits(net.get_weights(), before)


def test_E19_numbers_beyond_floats():
    for call in (
        lambda: rk.Dropout(10**400),
        lambda: rk.LSTM(2, dropout=-(10**400)),
        lambda: rk.optimizers.Adam(10**400),
        lambda: rk.regularizers.L2(10**400),
        lambda: rk.constraints.MaxNorm(10**400),
        lambda: rk.Weight((2, 2), density=10**400),
        lambda: rk.losses.Huber(10**400),
        lambda: rk.Masking("3"),
        lambda: rk.RepeatVector(10**5000),
        lambda: rk.RepeatVector(np.zeros((9, 9))),
        lambda: rk.initializers.Normal(stddev="3"),
    ):
        refused(call)
