"""The planner and the text of programs, without numba: plans are carried out in NumPy."""

import numpy as np
import pytest
from random_steps import random_cell
from reading import Read

import rnnkit as rk
from rnnkit.compiler.ir.plan import BLOCK, CALL, PREPACK, STEP, Loop, Product, SparseProduct
from rnnkit.compiler.planning.describe import describe

DENSE = {"kernel": (4, 4), "recurrent": (4, 4), "bias": (4,)}


def leaky(leak):
    def step(x, states, w):
        h = (1 - leak) * states[0] + leak * np.tanh(x @ w.kernel + states[0] @ w.recurrent + w.bias)
        return h, [h]

    return step


# Sections


def test_what_no_state_touches_leaves_the_loop_over_time():
    read = Read(leaky(0.3), weights=DENSE)
    assert [len(read.stages(section, Product)) for section in (CALL, BLOCK, STEP)] == [0, 1, 1]
    assert read.agrees()


def test_work_on_constants_is_done_once_a_call():
    def step(x, states, w, constants):
        h = np.tanh(states[0] + np.tanh(constants[0] @ w.kernel))
        return h, [h]

    read = Read(step, weights={"kernel": (5, 4)}, constants=((5,),))
    assert len(read.stages(CALL, Product)) == 1 and not read.stages(STEP, Product)
    assert "tanh" in [op for loop in read.stages(CALL, Loop) for op in loop.operations]
    assert read.agrees()


def test_work_on_weights_alone_is_done_when_they_change():
    def step(x, states, w):
        h = states[0] @ (w.a @ w.b) + np.exp(w.bias)
        return h, [h]

    read = Read(step, weights={"a": (4, 2), "b": (2, 4), "bias": (4,)})
    once = [node.op for node in read.plan.prepacked.values() if not isinstance(node, list)]
    assert "exp" in once and all(stage.section != PREPACK for stage in read.plan.parts())
    assert len(read.stages(STEP, Product)) == 1
    assert read.agrees()


def test_each_sparse_weight_has_a_stage_and_the_dense_ones_share_one():
    class Mixed(rk.Cell):
        state_size = 4

        def build(self, input_shape):
            densities = {"a": None, "b": 0.5, "c": None, "d": 0.25}
            self.kept = {n: self.add_weight((4, 4), "normal", n, density=share) for n, share in densities.items()}

        def call(self, inputs, states):
            h = np.tanh(inputs + sum(states[0] @ weight for weight in self.kept.values()))
            return h, h

    read = Read(Mixed())
    products = read.stages(STEP, Product)
    sparse = [p for p in products if isinstance(p, SparseProduct)]
    assert [[w.attr for w in p.weights] for p in products if p not in sparse] == [["a", "c"]]
    assert [[w.attr for w in p.weights] for p in sparse] == [["b"], ["d"]]
    assert [p.nonzeros for p in sparse] == [8, 4]
    assert read.agrees()


def test_a_gate_of_the_input_alone_is_computed_for_many_steps_at_a_time():
    def step(x, states, w):
        h = np.tanh(x @ w.kernel) * states[0]
        return h, [h]

    read = Read(step, weights=DENSE)
    assert "tanh" in [op for loop in read.stages(BLOCK, Loop) for op in loop.operations]
    assert "tanh" not in [op for loop in read.stages(STEP, Loop) for op in loop.operations]
    assert read.agrees()


def test_an_outer_product_is_made_where_it_is_used():
    def step(x, states, w):
        m = 0.9 * states[0] + x[:, :, None] * (x @ w.kernel)[:, None, :]
        return m.sum(axis=1), [m]

    read = Read(step, states=((4, 4),), weights=DENSE)
    assert not read.stages(BLOCK, Loop)
    assert read.agrees()


def test_any_function_of_weights_alone_is_called_when_they_change():
    def step(x, states, w):
        q, r = np.linalg.qr(w.kernel)
        scale = np.linalg.svd(w.recurrent, compute_uv=False)[0] + np.interp(0.5, [0, 1], w.bias[:2])
        h = np.tanh(x @ q + states[0] @ (np.linalg.solve(w.kernel, w.recurrent) / scale))
        return h, [h]

    read = Read(step, weights=DENSE)
    assert {"function"} <= {node.op for node in read.graph.live()}
    assert len(read.stages(STEP, Product)) == 1
    assert read.agrees()


# Products


def test_products_of_one_operand_are_one_product():
    def step(x, states, w):
        h = np.tanh(x @ w.kernel + states[0] @ w.recurrent) * rk.sigmoid(states[0] @ w.gate)
        return h, [h]

    read = Read(step, weights={**DENSE, "gate": (4, 4)})
    (product,) = read.stages(STEP, Product)
    assert [weight.attr for weight in product.weights] == ["recurrent", "gate"]
    assert read.agrees()


def test_a_product_of_a_concatenation_is_split():
    def step(x, states, w):
        h = np.tanh(np.concatenate([x, states[0]], axis=1) @ w.both)
        return h, [h]

    read = Read(step, features=(3,), weights={"both": (7, 4)})
    assert len(read.stages(BLOCK, Product)) == len(read.stages(STEP, Product)) == 1
    assert read.agrees()


