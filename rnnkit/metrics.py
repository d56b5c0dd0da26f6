"""Metrics: numbers that tell how well a model does, without a gradient.

A metric gathers batches: ``update`` adds one, ``result`` is the mean over all used entries so far, ``reset`` forgets
them. They are plain NumPy, with sums in float64. Every loss is a metric by its name, and so is every function
``(y_true, y_pred) -> array``. Names and formulas are Keras's.

>>> import numpy as np
>>> metric = get("rmse")
>>> metric.update(np.zeros((2, 1)), np.array([[2.0], [0.0]]))
>>> metric.update(np.zeros((2, 1)), np.array([[0.0], [0.0]]))
>>> metric.result()
1.0
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from rnnkit import losses, targets
from rnnkit.arguments import positive_integer, real_number
from rnnkit.arrays import real
from rnnkit.serialization.configuration import described, is_described, named_config
from rnnkit.serialization.registry import Configurable, find, is_elsewhere, name_of


def binary_accuracy(y_true, y_pred, threshold=0.5):
    """The share of entries of the last axis where ``y_pred > threshold`` agrees with y_true, which is 0 or 1."""
    losses.check_arrays(y_true, y_pred)
    return np.mean(y_true == (y_pred > threshold), axis=-1)


def categorical_accuracy(y_true, y_pred):
    """1 where the largest entries of y_true and y_pred stand in the same place of the last axis, else 0."""
    losses.check_arrays(y_true, y_pred)
    return (np.argmax(y_true, axis=-1) == np.argmax(y_pred, axis=-1)).astype(np.float64)


def sparse_categorical_accuracy(y_true, y_pred):
    """1 where y_true, ``(…)`` or ``(…, 1)``, is the place of y_pred's largest entry on the last axis, else 0."""
    return (_numbers_of_classes(y_true, y_pred) == np.argmax(y_pred, axis=-1)).astype(np.float64)


def top_k_categorical_accuracy(y_true, y_pred, k=5):
    """1 where y_true's largest entry is among the `k` largest of y_pred, else 0."""
    losses.check_arrays(y_true, y_pred)
    return sparse_top_k_categorical_accuracy(np.argmax(y_true, axis=-1), y_pred, k)


def sparse_top_k_categorical_accuracy(y_true, y_pred, k=5):
    """1 where the entry of y_pred that y_true names is among the `k` largest, else 0.

    Equal entries share a place: that of the first one of them; an entry that isn't finite is no prediction.
    """
    k = positive_integer(k, "k")
    place = _numbers_of_classes(y_true, y_pred).astype(np.intp)[..., None]
    inside = (place >= 0) & (place < y_pred.shape[-1])
    chosen = np.take_along_axis(y_pred, np.where(inside, place, 0), axis=-1)
    above = np.sum(y_pred > chosen, axis=-1)
    return ((above < k) & np.isfinite(chosen[..., 0]) & inside[..., 0]).astype(np.float64)


def _numbers_of_classes(y_true, y_pred):
    losses.check_arrays(y_true, y_pred)
    return y_true[..., 0] if y_true.ndim == y_pred.ndim else y_true


