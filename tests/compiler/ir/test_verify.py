"""The verifier accepts what the passes make of every cell, and finds each kind of fault by the operation's name."""

import ast
import dataclasses
import inspect
import re
import traceback
from types import SimpleNamespace

import numpy as np
import pytest
from graphs_under_test import DTYPE, NAMES, built, by_row, planned, read, read_of
from random_steps import SIZES, random_cell

import rnnkit as rk
from rnnkit.backends.cpu.compile import BY_ROWS, CPU
from rnnkit.backends.cuda.compile import CUDA
from rnnkit.compiler.ir import verify
from rnnkit.compiler.ir.graph import Node
from rnnkit.compiler.ir.plan import (
    BLOCK,
    CALL,
    PREPACK,
    STEP,
    Buffer,
    Element,
    Fused,
    Load,
    Look,
    Loop,
    Pointwise,
    Put,
    RowLoop,
    Slot,
    all_lines,
)
from rnnkit.compiler.ir.strides import Walk
from rnnkit.execution import passes

# What is accepted


def test_the_tests_verify_all_that_they_compile():
    assert verify.CHECKED


@pytest.mark.parametrize("name", NAMES)
def test_what_the_passes_make_of_a_cell_is_accepted(name):
    for graph in read_of(name).graphs.values():
        for target in (CPU, CUDA):
            planned(graph, target)


@pytest.mark.parametrize("number", range(0, 40 * SIZES, SIZES + 1))
def test_what_they_make_of_a_random_step_is_accepted(number):
    cell = random_cell(number)
    for graph in read(built(cell, cell.features), cell.constants).graphs.values():
        for target in (CPU, CUDA):
            planned(graph, target)


# What is found


@rk.cell(
    states={"h": "units", "count": 1},
    weights={
        "kernel": rk.Weight(("features", "2*units"), "glorot_uniform"),
        "recurrent_kernel": rk.Weight(("units", "2*units"), "orthogonal"),
        "thin": rk.Weight(("units", "units"), density=0.5),
        "scale": rk.Weight((3, 3), "orthogonal"),
        "bias": rk.Weight(("2*units",), "zeros"),
    },
    draws={"kept": rk.Draw(("units",), lambda rng, shape: rng.random(shape))},
)
def various(x, states, weights, draws, constants):
    """A bit of everything: all sections, gates, a reduction, both kinds, functions of weights alone."""
    h, count = states
    (context,) = constants
    turned = np.einsum("ij,jk->ik", np.linalg.inv(weights.scale), weights.scale)
    z, n = np.split(x @ weights.kernel + h @ weights.recurrent_kernel + weights.bias, 2, axis=1)
    z = rk.sigmoid(z) * np.linalg.det(weights.scale)
    n = np.tanh(n + h @ weights.thin + (context @ turned).sum(axis=1, keepdims=True))
    h = np.where(z > 0.5, (1 - z) * h, z * n) * draws.kept
    return np.concatenate([h, h[:, ::-1]], axis=1), (h, count + 1)


CONSTANTS = ((3,),)


class Made:
    """What the passes made of the step above, for one fault to be put into."""

    def __init__(self):
        self.step = built(various(units=5))
        found = read(self.step, CONSTANTS)
        self.before, self.graph, self.adjoint = found.traced, found.graph, found.adjoint
        self.nodes = self.graph.nodes

    def node(self, op, **attributes):
        """The first node of the graph with this operation."""
        return next(n for n in self.nodes if n.op == op and all(getattr(n, k) == v for k, v in attributes.items()))

    def check_graph(self):
        passes._NAMED["simplify"].check("simplify", self.graph, self.before)

    def check_adjoint(self):
        check = passes._NAMED["differentiate"].check
        check("differentiate", self.adjoint, self.graph, DTYPE, CONSTANTS, self.step.feature_shape)


