"""Keras's initializers of weights, drawn from a `numpy.random.Generator`.

An initializer is a callable ``(shape, rng) -> array``. Those here are small immutable objects; they are known by name
(``"glorot_uniform"``), and a function of one's own will do as well. Values are drawn in float64 and cast by the layer.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, TypeVar, dataclass_transform

import numpy as np

from rnnkit import allocation
from rnnkit.arguments import real_number, whole
from rnnkit.arrays import real
from rnnkit.docstrings import described_as
from rnnkit.hints import DType, Shape
from rnnkit.serialization.configuration import named
from rnnkit.serialization.registry import Settings, name_of

__all__ = [
    "Constant",
    "Identity",
    "Initializer",
    "Normal",
    "Orthogonal",
    "Ring",
    "TruncatedNormal",
    "Uniform",
    "VarianceScaling",
    "initializer",
]

Kind = TypeVar("Kind", bound="Initializer")


class Initializer(Settings):
    """Base of the initializers here: ``initializer(shape, rng)`` is a new float64 array of `shape`.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> class Alternating(rk.initializers.Initializer):
    ...     def __call__(self, shape, rng=None, dtype=None):
    ...         return np.resize([1.0, -1.0], shape)
    >>> rk.Dense(2, kernel_initializer=Alternating())(np.ones((1, 3)))
    array([[ 3., -3.]])
    """

    seed: int | None = None

    def __call__(self, shape: Shape, rng: Any = None, dtype: DType = None) -> np.ndarray:
        """Draw an array of `shape` from the `numpy.random.Generator` `rng`; without one, from the seed or anew."""
        allocation.check("an initializer's array", shape)
        if self.seed is not None or rng is None:
            rng = np.random.default_rng(self.seed)
        is_complex = dtype is not None and np.dtype(dtype).kind == "c"
        values = (self._complex_values if is_complex else self._values)(tuple(shape), rng)
        return values if dtype is None else values.astype(dtype)

    def _values(self, shape, rng):
        raise NotImplementedError

    def _complex_values(self, shape, rng):
        """Return a complex weight: both parts are drawn, with the variance of one."""
        return (self._values(shape, rng) + 1j * self._values(shape, rng)) / math.sqrt(2.0)


@dataclass(frozen=True)
class _Settings(Initializer):
    """Base of the initializers here.

    Parameters
    ----------
    seed : int, optional
        Draw from this rather than from the layer's generator.
    """

    seed: int | None = field(default=None, kw_only=True)

    _checks: ClassVar = {"float": real_number, "seed": lambda one, what: None if one is None else whole(one, what, 0)}


@dataclass_transform(frozen_default=True)
def _initializer(kind: type[Kind]) -> type[Kind]:
    """Make a class a frozen dataclass, whose docstring describes the seed, too."""
    return described_as(_Settings)(dataclass(frozen=True)(kind))


@_initializer
class Constant(_Settings):
    """An initializer that sets every entry to `value`.

    Parameters
    ----------
    value : float or array_like
        An array has the weight's shape.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.initializers.Constant(0.5)((2, 2)).round(3)
    array([[0.5, 0.5],
           [0.5, 0.5]])
    """

    value: float = 0.0

    def __post_init__(self) -> None:
        real(self.value, "value")  # an array will do, too

    def get_config(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return super().get_config() | {"value": np.asarray(self.value).tolist()}

    def _values(self, shape, rng):
        return np.full(shape, self.value, dtype=np.float64)

    _complex_values = _values


@_initializer
class Uniform(_Settings):
    """An initializer that draws uniformly between `minval` and `maxval`.

    Parameters
    ----------
    minval, maxval : float

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.initializers.Uniform(-1.0, 1.0, seed=0)((2, 2)).round(3)
    array([[ 0.274, -0.46 ],
           [-0.918, -0.967]])
    """

    minval: float = -0.05
    maxval: float = 0.05

    def _values(self, shape, rng):
        return rng.uniform(self.minval, self.maxval, shape)


@_initializer
class Normal(_Settings):
    """An initializer that draws from a normal distribution.

    Parameters
    ----------
    mean, stddev : float

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.initializers.Normal(0.0, 1.0, seed=0)((2, 2)).round(3)
    array([[ 0.126, -0.132],
           [ 0.64 ,  0.105]])
    """

    mean: float = 0.0
    stddev: float = 0.05

    def _values(self, shape, rng):
        return rng.normal(self.mean, self.stddev, shape)


@_initializer
class TruncatedNormal(_Settings):
    """An initializer that draws from a normal distribution, cut off at two standard deviations.

    Parameters
    ----------
    mean, stddev : float
        Mean and standard deviation of the distribution before it is cut off.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.initializers.TruncatedNormal(0.0, 1.0, seed=0)((2, 2)).round(3)
    array([[ 0.126, -0.132],
           [ 0.64 ,  0.105]])
    """

    mean: float = 0.0
    stddev: float = 0.05

    def _values(self, shape, rng):
        draws = rng.standard_normal(shape)
        while (outside := np.abs(draws) > 2).any():
            draws = np.where(outside, rng.standard_normal(shape), draws)
        return self.mean + self.stddev * draws


@_initializer
class VarianceScaling(_Settings):
    """An initializer with mean 0 and variance ``scale / fan``, the fan taken from the shape.

    Parameters
    ----------
    scale : float
        1 for Glorot's and LeCun's, 2 for He's.
    mode : {"fan_in", "fan_out", "fan_avg"}
        A kernel ``(*field, inputs, outputs)`` has ``fan_in = field * inputs`` and ``fan_out = field * outputs``.
    distribution : {"uniform", "truncated_normal"}
    input_axes, output_axes : sequence of int, optional
        The axes of inputs and of outputs, where they aren't the last but one and the last; all others are ``field``.

    Raises
    ------
    ValueError
        For another mode or distribution.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> float(rk.initializers.VarianceScaling(2.0, seed=0)((64, 8)).std().round(2))
    0.18
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"
    input_axes: tuple[int, ...] | None = None
    output_axes: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("input_axes", "output_axes"):
            if (axes := getattr(self, name)) is not None:
                object.__setattr__(self, name, tuple(map(operator.index, axes)))
        if not self.scale > 0:
            raise ValueError(f"expected scale above 0; got {self.scale!r}")
        if self.mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ValueError(f"expected mode fan_in, fan_out or fan_avg; got {self.mode!r}")
        if self.distribution not in ("uniform", "truncated_normal"):
            raise ValueError(f"expected distribution uniform or truncated_normal; got {self.distribution!r}")

    def get_config(self) -> dict[str, Any]:
        """Return the fields as JSON values, axes if there are any."""
        given = super().get_config()
        axes = {name: list(given.pop(name) or ()) for name in ("input_axes", "output_axes")}
        return given | {name: one for name, one in axes.items() if one}

    def _values(self, shape, rng):
        fan_in, fan_out = fans(shape, self.input_axes, self.output_axes)
        fan = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, fan)
        if self.distribution == "uniform":
            limit = math.sqrt(3 * variance)
            return rng.uniform(-limit, limit, shape)
        # A normal cut at two standard deviations has 0.8796 of its spread left.
        return TruncatedNormal(0.0, math.sqrt(variance) / 0.87962566103423978)._values(shape, rng)


