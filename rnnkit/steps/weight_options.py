"""The options of a weight in training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rnnkit import constraints, regularizers


@dataclass(frozen=True, slots=True)
class WeightOptions:
    """The options of a weight in training."""

    trainable: bool = True
    regularizer: regularizers.Regularizer | None = None  # its penalty is added to the loss
    constraint: Callable | None = None  # ``weight -> weight``, applied after each update

    def __post_init__(self):
        if not isinstance(self.trainable, bool):
            raise TypeError(f"expected trainable to be True or False, got {self.trainable!r}")
        object.__setattr__(self, "regularizer", regularizers.get(self.regularizer))
        object.__setattr__(self, "constraint", constraints.get(self.constraint))


PLAIN = WeightOptions()
