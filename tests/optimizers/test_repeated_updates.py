"""Updates that are repeated: the same bits as the ordinary way, and nothing is lost in between."""

import copy
import pickle

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.layers.support.runner import SURE, Runner
from rnnkit.optimizers.group import Group
from rnnkit.optimizers.in_place import ApplyRunner
from rnnkit.steps.weight_options import WeightOptions

SHAPES = {"kernel": (3, 40), "bias": (7,), "scale": (), "none": (0, 4)}
ALL = {
    "sgd": lambda: rk.optimizers.SGD(0.1),
    "momentum": lambda: rk.optimizers.SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: rk.optimizers.Adam(0.1),
    "adamw": lambda: rk.optimizers.AdamW(0.1, clipvalue=0.3),
    "rmsprop": lambda: rk.optimizers.RMSprop(0.1, centered=True, momentum=0.5, clipnorm=0.5),
    "lion": lambda: rk.optimizers.Lion(0.1, global_clipnorm=0.5),
    "schedule": lambda: rk.optimizers.Adam(rk.optimizers.schedules.CosineDecay(0.1, 7)),
}


def arrays(seed, dtypes=("float32",)):
    rng = np.random.default_rng(seed)
    return {
        name: np.array(rng.normal(size=shape), dtypes[i % len(dtypes)])
        for i, (name, shape) in enumerate(SHAPES.items())
    }


def steps(optimizer, count=9, weights=None, dtypes=("float32",), change=None):
    weights = arrays(0, dtypes) if weights is None else weights
    for i in range(count):
        if change is not None and i == count - 2:
            weights = change(optimizer, weights) or weights
        weights = optimizer.apply(weights, arrays(i + 1, dtypes))
    return weights


def same(found, expected, optimizer, other):
    assert list(found) == list(expected)
    for name, array in expected.items():
        assert found[name].tobytes() == array.tobytes() and found[name].dtype == array.dtype
        assert found[name].shape == array.shape and not found[name].flags.writeable
    for name, array in other.get_state().items():
        assert optimizer.get_state()[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("dtypes", [("float32",), ("float64",), ("float32", "float64")])
@pytest.mark.parametrize("name", ALL)
def test_the_bits_are_those_of_the_ordinary_way(name, dtypes, monkeypatch):
    optimizer, other, done, take_weights = ALL[name](), ALL[name](), [], Group.take_weights

    def counted(self, weights):
        done.append(1)
        take_weights(self, weights)

    monkeypatch.setattr(Group, "take_weights", counted)
    found = steps(optimizer, dtypes=dtypes)
    # Beside the ordinary ones, one to record it, and one to load weights into place when it is repeated.
    assert len(done) == (Runner._met + 1 + SURE + 3) * len(set(dtypes))
    monkeypatch.setattr(ApplyRunner, "serve", lambda *_: None)
    same(found, steps(other, dtypes=dtypes), optimizer, other)


def replaced(optimizer, weights):
    return {name: np.multiply(0.5, array, dtype=array.dtype) for name, array in weights.items()}


def reset(optimizer, weights):
    optimizer.set_state(optimizer.get_state() | {"iterations": 2})


def faster(optimizer, weights):
    optimizer.learning_rate = 0.7


def read_only(optimizer, weights):
    optimizer.apply(weights, {name: np.broadcast_to(np.float32(0.5), shape) for name, shape in SHAPES.items()})


def in_other_precision(optimizer, weights):
    return optimizer.apply(weights, {name: array.astype(float) for name, array in arrays(50).items()})


def as_lists(optimizer, weights):
    return optimizer.apply(weights, {name: array.tolist() for name, array in arrays(50).items() if array.size} | {
        "none": np.zeros((0, 4))
    })  # fmt: skip


def turned(optimizer, weights):
    return optimizer.apply(weights, {name: array.T.copy().T for name, array in arrays(50).items()})


def with_options(optimizer, weights):
    options = {name: WeightOptions(regularizer="l2") for name in weights}
    return optimizer.apply(weights, arrays(50), options)


def in_another_order(optimizer, weights):
    return optimizer.apply(dict(reversed(weights.items())), arrays(50))


CHANGES = (replaced, reset, faster, read_only, in_other_precision, as_lists, turned, with_options, in_another_order)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_what_changes_in_between_counts(change, monkeypatch):
    optimizer, other = ALL["adam"](), ALL["adam"]()
    found = steps(optimizer, change=change)
    monkeypatch.setattr(ApplyRunner, "serve", lambda *_: None)
    same(found, steps(other, change=change), optimizer, other)


def test_weights_from_before_stay_as_they_were():
    optimizer, kept = ALL["adam"](), []
    weights = arrays(0)
    for i in range(9):
        weights = optimizer.apply(weights, arrays(i + 1))
        kept.append((weights, {name: array.copy() for name, array in weights.items()}, optimizer.get_state()))
    for found, copied, _ in kept:
        for name, array in found.items():
            np.testing.assert_array_equal(array, copied[name])
    again = ALL["adam"]()
    again.set_state(kept[5][2])
    weights = kept[5][0]
    for i in range(6, 9):
        weights = again.apply(weights, arrays(i + 1))
    same(weights, kept[-1][0], again, optimizer)


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"bias": np.full(7, np.nan, "float32")}, "expected finite gradients, got nan at [0] in that of 'bias'"),
        ({"bias": np.full(6, 1.0, "float32")}, "expected the gradient of 'bias' of shape (7,), got (6,)"),
        ({"bias": None}, "expected the gradient of 'bias'"),
    ],
)
def test_a_wrong_gradient_is_the_ordinary_error_and_changes_nothing(wrong, words):
    optimizer = ALL["adam"]()
    weights = steps(optimizer)
    state = optimizer.get_state()
    with pytest.raises((FloatingPointError, ValueError, TypeError)) as caught:
        optimizer.apply(weights, arrays(50) | wrong)
    assert words in str(caught.value)
    with pytest.raises(ValueError, match="got none for 'bias'"):
        optimizer.apply(weights, {"kernel": arrays(50)["kernel"]})
    assert all(np.array_equal(array, optimizer.get_state()[name]) for name, array in state.items())
    other = ALL["adam"]()
    same(steps(optimizer, 1, weights), steps_after(other), optimizer, other)


