"""The rules of the optimizers, each as one step in NumPy with Keras's formulas."""

from __future__ import annotations

from typing import Any

import numpy as np

from rnnkit.arguments import number_from_zero
from rnnkit.hints import Array, LearningRate
from rnnkit.optimizers.optimizer import Optimizer


def share(value, what: str) -> float:
    """Check that `value` is a number from 0 to below 1, and return it as a float."""
    if not (found := number_from_zero(value, what)) < 1:
        raise ValueError(f"expected {what} to be a number from 0 to below 1, got {value!r}")
    return found


class Rule(Optimizer):
    """Base of Keras's optimizers.

    Parameters
    ----------
    beta_1, beta_2, momentum, rho : float from 0 to below 1
    epsilon : float
    **keywords
        ``weight_decay``, ``clipnorm``, ``clipvalue``, ``global_clipnorm`` and ``name``, see `Optimizer`.
    """


class SGD(Rule):
    """Gradient descent, with optional momentum (Polyak 1964; Nesterov 1983, as in Sutskever et al. 2013).

    One update is::

        w = w - learning_rate * g                                          momentum 0
        m = momentum * m - learning_rate * g,  w = w + m
        m = momentum * m - learning_rate * g,  w = w + momentum * m - learning_rate * g         nesterov

    Parameters
    ----------
    nesterov : bool

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.optimizers.SGD(0.5).apply({"w": np.ones(2)}, {"w": np.array([1.0, -2.0])})
    {'w': array([0.5, 2. ])}
    """

    _coefficients = ("momentum",)

    def __init__(
        self, learning_rate: LearningRate = 0.01, momentum: float = 0.0, nesterov: bool = False, **keywords: Any
    ):
        super().__init__(learning_rate, **keywords)
        self.momentum: float = share(momentum, "momentum")
        self.nesterov: bool = bool(nesterov)

    @property
    def slots(self) -> tuple[str, ...]:  # type: ignore[override]
        """The momentum, if there is any."""
        return ("momentum",) if self.momentum else ()

    def rule(self, weight: Array, gradient: Array, slots: Any, now: Any) -> Any:
        change = now.learning_rate * gradient
        if not slots:
            return weight - change, ()
        m = slots[0] * now.momentum - change
        return weight + (m * now.momentum - change if self.nesterov else m), (m,)


class RMSprop(Rule):
    """Gradients divided by their running length (Hinton 2012, lecture 6e of "Neural networks for machine learning").

    One update is::

        v = rho * v + (1 - rho) * g²
        a = rho * a + (1 - rho) * g                                        centered, else 0
        m = momentum * m + learning_rate * g / sqrt(v - a² + epsilon)
        w = w - m

    Parameters
    ----------
    centered : bool

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.optimizers.RMSprop(0.1).apply({"w": np.ones(2)}, {"w": np.array([3.0, -0.2])})["w"].round(4)
    array([0.6838, 1.3162])
    """

    _coefficients = ("rho", "momentum", "epsilon")

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **keywords: Any,
    ):
        super().__init__(learning_rate, **keywords)
        self.rho: float = share(rho, "rho")
        self.momentum: float = share(momentum, "momentum")
        self.epsilon: float = number_from_zero(epsilon, "epsilon")
        self.centered: bool = bool(centered)

    @property
    def slots(self) -> tuple[str, ...]:  # type: ignore[override]
        """The running square, and further slots by the settings."""
        return ("velocity", *["average"] * self.centered, *["momentum"] * bool(self.momentum))

    def rule(self, weight: Array, gradient: Array, slots: Any, now: Any) -> Any:
        v, *others = slots
        new = [now.rho * v + (1 - now.rho) * gradient * gradient]
        spread = new[0] + now.epsilon
        if self.centered:
            new.append(now.rho * others[0] + (1 - now.rho) * gradient)
            spread = np.maximum(new[0] - new[1] * new[1], 0) + now.epsilon  # rounding may bring it below 0
        change = now.learning_rate * gradient / np.sqrt(spread)
        if len(slots) > len(new):
            change = now.momentum * others[-1] + change
            new.append(change)
        return weight - change, tuple(new)


