"""The base of callbacks, and callbacks made of functions."""

from __future__ import annotations

from typing import Any

from rnnkit.hints import Logs

_PARTS = ("train", "epoch", "train_batch", "test", "test_batch", "predict", "predict_batch")
HOOKS = tuple(f"on_{part}_{end}" for part in _PARTS for end in ("begin", "end"))


class Callback:
    """Base of callbacks: override hooks, and pass an object in ``fit(…, callbacks=[…])``.

    Attributes
    ----------
    model
        The model being trained. ``self.model.stop_training = True`` ends the fit after the current batch;
        ``self.model.optimizer.learning_rate`` can be set.
    params : dict
        ``epochs``, ``steps`` (batches of an epoch, None if unknown), ``batch_size``, ``verbose``,
        ``validation_freq``.

    Notes
    -----
    `epoch` and `batch` count from 0. `logs` is a dict of floats: ``loss`` and the metrics as means over the epoch so
    far; at the end of an epoch with ``learning_rate`` and, for validation data, ``val_loss`` and the like.
    `on_train_end` comes whatever ended the fit.

    Examples
    --------
    >>> import rnnkit.callbacks
    >>> class Enough(rnnkit.callbacks.Callback):
    ...     def on_epoch_end(self, epoch, logs=None):
    ...         if logs["loss"] < 0.1:
    ...             self.model.stop_training = True
    """

    def __init__(self):
        self.model: Any = None
        self.params: dict[str, Any] = {}

    def set_model(self, model: Any) -> None:
        """Set the model being trained."""
        self.model = model

    def set_params(self, params: Any) -> None:
        """Set the parameters of the training."""
        self.params = params

    def on_train_begin(self, logs: Logs = None) -> None:
        """Act before the first epoch."""

    def on_train_end(self, logs: Logs = None) -> None:
        """Act after the last epoch, also if the fit ended early."""

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Act before an epoch."""

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Act after an epoch and its validation."""

    def on_train_batch_begin(self, batch: Any, logs: Logs = None) -> None:
        """Act before a batch; calls `on_batch_begin`."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch: Any, logs: Logs = None) -> None:
        """Act after a batch and its update of the weights; calls `on_batch_end`."""
        self.on_batch_end(batch, logs)

    def on_batch_begin(self, batch: Any, logs: Logs = None) -> None:
        """Act as `on_train_batch_begin`, an alias."""

    def on_batch_end(self, batch: Any, logs: Logs = None) -> None:
        """Act as `on_train_batch_end`, an alias."""

    def on_test_begin(self, logs: Logs = None) -> None:
        """Act before an evaluation, including the validation of an epoch."""

    def on_test_end(self, logs: Logs = None) -> None:
        """Act after an evaluation."""

    def on_test_batch_begin(self, batch: Any, logs: Logs = None) -> None:
        """Act before a batch of an evaluation."""

    def on_test_batch_end(self, batch: Any, logs: Logs = None) -> None:
        """Act after a batch of an evaluation, with the loss and the metrics so far."""

    def on_predict_begin(self, logs: Logs = None) -> None:
        """Act before a prediction."""

    def on_predict_end(self, logs: Logs = None) -> None:
        """Act after a prediction."""

    def on_predict_batch_begin(self, batch: Any, logs: Logs = None) -> None:
        """Act before a batch of a prediction."""

    def on_predict_batch_end(self, batch: Any, logs: Any = None) -> None:
        """Act after a batch of a prediction; `logs` has its ``outputs``."""


class LambdaCallback(Callback):
    """A callback made of functions.

    Parameters
    ----------
    **functions
        Functions by the name of the hook that each replaces, such as ``on_epoch_end=function``, called with
        its arguments: ``(epoch, logs)``, ``(batch, logs)`` or ``(logs)``. Those of names without ``on_`` are methods
        for the program's own calls.

    Raises
    ------
    TypeError
        For another name with ``on_``, or a value that isn't callable.

    Examples
    --------
    >>> import rnnkit.callbacks
    >>> tell = rnnkit.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: print(epoch, logs["loss"]))
    >>> tell.on_epoch_end(3, {"loss": 0.5})
    3 0.5
    """

    def __init__(self, **functions: Any):
        super().__init__()
        for name, function in functions.items():
            if name.startswith("on_") and name not in _NAMES:
                raise TypeError(f"expected functions for some of {', '.join(_NAMES)}; got one for {name!r}")
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"expected a function for {name}, got {function!r}")
            setattr(self, name, function)


_NAMES = (*HOOKS, "on_batch_begin", "on_batch_end")
