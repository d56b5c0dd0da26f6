"""The weights that a layer holds itself, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from operator import itemgetter
from typing import Any, ClassVar

import numpy as np

from rnnkit.layers.support.assignments import weights_replaced
from rnnkit.layers.support.variable import Variable, WeightVariable
from rnnkit.steps.cell import Cell
from rnnkit.steps.weight_options import WeightOptions


class HeldWeights(tuple):  # which is made in less time than an object with an `__init__`
    """The own weights of the layer ``(layer,)``, here none; a subclass says where the layer has its arrays."""

    __slots__ = ()

    of_all: ClassVar[bool] = False  # whether the weights of layers inside are among them
    layer: Any = property(itemgetter(0))

    @property
    def cell(self) -> Cell | None:
        """The cell whose program the layer runs, if it is built; None without one."""
        return None

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the weights as they are stored."""
        return {}

    def options(self) -> dict[str, WeightOptions]:
        """Return the weights' options in training."""
        return {}

    def put(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Replace some weights by checked and frozen arrays."""

    def replace(self, arrays: Mapping[str, np.ndarray], sparse: AbstractSet[str]) -> None:
        """Replace some weights, also in what was compiled; those named `sparse` are sparse from here on."""
        try:
            if arrays:
                self.put(arrays)
            if sparse:
                self.make_sparse(sparse)
        finally:
            weights_replaced()

    def make_sparse(self, names: AbstractSet[str]) -> None:
        """Let some weights be sparse, if products with them can be."""

    def sparse(self) -> AbstractSet[str]:
        """Return the names of sparse weights."""
        return frozenset()

    def complex(self) -> Iterable[str]:
        """Return the names of complex weights, of which the arrays are the pairs."""
        return ()

    def moving(self) -> dict[str, np.ndarray]:
        """Return the weights that calls change, such as moving averages."""
        return {}

    def key(self, name: str) -> Any:
        """Return the `Variable.key` of a weight."""
        return id(self.layer), name

    def variables(self) -> dict[str, Variable]:
        """Return the weights as variables."""
        return {name: WeightVariable(self.layer, name, one) for name, one in self.options().items()}