class Averaging(Rule):
    """Base of optimizers with running averages of gradients, and of their squares or the like."""

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **keywords: Any,
    ):
        super().__init__(learning_rate, **keywords)
        self.beta_1: float = share(beta_1, "beta_1")
        self.beta_2: float = share(beta_2, "beta_2")
        self.epsilon: float = number_from_zero(epsilon, "epsilon")

    def coefficients(self, step: Any, learning_rate: float) -> dict[str, Any]:
        """Return the shares of a gradient and of its square in the averages, and epsilon."""
        return {"from_gradient": 1 - self.beta_1, "from_square": 1 - self.beta_2, "epsilon": self.epsilon}


class Adam(Averaging):
    """Adam (Kingma and Ba 2015, arXiv:1412.6980, with the step size of the end of its section 2).

    One update is::

        m = m + (1 - beta_1) * (g - m)
        v = v + (1 - beta_2) * (g² - v)
        w = w - learning_rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)

    Parameters
    ----------
    epsilon : float
        The paper's ε̂.
    amsgrad : bool
        Divide by the root of the largest v so far (Reddi et al. 2018, arXiv:1904.09237).

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.optimizers.Adam(0.1).apply({"w": np.ones(2)}, {"w": np.array([3.0, -0.2])})["w"].round(4)
    array([0.9, 1.1])
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **keywords: Any,
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, **keywords)
        self.amsgrad: bool = bool(amsgrad)

    @property
    def slots(self) -> tuple[str, ...]:  # type: ignore[override]
        """Both averages, and the largest second one with `amsgrad`."""
        return ("momentum", "velocity", *["largest_velocity"] * self.amsgrad)

    def rule(self, weight: Array, gradient: Array, slots: Any, now: Any) -> Any:
        m, v, *largest = slots
        m = m + now.from_gradient * (gradient - m)
        v = v + now.from_square * (gradient * gradient - v)
        largest = [np.maximum(one, v) for one in largest]
        return weight - now.rate * m / (np.sqrt(largest[0] if largest else v) + now.epsilon), (m, v, *largest)

    def coefficients(self, step: Any, learning_rate: float) -> dict[str, Any]:
        """Return the step size with both corrections, and the settings."""
        rate = learning_rate * (1 - self.beta_2**step) ** 0.5 / (1 - self.beta_1**step)
        return super().coefficients(step, learning_rate) | {"rate": rate}


class AdamW(Adam):
    """`Adam` with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101).

    Parameters
    ----------
    weight_decay : float

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.optimizers.AdamW(0.1, weight_decay=0.01).apply({"w": np.ones(2)}, {"w": np.array([3.0, -0.2])})["w"].round(4)
    array([0.899, 1.099])
    """

    def __init__(
        self,
        learning_rate: LearningRate = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **keywords: Any,
    ):
        super().__init__(learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **keywords)


class Nadam(Averaging):
    """Adam with Nesterov's momentum (Dozat 2016, "Incorporating Nesterov momentum into Adam", algorithm 2).

    One update is::

        u_t = beta_1 * (1 - 0.96^t / 2)
        m = m + (1 - beta_1) * (g - m)
        v = v + (1 - beta_2) * (g² - v)
        n = u_{t+1} * m / (1 - u_1 … u_{t+1}) + (1 - u_t) * g / (1 - u_1 … u_t)
        w = w - learning_rate * n / (sqrt(v / (1 - beta_2^t)) + epsilon)

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.optimizers.Nadam(0.1).apply({"w": np.ones(2)}, {"w": np.array([3.0, -0.2])})["w"].round(4)
    array([0.8937, 1.1063])
    """

    slots: tuple[str, ...] = ("momentum", "velocity")
    _product: tuple[int, float, float] = (0, 1.0, -1.0)  # step, product of the momentum's schedule up to it, its beta_1

    def rule(self, weight: Array, gradient: Array, slots: Any, now: Any) -> Any:
        m, v = slots
        m = m + now.from_gradient * (gradient - m)
        v = v + now.from_square * (gradient * gradient - v)
        ahead = now.of_momentum * m + now.of_gradient * gradient
        return weight - ahead / (np.sqrt(v * now.of_square) + now.epsilon), (m, v)

    def coefficients(self, step: Any, learning_rate: float) -> dict[str, Any]:
        """Return the learning rate with the corrections, and the settings."""
        product, ahead = self._momentum_up_to(step), self._momentum(step + 1)
        return super().coefficients(step, learning_rate) | {
            "of_momentum": learning_rate * ahead / (1 - product * ahead),
            "of_gradient": learning_rate * (1 - self._momentum(step)) / (1 - product),
            "of_square": 1 / (1 - self.beta_2**step),
        }

    def _momentum(self, step) -> float:
        return self.beta_1 * (1 - 0.5 * 0.96**step)

    def _momentum_up_to(self, step) -> float:
        """Return ``u_1 … u_t``, continued from the last update; no state, as it depends on the step alone."""
        at, product, beta_1 = self._product
        if at > step or beta_1 != self.beta_1:
            at, product = 0, 1.0
        while at < step and product:
            at += 1
            product *= self._momentum(at)
        self._product = (step, product, self.beta_1)
        return product


class Lion(Rule):
    """Signs of an interpolated momentum (Chen et al. 2023, arXiv:2302.06675, algorithm 2).

    One update is::

        w = w - learning_rate * sign(beta_1 * m + (1 - beta_1) * g)
        m = beta_2 * m + (1 - beta_2) * g

    Parameters
    ----------
    learning_rate : float, Schedule or callable
        A third to a tenth of a suitable rate for Adam.

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.optimizers.Lion(0.1).apply({"w": np.ones(2)}, {"w": np.array([3.0, -0.2])})["w"].round(4)
    array([0.9, 1.1])
    """

    slots: tuple[str, ...] = ("momentum",)
    _coefficients = ("beta_1", "beta_2")

    def __init__(self, learning_rate: LearningRate = 0.001, beta_1: float = 0.9, beta_2: float = 0.99, **keywords: Any):
        super().__init__(learning_rate, **keywords)
        self.beta_1: float = share(beta_1, "beta_1")
        self.beta_2: float = share(beta_2, "beta_2")

    def rule(self, weight: Array, gradient: Array, slots: Any, now: Any) -> Any:
        (m,) = slots
        ahead = np.sign(now.beta_1 * m + (1 - now.beta_1) * gradient)
        return weight - now.learning_rate * ahead, (now.beta_2 * m + (1 - now.beta_2) * gradient,)


class Adagrad(Rule):
    """Gradients divided by the root of the sum of all squares so far (Duchi, Hazan and Singer 2011).

    One update is::

        v = v + g²
        w = w - learning_rate * g / sqrt(initial_accumulator_value + v + epsilon)

    Parameters
    ----------
    initial_accumulator_value : float

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
        v = slots[0] + gradient * gradient
        return weight - now.learning_rate * gradient / np.sqrt(v + now.start), (v,)

    def coefficients(self, step: Any, learning_rate: float) -> dict[str, Any]:
        """Return the learning rate, and the initial sum of squares."""
        return {"learning_rate": learning_rate, "start": self.initial_accumulator_value + self.epsilon}


