"""The bases of metrics: `Measure`, and `Metric`, the mean of a function over used entries."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from rnnkit import losses, targets
from rnnkit.arrays import numbers_of, real
from rnnkit.configured import config_of
from rnnkit.docstrings import describe_by_bases
from rnnkit.hints import Array, CustomObjects
from rnnkit.serialization.registry import Configurable, find, name_of


class Measure(Configurable):
    """Base of metrics: ``update`` adds a batch, ``result`` is over all so far, ``reset`` forgets them.

    A subclass defines these three. The base adds Keras's names for them, `update_state` and `reset_state`, and a call,
    which updates and returns the result.

    Parameters
    ----------
    name : str

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> class Largest(rk.metrics.Measure):
    ...     def reset(self):
    ...         self._largest = 0.0
    ...     def update(self, y_true, y_pred, mask=None, sample_weight=None):
    ...         self._largest = max(self._largest, float(np.max(np.abs(y_true - y_pred))))
    ...     def result(self):
    ...         return self._largest
    >>> Largest("largest")([[0.0], [0.0]], [[1.0], [-3.0]])
    3.0
    """

    name: str

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        describe_by_bases(cls)

    def __init__(self, name: str):
        self.name = name
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        raise NotImplementedError(f"expected {type(self).__name__} to define reset()")

    def update(self, y_true: Array, y_pred: Array, mask: Array = None, sample_weight: Array = None) -> None:
        """Add a batch."""
        raise NotImplementedError(f"expected {type(self).__name__} to define update(y_true, y_pred, …)")

    def result(self) -> Any:
        """Return the result over all batches so far."""
        raise NotImplementedError(f"expected {type(self).__name__} to define result()")

    def update_state(self, y_true: Array, y_pred: Array, sample_weight: Array = None) -> None:
        """Add a batch of array_like, as `update`."""
        self.update(np.asarray(numbers_of(y_true)), np.asarray(numbers_of(y_pred)), None, sample_weight)

    def reset_state(self) -> None:
        """Forget all batches, as `reset`."""
        self.reset()

    reset_states = reset_state

    @property
    def variables(self) -> list:
        """The sums of the metric, each with ``value`` and ``assign``.

        Raises
        ------
        NotImplementedError
            For a metric that keeps something else than numbers and arrays.
        """
        kept = {name: value for name, value in vars(self).items() if name.startswith("_")}
        if strange := [name for name, value in kept.items() if not isinstance(value, (float, int, np.ndarray))]:
            raise NotImplementedError(
                f"expected a metric of numbers alone for its variables, {self.name!r} keeps {strange[0]}; call "
                "update_state and result"
            )
        return [Kept(self, name, self.name) for name in kept]

    def stateless_update_state(self, metric_variables: Any, *arguments: Any, **keywords: Any) -> list:
        """Return what `variables` would hold after a batch, and leave the metric as it is."""
        return self._with(metric_variables, lambda: self.update_state(*arguments, **keywords))[1]

    def stateless_result(self, metric_variables: Any) -> Any:
        """Return the result that these `variables` give."""
        return self._with(metric_variables, self.result)[0]

    def stateless_reset_state(self) -> list:
        """Return what `variables` hold before any batch."""
        return self._with([one.value for one in self.variables], self.reset_state)[1]

    def _with(self, values, function) -> tuple[Any, list]:
        """Return what a function gives while the variables have other values, and what these are then."""
        variables = self.variables
        before = [one.value for one in variables]
        try:
            for one, value in zip(variables, values, strict=True):
                one.assign(value)
            return function(), [one.value for one in self.variables]
        finally:
            for one, value in zip(variables, before, strict=True):
                one.assign(value)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        """Add a batch, as `update_state`, and return the result."""
        self.update_state(*arguments, **keywords)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON values."""
        return config_of(self)

    def __repr__(self) -> str:
        return f"<{self.name} metric>"


class Kept:
    """A number, or an array, that a metric keeps."""

    trainable = False

    def __init__(self, owner: Any, attribute: str, metric: str):
        self._owner, self._attribute = owner, attribute
        self.name = attribute.removeprefix("_")
        self.path = f"{metric}/{self.name}"

    @property
    def value(self) -> np.ndarray:
        """A copy as an array."""
        return np.array(getattr(self._owner, self._attribute))

    @property
    def shape(self) -> tuple:
        """The array's."""
        return self.value.shape

    @property
    def dtype(self) -> np.dtype:
        """The array's."""
        return self.value.dtype

    def numpy(self) -> np.ndarray:
        """Return a copy as an array."""
        return self.value

    def assign(self, value: Array) -> None:
        """Replace it."""
        array = np.array(numbers_of(value))
        plain = not isinstance(getattr(self._owner, self._attribute), np.ndarray)
        setattr(self._owner, self._attribute, array.item() if plain else array)