class Metric(Configurable):
    """The mean of a function over used entries of all batches so far.

    Parameters
    ----------
    function : callable
        ``(y_true, y_pred) -> array``: a value for each row ``(B,)``, for each step ``(B, T)``, or more, of which the
        mean is taken. It sees arrays with the same number of axes, two at least.
    name : str, optional
        Without one, the function's.
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

    def __init__(self, function: Callable, name: str | None = None, **settings):
        self.function, self.settings = function, settings
        self.name = losses.name_of(function) if name is None else name
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self._total, self._weight = 0.0, 0.0

    def update(self, y_true, y_pred, mask=None, sample_weight=None) -> None:
        """Add a batch.

        Parameters
        ----------
        y_true, y_pred : array_like
            As a loss takes them: an axis of 1 at the end of y_true may be there or not.
        mask : array_like of bool (B, T), optional
            Steps that count, where y_pred has such an axis of time; what stands under a mask is not read.
        sample_weight : array_like (B,), (B, T) or (B, T, 1), optional
            Makes the mean a weighted one.

        Raises
        ------
        ValueError
            For shapes that don't belong together, or a negative weight.
        """
        y_true, y_pred = targets.aligned(y_true, y_pred)
        with np.errstate(all="ignore"):  # of what stands under a mask
            values = real(self._values(y_true, y_pred), f"the values of {self.name!r}").astype(np.float64)
        steps = targets.by_step(values.shape, y_pred.shape)
        values = targets.by_entry(values, steps)
        weight = targets.weights(sample_weight, values.shape, np.float64)
        used = targets.used_steps(mask, y_pred.shape)
        if used is not None:
            if not steps:
                raise ValueError(
                    f"the metric {self.name!r} gives one number a row, to which a mask of steps can't be applied; "
                    "return one for each step, (B, T)"
                )
            weight[~used] = 0
        self._total += float(np.sum(np.where(weight == 0, 0.0, values * weight)))
        self._weight += float(np.sum(weight))

    def result(self) -> float:
        """The mean so far; NaN where nothing was used."""
        return self._finish(self._total / self._weight) if self._weight else math.nan

    def get_config(self) -> dict:
        """The constructor's arguments as JSON values."""
        own = {} if type(self).__name__ in CLASSES else {"function": name_of(self.function)}
        return own | {"name": self.name} | self.settings

    @classmethod
    def from_config(cls, config: dict) -> Metric:
        """The metric that `get_config` described, without its batches."""
        config = dict(config)
        if "function" in config:
            config["function"] = losses.get(find(config["function"]))
        return cls(**config)

    def _values(self, y_true, y_pred):
        return self.function(y_true, y_pred, **self.settings)

    def _finish(self, mean: float) -> float:
        return mean

    def __repr__(self):
        return f"<{self.name} metric>"


class BinaryAccuracy(Metric):
    """`binary_accuracy`: `threshold` is 0.5 for probabilities, 0 for logits."""

    def __init__(self, threshold=0.5, name="binary_accuracy"):
        super().__init__(binary_accuracy, name, threshold=real_number(threshold, "threshold"))


class CategoricalAccuracy(Metric):
    """`categorical_accuracy`."""

    def __init__(self, name="categorical_accuracy"):
        super().__init__(categorical_accuracy, name)


class SparseCategoricalAccuracy(Metric):
    """`sparse_categorical_accuracy`."""

    def __init__(self, name="sparse_categorical_accuracy"):
        super().__init__(sparse_categorical_accuracy, name)


class TopKCategoricalAccuracy(Metric):
    """`top_k_categorical_accuracy`."""

    def __init__(self, k=5, name="top_k_categorical_accuracy"):
        super().__init__(top_k_categorical_accuracy, name, k=positive_integer(k, "k"))


class SparseTopKCategoricalAccuracy(Metric):
    """`sparse_top_k_categorical_accuracy`."""

    def __init__(self, k=5, name="sparse_top_k_categorical_accuracy"):
        super().__init__(sparse_top_k_categorical_accuracy, name, k=positive_integer(k, "k"))


class RootMeanSquaredError(Metric):
    """The root of the mean over all batches of `rnnkit.losses.mean_squared_error`."""

    def __init__(self, name="root_mean_squared_error"):
        super().__init__(losses.mean_squared_error, name)

    def _finish(self, mean):
        return math.sqrt(mean)


class Accuracy(Metric):
    """The share of right predictions, by what the arrays' shapes say.

    Parameters
    ----------
    kind : "binary", "categorical", "sparse_categorical" or None
        None looks at the last axes: `binary_accuracy` where y_pred has one value, `sparse_categorical_accuracy` where
        y_true alone has one, else `categorical_accuracy`.
    threshold : float
        Of binary predictions: 0.5 for probabilities, 0 for logits.
    name : str
    """

    def __init__(self, kind=None, threshold=0.5, name="accuracy"):
        if kind not in (None, "binary", "categorical", "sparse_categorical"):
            raise ValueError(f'expected a kind of "binary", "categorical" or "sparse_categorical", got {kind!r}')
        super().__init__(binary_accuracy, name, kind=kind, threshold=real_number(threshold, "threshold"))

    def _values(self, y_true, y_pred):
        kind = self.settings["kind"]
        if kind is None and y_pred.shape[-1] != 1:
            kind = "sparse_categorical" if y_true.shape[-1] == 1 else "categorical"
        if kind == "sparse_categorical":
            return sparse_categorical_accuracy(y_true, y_pred)
        if kind == "categorical":
            return categorical_accuracy(y_true, y_pred)
        return binary_accuracy(y_true, y_pred, self.settings["threshold"])


