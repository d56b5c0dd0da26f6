"""Conv1D: a product with the steps of each window along time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Unpack

import numpy as np

from rnnkit import allocation, constraints, regularizers
from rnnkit.activations import activation as activation_of
from rnnkit.arguments import positive_integer
from rnnkit.hints import Activation, Constraint, Initializer, LayerOptions, Regularizer, Shape
from rnnkit.initializers import initializer
from rnnkit.layers.base import no_mask
from rnnkit.layers.memoryless import Memoryless
from rnnkit.layers.support import validation
from rnnkit.layers.support.windows import Windows, channels_last, one_size, padding_name
from rnnkit.layers.weighted import arguments_of
from rnnkit.steps.cell import Cell


class ConvCell(Cell):
    """``activation(window @ kernel + bias)`` of one window; its one state stays as it is."""

    state_size = 1

    def __init__(self, layer: Conv1D, channels: int):
        super().__init__(name="conv1d")
        self.filters, self.groups, self.size = layer.filters, layer.groups, layer.kernel_size
        self.channels, self.activation, self.use_bias = channels, layer.activation, layer.use_bias
        self.of_kernel = arguments_of(layer, "kernel")
        self.of_bias = arguments_of(layer, "bias")

    def build(self, input_shape):
        """Create ``kernel`` (kernel_size, F / groups, filters) and ``bias`` (filters,)."""
        shape = (self.size, self.channels // self.groups, self.filters)
        self.kernel = self.add_weight(shape, name="kernel", **self.of_kernel)
        if self.use_bias:
            self.bias = self.add_weight((self.filters,), name="bias", **self.of_bias)
        self.built = True

    def call(self, inputs, states):
        """One window, group by group: the output, and the state as it came."""
        width = self.size * (self.channels // self.groups)
        kernel, each = self.kernel.reshape(width, self.filters), self.filters // self.groups
        parts = [
            inputs[:, g * width : (g + 1) * width] @ kernel[:, g * each : (g + 1) * each] for g in range(self.groups)
        ]
        y = parts[0] if self.groups == 1 else np.concatenate(parts, axis=-1)
        if self.use_bias:
            y = y + self.bias
        return self.activation(y), states


class Conv1D(Memoryless):
    """A convolution along the time axis of x ``(B, T, F)``, to ``(B, L, filters)``.

    It equals, with x padded as `padding` says::

        window = x[:, l * strides + dilation_rate * np.arange(kernel_size)]
        y[:, l] = activation(np.einsum("bkf,kfu->bu", window, kernel) + bias)

    A mask of steps ends here, as in Keras; the steps that it masks are read, NaN and infinity as 0.

    Parameters
    ----------
    filters : int
    kernel_size : int
    strides : int
    padding : {"valid", "same", "causal"}
        "same" adds zeros at both ends, so that there are ``ceil(T / strides)`` outputs. "causal" adds them before the
        first step, so that no output depends on a later step.
    dilation_rate : int
        From one step of a window to the next; with `strides` above 1 it has to be 1.
    groups : int
        Each of so many equal parts of the filters reads as many equal parts of the features.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> x = np.array([[[1.0], [2.0], [4.0]]])
    >>> rk.Conv1D(1, 2, padding="causal", kernel_initializer="ones")(x).tolist()
    [[[1.0], [3.0], [6.0]]]
    """

    dilation_rate: Any
    filters: int
    groups: int
    kernel_size: Any
    padding: Any
    strides: Any
    _least_rank = _most_rank = 3
    _axes = "batch, time"
    _padding = "lengths"
    _native = False
    _stream_refusal = "needs whole sequences"

    def __init__(
        self,
        filters: int,
        kernel_size: Any,
        strides: Any = 1,
        padding: Any = "valid",
        data_format: str | None = None,
        dilation_rate: Any = 1,
        groups: int = 1,
        activation: Activation = None,
        use_bias: bool = True,
        kernel_initializer: Initializer = "glorot_uniform",
        bias_initializer: Initializer = "zeros",
        kernel_regularizer: Regularizer = None,
        bias_regularizer: Regularizer = None,
        kernel_constraint: Constraint = None,
        bias_constraint: Constraint = None,
        **options: Unpack[LayerOptions],
    ):
        super().__init__(**options)
        self.filters, self.groups = positive_integer(filters, "filters"), positive_integer(groups, "groups")
        self.kernel_size, self.strides = one_size(kernel_size, "kernel_size"), one_size(strides, "strides")
        self.padding, self.dilation_rate = padding_name(padding, causal=True), one_size(dilation_rate, "dilation_rate")
        channels_last(data_format)
        if self.filters % self.groups:
            raise ValueError(f"expected filters as a multiple of the {self.groups} groups, got {self.filters}")
        if self.strides > 1 and self.dilation_rate > 1:
            raise ValueError(
                f"expected strides or dilation_rate to be 1, got strides={self.strides} and "
                f"dilation_rate={self.dilation_rate}"
            )
        self.activation: Callable[..., Any] = activation_of(activation)
        self.use_bias: bool = bool(use_bias)
        self.kernel_initializer: Callable[..., Any] = initializer(kernel_initializer)
        self.bias_initializer: Callable[..., Any] = initializer(bias_initializer)
        self.kernel_regularizer: Any = regularizers.get(kernel_regularizer)
        self.bias_regularizer: Any = regularizers.get(bias_regularizer)
        self.kernel_constraint: Any = constraints.get(kernel_constraint)
        self.bias_constraint: Any = constraints.get(bias_constraint)
        self._windows = Windows(self.kernel_size, self.strides, self.padding, self.dilation_rate)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return ``(B, L, filters)``."""
        return self._windows.shape(super().compute_output_shape(input_shape), self.filters)

    compute_mask = no_mask

    def _check_shape(self, shape):
        super()._check_shape(self._shape(shape))
        self._windows.shape(shape, self.filters)

    def _build(self, shape):
        if shape[-1] is not None and shape[-1] % self.groups:
            raise ValueError(f"expected features in {self.groups} equal groups, got {shape[-1]}")
        self._windows.shape(shape, self.filters)
        super()._build(shape)

    def _cell_for(self, shape):
        return ConvCell(self, shape[-1])

    def _traceable(self, x, weights):
        """Return the result in terms that the tracer reads, for ONNX."""
        steps, groups = self._windows.steps(x), self.groups
        kernel, part, each = weights["kernel"], x.shape[2] // groups, self.filters // groups
        found = []
        for g in range(groups):
            rows = np.concatenate([step[:, :, g * part : (g + 1) * part] for step in steps], axis=2)
            found.append(rows @ kernel[:, :, g * each : (g + 1) * each].reshape((len(steps) * part, each)))
        y = np.concatenate(found, axis=2)
        return self.activation(y + weights["bias"] if self.use_bias else y)

    def reads_more(self, rank: Any) -> Any:
        """Return windows along time."""
        return "reads several time steps at once"

    # The windows as steps, side by side for each group

    def _features_of(self, shape):
        return (None if shape[-1] is None else self.kernel_size * shape[-1],)

    def _steps(self, x):
        windows, groups = self._windows, self.groups
        padded = windows.padded(validation.cast(x, self._execution.dtype, kept_axes=0))
        allocation.expect(4 * self.kernel_size * padded.nbytes)  # windows, their cotangents and copies of both
        view = windows.view(padded)
        rows, count, size, features = view.shape
        if groups > 1:
            view = view.reshape(rows, count, size, groups, features // groups).swapaxes(2, 3)
        if groups > 1 or self.dilation_rate > 1:  # otherwise the steps of a window are contiguous
            allocation.check(f"the windows of {self.name!r}", view.shape, view.dtype)
            view = view.copy()
        return view.reshape(rows, count, size * features)

    def _given_back(self, steps, shape):
        return steps

    def _cotangent_steps(self, d, shape):
        return d

    def _x_back(self, steps, shape):
        rows, _, features = shape
        count, size, groups = steps.shape[1], self.kernel_size, self.groups
        if groups > 1:
            steps = steps.reshape(rows, count, groups, size, features // groups).swapaxes(2, 3)
        return self._windows.added_up(steps, shape)
