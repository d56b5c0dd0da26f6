"""Random numbers of each step: the generator's known numbers, its distributions, and the laws of a recurrence."""

import math

import numpy as np
import pytest
from scipy import stats

import rnnkit as rk
from rnnkit.steps.step_draws import StepGenerator


@rk.cell(
    states={"s": "units"},
    weights={"scale": rk.Weight(("units",), "ones")},
    draws={
        "z": rk.Draw(("units",), "normal", every="step"),
        "pair": rk.Draw((2, 3), lambda rng, shape: rng.gamma(1.5, 2.0, size=shape), every="step"),
        "state": rk.Draw((), lambda rng, shape: rng.choice(3, shape, p=np.array([0.2, 0.5, 0.3])), every="step"),
        "fixed": rk.Draw(("units",), lambda rng, shape: rng.random(shape)),
    },
)
def walk(x, states, weights, draws):
    s = 0.9 * states.s + weights.scale * draws.z + x[:, :1] + draws.fixed + draws.state[:, None]
    return np.concatenate([s, draws.pair.reshape(-1, 6)], axis=-1), s


@rk.cell(states={"s": 3}, draws={"z": rk.Draw((3,), "normal", every="step")})
def plain(x, states, draws):
    s = 0.9 * states.s + draws.z
    return s, s


@rk.loop(draws={"z": rk.Draw((), "normal", every="step")}, seed=1)
def motion(x, s=1.0, *, mu, sigma, draws):
    """A geometric Brownian motion over the times between steps."""
    s = s * np.exp((mu - 0.5 * sigma**2) * x + sigma * np.sqrt(x) * draws.z)
    return s, s


def layer_of(units=3, **options):
    return rk.RNN(walk(units), return_sequences=True, return_state=True, seed=4, **options)


def fixed(rows):
    """Starts of a generator with keys, so that calls draw the same numbers."""
    return np.random.default_rng(5).integers(1, 1 << 24, (rows, 4)) * np.array([1.0, 1.0, 0.0, 0.0])


def test_the_generator_is_philox():
    """The known answer of Random123 for a counter and a key of zeros."""
    found = StepGenerator(np.zeros(4), 0)._bits(4)
    assert found.tolist() == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


