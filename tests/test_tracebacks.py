"""What is printed of mistakes in a step: the caller's line, the step's line, one sentence, at every way in."""

import math
import os
import re
import sys
import textwrap
import traceback
from pathlib import Path

import numpy as np
import processes
import pytest

import rnnkit as rk
from rnnkit import tracebacks
from rnnkit.backends.python.eager import Eager

X = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
SOURCE = Path(__file__).read_text(encoding="utf-8").splitlines()
WEIGHTS = {"kernel": rk.Weight(("features", "units")), "recurrent": rk.Weight(("units", "units"))}
MISTAKES = {}


def mistake(error, words, eager=True, line=True):
    """A step with one line that is wrong, marked by a comment, and what is printed of it."""

    def named(step):
        cell = rk.cell(states={"h": "units"}, weights=WEIGHTS)(step)
        MISTAKES[step.__name__] = cell, error, words, eager, line
        return cell

    return named


@mistake(AttributeError, r"no state named 'hh' here; there are: h(\. Did you mean: 'h'\?)?$")  # newer Pythons add it
def a_name_of_a_state(x, states, weights):
    h = np.tanh(x @ weights.kernel + states.hh)  # wrong
    return h, h


@mistake(AttributeError, "no array named 'kernl' here; there are: kernel, recurrent")
def another_weight(x, states, weights):
    h = np.tanh(x @ weights.kernl)  # wrong
    return h, h


@mistake(TypeError, "expected an array by its attribute, .kernel")
def weights_as_a_dict(x, states, weights):
    h = np.tanh(x @ weights["kernel"])  # wrong
    return h, h


@mistake(ValueError, r"matmul.*\nshapes: states\[0\] \(.*, 4\), weights.kernel \(3, 4\)$")
def a_product_of_other_shapes(x, states, weights):
    h = np.tanh(states[0] @ weights.kernel)  # wrong
    return h, h


@mistake(ValueError, r"broadcast.*\(.*4\) \(.*3\) ?\nshapes: z \(.*4\), x \(.*3\)$")
def a_sum_of_other_shapes(x, states, weights):
    z = x @ weights.kernel
    h = np.tanh(
        z + x  # wrong
    )
    return h, h


@mistake(np.exceptions.AxisError, r"axis 2 is out of bounds.*\nshapes: x \(.*3\), states\[0\]")
def another_axis(x, states, weights):
    h = np.concatenate([x, states[0]], axis=2)  # wrong
    return h, h


@mistake(ValueError, r"cannot reshape array.*\nshapes: x")
def another_reshape(x, states, weights):
    h = (x @ weights.kernel).reshape(3, 5)  # wrong
    return h, h


@mistake(ValueError, "output subscript 'k'")
def another_subscript(x, states, weights):
    h = np.einsum("bf,fu->bk", x, weights.kernel)  # wrong
    return h, h


@mistake(NameError, "'units' is not defined")
def a_size_by_its_name(x, states, weights):
    h = x @ weights.kernel + np.ones(units)  # noqa: F821  # wrong
    return h, h


@mistake(AttributeError, "'numpy' has no attribute 'tan_h'")
def a_misspelt_function(x, states, weights):
    h = np.tan_h(x @ weights.kernel)  # wrong
    return h, h


@mistake(AttributeError, "'tanh'")
def a_method_of_another_library(x, states, weights):
    h = (x @ weights.kernel).tanh()  # wrong
    return h, h


@mistake(ZeroDivisionError, "division by zero")
def a_division(x, states, weights):
    h = states[0] + 1 / 0  # wrong
    return h, h


@mistake(RuntimeError, "my own check$")
def an_error_of_its_own(x, states, weights):
    raise RuntimeError("my own check")  # wrong


@mistake(ValueError, "my own shapes$")
def an_error_of_its_own_about_shapes(x, states, weights):
    raise ValueError("my own shapes")  # wrong


@mistake(AssertionError, "4")
def an_assertion(x, states, weights):
    assert states[0].shape[1] == 77, states[0].shape  # wrong
    return x, states


@mistake(ValueError, r"not enough values to unpack \(expected 2, got 1\)$")
def more_states(x, states, weights):
    h, c = states  # wrong
    return h, h


def gate(x, kernel):
    return np.tanh(x @ kernel.T)  # wrong


@mistake(ValueError, r"matmul.*\nshapes: x \(.*3\), kernel \(3, 4\)$")
def a_line_of_a_function_that_it_calls(x, states, weights):
    h = gate(x, weights.kernel)
    return h, h