class Metric(Measure):
    """The mean of a function over used entries of all batches so far.

    Parameters
    ----------
    function : callable
        ``(y_true, y_pred) -> array``: a value for each row ``(B,)``, for each step ``(B, T)``, or more, of which the
        mean is taken. It gets arrays with the same number of axes, two at least. If it gives one number for a batch,
        the result is the mean over batches. Its name is the metric's by default.
    name : str, optional
    **settings
        Keywords of the function.

    Examples
    --------
    >>> import numpy as np
    >>> largest = Metric(lambda y_true, y_pred: np.max(np.abs(y_true - y_pred), axis=-1), name="largest")
    >>> largest.update(np.zeros((2, 2)), np.array([[1.0, 2.0], [4.0, 3.0]]))
    >>> largest.result()
    3.0
    """

    function: Any
    settings: Any

    def __init__(self, function: Callable, name: str | None = None, **settings: Any):
        self.function, self.settings = function, settings
        super().__init__(losses.name_of(function) if name is None else name)

    def reset(self) -> None:
        """Forget all batches."""
        self._total, self._count = 0.0, 0.0

    def update(self, y_true: Array, y_pred: Array, mask: Array = None, sample_weight: Array = None) -> None:
        """Add a batch.

        Parameters
        ----------
        y_true, y_pred : array_like
            As a loss takes them: a last axis of 1 of y_true is optional.
        mask : array_like of bool (B, T), optional
            Used steps, if y_pred has an axis of time; masked entries are not read.
        sample_weight : array_like (B,), (B, T) or (B, T, 1), optional
            Makes the mean a weighted one.

        Raises
        ------
        ValueError
            For shapes that don't belong together, or a negative weight.
        """
        y_true, y_pred = targets.aligned(y_true, y_pred)
        with np.errstate(all="ignore"):  # of masked entries
            values = real(self._values(y_true, y_pred), f"the values of {self.name!r}").astype(np.float64)
        if not values.ndim and mask is None and sample_weight is None:
            self._total, self._count = self._total + float(values), self._count + 1
            return
        steps = targets.by_step(values.shape, y_pred.shape)
        values = targets.by_entry(values, steps)
        if mask is None and sample_weight is None:
            self._total, self._count = self._total + float(np.sum(values)), self._count + values.size
            return
        weight = targets.weights(sample_weight, values.shape, np.float64)
        counted = losses.counted(self.settings.get("ignore_class"), y_true)
        if counted is not None:  # without weights they count as 0, as in Keras
            weight[~counted] = 0
        used = targets.used_steps(mask, y_pred.shape)
        if used is not None:
            if not steps:
                raise ValueError(
                    f"the metric {self.name!r} gives one number a row, to which a mask of steps can't be applied; "
                    "return one for each step, (B, T)"
                )
            weight[~used] = 0
        self._total += float(np.sum(np.where(weight == 0, 0.0, values * weight)))
        self._count += float(np.sum(weight))

    def result(self) -> float:
        """Return the mean so far; NaN without used entries."""
        return self._finish(self._total / self._count) if self._count else math.nan

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments as JSON values."""
        own = {"function": name_of(self.function)} if type(self) is Metric else {}
        return own | {"name": self.name} | self.settings

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: CustomObjects = None) -> Metric:
        """Return the metric of a configuration by `get_config`, without its batches."""
        config = dict(config)
        if "function" in config:
            config["function"] = losses.get(find(config["function"]))
        return cls(**config)

    def _values(self, y_true, y_pred):
        return self.function(y_true, y_pred, **self.settings)

    def _finish(self, mean: float) -> float:
        return mean


def is_by_entry(sample_weight, rank: int) -> bool:
    """Return whether weights are one number, or have all axes of the outputs and more than one entry in the last."""
    shape = np.shape(sample_weight)
    return sample_weight is not None and len(shape) in (0, rank) and shape[-1:] != (1,)


def entry_weights(sample_weight, shape) -> np.ndarray:
    """Return weights ``(N,)`` for all entries of a shape; a ValueError for those that don't fit, or below 0."""
    try:
        given = np.broadcast_to(np.asarray(sample_weight), shape)
    except ValueError:
        got = np.shape(sample_weight)
        raise ValueError(f"expected sample_weight that broadcasts to {shape}, got {got}") from None
    return targets.weights(given.reshape(-1), (given.size,), np.float64)


def used_entries(y_true, y_pred, mask, sample_weight, each: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return targets, outputs and weights of used entries ``(N, K)``; a ValueError for shapes or negative weights.

    Weights are ``(N, 1)``; with `each`, they may be given for each entry, as NumPy broadcasts them, and are ``(N, K)``.
    """
    y_true, y_pred = targets.aligned(y_true, y_pred)
    y_pred = y_pred.astype(np.float64) if y_pred.dtype.kind in "biu" else y_pred
    rows = y_true.reshape(-1, y_true.shape[-1]), y_pred.reshape(-1, y_pred.shape[-1])
    if mask is None and sample_weight is None:
        return *rows, np.ones((len(rows[1]), 1))
    if each and mask is None and y_pred.shape[-1] > 1 and is_by_entry(sample_weight, y_pred.ndim):
        return *rows, entry_weights(sample_weight, y_pred.shape).reshape(-1, y_pred.shape[-1])
    lead = y_pred.shape[: min(2, y_pred.ndim - 1)]
    weight = targets.weights(sample_weight, lead, np.float64)
    weight = np.broadcast_to(weight.reshape(*weight.shape, *(1,) * (len(lead) - weight.ndim)), lead).copy()
    used = targets.used_steps(mask, y_pred.shape)
    if used is not None:
        weight[~used] = 0
    weight = np.broadcast_to(weight.reshape(*lead, *(1,) * (y_pred.ndim - 1 - len(lead))), y_pred.shape[:-1]).ravel()
    kept = weight != 0
    return rows[0][kept], rows[1][kept], weight[kept, None]
