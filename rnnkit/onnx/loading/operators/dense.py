"""Dense layers from a product with a known matrix, a bias and an activation."""

from __future__ import annotations

from rnnkit.layers.dense import Dense
from rnnkit.onnx.loading.node import Node
from rnnkit.onnx.loading.values import Array, Constant


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
