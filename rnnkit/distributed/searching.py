"""Search over a grid of parameters on a cluster, with results in the order of completion."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rnnkit.distributed.graphs import dask
from rnnkit.distributed.shipping import share


class Trial(NamedTuple):
    """The outcome of one candidate.

    Attributes
    ----------
    number : int
        Its index in the grid.
    parameters : dict
    result : object
        The function's value; None after an error.
    error : Exception or None
        The function's error, or None.
    """

    number: int
    parameters: dict[str, Any]
    result: Any = None
    error: Exception | None = None


def search(
    function: Callable,
    grid: Mapping[str, Sequence[Any]] | Iterable[Mapping[str, Any]],
    *shared: Any,
    client: Any = None,
) -> Any:
    """Try all candidates of a grid on a cluster, and give each result once it is there.

    It equals this loop, in another order::

        for number, parameters in enumerate(grid):
            yield Trial(number, parameters, function(*shared, **parameters))

    Without a cluster, this loop runs.

    Parameters
    ----------
    function : callable
        ``function(*shared, **parameters)`` builds and fits whatever is tried, an estimator, a forecaster or a model,
        and returns its score, or anything else. It runs on a worker, and gets the worker's threads. It is given no
        seed: what it makes takes one.
    grid : dict of str to sequence, or iterable of dict
        Values to combine, of which the last name changes fastest; or the candidates one by one.
    *shared
        What all candidates read, such as data. It reaches each worker once; a dask collection is computed first.
    client : distributed.Client, optional
        By default the one that is there, if there is one.

    Returns
    -------
    Search
        An iterator of `Trial`. A candidate that raises has its error in its trial; the others go on.

    Raises
    ------
    ValueError
        For a grid without candidates.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> wave = np.sin(np.arange(300) * 0.3)
    >>> def error(y, units, leak):
    ...     network = rk.ESN(horizon=5, units=units, leak=leak, seed=0).fit(y[:-5])
    ...     return float(np.abs(network.predict() - y[-5:]).mean())
    >>> trials = rk.distributed.search(error, {"units": [10, 50], "leak": [0.5, 1.0]}, wave)
    >>> for trial in trials:
    ...     print(trial.number, trial.parameters, trial.result < 0.1)
    0 {'units': 10, 'leak': 0.5} True
    1 {'units': 10, 'leak': 1.0} True
    2 {'units': 50, 'leak': 0.5} True
    3 {'units': 50, 'leak': 1.0} True
    >>> trials.best().number in range(4)
    True
    """
    candidates = _candidates(grid)
    if client is None:
        client = _client()
    return Search(function, candidates, shared, client)


class Search:
    """Trials in the order of completion; see `search`.

    Attributes
    ----------
    trials : list of Trial
        The completed trials.
    """

    def __init__(self, function: Callable, candidates: list[dict[str, Any]], shared: Sequence[Any], client):
        self.trials: list[Trial] = []
        self._candidates, self._futures = candidates, []
        if client is None:
            self._coming = _in_order(function, candidates, shared)
            return
        values = list(dask("base").compute(*shared))
        given = client.scatter(values, broadcast=True, hash=False) if values else []
        name = f"{getattr(function, '__name__', 'search')}-{uuid.uuid4().hex}"
        self._futures = [
            client.submit(_tried, function, *given, parameters=one, key=f"{name}-{number}", pure=False)
            for number, one in enumerate(candidates)
        ]
        self._coming = _as_they_come(self._futures, candidates)

    def __iter__(self) -> Iterator[Trial]:
        return self

    def __next__(self) -> Trial:
        try:
            trial = next(self._coming)
        except KeyboardInterrupt:
            self.cancel()
            raise
        self.trials.append(trial)
        return trial

    def __len__(self) -> int:
        return len(self._candidates)

    def __enter__(self) -> Search:
        return self

    def __exit__(self, *_) -> None:
        self.cancel()

    def cancel(self) -> None:
        """Cancel all pending trials; running ones end on their workers, without a result."""
        for future in self._futures:
            if not future.done():
                future.cancel()
        self._coming = iter(())

    def best(self, key: Callable[[Any], Any] | None = None) -> Trial:
        """Return the trial of the least result, after all have completed; of equal ones the first of the grid.

        Parameters
        ----------
        key : callable, optional
            The value to minimise, from a result, such as ``lambda score: -score``.

        Raises
        ------
        ValueError
            If no trial has a result, with an error of one.
        """
        for _ in self:
            pass
        found = sorted((one for one in self.trials if one.error is None), key=lambda one: one.number)
        if not found:
            raised = f"; the first raised {self.trials[0].error!r}" if self.trials else ""
            raise ValueError(f"expected a trial that has a result, got none{raised}")
        return min(found, key=lambda one: one.result if key is None else key(one.result))


def _candidates(grid) -> list[dict[str, Any]]:
    if isinstance(grid, Mapping):
        for name, values in grid.items():
            if isinstance(values, str) or not isinstance(values, Iterable):
                raise ValueError(f"expected a list of values of {name!r} to try, got {values!r}")
        found = [dict(zip(grid, one, strict=True)) for one in itertools.product(*grid.values())] if grid else []
    else:
        found = [dict(one) for one in grid]
    if not found:
        raise ValueError("expected candidates to try, got a grid without any")
    return found


def _client():
    """Return the current client, or None."""
    try:
        import distributed
    except ImportError:
        return None
    try:
        return distributed.default_client()
    except ValueError:
        return None


def _tried(function, *shared, parameters):
    with share():
        return function(*shared, **parameters)


def _in_order(function, candidates, shared) -> Iterator[Trial]:
    for number, parameters in enumerate(candidates):
        try:
            trial = Trial(number, parameters, function(*shared, **parameters))
        except Exception as error:
            trial = Trial(number, parameters, error=error)
        yield trial


def _as_they_come(futures, candidates) -> Iterator[Trial]:
    from distributed import as_completed

    numbers = {future.key: number for number, future in enumerate(futures)}
    for future in as_completed(futures):
        number, error = numbers[future.key], future.exception()
        yield Trial(number, candidates[number], future.result() if error is None else None, error)
        future.release()
