"""What an entry of the corpus is: a step of one row, and the same recurrence as a loop by hand."""

from __future__ import annotations

import collections
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numba
import numpy as np


@dataclass(frozen=True, eq=False, repr=False)
class Recurrence:
    """A recurrence in three forms: a step for `rnnkit.cell`, a loop by hand in numba and, for some, a step in jax.

    `step(x, states)`, or `step(x, states, constants)`, sees one row: `x` is `(features,)`, `states` a named tuple and
    `constants` a tuple, their entries numbers where a shape is `()`. It gives `(output, new states)`.
    `loop(x, *constants)` goes over a batch `(rows, steps, features)` with constants `(rows, *shape)`, and gives the
    outputs `(rows, steps, *output)` in the dtype of x. `data(rng, rows, steps, dtype)` gives `(x, constants)` that take
    every branch. `differentiable` says that a gradient by x, the initial states and the constants is the limit of
    central differences almost everywhere; by an entry of x that is NaN, a gap, it is 0. The states and constants named
    in `fixed` are not varied: they are counts, flags and places, whole numbers kept as floats, or start on a tie.
    """

    step: Callable
    loop: Callable
    data: Callable
    states: Mapping[str, int | tuple[int, ...]]
    initial: Mapping[str, object] = field(default_factory=dict)
    constants: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    features: int = 1
    output: tuple[int, ...] = ()
    differentiable: bool = True
    fixed: tuple[str, ...] = ()
    jax_step: Callable | None = None

    @property
    def name(self) -> str:
        return self.step.__name__

    @property
    def description(self) -> str:
        """One line: what it is, and where its equations stand."""
        return self.step.__doc__.splitlines()[0]

    def __repr__(self) -> str:
        return f"<recurrence {self.name}>"

    def start(self, dtype=np.float64) -> tuple[np.ndarray, ...]:
        """The states of one row before its first step, arrays of the declared shapes."""
        return tuple(np.full(size, self.initial.get(name, 0.0), dtype) for name, size in self.states.items())

    @functools.cached_property
    def by_hand(self) -> Callable:
        """The loop compiled, on one thread."""
        return numba.njit(error_model="numpy")(self.loop)

    def in_jax(self, arrays):
        """The outputs of a batch by a scan of jax over x; `arrays` are x, the states of a row, and the constants."""
        import jax

        named, count = collections.namedtuple("states", self.states), 1 + len(self.states)

        def row(x, *constants):
            def step(states, x):
                output, new = self.jax_step(x, states, *((constants,) if constants else ()))
                kept = (
                    jax.numpy.asarray(one, old.dtype).reshape(old.shape) for one, old in zip(new, states, strict=True)
                )
                return named(*kept), output

            return jax.lax.scan(step, named(*arrays[1:count]), x)[1]

        return jax.vmap(row)(arrays[0], *arrays[count:])

    @functools.cached_property
    def by_hand_parallel(self) -> Callable:
        """The loop compiled with its rows over numba's threads."""
        return numba.njit(error_model="numpy", parallel=True)(self.loop)


def between(rng, low: float, high: float, rows: int, dtype) -> np.ndarray:
    """A constant with a number per row."""
    return rng.uniform(low, high, rows).astype(dtype)