FUNCTIONS: dict[str, Callable] = {
    function.__name__: function
    for function in (
        binary_accuracy,
        categorical_accuracy,
        sparse_categorical_accuracy,
        top_k_categorical_accuracy,
        sparse_top_k_categorical_accuracy,
    )
}
CLASSES: dict[str, type[Metric]] = {
    kind.__name__: kind
    for kind in (
        Accuracy,
        BinaryAccuracy,
        CategoricalAccuracy,
        SparseCategoricalAccuracy,
        TopKCategoricalAccuracy,
        SparseTopKCategoricalAccuracy,
        RootMeanSquaredError,
    )
}
ALIASES = {
    "acc": "Accuracy",
    "accuracy": "Accuracy",
    "rmse": "RootMeanSquaredError",
    "RMSE": "RootMeanSquaredError",
    "root_mean_squared_error": "RootMeanSquaredError",
}


def get(identifier, loss=None) -> Metric:
    """The metric that an entry of a `metrics` argument stands for.

    Parameters
    ----------
    identifier : str, Metric, callable or dict
        A name as in Keras (``"accuracy"``, ``"rmse"``, ``"BinaryAccuracy"``, every loss's), which the metric is then
        called; a metric as it is; a function ``(y_true, y_pred) -> array`` or a loss; or
        ``{"class_name": …, "config": …}``.
    loss : str, callable or dict, optional
        What the model is trained by. It decides which accuracy ``"accuracy"`` is, where it is one of the
        crossentropies, and at which threshold; Keras looks at the shapes only.

    Raises
    ------
    ValueError
        For a name that doesn't exist.
    TypeError
        For anything else.
    """
    if isinstance(identifier, Metric):
        return identifier
    if isinstance(identifier, str) and not is_elsewhere(identifier):
        return _named(identifier, loss)
    if is_described(identifier):
        return described(identifier, _known(), Metric, "metric")
    if isinstance(identifier, type) and issubclass(identifier, Metric):
        return identifier()  # type: ignore[call-arg]
    if isinstance(identifier, str):
        return get(find(identifier), loss)
    if not callable(identifier):
        raise TypeError(f"expected a metric's name, a function(y_true, y_pred) or a metric; got {identifier!r}")
    return Metric(losses.get(identifier))


def config_of(metric: Metric) -> dict | str | None:
    """What `get` makes the same metric of, as JSON values."""
    return named_config(metric, _known())


def _known() -> dict[str, type[Metric]]:
    return {**CLASSES, "Metric": Metric}


def _named(identifier, loss) -> Metric:
    name = ALIASES.get(identifier, identifier)
    if name == "Accuracy":
        return Accuracy(**_accuracy_of(loss), name=identifier)
    if name in CLASSES:
        return CLASSES[name](**({} if name == identifier else {"name": identifier}))
    if name in FUNCTIONS:
        return Metric(FUNCTIONS[name], identifier)
    try:
        return Metric(losses.get(name), identifier)
    except ValueError:
        names = ", ".join([*ALIASES, *FUNCTIONS, "every loss"])
        raise ValueError(
            f"expected a metric among {names}, or a function(y_true, y_pred); got {identifier!r}"
        ) from None


def _accuracy_of(loss) -> dict:
    """The settings of `Accuracy` that a loss asks for."""
    loss = None if loss is None else losses.get(loss)
    name = None if loss is None else losses.name_of(loss)
    if name == "binary_crossentropy":
        return {"kind": "binary", "threshold": 0.0 if getattr(loss, "from_logits", False) else 0.5}
    if name in ("categorical_crossentropy", "sparse_categorical_crossentropy"):
        return {"kind": name.removesuffix("_crossentropy")}
    return {}
