"""Windows of series as training batches."""

from __future__ import annotations

import numpy as np

WARM = 12  # first steps of a window without a loss, while the state settles
BATCHES = 64  # at most in an epoch, which bounds the time for long series


class Windows:
    """Batches of windows of inputs ``(B, T, F)`` and residuals ``(B, T, horizon)``, reordered each epoch."""

    def __init__(self, inputs, residual, weights, window: int, batch_size: int):
        self.inputs, self.residual, self.weights, self.batch_size = inputs, residual, weights, batch_size
        length = inputs.shape[1]
        self.window = min(window, length)
        starts = np.unique(np.r_[np.arange(0, length - self.window, max(1, self.window // 3)), length - self.window])
        places = np.array([(row, start) for row in range(len(inputs)) for start in starts])
        teaches = [self._weights(row, start).any() for row, start in places]
        self.places = places[teaches]

    def restart(self, seed) -> None:
        """Seed the generator of the orders."""
        self._rng = np.random.default_rng(seed)
        self.on_epoch_end()

    def on_epoch_end(self) -> None:
        """Reorder the windows."""
        self._order = self._rng.permutation(len(self.places))

    def __len__(self):
        return min(BATCHES, -(-len(self.places) // self.batch_size))

    def __getitem__(self, number):
        places = self.places[self._order[number * self.batch_size : (number + 1) * self.batch_size]]
        residual = np.stack([self.residual[row, start : start + self.window] for row, start in places])
        weights = np.stack([self._weights(row, start) for row, start in places]).astype(np.float32)
        inputs = np.stack([self.inputs[row, start : start + self.window] for row, start in places])
        return inputs, np.concatenate([residual, weights], axis=2)

    def _weights(self, row, start) -> np.ndarray:
        weights = self.weights[row, start : start + self.window]
        if start == 0:
            return weights
        warm = min(WARM, self.window // 2)
        return weights & (np.arange(self.window) >= warm)[:, None]
