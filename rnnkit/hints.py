"""Names for the types of arguments that many functions share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypedDict

Described: TypeAlias = Mapping[str, Any]  # a configuration, ``{"class_name": …, "config": …}``

Activation: TypeAlias = str | Callable[..., Any] | Described | None
Initializer: TypeAlias = str | Callable[..., Any] | Described
Regularizer: TypeAlias = str | Callable[..., Any] | Described | None
Constraint: TypeAlias = str | Callable[..., Any] | Described | None
LearningRate: TypeAlias = float | Callable[..., Any] | Described

# Anything that becomes an array of NumPy; arrays of other libraries and of Dask, which keep their type; lists of
# sequences; symbolic tensors; and, in a step, rows. Python has no type for this.
Array: TypeAlias = Any
Shape: TypeAlias = Any  # a tuple of numbers and None, or, for several inputs, a list or dict of such
DType: TypeAlias = Any  # "float32", "float64", or any argument of `numpy.dtype`
Seed: TypeAlias = Any  # None, a number, a `numpy.random.SeedSequence` or a generator
Levels: TypeAlias = Sequence[float] | float | None  # percentages of bands
Progress: TypeAlias = Callable[[str], None] | None  # called with a text after each stage
Logs: TypeAlias = dict[str, Any] | None  # of an epoch or a batch, for callbacks
Config: TypeAlias = dict[str, Any]  # of `get_config`
CustomObjects: TypeAlias = Mapping[str, Any] | None  # classes and functions that a configuration may name


class LayerOptions(TypedDict, total=False):
    """Keywords of every layer's constructor, see `rnnkit.layers.base.Layer`."""

    dtype: DType
    seed: Seed
    name: str | None
    activity_regularizer: Regularizer
