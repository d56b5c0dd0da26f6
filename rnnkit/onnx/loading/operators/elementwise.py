"""Elementwise operators, and dense layers of a product with a known matrix, a bias and an activation."""

from __future__ import annotations

import numpy as np

from rnnkit.layers.dense import Dense
from rnnkit.layers.memoryless import Activation
from rnnkit.layers.merging import Add, Maximum, Multiply, Subtract
from rnnkit.onnx.format.package import dtype_of
from rnnkit.onnx.loading.axes import Array, Constant, kind_of
from rnnkit.onnx.loading.graph import Node, operator
from rnnkit.onnx.loading.operations import ELEMENTWISE, options_of

_CONDITIONS = ("And", "Equal", "Greater", "GreaterOrEqual", "IsNaN", "Less", "LessOrEqual", "Not", "Or", "Xor")
_OF_INTEGERS = (*_CONDITIONS, "Abs", "Add", "Max", "Min", "Mod", "Mul", "Neg", "Sub", "Sum", "Where")
_LAYERS = {"Add": Add, "Sub": Subtract, "Mul": Multiply, "Max": Maximum, "Sum": Add}
_NAMES = {
    "Exp": "exponential", "Mish": "mish", "Relu": "relu", "Sigmoid": "sigmoid", "Softplus": "softplus",
    "Softsign": "softsign", "Tanh": "tanh",
}  # fmt: skip


@operator(*ELEMENTWISE)
def elementwise(node: Node, *inputs):
    """Apply a function of the table, with NumPy's broadcasting."""
    op = node.op
    options = {name: node.attribute(name, default) for name, default in options_of(ELEMENTWISE[op]).items()}
    options = {name: value if isinstance(value, str) else float(value) for name, value in options.items()}
    if op == "Mod" and not options["fmod"] and any(one.kind == "float" for one in inputs):
        raise ValueError("expected fmod=1 for floating-point numbers")
    return combined(node, op, inputs, options)


def combined(node: Node, op: str, inputs, options=None):
    """Return the value of an elementwise operation on several values."""
    options = options or {}
    node.check_sizes(inputs)
    kinds = {one.kind for one in (inputs[1:] if op == "Where" else inputs)}
    if "int" in kinds and op not in _OF_INTEGERS and any(isinstance(one, Array) for one in inputs):
        raise ValueError(f"expected floating-point numbers for {op}, got integers")
    axes = node.axes.broadcast(*(one.axes for one in inputs))

    def emit(steps, refs):
        refs = [steps.aligned(one, ref, axes) for one, ref in zip(inputs, refs, strict=True)]
        return steps.add(op, refs, **options)

    kind = "bool" if op in _CONDITIONS else "float" if "float" in kinds else next(iter(kinds))
    found = node.array(axes, kind, inputs, emit, lambda target: _layer(target, node, op, inputs, axes, options))
    return found if options else fused(node, op, inputs, found, _NAMES.get(op) if len(inputs) == 1 else None)


def _layer(target, node, op, inputs, axes, options):
    """Return one of rnnkit's own layers for an operation, or None."""
    if len(inputs) == 1 and not options and op in _NAMES:
        tensor = target.tensor(inputs[0])
        if len(tensor.shape) < 2 or inputs[0].kind != "float" or tensor.shape[-1] is None:
            return None
        return Activation(_NAMES[op], dtype=target.dtype, name=target.named(node.name))(tensor)
    if op in _LAYERS and len(inputs) > 1 and all(isinstance(one, Array) for one in inputs):
        form = lambda one: [target.forms.row_axes(one), [axis for _, axis in target.forms.placed(one)]]
        if all(form(one.axes) == form(axes) for one in inputs):
            layer = _LAYERS[op](dtype=target.dtype, name=target.named(node.name))
            return layer([target.tensor(one) for one in inputs])
    return None


