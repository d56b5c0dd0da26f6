"""Names for the types of arguments that many functions share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

Described: TypeAlias = Mapping[str, Any]  # a configuration, ``{"class_name": …, "config": …}``

Activation: TypeAlias = str | Callable[..., Any] | Described | None
Initializer: TypeAlias = str | Callable[..., Any] | Described
Regularizer: TypeAlias = str | Callable[..., Any] | Described | None
Constraint: TypeAlias = str | Callable[..., Any] | Described | None
LearningRate: TypeAlias = float | Callable[..., Any] | Described

# What becomes an array of NumPy; arrays of other libraries and of Dask, which stay what they are; lists of sequences;
# symbolic tensors; and, in a step, rows. No type of Python's says this.
Array: TypeAlias = Any
Shape: TypeAlias = Any  # a tuple of numbers and None, or, for several inputs, a list or dict of such
DType: TypeAlias = Any  # "float32", "float64", or what `numpy.dtype` takes
Seed: TypeAlias = Any  # None, a number, or what `numpy.random.SeedSequence` or a generator is
Logs: TypeAlias = dict[str, Any] | None  # of an epoch or a batch, for callbacks
Config: TypeAlias = dict[str, Any]  # what `get_config` gives
CustomObjects: TypeAlias = Mapping[str, Any] | None  # what a configuration may name besides; in place already
