"""Jitted steps: those that numba compiles as they stand, against the same steps in a Python loop."""

import warnings

import numpy as np
import pytest
import scipy.special
from matrix import every

import rnnkit as rk
from rnnkit import activations
from rnnkit.backends.formulas.table import FORMULAS, arity
from rnnkit.backends.jit import executor as driver_module
from rnnkit.backends.jit import replacements
from rnnkit.backends.jit.executor import CannotCompile, JitExecutor
from rnnkit.backends.jit.fingerprint import content
from rnnkit.backends.jit.step import Jit
from rnnkit.backends.python.eager import Eager
from rnnkit.backends.shared.call import Record
from rnnkit.compiler.ir.operations import OPERATIONS
from rnnkit.steps.cell import prepare
from rnnkit.steps.step import Step

ASSIGN = {"constants": [(2, 3)], "training": True}
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}
SPEC = {
    "kernel": rk.Weight(("features", "units"), "glorot_uniform"),
    "recurrent_kernel": rk.Weight(("units", "units"), "orthogonal"),
}


@rk.cell(states={"h": "units"}, weights=SPEC)
def pondering(x, states, weights, *, enough=0.9, activation=np.tanh, extra=None):
    """Adaptive computation: a row is refined until its own halting sum is enough."""
    (h,) = states
    halted = np.zeros((x.shape[0], 1))
    for _ in range(5):
        running = halted < enough
        new = activation(x @ weights.kernel + h @ weights.recurrent_kernel)
        h = np.where(running, new, h)
        halted = halted + np.where(running, 0.2 + 0.3 * activations.sigmoid(new[:, :1]), 0)
        if np.all(halted >= enough):
            break
    if extra is not None:
        h = h * extra["never looked at"]
    return np.concatenate([h, halted], axis=-1), [h]


@rk.cell(states={"h": "units", "m": (2, 3)}, weights=SPEC)
def assigning(x, states, weights, constants, training=False, *, half=2):
    """Assigns into its arguments, looks at constants and training, and has a state with two axes."""
    h, m = states
    (c,) = constants
    h *= 0.5
    h[:, half:] = np.maximum(h[:, half:], x[:, :1])
    h[h > 0.8] = 0.8
    h += np.tanh(x @ weights.kernel) * c.sum(axis=(1, 2), keepdims=True)[:, 0]
    m[:, 0] += h[:, :1]
    m = m - m.mean(axis=-1, keepdims=True)
    if training:
        h = h * 0.9
    x[:, 0] = 7
    return h @ weights.recurrent_kernel, (h, m)


def doubled(z, times=2.0, *, plus=0.0):
    return z * times + plus


def scaled(z, *, by):
    return doubled(z, plus=0.1) * by


class Countdown(rk.Cell):
    """A class cell with attributes of every kind, a method, helpers, and a while loop."""

    def __init__(self, units, activation=activations.gelu):
        super().__init__()
        self.units, self.state_size = units, units
        self.activation = activation
        self.scales = [np.full(units, 0.5, np.float32), 1.5]
        self.mode = "plain"
        self._offset = np.arange(units)

    def build(self, input_shape):
        self.kernel = self.add_weight((input_shape[-1], self.units), name="kernel")
        self.both = [self.add_weight((self.units, self.units)), self.add_weight((self.units,), "ones")]
        self.built = True

    def projected(self, inputs):
        return self.activation(np.matmul(inputs, self.kernel)) * self.scales[0]

    def call(self, inputs, states):
        h = states[0]
        if self.mode == "other":
            return self.nothing_of_the_kind
        total = self.projected(inputs) + h @ self.both[0] + self.both[1]
        for row in range(inputs.shape[0]):
            while total[row, 0] > 0.3:
                total[row] -= 0.25
        return scaled(total, by=0.1) + self._offset, [np.tanh(total)]


def built(cell, dtype=np.float64, features=(3,)):
    prepare(cell, (None, *features), dtype, np.random.default_rng(0))
    return Step(cell, features)


