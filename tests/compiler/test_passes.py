"""The list of passes: which run, in which order, what simplifying keeps, and how a user sees what they make."""

import ast
import os
import pathlib
import re
import sys

import numpy as np
import processes
import pytest
from graphs_under_test import DTYPE, NAMES, built, by_row, read_of

import rnnkit as rk
from rnnkit.backends.cpu.compile import CPU
from rnnkit.compiler.ir.evaluate import evaluate
from rnnkit.compiler.ir.graph import INPUTS
from rnnkit.compiler.ir.printer import print_graph
from rnnkit.compiler.ir.simplify import RULES, simplify
from rnnkit.compiler.tracing.trace import trace
from rnnkit.execution import dump, passes, pipeline

# The list


@rk.cell(
    states={"h": "units"}, weights={"kernel": rk.Weight(("features", "units")), "u": rk.Weight(("units", "units"))}
)
def plain(x, states, weights):
    h = np.tanh(x @ weights.kernel + states[0] @ weights.u)
    return h, (h,)


@pytest.fixture
def ran(monkeypatch):
    """The names of the passes that run, and programs that are not compiled."""
    names, run = [], passes.run
    monkeypatch.setattr(passes, "run", lambda name, *arguments: names.append(name) or run(name, *arguments))
    return names


class Uncompiled:
    def __init__(self, plan, source, dtype, show, gradient):
        self.plan, self.source, self.gradient = plan, source, gradient

    def differentiate(self):
        return self.gradient(self)


UNCOMPILED = CPU._replace(compile=Uncompiled, gradient=lambda *parts: parts)


def test_the_passes_of_a_step_and_of_its_gradient_run_in_order(ran):
    step = built(plain(units=4))
    program = pipeline.compile_step(step, DTYPE, step.cell._all_weights(), target=UNCOMPILED)
    names = [one.name for one in passes.PASSES if not one.name.startswith(("differentiate", "dual"))]
    assert ran == names == ["trace", "simplify", "plan", "fuse", "write", "compile"]
    ran.clear()
    program.differentiate()
    assert ran == ["differentiate", *names[2:], *names[2:]]


def test_the_passes_of_a_dual_run_in_order(ran, monkeypatch):
    monkeypatch.setattr(pipeline, "CPU", UNCOMPILED)
    step = built(plain(units=4))
    pipeline.compile_dual(step, DTYPE, step.cell._all_weights(), (), False, {"x"}, frozenset())
    assert ran == [one.name for one in passes.PASSES if not one.name.startswith("differentiate")]


def test_the_passes_of_a_loss_run_in_order(ran, monkeypatch):
    monkeypatch.setattr(pipeline, "CPU", UNCOMPILED)

    @rk.cell(states={"total": 1}, draws={"y": rk.Draw(("features",), lambda rng, shape: rng.random(shape))})
    def loss(x, states, weights, draws):
        return x, (np.square(x - draws.y).sum(axis=1, keepdims=True),)

    pipeline.compile_loss(built(loss()), DTYPE)
    assert ran == [one.name for one in passes.PASSES if one.name not in ("differentiate", "dual")]


def test_every_pass_is_a_stage_of_the_design():
    page = pathlib.Path(__file__).parents[2].joinpath("docs", "design.md").read_text(encoding="utf-8")
    stages = re.findall(r"^\| (\w+)(?: \w+)? \|[^|]*\| `[\w/]+` \|$", page, re.MULTILINE)
    named = [one.name for one in passes.PASSES if one.name != "differentiate_loss"]
    assert stages[: len(named)] == named


# Simplifying


