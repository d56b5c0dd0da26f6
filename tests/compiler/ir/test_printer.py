"""Graphs and plans as text: whole, the same in every process, and as long as what they show."""

import ast
import os
import re
import sys
from types import SimpleNamespace

import numpy as np
import processes
import pytest
from graphs_under_test import DTYPE, NAMES, built, by_row, planned, read, read_of

import rnnkit as rk
from rnnkit.backends.cpu.compile import BY_ROWS
from rnnkit.compiler.ir.plan import EFFECTS, Fused, Loop, Product, RowLoop, all_lines
from rnnkit.compiler.ir.printer import names_of, print_graph, print_plan
from rnnkit.execution import passes

LINE = re.compile(
    r"  (\w+): (float|bool|u?int\d+|float32) (\(.*?\)) = (\w+)(?:\[(.*)\])?(?:\(([^()]*)\))?  <- ([\w, ]+)"
)
RESULT = re.compile(r"  (output|state\[\d+\]|save\[[\w ]+\]) = (.+)")


def parsed(text):
    """The nodes by name, and the results, of a graph's text."""
    nodes, results = {}, {}
    for line in text.splitlines()[1:]:
        if line.startswith("  #"):
            continue
        if result := RESULT.fullmatch(line):
            results[result[1]] = result[2]
            continue
        name, kind, shape, op, attribute, operands, depends = LINE.fullmatch(line).groups()
        assert name not in nodes, f"{name} is named twice"
        operands = operands.split(", ") if operands else []
        assert all(o in nodes or re.fullmatch(r"-?\d+", o) or repr(float(o)) == o for o in operands), (
            f"{name} stands before its operands"
        )
        nodes[name] = SimpleNamespace(
            op=op, kind=kind, shape=ast.literal_eval(shape), operands=operands, attribute=attribute,
            depends=set(depends.split(", ")) - {"none"},
        )  # fmt: skip
    return nodes, results


@pytest.mark.parametrize("name", NAMES)
def test_a_graphs_text_says_each_node_once(name):
    for graph in read_of(name).graphs.values():
        nodes, results = parsed(print_graph(graph))
        names = names_of(graph)
        told = {node.id: names.get(node.id) or repr(node.attr.item()) for node in graph.live()}
        shown = [node for node in graph.live() if node.id in names]
        assert list(nodes) == [names[node.id] for node in shown]
        of_weights = set()
        for node in shown:
            found = nodes[names[node.id]]
            assert (found.op, found.kind, found.shape) == (node.op, node.kind, node.shape)
            assert found.operands == [told[arg.id] for arg in node.args]
            if node.op == "weight" or of_weights & set(found.operands):
                of_weights.add(names[node.id])
            assert found.depends == node.depends | ({"weight"} if names[node.id] in of_weights else set())
        assert all(node.shape == () and node.op == "literal" for node in graph.live() if node.id not in names)
        wanted = {"output": told[graph.output.id]} | {f"state[{i}]": told[s.id] for i, s in enumerate(graph.states)}
        assert list(results.values()) == [*wanted.values(), *(told[node.id] for node in graph.residuals.values())]
        assert {key: results[key] for key in wanted} == wanted


@pytest.mark.parametrize("name", NAMES)
def test_a_plans_text_says_each_buffer_stage_and_value_once(name):
    for graph in read_of(name).graphs.values():
        plan = planned(graph)
        lines = print_plan(plan, graph).splitlines()
        starts = [line.strip().split(":")[0] for line in lines[1 : 1 + len(plan.buffers)]]
        assert starts == [buffer.name for buffer in plan.buffers]
        body = lines[1 + len(plan.buffers) :]
        for buffer in plan.prepacked:
            assert sum(line.startswith(f"  {buffer.name} = ") for line in body) == 1
        products = [line for line in body if "= product(" in line]
        assert [line.split()[0] for line in products] == [product.result.name for product in plan.products()]
        loops = [part for part in plan.parts() if isinstance(part, Loop)]
        assert sum(line.lstrip().startswith("loop (") for line in body) == len(loops)
        values = [line.split(":")[0].strip() for line in body if re.search(r"^ +\w+: \w+ = ", line)]
        assert values == [value.name for loop in loops for value in loop.values]
        assert body.count("  fused:") == sum(isinstance(stage, Fused) for stage in plan.stages)
        for section in {stage.section for stage in plan.stages}:
            assert any(isinstance(part, (Loop, Product)) for part in plan.parts() if part.section == section)