@_initializer
class Orthogonal(_Settings):
    """An initializer that draws a matrix with orthonormal rows or columns, times `gain` (Saxe et al. 2013).

    Shapes of higher rank are one matrix ``(product of the first axes, last axis)``.

    Parameters
    ----------
    gain : float

    Raises
    ------
    ValueError
        At a call for a shape of fewer than two axes.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> q = rk.initializers.Orthogonal(seed=0)((4, 4))
    >>> bool(np.allclose(q.T @ q, np.eye(4)))
    True
    """

    gain: float = 1.0

    def _values(self, shape, rng):
        if len(shape) < 2:
            raise ValueError(f"expected a shape of two axes or more for orthogonal; got {tuple(shape)}")
        return self._of_columns(shape, lambda tall: rng.standard_normal(tall))

    def _complex_values(self, shape, rng):
        """Return a unitary matrix."""
        return self._of_columns(shape, lambda tall: rng.standard_normal(tall) + 1j * rng.standard_normal(tall))

    def _of_columns(self, shape, normal):
        rows, columns = math.prod(shape[:-1]), shape[-1]
        allocation.check("the draws of an orthogonal matrix and LAPACK's copies", (3, rows, columns))
        q, r = np.linalg.qr(normal((max(rows, columns), min(rows, columns))))
        q *= np.sign(np.where(np.diagonal(r) == 0, 1.0, np.diagonal(r)))  # uniform over rotations, whatever the signs
        return self.gain * (q.T if rows < columns else q).reshape(shape)


@described_as(Orthogonal)
@_initializer
class Identity(_Settings):
    """An initializer that gives the identity matrix times `gain`.

    Raises
    ------
    ValueError
        At a call for a shape of other than two axes.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.initializers.Identity()((2, 3)).round(3)
    array([[1., 0., 0.],
           [0., 1., 0.]])
    """

    gain: float = 1.0

    def _values(self, shape, rng):
        if len(shape) != 2:
            raise ValueError(f"expected a shape of two axes for identity; got {tuple(shape)}")
        return self.gain * np.eye(*shape)

    _complex_values = _values


@_initializer
class Ring(_Settings):
    """An initializer of complex weights between two circles, uniform in area (Orvieto et al. 2023, for the LRU).

    Parameters
    ----------
    r_min, r_max : float
        The radii.
    max_phase : float
        Angles are between 0 and this.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> eigenvalues = rk.initializers.Ring(0.8, 0.99, seed=0)((64,), dtype="complex128")
    >>> bool((np.abs(eigenvalues) > 0.8).all() and (np.abs(eigenvalues) < 0.99).all())
    True
    """

    r_min: float = 0.0
    r_max: float = 1.0
    max_phase: float = 2.0 * math.pi

    def _values(self, shape, rng):
        raise ValueError('expected a weight of dtype="complex" for a ring')

    def _complex_values(self, shape, rng):
        radii = np.sqrt(rng.uniform(self.r_min**2, self.r_max**2, shape))
        return radii * np.exp(1j * rng.uniform(0.0, self.max_phase, shape))


