"""The models that the command knows, and how each goes from origin to origin of a back-test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from rnnkit.forecast import saving
from rnnkit.forecast.echo_state import ESN
from rnnkit.forecast.titles import TITLES
from rnnkit.forecast.trained import TrainedForecaster

LATER = 3  # epochs at the origins after the first


class Refitted:
    """An echo state network, whose readouts are solved anew at each origin."""

    def __init__(self, forecaster: ESN):
        self.forecaster = forecaster

    def __call__(self, history, horizon: int) -> np.ndarray:
        """The forecast ``(horizon,)``."""
        return self.forecaster.fit(history).predict(horizon)


class WarmStarted:
    """A model that is trained before the first origin, and carried on from its weights at the later ones."""

    def __init__(self, forecaster: TrainedForecaster, tell: Callable[[str], None] | None = None):
        self.forecaster, self.tell, self.begun = forecaster, tell, False

    def __call__(self, history, horizon: int) -> np.ndarray:
        """Lower edge, median and upper edge ``(3, horizon)``."""
        if self.begun:
            epochs = min(LATER, self.forecaster.epochs)
            self.forecaster.update(history, epochs=epochs, progress=self.tell)
        else:
            self.forecaster.fit(history, progress=self.tell)
            self.begun = True
        return self.forecaster.predict_quantiles(horizon)


def find_model(
    name: str,
    horizon: int,
    *,
    season: int | None = None,
    seed: int | None = None,
    units: int | None = None,
    epochs: int | None = None,
    tell: Callable[[str], None] | None = None,
) -> Refitted | WarmStarted:
    """A model by its name on the command line.

    Parameters
    ----------
    name : {"esn", "gru", "lstm", "rnn", "linear"}
    horizon, season, seed
        As `ESN` and `TrainedForecaster` take them.
    units, epochs : int, optional
        By default as the model has them; what a model has no use for is left aside.
    tell : callable, optional
        Called with a text after each epoch of training.
    """
    settings: dict[str, Any] = {"season": season, "seed": seed}
    if units is not None:
        settings["units"] = units
    if name == "esn":
        return Refitted(ESN(horizon, **settings))
    if epochs is not None:
        settings["epochs"] = epochs
    return WarmStarted(TrainedForecaster(horizon, name, **settings), tell)


def title(forecaster: ESN | TrainedForecaster) -> str:
    """What tables call a forecaster."""
    return TITLES["esn" if isinstance(forecaster, ESN) else forecaster.layer]


def restored(saved: saving.Saved) -> ESN | TrainedForecaster:
    """The forecaster that a file holds.

    Raises
    ------
    ValueError
        If it is of a kind that is not known here.
    """
    kinds = {kind.__name__: kind for kind in (ESN, TrainedForecaster)}
    if saved.kind not in kinds:
        raise ValueError(f"expected a file of one of {', '.join(kinds)}; got one of {saved.kind}")
    return kinds[saved.kind]._of_saved(saved)