def record_for(step, dtype, *, batch_size=5, length=7, constants=(), **options):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(batch_size, length, *step.feature_shape)).astype(dtype)
    states = tuple(rng.normal(size=s.shape).astype(dtype) for s in step.initial_states(batch_size, dtype))
    constants = tuple(rng.normal(size=(batch_size, *shape)).astype(dtype) for shape in constants)
    mask = rng.random((batch_size, length)) < 0.6
    mask[0], mask[1, :2] = False, False
    return Record(x, states, dict(step.cell.weights), mask, constants, **options)


def assert_same(found, expected, tolerance=0.0):
    assert (found.outputs is None) == (expected.outputs is None)
    assert (found.trajectory is None) == (expected.trajectory is None)
    pairs = [(found.last, expected.last), *zip(found.states, expected.states, strict=True)]
    pairs += [] if found.outputs is None else [(found.outputs, expected.outputs)]
    pairs += [] if found.trajectory is None else zip(found.trajectory, expected.trajectory, strict=True)
    for a, b in pairs:
        assert a.shape == b.shape and a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def ponder():
    step = built(pondering(4), np.float64)
    return JitExecutor(step, np.float64, step.cell.weights)


@pytest.fixture(scope="module")
def assign():
    step = built(assigning(4), np.float32)
    return JitExecutor(step, np.float32, step.cell.weights, [(2, 3)], training=True)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("zero_masked", [False, True])
@pytest.mark.parametrize("masked", [False, True])
def test_equals_the_python_loop(ponder, assign, masked, zero_masked, reverse):
    for driver, dtype, more in ((ponder, np.float64, {}), (assign, np.float32, ASSIGN)):
        record = record_for(driver.step, dtype, reverse=reverse, zero_masked=zero_masked, trajectory=True, **more)
        if not masked:
            record.mask = None
        assert_same(driver.run(record), Eager(driver.step).run(record), TOLERANCE[dtype])


def test_only_what_is_asked_for_comes_back(ponder):
    record = record_for(ponder.step, np.float64, sequences=False)
    result = ponder.run(record)
    assert result.outputs is None and result.trajectory is None
    assert_same(result, Eager(ponder.step).run(record), 1e-12)


def test_a_masked_row_holds_its_states_bit_for_bit(assign):
    record = record_for(assign.step, np.float32, **ASSIGN)
    record.x[~record.mask] = np.nan
    result = assign.run(record)
    for held, given in zip(result.states, record.states, strict=True):
        np.testing.assert_array_equal(held[0], given[0])
    assert np.isfinite(result.outputs).all() and not result.outputs[0].any()