@operator("Clip")
def clip(node: Node, x, low=None, high=None):
    options = {}
    for name, value in (("min", low), ("max", high)):
        bound = node.attribute(name)
        if value is not None:
            bound = node.known(value, f"{name} of Clip").reshape(-1)[0]
        if bound is not None:
            options["low" if name == "min" else "high"] = float(bound)
    return combined(node, "Clip", [x], options)


@operator("Identity", "Dropout")
def identity(node: Node, x, ratio=None, training=None):
    """Return the value itself; Dropout does nothing outside of training."""
    if node.op == "Dropout":
        for name in ("ratio", "seed", "is_test"):
            node.attribute(name)
        if training is not None and bool(np.any(node.known(training, "training_mode"))):
            raise ValueError("expected Dropout outside of training")
        if node.wanted(1):
            raise ValueError("expected Dropout without its mask as an output")
    return x


@operator("Cast", "CastLike")
def cast(node: Node, x, like=None):
    """Cast a value; all floating-point numbers of a model have one precision."""
    kind = like.kind if like is not None else kind_of(dtype_of(node.attribute("to")))
    node.attribute("saturate")
    node.attribute("round_mode")
    if kind == x.kind and isinstance(x, Array):
        return x
    if kind == "float" and x.kind == "int" and (length := node.open_size(x)) is not None:
        return _length(node, x, length)
    if kind == "int" and x.kind == "float" and isinstance(x, Array):
        raise ValueError("expected no cast from floating-point numbers to integers")
    op = "NotZero" if kind == "bool" else "Number" if x.kind == "bool" else None
    return node.array(x.axes, kind, [x], lambda steps, refs: refs[0] if op is None else steps.add(op, refs))


def _length(node, x: Constant, axis):
    """Return an open size as a floating-point number, known at a call."""
    if x.array.size != 1 or int(x.array.reshape(())) != axis.number:
        raise ValueError("expected one open size to be cast, got what is computed from some")
    found = node.array(x.axes, "float", [], lambda steps, refs: steps.add("Length", [steps.along(axis)]))
    found.of_call = True
    return found


def dense(node: Node, axes, parts: tuple, emit, inputs) -> Array:
    """Return a value computed by a dense layer in a model, or by `emit` in a program.

    `parts` are ``(x, kernel, bias, activation)``: an array, a constant (K, N), a constant (N,) or None, a name or None.
    """
    x, kernel, bias, activation = parts

    def layers(target):
        if target.forms.is_row(x.axes[-1]):
            raise ValueError("expected a product along features, got one along the batch or time")
        depth, units = kernel.array.shape
        tensor = target.shaped(target.tensor(x), target.kept(x), [*target.forms.shape(x.axes[:-1]), depth])
        layer = Dense(units, activation, bias is not None, dtype=target.dtype, name=target.named(node.name))
        arrays = [kernel.array] if bias is None else [kernel.array, bias.array]
        (found,) = target.called(layer, arrays, tensor)
        return target.shaped(found, target.kept(x), target.forms.shape(axes, node.label))

    found = node.array(axes, "float", inputs, emit, layers)
    found.dense, found.layer_inputs = parts, [x]
    return found


def fused(node: Node, op: str, inputs, found: Array, activation: str | None) -> Array:
    """Add a bias or an activation to the dense layer before it; otherwise return the value unchanged."""
    before = next((one for one in inputs if isinstance(one, Array) and one.dense is not None), None)
    if before is None or not node.graph.is_read_once(node, before):
        return found
    x, kernel, bias, known = before.dense  # type: ignore[misc]
    if known is not None:
        return found
    if activation is not None:
        return dense(node, found.axes, (x, kernel, bias, activation), found.emit, inputs)
    other = inputs[-1] if inputs[0] is before else inputs[0]
    units = kernel.array.shape[1]
    if op != "Add" or bias is not None or len(inputs) != 2 or not isinstance(other, Constant):
        return found
    array = other.array
    if array.size != units or array.shape[-1:] != (units,) or array.ndim > len(before.axes):
        return found
    bias = Constant(array.reshape(units), (), other.name, True)
    return dense(node, found.axes, (x, kernel, bias, None), found.emit, inputs)