def test_slices_of_a_weight_take_slices_of_one_product():
    def step(x, states, w):
        h = states[0]
        gate = rk.sigmoid(h @ w.both[:, :4])
        return h, [np.tanh(gate * (h @ w.both[:, 4:]))]

    read = Read(step, weights={"both": (4, 8)})
    assert len(read.stages(STEP, Product)) == 1
    assert read.agrees()


# Text


def test_numbers_of_construction_are_no_text():
    assert Read(leaky(0.3), weights=DENSE).text == Read(leaky(0.7), weights=DENSE).text


def test_sizes_are_no_text():
    def text(units, features):
        shapes = {"kernel": (features, units), "recurrent": (units, units), "bias": (units,)}
        return Read(leaky(0.3), (features,), ((units,),), shapes).text

    assert text(5, 3) == text(17, 9) == text(128, 1)


def test_another_step_is_another_text():
    def step(x, states, w):
        h = states[0] + 0.3 * np.sin(x @ w.kernel + states[0] @ w.recurrent + w.bias)
        return h, [h]

    assert Read(step, weights=DENSE).text != Read(leaky(0.3), weights=DENSE).text


def test_the_steps_lines_and_names_stand_in_the_text():
    @rk.cell(states={"h": 4}, weights={"kernel": rk.Weight((4, 4))})
    def forgetful(x, states, weights):
        forgotten = rk.sigmoid(x @ weights.kernel)
        return forgotten * states[0], forgotten * states[0]

    text = Read(forgetful()).text
    assert "# forgotten = rk.sigmoid(x @ weights.kernel)" in text
    assert "forgotten_ = sigmoid(z_)" in text


# Long steps


def test_layers_of_shifts_are_not_unfolded():
    def step(x, states, w):
        h = states[0]
        for layer in range(12):
            h = 0.6 * h + 0.4 * h[:, np.random.default_rng(layer).permutation(16)]
        return h, [h]

    read = Read(step, states=((16,),))
    assert sum(len(loop.values) for loop in read.plan.parts()) < 400  # each with all below it: 2 ** 12
    assert read.agrees()


def test_a_long_pointwise_step():
    def step(x, states, w):
        v, u = states
        for _ in range(100):
            v = v + 0.01 * (0.04 * v**2 - v + x - u)
        return v, [v, u + 0.1 * v]

    assert Read(step, states=((4,), (4,))).agrees()


# Corners of a plan


@pytest.mark.parametrize(
    "step",
    [
        lambda x, states, w: (x, [states[0], states[1]]),
        lambda x, states, w: (states[0], [states[1], states[0]]),
        lambda x, states, w: (states[0] + x, [x, x]),
        lambda x, states, w: (np.zeros_like(x), [np.ones_like(states[0]), states[1] * 0.5]),
        lambda x, states, w: (states[1][:, ::-1], [states[1][:, ::-1], states[0]]),
        lambda x, states, w: (states[0] > x, [np.float64(2) * (states[0] > 0), states[1]]),
        lambda x, states, w: (x.reshape(-1, 2, 2), [x.reshape(-1, 2, 2).transpose(0, 2, 1).reshape(-1, 4), x + w.bias]),
        lambda x, states, w: (np.broadcast_to(w.bias, x.shape), [np.broadcast_to(w.bias, x.shape), states[1] + w.bias]),
        lambda x, states, w: (x[:, :0], [states[0] + x.sum(axis=1, keepdims=True), states[1]]),
        lambda x, states, w: (x.max(axis=1), [np.tanh(states[0]), np.tanh(states[0])]),
    ],
)
def test_states_that_are_handed_on_swapped_or_constant(step):
    assert Read(step, states=((4,), (4,)), weights=DENSE).agrees()


def test_no_features():
    def step(x, states, w):
        h = np.tanh(x @ w.kernel + states[0])
        return h, [h]

    assert Read(step, features=(0,), weights={"kernel": (0, 4)}).agrees()


def test_an_assignment_where_there_is_no_element():
    def step(x, states, w):
        new = x * 1.0
        new[:, :1] = np.tanh(x[:, 1:])
        return new, [np.tanh(states[0] + new.sum(axis=(1, 2))[:, None])]

    assert Read(step, features=(2, 0)).agrees()


@pytest.mark.parametrize("number", range(60))
def test_a_random_cell(number):
    cell = random_cell(number)
    assert Read(cell, cell.features, constants=cell.constants).agrees()


@pytest.mark.sweep
def test_many_random_cells():
    for number in range(60, 6000):
        test_a_random_cell(number)


def test_explain_lists_what_leaves_vectors():
    def step(x, states, w):
        h = np.sin(states[0]) * np.tanh(x @ w.kernel) + np.fmod(states[0], 3)
        return h, [h]

    words = describe(Read(step, weights={"kernel": (4, 4)}).plan, np.dtype("float32"))
    assert words.splitlines()[-2:] == [
        "sin: lane by lane beyond 1e5 in float32, 1e6 in float64",
        "fmod: lane by lane where a / b is beyond 2**23 in float32, 2**52 in float64",
    ]
    assert "tanh: lane" not in words
