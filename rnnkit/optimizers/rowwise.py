"""BFGS for many small problems at once: each row of an array is an independent problem with a few unknowns."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

_DECREASE = 1e-4  # share of the decrease predicted by the slope that a step has to reach (Armijo)
_SHORTER = 0.3  # the factor that shortens a step
_LONGEST = 3.0  # the largest norm of a step, for unknowns of a size about 1
_TOGETHER = 2**16  # entries of the matrices that are updated at once, which stay in a cache
_ASKED = 8  # evaluations, from twice as many on, after which it is asked which rows are hopeless
_SMALLEST = 1e-8  # the least factor of a step before a row's search ends


class Minimum(NamedTuple):
    """The result of `minimize_rows`."""

    x: np.ndarray  # (N, D)
    value: np.ndarray  # (N,)
    evaluations: int  # of single rows


def minimize_rows(
    function: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    start: np.ndarray,
    *,
    iterations: int = 100,
    tolerance: float = 1e-7,
    hopeless: Callable[[np.ndarray, np.ndarray], np.ndarray] | None = None,
) -> Minimum:
    """Minimise a function of every row by itself, with BFGS and a backtracking line search.

    All rows take their steps together, so that `function` gets many rows per call; converged rows are left out
    of the later calls. Nocedal and Wright (2006), "Numerical optimization", algorithm 6.1 with the first scaling of
    equation 6.20.

    ``function(rows, x)``, with numbers ``(R,)`` of the rows and unknowns ``(R, D)``, returns values ``(R,)`` and
    gradients ``(R, D)``; a value that isn't finite shortens the step. `start` ``(N, D)``, of a size about 1, isn't
    modified. A row ends after `iterations` evaluations besides the first, or two steps that lowered its value by less
    than the share `tolerance` of it, or where ``hopeless(rows, values)`` says so, which is asked from time to time.

    >>> import numpy as np
    >>> aims = np.array([1.0, -2.0, 3.0])
    >>> bowl = lambda rows, x: (((x - aims[rows, None]) ** 2).sum(axis=1), 2 * (x - aims[rows, None]))
    >>> minimize_rows(bowl, np.zeros((3, 1))).x.ravel().round(6)
    array([ 1., -2.,  3.])
    """
    x = np.array(start, np.float64)
    count, size = x.shape
    value, gradient = function(np.arange(count), x)
    value, gradient = np.array(value), np.array(gradient)
    evaluations = count
    inverse = np.zeros((count, size, size))
    inverse[:] = np.eye(size)
    inverse /= np.maximum(np.linalg.norm(gradient, axis=1), 1.0)[:, None, None]
    direction, each = _limited(-_times(inverse, gradient)), max(1, _TOGETHER // size**2)
    step, first, flat = np.ones(count), np.ones(count, bool), np.zeros(count, int)
    active = np.isfinite(value)
    for turn in range(iterations):
        rows = np.flatnonzero(active)
        if hopeless is not None and turn % _ASKED == 0 and turn >= 2 * _ASKED:
            active[rows] = ~hopeless(rows, value[rows])
            rows = rows[active[rows]]
        if not len(rows):
            break
        tried = x[rows] + step[rows, None] * direction[rows]
        values, gradients = function(rows, tried)
        evaluations += len(rows)
        wanted = value[rows] + _DECREASE * step[rows] * (direction[rows] * gradient[rows]).sum(axis=1)
        good = np.isfinite(values) & (values <= wanted)
        short, rows = rows[~good], rows[good]
        step[short] *= _SHORTER
        active[short[step[short] < _SMALLEST]] = False

        moved, turned = tried[good] - x[rows], gradients[good] - gradient[rows]
        gain = value[rows] - values[good]
        x[rows], value[rows], gradient[rows], step[rows] = tried[good], values[good], gradients[good], 1.0
        for first_row in range(0, len(rows), each):
            part = slice(first_row, first_row + each)
            _update(inverse, direction, gradient, rows[part], moved[part], turned[part], first)
        flat[rows] = np.where(gain < tolerance * np.maximum(1.0, np.abs(value[rows])), flat[rows] + 1, 0)
        active[rows[flat[rows] >= 2]] = False
    return Minimum(x, value, evaluations)


def _limited(direction) -> np.ndarray:
    norm = np.linalg.norm(direction, axis=1)
    return direction * np.minimum(1.0, _LONGEST / np.maximum(norm, np.finfo(float).tiny))[:, None]


def _update(inverse, direction, gradient, rows, moved, turned, first) -> None:
    """Update the inverse Hessians by BFGS where the curvature along the step is positive, and the directions."""
    curvature = (moved * turned).sum(axis=1)
    known = curvature > 1e-12 * np.linalg.norm(moved, axis=1) * np.linalg.norm(turned, axis=1)
    fresh, held = known & first[rows], inverse[rows]
    scale = curvature[fresh] / np.maximum((turned[fresh] ** 2).sum(axis=1), np.finfo(float).tiny)
    held[fresh] = np.eye(inverse.shape[1]) * scale[:, None, None]
    first[rows] &= ~known
    share = known / np.where(known, curvature, 1.0)
    image = _times(held, turned)
    other = share[:, None] * ((1 + share * (turned * image).sum(axis=1))[:, None] * moved / 2 - image)
    held += np.stack([other, moved], axis=2) @ np.stack([moved, other], axis=1)
    wanted = -_times(held, gradient[rows])
    uphill = (wanted * gradient[rows]).sum(axis=1) >= 0
    held[uphill], wanted[uphill] = np.eye(inverse.shape[1]), -gradient[rows[uphill]]
    inverse[rows], direction[rows] = held, _limited(wanted)


def _times(matrices, vectors) -> np.ndarray:
    return (matrices @ vectors[:, :, None])[:, :, 0]