def fans(shape, input_axes=None, output_axes=None) -> tuple[int, int]:
    """Return how many inputs reach one output, and how many outputs one input reaches, as Keras counts them."""
    if input_axes is not None or output_axes is not None:
        rank = len(shape)
        given = (-2,) if input_axes is None else input_axes, (-1,) if output_axes is None else output_axes
        if strange := [axis for axes in given for axis in axes if not -rank <= axis < rank]:
            raise ValueError(f"expected axes of a shape of {rank} axes, got {strange[0]}")
        inputs, outputs = ({axis % rank for axis in axes} for axes in given)
        field = math.prod(size for axis, size in enumerate(shape) if axis not in inputs | outputs)
        return tuple(field * math.prod(shape[axis] for axis in axes) for axes in (inputs, outputs))
    if len(shape) < 2:
        size = shape[0] if shape else 1
        return size, size
    field = math.prod(shape[:-2])
    return field * shape[-2], field * shape[-1]


INITIALIZERS: dict[str, Callable] = {
    "zeros": Constant(0.0),
    "ones": Constant(1.0),
    "constant": Constant(),
    "uniform": Uniform(),
    "normal": Normal(),
    "truncated_normal": TruncatedNormal(),
    "random_uniform": Uniform(),
    "random_normal": Normal(),
    "glorot_uniform": VarianceScaling(1.0, "fan_avg", "uniform"),
    "glorot_normal": VarianceScaling(1.0, "fan_avg"),
    "he_uniform": VarianceScaling(2.0, "fan_in", "uniform"),
    "he_normal": VarianceScaling(2.0, "fan_in"),
    "lecun_uniform": VarianceScaling(1.0, "fan_in", "uniform"),
    "lecun_normal": VarianceScaling(1.0, "fan_in"),
    "orthogonal": Orthogonal(),
    "identity": Identity(),
}

CLASSES = {
    kind.__name__: kind
    for kind in (Constant, Uniform, Normal, TruncatedNormal, VarianceScaling, Orthogonal, Identity, Ring)
}


@described_as(named)
def initializer(identifier: Any) -> Callable[..., Any]:
    """Return the callable ``(shape, rng) -> array`` that an `initializer` argument stands for.

    Parameters
    ----------
    identifier : str, callable or dict
        A name, a callable as it is, or ``{"class_name": …, "config": …}`` as `initializer_config` writes it.

    Returns
    -------
    callable
        ``(shape, rng) -> array``.

    Examples
    --------
    >>> initializer("ones")((2, 2), np.random.default_rng(0)).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    if identifier is None:
        raise TypeError("expected an initializer's name, a function of (shape, rng) or a configuration; got None")
    return named(identifier, INITIALIZERS, CLASSES, Initializer, "initializer", function="(shape, rng)")


def initializer_config(identifier) -> str | dict:
    """Return the name or configuration from which `initializer` makes the same callable."""
    given = initializer(identifier)
    if isinstance(given, Initializer) and type(given) in CLASSES.values():
        for name, known in INITIALIZERS.items():
            if known == given:
                return name
        settings = {name: one for name, one in asdict(given).items() if one is not None}  # type: ignore[call-overload]
        return {"class_name": type(given).__name__, "config": settings}
    return name_of(given)


def drawn(function: Callable, shape, rng, dtype):
    """Return an initializer's array, for the signature ``(shape, rng)`` of rnnkit or ``(shape, dtype)`` of Keras."""
    allocation.keep("a weight", shape, dtype)
    if isinstance(function, _Settings):
        return function(shape, rng, dtype if np.dtype(dtype).kind == "c" else None)
    try:
        signature = inspect.signature(function)
    except ValueError:  # of a function that isn't in Python
        return function(shape, rng)
    if list(signature.parameters)[1:2] == ["dtype"]:
        return function(shape, dtype=np.dtype(dtype).name)
    try:
        signature.bind(shape, rng)
    except TypeError:
        raise TypeError(
            f"expected an initializer that is called as (shape, rng) and returns an array; got "
            f"{getattr(function, '__name__', function)}{signature}"
        ) from None
    return function(shape, rng)


def draw(identifier, shape, rng, dtype) -> np.ndarray:
    """Return a new array of `shape` and `dtype` from an initializer; a ValueError for an array of another shape."""
    array = real(drawn(initializer(identifier), tuple(shape), rng, dtype), "the initializer's array")
    if array.shape != tuple(shape):
        raise ValueError(f"expected an initializer's array of shape {tuple(shape)}; got {array.shape}")
    return np.array(array, dtype=dtype, order="C")