@mistake(ValueError, "to return .output, new states., got one array\n.*: return h  # wrong$", line=False)
def one_result(x, states, weights):
    h = x @ weights.kernel
    return h  # wrong


@mistake(ValueError, "to return .output, new states., got None\n", line=False)
def no_result(x, states, weights):
    h = x @ weights.kernel  # noqa: F841


@mistake(ValueError, "to return .output, new states., got 3 values\n", line=False)
def three_results(x, states, weights):
    h = x @ weights.kernel
    return h, h, h


@mistake(ValueError, "to return 1 states, got 2\n.*: return h, ", line=False)
def two_states(x, states, weights):
    h = x @ weights.kernel
    return h, [h, h]


@mistake(ValueError, r"state 0 of .* of shape \(batch, 4\), got \(.*, 1\)\n.*: return h, ", line=False)
def a_smaller_state(x, states, weights):
    h = x @ weights.kernel
    return h, h[:, :1]


@mistake(ValueError, r"of shape \(batch, …\), one row per row of x; got \(\)\n.*: return 1\.0, ", line=False)
def a_number(x, states, weights):
    h = x @ weights.kernel
    return 1.0, h


@mistake(ValueError, "mixes rows.*sum over all axes", eager=False)
def a_mean_over_rows(x, states, weights):
    h = x @ weights.kernel
    h = h - h.mean()  # wrong
    return h, h


@mistake(ValueError, "neither traced: .*look at them in rk.eager.*nor jitted", eager=False)
def a_format(x, states, weights):
    h = x @ weights.kernel
    print(f"{h.mean():.3f}")  # wrong
    return h, h


@mistake(ValueError, "for random numbers, declare draws.*draws random numbers.*; declare draws", eager=False)
def numbers_of_its_own(x, states, weights):
    h = x @ weights.kernel
    h = h + np.random.normal(size=h.shape)  # noqa: NPY002  # wrong
    return h, h


@mistake(ValueError, "neither traced: scipy.special.rgamma can't be traced", eager=False)
def a_function_that_none_knows(x, states, weights):
    from scipy.special import rgamma

    h = rgamma(x @ weights.kernel)  # wrong
    return h, h


@mistake(TypeError, "converted to Python scalars")
def a_number_of_an_array(x, states, weights):
    h = math.exp(x @ weights.kernel)  # wrong
    return h, h


@mistake(ValueError, r"state 0 of .*(\n.*){1,2}", line=False)
def states_that_are_not_unpacked(x, states, weights):
    h = x @ weights.kernel + states @ weights.recurrent
    return h, h


def raised(call, error=Exception):
    with pytest.raises(error) as found:
        call()
    return found.value


def files_of(error):
    return [frame.filename for frame in traceback.extract_tb(error.__traceback__)]


def check_shown(error, words, line):
    """Only lines of this file, the last one the step's where it is that; one error, one sentence and its notes."""
    assert set(files_of(error)) == {__file__}
    printed = "".join(traceback.format_exception(error)).rstrip("\n")
    assert printed.count("Traceback") == 1
    said = printed.rpartition(f"\n{traceback.format_exception_only(error)[0].partition(':')[0]}: ")[2]
    assert re.search(words, said), said
    frame = traceback.extract_tb(error.__traceback__)[-1]
    assert any(SOURCE[i - 1].endswith("# wrong") for i in range(frame.lineno, frame.end_lineno + 1)) == line


@pytest.mark.parametrize("name", MISTAKES)
def test_C8_a_mistake_shows_its_line_and_a_sentence(name):
    cell, error, words, eager, line = MISTAKES[name]
    check_shown(raised(lambda: rk.RNN(cell(4), seed=0)(X), error), words, line)
    if eager:
        with rk.eager():
            check_shown(raised(lambda: rk.RNN(cell(4), seed=0)(X), error), words, line)


def fitted(layer, loss="mse"):
    model = rk.Sequential([layer, rk.Dense(1)])
    model.compile("sgd", loss)
    model.fit(X, np.zeros((2, 1)), verbose=0)


def in_a_model(layer):
    x = rk.Input((None, 3))
    rk.Model(x, rk.Dense(2)(layer(x)))(X)


