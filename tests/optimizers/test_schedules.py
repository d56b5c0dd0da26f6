"""Learning rates over the updates: against their formulas, Keras and torch."""

import json
import math
import pickle

import numpy as np
import pytest

import rnnkit as rk
from rnnkit.optimizers import schedules
from rnnkit.optimizers.schedules import (
    Constant,
    CosineDecay,
    ExponentialDecay,
    OneCycle,
    PiecewiseConstantDecay,
    Schedule,
    WarmUp,
)

STEPS = [0, 1, 2, 5, 9, 10, 11, 19, 20, 21, 50, 1000]
ALL = [
    Constant(0.3),
    ExponentialDecay(0.5, 10, 0.9),
    ExponentialDecay(0.5, 10, 0.9, staircase=True),
    CosineDecay(0.5, 20),
    CosineDecay(0.5, 20, alpha=0.1),
    CosineDecay(0.0, 20, alpha=0.1, warmup_target=0.5, warmup_steps=10),
    PiecewiseConstantDecay([10, 20], [0.3, 0.2, 0.1]),
    OneCycle(0.5, 50),
    WarmUp(CosineDecay(0.5, 20), 10),
    WarmUp(0.5, 3),
]


def halving(step):
    """A schedule that is a function."""
    return 0.5**step


@pytest.mark.parametrize(
    "schedule", [one for one in ALL if not isinstance(one, (OneCycle, WarmUp, Constant))], ids=repr
)
def test_keras_agrees(schedule):
    keras = pytest.importorskip("keras")
    theirs = getattr(keras.optimizers.schedules, type(schedule).__name__)(**schedule.get_config())
    for step in STEPS:
        assert schedule(step) == pytest.approx(float(theirs(step)), rel=1e-5, abs=1e-7), step


@pytest.mark.parametrize("total, share", [(50, 0.3), (11, 0.25), (7, 0.9)])
def test_one_cycle_is_torchs(total, share):
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=total, pct_start=share)
    own = OneCycle(0.5, total, warmup_fraction=share)
    for step in range(total):
        assert own(step) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9), step
        if step < total - 1:
            optimizer.step()
            theirs.step()
    assert own(total + 100) == pytest.approx(0.5 / 25 / 1e4)


def test_warm_up_leads_to_the_schedule():
    decay = CosineDecay(0.5, 20)
    schedule = WarmUp(decay, 10)
    rates = [schedule(step) for step in range(11)]
    assert np.allclose(np.diff(rates), 0.5 / 11) and rates[10] == decay(0) == 0.5
    assert [schedule(10 + step) for step in range(30)] == [decay(step) for step in range(30)]
    assert WarmUp(halving, 1)(2) == 0.5


@pytest.mark.parametrize("schedule", ALL, ids=repr)
def test_a_configuration_brings_the_same_back(schedule):
    again = schedules.get(json.loads(json.dumps(schedules.config_of(schedule))))
    assert again == schedule == pickle.loads(pickle.dumps(schedule))
    assert [again(step) for step in STEPS] == [schedule(step) for step in STEPS]
    assert all(math.isfinite(schedule(step)) and schedule(step) >= 0 for step in STEPS)


@pytest.mark.parametrize(
    "make, error",
    [
        (lambda: CosineDecay(-1, 10), "initial_learning_rate"),
        (lambda: CosineDecay(0.1, 0), "decay_steps"),
        (lambda: OneCycle(0.1, 10, warmup_fraction=1.0), "warmup_fraction"),
        (lambda: PiecewiseConstantDecay([1, 2], [1, 2]), "one value more"),
        (lambda: PiecewiseConstantDecay([2, 1], [1, 2, 3]), "grow"),
        (lambda: schedules.get("cosine"), "expected a schedule among"),
        (lambda: rk.optimizers.SGD(learning_rate=-0.1), "learning_rate"),
        (lambda: rk.optimizers.SGD(learning_rate=float("nan")), "learning_rate"),
    ],
)
def test_what_is_no_schedule(make, error):
    with pytest.raises(ValueError, match=error):
        make()


class Steep(Schedule):
    """A user's own, with a setting."""

    def __init__(self, start):
        self.start = start

    def __call__(self, step):
        return self.start / (1 + step)

    def get_config(self):
        return {"start": self.start}


@pytest.mark.parametrize("schedule", [halving, Steep(1.0), PiecewiseConstantDecay([0], [1.0, 0.25])])
def test_an_optimizer_follows_its_schedule(schedule):
    optimizer = rk.optimizers.SGD(schedule)
    weights = {"w": np.zeros(3)}
    for step in range(4):
        assert optimizer.learning_rate == schedule(step) and optimizer.iterations == step
        after = optimizer.apply(weights, {"w": np.ones(3)})
        assert (after["w"] == weights["w"] - schedule(step)).all()
        weights = after
    with pytest.raises(TypeError, match="left to its schedule"):
        optimizer.learning_rate = 0.1
    config = json.loads(json.dumps(rk.optimizers.config_of(optimizer)))["config"]
    again = rk.optimizers.SGD.from_config(config, custom_objects={"halving": halving})
    again.set_state(optimizer.get_state())
    assert again.learning_rate == optimizer.learning_rate == schedule(4)


FORMULAS = {
    ExponentialDecay(0.5, 10, 0.9): lambda t: 0.5 * 0.9 ** (t / 10),
    ExponentialDecay(0.5, 10, 0.9, staircase=True): lambda t: 0.5 * 0.9 ** math.floor(t / 10),
    CosineDecay(0.5, 20, alpha=0.1): lambda t: 0.5 * (0.9 * (1 + math.cos(math.pi * min(t / 20, 1))) / 2 + 0.1),
    CosineDecay(0.1, 20, warmup_target=0.5, warmup_steps=10): lambda t: (
        0.1 + 0.4 * t / 10 if t < 10 else 0.25 * (1 + math.cos(math.pi * min((t - 10) / 20, 1)))
    ),
    PiecewiseConstantDecay([10, 20], [0.3, 0.2, 0.1]): lambda t: 0.3 if t <= 10 else 0.2 if t <= 20 else 0.1,
}


@pytest.mark.parametrize("schedule", FORMULAS, ids=repr)
def test_rates_are_their_formulas(schedule):
    for step in STEPS:
        assert schedule(step) == pytest.approx(FORMULAS[schedule](step), rel=1e-12, abs=1e-15), step


@pytest.mark.parametrize("total, share", [(50, 0.3), (11, 0.25), (7, 0.9), (4, 0.3), (2, 0.3)])
def test_one_cycle_goes_through_its_three_rates(total, share):
    schedule, top = OneCycle(0.5, total, warmup_fraction=share), share * total - 1
    rates = [schedule(step) for step in range(total)]
    start, end = 0.5 / 25, 0.5 / 25 / 1e4
    for step, rate in enumerate(rates):
        low, along = (start, step / top) if step < top else (end, 1 - (step - max(top, 0)) / (total - 1 - max(top, 0)))
        assert rate == pytest.approx(low + (0.5 - low) * (1 - math.cos(math.pi * along)) / 2, rel=1e-9), step
    assert rates[-1] == pytest.approx(end) and schedule(total + 100) == pytest.approx(end)
    assert rates[0] == pytest.approx(start if top > 0 else 0.5)