def test_parts_make_the_whole_bit_for_bit(assign):
    whole = record_for(assign.step, np.float32, **ASSIGN)
    whole.mask = None
    first = Record(**{**as_dict(whole), "x": whole.x[:, :3]})
    middle = assign.run(first)
    rest = assign.run(Record(**{**as_dict(whole), "x": whole.x[:, 3:], "states": middle.states}))
    expected = assign.run(whole)
    np.testing.assert_array_equal(np.concatenate([middle.outputs, rest.outputs], axis=1), expected.outputs)
    for a, b in zip(rest.states, expected.states, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("threads", [1, 3])
def test_a_row_does_not_depend_on_the_others_or_on_threads(ponder, threads):
    record = record_for(ponder.step, np.float64, batch_size=70)
    before = rk.get_num_threads()
    rk.set_num_threads(threads)
    try:
        whole = ponder.run(record)
    finally:
        rk.set_num_threads(before)
    row = slice(41, 42)
    alone = Record(record.x[row], tuple(s[row] for s in record.states), record.weights, record.mask[row])
    np.testing.assert_array_equal(ponder.run(alone).outputs, whole.outputs[row])


def test_arguments_stay_as_they_are(assign):
    record = record_for(assign.step, np.float32, **ASSIGN)
    arrays = [record.x, *record.states, *record.constants, record.mask]
    before = [array.copy() for array in arrays]
    assign.run(record)
    for array, copy in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_strided_and_empty_inputs(ponder):
    record = record_for(ponder.step, np.float64)
    expected = ponder.run(record)
    wide = np.zeros((5, 14, 3))
    wide[:, ::2] = record.x
    record.x, record.mask = wide[:, ::2], np.asfortranarray(record.mask)
    assert_same(ponder.run(record), expected)
    for batch_size, length in ((0, 4), (4, 0)):
        empty = empty_record(ponder.step, batch_size, length)
        result = ponder.run(empty)
        assert result.outputs.shape == (batch_size, length, 5)
        np.testing.assert_array_equal(result.states[0], empty.states[0])


def test_no_features_at_all():
    step = built(sharing(4), features=(0,))
    driver = JitExecutor(step, np.float64, step.cell.weights)
    record = record_for(step, np.float64)
    assert_same(driver.run(record), Eager(step).run(record), 1e-12)


def empty_record(step, batch_size, length):
    x = np.zeros((batch_size, length, *step.feature_shape))
    return Record(x, (np.ones((batch_size, 4)),), dict(step.cell.weights))


def as_dict(record):
    return {name: getattr(record, name) for name in Record.__slots__ if name != "recording"}


def test_a_class_cell_with_attributes_methods_and_helpers():
    step = built(Countdown(4))
    driver = JitExecutor(step, np.float64, step.cell.weights)
    record = record_for(step, np.float64)
    assert_same(driver.run(record), Eager(step).run(record), 1e-12)
    record.weights = {name: array + 0.5 for name, array in record.weights.items()}
    assert_same(driver.run(record), Eager(step).run(record), 1e-12)


def test_a_stack_chains_its_cells():
    def halved(x, states, weights):
        (h,) = states
        z = x @ weights.kernel + h
        while z[0, 0] > 0.5:
            z = z / 2
        return z, z

    class Doubled(rk.Cell):
        state_size = (2, 3)

        def build(self, input_shape):
            self.kernel = self.add_weight((input_shape[-1], 3), name="kernel")

        def call(self, inputs, states):
            a, b = states
            out = inputs @ self.kernel + b
            return out, [a + 1, np.tanh(out)]

    bottom = rk.cell(states={"h": 2}, weights={"kernel": rk.Weight(("features", 2))})(halved)
    drawing = rk.SimpleRNNCell(2, dropout=0.5)  # a draw that nobody looks at
    stack = rk.StackedRNNCells([bottom(), Doubled(), drawing])
    step = built(stack)
    driver = JitExecutor(step, np.float64, stack.weights, by_row=True)
    record = record_for(step, np.float64, trajectory=True)
    assert_same(driver.run(record), Eager(step).run(record), 1e-12)


def test_cells_inside_a_cell():
    class Inner(rk.Cell):
        def __init__(self, gain):
            super().__init__()
            self.gain, self.state_size = gain, 2

        def build(self, input_shape):
            self.kernel = self.add_weight((input_shape[-1], 2))
            self.built = True

        def call(self, inputs, states):
            return self.gain * (inputs @ self.kernel) + states[0], states

    class Outer(rk.Cell):
        state_size = 2

        def __init__(self):
            super().__init__()
            self.cells, self.last = [Inner(1.0), Inner(3.0)], Inner(0.5)

        def build(self, input_shape):
            for cell, features in zip((*self.cells, self.last), (3, 3, 2), strict=True):
                prepare(cell, (None, features), np.float64, np.random.default_rng(7))
            self.built = True

        def call(self, inputs, states):
            first, _ = self.cells[0].call(inputs, states)
            second, _ = self.cells[1].call(inputs, states)
            third, new = self.last.call(second, states)
            return first + third, new

    step = built(Outer())
    driver = JitExecutor(step, np.float64, step.cell.weights)
    record = record_for(step, np.float64)
    assert_same(driver.run(record), Eager(step).run(record), 1e-12)
    same, other = (built(Outer()).cell for _ in range(2))
    other.cells[1].gain = 2.0
    first, second, third = (driver_module.JitCell(cell, "", False) for cell in (step.cell, same, other))
    assert content(first.function, first.known) == content(second.function, second.known)
    assert content(first.function, first.known) != content(third.function, third.known)


def test_draws_are_rows_too():
    @rk.cell(
        states={"h": 3},
        weights={"kernel": rk.Weight(("features", 3))},
        draws={"keep": rk.Draw(("features",), lambda rng, shape: rng.random(shape)), "unused": rk.Draw(9, np.zeros)},
    )
    def dropping(x, states, weights, draws, training, *, rate=0.5):
        kept = x * draws.keep / (1 - rate) if training else x
        h = np.zeros((x.shape[0], 3)) + states[0]
        h[:, :] = np.tanh(kept @ weights.kernel + h)
        return h, h

    step = built(dropping())
    driver = JitExecutor(step, np.float64, step.cell.weights, training=True)
    record = record_for(step, np.float64, training=True)
    record.draws = {"keep": np.random.default_rng(2).random((5, 3))}
    assert_same(driver.run(record), Eager(step).run(record), 1e-12)


def many_functions(x, states, weights):
    (h,) = states
    z = 3 * x[:, :2] + h
    a = activations.elu(z) + activations.softplus(z) + activations.log_sigmoid(z) + activations.erf(z)
    b = activations.log_softmax(z) + scipy.special.expit(z) + scipy.special.log1p(z * z)
    c = z.std(axis=1, keepdims=True) - np.min(z)
    return a + b * c, h + 0.1 * a[a > -1e9].reshape(h.shape)


def test_functions_have_the_values_of_numpy():
    step = built(rk.cell(states={"h": 2})(many_functions)())
    driver = JitExecutor(step, np.float64, {}, by_row=True)
    record = record_for(step, np.float64)
    assert_same(driver.run(record), Eager(step).run(record), 1e-10)


BY_FORMULA = {
    f"{home.__name__}.{function}": (getattr(home, function), arity(FORMULAS[name]))
    for name in OPERATIONS.keys() & FORMULAS.keys()
    for function in (name, *OPERATIONS[name].aliases)
    for home in (np, scipy.special)
    if hasattr(home, function) and replacements.replacement_for(getattr(home, function)) is replacements.formula(name)
}


ONE, *OTHERS = sorted(BY_FORMULA)


@pytest.mark.parametrize("name", [ONE, *(pytest.param(name, marks=pytest.mark.sweep) for name in OTHERS)])
def test_a_function_that_numba_lacks_is_its_formula(name):
    function, operands = BY_FORMULA[name]

    def apply(x, states, weights):
        (h,) = states
        a, b = x[:, :2] + h, 0.5 + np.abs(x[:, :2])
        return (function(a) if operands == 1 else function(a, b)), h + 0.1 * x[:, :2]

    step = built(rk.cell(states={"h": 2})(apply)())
    record = record_for(step, np.float64)
    assert_same(JitExecutor(step, np.float64, {}, by_row=True).run(record), Eager(step).run(record), 1e-12)


def test_of_NumPys_functions_numbas_own_are_called():
    assert "scipy.special.cbrt" in BY_FORMULA
    assert replacements.replacement_for(np.cbrt) is None
    assert replacements.replacement_for(np.sinc) is None


ON_ARRAYS = {
    "einsum": lambda a, b: np.einsum("bij,bj->bi", a, b),
    "einsum without a result": lambda a, b: np.einsum("bij,bj", a, b),
    "product of matrices": lambda a, b: a @ b[:, :, None],
    "cumsum": lambda a, b: a.cumsum(axis=1),
    "sort": lambda a, b: np.sort(b, axis=-1),
    "sum over two axes": lambda a, b: np.sum(a, axis=(1, 2), keepdims=True),
    "mean inside": lambda a, b: a.mean(axis=1),
    "extremes": lambda a, b: np.max(a, axis=1) - a.min(axis=(0, 1)),
    "any and all": lambda a, b: np.any(a > 1, axis=2) & (b > -9).all(),
    "chosen": lambda a, b: a[a > 0.5],
    "reshape": lambda a, b: a.transpose(0, 2, 1).reshape(a.shape[0], -1),
    "stacked": lambda a, b: np.stack([b, 2 * b], axis=1),
}


@pytest.mark.parametrize("name", every(2, ON_ARRAYS))
def test_what_numba_lacks_has_the_values_of_numpy(name):
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(1, 2, 3)), rng.normal(size=(1, 3))
    expected = ON_ARRAYS[name](a, b)
    found = Jit().function(ON_ARRAYS[name])(a, b)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