ENTRIES = {
    "a call": lambda layer: layer(X),
    "a call with a mask": lambda layer: layer(X, mask=np.ones((2, 5), bool)),
    "build": lambda layer: layer.build((None, None, 3)),
    "vjp": lambda layer: layer.vjp(X),
    "trajectory": lambda layer: layer.trajectory(X),
    "fit": fitted,
    "a model": in_a_model,
    "Bidirectional": lambda layer: rk.Bidirectional(layer)(X),
    "gradcheck": lambda layer: rk.gradcheck(layer, X),
    "predict": lambda layer: rk.Sequential([layer]).predict(X, verbose=0),
}


@pytest.mark.parametrize("entry", ENTRIES)
def test_at_every_way_in(entry):
    for name in ("a_product_of_other_shapes", "one_result"):
        cell, error, words, _, line = MISTAKES[name]
        layer = rk.RNN(cell(4), seed=0)
        check_shown(raised(lambda layer=layer: ENTRIES[entry](layer), error), words, line)


FAILS = {True}


@rk.cell(states={"h": "units"}, weights=WEIGHTS)
def fails_later(x, states, weights, training):
    h = x @ weights.kernel
    if training in FAILS:
        h = h + x  # wrong
    return h, h


def test_after_it_is_built(monkeypatch):
    layer = rk.RNN(fails_later(4), return_sequences=True, seed=0)
    layer(X)
    check_shown(raised(lambda: layer(X, training=True)), "broadcast", True)
    check_shown(raised(lambda: rk.jacobian(layer.cell, X[:, 0], training=True)), "broadcast", True)
    check_shown(raised(lambda: rk.jvp(layer.cell, X[:, 0], d_x=X[:, 0], training=True)), "broadcast", True)
    stream = layer.stream(2)
    monkeypatch.setitem(globals(), "FAILS", {False})
    with rk.eager():
        check_shown(raised(lambda: stream.step(X[:, 0])), "broadcast", True)
        check_shown(raised(lambda: layer(X)), "broadcast", True)


@rk.cell(states={"h": "units"}, weights=WEIGHTS)
def decides(x, states, weights):
    h = x @ weights.kernel
    if h.max() > 0.5:  # wrong
        h = h / 2
    return h, h


def test_what_has_no_gradient_and_what_goes_nowhere_else():
    layer = rk.RNN(decides(4), seed=0)
    layer(X)
    words = r"looks at an array's values.*if h\.max\(\) > 0\.5"
    for entry in (lambda: layer.vjp(X), lambda: fitted(layer)):
        check_shown(raised(entry), words, False)
    for entry in (
        lambda: rk.export_c(layer, "never written"),
        lambda: rk.onnx.export(layer, "never written"),
        lambda: rk.jacobian(layer.cell, X[:, 0]),
    ):
        check_shown(raised(entry), words, True)


def wrong_shapes(*_):
    return X @ np.ones((7, 2))  # wrong


def held(x, states, weights):
    return x, states


@pytest.mark.parametrize(
    "call",
    [
        lambda: rk.Lambda(lambda x: x @ wrong_shapes(x))(X),
        lambda: rk.ArrayFunction(lambda x: x @ wrong_shapes(x))(X),
        lambda: rk.RNN(rk.cell(states={"h": 4}, initial={"h": wrong_shapes})(held)())(X),
        lambda: rk.RNN(rk.cell(states={"h": 4}, weights={"w": rk.Weight((4,), wrong_shapes)})(held)())(X),
        lambda: rk.RNN(rk.cell(states={"h": 4}, draws={"d": rk.Draw((4,), wrong_shapes)})(held)())(X),
        lambda: fitted(rk.GRU(2), wrong_shapes),
    ],
    ids=["Lambda", "ArrayFunction", "initial", "initializer", "draw", "loss"],
)
def test_other_functions_of_a_user(call):
    check_shown(raised(call), "matmul", True)


def test_a_vjp_of_its_own():
    def vjp(x, states, weights, d_output, d_states):
        return d_output @ weights.kernel, None, None  # wrong

    cell = rk.cell(states={"h": "units"}, weights=WEIGHTS, vjp=vjp)(decides.step)
    y, pullback = rk.RNN(cell(4), seed=0).vjp(X)
    check_shown(raised(lambda: pullback(y)), "matmul", True)


def test_C8_a_variable_shows_all_frames(monkeypatch):
    cell, error, *_ = MISTAKES["a_product_of_other_shapes"]
    monkeypatch.setenv("RNNKIT_FULL_TRACEBACK", "1")
    whole = files_of(raised(lambda: rk.RNN(cell(4), seed=0)(X), error))
    assert len(whole) > 15 and any(file.endswith("trace.py") for file in whole)
    monkeypatch.setenv("RNNKIT_FULL_TRACEBACK", "0")
    assert len(files_of(raised(lambda: rk.RNN(cell(4), seed=0)(X), error))) < 5