class Adadelta(Rule):
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

    Examples
    --------
    >>> import numpy as np, rnnkit as rk
    >>> rk.optimizers.Adadelta(1.0).apply({"w": np.ones(1)}, {"w": np.array([3.0])})["w"].round(4)
    array([0.9986])
    """

    slots: tuple[str, ...] = ("velocity", "squared_steps")
    _coefficients = ("rho", "epsilon")

    def __init__(self, learning_rate: LearningRate = 0.001, rho: float = 0.95, epsilon: float = 1e-7, **keywords: Any):
        super().__init__(learning_rate, **keywords)
        self.rho: float = share(rho, "rho")
        self.epsilon: float = number_from_zero(epsilon, "epsilon")

    def rule(self, weight: Array, gradient: Array, slots: Any, now: Any) -> Any:
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
        m, u = slots
        m = m + now.from_gradient * (gradient - m)
        u = np.maximum(now.beta_2 * u, np.abs(gradient))
        return weight - now.rate * m / (u + now.epsilon), (m, u)

    def coefficients(self, step: Any, learning_rate: float) -> dict[str, Any]:
        """Return the step size with its correction, and the settings."""
        found = super().coefficients(step, learning_rate)
        return found | {"rate": learning_rate / (1 - self.beta_1**step), "beta_2": self.beta_2}
