"""L-BFGS over all data at once, by scipy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rnnkit.arguments import number_from_zero, positive_integer
from rnnkit.optimizers.optimizer import Optimizer
from rnnkit.steps.cell import frozen
from rnnkit.steps.weight_options import PLAIN, WeightOptions


class LBFGS(Optimizer):
    """L-BFGS with scipy's line search (Liu and Nocedal 1989; Byrd et al. 1995), in float64.

    It takes the gradient over all data, so a fit has one batch, and an epoch is one iteration.

    Parameters
    ----------
    history : int
        The number of steps that the curvature is estimated from.
    tolerance : float
        Stop when the loss falls by less than this share of it.
    gradient_tolerance : float
        Stop when no component of the gradient is larger than this.
    max_line_search : int
        Evaluations of the loss in one iteration at most.
    name : str, optional

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> def bowl(weights):
    ...     w = weights["w"]
    ...     return float(np.sum((w - 3) ** 2)), {"w": 2 * (w - 3)}
    >>> rk.optimizers.LBFGS().minimize(bowl, {"w": np.zeros(2)}, iterations=10)["w"].round(6)
    array([3., 3.])
    """

    def __init__(
        self,
        history: Any = 10,
        tolerance: Any = 1e-9,
        gradient_tolerance: float = 1e-7,
        max_line_search: int = 20,
        name: str | None = None,
    ):
        super().__init__(1.0, name=name or "lbfgs")
        self.history: int = positive_integer(history, "history")
        self.tolerance: float = number_from_zero(tolerance, "tolerance")
        self.gradient_tolerance: float = number_from_zero(gradient_tolerance, "gradient_tolerance")
        self.max_line_search: int = positive_integer(max_line_search, "max_line_search")

    @property
    def learning_rate(self) -> float:
        """The constant 1, as the line search determines the size of steps; it can't be set."""
        return 1.0

    @learning_rate.setter
    def learning_rate(self, value: Any) -> Any:
        raise TypeError(
            f"expected no learning rate for {self.name!r}, whose line search finds its steps; got {value!r}"
        )

    def minimize(
        self,
        function: Callable,
        weights: Mapping[str, np.ndarray],
        weight_options: Mapping[str, WeightOptions] | None = None,
        iterations: int = 100,
        callback: Callable | None = None,
    ) -> dict[str, np.ndarray]:
        """Find weights with a smaller loss.

        Parameters
        ----------
        function : callable
            From a dict of trainable weights by name to the loss and a dict of their gradients, without those
            of regularizers.
        weights : mapping of str to ndarray
        weight_options : mapping of str to WeightOptions, optional
            Whether weights are trainable, and their regularizers; constraints are refused.
        iterations : int
            At most.
        callback : callable, optional
            ``callback(iteration, weights, loss)`` after each iteration, from 0, with the loss as `function` gave it;
            True stops.

        Returns
        -------
        dict of str to ndarray
            The trainable weights, read-only, each of its own dtype.

        Raises
        ------
        ValueError
            For a weight with a constraint.
        FloatingPointError
            If the loss or a gradient isn't finite.
        """
        from scipy.optimize import minimize

        own = {name: (weight_options or {}).get(name, PLAIN) for name in weights}
        own = {name: one for name, one in own.items() if one.trainable}
        if bound := [name for name, one in own.items() if one.constraint is not None]:
            raise ValueError(
                f"expected weights without constraints for {self.name!r}, {bound[0]!r} has one; take another "
                "optimizer, or a regularizer in its place"
            )
        start = np.concatenate([np.asarray(weights[name], np.float64).reshape(-1) for name in own] or [np.zeros(0)])
        if not start.size or iterations < 1:
            return {name: frozen(weights[name], weights[name].dtype) for name in own}
        done = 0
        last: tuple = (None, 0.0)

        def apart(flat):
            found, at = {}, 0
            for name in own:
                array = weights[name]
                found[name] = frozen(flat[at : at + array.size].reshape(array.shape), array.dtype)
                at += array.size
            return found

        def evaluate(flat):
            nonlocal last
            given = apart(flat)
            loss, gradients = function(given)
            last, total, parts = (flat.copy(), float(loss)), float(loss), []
            for name, one in own.items():
                part = np.asarray(gradients[name], np.float64)
                if one.regularizer is not None:
                    wide = np.asarray(given[name], np.float64)
                    total += one.regularizer(wide)
                    part = part + one.regularizer.gradient(wide)
                if not np.isfinite(part).all():
                    raise FloatingPointError(
                        f"expected finite gradients, that of {name!r} isn't; no weight was changed"
                    )
                parts.append(part.reshape(-1))
            if not np.isfinite(total):
                raise FloatingPointError(f"expected a finite loss, got {total}; no weight was changed")
            return total, np.concatenate(parts)

        def after(flat):
            nonlocal done
            done += 1
            if callback is None:
                return
            given = apart(flat)
            loss = last[1] if np.array_equal(last[0], flat) else float(function(given)[0])
            if callback(done - 1, given, loss):
                raise _Stopped(flat.copy())

        options = {
            "maxcor": self.history,
            "ftol": self.tolerance,
            "gtol": self.gradient_tolerance,
            "maxls": self.max_line_search,
            "maxiter": int(iterations),
            "maxfun": int(iterations) * (self.max_line_search + 1),
        }
        try:
            found = minimize(evaluate, start, jac=True, method="L-BFGS-B", callback=after, options=options).x
        except _Stopped as stopped:
            found = stopped.args[0]
        self.iterations += done
        return apart(found)

    def apply(self, weights: Any, gradients: Any = None, weight_options: Any = None, **keywords: Any) -> Any:
        """Raise an error: L-BFGS evaluates the loss itself, see `minimize`."""
        raise TypeError("expected LBFGS to be used through minimize, or by fit: it evaluates the loss itself")


class _Stopped(Exception):
    """The end of a minimization that a callback asked for."""