def failing(step, match, **weights):
    made = built(rk.cell(states={"h": 2}, weights=weights)(step)())
    with pytest.raises(CannotCompile, match=match) as caught:
        JitExecutor(made, np.float64, made.cell.weights)
    message = str(caught.value)
    assert "\n" not in message and __file__ in message
    line = int(message.split("line ")[1].split(":")[0])
    return line - step.__code__.co_firstlineno, message


TABLE = {"a": 1.0}


def remote(h):
    return np.gradient(h, axis=1)


def test_what_numba_cannot_compile_is_named_with_its_line():
    def attempts(x, states, weights):
        h = states[0]
        try:
            h = np.linalg.inv(h)
        except np.linalg.LinAlgError:
            h = 0 * h
        return h, h

    def looks_up(x, states, weights):
        h = states[0]
        return h * TABLE["a"], h

    def quiets(x, states, weights):
        h = states[0]
        with np.errstate(all="ignore"):
            h = h / 2
        return h, h

    def imports(x, states, weights):
        import math as m

        return states[0] * m.pi, states[0]

    def changes_type(x, states, weights):
        h = states[0]
        if h.shape[1] == 2:
            h = h.sum(axis=1)
        return h.reshape(-1, 1) * np.ones((1, 2)), states[0]

    def unknown(x, states, weights):
        h = states[0]
        return scipy.special.gamma(h), h

    assert failing(attempts, "a try statement")[0] in (2, 4)
    assert failing(looks_up, "no dict or set, 'TABLE'.*tuple")[0] == 2
    assert failing(quiets, "a with statement")[0] == 2
    assert failing(imports, "an import inside the step")[0] == 1
    assert failing(changes_type, "'h' is array.* in another")[0] in (3, 4)
    assert "scipy.special" in failing(unknown, "gamma")[1]