class MadePlan:
    """The plan of one of its graphs, likewise."""

    def __init__(self, role="forward"):
        self.graph = read(built(various(units=5)), CONSTANTS).graphs[role]
        self.plan = planned(self.graph)
        self.parts, self.products = self.plan.parts(), self.plan.products()
        self.loops = [part for part in self.parts if isinstance(part, Loop)]

    def buffer(self, kind, **attributes):
        """The first buffer of a kind."""
        buffers = (b for b in self.plan.buffers if b.kind == kind)
        return next(b for b in buffers if all(getattr(b, k) == v for k, v in attributes.items()))

    def product(self, section):
        """The first product of a section."""
        return next(p for p in self.products if p.section == section)

    def loop(self, section, reduction=False):
        """The last loop, or the first reduction, of a section."""
        loops = [loop for loop in self.loops if loop.section == section and (loop.reduction is not None) == reduction]
        return loops[0 if reduction else -1]

    def check_plan(self):
        verify.check_plan(self.plan, "fuse", self.graph, lambda columns: CPU.columns(columns, DTYPE))


FAULTS = []  # the function that puts one into what was made, what it is put into, and the words of the error


def fault(words, made=Made, check="check_graph"):
    def decorate(function):
        FAULTS.append(pytest.param(function, made, check, words, id=function.__name__))
        return function

    return decorate


def in_adjoint(words):
    return fault(words, check="check_adjoint")


def in_plan(words, role="forward"):
    return fault(words, lambda: MadePlan(role), "check_plan")


# Graphs


@fault("the node 3, weight .* stands at place 2")
def nodes_in_another_order(made):
    made.nodes[2], made.nodes[3] = made.nodes[3], made.nodes[2]


@fault("tanh .* reads node .*, which does not stand before it, in the line 'n = np.tanh")
def an_operand_that_comes_later(made):
    made.node("tanh").args = (made.nodes[-1],)


@fault("output is no node of the graph")
def a_result_of_another_graph(made):
    made.graph.output = dataclasses.replace(made.graph.output)


@fault("tanhh .* is no operation that there is")
def an_unknown_operation(made):
    made.node("tanh").op = "tanhh"


@fault("tanh .* has 2 operands, expected 1")
def too_many_operands(made):
    made.node("tanh").args *= 2


@fault(r"tanh .* depends on \['x'\], its operands on")
def other_dependencies(made):
    made.node("tanh").depends = frozenset({"x"})


@fault("einsum .* is computed of weights alone, but reads what differs from row to row")
def a_row_in_a_function_of_weights(made):
    einsum, z = made.node("einsum"), made.node("x")
    made.nodes.remove(z)
    made.nodes.insert(0, z)
    einsum.args, einsum.depends = (z, einsum.args[1]), z.depends


@fault("product .* multiplies what differs from row to row by weights, but has other operands")
def a_product_of_two_rows(made):
    product = made.node("product")
    product.args = (product.args[0], product.args[0])


@fault(r"sigmoid .* takes operands of the kinds \['bool'\], expected \['float'\]")
def a_condition_as_a_number(made):
    sigmoid = made.node("sigmoid")
    condition = Node(0, "literal", (), sigmoid.shape, "bool", np.ones(sigmoid.shape, bool))
    made.nodes.insert(0, condition)
    renumber(made)
    sigmoid.args, sigmoid.depends = (condition,), frozenset()


@fault("greater .* is of the kind 'float', expected 'bool'")
def a_number_as_a_condition(made):
    made.node("greater").kind = "float"


@fault("state .* reads 7, which the step does not have")
def an_unknown_state(made):
    made.node("state").attr = 7


@fault("product .* can't be computed of shapes .*: 5 columns against 3 rows")
def shapes_that_do_not_fit(made):
    product = made.node("product")
    product.args = (product.args[0], made.node("weight", attr="scale"))


@fault(r"tanh of shape \(99,\), has operands of shapes \[\(5,\)\], which give \(5,\)")
def another_shape(made):
    made.node("tanh").shape = (99,)


@fault("product .* takes a sparse weight as a dense one, or the reverse")
def a_dense_product_of_a_sparse_weight(made):
    made.node("product", attr="sparse").attr = None


@fault("tanh .* is node .* once more: equal nodes are one")
def a_node_twice(made):
    made.nodes.append(dataclasses.replace(made.node("tanh"), id=len(made.nodes)))


@fault(r"state 1 has shape \(5,\), expected \(1,\)")
def states_in_another_order(made):
    made.graph.states = (made.graph.states[0],) * 2


@fault("the graph has 3 states, expected 2")
def a_state_too_many(made):
    made.graph.states += made.graph.states[:1]


