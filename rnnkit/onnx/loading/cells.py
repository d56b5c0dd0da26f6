"""Cells that Keras lacks: Scan bodies, and all attributes of the ONNX recurrent operators."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import partial

import numpy as np

from rnnkit.arguments import positive_integer
from rnnkit.onnx.loading.operations import ELEMENTWISE, clip
from rnnkit.onnx.loading.program import Program, flat, split_features
from rnnkit.steps.cell import Cell

ACTIVATIONS: dict[str, Callable] = {
    name: ELEMENTWISE[name]
    for name in "Relu Tanh Sigmoid LeakyRelu ThresholdedRelu HardSigmoid Elu Softsign Softplus".split()
} | {
    "Affine": lambda x, alpha=1.0, beta=0.0: alpha * x + beta,
    "ScaledTanh": lambda x, alpha=1.0, beta=1.0: alpha * np.tanh(beta * x),
}


class ScanCell(Cell):
    """A cell whose step is a list of operations, such as the body of an ONNX Scan operator.

    Parameters
    ----------
    program : dict
        The result of `Program.config`. Its inputs are the parts of x, the states and the constants, in this order; its
        outputs the new states, then the step's outputs.
    states : int
        The number of states; at least one.
    constants : int
        The number of constants.
    output_size : int, optional
        The size of the output, required if there are constants.

    Notes
    -----
    The parts of x lie side by side in its features, and so do the outputs.
    """

    def __init__(self, program, states, constants=0, output_size=None, *, name=None):
        super().__init__(name=name)
        self.program, self.states, self.constants = Program(**program), int(states), int(constants)
        self.output_size = None if output_size is None else int(output_size)
        count = len(self.program.inputs) - self.states - self.constants
        self._x_shapes = self.program.inputs[:count]
        self._state_shapes = self.program.inputs[count : count + self.states]
        self.state_size = [tuple(shape) or (1,) for shape in self._state_shapes] or [(1,)]

    def build(self, input_shape):
        """Create the program's weights."""
        expected = sum(math.prod(shape) for shape in self._x_shapes)
        if tuple(input_shape[1:]) != (expected,):
            raise ValueError(f"expected x with {expected} features, got {tuple(input_shape[1:])}")
        self.arrays = [
            self.add_weight(shape, "zeros", name, trainable=trainable)
            for name, shape, trainable in self.program.weights
        ]
        self.built = True

    def call(self, inputs, states, constants=()):
        """Compute one step: the outputs side by side, and the new states."""
        given = [s if shape else s[:, 0] for shape, s in zip(self._state_shapes, states, strict=False)]
        found = self.program.run([*split_features(inputs, self._x_shapes), *given, *constants], self.arrays)
        new = [s if shape else s[:, None] for shape, s in zip(self._state_shapes, found, strict=False)] or states
        outputs = [flat(output) for output in found[self.states :]] or [flat(new[0])]
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs, axis=1), new

    def _takes(self, name):
        return self.constants > 0 if name == "constants" else super()._takes(name)

    def get_config(self):
        """Return the constructor's arguments as JSON values."""
        config = {"program": self.program.config(), "states": self.states, "constants": self.constants}
        return config | {"output_size": self.output_size} | super_config(self)


class RowsCell(Cell):
    """A cell of operations on the features of one row, whose single state stays unchanged."""

    state_size = 1

    def __init__(self, program: Program):
        super().__init__(name="operation")
        self.program = program

    def build(self, input_shape):
        """Create the program's weights."""
        self.arrays = [
            self.add_weight(shape, "zeros", name, trainable=trainable)
            for name, shape, trainable in self.program.weights
        ]
        self.built = True

    def call(self, inputs, states):
        """Compute one step: the program's output, and the unchanged state."""
        (found,) = self.program.run(split_features(inputs, self.program.inputs), self.arrays)
        return (found[:, None] if found.ndim == 1 else found), states

    def _content(self):
        return None if self.program.weights else json.dumps(self.program.config())


