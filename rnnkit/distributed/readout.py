"""Linear readouts of chunked states, by ridge regression in one pass."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.arguments import number_from_zero, whole
from rnnkit.distributed.chunks import checked, chunked, is_chunked, mask_in_chunks
from rnnkit.distributed.graphs import Ref, computed, spans, task, token, tree
from rnnkit.distributed.shipping import share
from rnnkit.distributed.stretches import ExactEquations, added
from rnnkit.hints import Array, DType
from rnnkit.layers.dense import Dense
from rnnkit.layers.support import validation


def fit_readout(
    features: Any,
    targets: Any,
    *,
    ridge: Any = 1e-6,
    washout: Any = 0,
    mask: Array = None,
    dtype: DType = None,
    name: str | None = None,
) -> Dense:
    """Fit a linear readout to the states of a reservoir, or to any features, in one pass over their chunks.

    The weights w minimise, for each target, the sum over used steps of ``(targets - [1, features] @ w)²``, plus `ridge`
    times the squares of all weights but the intercept. Each chunk gives its sums in float64; these are added in an
    order that the numbers of chunks alone decide, and the equations are solved once, in this process. So the weights
    have the same bits on any number of workers. Memory holds a few chunks, and matrices of the size ``(F, F)``.

    Hoerl and Kennard (1970), "Ridge regression: biased estimation for nonorthogonal problems", equation 2.1.

    Parameters
    ----------
    features : dask array (B, T, F)
        The outputs of a recurrent layer with ``return_sequences=True``, in chunks along the batch, time or both.
    targets : dask array or array_like (B, T, O)
        A step that has a NaN among its targets is left out.
    ridge : float
        0 or more.
    washout : int
        First steps of each row that are left out, while a reservoir forgets that it started at zero.
    mask : dask array or array_like (B, T) or (B, T, 1), optional
        Steps to use.
    dtype : {"float32", "float64"}, optional
        Of the layer's weights; that of the features by default.
    name : str, optional
        The layer's.

    Returns
    -------
    Dense
        Built, with the kernel (F, O) and the bias (O,): a layer for arrays and dask arrays, and for models.

    Raises
    ------
    ValueError
        For arrays that don't fit together, or if no step is used.
    TypeError
        If neither features nor targets are a dask array.

    Examples
    --------
    >>> import dask.array as da
    >>> import numpy as np, rnnkit as rk
    >>> x = np.random.default_rng(0).uniform(-1, 1, size=(6, 500, 1))
    >>> before = np.roll(x, 3, axis=1)
    >>> reservoir = rk.RNN(rk.ESNCell(50, input_scaling=0.1, seed=0), return_sequences=True)
    >>> states = reservoir(da.from_array(x, chunks=(2, 100, 1)))
    >>> readout = rk.distributed.fit_readout(states, before, washout=20)
    >>> y = rk.Sequential([reservoir, readout])(x)
    >>> bool(np.abs(y - before)[:, 20:].max() < 0.1)
    True
    """
    ridge, washout = number_from_zero(ridge, "ridge"), whole(washout, "washout", 0)
    features, targets = _together(features, targets)
    mask = mask_in_chunks(mask, features)
    dtype = validation.precision_of(features) if dtype is None else validation.floating(dtype)
    found = _total(features, targets, mask, washout)
    if not found.count.any():
        raise ValueError(f"expected a step with a target after the washout of {washout} steps, got none")
    weights = found.solve(ridge)
    layer = Dense(targets.shape[2], dtype=dtype, name=name)
    layer.build((None, None, features.shape[2]))
    layer.set_weights([weights[1:], weights[0]])
    return layer


def _together(features, targets) -> tuple[Any, Any]:
    """Return features and targets in the chunks of the features, or else of the targets; the last axis whole."""
    if not is_chunked(features) and not is_chunked(targets):
        raise TypeError(
            "expected features as a dask array, got "
            f"{type(features).__name__}; dask.array.from_array(features, chunks) makes one"
        )
    found = []
    for what, one in (("features", features), ("targets", targets)):
        one = checked(one, what) if is_chunked(one) else validation.array(one, what)
        if one.ndim != 3:
            raise ValueError(f"expected {what} of shape (batch, time, …), got {one.shape}")
        found.append(one)
    features, targets = found
    if features.shape[:2] != targets.shape[:2]:
        raise ValueError(f"expected targets of shape {(*features.shape[:2], 'outputs')}, got {targets.shape}")
    lead = (features if is_chunked(features) else targets).chunks[:2]
    return chunked(features, "features", *lead), chunked(targets, "targets", *lead)


def _total(features, targets, mask, washout) -> ExactEquations:
    given = [features, targets, *([] if mask is None else [mask])]
    name = f"readout-{token([one.name for one in given], washout)}"
    tasks: dict[Any, Any] = {}
    level = []
    for i in range(len(features.chunks[0])):
        for j, (start, _) in enumerate(spans(features.chunks[1])):
            key = f"{name}-{i}-{j}"
            chunk: list[Any] = [Ref((one.name, i, j, *(0,) * (one.ndim - 2))) for one in given]
            chunk += [None] * (3 - len(chunk))
            tasks[key] = task(key, sums_of_chunk, *chunk, max(washout - start, 0))
            level.append(key)
    adding, total = tree(level, added)
    return computed(name, tasks | adding, given, [total])[0]


def sums_of_chunk(features, targets, mask, skipped: int) -> ExactEquations:
    """Return the sums over the used steps of one chunk: where the mask is non-zero and no target is NaN.

    The first `skipped` are left out. Features are ``(B, T, F)``, targets ``(B, T, O)``, the mask ``(B, T)`` or None.
    """
    used = ~np.isnan(targets).any(axis=2)
    used[:, :skipped] = False
    if mask is not None:
        used &= mask != 0
    equations = ExactEquations(1 + features.shape[2], targets.shape[2])
    with share():
        equations.add_products(features[used], targets[used])
    equations.count += used.sum()
    return equations