@fault(r"is the output, expected of shape \(10,\)")
def another_output(made):
    made.graph.output = made.graph.states[0]


@fault("greater .* is the output and no number")
def a_condition_as_output(made):
    output, greater = made.graph.output, made.node("greater")
    made.graph.output, made.before.output = greater, SimpleNamespace(shape=greater.shape)
    assert output is not greater


@fault("the name 'z' is that of node 999, which is not there")
def a_name_of_nothing(made):
    made.graph.names[999] = "z"


@fault("has the number of another node")
def a_number_twice(made):
    weights = made.adjoint.weights
    first, second = (node for name, node in weights.items() if name in ("kernel", "bias"))
    second.id = first.id
    verify._check_nodes([first, second], verify._Report("simplify"), leaves_of_sums(made), frozenset())


def leaves_of_sums(made):
    return {("weight", ("sum", i)): one.shape for i, one in enumerate(made.adjoint.sums)}


def renumber(made):
    for i, node in enumerate(made.nodes):
        node.id = i


# Adjoints


@in_adjoint(r"sum 0 reads \w+ .*, which is not saved")
def a_sum_of_what_is_not_saved(made):
    replace_place(made, source="operand", key=99)


@in_adjoint(r"sum 0 reads element \d+ of \w+ .*, which has \d+")
def a_sum_beyond_the_end(made):
    replace_place(made, offset=1000)


@in_adjoint(r"sum 0 of shape \(7, 7\) adds up")
def a_sum_of_another_shape(made):
    made.adjoint.sums[0] = dataclasses.replace(made.adjoint.sums[0], shape=(7, 7))


@in_adjoint(r"the value \('residual', 99\) is saved at each step, and nothing reads it")
def a_residual_that_nobody_reads(made):
    made.adjoint.forward.residuals["residual", 99] = made.adjoint.forward.output


@in_adjoint(r"residual .* reads \('residual', 0\), which the step does not have")
def a_residual_that_nobody_saves(made):
    del made.adjoint.forward.residuals["residual", 0]


@in_adjoint(r"the value \('operand', \d+\) is saved at each step, and nothing reads it")
def an_operand_that_nobody_sums(made):
    made.adjoint.sums.pop()


@in_adjoint("residual .* is read as float, but was saved as bool")
def a_residual_of_another_kind(made):
    forward = made.adjoint.forward
    condition = next(node for node in forward.nodes if node.op == "greater")
    name = next(n for n, node in forward.residuals.items() if n[0] == "residual" and node.shape == condition.shape)
    forward.residuals[name] = condition


@in_adjoint("is the gradient of 'bias', which has shape")
def a_gradient_of_another_shape(made):
    weights = made.adjoint.weights
    weights["bias"] = weights["scale"]


def replace_place(made, **changes):
    one = made.adjoint.sums[0]
    made.adjoint.sums[0] = dataclasses.replace(one, b=dataclasses.replace(one.b, **changes))


# Plans


@in_plan("stands behind one of section 3, level .*, but is of")
def stages_in_another_order(made):
    made.plan.stages.reverse()


@in_plan("is of section 0, which has no stages")
def a_stage_before_any_call(made):
    made.plan.stages[0].section = PREPACK


@in_plan("is fused in a stage of section 3, but is of 2")
def a_product_fused_across_sections(made):
    next(stage for stage in made.plan.stages if isinstance(stage, Fused)).products[0].section = BLOCK


@in_plan(r"the buffer next\w* has .*, and not all are written")
def a_result_that_is_not_written(made):
    loop = next(loop for loop in made.loops if any(b.kind == "next" for _, b, _ in loop.writes))
    loop.writes = [one for one in loop.writes if one[1].kind != "next"]


@in_plan("the buffer x has no size, or the name of another")
def two_buffers_of_one_name(made):
    made.buffer("state").name = "x"


@in_plan("is computed when weights change, or not, against its kind")
def a_weight_that_is_not_computed(made):
    made.plan.prepacked.pop(made.buffer("prepacked"))


@in_plan("the plan has results of sizes")
def a_state_that_is_not_there(made):
    made.buffer("next").attr = 7


@in_plan("the plan saves .*, the graph", role="forward with residuals")
def a_residual_that_is_not_saved(made):
    made.plan.buffers.remove(next(b for b in made.plan.buffers if b.is_written))