def test_what_numba_only_refuses_when_it_runs_is_said_to_be_numbas():
    @rk.cell(states={"h": 4})
    def unwrapped(x, states, weights):
        h = np.unwrap(x, axis=1) + np.angle(x)
        return h, h

    with pytest.raises(ValueError, match=r"neither traced: np.angle can't be traced .*nor jitted, numba: .*\"axis\""):
        rk.RNN(unwrapped())(np.ones((2, 3, 4)))


def test_an_error_in_a_helper_names_the_helpers_line():
    def calls(x, states, weights):
        return remote(states[0]), states[0]

    _, message = failing(calls, "numpy.gradient")
    assert f"line {remote.__code__.co_firstlineno + 1}:" in message and "np.gradient(" in message


def test_a_cell_that_changes_itself_is_refused():
    class Counting(rk.Cell):
        state_size = 2
        count = 0

        def call(self, inputs, states):
            self.count = 1
            return states[0], states

    step = built(Counting())
    with pytest.raises(CannotCompile, match=r"assigns to the attribute 'count'.*carry what changes as a state"):
        JitExecutor(step, np.float64, {})


def test_a_part_of_a_weight_cut_in_build_is_refused():
    class Cut(rk.Cell):
        state_size = 2

        def build(self, input_shape):
            self.kernel = self.add_weight((input_shape[-1], 4), name="kernel")
            self.part = self.kernel[:, :2]
            self.built = True

        def call(self, inputs, states):
            return inputs @ self.part + states[0], states

    step = built(Cut())
    with pytest.raises(ValueError, match="uses weight 'kernel' by a part cut in build"):
        JitExecutor(step, np.float64, step.cell.weights)