def steps_after(other):
    return steps(other, 1, steps(other))


def test_copies_go_on_by_themselves():
    optimizer = ALL["adam"]()
    weights = steps(optimizer)
    for other in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        expected = copy.deepcopy(optimizer)
        same(steps(other, weights=weights), steps(expected, weights=weights), other, expected)


def test_other_weights_are_the_ordinary_error():
    optimizer = ALL["adam"]()
    weights = steps(optimizer)
    with pytest.raises(ValueError, match="to get the trainable weights of its first update"):
        optimizer.apply(weights | {"more": np.zeros(2)}, arrays(50) | {"more": np.zeros(2)})
    with pytest.raises(ValueError, match="to get the trainable weights of its first update"):
        optimizer.apply(weights | {"bias": np.zeros(8, "float32")}, arrays(50))


def test_after_an_error_with_other_weights_it_goes_on_from_those_given():
    optimizer, other = ALL["adam"](), ALL["adam"]()
    weights, expected = steps(optimizer), steps(other)
    for wrong in ({"bias": np.full(7, np.nan, "float32")},):
        with pytest.raises(FloatingPointError):
            optimizer.apply(replaced(optimizer, weights), arrays(50) | wrong)
        same(steps(optimizer, 1, weights), steps(other, 1, expected), optimizer, other)


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
def test_clipping_that_begins_ends_or_changes(clip, monkeypatch):
    found = []
    for _ in range(2):
        optimizer, weights = ALL["adam"](), arrays(0)
        for i, limit in enumerate((None, None, None, None, None, 0.01, 0.01, 0.02, None, None, 0.3, 0.3, 0.3)):
            setattr(optimizer, clip, limit)
            weights = optimizer.apply(weights, arrays(i + 1))
        found.append((weights, optimizer))
        monkeypatch.setattr(ApplyRunner, "serve", lambda *_: None)
    same(found[0][0], found[1][0], found[0][1], found[1][1])


def test_large_weights_are_not_kept_twice():
    optimizer = ALL["adam"]()
    weights = {"kernel": np.zeros((1000, 1000), "float32")}
    for _ in range(6):
        weights = optimizer.apply(weights, {"kernel": np.ones((1000, 1000), "float32")})
    (kind,) = optimizer._apply_runner._kinds.values()
    assert kind.refusal == "it holds more than 16,777,216 bytes"