@in_plan("the plan has the shapes")
def another_output_shape(made):
    made.plan.output_shape = (2, 5)


@in_plan("is computed when weights change, for w_bias, but depends on")
def a_prepacked_value_of_rows(made):
    buffer = made.buffer("prepacked", name="w_bias")
    made.plan.prepacked[buffer] = made.graph.output


@in_plan("weight of shape .* has 10 elements, its buffer w_bias 9")
def a_prepacked_value_of_another_size(made):
    made.buffer("prepacked", name="w_bias").size = 9


@in_plan("runs per block of steps and reads state_0, which is not there then")
def a_state_read_ahead(made):
    made.product(BLOCK).operand = made.buffer("state")


@in_plan("reads product.* before it is written")
def a_stage_that_is_missing(made):
    made.plan.stages.remove(made.product(BLOCK))


@in_plan("writes .*, a buffer of x")
def a_write_to_the_input(made):
    loop = made.loop(STEP)
    loop.writes.append((loop.writes[0][0], made.buffer("x"), Walk(0, (0,) * loop.kept)))


@in_plan("writes elements of .* that are written already")
def a_value_written_twice(made):
    made.plan.stages.append(made.plan.stages[-1])


@in_plan("reads .*, which is no buffer of the plan")
def a_buffer_of_another_plan(made):
    made.loop(STEP).loads[0].buffer = Buffer("elsewhere", "scratch", 5)


@in_plan(r"reads element 1\d+ of .*, which has")
def an_index_beyond_the_end(made):
    load = made.loop(STEP).loads[0]
    load.walk = Walk(100, (1,) * len(made.loop(STEP).dims))


@in_plan("has weights other than those that .* holds, or of another depth")
def a_product_of_other_weights(made):
    made.product(STEP).depth -= 1


@in_plan("has gates other than those for which .* is laid out")
def two_products_that_want_a_weight_in_other_orders(made):
    stage = next(stage for stage in made.plan.stages if isinstance(stage, Fused))
    stage.products.append(dataclasses.replace(stage.products[0], gates=(0, 1, 2, 3)))


@in_plan("takes a sparse weight as a dense one, or the reverse")
def a_dense_stage_of_a_sparse_weight(made):
    next(p for p in made.products if p.panels.attr is None).panels.attr = "sparse"


@in_plan(r"has gates \(0, 5\) of 6 units, but 10 columns")
def gates_beyond_the_columns(made):
    next(p for p in made.products if p.gates).units = 6


@in_plan(r"gives \d+ elements, and .* has 3")
def a_result_of_another_size(made):
    made.product(CALL).result.size = 3


@in_plan("keeps 0 of the axes")
def a_loop_that_keeps_nothing(made):
    made.loop(STEP).kept = 0


@in_plan("the reduction maxx .* is no reduction that there is")
def an_unknown_reduction(made):
    made.loop(CALL, reduction=True).reduction = "maxx"


@in_plan("computes .* twice")
def a_value_computed_twice(made):
    made.loop(STEP).values.append(made.loop(STEP).values[0])


@in_plan("writes nothing_, which is none of its values")
def a_write_of_no_value(made):
    loop = made.loop(STEP)
    loop.writes[0] = ("nothing_", *loop.writes[0][1:])


@in_plan("reads .*, which it writes")
def a_loop_that_reads_what_it_writes(made):
    before, loop = (loop for loop in made.loops if any(b.kind == "output" for _, b, _ in loop.writes))
    output, walk = next((b, walk) for _, b, walk in before.writes if b.kind == "output")
    loop.values.append(Load("again", output, walk=walk))


@in_plan("computes tanhh, which is no operation that there is")
def an_unknown_operation_in_a_loop(made):
    value = next(v for loop in made.loops for v in loop.values if isinstance(v, Pointwise))
    value.op = "tanhh"


@in_plan("computes .* of nothing_, which is no value before it")
def an_unknown_value_in_a_loop(made):
    value = next(v for loop in made.loops for v in loop.values if isinstance(v, Pointwise))
    value.args = ("nothing_",) * len(value.args)


@in_plan(r"computes greater of the kinds \['float', 'float'\] as float, not")
def a_condition_as_a_number_in_a_loop(made):
    next(v for loop in made.loops for v in loop.values if isinstance(v, Pointwise) and v.op == "greater").kind = "float"


