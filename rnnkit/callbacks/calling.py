"""Lists of all callbacks of a fit, an evaluation or a prediction, called in order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from rnnkit.callbacks.callback import HOOKS, Callback
from rnnkit.callbacks.history import History
from rnnkit.callbacks.progress import ProgressBar
from rnnkit.callbacks.terminate_on_nan import TerminateOnNaN

# Aliases of hooks, used if a callback overrides them.
_ALIASES = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}


class CallbackList(Callback):
    """The callbacks of one run in calling order, followed by a progress bar and a history.

    It has the hooks of a callback. Hooks that no callback overrides cost nothing.

    Parameters
    ----------
    callbacks : callback or iterable of callbacks, optional
    model : model, optional
    params : dict, optional
        ``epochs``, ``steps``, ``batch_size``, ``verbose``, ``validation_freq``: the callbacks' parameters, and
        whether there is a bar.
    add_history, add_progbar : bool
        Whether a history and a progress bar are added where there are none.

    Attributes
    ----------
    history : History

    Raises
    ------
    TypeError
        For what isn't a callback.
    ValueError
        For another verbosity than ``"auto"``, 0, 1 and 2.
    """

    def __init__(self, callbacks=None, model=None, params=None, add_history=True, add_progbar=True):
        if callbacks is None:
            callbacks = []
        elif isinstance(callbacks, (Callback, type)) or not isinstance(callbacks, Iterable):
            callbacks = [callbacks]
        self.callbacks = list(callbacks)
        for callback in self.callbacks:
            if isinstance(callback, type) or not all(hasattr(callback, name) for name in ("set_model", "set_params")):
                raise TypeError(f"expected callbacks, objects as rnnkit.callbacks has them; got {callback!r}")
        params = params or {}
        if add_progbar and not any(isinstance(callback, ProgressBar) for callback in self.callbacks):
            bar = ProgressBar(params.get("verbose", "auto"))
            if bar.wanted:
                self.callbacks.append(bar)
        own = [callback for callback in self.callbacks if isinstance(callback, History)]
        self.history = own[0] if own else History()
        if add_history and not own:
            self.callbacks.append(self.history)
        self._called = {hook: [c for c in self.callbacks if _overrides(c, hook)] for hook in HOOKS}
        for callback in self.callbacks:
            callback.set_params(params)
            callback.set_model(model)

    def hears(self, hook: str) -> bool:
        """Return whether any callback acts at a hook, as its arguments may be expensive."""
        return bool(self._called[hook])

    def looks_at_model(self, *hooks: str) -> bool:
        """Return whether any callback other than the progress bar and the history acts at some hooks."""
        return any(type(c) not in (ProgressBar, History) for hook in hooks for c in self._called[hook])

    @property
    def terminates_on_nan(self) -> bool:
        """Whether a NaN or infinite loss ends the fit without an error."""
        return any(not one.raise_error for one in self.watch_for_nan)

    @property
    def watch_for_nan(self) -> list[TerminateOnNaN]:
        """The callbacks that end a fit at a NaN."""
        return [one for one in self.callbacks if isinstance(one, TerminateOnNaN)]

    def _tell(self, hook, logs, *which):
        logs = {} if logs is None else logs
        for callback in self._called[hook]:
            getattr(callback, hook)(*which, logs)

    def on_train_end(self, logs=None):
        """Call the final hook of every callback, even if one fails; the first failure is raised then."""
        logs = {} if logs is None else logs
        failure = None
        for callback in self._called["on_train_end"]:
            try:
                callback.on_train_end(logs)
            except BaseException as error:
                failure = failure or error
        if failure is not None:
            raise failure


def _telling(hook: str):
    """Return the method of a `CallbackList` that calls a hook of its callbacks."""
    if "epoch" in hook or "batch" in hook:
        tell: Any = lambda self, number, logs=None: self._tell(hook, logs, number)
    else:
        tell = lambda self, logs=None: self._tell(hook, logs)
    tell.__name__, tell.__doc__ = hook, f"Call `{hook}` of each callback."
    return tell


for _hook in HOOKS:
    if _hook not in vars(CallbackList):
        setattr(CallbackList, _hook, _telling(_hook))


def _overrides(callback, hook) -> bool:
    names = (hook, _ALIASES[hook]) if hook in _ALIASES and isinstance(callback, Callback) else (hook,)
    return any(
        hasattr(callback, name)
        and (name in vars(callback) or getattr(type(callback), name, None) is not getattr(Callback, name))
        for name in names
    )
