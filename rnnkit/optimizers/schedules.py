"""Schedules of the learning rate: callables ``step -> float``, step 0 being the first update.

A schedule is passed as an optimizer's learning rate. Those here are small immutable objects; any function is accepted
as well.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from rnnkit.arguments import number_from_zero, positive_integer
from rnnkit.serialization.configuration import named, named_config
from rnnkit.serialization.registry import Settings

__all__ = [
    "Constant", "CosineDecay", "CosineDecayRestarts", "ExponentialDecay", "InverseTimeDecay", "OneCycle",
    "PiecewiseConstantDecay", "PolynomialDecay", "Schedule", "WarmUp", "get",
]  # fmt: skip


class Schedule(Settings):
    """Base of the schedules here: ``schedule(step)`` is the learning rate of an update.

    Examples
    --------
    >>> import rnnkit as rk
    >>> class Halving(rk.optimizers.schedules.Schedule):
    ...     def __call__(self, step):
    ...         return 0.01 * 0.5 ** (step // 1000)
    >>> Halving()(2500)
    0.0025
    """

    __slots__ = ()

    def __call__(self, step: Any) -> float:
        """Return the learning rate of the update number `step`, from 0."""
        raise NotImplementedError


def _optional(value, what: str) -> float | None:
    return None if value is None else number_from_zero(value, what)


class _Checked(Schedule):
    """Base of the schedules here: floats are finite and 0 or more, integers positive."""

    __slots__ = ()
    _checks: ClassVar = {"float": number_from_zero, "float | None": _optional, "int": positive_integer}


@dataclass(frozen=True, slots=True)
class Constant(_Checked):
    """The same learning rate at every step, such as after `WarmUp`.

    Parameters
    ----------
    learning_rate : float
        0 or more.

    Raises
    ------
    ValueError
        For another learning rate.

    Examples
    --------
    >>> import rnnkit as rk
    >>> rk.optimizers.schedules.Constant(0.01)(1000)
    0.01
    """

    learning_rate: float

    def __call__(self, step: Any) -> float:
        return self.learning_rate


@dataclass(frozen=True, slots=True)
class ExponentialDecay(_Checked):
    """``initial_learning_rate * decay_rate ** (step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        Steps in which the rate is multiplied by `decay_rate` once.
    decay_rate : float
    staircase : bool
        Round the exponent down to a whole number.

    Examples
    --------
    >>> import rnnkit as rk
    >>> rk.optimizers.schedules.ExponentialDecay(0.1, 100, 0.5)(200)
    0.025
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False

    def __call__(self, step: Any) -> float:
        power = step // self.decay_steps if self.staircase else step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate**power


@dataclass(frozen=True, slots=True)
class CosineDecay(_Checked):
    """Half a cosine from `initial_learning_rate` down (Loshchilov and Hutter 2017, arXiv:1608.03983, equation 5).

    The learning rate is::

        initial_learning_rate * ((1 - alpha) * (1 + cos(pi * step / decay_steps)) / 2 + alpha)

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
        Steps until the rate is `alpha` of its start, where it stays.
    alpha : float
        The final rate as a share of the initial one.
    warmup_target : float, optional
        A line from `initial_learning_rate` up to this comes before the decay, which then starts from this.
    warmup_steps : int
        How many steps the line takes.

    Examples
    --------
    >>> import rnnkit as rk
    >>> schedule = rk.optimizers.schedules.CosineDecay(0.1, 100)
    >>> [round(schedule(step), 3) for step in (0, 50, 100, 200)]
    [0.1, 0.05, 0.0, 0.0]
    """

    initial_learning_rate: float
    decay_steps: int
    alpha: float = 0.0
    warmup_target: float | None = None
    warmup_steps: float = 0

    def __call__(self, step: Any) -> float:
        start = self.initial_learning_rate
        if self.warmup_target is not None:
            if step < self.warmup_steps:
                return start + (self.warmup_target - start) * step / self.warmup_steps
            start, step = self.warmup_target, step - self.warmup_steps
        wave = (1 + math.cos(math.pi * min(step, self.decay_steps) / self.decay_steps)) / 2
        return start * ((1 - self.alpha) * wave + self.alpha)


@dataclass(frozen=True, slots=True)
class CosineDecayRestarts(_Checked):
    """`CosineDecay` repeated, each time over more steps (Loshchilov and Hutter 2017, arXiv:1608.03983).

    Parameters
    ----------
    initial_learning_rate : float
    first_decay_steps : int
        Steps of the first decay.
    t_mul, m_mul : float
        The factors of the number of steps and of the height from each decay to the next.
    alpha : float
        As in `CosineDecay`.

    Examples
    --------
    >>> import rnnkit as rk
    >>> schedule = rk.optimizers.schedules.CosineDecayRestarts(0.1, 100)
    >>> [round(schedule(step), 3) for step in (0, 50, 100, 200, 300)]
    [0.1, 0.05, 0.1, 0.05, 0.1]
    """

    initial_learning_rate: float
    first_decay_steps: int
    t_mul: float = 2.0
    m_mul: float = 1.0
    alpha: float = 0.0

    def __post_init__(self) -> None:
        _Checked.__post_init__(self)
        if self.t_mul < 1:
            raise ValueError(f"expected t_mul of at least 1, got {self.t_mul}")

    def __call__(self, step: Any) -> float:
        length, height = float(self.first_decay_steps), 1.0
        while step >= length:
            step, length, height = step - length, length * self.t_mul, height * self.m_mul
        wave = height * (1 + math.cos(math.pi * step / length)) / 2
        return self.initial_learning_rate * ((1 - self.alpha) * wave + self.alpha)


@dataclass(frozen=True, slots=True)
class InverseTimeDecay(_Checked):
    """``initial_learning_rate / (1 + decay_rate * step / decay_steps)``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
    decay_rate : float
    staircase : bool
        Round ``step / decay_steps`` down to a whole number.

    Examples
    --------
    >>> import rnnkit as rk
    >>> rk.optimizers.schedules.InverseTimeDecay(0.1, 100, 1.0)(100)
    0.05
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False

    def __call__(self, step: Any) -> float:
        times = step // self.decay_steps if self.staircase else step / self.decay_steps
        return self.initial_learning_rate / (1 + self.decay_rate * times)


@dataclass(frozen=True, slots=True)
class PolynomialDecay(_Checked):
    """A change from one learning rate to another in `decay_steps`, along ``(1 - step / decay_steps) ** power``.

    Parameters
    ----------
    initial_learning_rate : float
    decay_steps : int
    end_learning_rate : float
        The final rate.
    power : float
    cycle : bool
        Replace `decay_steps` by its first multiple that isn't below the step.

    Examples
    --------
    >>> import rnnkit as rk
    >>> rk.optimizers.schedules.PolynomialDecay(0.1, 100, 0.0)(75)
    0.025
    """

    initial_learning_rate: float
    decay_steps: int
    end_learning_rate: float = 1e-4
    power: float = 1.0
    cycle: bool = False

    def __call__(self, step: Any) -> float:
        length = self.decay_steps * (max(1, math.ceil(step / self.decay_steps)) if self.cycle else 1)
        left = (1 - min(step, length) / length) ** self.power
        return (self.initial_learning_rate - self.end_learning_rate) * left + self.end_learning_rate


@dataclass(frozen=True, slots=True)
class PiecewiseConstantDecay(Schedule):
    """``values[0]`` up to and including step ``boundaries[0]``, then ``values[1]``, and so on.

    Parameters
    ----------
    boundaries : list of int
        Increasing steps.
    values : list of float
        One more than there are boundaries.

    Examples
    --------
    >>> import rnnkit as rk
    >>> schedule = rk.optimizers.schedules.PiecewiseConstantDecay([100, 200], [0.1, 0.01, 0.001])
    >>> [schedule(step) for step in (0, 100, 101, 500)]
    [0.1, 0.1, 0.01, 0.001]
    """

    boundaries: tuple[Any, ...]
    values: tuple[Any, ...]

    def __post_init__(self) -> None:
        for name in ("boundaries", "values"):
            if not isinstance(getattr(self, name), (tuple, list)):
                raise ValueError(f"expected {name} to be a list of numbers, got {getattr(self, name)!r}")
        object.__setattr__(self, "boundaries", tuple(number_from_zero(b, "a boundary") for b in self.boundaries))
        object.__setattr__(self, "values", tuple(number_from_zero(v, "a value") for v in self.values))
        if len(self.values) != len(self.boundaries) + 1:
            raise ValueError(
                f"expected one value more than boundaries, got {len(self.values)} and {len(self.boundaries)}"
            )
        if any(a >= b for a, b in zip(self.boundaries, self.boundaries[1:], strict=False)):
            raise ValueError(f"expected boundaries that grow, got {list(self.boundaries)}")

    def __call__(self, step: Any) -> float:
        return self.values[bisect.bisect_left(self.boundaries, step)]

    def get_config(self) -> dict[str, Any]:
        return {"boundaries": list(self.boundaries), "values": list(self.values)}


@dataclass(frozen=True, slots=True)
class OneCycle(_Checked):
    """The one-cycle policy along cosines: up, down, and far down (Smith and Topin 2018, arXiv:1708.07120).

    The rate goes from ``max_learning_rate / start_factor`` to `max_learning_rate` in the first `warmup_fraction` of
    the steps, and then to ``max_learning_rate / start_factor / end_factor``, where it stays.

    Parameters
    ----------
    max_learning_rate : float
    total_steps : int
        Epochs times batches; 2 or more.
    warmup_fraction : float between 0 and 1
    start_factor, end_factor : float
        Above 0.

    Examples
    --------
    >>> import rnnkit as rk
    >>> schedule = rk.optimizers.schedules.OneCycle(1.0, total_steps=11)
    >>> [round(schedule(step), 3) for step in (0, 1, 2, 6, 10)]
    [0.04, 0.422, 0.96, 0.531, 0.0]
    """

    max_learning_rate: float
    total_steps: int
    warmup_fraction: float = 0.3
    start_factor: float = 25.0
    end_factor: float = 1e4

    def __post_init__(self) -> None:
        _Checked.__post_init__(self)
        if not 0 < self.warmup_fraction < 1:
            raise ValueError(f"expected warmup_fraction between 0 and 1, got {self.warmup_fraction}")
        if not self.start_factor or not self.end_factor:
            raise ValueError("expected start_factor and end_factor above 0")

    def __call__(self, step: Any) -> float:
        start, last = self.max_learning_rate / self.start_factor, max(1, self.total_steps - 1)
        # The first part ends a step early, as the count of steps starts at 0.
        top = max(self.warmup_fraction * self.total_steps - 1, 0.0)
        if step < top:
            return _along_cosine(start, self.max_learning_rate, step / top)
        return _along_cosine(self.max_learning_rate, start / self.end_factor, min(1, (step - top) / (last - top)))


@dataclass(frozen=True, slots=True)
class WarmUp(_Checked):
    """A linear increase from 0 to the first rate of another schedule, then that schedule from its beginning.

    Parameters
    ----------
    schedule : float, Schedule or callable
    steps : int
        The number of steps of the increase: the rates are 1, 2, … of ``steps + 1`` parts of the schedule's first.

    Examples
    --------
    >>> import rnnkit as rk
    >>> schedule = rk.optimizers.schedules.WarmUp(0.5, 4)
    >>> [round(schedule(step), 3) for step in (0, 1, 4, 9)]
    [0.1, 0.2, 0.5, 0.5]
    """

    schedule: Callable
    steps: int

    def __post_init__(self) -> None:
        schedule = get(self.schedule)
        object.__setattr__(self, "schedule", schedule if callable(schedule) else Constant(schedule))
        _Checked.__post_init__(self)

    def __call__(self, step: Any) -> float:
        if step < self.steps:
            return self.schedule(0) * (step + 1) / (self.steps + 1)
        return self.schedule(step - self.steps)

    def get_config(self) -> dict[str, Any]:
        return {"schedule": config_of(self.schedule), "steps": self.steps}


def _along_cosine(first, last, share) -> float:
    return last + (first - last) * (1 + math.cos(math.pi * share)) / 2


CLASSES: dict[str, type[Schedule]] = {
    name: kind for name, kind in globals().items() if name in __all__ and kind is not Schedule
}


def get(identifier: Any) -> float | Callable[[int], float]:
    """Return the learning rate for an argument.

    Parameters
    ----------
    identifier : float, Schedule, callable or dict
        A number of 0 or more; a callable ``step -> float``; ``{"class_name": …, "config": …}``.

    Returns
    -------
    float or callable
        ``step -> float``.

    Raises
    ------
    ValueError, TypeError
        For anything else.

    Examples
    --------
    >>> import rnnkit as rk
    >>> rk.optimizers.schedules.get(0.01)
    0.01
    """
    if callable(identifier) or isinstance(identifier, (dict, str)):
        return named(identifier, CLASSES, CLASSES, Schedule, "schedule", function="step")
    return number_from_zero(identifier, "learning_rate")


def config_of(learning_rate) -> float | dict[str, Any] | str | None:
    """Return an argument of `get` for an equal learning rate, as JSON values."""
    return named_config(learning_rate, CLASSES) if callable(learning_rate) else learning_rate