@in_plan("walks over 1 axes as None")
def a_load_that_is_not_laid_out(made):
    made.loop(STEP).loads[0].walk = None


# Plans by rows


class MadeRows(MadePlan):
    """The plan by rows of the step above."""

    def __init__(self):
        self.graph = read(built(by_row(), (2,))).graph
        self.plan = planned(self.graph, BY_ROWS)
        self.lines = self.plan.lines
        (self.loop,) = self.of(RowLoop)

    def of(self, what, **attributes):
        """All lines of a class."""
        lines = [one for one in all_lines(self.plan.lines) if isinstance(one, what)]
        return [one for one in lines if all(getattr(one, k) == v for k, v in attributes.items())]


def in_rows(words):
    return fault(words, MadeRows, "check_plan")


@in_rows("the buffer output has 1 numbers, and not all are written")
def an_output_of_no_line(made):
    next(names for buffer, names in made.plan.writes if buffer.kind == "output")[0] = "nothing_"


@in_rows("the buffer next.* has 12 numbers, and not all are written")
def a_state_in_another_slot(made):
    i = next(i for i, (buffer, names) in enumerate(made.plan.writes) if isinstance(names, Slot))
    made.plan.writes[i] = made.plan.writes[i][0], Slot("other", 12)


@in_rows("the plan writes other buffers than its results")
def a_result_without_numbers(made):
    made.plan.writes.pop()


@in_rows("the line round.* begins with nothing_")
def a_loop_that_begins_with_nothing(made):
    made.loop.carried[0].initial = "nothing_"


@in_rows("the line round.* goes on with nothing_")
def a_loop_without_a_condition(made):
    made.loop.go = "nothing_"


@in_rows("the line round.* carries as another kind")
def a_loop_that_carries_a_condition_as_a_number(made):
    made.loop.carried[0].next = made.loop.go


@in_rows("reads nothing_")
def an_operation_on_nothing(made):
    made.of(Pointwise)[0].args = ("nothing_",)


@in_rows("the line of a slot doesn't fill, or it is no slot: v")
def a_write_to_no_slot(made):
    made.of(Put)[0].slot = Slot("v", 12)


@in_rows("has no section, or the name of another: ")
def a_line_of_no_time(made):
    del made.plan.sections[made.of(Pointwise)[0].name]


@in_rows(r"reads x\[2\]")
def an_element_beyond_the_end(made):
    next(one for one in made.of(Element) if one.buffer.kind == "x").index = 2


@in_rows("is computed before what it reads: ")
def a_line_that_comes_too_early(made):
    made.plan.sections[made.of(Pointwise)[-1].name] = CALL


@in_rows("looks into what isn't there: v")
def a_look_into_no_slot(made):
    made.of(Look)[0].place = Slot("v", 12)


@in_rows("computes .* of other kinds than it takes: ")
def a_sum_of_conditions(made):
    made.of(Pointwise, kind="bool")[0].op = "add"


def found(function, make, check):
    """The error that a fault gives."""
    made = make()

    def put_in():
        function(made)
        getattr(made, check)()

    with pytest.raises(verify.InvalidIR) as caught:
        put_in()
    return caught.value


@pytest.mark.parametrize("function, make, check, words", FAULTS)
def test_a_fault_is_found(function, make, check, words):
    getattr(make(), check)()
    error = found(function, make, check)
    named = {"check_graph": "simplify", "check_adjoint": "differentiate", "check_plan": "fuse"}[check]
    assert str(error).startswith(f"after the pass '{named}', ")
    assert re.search(words, str(error)), str(error)


REFUSALS = "report.node", "report.line", "self._refuse", "self._wrong"


def test_each_rule_of_the_verifier_has_a_fault():
    tree = ast.parse(inspect.getsource(verify))
    refusals = [
        (node.lineno, node.end_lineno)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in REFUSALS
    ]
    seen = set()
    for case in FAULTS:
        function, make, check, _ = case.values
        seen |= {frame.lineno for frame in traceback.extract_tb(found(function, make, check).__traceback__)}
    missing = [first for first, last in refusals if not seen & set(range(first, last + 1))]
    assert not missing, f"no fault breaks the rules of verify.py in the lines {missing}"