class OperatorCell(Cell):
    """Base of the cells for ONNX's LSTM, GRU and RNN; their weights have ONNX's order of gates.

    Parameters
    ----------
    units : int
    activations : list of [name, options]
        ONNX's names, with `alpha` and `beta` if they differ from the defaults.
    clip : float, optional
        The arguments of the activations are clipped to ``[-clip, clip]``, but not the state c of an LSTM.
    use_bias : bool
    """

    gates: int
    usual: tuple[str, ...]  # the default activations

    def __init__(self, units, activations=None, clip=None, use_bias=True, *, name=None):
        super().__init__(name=name)
        self.units = positive_integer(units, "units")
        self.activations = [[kind, dict(options)] for kind, options in activations or [[a, {}] for a in self.usual]]
        if unknown := [kind for kind, _ in self.activations if kind not in ACTIVATIONS]:
            raise ValueError(f"expected activations among {', '.join(ACTIVATIONS)}; got {unknown[0]!r}")
        if len(self.activations) != len(self.usual):
            raise ValueError(f"expected {len(self.usual)} activations, got {len(self.activations)}")
        self.clip = None if clip is None else float(clip)
        self.use_bias = bool(use_bias)
        self.state_size: int | list[int] = self.units

    def bias_shape(self) -> tuple[int, ...]:
        """Shape of the bias."""
        return (self.gates * self.units,)

    def build(self, input_shape):
        """Create ``kernel`` (F, gates*U), ``recurrent_kernel`` (U, gates*U) and, with `use_bias`, ``bias``."""
        width = self.gates * self.units
        self.kernel = self.add_weight((input_shape[-1], width), name="kernel")
        self.recurrent_kernel = self.add_weight((self.units, width), "orthogonal", name="recurrent_kernel")
        if self.use_bias:
            self.bias = self.add_weight(self.bias_shape(), "zeros", name="bias")
        self.built = True

    def _functions_of_z(self) -> list[Callable]:
        # The third acts on LSTM's cell state, not on z: onnxruntime clips sums of products only.
        bounds = [self.clip, self.clip, None]
        return [
            partial(_clipped, ACTIVATIONS[kind], options, bound)
            for (kind, options), bound in zip(self.activations, bounds, strict=False)
        ]

    def get_config(self):
        """Return the constructor's arguments as JSON values."""
        own = {"units": self.units, "activations": self.activations, "clip": self.clip, "use_bias": self.use_bias}
        return own | super_config(self)


class LSTMOperatorCell(OperatorCell):
    """The ONNX operator LSTM with all its attributes.

    One step is::

        i, o, f, g = quarters of x @ kernel + h @ recurrent_kernel + bias
        i = activation_0(i + p_i * c)
        f = activation_0(f + p_f * c)                 1 - i with input_forget
        c' = f * c + i * activation_1(g)
        h' = activation_0(o + p_o * c') * activation_2(c')

    Parameters
    ----------
    units, activations, clip, use_bias
        As of `OperatorCell`; three activations: of the gates, the candidate and the output.
    input_forget : bool
        Couple the gates of input and forgetting.
    peepholes : bool
        Let the gates see the cell's state c, by the weight ``peepholes`` (3, U): p_i, p_o, p_f.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> from rnnkit.onnx.loading.cells import LSTMOperatorCell
    >>> rk.RNN(LSTMOperatorCell(4, clip=3.0, peepholes=True), seed=0)(np.ones((2, 5, 3))).shape
    (2, 4)
    """

    gates = 4
    usual = ("Sigmoid", "Tanh", "Tanh")

    def __init__(
        self, units, activations=None, clip=None, use_bias=True, input_forget=False, peepholes=False, *, name=None
    ):
        super().__init__(units, activations, clip, use_bias, name=name)
        self.input_forget, self.peepholes = bool(input_forget), bool(peepholes)
        self.state_size = [self.units, self.units]

    def build(self, input_shape):
        """Create the weights, ``peepholes`` (3, U) last."""
        super().build(input_shape)
        if self.peepholes:
            self.peephole = self.add_weight((3, self.units), "zeros", name="peepholes")

    def call(self, inputs, states):
        """Compute one step: ``(h, [h, c])``."""
        units, (h, c) = self.units, states
        gate, candidate, output = self._functions_of_z()
        z = inputs @ self.kernel + h @ self.recurrent_kernel
        if self.use_bias:
            z = z + self.bias
        i, o, f, g = (z[:, k * units : (k + 1) * units] for k in range(4))
        if self.peepholes:
            i, f = i + self.peephole[0] * c, f + self.peephole[2] * c
        i = gate(i)
        f = 1.0 - i if self.input_forget else gate(f)
        c = f * c + i * candidate(g)
        if self.peepholes:
            o = o + self.peephole[1] * c
        h = gate(o) * output(c)
        return h, [h, c]

    def get_config(self):
        """Return the constructor's arguments as JSON values."""
        return {"input_forget": self.input_forget, "peepholes": self.peepholes} | super().get_config()