@pytest.mark.parametrize("name", NAMES)
def test_a_simplified_graph_gives_the_same_results(name):
    found = read_of(name)
    rng = np.random.default_rng(5)
    inputs = {}
    for node in found.traced.nodes:
        if node.op in INPUTS:
            shape = node.shape if node.op == "weight" else (3, *node.shape)
            inputs[node.op, node.attr] = rng.normal(0, 0.5, shape)
    inputs |= {key: value for key, value in found.traced.values.items() if key in inputs}
    results = []
    for graph in (found.traced, found.graph):
        with np.errstate(all="ignore"):
            values = evaluate([graph.output, *graph.states], inputs, np.float64)
        results.append([values[node.id] for node in (graph.output, *graph.states)])
    for before, after in zip(*results, strict=True):
        np.testing.assert_allclose(after, before, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_a_simplified_graph_is_all_needed_and_is_simplified_once(name):
    graph = read_of(name).graph
    assert graph.live() == graph.nodes
    assert print_graph(simplify(graph)) == print_graph(graph)
    assert not [node for node in graph.nodes for rule in RULES if rule(graph.copy(), node, node.args)]


def test_each_rule_is_used_by_some_cell():
    for rule in RULES:
        graphs = (read_of(name).traced for name in NAMES)
        assert any(rule(graph.copy(), node, node.args) for graph in graphs for node in graph.live()), rule.__name__


def test_simplifying_leaves_the_traced_graph_alone():
    step = built(plain(units=4))
    graph = trace(step, DTYPE, step.cell._all_weights())
    before = print_graph(graph)
    simplify(graph)
    assert print_graph(graph) == before


# What a user sees


def layer(units=4, name=None):
    made = rk.RNN(plain(units=units), dtype="float32", seed=0, name=name)
    made.build((None, None, 3))
    return made


@rk.cell(states={"h": 3})
def loops(x, states, weights):
    """Jitted: how often the loop runs, the data say."""
    h = states[0] + x
    while h[0, 0] > 1.0:
        h = h * 0.5
    return h, (h,)


def test_explain_shows_graph_and_plan():
    one = layer()
    told = one.explain(graph=True)
    assert told.startswith("graph of plain, float32, forward: ") and "\n\nplan of plain, float32, forward: " in told
    assert "  h: float (4,) = tanh(add)  <- x, state, weight" in told.splitlines()
    assert one.explain(source=True, graph=True) == f"{told}\n\n{one.explain(source=True)}"
    assert "graph of" not in one.explain()


def test_explain_shows_the_adjoints_graphs():
    one = layer()
    one.vjp(np.ones((2, 5, 3), np.float32))
    titles = re.findall(r"^graph of (.*):", one.explain(graph=True), re.MULTILINE)
    assert titles == [f"plain, float32, {role}" for role in ("forward", "forward with residuals", "adjoint")]


def test_explain_shows_a_models_graph_and_those_of_its_layers_behind_their_paths():
    x = rk.Input((5, 3))
    first = rk.RNN(plain(units=4), return_sequences=True, name="first")(x)
    model = rk.Model(x, [rk.Average(name="mean")([first, first + 1.0]), first], name="both")
    own, *of_layers = model.explain(graph=True).split("\n\n")
    assert own.splitlines() == [
        "graph of the model 'both': 2 calls",
        "  x0 = input",
        "  x1 = first(x0)  RNN",
        "  x3 = add → mean(x1)  Fused",
        "  output = x3, x1",
    ]
    graph = model._graph.fused
    parts = {graph.paths[call.layer]: graph.layers[call.layer] for call in graph.calls}
    assert list(parts) == ["first", "add → mean"]
    assert "\n\n".join(of_layers) == "\n\n".join(f"{path}: {part.explain(graph=True)}" for path, part in parts.items())


def test_functions_of_whole_arrays_are_explained_and_dumped(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNKIT_DUMP", f"graph:{tmp_path}")
    layer = rk.MaxPooling1D(2, name="largest")
    assert layer.explain() == "largest: not traced yet; it is at the first call"
    layer(np.ones((2, 6, 3)))
    assert layer.explain() == "traced: a function of whole arrays, which NumPy computes by 1 kernel"
    (path,) = tmp_path.iterdir()
    text = path.read_text(encoding="utf-8").rstrip("\n")
    assert text == layer.explain(graph=True) and text.startswith("graph of largest, float64, of (6, 3): ")
    assert "kernel of_windows" in text and " at 0x" not in text
    assert layer.explain(source=True) == ""
    attention = rk.Attention()
    attention([np.ones((1, 2, 3)), np.ones((1, 4, 3))])
    assert attention.explain().endswith("by 3 functions and 1 kernel")


def test_a_step_without_a_graph_says_so():
    jitted = rk.RNN(loops())
    jitted.build((None, None, 3))
    assert jitted.explain(graph=True) == "jitted: numba compiles 'loops' as it stands; there is no graph"
    assert jitted.explain(graph=True, source=True).startswith("# jitted: numba compiles 'loops' as it stands; there is")
    eager = rk.RNN(plain(units=4))
    with rk.eager():
        eager(np.ones((1, 2, 3)))
        assert "there is no graph" in eager._execution.executor((), False).explain(graph=True)


# RNNKIT_DUMP


def test_dumps_go_to_files_that_say_what_explain_says(tmp_path, monkeypatch, capsys):
    folder = tmp_path / "a" / "b"
    monkeypatch.setenv("RNNKIT_DUMP", f"graph, plan,source:{folder}")
    one = layer(units=6)
    one.vjp(np.ones((2, 5, 3), np.float32))
    roles = ("forward", "forward-with-residuals", "adjoint")
    names = [f"plain-float32-{role}{kind}" for role in roles for kind in (".graph.txt", ".plan.txt", ".source.py")]
    assert sorted(path.name for path in folder.iterdir()) == sorted(names)
    texts = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    graphs = "\n".join(texts[name] for name in names if not name.endswith(".py"))
    assert graphs.rstrip("\n") == one.explain(graph=True)
    sources = "\n".join(texts[name] + "\n" for name in names if name.endswith(".py"))
    assert sources.rstrip("\n") == one.explain(source=True).rstrip("\n")
    assert capsys.readouterr().err == ""


def test_dumps_of_steps_by_row_have_a_file_for_each_kind_of_call(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNKIT_DUMP", f"graph,plan,source:{tmp_path}")
    one, x = rk.RNN(by_row(), dtype="float32", seed=0), np.ones((300, 2, 2), np.float32)
    one(x)
    one(x[:1])
    one(x, mask=np.ones((300, 2), bool))
    texts = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    sources = sorted(name.removeprefix("by_row-float32-forward-") for name in texts if name.endswith(".source.py"))
    lanes = re.search(r"(\d+)-rows", sources[-1])[1]
    assert sources == sorted(
        f"per-step-{kind}.source.py" for kind in (f"{lanes}-rows", "1-rows", f"{lanes}-rows-masked")
    )
    for name in sources:
        text = texts[f"by_row-float32-forward-{name}"]
        assert re.search(r", (\d+) rows a group", ast.get_docstring(ast.parse(text)))[1] in name
        assert "# for i in range(int(x[0]) % 40):" in text
    assert texts[f"by_row-float32-forward-per-step-{lanes}-rows.source.py"].strip() in one.explain(source=True)
    told = one.explain(graph=True)
    assert all(texts[f"by_row-float32-forward.{kind}.txt"].strip() in told for kind in ("graph", "plan"))


def test_layers_of_one_name_have_a_file_each(tmp_path, monkeypatch):
    monkeypatch.setenv("RNNKIT_DUMP", f"graph:{tmp_path}")
    for units in (4, 5, 4):
        layer(units)
    files = sorted(path.name for path in tmp_path.iterdir())
    assert files == ["plain-float32-forward-2.graph.txt", "plain-float32-forward.graph.txt"]
    assert "(5,)" in (tmp_path / files[0]).read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", dump.KINDS)
def test_dumps_go_to_stderr_without_a_folder(kind, monkeypatch, capsys):
    monkeypatch.setenv("RNNKIT_DUMP", kind)
    one = layer()
    printed = capsys.readouterr()
    assert printed.out == "" and printed.err.rstrip() in one.explain(graph=True, source=True)
    assert kind == "source" or printed.err.startswith(f"{kind} of plain, float32, forward: ")


def test_of_a_jitted_step_there_is_the_source(monkeypatch, capsys):
    monkeypatch.setenv("RNNKIT_DUMP", "graph,plan,source")
    jitted = rk.RNN(loops())
    jitted.build((None, None, 3))
    assert capsys.readouterr().err.rstrip() == jitted.explain(source=True).rstrip()


@pytest.mark.parametrize("value", ["grap", "graph,", "graph;plan", "graph:", ":folder", "1", "graph,plan,all"])
def test_a_bad_value_is_one_error_that_lists_what_there_is(value, monkeypatch):
    monkeypatch.setenv("RNNKIT_DUMP", value)
    words = f"expected RNNKIT_DUMP to name graph, plan, source or some of them, .*; got {re.escape(repr(value))}"
    with pytest.raises(ValueError, match=words):
        layer()


@pytest.mark.parametrize("value", ["", " "])
def test_an_empty_value_is_none(value, monkeypatch, capsys):
    monkeypatch.setenv("RNNKIT_DUMP", value)
    layer()
    assert capsys.readouterr() == ("", "")


def test_checks_are_on_with_the_environments_variable():
    code = "from rnnkit.compiler.ir import verify; print(verify.CHECKED)"
    for value, expected in (("1", "True"), ("0", "False"), ("", "False")):
        environment = os.environ | {"RNNKIT_CHECK": value}
        assert processes.run([sys.executable, "-c", code], check=True, env=environment).stdout.strip() == expected


def test_columns_of_a_product_that_nothing_reads_are_left_out(rng):
    @rk.cell(states={"h": 30}, weights={"kernel": rk.Weight(("features", 40)), "u": rk.Weight((30, 30))})
    def partly(x, states, weights):
        drive = x @ weights.kernel
        h = np.tanh(drive[:, 4:34] + states.h @ weights.u)
        return h[:, :3] * drive[:, 5:8], h

    layer, x = rk.RNN(partly(), return_sequences=True, dtype="float64", seed=0), rng.normal(size=(2, 5, 6))
    y, pull = layer.vjp(x)
    assert "times (6, 30)" in layer.explain() and "(6, 40)" not in layer.explain().split("gradient")[0]
    with rk.eager():
        np.testing.assert_allclose(layer(x), y, rtol=1e-12)
    found = pull(np.ones_like(y)).weights["kernel"]
    assert not found[:, :4].any() and not found[:, 34:].any() and found[:, 4:34].all()
    assert rk.gradcheck(layer, x)