# A clone's folder may have the package's name, too.
PACKAGE = os.path.dirname(rk.__file__) + os.sep
FOLDERS = [entry.name for entry in os.scandir(PACKAGE) if entry.is_dir()]


def own(files):
    return [os.path.basename(file) for file in files if file.startswith(PACKAGE)]


@rk.cell(states={"h": "units"}, weights=WEIGHTS)
def right(x, states, weights):
    h = rk.softmax(x @ weights.kernel)
    return h, h


def test_errors_of_rnnkit_itself_keep_their_frames(monkeypatch):
    """Apart from a step all, and below one those that come after the step's line."""

    def broken(*_, **__):
        return {}["of rnnkit"]

    x = X.astype("float64")
    with monkeypatch.context() as patch:
        patch.setattr("rnnkit.compiler.tracing.trace.Evaluation", broken)
        files = own(files_of(raised(lambda: rk.RNN(right(4), seed=0)(x), KeyError)))
        assert files[-1] == "trace.py" and len(files) > 10
    layer = rk.RNN(right(4), seed=0)
    layer(x)
    with monkeypatch.context() as patch, rk.eager():
        patch.setattr(Eager, "_buffers", broken)
        files = own(files_of(raised(lambda: layer(x), KeyError)))
        assert files[-1] == "eager.py" and len(files) > 3
    with monkeypatch.context() as patch, rk.eager():
        patch.setattr("rnnkit.activations.np", None)
        error = raised(lambda: layer(x), AttributeError)
        assert own(files_of(error)) == ["activations.py"]
        assert traceback.extract_tb(error.__traceback__)[-2].line == "h = rk.softmax(x @ weights.kernel)"


def test_the_cause_that_a_step_gives_stays():
    @rk.cell(states={"h": "units"})
    def careful(x, states, weights):
        try:
            return {}[states[0].shape[1]]
        except KeyError as error:
            raise ValueError("no such size") from error

    error = raised(lambda: rk.RNN(careful(4))(X))
    assert str(error) == "no such size" and isinstance(error.__cause__, KeyError)
    assert set(files_of(error)) == set(files_of(error.__cause__)) == {__file__}


def test_what_is_no_mistake_in_a_step_stays_as_it_is():
    error = raised(lambda: rk.LSTM(4)(np.ones((2, 3))))
    before = error.__traceback__
    tracebacks.shorten(error)
    assert error.__traceback__ is before and own(files_of(error))


PROGRAM = """
import numpy as np
import rnnkit as rk

@rk.cell(states={"h": "units"}, weights={"kernel": rk.Weight(("features", "units"))})
def step(x, states, weights):
    h = x @ weights.kernel + x
    return h, h

layer = rk.RNN(step(4))
"""
CALL = "layer(np.ones((2, 5, 3)))"


def printed(tmp_path, *command, **files):
    for name, text in files.items():
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(text), encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "IPYTHONDIR": str(tmp_path / "ipython")}
    done = processes.run([sys.executable, *command], env=environment, cwd=tmp_path)
    text = done.stdout + done.stderr
    assert "h = x @ weights.kernel + x" in text and "shapes: x (batch, 3), weights.kernel (3, 4)" in text
    assert not re.search(rf"rnnkit[/\\](?:{'|'.join(FOLDERS)})[/\\]|another exception|direct cause", text), text
    return text.splitlines()


def test_in_plain_Python(tmp_path):
    assert len(printed(tmp_path, "script.py", script=f"{PROGRAM}\n{CALL}\n")) < 12


def test_in_IPython(tmp_path):
    pytest.importorskip("IPython")
    options = ("-m", "IPython", "--colors=NoColor", "--no-banner", "--HistoryManager.enabled=False")
    lines = printed(tmp_path, *options, "-c", f"{PROGRAM}\n{CALL}")
    assert len([line for line in lines if line.startswith(("File ", "Cell "))]) == 2


def test_under_pytest(tmp_path):
    test = f"{PROGRAM}\ndef test_it():\n    {CALL}\n"
    lines = printed(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_step.py", test_step=test)
    assert [line for line in lines if re.match(r"\S+\.py:\d+: ", line)] == [
        "test_step.py:13: ",
        "test_step.py:7: ValueError",
    ]