def test_a_step_that_mixes_rows_is_refused():
    def centred(x, states, weights):
        h = states[0]
        return h - h.mean(axis=0), h

    def branching(x, states, weights):
        h = states[0]
        if h.shape[0] > 1 and h[1, 0] > h[0, 0]:
            h = -h
        return h, h / x.shape[0]

    for step in (centred, branching):
        made = built(rk.cell(states={"h": 2})(step)())
        with pytest.raises(ValueError, match=f"{step.__name__!r} mixes rows"):
            JitExecutor(made, np.float64, {})


def test_a_step_that_draws_by_itself_is_refused():
    def noisy(x, states, weights):
        h = states[0]
        return h + np.random.normal(), h  # noqa: NPY002

    made = built(rk.cell(states={"h": 2})(noisy)())
    with pytest.raises(ValueError, match="another result each time.*declare draws"):
        JitExecutor(made, np.float64, {})


def test_a_compiled_step_that_differs_is_refused(monkeypatch):
    def changing(x, states, weights):
        h = states[0]
        return np.where(h > 0.0, h, 0.5 * h), h

    monkeypatch.setattr(driver_module, "store", wrong_store)
    made = built(rk.cell(states={"h": 2})(changing)())
    with pytest.raises(ValueError, match="compiled step of 'changing' differs"):
        JitExecutor(made, np.float64, {})


@driver_module.numba.njit
def wrong_store(place, values):
    for i, value in enumerate(values.flat):
        place[i] = value + 1e-6


def test_globals_are_read_when_the_driver_is_made():
    def reading(x, states, weights):
        return states[0] * FACTORS[0], states[0]

    made = built(rk.cell(states={"h": 2}, initial={"h": 1.0})(reading)())
    first = JitExecutor(made, np.float64, {})
    record = Record(np.zeros((1, 1, 3)), (np.ones((1, 2)),), {})
    FACTORS[0] = 5.0
    try:
        second = JitExecutor(made, np.float64, {})
        assert first.run(record).last.tolist() == [[3.0, 3.0]]
        assert second.run(record).last.tolist() == [[5.0, 5.0]]
    finally:
        FACTORS[0] = 3.0


FACTORS = [3.0]


def test_steps_of_the_same_content_share_what_was_compiled():
    def made(units, features, dtype, **hyperparameters):
        step = built(sharing(units, **hyperparameters), dtype, (features,))
        driver = JitExecutor(step, dtype, step.cell.weights)
        record = record_for(step, dtype)
        assert_same(driver.run(record), Eager(step).run(record), TOLERANCE[dtype])
        return driver._loop

    first = made(4, 3, np.float64)
    assert made(5, 2, np.float64) is first
    assert made(4, 3, np.float32) is first
    assert made(4, 3, np.float64, leak=0.6) is not first


@rk.cell(states={"h": "units"}, weights={"kernel": rk.Weight(("features", "units"))})
def sharing(x, states, weights, *, leak=0.5):
    (h,) = states
    h = leak * h + x @ weights.kernel
    return h, h


def test_layers_are_jitted_without_a_warning():
    def searching(x, states, weights):
        (h,) = states
        z = x[:, ::2] @ weights.kernel.T
        while np.abs(z).max() > 0.5:
            z = z / 2
        return z + h, (0.5 * h + z,)

    cell = rk.cell(states={"h": 3}, weights={"kernel": rk.Weight((3, 2))})(searching)
    layer = rk.RNN(cell(), return_sequences=True, seed=0)
    x = np.random.default_rng(0).normal(size=(4, 6, 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y = layer(x)
    assert "jitted" in layer.explain()
    with rk.eager():
        np.testing.assert_allclose(layer(x), y, rtol=0, atol=1e-12)
    for row in range(4):
        np.testing.assert_array_equal(layer(x[row : row + 1])[0], y[row])
