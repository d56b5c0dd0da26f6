"""Keras's older adaptive optimizers, with the same formulas."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.arguments import number_from_zero
from rnnkit.hints import Array, LearningRate
from rnnkit.optimizers.optimizer import Optimizer
from rnnkit.optimizers.rules import Averaging, share


class Adagrad(Optimizer):
    """Gradients divided by the root of the sum of all squares so far (Duchi, Hazan and Singer 2011).

    One update is::

        v = v + g²
        w = w - learning_rate * g / sqrt(initial_accumulator_value + v + epsilon)

    Parameters
    ----------
    initial_accumulator_value, epsilon : float
    **keywords
        ``weight_decay``, ``clipnorm``, ``clipvalue``, ``global_clipnorm`` and ``name``, see `Optimizer`.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.optimizers.Adagrad(0.1).apply({"w": np.ones(1)}, {"w": np.array([3.0])})["w"].round(4)
    array([0.9006])
    """

    slots: tuple[str, ...] = ("velocity",)

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **keywords: Any,
    ):
        super().__init__(learning_rate, **keywords)
        self.initial_accumulator_value: float = number_from_zero(initial_accumulator_value, "initial_accumulator_value")
        self.epsilon: float = number_from_zero(epsilon, "epsilon")

    def rule(self, weight: Array, gradient: Array, slots: Any, now: Any) -> Any:
        """Compute one update."""
        v = slots[0] + gradient * gradient
        return weight - now.learning_rate * gradient / np.sqrt(v + now.start), (v,)

    def coefficients(self, step: Any, learning_rate: float) -> dict[str, Any]:
        """Return the learning rate, and the initial sum of squares."""
        return {"learning_rate": learning_rate, "start": self.initial_accumulator_value + self.epsilon}


class Adadelta(Optimizer):
    """Gradients scaled by the ratio of running lengths of updates and gradients (Zeiler 2012, arXiv:1212.5701).

    One update is::

        v = rho * v + (1 - rho) * g²
        d = g * sqrt(u + epsilon) / sqrt(v + epsilon)
        u = rho * u + (1 - rho) * d²
        w = w - learning_rate * d

    Parameters
    ----------
    learning_rate : float, Schedule or callable
        1 in the paper.
    rho : float from 0 to below 1
    epsilon : float
    **keywords
        ``weight_decay``, ``clipnorm``, ``clipvalue``, ``global_clipnorm`` and ``name``, see `Optimizer`.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.optimizers.Adadelta(1.0).apply({"w": np.ones(1)}, {"w": np.array([3.0])})["w"].round(4)
    array([0.9986])
    """

    epsilon: float
    rho: float
    slots: tuple[str, ...] = ("velocity", "squared_steps")
    _coefficients = ("rho", "epsilon")

    def __init__(self, learning_rate: LearningRate = 0.001, rho: float = 0.95, epsilon: float = 1e-7, **keywords: Any):
        super().__init__(learning_rate, **keywords)
        self.rho, self.epsilon = share(rho, "rho"), number_from_zero(epsilon, "epsilon")

    def rule(self, weight: Array, gradient: Array, slots: Any, now: Any) -> Any:
        """Compute one update."""
        v, u = slots
        v = now.rho * v + (1 - now.rho) * gradient * gradient
        step = gradient * np.sqrt(u + now.epsilon) / np.sqrt(v + now.epsilon)
        return weight - now.learning_rate * step, (v, now.rho * u + (1 - now.rho) * step * step)


class Adamax(Averaging):
    """Adam with the largest gradient instead of the running length (Kingma and Ba 2015, section 7.1).

    One update is::

        m = m + (1 - beta_1) * (g - m)
        u = max(beta_2 * u, |g|)
        w = w - learning_rate / (1 - beta_1^t) * m / (u + epsilon)

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.optimizers.Adamax(0.1).apply({"w": np.ones(2)}, {"w": np.array([3.0, -0.2])})["w"].round(4)
    array([0.9, 1.1])
    """

    slots: tuple[str, ...] = ("momentum", "largest")

    def rule(self, weight: Array, gradient: Array, slots: Any, now: Any) -> Any:
        """Compute one update."""
        m, u = slots
        m = m + now.from_gradient * (gradient - m)
        u = np.maximum(now.beta_2 * u, np.abs(gradient))
        return weight - now.rate * m / (u + now.epsilon), (m, u)

    def coefficients(self, step: Any, learning_rate: float) -> dict[str, Any]:
        """Return the step size with its correction, and the settings."""
        found = super().coefficients(step, learning_rate)
        return found | {"rate": learning_rate / (1 - self.beta_1**step), "beta_2": self.beta_2}