class GRUOperatorCell(OperatorCell):
    """The ONNX operator GRU with all its attributes.

    One step is::

        z = activation_0(x_z + h @ R_z)
        r = activation_0(x_r + h @ R_r)
        n = activation_1(x_n + (r * h) @ R_n)             linear_before_reset=False
        n = activation_1(x_n + r * (h @ R_n + b_n))       linear_before_reset=True
        h' = (1 - z) * n + z * h

    Parameters
    ----------
    units, activations, clip, use_bias
        As of `OperatorCell`; two activations: of the gates and the candidate.
    linear_before_reset : bool
        The bias is (2, 3U) then, its second row for the recurrent products.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> from rnnkit.onnx.loading.cells import GRUOperatorCell
    >>> rk.RNN(GRUOperatorCell(4, clip=3.0), seed=0)(np.ones((2, 5, 3))).shape
    (2, 4)
    """

    gates = 3
    usual = ("Sigmoid", "Tanh")

    def __init__(self, units, activations=None, clip=None, use_bias=True, linear_before_reset=False, *, name=None):
        super().__init__(units, activations, clip, use_bias, name=name)
        self.linear_before_reset = bool(linear_before_reset)

    def bias_shape(self):
        """The shape of the bias: one row for x, and with `linear_before_reset` one for h."""
        return (2, 3 * self.units) if self.linear_before_reset else (3 * self.units,)

    def call(self, inputs, states):
        """Compute one step: ``(h, h)``."""
        h, cut = states[0], 2 * self.units
        gate, candidate = self._functions_of_z()
        from_x = inputs @ self.kernel
        from_h = h @ self.recurrent_kernel[:, :cut]
        late = h @ self.recurrent_kernel[:, cut:] if self.linear_before_reset else 0.0
        if self.use_bias and self.linear_before_reset:
            from_x, from_h, late = from_x + self.bias[0], from_h + self.bias[1, :cut], late + self.bias[1, cut:]
        elif self.use_bias:
            from_x = from_x + self.bias
        z, r = (gate(from_x[:, part] + from_h[:, part]) for part in (slice(self.units), slice(self.units, cut)))
        if not self.linear_before_reset:
            n = candidate(from_x[:, cut:] + (r * h) @ self.recurrent_kernel[:, cut:])
        else:
            n = candidate(from_x[:, cut:] + r * late)
        h = (1.0 - z) * n + z * h
        return h, h

    def get_config(self):
        """Return the constructor's arguments as JSON values."""
        return {"linear_before_reset": self.linear_before_reset} | super().get_config()


class RNNOperatorCell(OperatorCell):
    """The ONNX operator RNN with all its attributes: ``h = activation_0(x @ kernel + h @ recurrent_kernel + bias)``.

    Parameters
    ----------
    units, activations, clip, use_bias
        As of `OperatorCell`; one activation.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> from rnnkit.onnx.loading.cells import RNNOperatorCell
    >>> rk.RNN(RNNOperatorCell(4, [["Affine", {"alpha": 0.5}]]), seed=0)(np.ones((2, 5, 3))).shape
    (2, 4)
    """

    gates = 1
    usual = ("Tanh",)

    def call(self, inputs, states):
        """Compute one step: ``(h, h)``."""
        (function,) = self._functions_of_z()
        z = inputs @ self.kernel + states[0] @ self.recurrent_kernel
        h = function(z + self.bias if self.use_bias else z)
        return h, h


def _clipped(function, options, bound, z):
    """Return an activation of z, which is clipped first if there is a bound."""
    return function(z if bound is None else clip(z, -bound, bound), **options)


def super_config(cell: Cell) -> dict:
    """Return the part of a configuration common to all cells."""
    return {"name": cell.name} if cell.name else {}
