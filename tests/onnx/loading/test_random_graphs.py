"""Random graphs of operators around a recurrent one: axes are followed wherever they go."""

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx_graphs import check, model_of, node


class Grower:
    """Adds random nodes, and knows the axes of every value: "batch", "time" or a size."""

    def __init__(self, rng):
        self.rng, self.nodes, self.arrays = rng, [], {}
        self.axes = {"x": list(rng.permutation(np.array(["batch", "time", 4], dtype=object)))}
        self.inputs = [("x", "float32", list(self.axes["x"]))]
        self.value = "x"

    def known(self, array):
        name = f"k{len(self.arrays)}"
        self.arrays[name] = np.asarray(array)
        return name

    def add(self, op, inputs, axes, /, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(node(op, inputs, name, **attributes))
        self.axes[name], self.value = list(axes), name

    def grow(self):
        """One more node, or none where the choice doesn't fit."""
        choice = self.rng.choice([name for name in dir(self) if name.startswith("op_")])
        getattr(self, choice)(self.value, list(self.axes[self.value]))

    def feature(self, axes):
        """A random axis of features longer than 1, None if there is none."""
        places = [i for i, n in enumerate(axes) if not isinstance(n, str) and n > 1]
        return int(self.rng.choice(places)) if places else None

    def op_transpose(self, x, axes):
        order = [int(i) for i in self.rng.permutation(len(axes))]
        self.add("Transpose", [x], [axes[i] for i in order], perm=order)

    def op_unsqueeze(self, x, axes):
        if len(axes) < 5:
            place = int(self.rng.integers(len(axes) + 1))
            self.add("Unsqueeze", [x, self.known([place])], [*axes[:place], 1, *axes[place:]])

    def op_squeeze(self, x, axes):
        places = [i for i, n in enumerate(axes) if n == 1]
        if places:
            self.add("Squeeze", [x, self.known(places)], [n for n in axes if n != 1])

    def op_elementwise(self, x, axes):
        rank = int(self.rng.integers(len(axes) + 1))
        shape = [1 if isinstance(n, str) or self.rng.random() < 0.3 else n for n in axes[len(axes) - rank :]]
        op = str(self.rng.choice(["Add", "Mul", "Sub", "Max"]))
        given = [x, self.known(self.rng.uniform(0.5, 1.5, shape).astype("float32"))]
        self.add(op, given if self.rng.random() < 0.5 else given[::-1], axes)

    def op_activation(self, x, axes):
        self.add(str(self.rng.choice(["Tanh", "Relu", "Sigmoid", "Neg", "Softsign", "Identity"])), [x], axes)

    def op_matmul(self, x, axes):
        if len(axes) > 1 and not isinstance(axes[-1], str):
            units = int(self.rng.integers(1, 5))
            array = (0.4 * self.rng.normal(size=(axes[-1], units))).astype("float32")
            self.add("MatMul", [x, self.known(array)], [*axes[:-1], units])

    def op_bias(self, x, axes):
        if self.nodes and self.nodes[-1].op_type == "MatMul":
            self.add("Add", [x, self.known(self.rng.normal(size=axes[-1]).astype("float32"))], axes)

    def op_softmax(self, x, axes):
        if (place := self.feature(axes)) is not None:
            self.add("Softmax", [x], axes, axis=place)

    def op_reduce(self, x, axes):
        if (place := self.feature(axes)) is not None:
            keep = int(self.rng.integers(2))
            left = [1 if i == place else n for i, n in enumerate(axes) if keep or i != place]
            self.add("ReduceMean", [x], left, axes=[place], keepdims=keep)

    def op_slice(self, x, axes):
        if (place := self.feature(axes)) is not None:
            start, step = int(self.rng.integers(axes[place])), int(self.rng.choice([1, -1]))
            end = 1 << 40 if step > 0 else -(1 << 40)
            length = axes[place] - start if step > 0 else start + 1
            names = [self.known([one]) for one in (start, end, place, step)]
            self.add("Slice", [x, *names], [length if i == place else n for i, n in enumerate(axes)])

    def op_take(self, x, axes):
        if (place := self.feature(axes)) is not None:
            chosen = self.known(self.rng.integers(axes[place], size=3))
            self.add("Gather", [x, chosen], [3 if i == place else n for i, n in enumerate(axes)], axis=place)

    def op_join(self, x, axes):
        places = [i for i, n in enumerate(axes) if not isinstance(n, str)]
        if places and all(isinstance(n, str) or n < 20 for n in axes):
            place = int(self.rng.choice(places))
            other = next((name for name, own in self.axes.items() if own == axes and name != x), x)
            wide = [2 * n if i == place else n for i, n in enumerate(axes)]
            self.add("Concat", [x, other], wide, axis=place)

    def op_combine(self, x, axes):
        others = [name for name, own in self.axes.items() if own == axes]
        self.add(str(self.rng.choice(["Add", "Mul", "Min"])), [x, str(self.rng.choice(others))], axes)

    def op_merge(self, x, axes):
        pairs = [i for i in range(len(axes) - 1) if not isinstance(axes[i], str) and not isinstance(axes[i + 1], str)]
        if pairs:
            place = int(self.rng.choice(pairs))
            sizes = [0 if i < place else -1 if i == place else None for i in range(place + 1)]
            rest = axes[place + 2 :]
            if all(not isinstance(n, str) for n in rest):
                merged = [*axes[:place], axes[place] * axes[place + 1], *rest]
                self.add("Reshape", [x, self.known([*sizes, *rest])], merged)

    def op_reverse_time(self, x, axes):
        if "time" in axes:
            names = [self.known([one]) for one in (-1, -(1 << 40), axes.index("time"), -1)]
            self.add("Slice", [x, *names], axes)

    def op_along_time(self, x, axes):
        if "time" in axes:
            self.add(str(self.rng.choice(["Softmax", "LogSoftmax"])), [x], axes, axis=axes.index("time"))

    def op_sums_so_far(self, x, axes):
        if "time" in axes:
            self.add("CumSum", [x, self.known(axes.index("time"))], axes)

    def op_without_time(self, x, axes):
        if "time" in axes and len(axes) > 2:
            place, keep = axes.index("time"), int(self.rng.integers(2))
            left = [1 if i == place else n for i, n in enumerate(axes) if keep or i != place]
            self.add(str(self.rng.choice(["ReduceMax", "ReduceL2"])), [x], left, axes=[place], keepdims=keep)

    def op_last_step(self, x, axes):
        if "time" in axes and len(axes) > 2:
            self.add("Gather", [x, self.known(-1)], [n for n in axes if n != "time"], axis=axes.index("time"))

    def op_with_time(self, x, axes):
        fits = lambda m, n: m == n or (1 in (m, n) and "batch" not in (m, n))
        timed = [name for name, own in self.axes.items() if len(own) == len(axes) and "time" in own]
        timed = [name for name in timed if all(map(fits, self.axes[name], axes))]
        if "time" not in axes and timed:
            name = str(self.rng.choice(timed))
            wide = [n if m == 1 else m for m, n in zip(self.axes[name], axes, strict=True)]
            self.add("Add", [x, name], wide)

    def op_recurrent(self, x, axes):
        if sorted(map(str, axes[:2])) == ["batch", "time"] and len(axes) == 3 and not isinstance(axes[2], str):
            if axes[0] == "batch":
                self.add("Transpose", [x], ["time", "batch", axes[2]], perm=[1, 0, 2])
                x = self.value
            units, op = int(self.rng.integers(1, 4)), str(self.rng.choice(["LSTM", "GRU", "RNN"]))
            gates = {"LSTM": 4, "GRU": 3, "RNN": 1}[op]
            w, r = ((0.5 * self.rng.normal(size=(1, gates * units, n))).astype("float32") for n in (axes[2], units))
            self.add(op, [x, self.known(w), self.known(r)], ["time", 1, "batch", units], hidden_size=units)


def grown(seed):
    rng = np.random.default_rng(seed)
    grower = Grower(rng)
    while len(grower.nodes) < 4 + seed % 10:
        grower.grow()
    return grower


def check_seed(seed):
    grower = grown(seed)
    end = grower.value
    grower.op_recurrent("x", grower.axes["x"])  # so that it is known what batch and time are
    if not any(one.op_type in ("LSTM", "GRU", "RNN") for one in grower.nodes):
        wanted = ["time", "batch", 4]
        grower.add("Transpose", ["x"], wanted, perm=[grower.axes["x"].index(n) for n in wanted])
        grower.op_recurrent(grower.value, grower.axes[grower.value])
    outputs = [end, grower.nodes[-1].output[0]]
    model = model_of(grower.nodes, grower.inputs, list(dict.fromkeys(outputs)), grower.arrays)
    sizes = {"batch": 3, "time": 5}
    x = grower.rng.normal(size=[sizes.get(n, n) for n in grower.axes["x"]]).astype("float32")
    check(model, {"x": x})


@pytest.mark.parametrize("seed", range(20))
def test_random_graph(seed):
    check_seed(seed)


@pytest.mark.sweep
@pytest.mark.parametrize("seed", range(20, 400))
def test_more_random_graphs(seed):
    check_seed(seed)