OTHER = """
import hashlib, sys
from graphs_under_test import NAMES, planned, read_of
from rnnkit.compiler.ir.printer import print_graph, print_plan
for name in NAMES[:: int(sys.argv[1])]:
    for role, graph in read_of(name).graphs.items():
        text = print_graph(graph) + print_plan(planned(graph), graph)
        print(name, role, hashlib.sha256(text.encode()).hexdigest())
"""


def test_texts_are_the_same_in_every_process():
    """With other hashes of strings, and so other orders of sets."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", OTHER, "3"]
    started = [processes.start(command, env=environment | {"PYTHONHASHSEED": seed}) for seed in ("1", "2")]
    first, second = (processes.finish(process, check=True).stdout for process in started)
    assert first == second and len(first.splitlines()) == 3 * len(NAMES[::3])


def graph_of(cell):
    step = built(cell)
    return passes.read(step, DTYPE, step.cell._all_weights())


def chain(length):
    """A step each of whose lines reads the one before it twice."""

    @rk.cell(states={"h": "features"})
    def doubled(x, states, weights):
        h = x
        for _ in range(length):
            h = np.tanh(h * states[0]) + h
        return h, h

    return graph_of(doubled())


def test_texts_are_as_long_as_what_they_show():
    graphs = [chain(length) for length in (4, 8, 16)]
    for shown in (print_graph, lambda graph: print_plan(planned(graph), graph)):
        short, middle, long = (len(shown(graph).splitlines()) for graph in graphs)
        assert long - middle == 2 * (middle - short)


@rk.cell(states={"h": "units"}, weights={"w": rk.Weight(("features", "units")), "s": rk.Weight(("units", "units"))})
def odd(x, states, weights):
    (h,) = states
    order = np.arange(h.shape[-1])[::-1]
    q = np.linalg.qr(weights.s)[0]
    z = np.where(h > 0.25, x @ weights.w, -h) @ q + np.linspace(0, 1, h.shape[-1])
    z = np.stack([z, z[:, order]], axis=1).max(axis=1)
    return z[:, ::2], (z * np.array([1.0, 2.0, 3.0]),)


def test_attributes_are_shown():
    graph = graph_of(odd(units=3))
    nodes, _ = parsed(print_graph(graph))
    attributes = {(node.op, node.attribute) for node in nodes.values()}
    assert ("function", "np.linalg.qr, result 0") in attributes
    assert ("literal", "1.0 2.0 3.0") in attributes and ("literal", "0.0 0.5 1.0") in attributes
    assert ("view", "(2 1 0)") in attributes and ("view", "::2") in attributes
    assert {("concatenate", "axis 0"), ("max", "axes 0"), ("weight", "w"), ("state", "0")} <= attributes
    assert nodes["z"].shape == (3,) and "# z = np.stack([z, z[:, order]], axis=1).max(axis=1)" in print_graph(graph)


@pytest.mark.parametrize("units, shown", [(8, "0.0 1.0 2.0 3.0 4.0 5.0 6.0 7.0"), (9, r"0.0 ... 8.0, sha256 \w{12}")])
def test_of_long_tables_the_ends_are_shown_and_a_digest(units, shown):
    def text(table):
        step = lambda x, states, weights: (states[0] + table,) * 2
        return print_graph(graph_of(rk.cell(states={"h": units})(step)()))

    numbers = np.arange(units, dtype=float)
    swapped = numbers[[0, 2, 1, *range(3, units)]]
    assert re.search(rf"literal\[{shown}\]", text(numbers))
    assert text(numbers) == text(numbers.copy()) != text(swapped)


@pytest.mark.parametrize("role", ["forward", "forward with residuals", "adjoint"])
def test_a_plan_by_rows_says_each_line_once(role):
    graph = read(built(by_row(), (2,))).graphs[role]
    plan = planned(graph, BY_ROWS)
    graphs_text, text = print_graph(graph), print_plan(plan, graph)
    for line in all_lines(plan.lines):
        if isinstance(line, RowLoop):
            assert (
                f"{line.name}: {'while ' + line.go if line.back is None else 'the rounds of ' + line.back.name}" in text
            )
            assert all(text.count(f" {one.name} = {one.next}\n") == 1 for one in line.carried)
        elif not isinstance(line, EFFECTS):
            assert text.count(f" {line.name}: {line.kind} = ") == 1
    assert all(re.search(rf"\b{slot.name}\b", text) for slot in plan.slots)
    assert re.search(r"= carried\[\d+, value \d+\]", graphs_text) or role == "adjoint"
    assert ("taped[" in graphs_text) == ("the last one first" in text) == (role == "adjoint")
