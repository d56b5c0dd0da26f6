"""Averages of the weights in their place during evaluations."""

from __future__ import annotations

from rnnkit.callbacks.callback import Callback
from rnnkit.hints import Logs


class SwapEMAWeights(Callback):
    """A callback that evaluates and predicts with the averages of the weights that the optimizer keeps.

    Parameters
    ----------
    swap_on_epoch : bool
        Have the averages in the model at the end of each epoch, as for a `ModelCheckpoint` behind it in the list.

    Raises
    ------
    ValueError
        In a fit whose optimizer has no ``use_ema=True``.

    Examples
    --------
    >>> import rnnkit as rk
    >>> swap = rk.callbacks.SwapEMAWeights()
    """

    def __init__(self, swap_on_epoch: bool = False):
        super().__init__()
        self.swap_on_epoch: bool = bool(swap_on_epoch)

    def on_train_begin(self, logs: Logs = None) -> None:
        """Refuse an optimizer without averages."""
        if not self.model.optimizer.use_ema:
            raise ValueError(
                f"expected an optimizer with use_ema=True for SwapEMAWeights, got {self.model.optimizer!r}"
            )

    def _swap(self, to_averages: bool) -> None:
        optimizer = self.model.optimizer
        if to_averages is not optimizer._swapped and optimizer.iterations:
            optimizer.swap_averages(self.model.trainable_variables)

    def on_epoch_begin(self, epoch: int, logs: Logs = None) -> None:
        """Put the weights back."""
        self._swap(False)

    def on_epoch_end(self, epoch: int, logs: Logs = None) -> None:
        """Put the averages in place, with `swap_on_epoch`."""
        self._swap(self.swap_on_epoch)

    def on_test_begin(self, logs: Logs = None) -> None:
        """Put the averages in place."""
        self._swap(True)

    def on_test_end(self, logs: Logs = None) -> None:
        """Put the weights back."""
        self._swap(False)

    on_predict_begin, on_predict_end = on_test_begin, on_test_end