DISTRIBUTIONS = {
    "random": ({}, "uniform"),
    "uniform": ({"low": -1.0, "high": 3.0}, stats.uniform(-1, 4).cdf),
    "standard_normal": ({}, "norm"),
    "normal": ({"loc": 2.0, "scale": 0.5}, stats.norm(2, 0.5).cdf),
    "lognormal": ({"mean": 0.2, "sigma": 0.5}, stats.lognorm(0.5, scale=math.exp(0.2)).cdf),
    "standard_exponential": ({}, "expon"),
    "exponential": ({"scale": 2.0}, stats.expon(scale=2).cdf),
    "gumbel": ({"loc": 1.0, "scale": 2.0}, stats.gumbel_r(1, 2).cdf),
    "logistic": ({"loc": 1.0, "scale": 2.0}, stats.logistic(1, 2).cdf),
    "laplace": ({"loc": 1.0, "scale": 2.0}, stats.laplace(1, 2).cdf),
    "standard_gamma": ({"shape": 0.3}, stats.gamma(0.3).cdf),
    "gamma": ({"shape": 4.0, "scale": 2.0}, stats.gamma(4, scale=2).cdf),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distributions(name):
    keywords, cdf = DISTRIBUTIONS[name]
    found = getattr(StepGenerator(fixed(20_000), 3), name)(size=(5,), **keywords)
    assert found.shape == (20_000, 5)
    assert stats.kstest(found.ravel(), cdf).pvalue > 1e-3
    assert abs(np.corrcoef(found, rowvar=False) - np.eye(5)).max() < 0.05


@pytest.mark.parametrize("mean", [0.0, 0.3, 4.0, 9.9, 10.0, 37.5, 2000.0])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_counts_have_the_distribution_of_poisson(mean, dtype):
    state = fixed(20_000).astype(dtype)
    found = StepGenerator(state, 3).poisson(np.full((20_000, 2), mean, dtype), size=(2,))
    assert found.dtype == dtype and (found == np.rint(found)).all() and (found >= 0).all()
    if mean == 0:
        assert not found.any()
        return
    ends = np.unique(stats.poisson(mean).ppf(np.linspace(0, 1, 21)[1:-1]))
    bins = np.concatenate([[-np.inf], ends, [np.inf]])
    expected = np.diff(stats.poisson(mean).cdf(bins)) * found.size
    counted = np.diff([np.sum(found <= end) for end in bins])
    assert stats.chisquare(counted, expected).pvalue > 1e-3
    assert abs(np.corrcoef(found, rowvar=False)[0, 1]) < 0.05


def test_choices_have_their_probabilities():
    state, chances = fixed(20_000), np.array([0.2, 0.5, 0.3])
    rng = StepGenerator(state, 0)
    for found in (
        rng.choice(3, size=(2,), p=chances),
        rng.choice(3, p=np.broadcast_to(chances, (20_000, 3))),
        rng.choice(3, size=(2,), p=np.broadcast_to(chances, (20_000, 3))),
    ):
        counts = np.bincount(found.ravel(), minlength=3)
        assert stats.chisquare(counts, chances * counts.sum()).pvalue > 1e-3
    assert np.unique(rng.choice(4)).tolist() == [0, 1, 2, 3]


def test_integers_and_that_nothing_repeats():
    state = fixed(2000)
    found = StepGenerator(state, 0).integers(-2, 5, size=(10,))
    counts = np.unique(found, return_counts=True)
    assert counts[0].tolist() == list(range(-2, 5)) and stats.chisquare(counts[1]).pvalue > 1e-3
    several = []
    for step in range(3):
        state[:, 2] = step
        for number in range(3):
            rng = StepGenerator(state, number)
            several += [rng._bits(6), rng._bits(6)]
    numbers = np.concatenate(several)
    assert len(np.unique(numbers)) > 0.999 * numbers.size


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("units", [2, 40])
def test_C18_compiled_steps_draw_what_python_draws(units, dtype, rng):
    x, mask = rng.normal(size=(4, 7, 2)).astype(dtype), rng.random((4, 7)) < 0.7
    compiled = layer_of(units, dtype=dtype, go_backwards=True)(x, mask=mask)
    with rk.eager():
        python = layer_of(units, dtype=dtype, go_backwards=True)(x, mask=mask)
    tolerance = {"rtol": 1e-5, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-12, "atol": 1e-12}
    for one, other in zip(compiled, python, strict=True):
        np.testing.assert_allclose(one, other, **tolerance)


def test_C18_a_sequence_may_be_split_streamed_and_masked(rng):
    """With keys that are given, a call's bits are those of its parts, of any rows, and of a stream."""
    x, start = rng.normal(size=(5, 12, 2)), [np.zeros((5, 3)), fixed(5)]
    layer = rk.RNN(plain(), return_sequences=True, return_state=True, dtype="float64")
    y, _, random = layer(x, initial_state=start)
    first = layer(x[:, :5], initial_state=start)
    second = layer(x[:, 5:], initial_state=list(first[1:]))
    np.testing.assert_array_equal(np.concatenate([first[0], second[0]], axis=1), y)
    np.testing.assert_array_equal(second[2], random)
    alone = layer(x[3:4], initial_state=[array[3:4] for array in start])
    np.testing.assert_array_equal(alone[0], y[3:4])
    mask = np.ones((5, 12), bool)
    mask[:, 4:6] = False
    masked = layer(x, initial_state=start, mask=mask)
    np.testing.assert_array_equal(masked[0][:, 6:], y[:, 4:10])  # masked steps draw nothing
    stream = layer.stream(5, initial_state=start)
    np.testing.assert_array_equal(np.stack([stream.step(x[:, t])[0] for t in range(12)], axis=1), y)
    threads = rk.get_num_threads()
    try:
        rk.set_num_threads(1)
        np.testing.assert_array_equal(layer(x, initial_state=start)[0], y)
    finally:
        rk.set_num_threads(threads)


def test_C18_calls_draw_anew_and_seeds_repeat(rng):
    x = rng.normal(size=(3, 6, 2))
    layer, same = layer_of(), layer_of()
    one, two = layer(x)[0], layer(x)[0]
    assert not np.array_equal(one, two)
    np.testing.assert_array_equal(one, same(x)[0])
    np.testing.assert_array_equal(two, same(x)[0])
    stateful = rk.RNN(plain(), return_sequences=True, stateful=True, seed=4, dtype="float64")
    parts = np.concatenate([stateful(x[:, :2]), stateful(x[:, 2:])], axis=1)
    np.testing.assert_array_equal(parts, rk.RNN(plain(), return_sequences=True, seed=4, dtype="float64")(x))


def test_C18_the_state_of_the_generator_may_be_left_out(rng):
    x, start = rng.normal(size=(3, 6, 2)), rng.normal(size=(3, 3))
    for given in ([start], start):
        layer, same = (rk.RNN(plain(), return_sequences=True, seed=4, dtype="float64") for _ in range(2))
        drawn = layer(x, initial_state=given)
        np.testing.assert_array_equal(drawn, same(x, initial_state=[start, np.zeros((3, 4))]))
        assert not np.array_equal(drawn, layer(x, initial_state=given))
    with pytest.raises(ValueError, match=r"2 entries: \(batch, 3\), \(batch, 4\); got 3 entries"):
        layer(x, initial_state=[start] * 3)


def test_C18_gradients_go_through_what_is_drawn(rng):
    x, key, point = np.full(50, 0.02), fixed(1)[0], {"mu": 0.1, "sigma": 0.3}
    y, pull = motion.vjp(x, random=key, **point)
    d = rng.normal(size=y.shape)
    found = pull(d).parameters
    for name in point:
        up, down = (motion(x, random=key, **{**point, name: point[name] + step}) for step in (1e-6, -1e-6))
        np.testing.assert_allclose(found[name], np.vdot(d, up - down) / 2e-6, rtol=1e-6)
    assert rk.hessian(motion, x, by="sigma", random=key, **point) != 0


def test_C18_gradients_of_all_that_a_step_reads_are_slopes():
    assert rk.gradcheck(plain(), (2, 3, 1))


def test_C18_a_simulation_has_its_moments():
    x = np.full((20_000, 52, 1), 1 / 52)
    y = motion(x, mu=0.05, sigma=0.2)
    assert y.shape == (20_000, 52)
    np.testing.assert_allclose(y[:, -1].mean(), math.exp(0.05), rtol=0.01)
    np.testing.assert_allclose(np.log(y[:, -1]).std(), 0.2, rtol=0.03)
    stream = motion.stream(mu=0.05, sigma=0.2)
    assert stream.step(0.02) != stream.step(0.02)
    y, _, random = motion(x[0, :20], mu=0.05, sigma=0.2, return_state=True)
    np.testing.assert_array_equal(motion(x[0, :20], mu=0.05, sigma=0.2, random=random * [1, 1, 0, 0]), y)


def test_C18_in_stacks_models_and_files(rng, tmp_path):
    model = rk.Sequential([rk.RNN([walk(3), rk.GRUCell(2)], return_sequences=True), rk.Dense(1)], seed=0)
    x = rng.normal(size=(4, 6, 2)).astype("float32")
    model.compile(optimizer="sgd", loss="mse")
    model.fit(x, np.zeros((4, 6, 1), "float32"), epochs=1, verbose=0)
    model.save(tmp_path / "model.rnn")
    loaded = rk.load_model(tmp_path / "model.rnn", custom_objects={"walk": walk})
    assert loaded(x).shape == (4, 6, 1)


def test_what_cannot_be_is_an_error_that_says_so(tmp_path):
    with pytest.raises(ValueError, match="'call' or 'step'"):
        rk.Draw((1,), "normal", every="hour")
    with pytest.raises(ValueError, match="one of normal, uniform, exponential"):
        rk.Draw((1,), "cauchy", every="step")
    with pytest.raises(ValueError, match="named 'random'"):
        rk.cell(states={"random": 1}, draws={"z": rk.Draw((1,), "normal", every="step")})
    with pytest.raises(ValueError, match="draws behind the star"):
        rk.loop(draws={"z": rk.Draw((), "normal", every="step")})(lambda x, s=0.0: (s, s))

    def of(function):
        @rk.cell(states={"s": 1}, draws={"z": rk.Draw((1,), function, every="step")})
        def cell(x, states, draws):
            return draws.z, states.s

        return rk.RNN(cell())

    with pytest.raises(AttributeError, match="no 'binomial'"):
        of(lambda rng, shape: rng.binomial(3, 0.5, shape))(np.ones((1, 2, 1)))
    layer = of("normal")
    layer(np.ones((1, 2, 1), "float32"))
    with pytest.raises(ValueError, match="random"):
        rk.export_c(layer, tmp_path / "nothing")
    pytest.importorskip("onnx")
    with pytest.raises(ValueError, match="random"):
        rk.onnx.export(layer, tmp_path / "nothing.onnx")
